//! The faults of a run. What they cost: one line per label, matrix point and kind of fault, put
//! together as [`crate::result::fault_figures`] says, times with their range over the injections.
//! And each injection in every block, as a table for the run's page.
//!
//! A recovery that was not seen is no time; it is counted.

use super::group::Group;
use super::table::DataTable;
use crate::model::{FaultKind, FaultTarget, Point, Told};
use crate::result::fault_figures::{FaultFigure, RESTART_FIGURES, RPO};
use crate::result::parts_in_words;
use crate::result::words::{copies, grouped, name as word, or_dash, significant, time, told};
use crate::result::{CellRecord, CellSummary, ComparedCell, Fault, StoredCell, Summary};
use itertools::Itertools;
use std::cmp::Ordering;

/// One kind of fault on one label.
pub struct FaultCost<'a> {
    pub label: &'a str,
    pub system: &'a str,
    pub point: &'a str,
    /// `kill of the leader, for good`.
    pub fault: String,
    /// Injections that took effect, by valid block.
    blocks: Vec<Vec<&'a Fault>>,
    pub missed: Vec<&'a str>,
    /// Over the blocks; `None` where a reply promises nothing.
    pub acked: Option<u64>,
    /// Blocks that the harness spoilt.
    pub invalid: usize,
}

/// In the order of the groups, then of injection.
pub fn fault_costs<'a>(groups: &[Group<'a>]) -> Vec<FaultCost<'a>> {
    let of_group = |group: &Group<'a>| {
        let faults = group.blocks.iter().flat_map(|block| &block.faults);
        faults.map(name).unique().map(|fault| FaultCost::of(group, fault)).collect_vec()
    };
    groups.iter().flat_map(of_group).collect()
}

impl<'a> FaultCost<'a> {
    fn of(group: &Group<'a>, fault: String) -> Self {
        let valid: Vec<&'a CellSummary> =
            group.blocks.iter().copied().filter(|cell| cell.valid).collect();
        let own = |block: &'a CellSummary| {
            block.faults.iter().filter(|one| name(one) == fault).collect::<Vec<_>>()
        };
        let struck = valid.iter().map(|block| {
            let mut own = own(block);
            own.retain(|one| one.not_applied.is_none());
            own
        });
        let all = group.blocks.iter().flat_map(|block| own(block));
        Self {
            label: group.label,
            system: group.system,
            point: group.point,
            blocks: struck.filter(|block| !block.is_empty()).collect(),
            missed: all.filter_map(|one| one.not_applied.as_deref()).collect(),
            acked: valid
                .iter()
                .map(|cell| cell.counts.acked)
                .sum::<Option<u64>>()
                .filter(|_| !valid.is_empty()),
            invalid: group.blocks.len() - valid.len(),
            fault,
        }
    }

    pub fn struck(&self) -> impl Iterator<Item = &'a Fault> {
        self.blocks.iter().flatten().copied()
    }

    /// Acknowledged messages that are gone; `None` where one injection does not tell.
    pub fn lost(&self) -> Option<u64> {
        RPO.over_blocks(&self.blocks)?.value().map(|lost| lost as u64)
    }

    /// `12 of 60,000`, or `10 to 12 of 60,000`: a simulated power loss takes the most.
    pub fn lost_in_words(&self) -> String {
        let least = || {
            self.struck()
                .map(|fault| fault.rpo_least_messages.or(fault.rpo_messages))
                .sum::<Option<u64>>()
        };
        let lost = self.lost().map(|most| range(least().unwrap_or(most), most));
        match (lost, self.acked) {
            (Some(lost), Some(acked)) => format!("{lost} of {}", grouped(acked)),
            (Some(lost), None) => lost,
            (None, None) if !self.blocks.is_empty() => "nothing is promised".to_owned(),
            (None, _) => self.absent("not known"),
        }
    }

    /// Value, least and most of a time; `None` where one injection has none.
    pub fn time(&self, figure: &FaultFigure) -> Option<[Told<f64>; 3]> {
        let value = figure.over_blocks(&self.blocks)?;
        let each = || self.struck().filter_map(|fault| figure.told(fault));
        let order = |a: &Told<f64>, b: &Told<f64>| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        Some([value, each().min_by(order)?, each().max_by(order)?])
    }

    /// `8.91 s`, or `8.91 s (8.10 s to 9.70 s)` of several; and where some never interrupted,
    /// `never interrupted (by 1 of 3: 12.0 s at most)`; where some came back only with the end of
    /// the fault, `> 8.00 s (from 2.30 s, only once healed in 9 of 10 faults)`.
    pub fn time_in_words(&self, figure: &FaultFigure) -> String {
        let words =
            |one: Told<f64>| told(one, |ns| if ns == 0.0 { "0".to_owned() } else { time(ns) });
        match self.time(figure) {
            Some([value, Told::AtMost(_), Told::Value(most)]) => {
                let hit = self.struck().filter_map(|fault| figure.told(fault)?.value()).count();
                let (all, most) = (self.struck().count(), words(Told::Value(most)));
                format!("{} (interrupted by {hit} of {all}, {most} at most)", words(value))
            }
            Some([value, Told::Value(least), Told::AtLeast(_)]) => {
                let healed = figure.bounds_in_words(&self.struck().collect::<Vec<_>>());
                format!("{} (from {}, {healed})", words(value), words(Told::Value(least)))
            }
            Some([Told::AtLeast(lasted), ..]) => {
                let healed = figure.bounds_in_words(&self.struck().collect::<Vec<_>>());
                format!("{} ({healed})", words(Told::AtLeast(lasted)))
            }
            Some([value, Told::Value(least), Told::Value(most)]) if least < most => {
                let [least, most] = [least, most].map(|ns| words(Told::Value(ns)));
                format!("{} ({least} to {most})", words(value))
            }
            Some([value, ..]) => words(value),
            None => {
                let (all, never) = (
                    self.struck().count(),
                    self.struck().filter(|f| (figure.of)(f).is_none()).count(),
                );
                let partly = format!("not in {never} of {all}");
                self.absent(if never < all { &partly } else { "–" })
            }
        }
    }

    /// Of a broker that was started again on its data; empty of any other.
    pub fn parts_in_words(&self) -> String {
        if !self.struck().any(|fault| fault.restart.is_some()) {
            return String::new();
        }
        let value = |figure: &FaultFigure| figure.over_blocks(&self.blocks)?.value();
        let [data, parts @ ..] = RESTART_FIGURES.each_ref().map(value);
        parts_in_words(data, parts)
    }

    fn absent(&self, otherwise: &str) -> String {
        match (self.blocks.is_empty(), self.missed.is_empty()) {
            (true, false) => "not applied".to_owned(),
            (true, true) if self.invalid > 0 => "invalid".to_owned(),
            _ => otherwise.to_owned(),
        }
    }
}

