//! Kafka seen from outside: what its nodes tell of leaders and copies, asked of each over a socket of its own, past the
//! clients' fault proxy.
//!
//! librdkafka is not asked: it would go the clients' way, and the controller that brokers name in their metadata is
//! whichever of them is alive. Nodes may disagree, one that was away the most: the latest epoch names a leader, and a
//! copy counts when all who answer count it.

use super::link::{Link, METADATA};
use super::refused;
use crate::access::Access;
use crate::driver::cluster::Cluster;
use crate::driver::{DriverError, Paths};
use crate::scenario::System;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{
    ApiKey, BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

const QUORUM: i16 = 0;
const QUORUM_TOPIC: &str = "__cluster_metadata";
/// How long a node may take for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct KafkaCluster {
    /// Where each node listens itself.
    nodes: Vec<String>,
    access: Access,
    topic: String,
    partitions: usize,
}

impl KafkaCluster {
    pub fn new(addresses: &[String], paths: &Paths, topic: &str, partitions: u16) -> Self {
        let nodes = addresses.iter().map(|address| paths.direct(address)).collect();
        Self { nodes, access: paths.access.clone(), topic: topic.to_owned(), partitions: partitions.into() }
    }

    /// What each node that answers tells of the topic; at least one does.
    fn views(&self) -> Result<Vec<View>, DriverError> {
        let topic = MetadataRequestTopic::default().with_name(Some(name(&self.topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let answer = |node: &String| {
            let answer: MetadataResponse = self.link(node)?.ask(ApiKey::Metadata, METADATA, &request)?;
            View::of(answer, self.partitions)
        };
        self.each(answer, "asking for metadata")
    }

    fn link(&self, node: &str) -> Result<Link, String> {
        Link::open(node, &self.access, PATIENCE)
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
        let latest = views.iter().max_by_key(|view| view.partition(stream).map(|found| found.leader_epoch));
        let leader = latest.and_then(|view| view.address(view.partition(stream)?.leader_id));
        leader.ok_or_else(|| refused("find the leader", format!("partition {stream} has none")))
    }

    fn controller(&mut self) -> Result<String, DriverError> {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default().with_topic_name(name(QUORUM_TOPIC)).with_partitions(vec![partition]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let ask = |node: &String| {
            let answer: DescribeQuorumResponse = self.link(node)?.ask(ApiKey::DescribeQuorum, QUORUM, &request)?;
            accepted(answer.error_code)?;
            let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
            let partition = partition.ok_or("an empty answer")?;
            accepted(partition.error_code)?;
            Ok((partition.leader_epoch, partition.leader_id))
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
struct View(MetadataResponse);

impl View {
    fn of(answer: MetadataResponse, partitions: usize) -> Result<Self, String> {
        let topic = answer.topics.first().ok_or("an empty answer")?;
        accepted(topic.error_code)?;
        if topic.partitions.len() != partitions {
            return Err(format!("it knows {} of {partitions} partitions", topic.partitions.len()));
        }
        Ok(Self(answer))
    }

    fn partitions(&self) -> &[MetadataResponsePartition] {
        self.0.topics.first().map_or(&[], |topic| &topic.partitions)
    }

    fn partition(&self, index: u16) -> Option<&MetadataResponsePartition> {
        self.partitions().iter().find(|partition| partition.partition_index == i32::from(index))
    }

    /// Where clients find a broker that is registered and let in.
    fn address(&self, id: BrokerId) -> Option<String> {
        let broker = self.0.brokers.iter().find(|broker| broker.node_id == id)?;
        Some(format!("{}:{}", broker.host.as_str(), broker.port))
    }

    /// Copies in sync on brokers that are there, and copies wanted.
    fn copies(&self) -> (u32, u32) {
        let there = |id: &&BrokerId| self.address(**id).is_some();
        let in_sync = self.partitions().iter().map(|partition| partition.isr_nodes.iter().filter(there).count());
        let wanted = self.partitions().iter().map(|partition| partition.replica_nodes.len());
        (in_sync.sum::<usize>() as u32, wanted.sum::<usize>() as u32)
    }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn accepted(code: i16) -> Result<(), String> {
    ResponseError::try_from_code(code).map_or(Ok(()), |error| Err(format!("{error:?} ({code})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};

    /// A topic of one partition with these copies in sync, of two wanted; brokers 1 and 2 are there.
    fn answer(in_sync: &[i32], error: i16) -> MetadataResponse {
        let broker = |id: i32| {
            let host = StrBytes::from_static_str("h");
            MetadataResponseBroker::default().with_node_id(BrokerId(id)).with_host(host).with_port(9000 + id)
        };
        let partition = MetadataResponsePartition::default()
            .with_leader_id(BrokerId(2))
            .with_replica_nodes(vec![BrokerId(2), BrokerId(3)])
            .with_isr_nodes(in_sync.iter().copied().map(BrokerId).collect());
        let topic = MetadataResponseTopic::default().with_error_code(error).with_partitions(vec![partition]);
        MetadataResponse::default().with_brokers(vec![broker(1), broker(2)]).with_topics(vec![topic])
    }

    #[test]
    fn a_copy_on_a_broker_that_is_gone_is_none() {
        let view = View::of(answer(&[2, 3], 0), 1).unwrap();
        assert_eq!(view.copies(), (1, 2));
        assert_eq!(view.address(view.partition(0).unwrap().leader_id).as_deref(), Some("h:9002"));
        assert!(view.partition(1).is_none());
    }

    #[test]
    fn a_topic_that_is_not_known_whole_has_no_redundancy() {
        assert!(View::of(answer(&[2], 3), 1).err().unwrap().contains("UnknownTopicOrPartition"));
        assert!(View::of(answer(&[2], 0), 2).err().unwrap().contains("1 of 2"));
        assert!(View::of(MetadataResponse::default(), 1).is_err());
    }

    #[test]
    fn nobody_there_is_an_error_that_names_them() {
        let mut cluster = KafkaCluster::new(&["127.0.0.1:1".into()], &Paths::default(), "t", 1);
        assert!(cluster.leader(0).unwrap_err().to_string().contains("127.0.0.1:1"));
        assert!(cluster.redundancy().is_err() && cluster.controller().is_err());
    }
}
