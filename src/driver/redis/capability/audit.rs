//! Reads back what Redis still holds, page by page, without taking it away.
//!
//! Pages are bounded in elements and in bytes, so that neither side has to hold
//! a whole stream in a buffer.

use crate::driver::DriverError;
use crate::driver::redis::load::connection::{Connection, LARGEST_INPUT};
use crate::driver::redis::load::resilient::patiently;
use crate::driver::redis::primary::Primary;
use crate::units::Bytes;
use redis::{Cmd, FromRedisValue, Value, cmd};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most elements of a page, and about most bytes.
const PAGE: u64 = 1000;
const PAGE_BYTES: u64 = 16 << 20;

/// How long one page may take before it is asked for again, where that is done.
const STEP: Duration = Duration::from_secs(10);

/// An entry of a stream: its id, its fields and their values;
/// none of these where it was trimmed away.
type StreamEntry = (String, Option<Vec<Vec<u8>>>);

pub struct AuditReader {
    connection: Connection,
    /// Who is read; of a Redis Cluster, whoever has the key.
    primary: Primary,
    /// Whether to connect anew after a lost connection.
    patient: bool,
    deadline: Instant,
    page: u64,
}

impl AuditReader {
    /// Reads whoever is the primary for as long as is left; where it is patient, page by page anew
    /// over as many connections as it takes.
    pub fn connect(
        primary: &Primary,
        patient: bool,
        left: Duration,
        message: Bytes,
    ) -> Result<Self, DriverError> {
        let (deadline, page) =
            (Instant::now() + left, (PAGE_BYTES / message.0.max(1)).clamp(1, PAGE));
        let connection = if patient {
            patiently(left, || primary.connect())?
        } else {
            Connection::open(&primary.find()?)?
        };
        Ok(Self { connection, primary: primary.clone(), patient, deadline, page })
    }

    /// On a Redis Cluster keys lie on servers of their own.
    fn turn_to(&mut self, key: &str) -> Result<(), DriverError> {
        if !self.primary.is_of_cluster() {
            return Ok(());
        }
        self.primary = self.primary.of(key);
        let primary = &self.primary;
        self.connection = match self.patient {
            true => patiently(self.left(), || primary.connect())?,
            false => Connection::open(&primary.find()?)?,
        };
        Ok(())
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The reply to one command, which may be as large as a batch of the load.
    fn ask<T: FromRedisValue>(&mut self, command: &Cmd, action: &str) -> Result<T, DriverError> {
        loop {
            self.connection.collect(command);
            if !self.patient {
                return self.connection.answer(LARGEST_INPUT, self.deadline, action);
            }
            let until = self.deadline.min(Instant::now() + STEP);
            match self.connection.answer(LARGEST_INPUT, until, action) {
                Err(error) if passing(&error) && Instant::now() < self.deadline => {
                    let primary = &self.primary;
                    self.connection = patiently(self.left(), || primary.connect())?;
                }
                ended => return ended,
            }
        }
    }

    /// From the entry `first` (`-`: the oldest) to the last.
    pub fn stream(
        &mut self,
        key: &str,
        first: &str,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        self.turn_to(key)?;
        let mut from = first.to_owned();
        loop {
            let command =
                cmd("XRANGE").arg(key).arg(&from).arg("+").arg("COUNT").arg(self.page).take();
            let entries: Vec<StreamEntry> = self.ask(&command, "XRANGE")?;
            for (_, fields) in &entries {
                // Our messages have one field; dead letters say more behind it.
                fields.iter().filter_map(|fields| fields.get(1)).for_each(|payload| sink(payload));
            }
            match entries.last() {
                Some((id, _)) => from = format!("({id}"),
                None => return Ok(()),
            }
        }
    }

    /// Whether entries are gone that were added to the stream, which keeps about `most`. A server
    /// that does not tell how many were added may have trimmed once it holds so many.
    pub fn trimmed(&mut self, key: &str, most: u64) -> Result<bool, DriverError> {
        self.turn_to(key)?;
        let command = cmd("XINFO").arg("STREAM").arg(key).take();
        let info: HashMap<String, Value> = match self.ask(&command, "XINFO STREAM") {
            // Nothing was ever published here.
            Err(DriverError::Refused { cause, .. }) if cause.contains("no such key") => {
                return Ok(false);
            }
            info => info?,
        };
        match (info.get("length"), info.get("entries-added")) {
            (Some(Value::Int(length)), Some(Value::Int(added))) => Ok(added > length),
            (Some(Value::Int(length)), _) => Ok(*length as u64 >= most),
            _ => Err(self.connection.endpoint.refused("XINFO STREAM", "it does not tell `length`")),
        }
    }

    pub fn list(&mut self, key: &str, sink: &mut dyn FnMut(&[u8])) -> Result<(), DriverError> {
        self.turn_to(key)?;
        for from in (0..).step_by(self.page as usize) {
            let command = cmd("LRANGE").arg(key).arg(from).arg(from + self.page - 1).take();
            let elements: Vec<Vec<u8>> = self.ask(&command, "LRANGE")?;
            elements.iter().for_each(|payload| sink(payload));
            if (elements.len() as u64) < self.page {
                break;
            }
        }
        Ok(())
    }
}

/// Whether the same question may be answered by the next connection.
fn passing(error: &DriverError) -> bool {
    match error {
        DriverError::Disconnected { .. } | DriverError::TimedOut { .. } => true,
        DriverError::Refused { cause, .. } => {
            let first = cause.split(' ').next().unwrap_or_default();
            matches!(first, "LOADING" | "MASTERDOWN" | "MOVED" | "ASK" | "CLUSTERDOWN" | "TRYAGAIN")
        }
        _ => false,
    }
}
