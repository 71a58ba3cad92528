//! From the raw files of a run to its summary: a pure function of the run folder, the same whenever
//! it is called.
//!
//! Histograms of one cell are merged, never averaged; nothing is estimated; what was not measured
//! is `None`.

use super::distribution::Distribution;
use super::error::ResultError;
use super::folder::{RunFolder, StoredCell};
use super::judge::judge;
use super::latencies::Latencies;
use super::measure::Distributions;
use super::raw::CellRecord;
use super::shard::Sharded;
use super::stages::{knee_per_s, stages};
use super::summary::{CellOutcome, CellSummary, Fault, Rates, SCHEMA, Summary};
use super::words::copies;
use crate::model::Latency;

/// Computes `summary.json` from the manifest and the raw files of every finished cell.
pub fn summarize(folder: &RunFolder) -> Result<Summary, ResultError> {
    let manifest = folder.read_manifest()?;
    if let Some(Sharded { run_id, count, shard: Some(_), .. }) = &manifest.sharded {
        let (path, run_id) = (folder.path().to_owned(), run_id.clone());
        return Err(ResultError::Part { path, run_id, count: *count });
    }
    let cells = folder.read_cells(&manifest)?;
    Ok(Summary {
        schema: SCHEMA,
        run: manifest.run.clone(),
        status: manifest.status,
        exit_code: manifest.exit_code,
        scenario: manifest.scenario.name.clone(),
        profile: manifest.profile.clone(),
        environment: manifest.environment.clone(),
        // `gate` adds what the run is held against.
        thresholds: Vec::new(),
        baseline: None,
        cells: cells
            .into_iter()
            .map(|cell| summarize_cell(cell, &manifest.scenario.guarantee))
            .collect::<Result<_, _>>()?,
    })
}

fn summarize_cell(cell: StoredCell, guarantee: &str) -> Result<CellSummary, ResultError> {
    let (histograms, stages) = (cell.histograms()?, stages(&cell)?);
    let record = cell.record;
    let invalid_because = invalid_because(&record);
    let (judged, judged_because) = judge(&record, guarantee, invalid_because.is_empty());
    // In the closed model nothing is planned, so nothing can be late against a plan.
    let has = |latency: Latency| {
        (record.open_loop || !latency.planned())
            && (record.counts.acked.is_some() || !latency.acknowledged())
    };
    let none = crate::record::new_histogram();
    let distributions: Distributions = Latency::ALL
        .into_iter()
        .filter(|latency| has(*latency))
        .map(|latency| {
            let recorded = histograms.get(&latency).unwrap_or(&none);
            (latency, Distribution::of(recorded, record.censored(latency)))
        })
        .filter(|(_, distribution)| !distribution.is_empty())
        .collect();
    let copies = copies(&record.id, &record.survives);
    let faults = record
        .faults
        .iter()
        .map(|fault| Fault { redundant: fault.redundant_of(copies), ..fault.clone() });
    let window_ns = record.window_end_ns.zip(record.window_start_ns);
    let window_ns = window_ns.map(|(end, start)| end.saturating_sub(start));
    Ok(CellSummary {
        faults: faults.collect(),
        valid: invalid_because.is_empty(),
        interrupted_after_ns: window_ns.filter(|_| record.interrupted),
        judged,
        judged_because,
        invalid_because,
        latency: Latencies::new(|latency| Some(distributions.get(&latency)?.quantiles())),
        distributions,
        rates: rates(&record),
        knee_per_s: knee_per_s(&stages),
        stages,
        completed_of_planned: record.completed_of_planned(),
        held_by_consumers: record.held_by_consumers,
        id: record.id,
        repeated_because: record.repeated_because,
        outcome: record.outcome,
        outcome_because: record.outcome_because,
        survives: record.survives,
        setting: record.setting,
        counts: record.counts,
        failures: record.failures,
        retries: record.retries,
        floor: record.floor,
        resources: record.resources,
        experiment: record.experiment,
        observations: record.observations,
        files: cell.files,
    })
}

/// Why the harness, not the broker, spoilt the cell; empty for a valid one.
pub fn invalid_because(record: &CellRecord) -> Vec<String> {
    let mut reasons: Vec<String> = record
        .gates
        .iter()
        .filter(|gate| gate.spoils())
        .map(|gate| format!("{}: {} (limit {})", gate.name, gate.found, gate.limit))
        .collect();
    if record.interrupted {
        reasons.push("interrupted before its window ended".to_owned());
    }
    if let Some(error) = &record.error {
        reasons.push(format!("ended early: {error}"));
    }
    // An experiment measures by its own procedure and needs no window; what a system cannot do has
    // none, and neither has what its broker refused beforehand.
    if record.experiment.is_none()
        && record.cannot().is_none()
        && record.outcome != CellOutcome::Stalled
        && window_seconds(record).is_none()
        && reasons.is_empty()
    {
        reasons.push("the measured window never began or has no length".to_owned());
    }
    reasons
}

