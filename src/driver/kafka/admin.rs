//! Topics and settings of the broker: made, read back, deleted. Touches only what carries the
//! cell's own name.

use super::clients::{Clients, refused, timed_out};
use super::load::client_log::KafkaContext;
use super::settings::secret;
use crate::driver::DriverError;
use crate::scenario::Topic;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigEntry, ConfigSource, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long the brokers may take to make a topic and elect its leaders.
const MAKE: Duration = Duration::from_secs(30);
/// How long one answer to a deletion or a question may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Settings of brokers and topics that decide speed or survival: reported even at their defaults.
const DECISIVE: &[&str] = &[
    "auto.create.topics.enable",
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "cleanup.policy",
    "compression.type",
    "controller.quorum.election.timeout.ms",
    "controller.quorum.fetch.timeout.ms",
    "default.replication.factor",
    "flush.messages",
    "flush.ms",
    "group.initial.rebalance.delay.ms",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.retention.ms",
    "log.segment.bytes",
    "max.message.bytes",
    "message.max.bytes",
    "min.insync.replicas",
    "num.io.threads",
    "num.network.threads",
    "num.replica.fetchers",
    "replica.lag.time.max.ms",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "socket.request.max.bytes",
    "unclean.leader.election.enable",
];

/// Where a broker lies, not how it works: kept out of results, which are made to be shown.
const PLACES: &[&str] = &[
    "listeners",
    "controller.quorum",
    "controller.listener",
    "log.dir",
    "node.id",
    "broker.id",
    "host",
];

/// What the name of a topic begins with that a broker may write dead letters to.
pub const DEAD: &str = "dlq.";

/// What the settings of a topic call its copies here: Kafka tells them with the partitions.
pub const REPLICAS: &str = "replicas";

pub type Entries = BTreeMap<String, String>;

pub struct Admin {
    /// What every topic and group begins with that may be deleted.
    name: String,
    client: AdminClient<KafkaContext>,
    /// Where answers are waited for; each is bounded by the time-out of its request.
    runtime: Runtime,
    clients: Clients,
}

impl Admin {
    /// `name` is that of the cell: what does not begin with it is never deleted.
    pub fn connect(clients: &Clients, name: &str) -> Result<Self, DriverError> {
        let failed = "make an admin client";
        let client = clients.settings.admin().create_with_context(clients.context());
        let client = client.map_err(|error| refused(failed, error))?;
        let runtime =
            Builder::new_current_thread().build().map_err(|error| refused(failed, error))?;
        Ok(Self { name: name.to_owned(), client, runtime, clients: clients.clone() })
    }

    /// Makes `name` and returns when every partition has a leader and all its copies.
    pub fn make_topic(&self, name: &str, topic: &Topic) -> Result<(), DriverError> {
        self.create(name, topic, false)?;
        self.await_leaders(name, topic)
    }

    /// The same of a topic that another process may have made.
    pub fn make_topic_once(&self, name: &str, topic: &Topic) -> Result<(), DriverError> {
        self.create(name, topic, true)?;
        self.await_leaders(name, topic)
    }

    fn create(&self, name: &str, topic: &Topic, may_exist: bool) -> Result<(), DriverError> {
        let log = &self.clients.log;
        let mut new = NewTopic::new(
            name,
            topic.partitions.into(),
            TopicReplication::Fixed(topic.replicas.into()),
        );
        for (key, value) in &topic.config {
            new = new.set(key, value);
        }
        let options = AdminOptions::new().request_timeout(Some(MAKE)).operation_timeout(Some(MAKE));
        let made = self.runtime.block_on(self.client.create_topics([&new], &options));
        let results = made.map_err(|error| self.clients.lost(error))?;
        let there =
            |code: RDKafkaErrorCode| may_exist && code == RDKafkaErrorCode::TopicAlreadyExists;
        match results.into_iter().filter_map(Result::err).find(|(_, code)| !there(*code)) {
            Some((topic, code)) => {
                Err(refused("make a topic", log.explain(format!("{topic}: {code}"))))
            }
            None => Ok(()),
        }
    }

