//! Redis Streams: a log that consumer groups read, and that keeps account of what they have pending.

use super::{Connected, LargeCommands, Primitive, Sink, WorkerParts};
use crate::driver::capability::ReplayFrom;
use crate::driver::redis::capability::audit::AuditReader;
use crate::driver::redis::capability::stall::Holder;
use crate::driver::redis::capability::work::streams::StreamWorker;
use crate::driver::redis::control::ControlConnection;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::limits::SET_UP;
use crate::driver::redis::load::resilient::patiently;
use crate::driver::redis::load::streams::{self, StreamSubscriber};
use crate::driver::redis::redis_rs::LibraryStream;
use crate::driver::work::{Responsibilities, Worker};
use crate::driver::{Audit, DriverError, Subscriber};
use crate::scenario::SystemConfig;
use crate::units::Span;
use crate::wire::redis as resp;

pub struct Streams;

fn each_group(driver: &RedisDriver, action: &str, subscription: u16) -> Result<(), DriverError> {
    let mut control = ControlConnection::connect(&driver.endpoint)?;
    let group = format!("g{subscription}");
    driver.keys.iter().try_for_each(|key| control.group_from_the_oldest(action, key, &group))
}

impl Primitive for Streams {
    fn publish(&self, key: &str, maxlen: Option<u64>) -> Vec<String> {
        let trim = maxlen.map(|entries| ["MAXLEN".to_owned(), "~".to_owned(), entries.to_string()]);
        let start = ["XADD".to_owned(), key.to_owned()];
        start.into_iter().chain(trim.into_iter().flatten()).chain(["*".into(), "d".into()]).collect()
    }

    fn describe(&self, config: &SystemConfig) -> (String, String) {
        let trim = config.maxlen.map_or(String::new(), |entries| format!(" MAXLEN ~ {entries}"));
        let batch = config.consume.batch;
        (format!("XADD{trim} *"), format!("XREADGROUP COUNT {batch} BLOCK, XACK with the next request"))
    }

    fn acknowledgement(&self) -> Result<&'static str, &'static str> {
        Ok("consumers XACK after processing")
    }

    fn subscriber(&self, driver: &RedisDriver, subscription: u16, consumer: u16) -> Connected {
        let (endpoint, keys) = (driver.primary.find()?, driver.keys.clone());
        let (clock, batch) = (driver.target.clock, driver.batch());
        Ok(Box::new(StreamSubscriber::connect(&endpoint, clock, keys, subscription, consumer, batch)?))
    }

    fn library_subscriber(&self, driver: &RedisDriver, subscription: u16, consumer: u16) -> Connected {
        let (endpoint, keys) = (driver.primary.find()?, driver.keys.clone());
        let (clock, batch) = (driver.target.clock, driver.batch());
        Ok(Box::new(LibraryStream::connect(&endpoint, clock, keys, subscription, consumer, batch)?))
    }

    fn resilient_subscriber(
        &self,
        driver: &RedisDriver,
        subscription: u16,
        consumer: u16,
        deadline: Span,
    ) -> Connected {
        let (primary, keys, clock) = (driver.primary.clone(), driver.keys.clone(), driver.target.clock);
        let dial = {
            let (keys, group) = (keys.clone(), streams::group(subscription));
            move |from: &str| {
                let mut connection = primary.connect()?;
                streams::make_groups(&mut connection, &keys, &group, from)?;
                Ok(connection)
            }
        };
        let connection = patiently(SET_UP, || dial("$"))?;
        let inner = StreamSubscriber::new(connection, clock, keys, subscription, consumer, driver.batch());
        let inner = inner.on_time().taking_over();
        // A group that is gone was lost by the server, with or without entries. A new one at the
        // stream's end would skip what came since; from the oldest entry on, nothing is skipped and
        // some may come twice.
        Ok(driver.outliving(inner, move || dial("0"), deadline))
    }

    fn stalled(
        &self,
        driver: &RedisDriver,
        subscription: u16,
        until_ns: u64,
    ) -> Result<(Box<dyn Subscriber>, Holder), DriverError> {
        let (endpoint, clock, keys) = (&driver.endpoint, driver.target.clock, driver.keys.clone());
        let mut subscriber = StreamSubscriber::connect(endpoint, clock, keys, subscription, 0, driver.batch())?;
        subscriber.request(until_ns)?;
        Ok((Box::new(subscriber), Holder::of_keys(driver, "XLEN")))
    }

    fn audit(&self, driver: &RedisDriver, reader: &mut AuditReader, sink: Sink<'_>) -> Result<Audit, DriverError> {
        let mut trimmed = false;
        for key in &driver.keys {
            reader.stream(key, "-", sink)?;
            trimmed |= driver.cell.config.maxlen.is_some() && reader.trimmed(key)?;
        }
        Ok(Audit::Retains { trimmed, unreadable: Vec::new() })
    }

    fn large(&self, key: &str) -> LargeCommands {
        let mut commands = LargeCommands::default();
        resp::command(&mut commands.ask, &[b"XREAD", b"COUNT", b"1", b"STREAMS", key.as_bytes(), b"0"]);
        resp::command(&mut commands.clear, &[b"UNLINK", key.as_bytes()]);
        commands
    }

    fn join_late(&self, driver: &RedisDriver, subscription: u16) -> Result<(), DriverError> {
        each_group(driver, "CREATE", subscription)
    }

    fn rewind(&self, driver: &RedisDriver, subscription: u16) -> Result<(), DriverError> {
        each_group(driver, "SETID", subscription)
    }

    fn read_from(
        &self,
        driver: &RedisDriver,
        from: ReplayFrom,
        deadline_ns: u64,
        sink: Sink<'_>,
    ) -> Result<(), DriverError> {
        let first = match from {
            ReplayFrom::Beginning => "-".to_owned(),
            // An entry's id begins with the server's time.
            ReplayFrom::Time(ms) => ms.to_string(),
        };
        let mut reader = driver.reader(deadline_ns)?;
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

    fn prepare_work<'a>(&self, key: &'a str, group: &'a str) -> Option<Vec<&'a [u8]>> {
        Some(vec![b"XGROUP", b"CREATE", key.as_bytes(), group.as_bytes(), b"0", b"MKSTREAM"])
    }

    fn worker(&self, parts: WorkerParts) -> Option<Box<dyn Worker>> {
        let WorkerParts { connection, clock, key, dead, consumer, pause, .. } = parts;
        Some(Box::new(StreamWorker::new(connection, clock, key, dead, consumer, pause)))
    }

    fn dead_letters(&self, reader: &mut AuditReader, key: &str, sink: Sink<'_>) -> Result<(), DriverError> {
        reader.stream(key, "-", sink)
    }
}
