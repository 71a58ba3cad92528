//! Keeps a warmed Kafka for whoever comes next with the very same settings of the broker, so that
//! its compiler is paid for once: labels that differ in their clients alone, and the rounds of a
//! study that says how often its brokers are to be fresh.
//!
//! Only brokers to which nothing has happened are lent again, and only Kafka's: Redis is ready at
//! once and starts fresh each time. Whoever needs fresh brokers asks for them by
//! [`Environment::renew`]; an exploratory comparison, which gives no verdict on speed, keeps one
//! Kafka for all of its scenarios.

use super::{Broker, Environment, EnvironmentError, usage};
use crate::model::{Software, System};
use crate::result::Storage;
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What must be equal for a broker to serve another scenario: all but what topics and clients alone
/// have, so that whatever else a system may be set to keeps its brokers apart.
fn of_broker(config: &SystemConfig) -> SystemConfig {
    let SystemConfig {
        topic,
        topics,
        transaction,
        client,
        keys,
        stream,
        maxlen,
        reply,
        consume,
        ..
    } = SystemConfig::defaults(config.system);
    let config = config.clone();
    let config = SystemConfig { topic, topics, transaction, client, keys, stream, ..config };
    SystemConfig { maxlen, reply, wait: None, wait_aof: None, consume, same_as: None, ..config }
}

/// Whether one broker can serve both.
pub fn same_broker(one: &SystemConfig, other: &SystemConfig) -> bool {
    of_broker(one) == of_broker(other)
}

/// Brokers that wait, and what they cost those that are measured beside them.
#[derive(Default)]
struct Waiting {
    brokers: Vec<WaitingBroker>,
    /// The most that one of them burnt, as a share of a core.
    busiest: f64,
}

struct WaitingBroker {
    terms: SystemConfig,
    broker: Box<dyn Broker>,
    since: Instant,
    /// Burnt until then.
    cpu_ns: u64,
}

/// Briefer waits tell nothing of a broker at rest.
const TOLD_AFTER: Duration = Duration::from_secs(5);

type Idle = Arc<Mutex<Waiting>>;

/// Idle brokers, as a broker knows them that belongs there by these terms.
#[derive(Clone)]
pub struct Shelf {
    terms: SystemConfig,
    idle: Idle,
}

impl Shelf {
    pub fn take_back(&self, broker: Box<dyn Broker>) {
        let (terms, since, cpu_ns) = (self.terms.clone(), Instant::now(), burnt(broker.as_ref()));
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.brokers.push(WaitingBroker { terms, broker, since, cpu_ns });
    }

    fn lend(&self) -> Option<Box<dyn Broker>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.brokers.iter().position(|waiting| waiting.terms == self.terms)?;
        let WaitingBroker { mut broker, since, cpu_ns, .. } = idle.brokers.swap_remove(at);
        let waited = since.elapsed();
        if waited >= TOLD_AFTER {
            let burnt = burnt(broker.as_ref()).saturating_sub(cpu_ns);
            idle.busiest = idle.busiest.max(burnt as f64 / waited.as_nanos() as f64);
        }
        // One that died in the meantime is not lent; dropping it clears up.
        broker.check().is_ok().then_some(broker)
    }
}

fn burnt(broker: &dyn Broker) -> u64 {
    broker.pids().into_iter().filter_map(usage).map(|usage| usage.cpu_ns).sum()
}

/// An environment whose Kafka brokers are given back instead of stopped. Dropping it stops them.
pub struct BrokerCache {
    inner: Box<dyn Environment>,
    idle: Idle,
    exploratory: bool,
}

impl BrokerCache {
    pub fn over(inner: Box<dyn Environment>) -> Self {
        Self { inner, idle: Arc::default(), exploratory: false }
    }
}

impl Environment for BrokerCache {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn emulates(&self, system: System) -> bool {
        self.inner.emulates(system)
    }

    fn network_path(&self) -> String {
        self.inner.network_path()
    }

