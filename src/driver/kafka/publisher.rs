//! Kafka's producer side: hands messages to librdkafka and takes its delivery reports, on one thread.
//!
//! The pacing thread serves the reports itself: librdkafka rings a [`Bell`](super::ffi::Bell) when the first report
//! of a batch is there, which ends a sleep in [`Publisher::wait`] and otherwise costs one flag. A second thread for
//! polling would take a core from the broker and pass every report through one more queue. `acked` is read when the
//! library yields a batch of reports, once per batch: all of it was acknowledged by one response.
//!
//! Nothing is retried here; librdkafka retries as its settings say, which [`Settings::effective`] shows.

use super::ffi::{Outlet, Report};
use super::journal::{Journal, Quiet};
use super::settings::Settings;
use super::{lost, refused};
use crate::clock::Clock;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a new producer may take to learn who leads the topic's partitions.
const CONNECT: Duration = Duration::from_secs(30);

pub struct KafkaPublisher {
    /// One per connection: each is a client of its own, with its own sockets.
    outlets: Vec<Outlet<Quiet>>,
    /// Messages that ended inside `submit`, to be reported by the next `wait`.
    ended: Vec<Completion>,
    failures: BTreeMap<String, u64>,
    journal: Journal,
    clock: Clock,
}

impl KafkaPublisher {
    pub fn connect(
        settings: &Settings,
        topic: &str,
        connections: u16,
        journal: &Journal,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        let outlets = (0..connections.max(1))
            .map(|_| {
                let producer: BaseProducer<Quiet> = settings
                    .producer()
                    .create_with_context(Quiet(journal.clone()))
                    .map_err(|error| refused("make a producer", error))?;
                let outlet = Outlet::new(producer, topic).ok_or_else(|| refused("open the topic", topic))?;
                // Brings the partitions' leaders into the topic's handle, so that the first message does not wait.
                let metadata = outlet.producer().client().fetch_metadata(Some(topic), CONNECT);
                metadata.map_err(|error| lost(settings, journal.explain(error)))?;
                Ok(outlet)
            })
            .collect::<Result<_, DriverError>>()?;
        Ok(Self { outlets, ended: Vec::new(), failures: BTreeMap::new(), journal: journal.clone(), clock })
    }

    /// Takes every report that is there.
    fn collect(&mut self, completions: &mut Vec<Completion>) {
        let Self { outlets, ended, failures, journal, clock } = self;
        completions.append(ended);
        for outlet in outlets.iter().filter(|outlet| outlet.bell().heard()) {
            let at_ns = std::cell::Cell::new(0);
            outlet.drain(
                || at_ns.set(clock.now_ns()),
                |report| match report {
                    Report::Delivery { slot, error } => {
                        let outcome = error.map_or(Outcome::Acked, |code| {
                            count(failures, code);
                            outcome(code)
                        });
                        completions.push(Completion { slot, outcome, at_ns: at_ns.get() });
                    }
                    Report::Notice(line) => journal.add(&line.to_string_lossy()),
                },
            );
        }
    }
}

impl Publisher for KafkaPublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let outlet = self
            .outlets
            .get(usize::from(message.connection))
            .ok_or_else(|| refused("publish", format!("there is no connection {}", message.connection)))?;
        match outlet.send(message.stream, message.payload, message.slot) {
            Ok(()) => Ok(Submitted::Taken),
            Err(RDKafkaErrorCode::QueueFull) => Ok(Submitted::Full),
            // A whole topic or client that is gone ends the run; a single message that is refused is an outcome.
            Err(
                code @ (RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::Fatal),
            ) => Err(refused("publish", self.journal.explain(code))),
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
            self.outlets.iter().for_each(|outlet| outlet.bell().listen());
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
}

fn count(failures: &mut BTreeMap<String, u64>, code: RDKafkaErrorCode) {
    *failures.entry(format!("{code:?}")).or_default() += 1;
}

/// Only a refusal by which the broker (or the library, before sending) says that it does not hold the message is a
/// failure. Everything else may have been stored before the reply was lost.
fn outcome(code: RDKafkaErrorCode) -> Outcome {
    use RDKafkaErrorCode as Code;
    match code {
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
        | Code::UnknownPartition => Outcome::Failed,
        _ => Outcome::Indeterminate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_definite_refusal_is_a_failure() {
        assert_eq!(outcome(RDKafkaErrorCode::MessageSizeTooLarge), Outcome::Failed);
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::RequestTimedOut,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::BrokerTransportFailure,
        ] {
            assert_eq!(outcome(code), Outcome::Indeterminate, "{code:?}");
        }
    }
}
