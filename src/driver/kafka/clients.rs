//! What the clients of one cell share: settings, the library's log, the clock; how each kind of
//! them is made, and what goes wrong with them.

use super::load::client_log::{ClientLog, KafkaContext};
use super::load::ffi::{ConsumerHandle, ProducerHandle, give_token};
use super::load::throttle::Throttle;
use super::settings::ClientSettings;
use super::topics::Topics;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::model::System;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Between two new clients of MSK: half as many as its brokers take in a second.
const BETWEEN: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub struct Clients {
    pub settings: ClientSettings,
    pub log: ClientLog,
    pub members: Members,
    /// How long quotas held producers and consumers back.
    pub publishing: Throttle,
    pub consuming: Throttle,
    pub clock: Clock,
}

impl Clients {
    pub fn new(settings: ClientSettings, clock: Clock) -> Self {
        let (log, members) = (ClientLog::default(), Members::default());
        let (publishing, consuming) = (Throttle::default(), Throttle::default());
        Self { settings, log, members, publishing, consuming, clock }
    }

    /// A cluster that is not reached, or no more, with the library's last words.
    pub fn lost(&self, cause: impl Display) -> DriverError {
        disconnected(&self.settings.addresses(), self.log.explain(cause))
    }

    pub fn context(&self) -> KafkaContext {
        let tokens = self.settings.access.tokens().map(|login| login.tokens.clone());
        let (log, throttle) = (self.log.clone(), self.consuming.clone());
        KafkaContext { log, throttle, tokens, ..KafkaContext::default() }
    }

    /// What every client needs before it connects; a broker of MSK takes only so many at once.
    pub fn admit(&self, client: &Client<KafkaContext>) -> Result<(), DriverError> {
        give_token(client).map_err(|why| refused("log in", why))?;
        if self.settings.slowly {
            std::thread::sleep(BETWEEN);
        }
        Ok(())
    }

    pub fn consumer(&self, config: &ClientConfig) -> Result<Arc<ConsumerHandle>, DriverError> {
        let made = config.create_with_context(self.context());
        let consumer: BaseConsumer<KafkaContext> =
            made.map_err(|error| refused("make a consumer", error))?;
        self.admit(consumer.client())?;
        let handle =
            ConsumerHandle::new(consumer).ok_or_else(|| refused("make a consumer", "no queue"))?;
        Ok(Arc::new(handle))
    }

    /// A consumer of partitions, outside of every group.
    pub fn reader(&self, name: &str) -> Result<Arc<ConsumerHandle>, DriverError> {
        self.consumer(&self.settings.reader(name))
    }

    /// A producer that knows the leaders of `topics`,
    /// so that its first message does not wait for them.
    pub fn producer(
        &self,
        config: &ClientConfig,
        topics: &Topics,
        limit: Duration,
    ) -> Result<ProducerHandle, DriverError> {
        let made = config.create_with_context(self.context());
        let producer = made.map_err(|error| refused("make a producer", error))?;
        let handle = ProducerHandle::new(producer, topics, self.settings.headers)
            .ok_or_else(|| refused("open the topic", topics.names().join(", ")))?;
        self.admit(handle.client())?;
        for name in topics.names() {
            let known = handle.client().fetch_metadata(Some(name), limit);
            known.map_err(|error| self.lost(error))?;
        }
        Ok(handle)
    }
}

/// Members that have joined, by driver: while a later one joins,
/// the earlier ones must answer the rebalance.
#[derive(Clone, Default)]
pub struct Members(Arc<Mutex<Vec<Weak<ConsumerHandle>>>>);

