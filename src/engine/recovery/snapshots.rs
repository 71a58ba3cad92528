//! Whether a Redis that keeps its data by snapshots alone was killed before these could keep any:
//! then what it lost is said by the moment of the kill, not by its settings.

use crate::model::FaultKind;
use crate::record::SECOND_NS;
use crate::result::Fault;
use std::collections::BTreeMap;

/// Since its start, or the last one, so many snapshots must have been due.
const LEAST: u64 = 2;

/// Writes it into each fault that came too early. `settings` are the broker's own, as it tells
/// them; each message is one change.
pub fn note(
    faults: &mut [Fault],
    settings: &BTreeMap<String, String>,
    rate_per_s: Option<f64>,
    start_ns: u64,
) {
    let told = |name: &str| settings.get(name).map(String::as_str);
    let (Some(save), Some("no"), Some(rate)) = (told("save"), told("appendonly"), rate_per_s)
    else {
        return;
    };
    let Some(period_ns) = period_ns(save, rate) else { return };
    let mut since_ns = start_ns;
    for fault in faults {
        let Some(effect_ns) = fault.took_effect_at_ns else { continue };
        if !fault.fault_kind().is_some_and(FaultKind::takes_down) {
            continue;
        }
        let wrote_ns = effect_ns.saturating_sub(since_ns);
        if wrote_ns < LEAST * period_ns {
            fault.too_early = Some(format!(
                "it had written for {} s, and `save {save}` makes a snapshot every {} s at this \
                 rate: not before two of them were due",
                wrote_ns / SECOND_NS,
                period_ns.div_ceil(SECOND_NS)
            ));
        }
        since_ns = fault.healed_at_ns.unwrap_or(effect_ns);
    }
}

/// From one snapshot to the next; `None` where it makes none.
pub fn period_ns(save: &str, changes_per_s: f64) -> Option<u64> {
    let words: Vec<f64> =
        save.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let due = |pair: &[f64]| match pair {
        [seconds, changes] => Some(seconds.max(changes / changes_per_s)),
        _ => None,
    };
    let least = words.chunks(2).map(due).collect::<Option<Vec<_>>>()?.into_iter();
    let least = least.fold(f64::INFINITY, f64::min);
    least.is_finite().then_some((least * SECOND_NS as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, load, timeline};

    const STOCK: &str = "3600 1 300 100 60 10000";

    fn killed(at_s: u64) -> Fault {
        Fault {
            kind: "kill".into(),
            took_effect_at_ns: Some(at_s * SECOND_NS),
            healed_at_ns: Some((at_s + 1) * SECOND_NS),
            ..Fault::default()
        }
    }

    fn early(settings: &[(&str, &str)], kills_s: &[u64]) -> Vec<bool> {
        let settings = settings.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let mut faults: Vec<Fault> = kills_s.iter().map(|at| killed(*at)).collect();
        note(&mut faults, &settings.collect(), Some(1000.0), 10 * SECOND_NS);
        faults.iter().map(|fault| fault.too_early.is_some()).collect()
    }

    #[test]
    fn the_period_is_that_of_the_rule_that_is_met_first() {
        let seconds = |save, rate| period_ns(save, rate).map(|ns| ns / SECOND_NS);
        assert_eq!(seconds(STOCK, 1000.0), Some(60));
        assert_eq!(seconds(STOCK, 100.0), Some(100), "10,000 changes take longer than the minute");
        assert_eq!(seconds(STOCK, 1.0), Some(300));
        assert_eq!([seconds("", 1000.0), seconds("60", 1000.0), seconds("a b", 1.0)], [None; 3]);
    }

    #[test]
    fn each_kill_counts_from_the_start_before_it() {
        let stock = [("save", STOCK), ("appendonly", "no")];
        assert_eq!(early(&stock, &[12, 135, 250]), [true, false, true]);
        let logged = [("save", STOCK), ("appendonly", "yes")];
        assert_eq!(early(&logged, &[12]), [false], "its log keeps what snapshots do not");
        assert_eq!(early(&[("appendonly", "no")], &[12]), [false], "what is not told says nothing");
        assert_eq!(early(&[("save", ""), ("appendonly", "no")], &[12]), [false]);
    }

    /// Whoever claims to show what `save` keeps gives it the time to, whatever the phases.
    #[test]
    fn the_built_in_kill_of_stock_settings_comes_after_two_snapshots() {
        let back_ns = 5 * SECOND_NS;
        for profile in ["standard", "full"] {
            let overrides = Overrides { profile: Some(profile.into()), ..Overrides::default() };
            let cells = load("fault-tolerance", &overrides).unwrap().cells();
            let redis =
                cells.iter().filter_map(|cell| Some((cell, cell.config.broker.get("save")?)));
            for ((cell, save), seed) in redis.flat_map(|one| (0..200).map(move |seed| (one, seed)))
            {
                let period_ns = period_ns(save, cell.load.rate.unwrap().per_s()).unwrap();
                let mut since_ns = 0;
                for injection in timeline(&cell.faults, seed, 1) {
                    let at_ns = injection.at.nanos();
                    assert!(at_ns >= since_ns + LEAST * period_ns, "{profile}: {injection:?}");
                    since_ns = at_ns + back_ns;
                }
            }
        }
    }
}