    fn lacks(&self, system: System) -> Option<EnvironmentError> {
        self.inner.lacks(system)
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        // What is to be broken is fresh each time: what it holds and logs is its own.
        if config.system.software() != Software::Kafka || config.faulted {
            return self.inner.start(config);
        }
        let shelf = Shelf { terms: of_broker(config), idle: Arc::clone(&self.idle) };
        let mut broker = shelf.lend().map_or_else(|| self.inner.start(config), Ok)?;
        broker.keep_on(shelf);
        Ok(broker)
    }

    fn explore(&mut self) {
        self.exploratory = true;
    }

    fn renew(&mut self) -> Result<(), EnvironmentError> {
        if self.exploratory {
            return Ok(());
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Off the shelf, it is stopped for good.
        let waiting = std::mem::take(&mut idle.brokers);
        drop(idle);
        waiting.into_iter().try_for_each(|waiting| waiting.broker.stop())
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }

    fn storage(&self) -> Option<Storage> {
        self.inner.storage()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = self.inner.facts();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.busiest > 0.0 {
            let told = format!("{:.1} % of a core at most, while it waited", idle.busiest * 100.0);
            facts.insert("idle kafka".into(), told);
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::nodes::testing::started;
    use crate::model::System;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    struct Counting(Arc<AtomicUsize>);

    impl Environment for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn network_path(&self) -> String {
            "none".to_owned()
        }
        fn start(&mut self, _: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
            self.0.fetch_add(1, Relaxed);
            Ok(Box::new(started(&[None]).0?))
        }
    }

    #[test]
    fn the_same_settings_find_the_warm_broker_and_others_a_new_one() {
        let started = Arc::new(AtomicUsize::new(0));
        let mut cache = BrokerCache::over(Box::new(Counting(Arc::clone(&started))));
        let config = SystemConfig::defaults(System::Kafka);
        let mut first = cache.start(&config).unwrap();
        assert!(!first.is_warm());
        first.note_warm();
        first.stop().unwrap();
        let again = cache.start(&config).unwrap();
        assert!(again.is_warm() && started.load(Relaxed) == 1);
        // On loan: a second one is another broker.
        assert!(!cache.start(&config).unwrap().is_warm());
        let mut other = config.clone();
        other.broker.insert("num.io.threads".into(), "1".into());
        cache.start(&other).unwrap();
        cache.start(&SystemConfig::defaults(System::RedisLists)).unwrap().stop().unwrap();
        cache.start(&SystemConfig::defaults(System::RedisLists)).unwrap();
        assert_eq!(started.load(Relaxed), 5);
    }

    #[test]
    fn only_what_clients_and_topics_have_may_differ() {
        let plain = SystemConfig::defaults(System::Kafka);
        let lent = |change: fn(&mut SystemConfig)| {
            let started = Arc::new(AtomicUsize::new(0));
            let mut cache = BrokerCache::over(Box::new(Counting(Arc::clone(&started))));
            cache.explore();
            cache.start(&plain).unwrap().stop().unwrap();
            let mut other = plain.clone();
            change(&mut other);
            cache.start(&other).unwrap().stop().unwrap();
            started.load(Relaxed) == 1
        };
        assert!(lent(|other| other.topic.partitions = 4));
        assert!(lent(|other| other.consume.batch = 1));
        assert!(lent(|other| drop(other.client.insert("acks".into(), "1".into()))));
        assert!(lent(|other| other.same_as = Some("kafka".into())));
        assert!(!lent(|other| other.stock = true), "as it comes is set up otherwise");
        assert!(!lent(|other| other.nodes = 3));
        assert!(!lent(|other| other.heap.0 *= 2));
        assert!(!lent(|other| other.faulted = true), "it would be broken with what others left");
    }

    #[test]
    fn whoever_needs_a_fresh_broker_gets_one_unless_all_is_exploratory() {
        for (exploratory, fresh) in [(false, 2), (true, 1)] {
            let started = Arc::new(AtomicUsize::new(0));
            let mut cache = BrokerCache::over(Box::new(Counting(Arc::clone(&started))));
            if exploratory {
                cache.explore();
            }
            let config = SystemConfig::defaults(System::Kafka);
            cache.start(&config).unwrap().stop().unwrap();
            cache.renew().unwrap();
            cache.start(&config).unwrap().stop().unwrap();
            assert_eq!(started.load(Relaxed), fresh);
        }
    }
}
