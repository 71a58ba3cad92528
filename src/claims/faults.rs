//! The cells of faulted load: what the faults of a run cost, one cell per label, kind of fault and
//! figure.
//!
//! How injections and blocks are put together is said by [`crate::result::fault_figures`].

use super::cells::{block, cell_of, joined, recompute};
use crate::model::{BASE, Metric, Told, metric};
use crate::result::fault_figures::{FAULT_FIGURES, FaultFigure, RESTART_FIGURES, caveat};
use crate::result::words::copies;
use crate::result::{
    BlockValue, CellOutcome, CellSummary, ComparedCell, Fault, Kind, Manifest, Summary,
};
use itertools::Itertools;

const NO_PROMISE: &str =
    "the reply promises nothing: there is no acknowledged message that could be lost";
/// What a quick look cannot show.
const TOO_EARLY: &str =
    "killed before its second snapshot, so what these settings keep is not shown";
/// Settings by which the others decide that a node is gone, in milliseconds.
pub(super) const DETECTION: [&str; 2] =
    ["broker.session.timeout.ms", "sentinel.down-after-milliseconds"];

/// Counts of the whole cell that belong beside its faults.
type Count = (&'static Metric, bool, fn(&CellSummary) -> Option<u64>);
const COUNTS: [Count; 3] = [
    (metric::FAULT_ACKED, true, |cell| cell.counts.acked),
    (metric::FAULT_NEVER_DELIVERED, false, |cell| cell.counts.lost),
    (metric::FAULT_DUPLICATE, false, |cell| cell.counts.duplicate),
];

/// The cells of one label at one matrix point; none without faults.
pub fn of_group(group: &[&CellSummary], run: &str) -> Vec<ComparedCell> {
    let points = group.iter().flat_map(|cell| cell.faults.iter().map(|fault| point(cell, fault)));
    let mut cells = Vec::new();
    for point in &points.unique().collect::<Vec<_>>() {
        let restarted =
            |cell: &&CellSummary| injected(cell, point).iter().any(|fault| fault.restart.is_some());
        let parts: &[FaultFigure] =
            if group.iter().any(restarted) { &RESTART_FIGURES } else { &[] };
        for figure in FAULT_FIGURES.iter().chain(parts) {
            let block = |cell: &&CellSummary| block_of(cell, point, figure);
            let note = over_all(group, point, figure);
            let (metric, acknowledged) = (figure.metric, figure.acknowledged);
            cells.push(of_blocks(group, point, metric, acknowledged, block, note, run));
        }
        for (metric, acknowledged, of) in COUNTS {
            let block = |cell: &&CellSummary| count_of(cell, point, of);
            cells.push(of_blocks(group, point, metric, acknowledged, block, None, run));
        }
    }
    cells
}

/// `fault=kill,target=leader,copies=3,for=never`, after the matrix point.
fn point(cell: &CellSummary, fault: &Fault) -> String {
    let copies = copies(&cell.id, &cell.survives);
    let lasts = if fault.for_good() { ",for=never" } else { "" };
    joined(
        &cell.cell,
        &format!("fault={},target={},copies={copies}{lasts}", fault.kind, fault.target),
    )
}

fn of_blocks(
    group: &[&CellSummary],
    point: &str,
    metric: &Metric,
    acknowledged: bool,
    block: impl Fn(&&CellSummary) -> BlockValue,
    note: Option<String>,
    run: &str,
) -> ComparedCell {
    let mut per_block: Vec<BlockValue> = group.iter().map(block).collect();
    let empty = per_block.iter().all(|block| block.told().is_none());
    let unable =
        acknowledged && empty && group.iter().any(|cell| cell.valid && cell.counts.acked.is_none());
    let kind = if unable { Kind::Cannot } else { Kind::Measured };
    for block in per_block.iter_mut().filter(|block| unable && block.valid) {
        block.because = NO_PROMISE.to_owned();
    }
    recompute(ComparedCell {
        cell: point.to_owned(),
        kind,
        per_block,
        notes: note.into_iter().collect(),
        ..cell_of(group[0], metric.name, metric.unit, run)
    })
}

/// The injections that a cell's point stands for.
fn injected<'a>(cell: &'a CellSummary, at: &str) -> Vec<&'a Fault> {
    cell.faults.iter().filter(|fault| point(cell, fault) == at).collect()
}

/// What the injections of all blocks say together; nothing where one of them does not tell.
fn over_all(group: &[&CellSummary], point: &str, figure: &FaultFigure) -> Option<String> {
    let valid = group.iter().filter(|cell| cell.valid);
    let struck: Vec<&Fault> = valid
        .flat_map(|cell| injected(cell, point))
        .filter(|fault| fault.took_effect_at_ns.is_some())
        .collect();
    figure.of_block(&struck)?;
    let gone = figure.metric == metric::FAULT_GONE;
    let early = struck.iter().any(|fault| fault.too_early.is_some());
    let note = if gone { caveat(&struck) } else { figure.bounds_in_words(&struck) };
    let tells = !(gone && early || note.is_empty());
    tells.then_some(note)
}

