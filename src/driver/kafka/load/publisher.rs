//! Kafka's producer side: hands messages to librdkafka and takes its delivery reports, on one thread.
//!
//! The pacing thread serves the reports itself: librdkafka rings a [`Waker`](super::ffi::Waker) when the first report
//! of a batch is there, which ends a sleep in [`Publisher::wait`] and otherwise costs one flag. A second thread for
//! polling would take a core from the broker and pass every report through one more queue. `acked` is read when the
//! library yields a batch of reports, once per batch: all of it was acknowledged by one response.
//!
//! Nothing is retried here; librdkafka retries as its settings say, which [`ClientSettings::effective`] shows: under
//! `load.deadline` until `message.timeout.ms`, and then it tells once a second how often it has.

use super::client_log::{ClientLog, Quiet};
use super::ffi::{Kept, ProducerHandle, Report};
use crate::clock::Clock;
use crate::driver::kafka::error::{lost, refused};
use crate::driver::kafka::settings::ClientSettings;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a new producer may take to learn who leads the topic's partitions.
const CONNECT: Duration = Duration::from_secs(30);
/// A recovery probe looks this often whether anybody listens; the load's clients wait longer each time.
const KNOCK_MS: &str = "100";

pub struct KafkaPublisher {
    /// One per connection: each is a client of its own, with its own sockets.
    handles: Vec<ProducerHandle<Quiet>>,
    /// Messages that ended inside `submit`, to be reported by the next `wait`.
    ended: Vec<Completion>,
    failures: BTreeMap<String, u64>,
    /// What each client last told of itself, as JSON: read when somebody asks, not on the pacing thread.
    told: Vec<String>,
    /// Errors of the clients as a whole: connections lost, brokers that refuse.
    troubles: BTreeMap<String, u64>,
    /// Whether a topic that is not there for a moment is waited for.
    patient: bool,
    idempotent: bool,
    log: ClientLog,
    clock: Clock,
}

impl KafkaPublisher {
    pub fn connect(
        settings: &ClientSettings,
        topic: &str,
        connections: u16,
        log: &ClientLog,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        Self::connect_within(CONNECT, settings, &settings.producer(), topic, connections, log, clock)
    }

    /// One connection that is there within `limit`, or not at all.
    pub fn probe_publisher(
        limit: Duration,
        settings: &ClientSettings,
        topic: &str,
        log: &ClientLog,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        let mut config = settings.producer();
        config.set("reconnect.backoff.ms", KNOCK_MS).set("reconnect.backoff.max.ms", KNOCK_MS);
        Self::connect_within(limit, settings, &config, topic, 1, log, clock)
    }

    fn connect_within(
        limit: Duration,
        settings: &ClientSettings,
        config: &ClientConfig,
        topic: &str,
        connections: u16,
        log: &ClientLog,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        let handles: Vec<_> = (0..connections.max(1))
            .map(|_| {
                let producer: BaseProducer<Quiet> = config
                    .create_with_context(Quiet(log.clone()))
                    .map_err(|error| refused("make a producer", error))?;
                let handle = ProducerHandle::new(producer, topic).ok_or_else(|| refused("open the topic", topic))?;
                // Brings the partitions' leaders into the topic's handle, so that the first message does not wait.
                let metadata = handle.producer().client().fetch_metadata(Some(topic), limit);
                metadata.map_err(|error| lost(settings, log.explain(error)))?;
                Ok(handle)
            })
            .collect::<Result<_, DriverError>>()?;
        let told = vec![String::new(); handles.len()];
        let (patient, idempotent) = (settings.patient, settings.idempotent());
        let (ended, failures, log) = (Vec::new(), BTreeMap::new(), log.clone());
        Ok(Self { handles, ended, failures, told, troubles: BTreeMap::new(), patient, idempotent, log, clock })
    }

    /// Takes every report that is there.
    fn collect(&mut self, completions: &mut Vec<Completion>) {
        let Self { handles, ended, failures, told, troubles, idempotent, log, clock, .. } = self;
        completions.append(ended);
        for (handle, told) in handles.iter().zip(told).filter(|(handle, _)| handle.waker().heard()) {
            let at_ns = std::cell::Cell::new(0);
            handle.drain(
                || at_ns.set(clock.now_ns()),
                |report| match report {
                    Report::Delivery { slot, error } => {
                        let outcome = error.map_or(Outcome::Acked, |(code, kept)| {
                            count(failures, code);
                            outcome(code, kept, *idempotent)
                        });
                        completions.push(Completion { slot, outcome, at_ns: at_ns.get() });
                    }
                    Report::Statistics(text) => {
                        told.clear();
                        told.push_str(&text.to_string_lossy());
                    }
                    Report::Notice(line) => log.add(&line.to_string_lossy()),
                    Report::Trouble(code, line) => {
                        count(troubles, code);
                        log.add(&line.to_string_lossy());
                    }
                },
            );
        }
    }
}

