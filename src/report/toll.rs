//! What the faults of a run cost, blocks and injections gathered: one toll per label, matrix point and kind of fault.
//!
//! Losses are summed, times are the median with their range. A recovery that was not seen is no time; it is counted.

use super::group::Group;
use crate::result::words::{grouped, time};
use crate::result::{CellSummary, Fault};

/// One kind of fault on one label.
pub struct Toll<'a> {
    pub label: &'a str,
    pub system: &'a str,
    pub point: &'a str,
    /// `kill of the leader, for good`.
    pub fault: String,
    /// Injections that took effect, in valid blocks.
    pub struck: Vec<&'a Fault>,
    /// Why others did not.
    pub missed: Vec<&'a str>,
    /// Over the blocks; `None` where a reply promises nothing.
    pub acked: Option<u64>,
    /// Blocks that the harness spoilt.
    pub invalid: usize,
}

/// In the order of the groups, then of injection.
pub fn tolls<'a>(groups: &[Group<'a>]) -> Vec<Toll<'a>> {
    let mut all: Vec<Toll<'a>> = Vec::new();
    for group in groups {
        let from = all.len();
        for block in group.blocks.iter().copied() {
            for fault in &block.faults {
                let name = name(fault);
                let at = match all[from..].iter().position(|toll| toll.fault == name) {
                    Some(at) => from + at,
                    None => {
                        all.push(Toll::new(group, name));
                        all.len() - 1
                    }
                };
                match (&fault.not_applied, block.valid) {
                    (Some(why), _) => all[at].missed.push(why),
                    (None, true) => all[at].struck.push(fault),
                    (None, false) => {}
                }
            }
        }
    }
    all
}

impl<'a> Toll<'a> {
    fn new(group: &Group<'a>, fault: String) -> Self {
        let valid = || group.blocks.iter().copied().filter(|cell| cell.valid);
        let acked = |cell: &CellSummary| cell.counts.acked;
        Self {
            label: group.label,
            system: group.system,
            point: group.point,
            fault,
            struck: Vec::new(),
            missed: Vec::new(),
            acked: valid().map(acked).sum::<Option<u64>>().filter(|_| valid().next().is_some()),
            invalid: group.blocks.iter().filter(|cell| !cell.valid).count(),
        }
    }

    /// Acknowledged messages that are gone; `None` where one injection does not tell.
    pub fn lost(&self) -> Option<u64> {
        self.struck.iter().map(|fault| fault.rpo_messages).sum::<Option<u64>>().filter(|_| !self.struck.is_empty())
    }

    /// The least of it: a simulated power loss takes the most.
    fn lost_at_least(&self) -> Option<u64> {
        self.struck.iter().map(|fault| fault.rpo_least_messages.or(fault.rpo_messages)).sum()
    }

    /// `12 of 60,000`, or `10 to 12 of 60,000`.
    pub fn lost_in_words(&self) -> String {
        let lost = self.lost().map(|most| range(self.lost_at_least().unwrap_or(most), most));
        match (lost, self.acked) {
            (Some(lost), Some(acked)) => format!("{lost} of {}", grouped(acked)),
            (Some(lost), None) => lost,
            (None, None) if !self.struck.is_empty() => "nothing is promised".to_owned(),
            (None, _) => self.absent("not known"),
        }
    }

    /// Median and range of a time over the injections; `None` where one of them has none.
    pub fn time(&self, of: impl Fn(&Fault) -> Option<u64>) -> Option<[u64; 3]> {
        let mut values = self.struck.iter().map(|fault| of(fault)).collect::<Option<Vec<u64>>>()?;
        values.sort_unstable();
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { values[middle - 1].midpoint(values[middle]) };
        Some([median, least, most])
    }

    /// `8.91 s`, or `8.91 s (8.10 s to 9.70 s)` of several.
    pub fn time_in_words(&self, of: impl Fn(&Fault) -> Option<u64>) -> String {
        let words = |ns: u64| if ns == 0 { "0".to_owned() } else { time(ns as f64) };
        match self.time(&of) {
            Some([median, least, most]) if least < most => {
                format!("{} ({} to {})", words(median), words(least), words(most))
            }
            Some([median, ..]) => words(median),
            None => {
                let never = self.struck.iter().filter(|fault| of(fault).is_none()).count();
                let partly = format!("not in {never} of {}", self.struck.len());
                self.absent(if never < self.struck.len() { &partly } else { "–" })
            }
        }
    }

    fn absent(&self, otherwise: &str) -> String {
        match (self.struck.is_empty(), self.missed.is_empty()) {
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
    let what = if fault.kind == "power-loss" { "power-loss (simulated)" } else { &fault.kind };
    let for_good = if fault.for_good() { ", for good" } else { "" };
    match fault.kind.as_str() {
        "slow-consumer" | "consumer-kill" => format!("{what}{for_good}"),
        _ => format!("{what} of {whom}{for_good}"),
    }
}
