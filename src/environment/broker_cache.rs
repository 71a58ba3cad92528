//! Keeps a warmed Kafka between scenarios of one exploratory comparison, so that its compiler is
//! paid for once.
//!
//! Only brokers with the very same settings are lent again, only while nothing has happened to
//! them, and only Kafka's: Redis is ready at once and starts fresh each time. A comparison that
//! gives verdicts on speed uses no cache, since its brokers must be fresh.

use super::{Broker, Environment, EnvironmentError};
use crate::model::Software;
use crate::result::Storage;
use crate::scenario::SystemConfig;
use crate::units::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What must be equal for a broker to serve another scenario.
#[derive(Clone, PartialEq)]
struct ReuseTerms {
    nodes: u16,
    settings: BTreeMap<String, String>,
    heap: Bytes,
}

type Idle = Arc<Mutex<Vec<(ReuseTerms, Box<dyn Broker>)>>>;

/// Idle brokers, as a broker knows them that belongs there by these terms.
#[derive(Clone)]
pub struct Shelf {
    terms: ReuseTerms,
    idle: Idle,
}

impl Shelf {
    pub fn take_back(&self, broker: Box<dyn Broker>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((self.terms.clone(), broker));
    }

    fn lend(&self) -> Option<Box<dyn Broker>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|(terms, _)| *terms == self.terms)?;
        let (_, mut found) = idle.swap_remove(at);
        // One that died in the meantime is not lent; dropping it clears up.
        found.check().is_ok().then_some(found)
    }
}

/// An environment whose Kafka brokers are given back instead of stopped. Dropping it stops them.
pub struct BrokerCache {
    inner: Box<dyn Environment>,
    idle: Idle,
}

impl BrokerCache {
    pub fn over(inner: Box<dyn Environment>) -> Self {
        Self { inner, idle: Arc::default() }
    }
}

impl Environment for BrokerCache {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn network_path(&self) -> String {
        self.inner.network_path()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        // What faults are prepared for is fresh each time.
        if config.system.software() != Software::Kafka || config.proxied || config.preloaded {
            return self.inner.start(config);
        }
        let terms =
            ReuseTerms { nodes: config.nodes, settings: config.broker.clone(), heap: config.heap };
        let shelf = Shelf { terms, idle: Arc::clone(&self.idle) };
        let mut broker = shelf.lend().map_or_else(|| self.inner.start(config), Ok)?;
        broker.keep_on(shelf);
        Ok(broker)
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }

    fn storage(&self) -> Option<Storage> {
        self.inner.storage()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        self.inner.facts()
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
}
