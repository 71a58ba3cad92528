//! Redis Cluster's slots: which one a key has, by arithmetic that is the same for every client, and
//! which server takes its writes, by the word of the nodes.
//!
//! The keys of a load are chosen so that its streams lie on all shards in turn: stream i on shard
//! i mod shards of a cluster that is split evenly. (The `redis` crate has the arithmetic too, and
//! does not tell its result.)

use super::endpoint::Endpoint;
use super::load::connection::Connection;
use crate::driver::DriverError;
#[cfg(any(test, fuzzing))]
use redis::FromRedisValue;
use redis::{Value, cmd};
use std::time::Duration;

pub const SLOTS: u16 = 16_384;
/// How long a node may take for each step of its answer; there are others.
const NODE: Duration = Duration::from_millis(300);

/// CRC16 (XMODEM) of the key, or of the part of it in braces.
pub fn slot(key: &str) -> u16 {
    crc16(tag(key).as_bytes()) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

fn tag(key: &str) -> &str {
    let inner = key.split_once('{').and_then(|(_, rest)| Some(rest.split_once('}')?.0));
    inner.filter(|inner| !inner.is_empty()).unwrap_or(key)
}

/// The first and the last slot of a shard, counted from 0, where all are split evenly.
pub fn range(shard: u16, shards: u16) -> (u16, u16) {
    let shards = u32::from(shards.max(1));
    let begins = |shard: u32| (shard * u32::from(SLOTS) / shards) as u16;
    (begins(u32::from(shard)), begins(u32::from(shard) + 1).saturating_sub(1))
}

/// Names of the streams of a cell: numbered, and on a cluster with a tag in braces that puts each
/// where it belongs, with whatever else is named after it.
pub fn keys(name: &str, streams: u16, shards: Option<u16>) -> Vec<String> {
    let key = |index: u16| match shards {
        None => format!("{name}-{index}"),
        Some(shards) => {
            let (first, last) = range(index % shards.max(1), shards);
            let tried = (0u32..).map(|number| format!("{name}-{{{index}.{number}}}"));
            let mut here = tried.filter(|key| (first..=last).contains(&slot(key)));
            here.next().unwrap_or_default()
        }
    };
    (0..streams).map(key).collect()
}

/// A node as the cluster tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTold {
    pub address: String,
    pub id: String,
}

/// Slots that one shard serves, and its nodes, the primary first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    pub first: u16,
    pub last: u16,
    pub nodes: Vec<NodeTold>,
}

/// Who serves which slots, by the word of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotMap(Vec<SlotRange>);

impl SlotMap {
    /// As a node tells it, unless it says that its cluster is down: then it may be one that was
    /// cut off, and others know better.
    pub fn ask(node: &Endpoint) -> Result<Self, DriverError> {
        let mut connection = Connection::open_within(node, NODE)?;
        let refuse = |cause: &str| node.refused("asking for the slots", cause);
        let info = match connection.text(&["CLUSTER", "INFO"]) {
            Err(DriverError::Refused { cause, .. }) if cause.contains("support disabled") => {
                return Err(refuse("it is no node of a Redis Cluster: remove `shards`"));
            }
            told => told?,
        };
        if !info.lines().any(|line| line.trim() == "cluster_state:ok") {
            return Err(refuse("the node's cluster is down (`CLUSTER INFO` says how far)"));
        }
        Self::told_by(&mut connection)
    }

    pub fn told_by(connection: &mut Connection) -> Result<Self, DriverError> {
        let address = connection.endpoint.address();
        let host = address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
        let told: Vec<Vec<Value>> =
            connection.query("CLUSTER SLOTS", cmd("CLUSTER").arg("SLOTS"))?;
        Ok(Self::read(&told, &host))
    }

    /// From `[[first, last, [host, port, id, …]…]…]`. A node that does not know its own address
    /// leaves it out: then it is the one that was asked, at `asked`. What cannot be read is left
    /// out, and so serves nothing.
    fn read(told: &[Vec<Value>], asked: &str) -> Self {
        let range = |told: &Vec<Value>| {
            let [Value::Int(first), Value::Int(last), nodes @ ..] = &told[..] else { return None };
            let nodes: Vec<NodeTold> = nodes.iter().filter_map(|told| node(told, asked)).collect();
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            (!nodes.is_empty()).then_some(SlotRange { first, last, nodes })
        };
        let mut ranges: Vec<SlotRange> = told.iter().filter_map(range).collect();
        ranges.sort_by_key(|range| range.first);
        Self(ranges)
    }

