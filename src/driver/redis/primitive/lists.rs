//! Redis Lists: a queue whose elements go to one consumer each, popped,
//! or moved to a list of its own.

use super::{Connected, LargeCommands, Primitive, Sink, WorkerParts};
use crate::driver::capability::ReplayFrom;
use crate::driver::redis::capability::audit::AuditReader;
use crate::driver::redis::capability::work::lists::ListWorker;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::lists::{PopSubscriber, ReliableSubscriber};
use crate::driver::redis::load::{ConsumerPlace, RedisConsumer};
use crate::driver::redis::redis_rs::{LibraryList, LibraryReliableList};
use crate::driver::work::{Responsibilities, Worker};
use crate::driver::{Audit, DriverError};
use crate::scenario::{Cell, SystemConfig};
use redis::{Cmd, cmd};

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

    fn publish(&self, key: &str, _: &Cell) -> Cmd {
        cmd("LPUSH").arg(key).take()
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

    fn consumer(&self, connection: Connection, place: ConsumerPlace) -> Box<dyn RedisConsumer> {
        if self.reliable {
            Box::new(ReliableSubscriber::new(connection, place))
        } else {
            Box::new(PopSubscriber::new(connection, place))
        }
    }

    fn library_consumer(&self, endpoint: &Endpoint, place: ConsumerPlace) -> Connected {
        if self.reliable {
            return Ok(Box::new(LibraryReliableList::connect(endpoint, place)?));
        }
        Ok(Box::new(LibraryList::connect(endpoint, place)?))
    }

    fn length(&self) -> Option<&'static str> {
        Some("LLEN")
    }

    fn has_processing_lists(&self) -> bool {
        self.reliable
    }

    fn audit(
        &self,
        driver: &RedisDriver,
        reader: &mut AuditReader,
        sink: Sink<'_>,
    ) -> Result<Audit, DriverError> {
        self.read(driver, reader, ReplayFrom::Beginning, sink)?;
        Ok(Audit::Remainder)
    }

    fn large(&self, key: &str) -> LargeCommands {
        LargeCommands { ask: Some(cmd("LPOP").arg(key).take()), ..LargeCommands::default() }
    }

    /// A list has no position: every read begins at what is left,
    /// and whoever comes late takes that too.
    fn rewind(&self, _: &RedisDriver, _: u16, _: bool) -> Result<(), DriverError> {
        Ok(())
    }

    fn read(
        &self,
        driver: &RedisDriver,
        reader: &mut AuditReader,
        from: ReplayFrom,
        sink: Sink<'_>,
    ) -> Result<(), DriverError> {
        if from != ReplayFrom::Beginning {
            return Err(driver
                .primary
                .endpoint
                .cannot("read from a moment on", "elements of a list carry no time"));
        }
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
            sets_aside: "the application (one EVAL: LREM from its processing list, LPUSH to the \
                dead letter list)",
            takes_over: "the application, once it knows who died \
                (LMOVE back from that processing list)",
            comes_again: "what was not yet removed from the processing list (LREM)",
            ..popped
        };
        Ok(if self.reliable { reliable } else { popped })
    }

    fn worker(&self, parts: WorkerParts) -> Option<Box<dyn Worker>> {
        Some(Box::new(ListWorker::new(parts, self.reliable)))
    }
}
