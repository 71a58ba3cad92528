//! Moves one slot of a Redis Cluster from its shard to the next, with whatever lies in it, as an
//! operator's tool does: one is told that it gets the slot, the other that it gives it, keys are
//! moved, and all primaries are told.
//!
//! Until then who has the slot answers for keys that it still has, and with ASK for others; from
//! then on with MOVED. What fails half-way is taken back as far as it can be: whichever keys have
//! moved stay where they are.

use crate::driver::DriverError;
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::primary::Primary;
use crate::driver::redis::slots::{NodeTold, SlotMap};
use redis::{Value, cmd};
use std::time::{Duration, Instant};

/// How long one step may take; moving a key takes as long as its data does.
const STEP: Duration = Duration::from_secs(60);
/// Keys that are asked for at once.
const PAGE: usize = 100;
/// How long it may take until all primaries tell the same.
const TOLD: Duration = Duration::from_secs(10);

/// A primary that takes part.
struct Party {
    connection: Connection,
    told: NodeTold,
}

impl Party {
    fn at(asked: &Primary, told: &NodeTold) -> Result<Self, DriverError> {
        let endpoint = asked.itself(&told.address)?;
        let mut connection = Connection::open(&endpoint)?;
        connection.limit = STEP;
        Ok(Self { connection, told: told.clone() })
    }

    fn set_slot(&mut self, slot: u16, words: &[&str]) -> Result<(), DriverError> {
        let slot = slot.to_string();
        let command = [&["CLUSTER", "SETSLOT", slot.as_str()][..], words].concat();
        self.connection.text(&command).map(drop)
    }
}

