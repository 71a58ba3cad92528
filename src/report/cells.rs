//! The cells of one row of the table, asked for by label, metric and condition.

use super::group::known_or_new;
use super::table::is_ratio;
use crate::model::{Point, System, metric};
use crate::result::fault_figures::RESTART_FIGURES;
use crate::result::{Claim, ComparedCell, Kind, RunInfo, parts_in_words};
use crate::units::Rate;
use itertools::Itertools;

/// The cells of one claim without ratios, and without what stands there twice.
pub struct Cells<'a> {
    pub all: Vec<&'a ComparedCell>,
    runs: &'a [RunInfo],
    pub claim: &'a str,
}

impl<'a> Cells<'a> {
    pub fn of(claim: &'a Claim, runs: &'a [RunInfo]) -> Self {
        Self {
            all: claim
                .cells
                .iter()
                .filter(|cell| !is_ratio(cell) && cell.same_as.is_none())
                .collect(),
            runs,
            claim: &claim.id,
        }
    }

    /// Whether there is anything to show: a value, or that a system cannot.
    pub fn any(&self) -> bool {
        self.all.iter().any(|cell| {
            cell.value.is_some() || cell.kind == Kind::Cannot || !cell.per_block.is_empty()
        })
    }

    /// Labels with their systems, in the order of the columns, plain labels first.
    pub fn labels(&self) -> Vec<(&'a str, &'a str)> {
        let mut labels: Vec<(&str, &str)> = Vec::new();
        for cell in &self.all {
            let new = || (cell.label.as_str(), cell.system.as_str());
            known_or_new(&mut labels, |(label, _)| *label == cell.label, new);
        }
        let place = |system: &str| {
            System::NAMES.iter().position(|known| *known == system).unwrap_or(System::NAMES.len())
        };
        labels.sort_by_key(|(label, system)| (place(system), label != system));
        labels
    }

