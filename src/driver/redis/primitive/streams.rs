//! Redis Streams: a log that consumer groups read,
//! and that keeps account of what they have pending.

use super::{Connected, LargeCommands, Primitive, Sink, WorkerParts};
use crate::driver::capability::ReplayFrom;
use crate::driver::redis::capability::audit::AuditReader;
use crate::driver::redis::capability::work::streams::StreamWorker;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::streams::{StreamSubscriber, create_group, make_groups};
use crate::driver::redis::load::{ConsumerPlace, RedisConsumer};
use crate::driver::redis::redis_rs::LibraryStream;
use crate::driver::work::{Responsibilities, Worker};
use crate::driver::{Audit, DriverError};
use crate::scenario::SystemConfig;
use redis::{Cmd, cmd};

pub struct Streams;

impl Primitive for Streams {
    fn publish(&self, key: &str, maxlen: Option<u64>) -> Cmd {
        let mut command = cmd("XADD");
        command.arg(key);
        if let Some(entries) = maxlen {
            command.arg("MAXLEN").arg("~").arg(entries);
        }
        command.arg("*").arg("d").take()
    }

    fn describe(&self, config: &SystemConfig) -> (String, String) {
        let trim = config.maxlen.map_or(String::new(), |entries| format!(" MAXLEN ~ {entries}"));
        let batch = config.consume.batch;
        (
            format!("XADD{trim} *"),
            format!("XREADGROUP COUNT {batch} BLOCK, XACK with the next request"),
        )
    }

    fn acknowledgement(&self) -> Result<&'static str, &'static str> {
        Ok("consumers XACK after processing")
    }

    fn join(
        &self,
        connection: &mut Connection,
        place: &ConsumerPlace,
        from: &str,
    ) -> Result<(), DriverError> {
        make_groups(connection, place, from)
    }

    fn consumer(&self, connection: Connection, place: ConsumerPlace) -> Box<dyn RedisConsumer> {
        Box::new(StreamSubscriber::new(connection, place))
    }

    fn library_consumer(&self, endpoint: &Endpoint, place: ConsumerPlace) -> Connected {
        make_groups(&mut Connection::open(endpoint)?, &place, "$")?;
        Ok(Box::new(LibraryStream::connect(endpoint, place)?))
    }

    fn length(&self) -> Option<&'static str> {
        Some("XLEN")
    }

    fn audit(
        &self,
        driver: &RedisDriver,
        reader: &mut AuditReader,
        sink: Sink<'_>,
    ) -> Result<Audit, DriverError> {
        self.read(driver, reader, ReplayFrom::Beginning, sink)?;
        let mut trimmed = false;
        if let Some(most) = driver.cell.config.maxlen {
            for key in &driver.keys {
                trimmed |= reader.trimmed(key, most)?;
            }
        }
        Ok(Audit::Retains { trimmed, unreadable: Vec::new() })
    }

    fn large(&self, key: &str) -> LargeCommands {
        let ask = cmd("XREAD").arg("COUNT").arg(1).arg("STREAMS").arg(key).arg(0).take();
        LargeCommands {
            ask: Some(ask),
            clear: Some(cmd("UNLINK").arg(key).take()),
            ..LargeCommands::default()
        }
    }

    fn rewind(
        &self,
        driver: &RedisDriver,
        subscription: u16,
        joined: bool,
    ) -> Result<(), DriverError> {
        let (action, group) =
            (if joined { "SETID" } else { "CREATE" }, driver.place(subscription, 0).group);
        driver.keys.iter().try_for_each(|key| {
            let mut control = Connection::open(&driver.primary.of(key).find()?)?;
            control.text(&["XGROUP", action, key, &group, "0"]).map(drop)
        })
    }

    fn read(
        &self,
        driver: &RedisDriver,
        reader: &mut AuditReader,
        from: ReplayFrom,
        sink: Sink<'_>,
    ) -> Result<(), DriverError> {
        let first = match from {
            // Of a stream that was there already, what came since.
            ReplayFrom::Beginning => {
                driver.last.get().map_or_else(|| "-".to_owned(), |last| format!("({last}"))
            }
            // An entry's id begins with the server's time.
            ReplayFrom::Time(ms) => ms.to_string(),
        };
        driver.keys.iter().try_for_each(|key| reader.stream(key, &first, sink))
    }

    fn responsibilities(&self) -> Result<Responsibilities, &'static str> {
        Ok(Responsibilities {
            counts_tries: "the broker (delivery count of XPENDING)",
            repeats: "the application, from what the broker keeps pending (XAUTOCLAIM)",
            sets_aside: "the application (one EVAL: XADD to the dead letter stream, XACK)",
            takes_over: "the application, asking for what is idle (XAUTOCLAIM)",
            comes_again: "what was not yet acknowledged (XACK)",
        })
    }

    fn prepare_work(&self, key: &str, group: &str) -> Option<Cmd> {
        Some(create_group(key, group, "0"))
    }

    fn worker(&self, parts: WorkerParts) -> Option<Box<dyn Worker>> {
        Some(Box::new(StreamWorker::new(parts)))
    }

    fn dead_letters(
        &self,
        reader: &mut AuditReader,
        key: &str,
        sink: Sink<'_>,
    ) -> Result<(), DriverError> {
        reader.stream(key, "-", sink)
    }
}
