//! What the faults of a run cost: one line per label, matrix point and kind of fault, put together as
//! [`crate::result::fault_figures`] says, times with their range over the injections.
//!
//! A recovery that was not seen is no time; it is counted.

use super::group::Group;
use crate::result::fault_figures::{FaultFigure, RPO};
use crate::result::words::{grouped, time};
use crate::result::{CellSummary, Fault};

/// One kind of fault on one label.
pub struct FaultCost<'a> {
    pub label: &'a str,
    pub system: &'a str,
    pub point: &'a str,
    /// `kill of the leader, for good`.
    pub fault: String,
    /// Injections that took effect, by valid block.
    blocks: Vec<Vec<&'a Fault>>,
    /// Why others did not.
    pub missed: Vec<&'a str>,
    /// Over the blocks; `None` where a reply promises nothing.
    pub acked: Option<u64>,
    /// Blocks that the harness spoilt.
    pub invalid: usize,
}

/// In the order of the groups, then of injection.
pub fn fault_costs<'a>(groups: &[Group<'a>]) -> Vec<FaultCost<'a>> {
    let mut all: Vec<FaultCost<'a>> = Vec::new();
    for group in groups {
        let from = all.len();
        for block in group.blocks.iter().copied() {
            let mut here: Vec<usize> = Vec::new();
            for fault in &block.faults {
                let name = name(fault);
                let at = match all[from..].iter().position(|cost| cost.fault == name) {
                    Some(at) => from + at,
                    None => {
                        all.push(FaultCost::new(group, name));
                        all.len() - 1
                    }
                };
                match (&fault.not_applied, block.valid) {
                    (Some(why), _) => all[at].missed.push(why),
                    (None, true) if here.contains(&at) => {
                        all[at].blocks.last_mut().into_iter().for_each(|block| block.push(fault))
                    }
                    (None, true) => {
                        here.push(at);
                        all[at].blocks.push(vec![fault]);
                    }
                    (None, false) => {}
                }
            }
        }
    }
    all
}

impl<'a> FaultCost<'a> {
    fn new(group: &Group<'a>, fault: String) -> Self {
        let valid = || group.blocks.iter().copied().filter(|cell| cell.valid);
        let acked = |cell: &CellSummary| cell.counts.acked;
        Self {
            label: group.label,
            system: group.system,
            point: group.point,
            fault,
            blocks: Vec::new(),
            missed: Vec::new(),
            acked: valid().map(acked).sum::<Option<u64>>().filter(|_| valid().next().is_some()),
            invalid: group.blocks.iter().filter(|cell| !cell.valid).count(),
        }
    }

    /// Injections that took effect, in valid blocks.
    pub fn struck(&self) -> impl Iterator<Item = &'a Fault> {
        self.blocks.iter().flatten().copied()
    }

    /// Acknowledged messages that are gone; `None` where one injection does not tell.
    pub fn lost(&self) -> Option<u64> {
        RPO.over_blocks(&self.blocks).map(|lost| lost as u64)
    }

    /// `12 of 60,000`, or `10 to 12 of 60,000`: a simulated power loss takes the most.
    pub fn lost_in_words(&self) -> String {
        let least = || self.struck().map(|fault| fault.rpo_least_messages.or(fault.rpo_messages)).sum::<Option<u64>>();
        let lost = self.lost().map(|most| range(least().unwrap_or(most), most));
        match (lost, self.acked) {
            (Some(lost), Some(acked)) => format!("{lost} of {}", grouped(acked)),
            (Some(lost), None) => lost,
            (None, None) if !self.blocks.is_empty() => "nothing is promised".to_owned(),
            (None, _) => self.absent("not known"),
        }
    }

    /// Value, least and most of a time; `None` where one injection has none.
    pub fn time(&self, figure: &FaultFigure) -> Option<[f64; 3]> {
        let value = figure.over_blocks(&self.blocks)?;
        let values = || self.struck().filter_map(|fault| Some((figure.of)(fault)? as f64));
        Some([value, values().fold(value, f64::min), values().fold(value, f64::max)])
    }

    /// `8.91 s`, or `8.91 s (8.10 s to 9.70 s)` of several.
    pub fn time_in_words(&self, figure: &FaultFigure) -> String {
        let words = |ns: f64| if ns == 0.0 { "0".to_owned() } else { time(ns) };
        match self.time(figure) {
            Some([value, least, most]) if least < most => {
                format!("{} ({} to {})", words(value), words(least), words(most))
            }
            Some([value, ..]) => words(value),
            None => {
                let (all, never) = (self.struck().count(), self.struck().filter(|f| (figure.of)(f).is_none()).count());
                let partly = format!("not in {never} of {all}");
                self.absent(if never < all { &partly } else { "–" })
            }
        }
    }

    fn absent(&self, otherwise: &str) -> String {
        match (self.blocks.is_empty(), self.missed.is_empty()) {
            (true, false) => "not applied".to_owned(),
            (true, true) if self.invalid > 0 => "invalid".to_owned(),
            _ => otherwise.to_owned(),
        }
    }
}

/// `10 to 12`, or `12`.
pub fn range(least: u64, most: u64) -> String {
    if least < most { format!("{} to {}", grouped(least), grouped(most)) } else { grouped(most) }
}

/// What was done to whom: `kill of the leader, for good`.
pub fn name(fault: &Fault) -> String {
    let whom = match fault.target.as_str() {
        "all" => "every node".to_owned(),
        "node" => "a node".to_owned(),
        "replica" | "consumer" => format!("a {}", fault.target),
        "" => "nobody".to_owned(),
        other => format!("the {other}"),
    };
    let what = if fault.fault_kind() == Some(crate::model::FaultKind::PowerLoss) {
        "power-loss (simulated)"
    } else {
        &fault.kind
    };
    let for_good = if fault.for_good() { ", for good" } else { "" };
    match fault.kind.as_str() {
        "slow-consumer" | "consumer-kill" => format!("{what}{for_good}"),
        _ => format!("{what} of {whom}{for_good}"),
    }
}