/// Conditions that name a fault; the others are the matrix'.
pub const FAULT: [&str; 4] = ["fault", "target", "copies", "for"];

/// Of a sum: ` over 3 kills`; empty for one alone.
pub fn over_faults(sum: &ComparedCell) -> String {
    let kill = Point::read(&sum.cell).get("fault") == Some(FaultKind::Kill.name());
    match (sum.n, kill) {
        (0 | 1, _) => String::new(),
        (n, true) => format!(" over {n} kills"),
        (n, false) => format!(" over {n} faults"),
    }
}

/// `10 to 12`, or `12`.
fn range(least: u64, most: u64) -> String {
    if least < most { format!("{} to {}", grouped(least), grouped(most)) } else { grouped(most) }
}

/// What was done to whom: `kill of the leader, for good`.
pub fn name(fault: &Fault) -> String {
    let for_good = if fault.for_good() { ", for good" } else { "" };
    of_whom(&fault.kind, &fault.target) + for_good
}

/// `kill of the leader`; our own consumers are hit as a whole.
pub fn of_whom(kind: &str, target: &str) -> String {
    let known = FaultKind::from_name(kind);
    let what = if known == Some(FaultKind::PowerLoss) { "power-loss (simulated)" } else { kind };
    let whom = match FaultTarget::from_name(target) {
        _ if known.is_some_and(FaultKind::is_ours) => return what.to_owned(),
        Some(FaultTarget::All) => "every node".to_owned(),
        Some(FaultTarget::Node | FaultTarget::Replica) => format!("a {target}"),
        None if target.is_empty() => "nobody".to_owned(),
        _ => format!("the {target}"),
    };
    format!("{what} of {whom}")
}