/// What was moved, in words, once every primary says so.
pub fn to_the_next(asked: &Primary, slot: u16) -> Result<String, DriverError> {
    let refuse = |cause: String| asked.endpoint.refused(format!("moving slot {slot}"), cause);
    let map = asked.slot_map()?;
    let primaries = map.primaries();
    let from = map.primary_of(slot).ok_or_else(|| refuse("nobody serves it".into()))?;
    let at = primaries.iter().position(|primary| *primary == from).unwrap_or(0);
    let to = primaries[(at + 1) % primaries.len()];
    if to == from {
        return Err(refuse("there is one shard only".into()));
    }
    let (mut source, mut target) = (Party::at(asked, from)?, Party::at(asked, to)?);
    let moved = hand_over(&mut source, &mut target, slot);
    if moved.is_err() {
        // Whoever does not know of it has nothing to forget.
        let _ = source.set_slot(slot, &["STABLE"]);
        let _ = target.set_slot(slot, &["STABLE"]);
    }
    let keys = moved?;
    for told in primaries.iter().filter(|primary| **primary != from && **primary != to) {
        Party::at(asked, told)?.set_slot(slot, &["NODE", &to.id])?;
    }
    let deadline = Instant::now() + TOLD;
    for told in &primaries {
        let mut party = Party::at(asked, told)?;
        let knows = |map: SlotMap| map.primary_of(slot).is_some_and(|owner| owner.id == to.id);
        while !knows(SlotMap::told_by(&mut party.connection)?) {
            if Instant::now() > deadline {
                return Err(refuse(format!("{} does not know of it", told.address)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(format!("slot {slot} with {keys} keys moved from {} to {}", from.address, to.address))
}

/// How many keys were moved.
fn hand_over(source: &mut Party, target: &mut Party, slot: u16) -> Result<usize, DriverError> {
    target.set_slot(slot, &["IMPORTING", &source.told.id])?;
    source.set_slot(slot, &["MIGRATING", &target.told.id])?;
    let address = target.told.address.clone();
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut moved = 0;
    loop {
        let question = cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(PAGE).take();
        let keys: Vec<String> = source.connection.query("CLUSTER GETKEYSINSLOT", &question)?;
        if keys.is_empty() {
            break;
        }
        for key in &keys {
            let mut migrate = cmd("MIGRATE");
            migrate.arg(host).arg(port).arg(key).arg(0).arg(STEP.as_millis() as u64);
            source.connection.query::<Value>("MIGRATE", &migrate)?;
        }
        moved += keys.len();
    }
    // The new owner first: what the old one sends on is then taken.
    let id = target.told.id.clone();
    target.set_slot(slot, &["NODE", &id])?;
    source.set_slot(slot, &["NODE", &id])?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Routes;
    use crate::driver::redis::endpoint::Endpoint;
    use crate::driver::redis::load::resilient::testing::{Act, Asked, Scripted, reply};
    use crate::model::System;
    use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, OnceLock};

    /// Two nodes that tell of each other, the first of which has all slots and one key.
    fn two() -> (Scripted, Scripted) {
        let ports: Arc<[OnceLock<u16>; 2]> = Arc::default();
        let (owner, keys) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicUsize::new(1)));
        let node = || {
            let (ports, owner, keys) = (Arc::clone(&ports), Arc::clone(&owner), Arc::clone(&keys));
            Scripted::start(move |asked: &Asked| {
                let text = asked.text();
                let port = |index: usize| ports[index].get().copied().unwrap_or(0);
                let range = |first: u16, last: u16, index: usize| {
                    let (port, id) = (port(index), ["aa", "bb"][index]);
                    format!(
                        "*3\r\n:{first}\r\n:{last}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n\
                         $2\r\n{id}\r\n"
                    )
                };
                match text.as_str() {
                    "CLUSTER INFO" => reply("$16\r\ncluster_state:ok\r\n"),
                    "CLUSTER SLOTS" => {
                        let seventh = usize::from(owner.load(Relaxed));
                        let all = [range(0, 6, 0), range(7, 7, seventh), range(8, 16_383, 1)];
                        Act::Reply(format!("*3\r\n{}", all.concat()).into_bytes())
                    }
                    "CLUSTER GETKEYSINSLOT 7 100" => match keys.swap(0, Relaxed) {
                        0 => reply("*0\r\n"),
                        _ => reply("*1\r\n$1\r\nk\r\n"),
                    },
                    "CLUSTER SETSLOT 7 NODE bb" => {
                        owner.store(1, Relaxed);
                        reply("+OK\r\n")
                    }
                    _ => reply("+OK\r\n"),
                }
            })
        };
        let (first, second) = (node(), node());
        for (server, port) in [&first, &second].into_iter().zip(ports.iter()) {
            let told = server.address.rsplit_once(':').unwrap().1.parse().unwrap();
            port.set(told).unwrap();
        }
        (first, second)
    }

    #[test]
    fn a_slot_moves_with_its_keys_and_all_are_told_in_their_order() {
        let (first, second) = two();
        let endpoint = Endpoint::parse(System::RedisLists, &first.address).unwrap();
        let asked = Primary::new(endpoint, Routes::default()).unwrap();
        let asked = asked.in_cluster(std::slice::from_ref(&first.address)).unwrap();
        let words = to_the_next(&asked, 7).unwrap();
        assert!(words.starts_with("slot 7 with 1 keys moved from 127.0.0.1:"), "{words}");
        let deeds = |server: &Scripted| -> Vec<String> {
            let log = server.log().into_iter().map(|(_, text)| text);
            log.filter(|text| text.contains("SETSLOT") || text.contains("MIGRATE")).collect()
        };
        assert_eq!(deeds(&second), ["CLUSTER SETSLOT 7 IMPORTING aa", "CLUSTER SETSLOT 7 NODE bb"]);
        let at_the_first = deeds(&first);
        assert_eq!(at_the_first[0], "CLUSTER SETSLOT 7 MIGRATING bb");
        assert!(at_the_first[1].starts_with("MIGRATE 127.0.0.1 "), "{at_the_first:?}");
        assert!(at_the_first[1].ends_with(" k 0 60000"), "{at_the_first:?}");
        assert_eq!(at_the_first[2], "CLUSTER SETSLOT 7 NODE bb");
    }
}