    pub fn metric(&self, metric: &str) -> Vec<&'a ComparedCell> {
        self.all.iter().filter(|cell| cell.metric == metric).copied().collect()
    }

    pub fn of_label(&self, label: &str, metric: &str) -> Vec<&'a ComparedCell> {
        self.all
            .iter()
            .filter(|cell| cell.label == label && cell.metric == metric)
            .copied()
            .collect()
    }

    /// Another metric of the same label in the same cell of the same run.
    pub fn beside(&self, cell: &ComparedCell, metric: &str) -> Option<&'a ComparedCell> {
        let same = |other: &&ComparedCell| (&other.run, &other.cell) == (&cell.run, &cell.cell);
        self.of_label(&cell.label, metric).into_iter().find(same)
    }

    /// What the recovery of a lone broker beside this cell is made of; empty of any other.
    pub fn restart_beside(&self, cell: &ComparedCell) -> String {
        let beside = RESTART_FIGURES.each_ref().map(|of| self.beside(cell, of.metric.name));
        let [data, parts @ ..] = beside.map(|of| of.and_then(|of| of.value));
        if beside[0].is_none() { String::new() } else { parts_in_words(data, parts) }
    }

    /// The first cell of a label and metric whose condition has all these values; a value is the
    /// first in preference to a cell without.
    pub fn find(
        &self,
        label: &str,
        metric: &str,
        condition: &[(&str, &str)],
    ) -> Option<&'a ComparedCell> {
        let fits = |cell: &&&ComparedCell| {
            condition.iter().all(|(key, value)| Point::read(&cell.cell).get(key) == Some(value))
        };
        let cells = self.of_label(label, metric);
        cells
            .iter()
            .filter(fits)
            .find(|cell| cell.told().is_some())
            .or_else(|| cells.iter().find(fits))
            .copied()
    }

    /// The first value of a label and metric where a condition such as `poison` is above zero, or
    /// not told apart.
    pub fn above(&self, label: &str, metric: &str, key: &str) -> Option<f64> {
        let mut cells = self.of_label(label, metric);
        cells.retain(|cell| Point::read(&cell.cell).number(key).is_none_or(|share| share > 0.0));
        cells.iter().find_map(|cell| cell.value)
    }

    pub fn value(&self, label: &str, metric: &str, condition: &[(&str, &str)]) -> Option<f64> {
        self.find(label, metric, condition).and_then(|cell| cell.value)
    }

    /// Why a label has nothing: that it cannot, or what else its cells say.
    pub fn absent(&self, label: &str) -> Option<String> {
        let of_label = || self.all.iter().filter(|cell| cell.label == label);
        if of_label().any(|cell| cell.told().is_some()) {
            return None;
        }
        of_label()
            .find(|cell| cell.kind == Kind::Cannot)
            .or_else(|| of_label().next())
            .map(|cell| reason(cell))
    }

    /// The values of a cell's matrix point, and what its run found of its rate: `half-capacity
    /// (25k/s, 48 % of its capacity)`.
    pub fn place(&self, cell: &ComparedCell) -> String {
        let found = |metric: &str| self.beside(cell, metric).and_then(|found| found.value);
        let rate = found(metric::CAPACITY_HALF.name).map(|rate| Rate::from_f64(rate).to_string());
        let percent = |share: f64| match share {
            share if share < 0.01 => "under 1".to_owned(),
            share => format!("{:.0}", share * 100.0),
        };
        let share = found(metric::UTILISATION.name)
            .map(|share| format!("{} % of its capacity", percent(share)));
        let found = rate.into_iter().chain(share).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { found } else { format!(" ({found})") };
        let point = Point::read(&cell.cell);
        // Of all words of a point `none` says nothing without its key.
        let plain = (point.get("codec") == Some("none")).then(|| "uncompressed".to_owned());
        let rest = point.without(if plain.is_some() { &["codec"] } else { &[] }).values();
        let values = [rest].into_iter().chain(plain).filter(|text| !text.is_empty()).join(", ");
        values + &found
    }

    /// The scenario behind a cell; the claim's own name where the run is not listed.
    pub fn scenario(&self, cell: &ComparedCell) -> &'a str {
        let run = self.runs.iter().find(|run| Some(&run.run) == cell.run.as_ref());
        run.map_or(self.claim, |run| run.scenario.as_str())
    }

    /// What a scenario adds to the plain one of its claim, in words; empty for the plain one.
    pub fn condition(&self, cell: &ComparedCell) -> String {
        let scenario = self.scenario(cell);
        match scenario
            .strip_prefix(self.claim)
            .map_or(scenario, |rest| rest.trim_start_matches('-'))
        {
            "waiting" => "waiting for each reply".to_owned(),
            "noreply" => "asking for no reply".to_owned(),
            "durable" => "every write synced".to_owned(),
            "copies" => "with copies on other nodes".to_owned(),
            other => other.replace('-', " "),
        }
    }
}

/// Why a cell has no value, in few words.
pub fn reason(cell: &ComparedCell) -> String {
    let block =
        cell.per_block.iter().map(|block| &block.because).find(|because| !because.is_empty());
    match cell.kind {
        Kind::Cannot if cell.text.is_empty() => "cannot".to_owned(),
        Kind::Cannot => format!("cannot: {}", cell.text),
        Kind::Measured | Kind::NotMeasured if !cell.per_block.is_empty() => {
            block.and_then(|reason| reason.split(':').next()).unwrap_or("no value").to_owned()
        }
        Kind::NotMeasured if !cell.text.is_empty() && cell.text != "not measured" => {
            format!("not measured: {}", cell.text)
        }
        Kind::NotMeasured => "not measured".to_owned(),
        Kind::Measured | Kind::Documented => cell.text.clone(),
    }
}

/// The name of a label beside its system's: `tuned` for `redis-streams-tuned`, the whole label
/// otherwise.
pub fn variant<'a>(label: &'a str, system: &str) -> &'a str {
    label.strip_prefix(system).and_then(|rest| rest.strip_prefix('-')).unwrap_or(label)
}

/// The same for where there is no room: the reason stands elsewhere.
pub fn brief(cell: &ComparedCell) -> String {
    match cell.kind {
        Kind::Cannot => "cannot".to_owned(),
        _ if cell.per_block.is_empty() => "not measured".to_owned(),
        _ => reason(cell),
    }
}