impl Publisher for KafkaPublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let handle = self
            .handles
            .get(usize::from(message.connection))
            .ok_or_else(|| refused("publish", format!("there is no connection {}", message.connection)))?;
        match handle.send(message.stream, message.payload, message.slot) {
            Ok(()) => Ok(Submitted::Taken),
            Err(RDKafkaErrorCode::QueueFull) => Ok(Submitted::Full),
            // A broker that has just come back may not know its topics yet.
            Err(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition) if self.patient => {
                Ok(Submitted::Full)
            }
            // A whole topic or client that is gone ends the run; a single message that is refused is an outcome.
            Err(
                code @ (RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::Fatal),
            ) => Err(refused("publish", self.log.explain(code))),
            Err(code) => {
                count(&mut self.failures, code);
                let at_ns = self.clock.now_ns();
                self.ended.push(Completion { slot: message.slot, outcome: Outcome::Failed, at_ns });
                Ok(Submitted::Taken)
            }
        }
    }

    /// librdkafka writes on its own, when `linger.ms` is over or a batch is full.
    fn flush(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    fn wait(&mut self, until_ns: u64, completions: &mut Vec<Completion>) -> Result<(), DriverError> {
        let before = completions.len();
        self.collect(completions);
        while completions.len() == before {
            let left = self.clock.until(until_ns);
            if left.is_zero() {
                break;
            }
            // Cheap after the first time; a ring between `collect` and `park` makes `park` return at once.
            self.handles.iter().for_each(|handle| handle.waker().listen());
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
        self.told.iter().for_each(|told| add_retries(told, &mut retries));
        retries
    }
}

/// Adds up what one client told last of its brokers and partitions. Only these numbers are read: that another one cannot
/// be, as happens with those of a broker that was away, must not hide them. Counters of a broker that left the cluster
/// and came back begin anew, so these are at least so many.
fn add_retries(told: &str, retries: &mut BTreeMap<String, u64>) {
    if told.is_empty() {
        return;
    }
    let mut add = |what: &str, count: u64| {
        if count > 0 {
            *retries.entry(what.to_owned()).or_default() += count;
        }
    };
    let Ok(told) = serde_json::from_str::<Value>(told) else {
        add("statistics of the client that could not be read", 1);
        return;
    };
    for broker in members(&told["brokers"]) {
        for (what, field) in
            [("requests sent again", "txretries"), ("requests without an answer in time", "req_timeouts")]
        {
            add(what, broker[field].as_u64().unwrap_or(0));
        }
    }
    // A batch that is refused goes back to its partition's queue, which no counter of requests shows.
    for partition in members(&told["topics"]).flat_map(|topic| members(&topic["partitions"])) {
        let of = |field: &str| partition[field].as_u64().unwrap_or(0);
        add("messages sent again", of("txmsgs").saturating_sub(of("msgs")));
    }
}

fn members(object: &Value) -> impl Iterator<Item = &Value> {
    object.as_object().into_iter().flat_map(|members| members.values())
}

fn count(failures: &mut BTreeMap<String, u64>, code: RDKafkaErrorCode) {
    *failures.entry(format!("{code:?}")).or_default() += 1;
}

/// A message has failed where the library knows of every attempt that it is not stored. Everything else may have been
/// stored before the reply was lost.
///
/// An idempotent producer takes an attempt in doubt for "not stored" and counts on the broker to know the second one for
/// a duplicate; if it ends before that, only a refusal for the message's own sake is certain.
fn outcome(code: RDKafkaErrorCode, kept: Kept, idempotent: bool) -> Outcome {
    match kept {
        // The broker's word for not knowing itself; the library reads it as a refusal.
        Kept::No if code == RDKafkaErrorCode::Unknown => Outcome::Indeterminate,
        Kept::No if !idempotent || is_definite(code) => Outcome::Failed,
        _ => Outcome::Indeterminate,
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
        for told in [
            r#"{"brokers": {"a": {"txretries": 2, "odd": -1e99}, "b": {"txretries": 3}}}"#,
            r#"{"brokers": {"a": {"req_timeouts": 4, "txretries": 0}}}"#,
            r#"{"topics": {"t": {"partitions": {"0": {"msgs": 5, "txmsgs": 7}, "1": {"msgs": 5, "txmsgs": 4}}}}}"#,
            "",
            "{",
        ] {
            add_retries(told, &mut retries);
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
        for (code, kept, idempotent, expected) in [
            (Code::MessageSizeTooLarge, Kept::No, false, Outcome::Failed),
            (Code::MessageSizeTooLarge, Kept::No, true, Outcome::Failed),
            // Never sent, or refused each time.
            (Code::MessageTimedOut, Kept::No, false, Outcome::Failed),
            (Code::NotEnoughReplicas, Kept::No, false, Outcome::Failed),
            // In doubt once, and the library does not tell.
            (Code::MessageTimedOut, Kept::No, true, Outcome::Indeterminate),
            (Code::MessageTimedOut, Kept::Perhaps, false, Outcome::Indeterminate),
            (Code::NotEnoughReplicasAfterAppend, Kept::Perhaps, false, Outcome::Indeterminate),
            (Code::BrokerTransportFailure, Kept::Perhaps, false, Outcome::Indeterminate),
            (Code::Unknown, Kept::No, false, Outcome::Indeterminate),
            (Code::PurgeInflight, Kept::Yes, false, Outcome::Indeterminate),
        ] {
            assert_eq!(outcome(code, kept, idempotent), expected, "{code:?} {kept:?} {idempotent}");
        }
    }
}
