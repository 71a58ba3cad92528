//! Whether a broker that we started answers and stands as it should, asked again and again while it
//! starts: by the drivers' own questions, each with a deadline.
//!
//! This proves that the broker serves requests, not that a topic works: the driver's `prepare`
//! proves that.

use crate::access::Access;
use crate::driver::{self, Member};
use crate::model::Software;
use crate::scenario::Shards;
use crate::wire::kafka::link::Link;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Asks one address; an error says what came instead of the answer that is waited for.
pub type Probe = Arc<dyn Fn(SocketAddr) -> Result<(), String> + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(2);

/// PING.
pub fn redis() -> Probe {
    Arc::new(|at| ping(Software::Redis, at).map(drop))
}

/// A primary whose copies (so many) all follow, or a copy that follows.
pub fn redis_linked(copies: usize) -> Probe {
    Arc::new(move |at| driver::redis_linked(&at.to_string(), copies))
}

/// A node that finds its Redis Cluster whole: before, it serves nobody. While one of these is down,
/// for whom it might wait in vain, one that answers at all.
pub fn redis_cluster_node(members: Vec<SocketAddr>) -> Probe {
    Arc::new(move |at| {
        let is_down = |member: &SocketAddr| *member != at && redis()(*member).is_err();
        match driver::redis_cluster_stands(&at.to_string()) {
            Err(_) if members.iter().any(is_down) => redis()(at),
            stands => stands,
        }
    })
}

/// All of these make one Redis Cluster: asked of all, and what is missing of it is done.
pub fn redis_cluster(members: Vec<Member>, shards: Shards) -> Probe {
    Arc::new(move |_| driver::redis_cluster_formed(&members, shards))
}

/// A Sentinel that knows all these nodes, and so many Sentinels, and finds nothing wrong with any.
pub fn sentinel(nodes: Vec<String>, sentinels: usize) -> Probe {
    Arc::new(move |at| driver::sentinel_content(&at.to_string(), &nodes, sentinels))
}

/// It knows all these nodes and no others, by the addresses that clients are to use: each
/// registered and let in.
pub fn kafka_tells(expected: Vec<String>) -> Probe {
    Arc::new(move |at| {
        let told = ping(Software::Kafka, at)?;
        if let Some(other) = told.iter().find(|told| !expected.contains(told)) {
            // Clients would go past the fault proxy, or to a stranger.
            return Err(format!(
                "it sends clients to {other}, which is none of {}",
                expected.join(", ")
            ));
        }
        let (found, wanted) = (told.len(), expected.len());
        if found == wanted { Ok(()) } else { Err(format!("it knows {found} of {wanted} brokers")) }
    })
}

/// It knows itself by that address: it is registered and let in, whoever else is away.
pub fn kafka_tells_itself(itself: String) -> Probe {
    Arc::new(move |at| match ping(Software::Kafka, at)?.contains(&itself) {
        true => Ok(()),
        false => Err(format!("it is not yet let in as {itself}")),
    })
}

/// The addresses that it sends clients to.
fn ping(software: Software, address: SocketAddr) -> Result<Vec<String>, String> {
    driver::ping(software, &address.to_string(), &Access::default())
}

/// What the smallest request takes (ApiVersions, PING): the median of so many, one after the other
/// on one connection.
pub fn round_trip(software: Software, address: &str, times: usize) -> Result<Duration, String> {
    if software == Software::Redis {
        return median(times, driver::redis_pings(address)?);
    }
    let mut link = Link::open(address, &Access::default(), PATIENCE)?;
    median(times, || link.ask((ApiKey::ApiVersions, 0), &ApiVersionsRequest::default()).map(drop))
}

fn median(times: usize, mut ask: impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let mut took = Vec::new();
    for _ in 0..times.max(1) {
        let begun = Instant::now();
        ask()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server that reads something, answers with `reply` and hangs up.
    fn answering(reply: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(reply);
            let _ = stream.read(&mut [0; 256]);
        });
        address
    }

    #[test]
    fn redis_is_told_from_others() {
        assert!(redis()(answering(b"+PONG\r\n")).is_ok());
        assert!(redis()(answering(b"-LOADING Redis is loading\r\n")).is_err());
        assert!(redis()(answering(b"HTTP/1.1 400 Bad Request\r\n")).is_err());
    }

    #[test]
    fn a_node_of_a_cluster_waits_for_the_others_unless_one_is_down() {
        let gone = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        // It answers once, and no question about its cluster.
        let alone = || answering(b"-ERR This instance has cluster support disabled\r\n");
        let node = alone();
        let waits = redis_cluster_node(vec![node, answering(b"+PONG\r\n")])(node).unwrap_err();
        assert!(waits.contains("no node of a Redis Cluster"), "{waits}");
        let node = alone();
        let refused = redis_cluster_node(vec![node, gone])(node).unwrap_err();
        assert!(!refused.contains("Redis Cluster"), "it was asked whether it lives: {refused}");
    }

    #[test]
    fn kafka_is_told_from_others() {
        let probe = kafka_tells_itself("a:1".into());
        assert!(probe(answering(b"HTTP/1.1 400 Bad Request\r\n")).is_err());
        assert!(probe(answering(b"")).is_err());
    }

    #[test]
    fn the_nodes_that_kafka_names_are_those_that_clients_are_to_use() {
        // Not throttled; two brokers, the second in a rack; no name of the cluster; controller 1;
        // no topic.
        const TWO: &[u8] =
            b"\0\0\0\x31\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x01\0\x01a\0\0\x10\0\xff\xff\
            \0\0\0\x02\0\x01b\0\0\x10\x01\0\x01r\xff\xff\0\0\0\x01\0\0\0\0";
        let tells =
            |names: &[&str]| kafka_tells(names.iter().map(|name| (*name).to_owned()).collect());
        assert!(TWO.len() == 4 + TWO[3] as usize, "{}", TWO.len());
        tells(&["b:4097", "a:4096"])(answering(TWO)).unwrap();
        let few = tells(&["a:4096", "b:4097", "c:1"])(answering(TWO)).unwrap_err();
        assert!(few.contains("2 of 3"), "{few}");
        let past = tells(&["a:4096", "b:1"])(answering(TWO)).unwrap_err();
        assert!(past.contains("sends clients to b:4097"), "{past}");
        kafka_tells_itself("b:4097".into())(answering(TWO)).unwrap();
        assert!(kafka_tells_itself("c:1".into())(answering(TWO)).is_err());
    }

    #[test]
    fn a_round_trip_is_timed_and_a_broker_that_is_gone_is_told() {
        let address = answering(b"+PONG\r\n").to_string();
        assert!(round_trip(Software::Redis, &address, 1).unwrap() > Duration::ZERO);
        assert!(round_trip(Software::Redis, &answering(b"+P").to_string(), 1).is_err());
        assert!(round_trip(Software::Kafka, &answering(b"").to_string(), 1).is_err());
    }
}
