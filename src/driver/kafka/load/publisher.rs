//! Kafka's producer side: hands messages to librdkafka and takes its delivery reports,
//! on one thread.
//!
//! The pacing thread serves the reports itself: librdkafka rings a [`Waker`](super::ffi::Waker)
//! when the first report of a batch is there, which ends a sleep in [`Publisher::wait`] and
//! otherwise costs one flag. A second thread for polling would take a core from the broker and pass
//! every report through one more queue. `acked` is read when the library yields a batch of reports,
//! once per batch: all of it was acknowledged by one response.
//!
//! Nothing is retried here; librdkafka retries as its settings say, which
//! [`effective`](crate::driver::kafka::settings::ClientSettings::effective) shows: under
//! `load.deadline` until `message.timeout.ms`, and then it tells once a second how often it has.

use super::ffi::{ProducerHandle, Report};
use crate::driver::kafka::clients::{Clients, refused};
use crate::driver::kafka::settings::read;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a new producer may take to learn who leads the topic's partitions.
const CONNECT: Duration = Duration::from_secs(30);
/// A recovery probe looks this often whether anybody listens;
/// the load's clients wait longer each time.
const KNOCK_MS: &str = "100";

pub struct KafkaPublisher {
    /// One per connection: each is a client of its own, with its own sockets. What it last
    /// statistics of itself, as JSON, is read when somebody asks, not on the pacing thread.
    handles: Vec<(ProducerHandle, String)>,
    /// Messages that ended inside `submit`, to be reported by the next `wait`.
    ended: Vec<Completion>,
    failures: BTreeMap<String, u64>,
    /// Errors of the clients as a whole: connections lost, brokers that refuse.
    troubles: BTreeMap<String, u64>,
    idempotent: bool,
    clients: Clients,
}

impl KafkaPublisher {
    pub fn connect(clients: &Clients, topic: &str, connections: u16) -> Result<Self, DriverError> {
        Self::connect_within(CONNECT, clients, &clients.settings.producer, topic, connections)
    }

    /// One connection that is there within `limit`, or not at all.
    pub fn probe_publisher(
        limit: Duration,
        clients: &Clients,
        topic: &str,
    ) -> Result<Self, DriverError> {
        let mut config = clients.settings.producer.clone();
        config.set("reconnect.backoff.ms", KNOCK_MS).set("reconnect.backoff.max.ms", KNOCK_MS);
        Self::connect_within(limit, clients, &config, topic, 1)
    }

    fn connect_within(
        limit: Duration,
        clients: &Clients,
        config: &ClientConfig,
        topic: &str,
        connections: u16,
    ) -> Result<Self, DriverError> {
        let handle = |_| Ok((clients.producer(config, topic, limit)?, String::new()));
        Ok(Self {
            handles: (0..connections.max(1)).map(handle).collect::<Result<_, DriverError>>()?,
            ended: Vec::new(),
            failures: BTreeMap::new(),
            troubles: BTreeMap::new(),
            idempotent: read(&clients.settings.producer, "enable.idempotence") == "true",
            clients: clients.clone(),
        })
    }

    /// Takes every report that is there.
    fn collect(&mut self, completions: &mut Vec<Completion>) {
        let Self { handles, ended, failures, troubles, idempotent, clients } = self;
        completions.append(ended);
        for (handle, statistics) in handles.iter_mut().filter(|(handle, _)| handle.waker().heard())
        {
            handle.drain(clients.clock, |report| match report {
                Report::Delivery { slot, at_ns, error } => {
                    let outcome = error.map_or(Outcome::Acked, |(code, perhaps_stored)| {
                        count(failures, code);
                        outcome(code, perhaps_stored, *idempotent)
                    });
                    completions.push(Completion { slot, outcome, at_ns });
                }
                Report::Statistics(text) => {
                    let text = text.to_string_lossy();
                    clients.publishing.tell(&text);
                    statistics.clear();
                    statistics.push_str(&text);
                }
                Report::Notice(line) => clients.log.add(&line.to_string_lossy()),
                Report::Trouble(code, line) => {
                    count(troubles, code);
                    clients.log.add(&line.to_string_lossy());
                }
            });
        }
    }
}

impl Publisher for KafkaPublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let (handle, _) = &self.handles[usize::from(message.connection)];
        match handle.send(message.partition, message.payload, message.slot) {
            Ok(()) => Ok(Submitted::Taken),
            Err(RDKafkaErrorCode::QueueFull) => Ok(Submitted::Full),
            // A broker that has just come back may not know its topics yet.
            Err(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition)
                if self.clients.settings.patient =>
            {
                Ok(Submitted::Full)
            }
            // A whole topic or client that is gone is the end of this one; a single message that is
            // refused is an outcome.
            Err(
                code @ (RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::Fatal),
            ) => Err(refused("publish", self.clients.log.explain(code))),
            Err(code) => {
                count(&mut self.failures, code);
                let at_ns = self.clients.clock.now_ns();
                self.ended.push(Completion { slot: message.slot, outcome: Outcome::Failed, at_ns });
                Ok(Submitted::Taken)
            }
        }
    }

    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        let before = completions.len();
        self.collect(completions);
        while completions.len() == before {
            let left = self.clients.clock.until(until_ns);
            if left.is_zero() {
                break;
            }
            // Cheap after the first time; a ring between `collect` and `park` makes `park` return
            // at once.
            self.handles.iter().for_each(|(handle, _)| handle.waker().listen());
            self.collect(completions);
            if completions.len() == before {
                std::thread::park_timeout(left);
                self.collect(completions);
            }
        }
        Ok(())
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.clone()
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        let mut retries = self.troubles.clone();
        self.handles.iter().for_each(|(_, statistics)| add_retries(statistics, &mut retries));
        retries
    }
}

