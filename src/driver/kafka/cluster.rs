//! Kafka seen from outside: what its nodes tell of leaders and copies, asked of each over a socket of its own, past the
//! clients' fault proxy.
//!
//! librdkafka is not asked: it would go the clients' way, and the controller that brokers name in their metadata is
//! whichever of them is alive. Nodes may disagree, one that was away the most: the latest epoch names a leader, and a
//! copy counts when all who answer count it.

use super::fields::{Fields, Walked};
use super::refused;
use crate::driver::cluster::Cluster;
use crate::driver::{DriverError, Paths};
use crate::scenario::System;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, DescribeQuorumRequest, MetadataRequest, RequestHeader, TopicName};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The first version of Metadata that tells a leader's epoch.
const METADATA: i16 = 7;
const QUORUM: i16 = 0;
const QUORUM_TOPIC: &str = "__cluster_metadata";
const CORRELATION: i32 = 1;
/// How long a node may take to be connected to, and then for its whole answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Answers beyond this are none to our questions.
const LONGEST: usize = 16 << 20;

pub struct KafkaCluster {
    /// Where each node listens itself.
    nodes: Vec<String>,
    topic: String,
    partitions: usize,
}

impl KafkaCluster {
    pub fn new(addresses: &[String], paths: &Paths, topic: &str, partitions: u16) -> Self {
        let nodes = addresses.iter().map(|address| paths.direct(address)).collect();
        Self { nodes, topic: topic.to_owned(), partitions: partitions.into() }
    }

