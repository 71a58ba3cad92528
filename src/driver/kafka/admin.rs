//! Topics and settings of the broker: made, read back, deleted. Touches only what carries the
//! cell's own name.

use super::clients::{Clients, refused, timed_out};
use super::load::client_log::KafkaContext;
use super::settings::{ClientSettings, secret};
use super::wish::wished;
use crate::access::Access;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::model::System;
use crate::scenario::{Cell, Load, Topic};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigEntry, ConfigSource, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long the brokers may take to make a topic and elect its leaders.
const MAKE: Duration = Duration::from_secs(30);
/// As many as the cluster makes where nobody says how many.
pub const DEFAULT_COPIES: i16 = -1;
/// How long one answer to a deletion or a question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How much longer for each partition: a broker makes and deletes the files of a few hundred a
/// second.
const EACH_PARTITION: Duration = Duration::from_millis(20);

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

pub const KAFKA: &str = "Apache Kafka";
/// Who else speaks Kafka's protocol, by what the names of their clusters begin with.
const OTHERS: &[(&str, &str)] = &[("redpanda.", "Redpanda")];

/// Deletes what these runs left behind; returns the topics.
pub fn sweep(
    addresses: &[String],
    access: &Access,
    runs: &BTreeSet<String>,
) -> Result<Vec<String>, DriverError> {
    // Of a cell only how it connects counts here.
    let cell = Cell::plain(System::Msk, Load::closed(1));
    let clients = Clients::new(ClientSettings::new(&cell, addresses, access)?, Clock::start());
    let topics = runs.iter().map(|run| Admin::connect(&clients, run, 1)?.sweep());
    Ok(topics.collect::<Result<Vec<_>, _>>()?.concat())
}

pub struct Admin {
    /// What every topic and group begins with that may be deleted.
    name: String,
    client: AdminClient<KafkaContext>,
    /// Where answers are waited for; each is bounded by the time-out of its request.
    runtime: Runtime,
    clients: Clients,
    /// What one answer may take longer, since it is about so many partitions.
    longer: Duration,
}

impl Admin {
    /// `name` is that of the cell or its run: what does not begin with it is never deleted. What it
    /// is asked about has so many partitions.
    pub fn connect(clients: &Clients, name: &str, partitions: u16) -> Result<Self, DriverError> {
        let failed = "make an admin client";
        let client = clients.settings.admin().create_with_context(clients.context());
        let client: AdminClient<KafkaContext> = client.map_err(|error| refused(failed, error))?;
        clients.admit(client.inner())?;
        let runtime =
            Builder::new_current_thread().build().map_err(|error| refused(failed, error))?;
        let longer = EACH_PARTITION * u32::from(partitions);
        Ok(Self { name: name.to_owned(), client, runtime, clients: clients.clone(), longer })
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
        use RDKafkaErrorCode::{InvalidReplicationFactor, PolicyViolation, TopicAlreadyExists};
        let Clients { settings, log, .. } = &self.clients;
        let mut copies = i16::try_from(topic.replicas).unwrap_or(i16::MAX);
        let mut made = self.ask_for(name, topic, copies)?;
        // Where a cluster demands more than the one copy that nobody asked for: its default.
        if matches!(made, Err(InvalidReplicationFactor | PolicyViolation)) && copies == 1 {
            copies = DEFAULT_COPIES;
            made = self.ask_for(name, topic, copies)?;
        }
        match made {
            Ok(()) => Ok(()),
            Err(TopicAlreadyExists) if may_exist => Ok(()),
            Err(code) => {
                let why = match wished(settings, name, topic, copies) {
                    Some(Err(refusal)) => refusal.told(topic),
                    _ => log.explain(code),
                };
                Err(refused("make a topic", format!("{name}: {why}")))
            }
        }
    }

    /// How long the brokers may take to make a topic.
    fn limit(&self) -> Duration {
        MAKE + self.longer
    }

