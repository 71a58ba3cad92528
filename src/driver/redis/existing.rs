//! A stream that is there already and belongs to somebody: looked at, written to or read, and left
//! as it is. Of this run are its groups alone, which are taken away afterwards.

use super::driver::RedisDriver;
use super::load::connection::Connection;
use crate::driver::DriverError;
use redis::Value;
use std::collections::HashMap;

impl RedisDriver {
    /// Refused where there is no such stream.
    pub(super) fn find(&self, control: &mut Connection, stream: &str) -> Result<(), DriverError> {
        let what = match control.text(&["TYPE", stream])?.as_str() {
            "stream" => return Ok(()),
            "none" => "it is not there: make it, or correct `stream`".to_owned(),
            other => format!("it is a {other}: correct `stream`"),
        };
        Err(self.primary.endpoint.refused(use_of(stream), what))
    }

    /// Finds the stream, and its last entry: what this run publishes comes after that.
    pub(super) fn take_up(
        &self,
        control: &mut Connection,
        stream: &str,
    ) -> Result<(), DriverError> {
        self.find(control, stream)?;
        let info: HashMap<String, Value> = control.ask(&["XINFO", "STREAM", stream])?;
        let Some(Value::BulkString(last)) = info.get("last-generated-id") else {
            let what = "XINFO STREAM does not tell its last entry";
            return Err(self.primary.endpoint.refused(use_of(stream), what));
        };
        if self.cell.load.producers > 0 {
            let _ = self.last.set(String::from_utf8_lossy(last).into_owned());
        }
        Ok(())
    }

    /// In a stream that is there already, beside those of others.
    pub(super) fn group(&self, subscription: u16) -> String {
        match self.cell.config.existing() {
            Some(_) => format!("{}-g{subscription}", self.target.name),
            None => format!("g{subscription}"),
        }
    }

    /// After which entry a consumer begins: after all that is there, unless nobody publishes.
    pub(super) fn first(&self) -> &str {
        if self.cell.load.producers == 0 { "0" } else { "$" }
    }

    /// The same where the server has lost its group: nothing of this run is skipped.
    pub(super) fn oldest(&self) -> &str {
        self.last.get().map_or("0", String::as_str)
    }

    /// Takes the groups of this run away.
    pub(super) fn leave(&self, control: &mut Connection, stream: &str) -> Result<(), DriverError> {
        for subscription in 0..self.cell.load.subscriptions {
            control.ask::<Value>(&["XGROUP", "DESTROY", stream, &self.group(subscription)])?;
        }
        Ok(())
    }
}

fn use_of(stream: &str) -> String {
    format!("use the stream `{stream}`")
}
