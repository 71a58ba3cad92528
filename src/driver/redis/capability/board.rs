//! The board of a run's shards: a stream, which everybody reads from its beginning.

use crate::driver::DriverError;
use crate::driver::capability::Board;
use crate::driver::redis::driver::RedisDriver;
use crate::driver::redis::load::connection::Connection;
use redis::{Value, cmd};
use std::time::Duration;

/// Lines that one read brings at most.
const BATCH: u64 = 1000;
/// More than the largest run says before it begins, so that the last to come hears all of it.
const KEPT: u64 = 100_000;

pub struct RedisBoard {
    connection: Connection,
    name: String,
    key: String,
    /// The id of the last line that was read.
    last: String,
}

impl RedisBoard {
    pub fn open(driver: &RedisDriver, name: &str) -> Result<Self, DriverError> {
        let key = format!("{}-{name}", driver.target.name);
        // On a Cluster it has a slot of its own.
        let connection = Connection::open(&driver.primary.of(&key).find()?)?;
        Ok(Self { connection, name: driver.target.name.clone(), key, last: "0".into() })
    }
}

impl Board for RedisBoard {
    fn post(&mut self, line: &str) -> Result<(), DriverError> {
        let mut command = cmd("XADD");
        command.arg(&self.key).arg("MAXLEN").arg("~").arg(KEPT).arg("*").arg("line").arg(line);
        self.connection.query::<Value>("XADD", &command).map(drop)
    }

    fn read(&mut self, limit: Duration) -> Result<Vec<String>, DriverError> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(BATCH);
        if !limit.is_zero() {
            // 0 is for ever.
            command.arg("BLOCK").arg((limit.as_millis() as u64).max(1));
        }
        command.arg("STREAMS").arg(&self.key).arg(&self.last);
        let answer = self.connection.query::<Value>("XREAD", &command)?;
        let entries = entries(answer);
        if let Some((id, _)) = entries.last() {
            self.last.clone_from(id);
        }
        Ok(entries.into_iter().map(|(_, line)| line).collect())
    }

    fn remove(mut self: Box<Self>) -> Result<(), DriverError> {
        let keys = [self.key.clone()];
        let name = std::mem::take(&mut self.name);
        self.connection.delete(&name, &keys)
    }
}

/// Id and line of each entry: `[[key, [[id, ["line", line]], …]]]`, or nothing.
fn entries(answer: Value) -> Vec<(String, String)> {
    let list = |value: Value| if let Value::Array(items) = value { items } else { Vec::new() };
    let text = |value: Value| match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    };
    let streams = list(answer).into_iter().filter_map(|stream| list(stream).into_iter().nth(1));
    let entry = |entry: Value| {
        let mut parts = list(entry).into_iter();
        let (id, fields) = (text(parts.next()?)?, parts.next()?);
        Some((id, text(list(fields).into_iter().nth(1)?)?))
    };
    streams.flat_map(list).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_stream_are_read_and_what_is_none_is_passed_over() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = |id: &str, line: &str| {
            Value::Array(vec![text(id), Value::Array(vec![text("line"), text(line)])])
        };
        let stream = vec![text("key"), Value::Array(vec![entry("1-0", "a"), entry("1-1", "b")])];
        let found = entries(Value::Array(vec![Value::Array(stream)]));
        let pair = |id: &str, line: &str| (id.to_owned(), line.to_owned());
        assert_eq!(found, [pair("1-0", "a"), pair("1-1", "b")]);
        assert!(entries(Value::Nil).is_empty());
        assert!(entries(Value::Array(vec![Value::Array(vec![text("key")])])).is_empty());
    }
}
