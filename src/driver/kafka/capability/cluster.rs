//! Kafka seen from outside: what its nodes tell of leaders and copies, asked of each over a socket
//! of its own, past the clients' fault proxy.
//!
//! librdkafka is not asked: it would go the clients' way, and the controller that brokers name in
//! their metadata is whichever of them is alive. Nodes may disagree, one that was away the most:
//! the latest epoch names a leader, and a copy counts when all who answer count it.

use crate::driver::capability::ClusterView;
use crate::driver::kafka::clients::{cannot, refused};
use crate::driver::{DriverError, Target};
use crate::wire::kafka::answers::{METADATA, QUORUM, View, accepted, quorum, unreadable};
use crate::wire::kafka::frame::{Fields, name};
use crate::wire::kafka::link::Link;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{DescribeQuorumRequest, MetadataRequest};
use std::time::Duration;

const QUORUM_TOPIC: &str = "__cluster_metadata";
/// How long a node may take to be connected to, and then for each whole answer.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct KafkaCluster {
    pub target: Target,
    pub partitions: u16,
}

impl KafkaCluster {
    /// What each node that answers tells of the topic; at least one does.
    fn views(&self) -> Result<Vec<View>, DriverError> {
        let topic = MetadataRequestTopic::default().with_name(Some(name(&self.target.name)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false);
        let answer = |link: &mut Link| {
            let answer = link.ask(METADATA, &request)?;
            View::of(Fields(&answer), self.partitions.into())
        };
        self.each(answer, "asking for metadata")
    }

    /// The answers of all nodes, without those that failed; an error when all did.
    fn each<T>(
        &self,
        ask: impl Fn(&mut Link) -> Result<T, String>,
        action: &str,
    ) -> Result<Vec<T>, DriverError> {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        let Target { addresses, routes, access, .. } = &self.target;
        for node in addresses.iter().map(|address| routes.direct(address)) {
            match Link::open(&node, access, PATIENCE).and_then(|mut link| ask(&mut link)) {
                Ok(answer) => found.push(answer),
                Err(cause) => failed.push(format!("{node}: {cause}")),
            }
        }
        if found.is_empty() { Err(refused(action, failed.join("; "))) } else { Ok(found) }
    }
}

impl ClusterView for KafkaCluster {
    fn leader(&mut self, partition: u16) -> Result<String, DriverError> {
        let views = self.views()?;
        let latest =
            views.iter().max_by_key(|view| view.partition(partition).map(|found| found.epoch));
        let leader = latest.and_then(|view| view.address(view.partition(partition)?.leader));
        leader.ok_or_else(|| refused("find the leader", format!("partition {partition} has none")))
    }

    fn controller(&mut self) -> Result<String, DriverError> {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default()
            .with_topic_name(name(QUORUM_TOPIC))
            .with_partitions(vec![partition]);
        let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
        let ask = |link: &mut Link| {
            let answer = link.ask(QUORUM, &request)?;
            let (error, leader, epoch) = quorum(Fields(&answer)).map_err(unreadable)?;
            accepted(error).map(|()| (epoch, leader))
        };
        let leaders = self.each(ask, "asking for the controller")?;
        let leader = leaders.into_iter().max_by_key(|(epoch, _)| *epoch).map(|(_, leader)| leader);
        let address = leader
            .and_then(|leader| self.views().ok()?.iter().find_map(|view| view.address(leader)));
        address.ok_or_else(|| {
            refused(
                "find the controller",
                "there is none now, or it is no broker that clients reach",
            )
        })
    }

    fn redundancy(&mut self) -> Result<(u32, u32), DriverError> {
        let counts = self.views()?.iter().map(View::copies).collect::<Vec<_>>();
        // The least copies and the most wanted: a node that is behind must not tell of what was.
        let in_sync = counts.iter().map(|(in_sync, _)| *in_sync).min().unwrap_or(0);
        Ok((in_sync, counts.iter().map(|(_, wanted)| *wanted).max().unwrap_or(0)))
    }

    fn reshard(&mut self, _: u16) -> Result<String, DriverError> {
        Err(cannot("move a slot", "its partitions have none"))
    }

    fn set(&mut self, _: &str, _: &str) -> Result<String, DriverError> {
        Err(cannot(
            "change a limit of its memory",
            "what it keeps is on its disk; its heap is set when it starts",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::clock::Clock;
    use crate::driver::Routes;

    #[test]
    fn nobody_there_is_an_error_that_names_them() {
        let (routes, access) = (Routes::default(), Access::default());
        let addresses = vec!["127.0.0.1:1".into()];
        let target = Target { addresses, routes, access, name: "t".into(), clock: Clock::start() };
        let mut cluster = KafkaCluster { target, partitions: 1 };
        assert!(cluster.leader(0).unwrap_err().to_string().contains("127.0.0.1:1"));
        assert!(cluster.redundancy().is_err() && cluster.controller().is_err());
    }
}