    /// What each node that answers tells of the topic; at least one does.
    fn views(&self) -> Result<Vec<View>, DriverError> {
        let topic = MetadataRequestTopic::default().with_name(Some(name(&self.topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let answer = |node: &String| {
            let answer = exchange(node, ApiKey::Metadata, METADATA, &request)?;
            View::of(Fields(&answer), self.partitions)
        };
        self.each(answer, "asking for metadata")
    }

    /// The answers of all nodes, without those that failed; an error when all did.
    fn each<T>(&self, ask: impl Fn(&String) -> Result<T, String>, action: &str) -> Result<Vec<T>, DriverError> {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for node in &self.nodes {
            match ask(node) {
                Ok(answer) => found.push(answer),
                Err(cause) => failed.push(format!("{node}: {cause}")),
            }
        }
        if found.is_empty() { Err(refused(action, failed.join("; "))) } else { Ok(found) }
    }
}

impl Cluster for KafkaCluster {
    fn leader(&mut self, stream: u16) -> Result<String, DriverError> {
        let views = self.views()?;
        let latest = views.iter().max_by_key(|view| view.partition(stream).map(|found| found.epoch));
        let leader = latest.and_then(|view| view.address(view.partition(stream)?.leader));
        leader.ok_or_else(|| refused("find the leader", format!("partition {stream} has none")))
    }

    fn controller(&mut self) -> Result<String, DriverError> {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default().with_topic_name(name(QUORUM_TOPIC)).with_partitions(vec![partition]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let ask = |node: &String| {
            let answer = exchange(node, ApiKey::DescribeQuorum, QUORUM, &request)?;
            let quorum = Quorum::read(Fields(&answer)).map_err(unreadable)?;
            accepted(quorum.error)?;
            Ok((quorum.epoch, quorum.leader))
        };
        let leaders = self.each(ask, "asking for the controller")?;
        let leader = leaders.into_iter().max_by_key(|(epoch, _)| *epoch).map(|(_, leader)| leader);
        let address = leader.and_then(|leader| self.views().ok()?.iter().find_map(|view| view.address(leader)));
        address
            .ok_or_else(|| refused("find the controller", "there is none now, or it is no broker that clients reach"))
    }

    fn redundancy(&mut self) -> Result<(u32, u32), DriverError> {
        let counts = self.views()?.iter().map(View::copies).collect::<Vec<_>>();
        // The least copies and the most wanted: a node that is behind must not tell of what was.
        let in_sync = counts.iter().map(|(in_sync, _)| *in_sync).min().unwrap_or(0);
        Ok((in_sync, counts.iter().map(|(_, wanted)| *wanted).max().unwrap_or(0)))
    }

    fn set(&mut self, _: &str, _: &str) -> Result<String, DriverError> {
        Err(DriverError::Cannot {
            system: System::Kafka,
            action: "change a limit of its memory".into(),
            because: "what it keeps is on its disk; its heap is set when it starts".into(),
        })
    }
}

/// The topic as one node tells it.
struct View {
    /// Every broker that is registered and let in, and where clients find it.
    brokers: Vec<(i32, String)>,
    /// Of the topic; `None` where the answer has no topic.
    error: Option<i16>,
    partitions: Vec<Partition>,
}

struct Partition {
    index: i32,
    leader: i32,
    epoch: i32,
    copies: Vec<i32>,
    in_sync: Vec<i32>,
}

impl View {
    fn of(answer: Fields<'_>, partitions: usize) -> Result<Self, String> {
        let view = Self::read(answer).map_err(unreadable)?;
        accepted(view.error.ok_or("an empty answer")?)?;
        if view.partitions.len() != partitions {
            return Err(format!("it knows {} of {partitions} partitions", view.partitions.len()));
        }
        Ok(view)
    }

    /// The body of a Metadata response, as far as its first topic.
    fn read(mut answer: Fields<'_>) -> Walked<Self> {
        answer.i32()?; // Throttled for.
        let mut view = Self { brokers: Vec::new(), error: None, partitions: Vec::new() };
        for _ in 0..answer.count()? {
            let (id, host, port) = (answer.i32()?, answer.text()?, answer.i32()?);
            answer.text()?; // Its rack.
            view.brokers.push((id, format!("{host}:{port}")));
        }
        answer.text()?; // The cluster's name.
        answer.i32()?; // Whom the clients are to take for the controller.
        if answer.count()? == 0 {
            return Ok(view);
        }
        view.error = Some(answer.i16()?);
        answer.text()?;
        answer.take(1)?; // Whether it is an internal one.
        for _ in 0..answer.count()? {
            answer.i16()?; // Its error: a partition without a leader is told apart by that.
            let (index, leader, epoch) = (answer.i32()?, answer.i32()?, answer.i32()?);
            let (copies, in_sync, _offline) = (answer.numbers()?, answer.numbers()?, answer.numbers()?);
            view.partitions.push(Partition { index, leader, epoch, copies, in_sync });
        }
        Ok(view)
    }

    fn partition(&self, index: u16) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.index == i32::from(index))
    }

    /// Where clients find a broker that is registered and let in.
    fn address(&self, id: i32) -> Option<String> {
        self.brokers.iter().find(|(broker, _)| *broker == id).map(|(_, address)| address.clone())
    }

    /// Copies in sync on brokers that are there, and copies wanted.
    fn copies(&self) -> (u32, u32) {
        let there = |id: &&i32| self.brokers.iter().any(|(broker, _)| broker == *id);
        let in_sync = self.partitions.iter().map(|partition| partition.in_sync.iter().filter(there).count());
        let wanted = self.partitions.iter().map(|partition| partition.copies.len());
        (in_sync.sum::<usize>() as u32, wanted.sum::<usize>() as u32)
    }
}

/// Who leads the controllers, as one node tells it.
struct Quorum {
    error: i16,
    leader: i32,
    epoch: i32,
}

impl Quorum {
    /// The body of a DescribeQuorum response, as far as the leader. Its header ends in tags, of which Kafka has none.
    fn read(mut answer: Fields<'_>) -> Walked<Self> {
        if answer.take(1)? != [0] {
            return Err("tags where there are none");
        }
        let error = answer.i16()?;
        if error != 0 || answer.compact()? == 0 {
            return if error == 0 { Err("an empty answer") } else { Ok(Self { error, leader: -1, epoch: -1 }) };
        }
        let name = answer.compact()?;
        answer.take(name)?;
        if answer.compact()? == 0 {
            return Err("an empty answer");
        }
        answer.i32()?; // The partition.
        Ok(Self { error: answer.i16()?, leader: answer.i32()?, epoch: answer.i32()? })
    }
}

fn unreadable(cause: &str) -> String {
    format!("an unreadable answer: {cause}")
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn accepted(code: i16) -> Result<(), String> {
    ResponseError::try_from_code(code).map_or(Ok(()), |error| Err(format!("{error:?} ({code})")))
}

/// One request and what follows the correlation id in its answer, on a connection of its own.
fn exchange<Q: Encodable + HeaderVersion>(
    address: &str,
    key: ApiKey,
    version: i16,
    request: &Q,
) -> Result<Vec<u8>, String> {
    let words = |error: std::io::Error| error.to_string();
    let frame = frame(key, version, request)?;
    let resolved = address.to_socket_addrs().map_err(words)?.next().ok_or("the host name has no address")?;
    let mut stream = TcpStream::connect_timeout(&resolved, PATIENCE).map_err(words)?;
    stream.set_write_timeout(Some(PATIENCE)).and_then(|()| stream.write_all(&frame)).map_err(words)?;
    let deadline = Instant::now() + PATIENCE;
    let mut length = [0; 4];
    read(&mut stream, &mut length, deadline).map_err(words)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(format!("an answer of {length} B, more than the {LONGEST} B that one can have"));
    }
    let mut answer = vec![0; length];
    read(&mut stream, &mut answer, deadline).map_err(words)?;
    if !answer.starts_with(&CORRELATION.to_be_bytes()) {
        return Err("an answer to another request".into());
    }
    answer.drain(..4);
    Ok(answer)
}

/// All of `into` by the deadline, however few bytes come at a time.
fn read(stream: &mut TcpStream, mut into: &mut [u8], deadline: Instant) -> std::io::Result<()> {
    while !into.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(into) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => into = &mut into[read..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn frame<Q: Encodable + HeaderVersion>(key: ApiKey, version: i16, request: &Q) -> Result<Vec<u8>, String> {
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(CORRELATION)
        .with_client_id(Some(StrBytes::from_static_str("brokerbench-cluster")));
    let mut bytes = vec![0; 4];
    let encoded = header.encode(&mut bytes, Q::header_version(version));
    encoded.and_then(|()| request.encode(&mut bytes, version)).map_err(|error| error.to_string())?;
    let size = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    Ok(bytes)
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    let quorum = Quorum::read(Fields(answer)).is_ok();
    let view = View::read(Fields(answer));
    view.is_ok_and(|view| view.copies().0 > 0 || view.address(1).is_some() || view.error.is_some()) | quorum
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{BrokerId, DescribeQuorumResponse, MetadataResponse};
    use kafka_protocol::protocol::Decodable;

    /// A Metadata response of a topic of one partition with these copies in sync, of two wanted; brokers 1 and 2 are there.
    fn answer(in_sync: &[i32], error: i16) -> Vec<u8> {
        let mut out = vec![0; 4];
        let number = |out: &mut Vec<u8>, number: i32| out.extend(number.to_be_bytes());
        let numbers = |out: &mut Vec<u8>, list: &[i32]| {
            number(out, list.len() as i32);
            list.iter().for_each(|each| number(out, *each));
        };
        number(&mut out, 2);
        for id in [1, 2] {
            number(&mut out, id);
            out.extend(b"\0\x01h");
            number(&mut out, 9000 + id);
            out.extend(if id == 1 { &b"\xff\xff"[..] } else { b"\0\x04rack" });
        }
        out.extend(b"\0\x01c");
        number(&mut out, 1);
        number(&mut out, 1);
        out.extend(error.to_be_bytes());
        out.extend(b"\0\x01t\0");
        number(&mut out, 1);
        out.extend([0, 0]);
        [0, 2, 7].into_iter().for_each(|each| number(&mut out, each)); // Itself, its leader, of which epoch.
        numbers(&mut out, &[2, 3]);
        numbers(&mut out, in_sync);
        numbers(&mut out, &[]);
        out
    }

    #[test]
    fn a_copy_on_a_broker_that_is_gone_is_none() {
        let view = View::of(Fields(&answer(&[2, 3], 0)), 1).unwrap();
        assert_eq!(view.copies(), (1, 2));
        assert_eq!(view.address(view.partition(0).unwrap().leader).as_deref(), Some("h:9002"));
        assert_eq!(view.partition(0).unwrap().epoch, 7);
        assert!(view.partition(1).is_none());
    }

    #[test]
    fn a_topic_that_is_not_known_whole_has_no_redundancy() {
        let refused = |bytes: &[u8], partitions| View::of(Fields(bytes), partitions).err().unwrap();
        assert!(refused(&answer(&[2], 3), 1).contains("UnknownTopicOrPartition"));
        assert!(refused(&answer(&[2], 0), 2).contains("1 of 2"));
        let whole = answer(&[2], 0);
        for cut in 0..whole.len() {
            assert!(refused(&whole[..cut], 1).contains("unreadable"), "{cut}");
        }
    }

    #[test]
    fn a_broker_that_announces_more_than_it_sends_is_refused_and_costs_no_memory() {
        let mut bytes = answer(&[2, 3], 0);
        bytes[4..8].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(View::of(Fields(&bytes), 1).is_err());
    }

    /// The crate's own decoders, which share no code with ours.
    #[test]
    fn answers_are_read_as_the_protocol_writes_them() {
        let bytes = answer(&[2, 3], 0);
        let theirs = MetadataResponse::decode(&mut bytes.as_slice(), METADATA).unwrap();
        let partition = &theirs.topics[0].partitions[0];
        assert_eq!((partition.leader_id, partition.leader_epoch), (BrokerId(2), 7));
        assert_eq!(partition.isr_nodes, [BrokerId(2), BrokerId(3)]);

        // No tags; no error; one topic `t` of one partition: 0, no error, leader 3 of epoch 9, high watermark 1, no voters.
        let quorum = b"\0\0\0\x02\x02t\x02\0\0\0\0\0\0\0\0\0\x03\0\0\0\x09\0\0\0\0\0\0\0\x01\x01\x01\0\0\0";
        let theirs = DescribeQuorumResponse::decode(&mut &quorum[1..], QUORUM).unwrap();
        let ours = Quorum::read(Fields(quorum)).unwrap();
        let partition = &theirs.topics[0].partitions[0];
        assert_eq!((ours.error, ours.leader, ours.epoch), (0, partition.leader_id.0, partition.leader_epoch));
        assert_eq!((ours.leader, ours.epoch), (3, 9));
        assert!((0..20).all(|cut| Quorum::read(Fields(&quorum[..cut])).is_err()));
        assert_eq!(Quorum::read(Fields(b"\0\0\x03")).unwrap().error, 3);
    }

    #[test]
    fn requests_carry_their_length() {
        let bytes = frame(ApiKey::Metadata, METADATA, &MetadataRequest::default()).unwrap();
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        assert_eq!(bytes[4..8], [0, 3, 0, 7]);
    }

    #[test]
    fn a_node_that_answers_byte_by_byte_is_given_up() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let dripping = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // A length of a thousand, and then less than anyone waits for.
            let _ = stream.write_all(&1000u32.to_be_bytes());
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let started = Instant::now();
        assert!(exchange(&address, ApiKey::Metadata, METADATA, &MetadataRequest::default()).is_err());
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        dripping.join().unwrap();
    }

    #[test]
    fn nobody_there_is_an_error_that_names_them() {
        let mut cluster = KafkaCluster::new(&["127.0.0.1:1".into()], &Paths::default(), "t", 1);
        assert!(cluster.leader(0).unwrap_err().to_string().contains("127.0.0.1:1"));
        assert!(cluster.redundancy().is_err() && cluster.controller().is_err());
    }
}
