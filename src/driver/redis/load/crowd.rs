//! Many consumers on one thread: one wait for all of their sockets, and whoever has something is
//! read until there is no more.
//!
//! None of them may wait by itself: they are told that they stand in a crowd
//! ([`ConsumerPlace::crowded`](super::ConsumerPlace)), ask for longer than they wait, and come back
//! at once.

use super::RedisConsumer;
use super::epoll::{Epoll, Ready};
use crate::clock::Clock;
use crate::driver::packing::Unpacking;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::{Crowd, DriverError, Incoming};
use std::time::Duration;

/// Batches that one may be handed in a row while others wait.
const IN_A_ROW: u32 = 8;

pub struct RedisCrowd {
    endpoint: Endpoint,
    consumers: Vec<Box<dyn RedisConsumer>>,
    epoll: Epoll,
    ready: Vec<Ready>,
    /// Whose socket may hold more, though it will not be told again; at first all of them.
    unread: Vec<usize>,
    unpacking: Unpacking,
    clock: Clock,
}

impl RedisCrowd {
    pub fn new(
        endpoint: Endpoint,
        consumers: Vec<Box<dyn RedisConsumer>>,
        unpacking: Unpacking,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        let sockets = consumers.iter().filter_map(|consumer| consumer.watched());
        let epoll = Epoll::watching(&endpoint, sockets)?;
        let unread = (0..consumers.len()).collect();
        Ok(Self { endpoint, consumers, epoll, ready: Vec::new(), unread, unpacking, clock })
    }
}

impl Crowd for RedisCrowd {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(usize, Incoming<'_>),
    ) -> Result<(), DriverError> {
        let Self { endpoint, consumers, epoll, ready, unread, unpacking, clock } = self;
        let limit = if unread.is_empty() { clock.until(until_ns) } else { Duration::ZERO };
        epoll
            .wait(limit, ready)
            .map_err(|cause| endpoint.refused("waiting on sockets (epoll)", cause.to_string()))?;
        let told = ready.iter().map(|one| one.token as usize);
        let due: Vec<usize> = std::mem::take(unread).into_iter().chain(told).collect();
        for whose in due {
            let Some(consumer) = consumers.get_mut(whose) else { continue };
            let mut batches = 0;
            loop {
                let mut delivered = false;
                consumer.receive(clock.now_ns(), &mut |packed| {
                    delivered = true;
                    sink(whose, Incoming { payload: unpacking.unpack(packed.payload), ..packed });
                })?;
                batches += u32::from(delivered);
                if !delivered {
                    break;
                }
                if batches == IN_A_ROW {
                    unread.push(whose);
                    break;
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), DriverError> {
        self.consumers.iter_mut().map(|consumer| consumer.close()).fold(Ok(()), Result::and)
    }
}