fn block_of(cell: &CellSummary, point: &str, figure: &FaultFigure) -> BlockValue {
    let faults = injected(cell, point);
    let struck: Vec<&Fault> =
        faults.iter().copied().filter(|fault| fault.took_effect_at_ns.is_some()).collect();
    let mut because = what_happened(cell, &faults);
    let early = struck.iter().find_map(|fault| fault.too_early.as_ref());
    let losses = figure.metric == metric::FAULT_GONE || figure.metric == metric::FAULT_RPO_TIME;
    if let Some(why) = early.filter(|_| losses && because.is_empty()) {
        because = format!("{TOO_EARLY}: {why}");
        return block(cell, None, struck.len() as u64, because);
    }
    let whole = figure.of_block(&struck).filter(|_| cell.valid);
    if because.is_empty() && whole.is_none() {
        let told = struck.iter().map(|fault| fault.text.as_str()).find(|text| !text.is_empty());
        because = told.unwrap_or("not known").into();
    }
    let value = whole.and_then(Told::value);
    let (at_most, at_least) = (whole.and_then(Told::at_most), whole.and_then(Told::at_least));
    BlockValue { at_most, at_least, ..block(cell, value, struck.len() as u64, because) }
}

fn count_of(cell: &CellSummary, point: &str, of: fn(&CellSummary) -> Option<u64>) -> BlockValue {
    let faults = injected(cell, point);
    let struck = faults.iter().filter(|fault| fault.took_effect_at_ns.is_some()).count();
    // Nothing lost where nothing struck says nothing.
    let value = of(cell).filter(|_| cell.valid && struck > 0).map(|count| count as f64);
    block(cell, value, struck as u64, what_happened(cell, &faults))
}

/// Why a block says nothing of its faults; empty where it does.
fn what_happened(cell: &CellSummary, faults: &[&Fault]) -> String {
    if !cell.valid {
        return format!("invalid: {}", cell.invalid_because.join("; "));
    }
    let told = |fault: &&Fault| {
        Some(format!("not measured: the fault was not applied: {}", fault.not_applied.as_ref()?))
    };
    faults.iter().find_map(told).unwrap_or_default()
}