    /// The shard that serves a slot: its nodes, the primary first.
    pub fn nodes_of(&self, slot: u16) -> Option<&[NodeTold]> {
        let range = self.0.iter().find(|range| (range.first..=range.last).contains(&slot))?;
        Some(&range.nodes)
    }

    /// All of them, those twice that serve several ranges.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeTold> {
        self.0.iter().flat_map(|range| &range.nodes)
    }

    pub fn primary_of(&self, slot: u16) -> Option<&NodeTold> {
        self.nodes_of(slot)?.first()
    }

    /// How many slots somebody serves.
    pub fn served(&self) -> u16 {
        let count = |range: &SlotRange| (range.last.min(SLOTS - 1) + 1).saturating_sub(range.first);
        self.0.iter().map(count).fold(0, u16::saturating_add)
    }

    /// The primaries, by their lowest slots.
    pub fn primaries(&self) -> Vec<&NodeTold> {
        let mut primaries: Vec<&NodeTold> = Vec::new();
        for primary in self.0.iter().filter_map(|range| range.nodes.first()) {
            if !primaries.contains(&primary) {
                primaries.push(primary);
            }
        }
        primaries
    }
}

fn node(told: &Value, asked: &str) -> Option<NodeTold> {
    let Value::Array(parts) = told else { return None };
    let [host, Value::Int(port), Value::BulkString(id), ..] = &parts[..] else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() => String::from_utf8_lossy(host).into_owned(),
        Value::BulkString(_) | Value::Nil => asked.to_owned(),
        _ => return None,
    };
    // Told of a node whose address nobody knows.
    if host == "?" {
        return None;
    }
    let bare = host.contains(':') && !host.starts_with('[');
    let host = if bare { format!("[{host}]") } else { host };
    let id = String::from_utf8_lossy(id).into_owned();
    Some(NodeTold { address: format!("{host}:{port}"), id })
}

/// Where an ASK sends a command: `ASK 3999 127.0.0.1:6381`; nothing where it leaves out the host.
pub fn asked_at(error: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(error).ok()?;
    let mut words = text.split(' ');
    let address = words.next().filter(|first| *first == "ASK").and_then(|_| words.nth(1))?;
    (!address.starts_with(':')).then(|| address.to_owned())
}

