//! Redis Lists: a queue whose elements go to one consumer each, popped, or moved to a list of its own.

use super::{Connected, LargeCommands, Primitive, Sink, WorkerParts};
use crate::driver::capability::ReplayFrom;
use crate::driver::redis::capability::audit::AuditReader;
use crate::driver::redis::capability::stall::Holder;
use crate::driver::redis::capability::work::lists::ListWorker;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::limits::SET_UP;
use crate::driver::redis::load::lists::{PopSubscriber, ReliableSubscriber};
use crate::driver::redis::load::resilient::patiently;
use crate::driver::redis::redis_rs::{LibraryList, LibraryReliableList};
use crate::driver::work::{Responsibilities, Worker};
use crate::driver::{Audit, DriverError, Subscriber};
use crate::scenario::{Cell, SystemConfig};
use crate::units::Span;
use crate::wire::redis as resp;

pub struct Lists {
    /// LMOVE to a processing list instead of BLMPOP.
    pub reliable: bool,
}

impl Primitive for Lists {
    fn refuses(&self, cell: &Cell) -> Option<&'static str> {
        if cell.load.subscriptions > 1 {
            return Some("a list element goes to one consumer only; set load.subscriptions: 1");
        }
        let several = self.reliable && cell.config.keys > 1;
        several.then_some("BLMOVE waits on one list only; set keys: 1 or consume.mode: pop")
    }

    fn publish(&self, key: &str, _: Option<u64>) -> Vec<String> {
        vec!["LPUSH".into(), key.into()]
    }

    fn describe(&self, config: &SystemConfig) -> (String, String) {
        let batch = config.consume.batch;
        let consume = if self.reliable {
            format!("LMOVE, {batch} at most in one pipeline, BLMOVE when empty, DEL afterwards")
        } else {
            format!("BLMPOP RIGHT COUNT {batch}")
        };
        ("LPUSH".into(), consume)
    }

    fn acknowledgement(&self) -> Result<&'static str, &'static str> {
        Ok(if self.reliable {
            "consumers delete elements from a processing list after processing (LMOVE)"
        } else {
            "consumers take elements away before processing (BLMPOP)"
        })
    }

    fn subscriber(&self, driver: &RedisDriver, _: u16, consumer: u16) -> Connected {
        let (endpoint, keys) = (driver.primary.find()?, driver.keys.clone());
        let (clock, batch) = (driver.target.clock, driver.batch());
        if self.reliable {
            let (key, processing) = driver.first_list(consumer);
            return Ok(Box::new(ReliableSubscriber::connect(&endpoint, clock, key, processing, batch)?));
        }
        Ok(Box::new(PopSubscriber::connect(&endpoint, clock, keys, batch)?))
    }

    fn library_subscriber(&self, driver: &RedisDriver, _: u16, consumer: u16) -> Connected {
        let (endpoint, keys) = (driver.primary.find()?, driver.keys.clone());
        let (clock, batch) = (driver.target.clock, driver.batch());
        if self.reliable {
            let (key, processing) = driver.first_list(consumer);
            return Ok(Box::new(LibraryReliableList::connect(&endpoint, clock, key, processing, batch)?));
        }
        Ok(Box::new(LibraryList::connect(&endpoint, clock, keys, batch)?))
    }

    fn resilient_subscriber(&self, driver: &RedisDriver, _: u16, consumer: u16, deadline: Span) -> Connected {
        let (primary, clock, batch) = (driver.primary.clone(), driver.target.clock, driver.batch());
        let dial = move || primary.connect();
        let connection = patiently(SET_UP, &dial)?;
        if self.reliable {
            let (key, processing) = driver.first_list(consumer);
            let inner = ReliableSubscriber::new(connection, clock, key, processing, batch);
            return Ok(driver.outliving(inner.on_time().taking_over(), dial, deadline));
        }
        let inner = PopSubscriber::new(connection, clock, driver.keys.clone(), batch).on_time();
        Ok(driver.outliving(inner, dial, deadline))
    }

    fn stalled(
        &self,
        driver: &RedisDriver,
        _: u16,
        until_ns: u64,
    ) -> Result<(Box<dyn Subscriber>, Holder), DriverError> {
        let (endpoint, clock, batch) = (&driver.endpoint, driver.target.clock, driver.batch());
        let holder = Holder::of_keys(driver, "LLEN");
        if self.reliable {
            let (key, processing) = driver.first_list(0);
            let subscriber = ReliableSubscriber::connect(endpoint, clock, key, processing, batch)?;
            return Ok((Box::new(subscriber), holder));
        }
        let mut subscriber = PopSubscriber::connect(endpoint, clock, driver.keys.clone(), batch)?;
        subscriber.request(until_ns)?;
        Ok((Box::new(subscriber), holder))
    }

    fn has_processing_lists(&self) -> bool {
        self.reliable
    }

    fn audit(&self, driver: &RedisDriver, reader: &mut AuditReader, sink: Sink<'_>) -> Result<Audit, DriverError> {
        driver.every_key().iter().try_for_each(|key| reader.list(key, sink))?;
        Ok(Audit::Remainder)
    }

    fn large(&self, key: &str) -> LargeCommands {
        let mut commands = LargeCommands::default();
        resp::command(&mut commands.ask, &[b"LPOP", key.as_bytes()]);
        commands
    }

    /// A list has one queue of takers: whoever comes late takes what is left.
    fn join_late(&self, _: &RedisDriver, _: u16) -> Result<(), DriverError> {
        Ok(())
    }

    /// A list has no position: every read begins at what is left.
    fn rewind(&self, _: &RedisDriver, _: u16) -> Result<(), DriverError> {
        Ok(())
    }

    fn read_from(
        &self,
        driver: &RedisDriver,
        from: ReplayFrom,
        deadline_ns: u64,
        sink: Sink<'_>,
    ) -> Result<(), DriverError> {
        if from != ReplayFrom::Beginning {
            return Err(driver.cannot("read from a moment on", "elements of a list carry no time"));
        }
        let mut reader = driver.reader(deadline_ns)?;
        driver.every_key().iter().try_for_each(|key| reader.list(key, sink))
    }

    fn responsibilities(&self) -> Result<Responsibilities, &'static str> {
        let popped = Responsibilities {
            counts_tries: "the application, in its memory",
            repeats: "the application, from its memory",
            sets_aside: "the application (LPUSH to the dead letter list)",
            takes_over: "nobody: what was popped died with it",
            comes_again: "nothing",
        };
        let reliable = Responsibilities {
            sets_aside: "the application (one EVAL: LREM from its processing list, LPUSH to the dead letter list)",
            takes_over: "the application, once it knows who died (LMOVE back from that processing list)",
            comes_again: "what was not yet removed from the processing list (LREM)",
            ..popped
        };
        Ok(if self.reliable { reliable } else { popped })
    }

    fn worker(&self, parts: WorkerParts) -> Option<Box<dyn Worker>> {
        let WorkerParts { connection, clock, key, dead, processing, pause, .. } = parts;
        let processing = self.reliable.then_some(processing);
        Some(Box::new(ListWorker::new(connection, clock, key, dead, processing, pause)))
    }
}