/// After how long a node counts as gone, as read back from the brokers of each label with several
/// nodes.
pub fn detection(manifest: &Manifest, summary: &Summary) -> Vec<ComparedCell> {
    let struck = summary.cells.iter().filter(|cell| cell.nodes > 1 && !cell.faults.is_empty());
    let setting = |cell: &CellSummary| {
        let config = &manifest.systems.get(&cell.label)?.broker_config;
        let (name, value) = DETECTION.iter().find_map(|name| Some((*name, config.get(*name)?)))?;
        Some((name, value.trim().parse::<f64>().ok()?))
    };
    let told = |cell: &CellSummary| {
        let (name, ms) = setting(cell)?;
        let value = block(cell, Some(ms), 0, format!("{name}, as read back"));
        let value = BlockValue { valid: true, outcome: CellOutcome::Ok, ..value };
        Some(recompute(ComparedCell {
            cell: BASE.to_owned(),
            kind: Kind::Measured,
            per_block: vec![value],
            ..cell_of(
                cell,
                metric::FAULT_DETECTION.name,
                metric::FAULT_DETECTION.unit,
                &summary.run,
            )
        }))
    };
    struck.unique_by(|cell| &cell.label).filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::summarize;
    use crate::result::testing::throughput_run;

    const SECOND: u64 = 1_000_000_000;

    fn fault(lost: u64, rto_s: Option<u64>) -> Fault {
        Fault {
            kind: "kill".into(),
            target: "leader".into(),
            took_effect_at_ns: Some(5 * SECOND),
            healed_at_ns: Some(6 * SECOND),
            rpo_messages: Some(lost),
            rpo_ns: Some(lost * 1000),
            rto_publish_ns: rto_s.map(|s| s * SECOND),
            ..Fault::default()
        }
    }

    /// One block of kafka with these faults.
    fn cells(faults: &[Fault], change: impl Fn(&mut CellSummary)) -> Vec<ComparedCell> {
        let dir = tempfile::tempdir().unwrap();
        let mut cell = summarize(&throughput_run(dir.path(), 1)).unwrap().cells.remove(0);
        (cell.id.cell, cell.faults) = ("base".into(), faults.to_vec());
        change(&mut cell);
        of_group(&[&cell], "run")
    }

    fn found<'a>(cells: &'a [ComparedCell], metric: &str) -> &'a ComparedCell {
        cells.iter().find(|cell| cell.metric == metric).unwrap()
    }

    #[test]
    fn injections_are_gathered_by_kind_and_target() {
        let all = [
            fault(0, Some(3)),
            fault(7, Some(9)),
            fault(1, Some(4)),
            Fault { kind: "pause".into(), ..fault(50, None) },
        ];
        let all = cells(&all, |_| {});
        let rpo = found(&all, "fault.gone_from_broker");
        assert_eq!(
            (rpo.cell.as_str(), rpo.value, rpo.n),
            ("fault=kill,target=leader,copies=1", Some(8.0), 3)
        );
        assert_eq!(rpo.text, "gone in 2 of 3 faults");
        let near = |metric: &str, expected: f64| {
            (found(&all, metric).value.unwrap() - expected).abs() < 1e-6 * expected
        };
        assert!(near("fault.rpo_time", 7000.0) && near("fault.rto_publish", 4e9), "{all:?}");
        assert_eq!(found(&all, "fault.acked").unit, "msg");
        let pauses: Vec<_> = all.iter().filter(|cell| cell.cell.contains("fault=pause")).collect();
        assert_eq!((pauses.len(), pauses[0].value), (12, Some(50.0)));
    }

    #[test]
    fn what_is_lost_for_good_and_what_was_not_applied_say_so() {
        let gone = Fault {
            healed_at_ns: None,
            text: "stream 0: no acknowledgement any more until the end".into(),
            ..fault(9, None)
        };
        let all = cells(&[gone], |cell| cell.id.nodes = 3);
        assert!(
            found(&all, "fault.gone_from_broker").cell.ends_with("copies=1,for=never"),
            "copies of a partition, not nodes"
        );
        let rto = found(&all, "fault.rto_publish");
        assert_eq!((rto.value, rto.kind), (None, Kind::Measured));
        assert!(rto.text.contains("no acknowledgement any more"), "{}", rto.text);
        let missed = Fault { not_applied: Some("no such privilege".into()), ..Fault::default() };
        let all = cells(&[missed], |_| {});
        assert!(
            all.iter().all(|cell| cell.value.is_none()),
            "nothing lost where nothing struck is no figure: {all:#?}"
        );
        let why = "not measured: the fault was not applied: no such privilege";
        assert!(all.iter().all(|cell| cell.text.contains(why)), "{all:#?}");
        let simulated = cells(&[Fault { kind: "power-loss".into(), ..fault(0, Some(1)) }], |_| {});
        assert!(
            found(&simulated, "fault.gone_from_broker")
                .text
                .contains("none in 1 fault; simulated power loss")
        );
    }

    #[test]
    fn without_acknowledgements_nothing_acknowledged_is_lost_and_invalid_blocks_say_nothing() {
        let unpromised = Fault { rpo_messages: None, rpo_ns: None, ..fault(0, Some(1)) };
        let all = cells(&[unpromised], |cell| cell.counts.acked = None);
        let rpo = found(&all, "fault.gone_from_broker");
        assert_eq!((rpo.kind, rpo.value, rpo.text.as_str()), (Kind::Cannot, None, NO_PROMISE));
        assert!(found(&all, "fault.never_delivered").value.is_some());
        let all = cells(&[fault(3, Some(1))], |cell| {
            cell.valid = false;
            cell.invalid_because = vec!["late".into()];
        });
        assert!(all.iter().all(|cell| cell.value.is_none() && cell.text.contains("invalid: late")));
        assert_eq!(cells(&[], |_| {}).len(), 0);
    }

    #[test]
    fn what_was_never_interrupted_has_a_bound_and_no_value() {
        let never = || Fault { rto_publish_at_most_ns: Some(SECOND / 10), ..fault(0, None) };
        let all = cells(&[never(), never(), fault(0, Some(12))], |_| {});
        let rto = found(&all, "fault.rto_publish");
        assert_eq!((rto.value, rto.at_most, rto.n, rto.blocks), (None, Some(1e8), 3, 1));
        assert_eq!(rto.text, "interrupted by 1 of 3 faults");
    }

    #[test]
    fn detection_is_what_the_brokers_say() {
        let dir = tempfile::tempdir().unwrap();
        let folder = throughput_run(dir.path(), 1);
        let (mut manifest, mut summary) =
            (folder.read_manifest().unwrap(), summarize(&folder).unwrap());
        assert!(detection(&manifest, &summary).is_empty(), "nothing was injected");
        for cell in summary.cells.iter_mut().filter(|cell| cell.label == "kafka") {
            (cell.id.nodes, cell.faults) = (3, vec![fault(0, None)]);
        }
        let config = &mut manifest.systems.get_mut("kafka").unwrap().broker_config;
        config.insert("broker.session.timeout.ms".into(), "9000".into());
        let [told] = &detection(&manifest, &summary)[..] else { panic!("one label") };
        assert_eq!((told.value, told.unit.as_str()), (Some(9000.0), "ms"));
        assert_eq!(told.text, "broker.session.timeout.ms, as read back");
    }
}
