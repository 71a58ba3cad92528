//! Kafka's producer side: hands messages to librdkafka and takes its delivery reports,
//! on one thread.
//!
//! The pacing thread serves the reports itself: librdkafka rings a [`Waker`](super::waker::Waker)
//! when the first report of a batch is there, which ends a sleep in [`Publisher::wait`] and
//! otherwise costs one flag. A second thread for polling would take a core from the broker and pass
//! every report through one more queue. `acked` is read when the library yields a batch of reports,
//! once per batch: all of it was acknowledged by one response.
//!
//! Nothing is retried here; librdkafka retries as its settings say, which
//! [`effective`](crate::driver::kafka::settings::ClientSettings::effective) shows: under
//! `load.deadline` until `message.timeout.ms`, and then it tells once a second how often it has.

use super::ffi::{ProducerHandle, Report, Sent};
use super::retries::add_retries;
use super::transactions::{Patience, Transactions};
use crate::driver::kafka::clients::{Clients, refused};
use crate::driver::kafka::settings::read;
use crate::driver::kafka::topics::Topics;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use crate::payload::FULL;
use crate::scenario::Transaction;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a new producer may take to learn who leads the topic's partitions.
const CONNECT: Duration = Duration::from_secs(30);
/// A recovery probe looks this often whether anybody listens;
/// the load's clients wait longer each time.
const KNOCK_MS: &str = "100";
/// How long the end of what is open is waited for by a publisher that goes.
const LEAVE: Duration = Duration::from_secs(5);

/// A client of its own, with its own sockets.
struct Connection {
    handle: ProducerHandle,
    /// What it told last of itself, as JSON: read when somebody asks, not on the pacing thread.
    statistics: String,
    /// `None` where messages stand for themselves.
    transactions: Option<Transactions>,
}

pub struct KafkaPublisher {
    connections: Vec<Connection>,
    /// Messages that ended inside `submit`, to be reported by the next `wait`.
    ended: Vec<Completion>,
    failures: BTreeMap<String, u64>,
    /// Errors of the clients as a whole: connections lost, brokers that refuse.
    troubles: BTreeMap<String, u64>,
    idempotent: bool,
    /// Told to whoever ends transactions, when this one goes.
    gone: Arc<AtomicBool>,
    clients: Clients,
}

impl KafkaPublisher {
    pub fn connect(
        clients: &Clients,
        topics: &Topics,
        connections: u16,
    ) -> Result<Self, DriverError> {
        Self::connect_within(CONNECT, clients, &clients.settings.producer, topics, connections)
    }

    /// Sends in transactions, as number `producer` of the cell: each connection under an id of its
    /// own, which nobody else in this cluster has.
    pub fn transactional(
        clients: &Clients,
        topics: &Topics,
        (producer, connections): (u16, u16),
        plan: Transaction,
    ) -> Result<Self, DriverError> {
        let mut publisher = Self::of(clients);
        let name = topics.names().first().map_or("", String::as_str);
        for connection in 0..connections.max(1) {
            let config = clients.settings.transactional(&format!("{name}-{producer}-{connection}"));
            let handle = clients.producer(&config, topics, CONNECT)?;
            let (limit, stop) = (clients.settings.patience(), Arc::clone(&publisher.gone));
            let patience = Patience { limit, stop };
            let transactions = Some(Transactions::start(&handle, plan, clients, patience)?);
            let connection = Connection { handle, statistics: String::new(), transactions };
            publisher.connections.push(connection);
        }
        Ok(publisher)
    }

    fn of(clients: &Clients) -> Self {
        Self {
            connections: Vec::new(),
            ended: Vec::new(),
            failures: BTreeMap::new(),
            troubles: BTreeMap::new(),
            idempotent: read(&clients.settings.producer, "enable.idempotence") == "true",
            gone: Arc::default(),
            clients: clients.clone(),
        }
    }

    /// One connection that is there within `limit`, or not at all.
    pub fn probe_publisher(
        limit: Duration,
        clients: &Clients,
        topics: &Topics,
    ) -> Result<Self, DriverError> {
        let mut config = clients.settings.producer.clone();
        config.set("reconnect.backoff.ms", KNOCK_MS).set("reconnect.backoff.max.ms", KNOCK_MS);
        Self::connect_within(limit, clients, &config, topics, 1)
    }

