//! Keeps a warmed Kafka between scenarios of one exploratory comparison, so that its compiler is paid for once.
//!
//! Only brokers with the very same settings are lent again, only while nothing has happened to them, and only Kafka's:
//! Redis is ready at once and starts fresh each time. A comparison that gives verdicts on speed uses no pool, since its
//! brokers must be fresh.

use super::{Broker, Deed, Environment, EnvironmentError, NodeInfo};
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

struct Parked {
    terms: ReuseTerms,
    broker: Box<dyn Broker>,
    warm: bool,
}

/// An environment whose Kafka brokers are given back instead of stopped. Dropping it stops them.
pub struct Pool {
    inner: Box<dyn Environment>,
    parked: Arc<Mutex<Vec<Parked>>>,
}

impl Pool {
    pub fn over(inner: Box<dyn Environment>) -> Self {
        Self { inner, parked: Arc::default() }
    }

    fn take(&self, terms: &ReuseTerms) -> Option<Parked> {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let at = parked.iter().position(|parked| parked.terms == *terms)?;
        let mut found = parked.swap_remove(at);
        // One that died in the meantime is not lent; dropping it clears up.
        found.broker.check().is_ok().then_some(found)
    }
}

impl Environment for Pool {
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
        let Parked { terms, broker, warm } = match self.take(&terms) {
            Some(parked) => parked,
            None => Parked { broker: self.inner.start(config)?, terms, warm: false },
        };
        Ok(Box::new(Lent { terms, broker: Some(broker), warm, spoilt: false, home: Arc::clone(&self.parked) }))
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        self.inner.facts()
    }
}

/// A broker on loan.
struct Lent {
    terms: ReuseTerms,
    /// Gone once it was given back.
    broker: Option<Box<dyn Broker>>,
    warm: bool,
    /// Something happened to it that the next scenario must not inherit.
    spoilt: bool,
    home: Arc<Mutex<Vec<Parked>>>,
}

impl Lent {
    fn get(&self) -> Option<&dyn Broker> {
        self.broker.as_deref()
    }
}

impl Broker for Lent {
    fn software(&self) -> Software {
        Software::Kafka
    }
    fn version(&self) -> Option<String> {
        self.get()?.version()
    }
    fn addresses(&self) -> Vec<String> {
        self.get().map(Broker::addresses).unwrap_or_default()
    }
    fn routes(&self) -> Routes {
        self.get().map(Broker::routes).unwrap_or_default()
    }
    fn pids(&self) -> Vec<u32> {
        self.get().map(Broker::pids).unwrap_or_default()
    }
    fn check(&mut self) -> Result<(), EnvironmentError> {
        let checked = self.broker.as_mut().map_or(Ok(()), |broker| broker.check());
        self.spoilt |= checked.is_err();
        checked
    }
    fn log_tail(&self, lines: usize) -> String {
        self.get().map(|broker| broker.log_tail(lines)).unwrap_or_default()
    }
    fn data_dir(&self) -> Option<PathBuf> {
        self.get()?.data_dir()
    }
    fn started_in_ns(&self) -> Option<u64> {
        self.get()?.started_in_ns()
    }
    fn is_warm(&self) -> bool {
        self.warm
    }
    fn note_warm(&mut self) {
        self.warm = true;
    }
    fn crash(&mut self) -> Result<(), EnvironmentError> {
        self.spoilt = true;
        self.broker.as_mut().map_or(Ok(()), |broker| broker.crash())
    }
    fn restart(&mut self) -> Result<(), EnvironmentError> {
        (self.warm, self.spoilt) = (false, true);
        self.broker.as_mut().map_or(Ok(()), |broker| broker.restart())
    }
    fn nodes(&self) -> Vec<NodeInfo> {
        self.get().map(Broker::nodes).unwrap_or_default()
    }
    fn act(&mut self, index: usize, deed: Deed) -> Result<(), EnvironmentError> {
        (self.warm, self.spoilt) = (false, true);
        self.broker.as_mut().map_or(Ok(()), |broker| broker.act(index, deed))
    }
    fn stop(&mut self) -> Result<(), EnvironmentError> {
        let Some(mut broker) = self.broker.take() else { return Ok(()) };
        if self.spoilt || broker.check().is_err() {
            return broker.stop();
        }
        let parked = Parked { terms: self.terms.clone(), broker, warm: self.warm };
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(parked);
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
        fn stop(&mut self) -> Result<(), EnvironmentError> {
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
        let mut pool = Pool::over(Box::new(Counting(Arc::clone(&started))));
        let config = SystemConfig::defaults(System::Kafka);
        let mut first = pool.start(&config).unwrap();
        assert!(!first.is_warm());
        first.note_warm();
        first.stop().unwrap();
        let again = pool.start(&config).unwrap();
        assert!(again.is_warm() && started.load(Relaxed) == 1);
        // On loan: a second one is another broker.
        assert!(!pool.start(&config).unwrap().is_warm());
        let mut other = config.clone();
        other.broker.insert("num.io.threads".into(), "1".into());
        pool.start(&other).unwrap();
        pool.start(&SystemConfig::defaults(System::RedisLists)).unwrap().stop().unwrap();
        pool.start(&SystemConfig::defaults(System::RedisLists)).unwrap();
        assert_eq!(started.load(Relaxed), 5);
    }
}