fn window_seconds(record: &CellRecord) -> Option<f64> {
    let length = record.window_end_ns?.checked_sub(record.window_start_ns?)?;
    (length > 0).then_some(length as f64 / 1e9)
}

/// Rates over the measured window; none of them without one.
pub fn rates(record: &CellRecord) -> Rates {
    let counted = Counted {
        planned: record.window_planned,
        sent: record.window_sent,
        acked: record.window_acked,
        consumed: record.window_consumed,
    };
    let rates = window_seconds(record).map(|seconds| rates_over(record, &counted, seconds));
    rates.unwrap_or_default()
}

/// Messages of a span of the window: by the plan, and by the clock.
pub(super) struct Counted {
    pub planned: Option<u64>,
    pub sent: u64,
    pub acked: u64,
    pub consumed: u64,
}

pub(super) fn rates_over(record: &CellRecord, counted: &Counted, seconds: f64) -> Rates {
    let per_s = |count: u64| count as f64 / seconds;
    // A message is good once every subscription has it: the pairs consumed, divided by the
    // subscriptions.
    let each = f64::from(record.subscriptions.max(1));
    let consumed_by_all = counted.consumed as f64 / each;
    // Where nobody consumes, what was acknowledged; where nobody published, what was read.
    let good = match (record.subscriptions, record.window_bytes) {
        (0, _) => counted.acked as f64,
        (_, Some(_)) => consumed_by_all,
        _ => (counted.acked as f64).min(consumed_by_all),
    };
    let goodput = good / seconds;
    let bytes = record.window_bytes.map(|bytes| per_s(bytes) / each);
    Rates {
        offered_per_s: counted.planned.filter(|_| record.open_loop).map(per_s),
        sent_per_s: Some(per_s(counted.sent)),
        acked_per_s: record.counts.acked.map(|_| per_s(counted.acked)),
        consumed_per_s: Some(per_s(counted.consumed)),
        goodput_per_s: Some(goodput),
        goodput_bytes_per_s: bytes.or(Some(goodput * record.message_bytes as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, cell, manifest};
    use super::*;
    use crate::result::Blame;
    use crate::result::{Event, Gate, Judged};

    #[test]
    fn known_raw_files_give_known_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let folder = testing::latency_run(dir.path());
        let summary = summarize(&folder).unwrap();
        let text = serde_json::to_string_pretty(&summary.cells[0]).unwrap();
        insta::assert_snapshot!(text);
        assert_eq!(
            summary,
            summarize(&RunFolder::open(folder.path()).unwrap()).unwrap(),
            "a pure function of the files"
        );
        let order: Vec<String> = summary
            .cells
            .iter()
            .map(|cell| format!("{} {} {}", cell.label, cell.cell, cell.block))
            .collect();
        assert_eq!(
            order[..3],
            ["kafka load.rate=1k/s 1", "kafka load.rate=1k/s 2", "kafka load.rate=1k/s 3"]
        );
        assert_eq!(order[3], "kafka load.rate=10k/s 1", "points in order of quantity");
        assert_eq!(
            summary.cells.last().unwrap().label,
            "redis-lists",
            "labels in the scenario's order"
        );
    }

    #[test]
    fn only_the_harness_makes_a_cell_invalid() {
        let mut output = cell("kafka", "base", 1);
        output.record.outcome = CellOutcome::Overloaded;
        let gate = |blames| Gate {
            name: "rate".into(),
            held: Some(false),
            blames,
            found: "8k/s".into(),
            limit: "10k/s".into(),
        };
        output.record.gates = vec![gate(Blame::Broker)];
        assert!(invalid_because(&output.record).is_empty());
        output.record.gates.push(gate(Blame::Harness));
        assert_eq!(invalid_because(&output.record), ["rate: 8k/s (limit 10k/s)"]);
        output.record.gates.clear();
        output.record.window_end_ns = None;
        assert_eq!(invalid_because(&output.record).len(), 1);
        assert_eq!(rates(&output.record), Rates::default());
    }

    #[test]
    fn what_a_system_cannot_do_is_valid_and_has_no_figure() {
        use crate::result::{CellId, Kind, Resources};
        let name = || "redis-lists".to_owned();
        let id = CellId {
            label: name(),
            system: name(),
            nodes: 1,
            cell: "base".into(),
            block: 1,
            variant: None,
            same_as: None,
            shards: None,
        };
        let record =
            CellRecord { id, ..CellRecord::empty() }.unable("a list element goes to one consumer");
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "latency").unwrap();
        folder.write_manifest(&manifest(&folder, "latency", 1)).unwrap();
        folder.write_cell(&crate::result::CellOutput::of_record(record)).unwrap();
        let cell = summarize(&folder).unwrap().cells.remove(0);
        assert!(cell.valid && cell.invalid_because.is_empty() && cell.experiment.is_none());
        assert_eq!((cell.counts, cell.latency, cell.rates), Default::default());
        assert_eq!((cell.resources, cell.judged), (Resources::default(), Some(Judged::Cannot)));
        let [why] = &cell.observations[..] else { panic!("{:?}", cell.observations) };
        assert_eq!((why.metric.as_str(), why.kind, why.value), ("complete", Kind::Cannot, None));
        assert!(why.text.contains("goes to one consumer"));
        let mut ran = testing::cell("kafka", "base", 1).record;
        ran.window_end_ns = None;
        assert!(
            ran.cannot().is_none() && !invalid_because(&ran).is_empty(),
            "no window is no excuse for the able"
        );
    }

    #[test]
    fn fan_out_counts_a_message_once_every_subscription_has_it() {
        let mut record = cell("kafka", "base", 1).record;
        record.subscriptions = 4;
        record.window_acked = 10_000;
        record.window_consumed = 36_000;
        (record.window_start_ns, record.window_end_ns) = (Some(0), Some(10_000_000_000));
        let rates = rates(&record);
        assert_eq!(rates.consumed_per_s, Some(3_600.0));
        assert_eq!(rates.goodput_per_s, Some(900.0));
    }

    #[test]
    fn one_side_alone_has_the_rate_of_that_side() {
        let mut record = cell("kafka", "base", 1).record;
        (record.window_start_ns, record.window_end_ns) = (Some(0), Some(10_000_000_000));
        (record.window_acked, record.window_consumed) = (5_000, 0);
        let producing = CellRecord { subscriptions: 0, ..record.clone() };
        assert_eq!(rates(&producing).goodput_per_s, Some(500.0));
        (record.window_acked, record.window_consumed) = (0, 4_000);
        let consuming = CellRecord { window_bytes: Some(80_000), subscriptions: 2, ..record };
        let found = rates(&consuming);
        assert_eq!(found.goodput_per_s, Some(200.0));
        assert_eq!(found.goodput_bytes_per_s, Some(4_000.0));
    }

    #[test]
    fn damaged_and_missing_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = testing::latency_run(dir.path());
        let summary = summarize(&folder).unwrap();
        let file = |kind: &str| folder.path().join(&summary.cells[0].files[kind]);
        for (kind, damage) in [("accounting", "{\"schema\": 1"), ("latency", "no log at all")] {
            let sound = std::fs::read(file(kind)).unwrap();
            std::fs::write(file(kind), damage).unwrap();
            let error = summarize(&folder).unwrap_err().to_string();
            assert!(error.contains(file(kind).to_str().unwrap()), "{error}");
            std::fs::write(file(kind), sound).unwrap();
        }
        std::fs::remove_file(file("latency")).unwrap();
        assert!(summarize(&folder).unwrap_err().to_string().contains("latency.hlog"));
        std::fs::write(folder.path().join("manifest.json"), "{\"schema\": 7}").unwrap();
        assert!(
            RunFolder::open(folder.path()).unwrap_err().to_string().contains("newer brokerbench")
        );
    }

    #[test]
    fn the_newest_run_is_found_and_none_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunFolder::latest(dir.path()).unwrap_err().to_string().contains("no run found"));
        let mut last = String::new();
        for _ in 0..3 {
            let folder = RunFolder::create(dir.path(), "Latency").unwrap();
            folder.write_manifest(&manifest(&folder, "latency", 1)).unwrap();
            last = folder.name().to_owned();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        RunFolder::create(dir.path(), "without manifest").unwrap();
        let latest = RunFolder::latest(dir.path()).unwrap();
        assert_eq!(latest.name(), last);
        assert!(last.contains("Z-latency-"), "{last}");
    }

    #[test]
    fn windows_and_events_survive_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "x").unwrap();
        let output = cell("kafka", "load.rate=1k/s", 2);
        folder.write_cell(&output).unwrap();
        let manifest = manifest(&folder, "latency", 1);
        folder.write_manifest(&manifest).unwrap();
        let cells = folder.read_cells(&manifest).unwrap();
        assert_eq!(cells[0].record, output.record);
        assert_eq!(cells[0].windows().unwrap(), output.windows);
        let events = std::fs::read(folder.path().join(&cells[0].files["events"])).unwrap();
        let events = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        assert!(
            events
                .map(|line| serde_json::from_slice::<Event>(line).unwrap())
                .eq(output.events.iter().cloned())
        );
        let mut bad = output;
        bad.record.id.label = "../up".into();
        assert!(folder.write_cell(&bad).unwrap_err().to_string().contains("../up"));
    }
}
