//! Deletes what runs that were killed left behind at a service: every key that is called after one
//! of them, from every primary of the Cluster.

use super::endpoint::Endpoint;
use super::load::connection::Connection;
use super::primary::Primary;
use crate::access::Access;
use crate::driver::{DriverError, Routes};
use crate::model::System;
use redis::cmd;
use std::collections::BTreeSet;

/// How many keys a server looks through for one answer.
const PAGE: u32 = 1000;

/// Returns the keys.
pub fn sweep(
    addresses: &[String],
    access: &Access,
    runs: &BTreeSet<String>,
) -> Result<Vec<String>, DriverError> {
    let Some(first) = addresses.first() else { return Ok(Vec::new()) };
    // Whichever of its systems it was: it only names them.
    let first = Endpoint::parse(System::MemorydbStreams, first)?.through(access);
    let cluster = Primary::new(first, Routes::default())?.in_cluster(addresses)?;
    let mut deleted = Vec::new();
    for primary in cluster.spread()?.0 {
        let mut control = Connection::open(&primary)?;
        for run in runs {
            deleted.extend(sweep_one(&mut control, run)?);
        }
    }
    Ok(deleted)
}

/// What one server has.
fn sweep_one(control: &mut Connection, run: &str) -> Result<Vec<String>, DriverError> {
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let question = cmd("SCAN")
            .arg(&cursor)
            .arg("MATCH")
            .arg(format!("{run}*"))
            .arg("COUNT")
            .arg(PAGE)
            .take();
        let (next, keys): (String, Vec<String>) = control.query("looking for keys", &question)?;
        found.extend(keys);
        cursor = next;
        if cursor == "0" {
            break;
        }
    }
    let found: Vec<String> = found.into_iter().collect();
    // Each in a slot of its own: no command takes two.
    found.chunks(1).try_for_each(|key| control.delete(run, key))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::load::resilient::testing::{Act, Asked, Scripted, reply};
    use super::*;

    fn swept(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> (String, Scripted) {
        let server = Scripted::start(script);
        let endpoint = Endpoint::parse(System::MemorydbLists, &server.address).unwrap();
        let mut control = Connection::open(&endpoint).unwrap();
        let told = match sweep_one(&mut control, "bb-abc123-") {
            Ok(deleted) => deleted.join(" "),
            Err(error) => error.to_string(),
        };
        (told, server)
    }

    #[test]
    fn every_page_is_looked_through_and_each_key_deleted_once() {
        let (told, server) = swept(|asked| match asked.text().as_str() {
            "SCAN 0 MATCH bb-abc123-* COUNT 1000" => {
                reply("*2\r\n$2\r\n17\r\n*1\r\n$11\r\nbb-abc123-b\r\n")
            }
            "SCAN 17 MATCH bb-abc123-* COUNT 1000" => {
                let keys = "$11\r\nbb-abc123-a\r\n$11\r\nbb-abc123-b\r\n";
                reply(&format!("*2\r\n$1\r\n0\r\n*2\r\n{keys}"))
            }
            _ => reply(":1\r\n"),
        });
        assert_eq!(told, "bb-abc123-a bb-abc123-b");
        let log = server.log();
        let deleted: Vec<&str> = log[2..].iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(deleted, ["UNLINK bb-abc123-a", "UNLINK bb-abc123-b"]);
    }

    /// A server that answers with what was not asked for.
    #[test]
    fn what_belongs_to_others_is_not_deleted() {
        let (told, server) = swept(|_| reply("*2\r\n$1\r\n0\r\n*1\r\n$6\r\norders\r\n"));
        assert!(told.contains("does not belong to this run"), "{told}");
        assert_eq!(server.log().len(), 1);
    }
}