/// The same words for every redirection of a kind, wherever in an error it stands.
pub fn redirection(words: &str) -> Option<&'static str> {
    [("MOVED ", "redirected (MOVED)"), ("ASK ", "redirected (ASK)")]
        .into_iter()
        .find(|(kind, _)| words.starts_with(kind) || words.contains(&format!("found {kind}")))
        .map(|(_, name)| name)
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(reply: &[u8]) {
    let value = redis::parse_redis_value(reply).ok();
    let told = value.and_then(|value| Vec::<Vec<Value>>::from_redis_value(value).ok());
    let map = SlotMap::read(&told.unwrap_or_default(), "host");
    let told = map.nodes().count();
    assert!(map.primaries().len() <= told, "nobody is made up");
    assert!(map.nodes_of(SLOTS - 1).is_none_or(|nodes| !nodes.is_empty()));
    assert!(map.served() == 0 || told > 0);
    let text = String::from_utf8_lossy(reply);
    assert!(slot(&text) < SLOTS);
    let _ = (asked_at(reply), redirection(&text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::redis::load::resilient::testing::{Act, Asked, Scripted, reply};
    use crate::model::System;
    use crate::result::words::REDIRECTED;
    use std::collections::BTreeSet;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot("123456789"), 0x31C3);
        // From redis.io's specification of the cluster and from `CLUSTER KEYSLOT`.
        assert_eq!(slot("somekey"), 11_058);
        assert_eq!(slot("foo{hash_tag}"), 2515);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(tag("foo{}{bar}"), "foo{}{bar}", "an empty tag is none");
        assert_eq!(tag("foo{{bar}}zap"), "{bar");
        assert_eq!(tag("foo{bar}{zap}"), "bar");
        assert_eq!(tag("foo{bar"), "foo{bar");
    }

    #[test]
    fn an_even_split_leaves_no_slot_out() {
        for shards in 1..=6 {
            let ranges: Vec<(u16, u16)> = (0..shards).map(|shard| range(shard, shards)).collect();
            assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, SLOTS - 1));
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{ranges:?}");
        }
    }

    #[test]
    fn streams_lie_on_all_shards_in_turn_and_what_is_named_after_one_beside_it() {
        let keys_of = |shards| keys("bb-x", 12, Some(shards));
        for shards in 1..=6 {
            for (index, key) in (0..).zip(keys_of(shards)) {
                let (first, last) = range(index % shards, shards);
                assert!(key.starts_with("bb-x-") && (first..=last).contains(&slot(&key)), "{key}");
                assert_eq!(slot(&format!("{key}-processing-0-1")), slot(&key));
            }
        }
        let slots: BTreeSet<u16> = keys_of(3).iter().map(|key| slot(key)).collect();
        assert_eq!(slots.len(), 12, "each has a slot of its own");
        assert_eq!(keys_of(3), keys_of(3), "the same for ever");
        assert_eq!(keys("bb-x", 2, None), ["bb-x-0", "bb-x-1"]);
    }

    fn endpoint(address: &str) -> Endpoint {
        Endpoint::parse(System::RedisLists, address).unwrap()
    }

    const TWO: &str = "*2\r\n\
        *4\r\n:8192\r\n:16383\r\n\
        *3\r\n$9\r\n127.0.0.1\r\n:7002\r\n$1\r\nb\r\n\
        *4\r\n$9\r\n127.0.0.1\r\n:7004\r\n$1\r\nd\r\n*0\r\n\
        *3\r\n:0\r\n:8191\r\n*3\r\n$0\r\n\r\n:7001\r\n$1\r\na\r\n";

    fn telling(state: &'static str) -> Scripted {
        Scripted::start(move |asked: &Asked| match asked.text().as_str() {
            "CLUSTER INFO" => Act::Reply(format!("${}\r\n{state}\r\n", state.len()).into_bytes()),
            "CLUSTER SLOTS" => reply(TWO),
            _ => reply("-ERR what\r\n"),
        })
    }

    #[test]
    fn a_node_tells_who_serves_a_slot_unless_its_cluster_is_down() {
        let server = telling("cluster_state:ok\r\ncluster_slots_ok:16384");
        let map = SlotMap::ask(&endpoint(&server.address)).unwrap();
        let primary = |slot| map.primary_of(slot).map(|node| node.address.as_str());
        assert_eq!(primary(0), Some("127.0.0.1:7001"), "it does not know its own host");
        assert_eq!(primary(16_383), Some("127.0.0.1:7002"));
        assert_eq!(map.nodes_of(8192).unwrap()[1].address, "127.0.0.1:7004");
        let ids: Vec<&str> = map.primaries().iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(map.nodes().count(), 3);
        assert_eq!((map.served(), SlotMap::default().served()), (SLOTS, 0));
        assert_eq!(SlotMap::default().primary_of(0), None);
        let down = telling("cluster_state:fail");
        let refused = SlotMap::ask(&endpoint(&down.address)).unwrap_err().to_string();
        assert!(refused.contains("cluster is down"), "{refused}");
        let alone = Scripted::start(|_: &Asked| {
            reply("-ERR This instance has cluster support disabled\r\n")
        });
        let refused = SlotMap::ask(&endpoint(&alone.address)).unwrap_err().to_string();
        assert!(refused.contains("remove `shards`"), "{refused}");
    }

    #[test]
    fn redirections_are_told_apart() {
        assert_eq!(asked_at(b"ASK 3999 127.0.0.1:6381").as_deref(), Some("127.0.0.1:6381"));
        for none in [&b"ASK 3999 :6381"[..], b"ASK", b"MOVED 3999 127.0.0.1:6381", b"\xff"] {
            assert_eq!(asked_at(none), None);
        }
        assert_eq!(redirection("MOVED 1 a:1"), Some("redirected (MOVED)"));
        assert_eq!(redirection("expected streams, found ASK 1 a:1"), Some("redirected (ASK)"));
        assert_eq!(redirection("TRYAGAIN later"), None);
        for words in ["MOVED 1 a:1", "ASK 1 a:1"].map(redirection) {
            assert!(words.is_some_and(|words| words.starts_with(REDIRECTED)), "it is counted so");
        }
    }
}
