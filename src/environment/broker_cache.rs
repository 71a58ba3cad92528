//! Keeps a warmed Kafka between scenarios of one exploratory comparison, so that its compiler is paid for once.
//!
//! Only brokers with the very same settings are lent again, only while nothing has happened to them, and only Kafka's:
//! Redis is ready at once and starts fresh each time. A comparison that gives verdicts on speed uses no cache, since its
//! brokers must be fresh.

use super::{Broker, Environment, EnvironmentError, FaultableBroker};
use crate::driver::Routes;
use crate::model::Software;
use crate::scenario::SystemConfig;
use crate::units::Bytes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What must be equal for a broker to serve another scenario.
#[derive(Clone, PartialEq)]
struct ReuseTerms {
    nodes: u16,
    settings: BTreeMap<String, String>,
    heap: Bytes,
}

struct Idle {
    terms: ReuseTerms,
    broker: Box<dyn Broker>,
    warm: bool,
}

/// An environment whose Kafka brokers are given back instead of stopped. Dropping it stops them.
pub struct BrokerCache {
    inner: Box<dyn Environment>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

impl BrokerCache {
    pub fn over(inner: Box<dyn Environment>) -> Self {
        Self { inner, idle: Arc::default() }
    }

    fn take(&self, terms: &ReuseTerms) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|idle| idle.terms == *terms)?;
        let mut found = idle.swap_remove(at);
        // One that died in the meantime is not lent; dropping it clears up.
        found.broker.check().is_ok().then_some(found)
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
        if config.system.software() != Software::Kafka {
            return self.inner.start(config);
        }
        // What faults are prepared for is fresh each time.
        if config.proxied || config.preloaded {
            return self.inner.start(config);
        }
        let terms = ReuseTerms { nodes: config.nodes, settings: config.broker.clone(), heap: config.heap };
        let lent = match self.take(&terms) {
            Some(idle) => idle,
            None => Idle { broker: self.inner.start(config)?, terms, warm: false },
        };
        Ok(Box::new(Borrowed { lent, spoilt: false, home: Arc::clone(&self.idle) }))
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        self.inner.facts()
    }
}

/// A broker on loan.
struct Borrowed {
    lent: Idle,
    /// Something happened to it that the next scenario must not inherit.
    spoilt: bool,
    home: Arc<Mutex<Vec<Idle>>>,
}

impl Broker for Borrowed {
    fn software(&self) -> Software {
        self.lent.broker.software()
    }
    fn version(&self) -> Option<String> {
        self.lent.broker.version()
    }
    fn addresses(&self) -> Vec<String> {
        self.lent.broker.addresses()
    }
    fn routes(&self) -> Routes {
        self.lent.broker.routes()
    }
    fn pids(&self) -> Vec<u32> {
        self.lent.broker.pids()
    }
    fn check(&mut self) -> Result<(), EnvironmentError> {
        let checked = self.lent.broker.check();
        self.spoilt |= checked.is_err();
        checked
    }
    fn log_tail(&self, lines: usize) -> String {
        self.lent.broker.log_tail(lines)
    }
    fn data_dir(&self) -> Option<PathBuf> {
        self.lent.broker.data_dir()
    }
    fn started_in_ns(&self) -> Option<u64> {
        self.lent.broker.started_in_ns()
    }
    fn is_warm(&self) -> bool {
        self.lent.warm
    }
    fn note_warm(&mut self) {
        self.lent.warm = true;
    }
    /// Whoever has it to break it leaves it to nobody else.
    fn faultable(&mut self) -> Option<&mut dyn FaultableBroker> {
        (self.lent.warm, self.spoilt) = (false, true);
        self.lent.broker.faultable()
    }
    fn stop(mut self: Box<Self>) -> Result<(), EnvironmentError> {
        if self.spoilt || self.lent.broker.check().is_err() {
            return self.lent.broker.stop();
        }
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(self.lent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    struct Counting(Arc<AtomicUsize>);
    struct Dummy;

    impl Broker for Dummy {
        fn software(&self) -> Software {
            Software::Kafka
        }
        fn addresses(&self) -> Vec<String> {
            Vec::new()
        }
        fn check(&mut self) -> Result<(), EnvironmentError> {
            Ok(())
        }
        fn stop(self: Box<Self>) -> Result<(), EnvironmentError> {
            Ok(())
        }
    }

    impl Environment for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn network_path(&self) -> String {
            "none".to_owned()
        }
        fn start(&mut self, _: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
            self.0.fetch_add(1, Relaxed);
            Ok(Box::new(Dummy))
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
