//! A consumer that outlives its connection: what it had, and what it does to go on, is the wrapped
//! consumer's own ([`RedisConsumer`]); that it goes on, and when a silent server counts as gone, is
//! decided here.
//!
//! A lost connection, an error reply and a reply that makes no sense all end the connection and
//! never the consumer: a scenario that breaks things has asked for it, and the books say what came
//! of it. `receive` keeps its time, whatever state the connection is in.

use crate::clock::Clock;
use crate::driver::redis::endpoint::reason;
use crate::driver::redis::load::RedisConsumer;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::reconnect::{Reconnect, Retries};
use crate::driver::redis::load::resilient::SWITCHED;
use crate::driver::redis::load::switches::Switches;
use crate::driver::{DriverError, Incoming, Subscriber};
use std::collections::BTreeMap;

/// How long nothing may come before a consumer that is pushed to asks whether anybody is there.
const QUIET_NS: u64 = 1_000_000_000;

pub struct ResilientSubscriber {
    inner: Box<dyn RedisConsumer>,
    connected: bool,
    reconnect: Reconnect<Connection>,
    patience_ns: u64,
    /// When the server last owed nothing.
    paid_ns: u64,
    /// When a message last came, or was last asked for a sign of life.
    quiet_ns: u64,
    retries: Retries,
    switches: Switches,
    clock: Clock,
}

impl ResilientSubscriber {
    /// `reconnect` makes connections that are ready for `inner`.
    pub fn new(
        inner: Box<dyn RedisConsumer>,
        reconnect: Reconnect<Connection>,
        patience_ns: u64,
        switches: Switches,
        clock: Clock,
    ) -> Self {
        let now_ns = clock.now_ns();
        let retries = Retries::new();
        Self {
            inner,
            connected: true,
            reconnect,
            patience_ns,
            paid_ns: now_ns,
            quiet_ns: now_ns,
            retries,
            switches,
            clock,
        }
    }

    fn lose(&mut self, why: String) {
        self.connected = false;
        *self.retries.entry(why.clone()).or_default() += 1;
        self.reconnect.begin(self.clock.now_ns(), why);
    }

    /// Asks a quiet server and gives up a silent one.
    fn watch(&mut self, delivered: bool) -> Result<(), DriverError> {
        let now_ns = self.clock.now_ns();
        if delivered {
            self.reconnect.settled();
        }
        if !self.inner.is_owed() {
            self.paid_ns = now_ns;
        } else if now_ns > self.paid_ns.saturating_add(self.patience_ns) {
            self.lose(format!("no answer for {:.1} s", self.patience_ns as f64 / 1e9));
            return Ok(());
        }
        if delivered {
            self.quiet_ns = now_ns;
        } else if now_ns > self.quiet_ns.saturating_add(QUIET_NS) {
            self.quiet_ns = now_ns;
            self.inner.nudge()?;
        }
        Ok(())
    }
}

impl Subscriber for ResilientSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        loop {
            if self.switches.news() && self.connected {
                self.lose(SWITCHED.to_owned());
            }
            if !self.connected {
                let Some(connection) =
                    self.reconnect.poll(&self.clock, until_ns, &mut self.retries)
                else {
                    return Ok(());
                };
                Reconnect::<Connection>::count(&mut self.retries);
                self.inner.resume(connection);
                (self.connected, self.paid_ns, self.quiet_ns) =
                    (true, self.clock.now_ns(), self.clock.now_ns());
            }
            let mut delivered = false;
            let received = self.inner.receive(until_ns, &mut |incoming| {
                delivered = true;
                sink(incoming);
            });
            if let Err(error) = received.and_then(|()| self.watch(delivered)) {
                self.lose(reason(&error));
            }
            if delivered || self.connected || self.clock.now_ns() >= until_ns {
                return Ok(());
            }
        }
    }

    /// Without a connection there is nobody to take leave of.
    fn close(&mut self) -> Result<(), DriverError> {
        if self.connected { self.inner.close() } else { Ok(()) }
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        self.retries.clone()
    }
}

#[cfg(test)]
mod tests;
