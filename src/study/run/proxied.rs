//! What the fault proxy adds to every figure of the labels that go through it: measured by itself, on this machine, before
//! any broker is there.

use crate::fault::proxy::{Cost, cost};
use crate::result::words;
use crate::scenario::Scenario;

/// Round trips, and bytes in each direction.
const PINGS: usize = 5_000;
const BULK: u64 = 256 << 20;

/// In words; `None` where no client goes through a proxy.
pub fn cost_in_words(scenario: &Scenario) -> Option<String> {
    let labels = scenario.systems.iter().filter(|(_, config)| config.proxied).map(|(label, _)| label.as_str());
    let labels = labels.collect::<Vec<_>>().join(", ");
    let words = |found: Cost| told(&labels, &found);
    (!labels.is_empty()).then(|| {
        cost(PINGS, BULK).map_or_else(|error| format!("{labels}: clients go through the fault proxy; {error}"), words)
    })
}

fn told(labels: &str, cost: &Cost) -> String {
    let time = |ns: u64| words::time(ns as f64);
    let rate = |bytes_per_s: f64| format!("{:.0} MB/s", bytes_per_s / 1e6);
    format!(
        "{labels}: clients go through the fault proxy, which adds {} to a round trip at the median and {} at p99, and \
         carries {} each way where loopback carries {}",
        time(cost.added_p50_ns()),
        time(cost.added_p99_ns()),
        rate(cost.proxied.bytes_per_s),
        rate(cost.direct.bytes_per_s),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::proxy::Leg;

    #[test]
    fn both_ways_stand_side_by_side() {
        let leg = |p50_ns, p99_ns, bytes_per_s| Leg { pings: 10, p50_ns, p99_ns, bytes_per_s };
        let found = Cost { direct: leg(10_000, 30_000, 3e9), proxied: leg(25_000, 90_000, 9e8) };
        assert_eq!(
            told("kafka, redis-lists", &found),
            "kafka, redis-lists: clients go through the fault proxy, which adds 15.0 µs to a round trip at the median and \
             60.0 µs at p99, and carries 900 MB/s each way where loopback carries 3000 MB/s"
        );
    }

    #[test]
    fn only_those_who_go_through_it_are_told() {
        let with = |faults: &str| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-streams]\nmessage: {{size: 100B}}\n{faults}\
                 load: {{model: open, rate: 1k/s, duration: 20s, in-flight: 65536}}\n"
            );
            cost_in_words(&crate::scenario::from_text("t", &text, &crate::scenario::Overrides::default()).unwrap())
        };
        assert_eq!(with(""), None);
        assert!(with("faults: [{kind: net-stall, at: 1s, for: 1s}]\n").unwrap().contains("adds"));
    }
}
