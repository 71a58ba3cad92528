//! How long brokers held clients back by a quota, as the library tells it with its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Over all producers, or all consumers, of one driver, ms.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Arc<AtomicU64>);

impl Throttle {
    /// Takes up one telling of one client's counters, as JSON.
    pub fn tell(&self, statistics: &str) {
        self.0.fetch_add(held_ms(statistics), Relaxed);
    }

    pub fn ms(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Each telling has the times since the one before it, by broker. Only these numbers are looked
/// for: the whole is long, and read on the pacing thread.
fn held_ms(statistics: &str) -> u64 {
    let held = |of_broker: &str| {
        let (times, _) = of_broker.split_once('}')?;
        let (_, sum) = times.split_once("\"sum\":")?;
        let sum = sum.trim_start();
        let end = sum.find(|c: char| !c.is_ascii_digit()).unwrap_or(sum.len());
        sum[..end].parse::<u64>().ok()
    };
    statistics.split("\"throttle\"").skip(1).filter_map(held).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_all_brokers_are_added_up() {
        let told = r#"{"brokers": {"a": {"rtt": {"sum":9}, "throttle": {"min":0, "sum":1200,
            "cnt":3}}, "b": {"throttle":{ "sum": 34 }}}, "topics": {"throttled": {"sum": 5}}}"#;
        assert_eq!(held_ms(told), 1234);
        for odd in ["", "{", r#""throttle""#, r#""throttle":{"sum":"#, r#""throttle":{"sum":-5}"#] {
            assert_eq!(held_ms(odd), 0, "{odd}");
        }
        let throttle = Throttle::default();
        let same = throttle.clone();
        same.tell(told);
        same.tell(told);
        assert_eq!(throttle.ms(), 2468);
    }
}