    /// The brokers must agree.
    fn await_leaders(&self, name: &str, topic: &Topic) -> Result<(), DriverError> {
        let Clients { settings, log, clock, .. } = &self.clients;
        let limit = self.limit();
        let deadline_ns = clock.now_ns() + limit.as_nanos() as u64;
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
                        limit,
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Whether the cluster made it.
    fn ask_for(
        &self,
        name: &str,
        topic: &Topic,
        copies: i16,
    ) -> Result<Result<(), RDKafkaErrorCode>, DriverError> {
        let mut new =
            NewTopic::new(name, topic.partitions.into(), TopicReplication::Fixed(copies.into()));
        for (key, value) in &topic.config {
            new = new.set(key, value);
        }
        let made = self.runtime.block_on(self.client.create_topics([&new], &options(self.limit())));
        let results = made.map_err(|error| self.clients.lost(error))?;
        let refused = results.into_iter().find_map(Result::err);
        Ok(refused.map_or(Ok(()), |(_, code)| Err(code)))
    }

    /// What the cluster is, as far as its name tells.
    pub fn product(&self) -> &'static str {
        let name = self.client.inner().fetch_cluster_id(ANSWER).unwrap_or_default();
        let known = OTHERS.iter().find(|(prefix, _)| name.starts_with(prefix));
        known.map_or(KAFKA, |(_, product)| *product)
    }

    /// Deletes topics; one that is not there is no error.
    pub fn delete_topics(&self, names: &[&str]) -> Result<(), DriverError> {
        self.delete_within(names, ANSWER + self.longer)
    }

    fn delete_within(&self, names: &[&str], limit: Duration) -> Result<(), DriverError> {
        self.only_ours(names)?;
        let deleted = self.runtime.block_on(self.client.delete_topics(names, &options(limit)));
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

    /// Deletes every topic and group that is ours; returns the topics.
    pub fn sweep(&self) -> Result<Vec<String>, DriverError> {
        let client = self.client.inner();
        let all = client.fetch_metadata(None, ANSWER).map_err(|error| self.clients.lost(error))?;
        let ours = all.topics().iter().filter(|topic| self.is_ours(topic.name()));
        let ours: Vec<(&str, usize)> =
            ours.map(|topic| (topic.name(), topic.partitions().len())).collect();
        let topics: Vec<&str> = ours.iter().map(|(name, _)| *name).collect();
        match client.fetch_group_list(None, ANSWER) {
            Ok(all) => {
                let groups = all.groups().iter().map(|group| group.name());
                let groups: Vec<&str> = groups.filter(|name| self.is_ours(name)).collect();
                if !groups.is_empty() {
                    self.delete_groups(&groups);
                }
            }
            Err(error) => self.clients.log.add(&format!("groups not listed: {error}")),
        }
        if !topics.is_empty() {
            let partitions: usize = ours.iter().map(|(_, partitions)| partitions).sum();
            let longer = EACH_PARTITION * u32::try_from(partitions).unwrap_or(u32::MAX);
            self.delete_within(&topics, ANSWER + longer)?;
        }
        Ok(topics.into_iter().map(str::to_owned).collect())
    }

    fn is_ours(&self, name: &str) -> bool {
        name.strip_prefix(DEAD).unwrap_or(name).starts_with(&self.name)
    }

    fn options(&self) -> AdminOptions {
        options(ANSWER + self.longer)
    }

    fn only_ours(&self, names: &[&str]) -> Result<(), DriverError> {
        match names.iter().find(|name| !self.is_ours(name)) {
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
        match self.runtime.block_on(self.client.delete_groups(names, &self.options())) {
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
            .block_on(self.client.describe_configs(&asked, &self.options()))
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

fn options(limit: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit))
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
    use super::super::tests::cell;
    use super::*;

    #[test]
    fn what_belongs_to_others_is_not_deleted() {
        let settings =
            ClientSettings::new(&cell(), &["127.0.0.1:1".into()], &Default::default()).unwrap();
        let clients = Clients::new(settings, Clock::start());
        let admin = Admin::connect(&clients, "bb-abc-kafka", 1).unwrap();
        for foreign in ["orders", "bb-abd-kafka", "", "bb-abc"] {
            let error =
                admin.delete_topics(&["bb-abc-kafka-probe", foreign]).unwrap_err().to_string();
            assert!(error.contains("does not belong to this run"), "{error}");
        }
        assert!(admin.is_ours("bb-abc-kafka-s0") && admin.is_ours("dlq.bb-abc-kafka-s0"));
        admin.delete_groups(&["orders-group"]);
        assert!(clients.log.explain("").contains("does not belong to this run"));
        assert!(clients.clock.now_ns() < 4_000_000_000, "nobody was asked");
    }
}