    fn connect_within(
        limit: Duration,
        clients: &Clients,
        config: &ClientConfig,
        topics: &Topics,
        connections: u16,
    ) -> Result<Self, DriverError> {
        let mut publisher = Self::of(clients);
        for _ in 0..connections.max(1) {
            let handle = clients.producer(config, topics, limit)?;
            let connection = Connection { handle, statistics: String::new(), transactions: None };
            publisher.connections.push(connection);
        }
        Ok(publisher)
    }

    /// Takes every report that is there.
    fn collect(&mut self, completions: &mut Vec<Completion>) -> Result<(), DriverError> {
        completions.append(&mut self.ended);
        self.drain(completions);
        let Self { connections, failures, clients, .. } = self;
        connections
            .iter_mut()
            .filter_map(|connection| connection.transactions.as_mut())
            .try_for_each(|transactions| transactions.collect(clients, completions, failures))
    }

    fn drain(&mut self, completions: &mut Vec<Completion>) {
        let Self { connections, failures, troubles, idempotent, clients, .. } = self;
        for Connection { handle, statistics, transactions } in connections {
            if !handle.waker().heard() {
                continue;
            }
            handle.drain(clients.clock, |report| match report {
                // It ends with its transaction, which fails where any of its messages does.
                Report::Delivery { error, .. } if transactions.is_some() => {
                    error.iter().for_each(|(code, _)| clients.log.add(&code.to_string()));
                }
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

    /// Whether any transaction is open still.
    fn give_up(&mut self) -> bool {
        let transactions =
            self.connections.iter_mut().filter_map(|connection| connection.transactions.as_mut());
        // Each is asked.
        transactions.map(Transactions::give_up).filter(|open| *open).count() > 0
    }

    /// When the transaction that is due first ends.
    fn due_ns(&self) -> u64 {
        let all = self.connections.iter().filter_map(|connection| connection.transactions.as_ref());
        all.map(Transactions::due_ns).min().unwrap_or(u64::MAX)
    }
}

impl Publisher for KafkaPublisher {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let connection = &mut self.connections[usize::from(message.connection)];
        let Connection { handle, transactions, .. } = connection;
        // While one ends, the next cannot begin.
        if transactions.as_ref().is_some_and(|transactions| !transactions.is_open()) {
            return Ok(Submitted::Full);
        }
        let Outgoing { slot, partition, key, payload, .. } = message;
        // The envelope stands before a line of the user's own, and goes beside it.
        let apart =
            if self.clients.settings.headers.envelope { FULL.min(payload.len()) } else { 0 };
        let (envelope, payload) = payload.split_at(apart);
        match handle.send(Sent { slot, partition, key, envelope, payload }) {
            Ok(()) => {
                if let Some(transactions) = transactions {
                    transactions.add(slot, self.clients.clock);
                }
                Ok(Submitted::Taken)
            }
            Err(RDKafkaErrorCode::QueueFull) => Ok(Submitted::Full),
            // The transaction has failed: it ends, and this message goes into the next one.
            Err(RDKafkaErrorCode::State) if transactions.is_some() => {
                transactions.iter_mut().for_each(Transactions::end);
                Ok(Submitted::Full)
            }
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
        self.collect(completions)?;
        while completions.len() == before {
            let left = self.clients.clock.until(until_ns);
            if left.is_zero() {
                break;
            }
            // Cheap after the first time; a ring between `collect` and `park` makes `park` return
            // at once.
            self.connections.iter().for_each(|connection| connection.handle.waker().listen());
            self.collect(completions)?;
            if completions.len() == before {
                std::thread::park_timeout(left.min(self.clients.clock.until(self.due_ns())));
                self.collect(completions)?;
            }
        }
        Ok(())
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.clone()
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        let mut retries = self.troubles.clone();
        for connection in &self.connections {
            add_retries(&connection.statistics, &mut retries);
        }
        retries
    }
}

impl Drop for KafkaPublisher {
    fn drop(&mut self) {
        let deadline = Instant::now() + LEAVE;
        while self.give_up() && Instant::now() < deadline {
            self.drain(&mut Vec::new());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.gone.store(true, Ordering::Relaxed);
    }
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