const HEAD: [&str; 25] = [
    "Fault",
    "Target",
    "Node",
    "Planned",
    "Took effect",
    "Healed",
    "RTO-publish",
    "RTO-durable",
    "RTO-deliver",
    "RTO-90 %",
    "Scripted",
    "Restart",
    "RTO-publish without",
    "RTO-deliver without",
    "RTO-90 % without",
    "Unavailable",
    "RPO, messages",
    "RPO",
    "Redundant again",
    "Probe",
    "Retries",
    "Not applied, not healed",
    "Verdict",
    "Guarantee",
    "Seen",
];
const NAMED: usize = 6;

/// Empty without faults.
pub fn table<'a>(cells: &'a [StoredCell], summary: &Summary, guarantee: &str) -> DataTable {
    let of_cell = |StoredCell { record, .. }: &'a StoredCell| {
        let verdict = summary
            .cells
            .iter()
            .find(|cell| cell.id == record.id)
            .map_or_else(|| "–".to_owned(), verdict);
        record.faults.iter().map(move |fault| (&record.id, row(record, fault, &verdict, guarantee)))
    };
    DataTable::placed(&HEAD, cells.iter().flat_map(of_cell))
}

fn verdict(cell: &CellSummary) -> String {
    match cell.judged {
        _ if !cell.valid => "INVALID".to_owned(),
        judged => or_dash(judged, |judged| word(&judged).to_uppercase()),
    }
}

fn row(record: &CellRecord, fault: &Fault, verdict: &str, guarantee: &str) -> Vec<String> {
    let start = record.window_start_ns.unwrap_or(0);
    let at = |ns: Option<u64>| or_dash(ns, |ns| significant((ns as f64 - start as f64) / 1e9));
    let long = |ns: Option<u64>| or_dash(ns, |ns| significant(ns as f64 / 1e9));
    let healed = if fault.for_good() { "never".to_owned() } else { at(fault.healed_at_ns) };
    let rto = [fault.rto_publish(), fault.rto_deliver(), fault.rto_90()];
    let back = |one: Option<Told>| {
        or_dash(one, |one| told(one.map(|ns| ns as f64), |ns| significant(ns / 1e9)))
    };
    let text = |text: &str| or_dash((!text.is_empty()).then_some(text), str::to_owned);
    let mut row = Vec::from([&fault.kind, &fault.target, &fault.node].map(|name| text(name)));
    row.extend([at(fault.planned_at_ns), at(fault.took_effect_at_ns), healed]);
    row.push(back(fault.rto_publish()));
    row.push(back(fault.rto_durable()));
    row.extend([fault.rto_deliver(), fault.rto_90()].map(back));
    row.push(long(fault.scripted_ns));
    row.push(or_dash(fault.restart, |restart| restart.in_words()));
    let copies = copies(&record.id, &record.survives);
    row.extend(rto.map(|one| long(fault.unscripted(one.and_then(Told::value), copies))));
    row.push(text(&unavailable(fault, start)));
    row.push(or_dash(fault.rpo_messages, |most| {
        range(fault.rpo_least_messages.unwrap_or(most), most)
    }));
    row.extend([fault.rpo_ns, fault.redundancy_ns, fault.probe_rto_ns].map(long));
    row.push(retries(record));
    row.push(text(&[&fault.not_applied, &fault.not_healed].into_iter().flatten().join("; ")));
    let early = fault.too_early.as_ref().map(|why| format!("loss says nothing of `save`: {why}"));
    let told = (!fault.text.is_empty()).then(|| fault.text.clone());
    let seen = told.into_iter().chain(early).join("; ");
    row.extend([verdict.to_owned(), guarantee.to_owned(), text(&seen)]);
    row
}

/// `stream 0: 5.02 to 13.9; stream 2: 5.02 to the end`.
fn unavailable(fault: &Fault, start: u64) -> String {
    let second = |ns: u64| significant((ns as f64 - start as f64) / 1e9);
    let told = fault.unavailable.iter().take(NAMED).map(|silence| {
        let to = silence.to_ns.map_or_else(|| "the end".to_owned(), second);
        format!("stream {}: {} to {to}", silence.partition, second(silence.from_ns))
    });
    let more = fault.unavailable.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("… {more} more"));
    told.chain(more).join("; ")
}

/// Of the whole cell: what is tried again is seldom one fault's alone.
fn retries(record: &CellRecord) -> String {
    let all = record
        .retries
        .iter()
        .map(|(reason, count)| format!("{} {reason}", grouped(*count)))
        .join("; ");
    if all.is_empty() { "0".to_owned() } else { all }
}
