//! A consumer of streams that have servers, or at least slots, of their own, as on a Redis Cluster:
//! one connection for each, since a blocking command waits on keys of one slot only, and one thread
//! that waits on all of them.
//!
//! Every lane always has its next request under way. Whoever has an answer is read, and asked again
//! by the next call: what a call hands out is acknowledged by a later one.

use super::RedisConsumer;
use super::connection::Connection;
use super::watch::ready;
use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Subscriber};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest sleep while a lane has no connection to wait on, and otherwise.
const NAP_TROUBLED: Duration = Duration::from_millis(2);
const NAP: Duration = Duration::from_millis(20);
/// The longest that a request may block in its server: whoever leaves waits for its answer, and the
/// lane that had a message may not have been this one.
const BLOCK_NS: u64 = 500_000_000;

pub struct MergedSubscriber {
    lanes: Vec<Box<dyn RedisConsumer>>,
    /// Which of them have something to read, or no connection.
    ready: Vec<usize>,
    clock: Clock,
}

impl MergedSubscriber {
    pub fn of(lanes: Vec<Box<dyn RedisConsumer>>, clock: Clock) -> Self {
        Self { lanes, ready: Vec::new(), clock }
    }

    /// Asks whoever owes no answer.
    fn request(&mut self, until_ns: u64) -> Result<(), DriverError> {
        let until_ns = until_ns.min(self.clock.now_ns() + BLOCK_NS);
        let mut unasked = self.lanes.iter_mut().filter(|lane| !lane.is_owed());
        unasked.try_for_each(|lane| lane.request(until_ns))
    }

    /// Waits until a lane has something to read, at most `left` and not long.
    fn wait(&mut self, left: Duration) -> Result<(), DriverError> {
        let lanes = self.lanes.iter().enumerate();
        let connected: Vec<(usize, &Connection)> =
            lanes.filter_map(|(index, lane)| Some((index, lane.watched()?))).collect();
        let all = connected.len() == self.lanes.len();
        let spins = connected.iter().any(|(_, connection)| connection.spins);
        let nap = if all { NAP } else { NAP_TROUBLED };
        let limit = if spins { Duration::ZERO } else { left.min(nap) };
        self.ready = ready(&connected, limit)?;
        Ok(())
    }
}

impl Subscriber for MergedSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        loop {
            self.request(until_ns)?;
            let left = self.clock.until(until_ns);
            self.wait(left)?;
            let mut delivered = false;
            for (index, lane) in self.lanes.iter_mut().enumerate() {
                lane.look();
                if lane.watched().is_none() || self.ready.contains(&index) {
                    lane.take_up(&mut |incoming| {
                        delivered = true;
                        sink(incoming);
                    })?;
                }
            }
            if delivered || left.is_zero() {
                return Ok(());
            }
        }
    }

    /// All of them leave, whatever one of them says.
    fn close(&mut self) -> Result<(), DriverError> {
        self.lanes.iter_mut().map(|lane| lane.close()).fold(Ok(()), Result::and)
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for (reason, count) in self.lanes.iter().flat_map(|lane| lane.retries()) {
            *all.entry(reason).or_default() += count;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::redis::endpoint::Endpoint;
    use crate::driver::redis::load::ConsumerPlace;
    use crate::driver::redis::load::lists::PopSubscriber;
    use crate::driver::redis::load::resilient::testing::{Act, Asked, Scripted};
    use crate::model::System;

    const MS: u64 = 1_000_000;

    /// A server that has one element under `key`, and then nothing, late.
    fn serving(key: &'static str) -> Scripted {
        Scripted::start(move |asked: &Asked| {
            if asked.is("BLMPOP") || asked.is("LMPOP") {
                assert!(asked.text().contains(key));
                if asked.number == 0 {
                    return Act::Reply(
                        format!("*2\r\n$1\r\n{key}\r\n*1\r\n$1\r\n{key}\r\n").into_bytes(),
                    );
                }
            }
            // The answer that nothing came stays out.
            Act::Ignore
        })
    }

    #[test]
    fn each_stream_is_asked_for_once_and_whoever_answers_is_read() {
        let clock = Clock::start();
        let servers = [serving("a"), serving("b"), serving("c")];
        let lane = |(server, key): (&Scripted, &str)| -> Box<dyn RedisConsumer> {
            let endpoint = Endpoint::parse(System::RedisLists, &server.address).unwrap();
            let place = ConsumerPlace {
                clock,
                keys: vec![key.to_owned()],
                group: "g".into(),
                consumer: "c".into(),
                processing: "p".into(),
                batch: 10,
                outlives: false,
                pops_many: true,
            };
            Box::new(PopSubscriber::new(Connection::open(&endpoint).unwrap(), place))
        };
        let lanes = servers.iter().zip(["a", "b", "c"]).map(lane).collect();
        let mut merged = MergedSubscriber::of(lanes, clock);
        let mut seen = vec![];
        while seen.len() < 3 && clock.now_ns() < 10_000 * MS {
            let mut sink = |incoming: Incoming<'_>| seen.push(incoming.payload.to_vec());
            merged.receive(clock.now_ns() + 50 * MS, &mut sink).unwrap();
        }
        seen.sort();
        assert_eq!(seen, [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
        let begun_ns = clock.now_ns();
        for _ in 0..5 {
            merged.receive(clock.now_ns() + 20 * MS, &mut |_| panic!("nothing was there")).unwrap();
        }
        assert!(clock.now_ns() - begun_ns >= 90 * MS, "it waits for as long as it is told");
        for server in &servers {
            let asked = server.log().iter().filter(|(_, text)| text.contains("LMPOP")).count();
            assert_eq!(asked, 2, "what is under way is not asked for again");
        }
    }

    #[test]
    fn a_lane_that_fails_ends_a_consumer_that_does_not_outlive_it() {
        let clock = Clock::start();
        let server = Scripted::start(|_: &Asked| Act::Reply(b"-MOVED 1 127.0.0.1:1\r\n".to_vec()));
        let endpoint = Endpoint::parse(System::RedisLists, &server.address).unwrap();
        let place = || ConsumerPlace {
            clock,
            keys: vec!["k".to_owned()],
            group: "g".into(),
            consumer: "c".into(),
            processing: "p".into(),
            batch: 10,
            outlives: false,
            pops_many: true,
        };
        let lane = || -> Box<dyn RedisConsumer> {
            Box::new(PopSubscriber::new(Connection::open(&endpoint).unwrap(), place()))
        };
        let mut merged = MergedSubscriber::of(vec![lane(), lane()], clock);
        let error = loop {
            if let Err(error) = merged.receive(clock.now_ns() + 50 * MS, &mut |_| ()) {
                break error.to_string();
            }
            assert!(clock.now_ns() < 10_000 * MS);
        };
        assert!(error.contains("MOVED"), "{error}");
    }
}