impl Members {
    pub fn add(&self, member: &Arc<ConsumerHandle>) {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// Serves the rebalances of every member. Any thread may: records do not come this way.
    pub fn serve(&self) -> Result<(), DriverError> {
        let members = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        members.iter().filter_map(Weak::upgrade).try_for_each(|member| serve(member.consumer()))
    }
}

/// Serves what is on a main queue. Trouble with connections is the library's
/// to mend and only noted.
pub fn serve(consumer: &BaseConsumer<KafkaContext>) -> Result<(), DriverError> {
    while let Some(event) = consumer.poll(Duration::ZERO) {
        match event {
            Ok(_) => {
                return Err(refused("consume", "a record came outside of the member's own queue"));
            }
            Err(KafkaError::MessageConsumptionFatal(code)) => {
                return Err(refused("consume", consumer.context().log.explain(code)));
            }
            Err(error) => consumer.context().log.add(&error.to_string()),
        }
    }
    Ok(())
}

/// Partitions of `topic`, each with an offset.
pub fn offsets(topic: &str, of: impl IntoIterator<Item = (i32, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in of {
        // Fails only for offsets that cannot be represented, which a broker does not give out.
        let _ = list.add_partition_offset(topic, partition, Offset::Offset(offset));
    }
    list
}

/// Lets a consumer without a group read each partition from its offset on.
pub fn assign(handle: &ConsumerHandle, topic: &str, begin: &[(i32, i64)]) -> KafkaResult<()> {
    for (partition, _) in begin {
        handle.pour(topic, *partition);
    }
    handle.consumer().assign(&offsets(topic, begin.iter().copied()))
}

pub fn disconnected(address: &str, cause: impl Display) -> DriverError {
    DriverError::Disconnected {
        system: System::Kafka,
        address: address.to_owned(),
        cause: cause.to_string(),
    }
}

pub fn refused(action: impl Into<String>, cause: impl Display) -> DriverError {
    DriverError::Refused { system: System::Kafka, action: action.into(), cause: cause.to_string() }
}

pub fn timed_out(action: &str, after: Duration) -> DriverError {
    DriverError::TimedOut { system: System::Kafka, action: action.into(), seconds: after.as_secs() }
}

pub fn cannot(action: &str, because: &str) -> DriverError {
    DriverError::Cannot { system: System::Kafka, action: action.into(), because: because.into() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cell;
    use super::*;
    use crate::access::{Around, targets_from_text};

    #[test]
    fn a_login_by_tokens_is_a_mechanism_and_no_password() {
        let text = "schema: 1\nkafka: {brokers: [localhost:1], \
                    sasl: {mechanism: OAUTHBEARER, token: '${env:T}'}}\n";
        let around = Around { remote: false, variable: &|_| Some("hunter2".into()) };
        let targets = targets_from_text("t", text, std::path::Path::new("."), &around).unwrap();
        let reach = targets.kafka.unwrap();
        let settings = ClientSettings::new(&cell(), &reach.addresses, &reach.access).unwrap();
        let effective = settings.effective();
        assert_eq!(effective["producer.sasl.mechanism"], "OAUTHBEARER");
        assert_eq!(settings.producer.get("security.protocol"), Some("sasl_plaintext"));
        assert!(!format!("{effective:?} {:?}", settings.producer).contains("hunter2"));
        let clients = Clients::new(settings, Clock::start());
        clients.reader("x").unwrap();
        // Nobody is there to log in to; for want of a token it would not even try.
        let said = clients.log.explain("").to_lowercase();
        assert!(!said.contains("token") && !said.contains("oauth"), "{said}");
    }

    /// As one that nobody can make: the client is not even made.
    #[test]
    fn without_a_token_no_client_is_made() {
        let text = "schema: 1\nkafka: {brokers: [localhost:1], sasl: {mechanism: OAUTHBEARER, \
                    oidc: {url: 'http://127.0.0.1:1/', client-id: me, \
                    client-secret: '${env:T}'}}}\n";
        let around = Around { remote: false, variable: &|_| Some("hunter2".into()) };
        let targets = targets_from_text("t", text, std::path::Path::new("."), &around).unwrap();
        let reach = targets.kafka.unwrap();
        let settings = ClientSettings::new(&cell(), &reach.addresses, &reach.access).unwrap();
        let error = Clients::new(settings, Clock::start()).reader("x").err().unwrap().to_string();
        assert!(error.contains("token endpoint at 127.0.0.1:1"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