/// Adds up what one client statistics last of its brokers and partitions. Only these numbers are
/// read: that another one cannot be, as happens with those of a broker that was away, must not hide
/// them. Counters of a broker that left the cluster and came back begin anew, so these are at least
/// so many.
fn add_retries(statistics: &str, retries: &mut BTreeMap<String, u64>) {
    if statistics.is_empty() {
        return;
    }
    let mut add = |what: &str, count: u64| {
        if count > 0 {
            *retries.entry(what.to_owned()).or_default() += count;
        }
    };
    let Ok(statistics) = serde_json::from_str::<Value>(statistics) else {
        add("statistics of the client that could not be read", 1);
        return;
    };
    let number = |of: &Value, field: &str| of[field].as_u64().unwrap_or(0);
    for broker in members(&statistics["brokers"]) {
        add("requests sent again", number(broker, "txretries"));
        add("requests without an answer in time", number(broker, "req_timeouts"));
    }
    // A batch that is refused goes back to its partition's queue,
    // which no counter of requests shows.
    for partition in members(&statistics["topics"]).flat_map(|topic| members(&topic["partitions"]))
    {
        add(
            "messages sent again",
            number(partition, "txmsgs").saturating_sub(number(partition, "msgs")),
        );
    }
}

fn members(object: &Value) -> impl Iterator<Item = &Value> {
    object.as_object().into_iter().flat_map(|members| members.values())
}

fn count(failures: &mut BTreeMap<String, u64>, code: RDKafkaErrorCode) {
    *failures.entry(format!("{code:?}")).or_default() += 1;
}

/// A message has failed where the library knows of every attempt that it is not stored. Everything
/// else may have been stored before the reply was lost.
///
/// An idempotent producer takes an attempt in doubt for "not stored" and counts on the broker to
/// know the second one for a duplicate; if it ends before that, only a refusal for the message's
/// own sake is certain.
fn outcome(code: RDKafkaErrorCode, perhaps_stored: bool, idempotent: bool) -> Outcome {
    // `Unknown` is the broker's word for not knowing itself; the library reads it as a refusal.
    let refused = !perhaps_stored && code != RDKafkaErrorCode::Unknown;
    if refused && (!idempotent || is_definite(code)) {
        Outcome::Failed
    } else {
        Outcome::Indeterminate
    }
}

/// Whether a message is refused for what it is.
fn is_definite(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::InvalidRequiredAcks
            | Code::UnsupportedCompressionType
            | Code::UnsupportedForMessageFormat
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::PolicyViolation
            | Code::UnknownTopic
            | Code::UnknownPartition
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    #[test]
    fn what_the_brokers_cost_in_retries_is_added_up() {
        let mut retries = BTreeMap::new();
        for statistics in [
            r#"{"brokers": {"a": {"txretries": 2, "odd": -1e99}, "b": {"txretries": 3}}}"#,
            r#"{"brokers": {"a": {"req_timeouts": 4, "txretries": 0}}}"#,
            concat!(
                r#"{"topics": {"t": {"partitions": "#,
                r#"{"0": {"msgs": 5, "txmsgs": 7}, "1": {"msgs": 5, "txmsgs": 4}}}}}"#
            ),
            "",
            "{",
        ] {
            add_retries(statistics, &mut retries);
        }
        let expected = [
            ("requests sent again", 5),
            ("requests without an answer in time", 4),
            ("messages sent again", 2),
            ("statistics of the client that could not be read", 1),
        ];
        assert_eq!(retries, expected.map(|(what, count)| (what.to_owned(), count)).into());
    }

    #[test]
    fn a_failure_is_what_is_certainly_not_stored() {
        for (code, perhaps_stored, idempotent, expected) in [
            (Code::MessageSizeTooLarge, false, false, Outcome::Failed),
            (Code::MessageSizeTooLarge, false, true, Outcome::Failed),
            // Never sent, or refused each time.
            (Code::MessageTimedOut, false, false, Outcome::Failed),
            (Code::NotEnoughReplicas, false, false, Outcome::Failed),
            // In doubt once, and the library does not tell.
            (Code::MessageTimedOut, false, true, Outcome::Indeterminate),
            (Code::MessageTimedOut, true, false, Outcome::Indeterminate),
            (Code::NotEnoughReplicasAfterAppend, true, false, Outcome::Indeterminate),
            (Code::BrokerTransportFailure, true, false, Outcome::Indeterminate),
            (Code::Unknown, false, false, Outcome::Indeterminate),
            (Code::PurgeInflight, true, false, Outcome::Indeterminate),
        ] {
            assert_eq!(
                outcome(code, perhaps_stored, idempotent),
                expected,
                "{code:?} {perhaps_stored} {idempotent}"
            );
        }
    }
}