    /// The brokers must agree.
    fn await_leaders(&self, name: &str, topic: &Topic) -> Result<(), DriverError> {
        let Clients { settings, log, clock, .. } = &self.clients;
        let deadline_ns = clock.now_ns() + MAKE.as_nanos() as u64;
        let copies = usize::from(topic.replicas);
        loop {
            let ready = match self.client.inner().fetch_metadata(Some(name), ANSWER) {
                Err(error) => Err(error.to_string()),
                Ok(metadata) => {
                    // Where brokers send clients may change after the first look.
                    for broker in metadata.brokers() {
                        let address = format!("{}:{}", broker.host(), broker.port());
                        let permitted = settings.access.permit(&address);
                        permitted
                            .map_err(|why| refused(format!("being sent to {address}"), why))?;
                    }
                    let partitions =
                        metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
                    let led = partitions
                        .iter()
                        .filter(|p| p.leader() >= 0 && p.isr().len() >= copies)
                        .count();
                    if partitions.len() == usize::from(topic.partitions) && led == partitions.len()
                    {
                        Ok(())
                    } else {
                        Err(format!(
                            "{led} of {} partitions have a leader and all copies",
                            topic.partitions
                        ))
                    }
                }
            };
            match ready {
                Ok(()) => return Ok(()),
                Err(why) if clock.now_ns() > deadline_ns => {
                    return Err(timed_out(
                        &log.explain(format!("making topic {name}: {why}")),
                        MAKE,
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Deletes topics; one that is not there is no error.
    pub fn delete_topics(&self, names: &[&str]) -> Result<(), DriverError> {
        self.only_ours(names)?;
        let deleted = self.runtime.block_on(self.client.delete_topics(names, &options()));
        let results = deleted.map_err(|error| self.clients.lost(error))?;
        let missing = |code| {
            matches!(
                code,
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic
            )
        };
        match results.into_iter().filter_map(Result::err).find(|(_, code)| !missing(*code)) {
            Some((topic, code)) => Err(refused("delete a topic", format!("{topic}: {code}"))),
            None => Ok(()),
        }
    }

    fn only_ours(&self, names: &[&str]) -> Result<(), DriverError> {
        let ours = |name: &str| name.strip_prefix(DEAD).unwrap_or(name).starts_with(&self.name);
        match names.iter().find(|name| !ours(name)) {
            Some(foreign) => {
                Err(refused(format!("delete {foreign}"), "it does not belong to this run"))
            }
            None => Ok(()),
        }
    }

    /// Deletes groups as far as they can be: one whose member died without leaving stays until its
    /// session ends.
    pub fn delete_groups(&self, names: &[&str]) {
        let log = &self.clients.log;
        if let Err(foreign) = self.only_ours(names) {
            return log.add(&foreign.to_string());
        }
        match self.runtime.block_on(self.client.delete_groups(names, &options())) {
            Ok(results) => {
                for (group, code) in results.into_iter().filter_map(Result::err) {
                    log.add(&format!("group {group} not deleted: {code}"));
                }
            }
            Err(error) => log.add(&format!("groups not deleted: {error}")),
        }
    }

    /// Settings of the first broker and of `topic`, read back: what differs from the defaults, and
    /// what decides. The least copies of any partition count as the topic's.
    pub fn describe(&self, topic: &str) -> Result<(Entries, Entries), DriverError> {
        let fail = |error| self.clients.lost(error);
        let metadata = self.client.inner().fetch_metadata(Some(topic), ANSWER).map_err(fail)?;
        let mut asked = vec![ResourceSpecifier::Topic(topic)];
        asked.extend(
            metadata.brokers().first().map(|broker| ResourceSpecifier::Broker(broker.id())),
        );
        let answers = self
            .runtime
            .block_on(self.client.describe_configs(&asked, &options()))
            .map_err(fail)?;
        let mut answers = answers.into_iter();
        // Refused to a client that may not read settings: then there is nothing to report.
        let mut next =
            || answers.next().and_then(Result::ok).map_or_else(Entries::new, |r| worth(&r.entries));
        let (mut of_topic, mut of_broker) = (next(), next());
        let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
        let copies = partitions.iter().map(|partition| partition.replicas().len()).min();
        of_topic.extend(copies.map(|copies| (REPLICAS.to_owned(), copies.to_string())));
        of_broker.insert("brokers".into(), metadata.brokers().len().to_string());
        Ok((of_broker, of_topic))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

fn worth(entries: &[ConfigEntry]) -> Entries {
    entries
        .iter()
        .filter(|entry| !entry.is_sensitive && !secret(&entry.name))
        .filter(|entry| !PLACES.iter().any(|place| entry.name.contains(place)))
        .filter(|entry| {
            DECISIVE.contains(&entry.name.as_str())
                || !matches!(entry.source, ConfigSource::Default)
        })
        .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::settings::ClientSettings;
    use super::super::tests::cell;
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_belongs_to_others_is_not_deleted() {
        let settings =
            ClientSettings::new(&cell(), &["127.0.0.1:1".into()], &Default::default()).unwrap();
        let clients = Clients::new(settings, Clock::start());
        let admin = Admin::connect(&clients, "bb-abc-kafka").unwrap();
        for foreign in ["orders", "bb-abd-kafka", "", "bb-abc"] {
            let error =
                admin.delete_topics(&["bb-abc-kafka-probe", foreign]).unwrap_err().to_string();
            assert!(error.contains("does not belong to this run"), "{error}");
        }
        admin.delete_groups(&["orders-group"]);
        assert!(clients.log.explain("").contains("does not belong to this run"));
        assert!(clients.clock.now_ns() < 4_000_000_000, "nobody was asked");
    }
}
