//! Whether two runs may be compared, and what differs between them beside their figures.

use crate::result::{Baseline, BaselineFigure, ComparisonTerms, SettingChange};
use crate::yaml::suggest;
use itertools::Itertools;
use std::collections::{BTreeMap, BTreeSet};

/// Settings that make another load, not another system: figures under two loads say nothing of
/// each other.
const LOADS: [&str; 4] = ["load.", "message.", "experiment", "faults."];

/// Why the figures of two runs should not be compared, each reason in words; empty where they may.
pub fn unlike(before: &Baseline, now: &Baseline) -> Vec<String> {
    if before.scenario != now.scenario {
        return vec![format!(
            "it is of the scenario {}, this is {}",
            before.scenario, now.scenario
        )];
    }
    let version = |of: &Baseline| of.brokerbench_version.clone();
    let other = (version(before) != version(now))
        .then(|| format!("brokerbench {} measured it, this is {}", version(before), version(now)));
    let differ = changes("", &before.settings, &now.settings);
    let loads = differ.into_iter().filter(|one| LOADS.iter().any(|load| one.key.starts_with(load)));
    let in_words = |one: SettingChange| {
        let word = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
        format!("{} is {} there and {} here", one.key, word(one.before), word(one.now))
    };
    other.into_iter().chain(loads.map(in_words)).collect()
}

/// Refuses what is asked of a comparison and cannot be had of this baseline; `labels` are those of
/// the other run.
pub fn askable(before: &Baseline, labels: &[&str], terms: &ComparisonTerms) -> Result<(), String> {
    let own = || before.figures.iter().map(|figure| figure.label.as_str()).unique();
    if !own().any(|label| labels.contains(&label)) {
        let (there, here) = (own().join(", "), labels.join(", "));
        return Err(format!("no label is in both: it has {there}, this run {here}"));
    }
    if let Some(label) = &terms.relative_to
        && !(before.has(label) && labels.contains(&label.as_str()))
    {
        let both = own().filter(|label| labels.contains(label));
        let remedy = suggest(label, both);
        return Err(format!("--relative-to {label}: no label of both runs; {remedy}"));
    }
    for metric in &terms.metrics {
        if !before.figures.iter().any(|figure| figure.metric == *metric) {
            return Err(format!(
                "--metric {metric}: it has no such figure; save it again with --metric {metric}"
            ));
        }
    }
    Ok(())
}

/// What differs: settings, versions, the machine, and which cells there are.
pub fn differences(before: &Baseline, now: &Baseline) -> Vec<SettingChange> {
    let mut all = changes("", &before.settings, &now.settings);
    let told = |version: &str| -> BTreeMap<String, String> {
        [("brokerbench".to_owned(), version.to_owned())].into()
    };
    let (old, new) = (told(&before.brokerbench_version), told(&now.brokerbench_version));
    all.extend(changes("", &old, &new));
    all.extend(changes("version of ", &before.versions, &now.versions));
    all.extend(changes("host: ", &before.host, &now.host));
    let cells = |of: &Baseline| -> BTreeSet<String> {
        let place = |figure: &BaselineFigure| format!("{} {}", figure.label, figure.cell);
        of.figures.iter().map(place).collect()
    };
    let (old, new) = (cells(before), cells(now));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        Some(one.difference(other).join(", ")).filter(|cells| !cells.is_empty())
    };
    let (gone, come) = (only(&old, &new), only(&new, &old));
    if gone.is_some() || come.is_some() {
        all.push(SettingChange { key: "measured there only".into(), before: gone, now: come });
    }
    all
}

fn changes(
    prefix: &str,
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Vec<SettingChange> {
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != now.get(*key));
    let change = |key: &String| SettingChange {
        key: format!("{prefix}{key}"),
        before: before.get(key).cloned(),
        now: now.get(key).cloned(),
    };
    changed.map(change).collect()
}
