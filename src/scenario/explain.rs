//! What a scenario will do, in words: every value with its origin, the cells, the cost, and what to
//! be wary of.

use super::cell::Cell;
use super::check::cannot_promise;
use super::consume_check::idle;
use super::experiment::{Capacity, Experiment};
use super::fault::{Heal, timeline};
use super::keyed::idle_settings;
use super::load::{Arrivals, Model};
use super::managed_check;
use super::one_side_check::told as one_side;
use super::payload_file;
use super::resolve::Scenario;
use crate::model::{Software, System};
use crate::result::words::name;
use crate::result::{Origin, ScenarioInfo};
use crate::schedule::Stage;
use crate::stats::compare::LEAST_BLOCKS;
use crate::stats::{HALVES, SEEN_AFTER, chance_of};
use crate::units::{Bytes, Rate, Span};
use indexmap::IndexSet;
use itertools::Itertools;
use std::fmt::Write;

/// A scenario should be able to carry its verdict with this chance.
const SURE: f64 = 0.99;

/// What running a scenario costs, warm-up until steady not counted beyond the least in which that
/// is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub cells: u64,
    /// `None` in the closed model, as many as go, where a rate is found by the run,
    /// and for experiments.
    pub messages: Option<u64>,
    pub bytes: Option<u64>,
    pub duration: Span,
}

/// Connecting, draining, auditing and deleting around each cell, as seen on two shared cores.
const AROUND_A_CELL: Span = Span::from_secs(3);
/// With faults each cell has a broker of its own, which is to be whole again before it is read.
const AROUND_A_FAULT: Span = Span::from_secs(15);
/// Connecting and deleting around an experiment, and its share of the broker's start and stop.
const AROUND_AN_EXPERIMENT: Span = Span::from_secs(2);
/// Kafka's `message.max.bytes` unless set.
const KAFKA_DEFAULT_LARGEST: Bytes = Bytes(1_048_588);
/// Of a stream in Redis: more than a laptop may have to spare.
const MUCH_MEMORY: Bytes = Bytes(2 << 30);

impl Scenario {
    /// Every label at every point of the matrix; labels vary fastest.
    pub fn cells(&self) -> Vec<Cell> {
        self.cells.clone()
    }

    /// Every key with its value and origin (`default`, `file`, `profile quick`, `--set`,
    /// `--sweep`); secrets hidden.
    pub fn resolved(&self) -> &[Origin] {
        &self.resolved
    }

    pub fn info(&self) -> ScenarioInfo {
        ScenarioInfo {
            name: self.name.clone(),
            question: self.question.clone(),
            claim: self.claim.map(|claim| claim.name().to_owned()),
            primary: self.primary.to_string(),
            guarantee: name(&self.guarantee),
            cross_class: self.cross_class.clone(),
            systems: self
                .systems
                .iter()
                .map(|(label, c)| (label.clone(), c.system.name().to_owned()))
                .collect(),
            titles: self.titles.clone(),
            thresholds: self.thresholds.iter().map(|rule| rule.text.clone()).collect(),
            resolved: self.resolved.clone(),
            source: self.source.clone(),
        }
    }

    pub fn estimate(&self) -> Estimate {
        let blocks = u64::from(self.blocks);
        let in_all = |of: fn(&Cell) -> Option<u64>| {
            let one_block =
                self.cells.iter().map(of).try_fold(0, |sum: u64, n| sum.checked_add(n?));
            one_block.and_then(|n| n.checked_mul(blocks))
        };
        let one_block = sum(self.cells.iter().map(time_of));
        let generations = u64::from(self.fresh_brokers.unwrap_or(self.blocks).min(self.blocks));
        let warming = self.warm_ups().nanos().saturating_mul(generations);
        let measuring = one_block.nanos().saturating_mul(blocks);
        Estimate {
            cells: self.cells.len() as u64 * blocks,
            messages: in_all(messages_of),
            bytes: in_all(|cell| Some(bytes_of(cell, messages_of(cell)?))),
            duration: sum([Span(measuring), Span(warming), self.searching()]),
        }
    }

    /// Of Kafka, for one block, or for one generation of brokers where blocks share them: there and
    /// where nothing is judged, labels whose brokers have the same settings share one as well.
    fn warm_ups(&self) -> Span {
        let warms = |cell: &&Cell| {
            let needs = cell.experiment.as_ref().is_none_or(Experiment::needs_warm_broker);
            needs && cell.config.system.software() == Software::Kafka
        };
        let shared = self.fresh_brokers.is_some() || (self.blocks as usize) < LEAST_BLOCKS;
        let broker = |cell: &&Cell| match shared {
            true => format!("{} {:?}", cell.config.nodes, cell.config.broker),
            false => format!("{} {} {:?}", cell.label, cell.config.nodes, cell.config.broker),
        };
        let each = self.cells.iter().filter(warms).unique_by(broker);
        sum(each.map(|cell| cell.load.broker_warm_up))
    }

    /// Finding rates and settings before the first block, on brokers that are thrown away.
    fn searching(&self) -> Span {
        let labels = self.systems.iter().map(|(label, _)| label);
        let searches = labels.flat_map(|label| self.capacity_searches(label));
        let searches: Vec<Cell> = searches.chain(self.tries()).collect();
        let warming = if searches.is_empty() { Span(0) } else { self.warm_ups() };
        sum(searches.iter().map(time_of).chain([warming]))
    }

    /// What is tried to choose settings by.
    fn tries(&self) -> impl Iterator<Item = Cell> {
        let once = |cell: &&Cell| cell.config.same_as.is_none();
        let tried = |cell: &Cell| cell.tried_settings().into_iter().map(|(_, tried)| tried);
        self.cells.iter().filter(once).flat_map(tried)
    }

    /// What a run must find of a label before its first block: each search once, and none of what
    /// is the same as another label.
    pub fn capacity_searches(&self, label: &str) -> Vec<Cell> {
        let mut searches: Vec<Cell> = Vec::new();
        let once = |cell: &&Cell| cell.label == label && cell.config.same_as.is_none();
        let own = self.cells.iter().filter(once);
        for search in own.filter_map(Cell::capacity_search) {
            if !searches.contains(&search) {
                searches.push(search);
            }
        }
        searches
    }

    /// Whether the brokers of this block are fresh ones, where labels and blocks share them. Those
    /// of the first are, since what was searched before it is thrown away.
    pub fn renews_brokers(&self, block: u32) -> bool {
        let generation = |block: u32| {
            let times = self.fresh_brokers.unwrap_or(self.blocks).min(self.blocks);
            block.checked_sub(1).map(|before| before * times / self.blocks)
        };
        generation(block) != generation(block - 1)
    }

    /// Where a block may lack the samples that a verdict on the quantile needs.
    fn too_few_samples(&self, cell: &Cell) -> Option<String> {
        // With fewer blocks no verdict on speed is given anyway.
        let judged = cell.experiment.is_none() && self.blocks as usize >= LEAST_BLOCKS;
        let quantile = self.primary.quantile().filter(|_| judged)?;
        let whole = cell.load.messages.is_none() && cell.load.stages.is_empty();
        let rate = cell.load.rate.filter(|_| whole)?;
        // Of all blocks together; each must show the quantile.
        let blocks = f64::from(self.blocks);
        let needed = (quantile.samples_to_decide() as f64 / blocks).ceil();
        let needed = needed.max(quantile.samples_to_show() as f64);
        let expected = cell.load.duration.secs_f64() * rate.per_s();
        let (chance, enough) = match cell.load.arrivals {
            Arrivals::Constant if expected >= needed * 0.999 => (1.0, needed),
            Arrivals::Constant => (0.0, needed),
            // All blocks need their part; four standard deviations more are enough for all.
            Arrivals::Poisson => {
                (chance_of(needed, expected).powf(blocks), needed + 4.0 * needed.sqrt())
            }
        };
        let seconds = (enough / rate.per_s()).ceil();
        (chance < SURE).then(|| {
            format!(
                "{} at {rate} has the {needed} samples that a verdict needs in each of {} blocks \
                 with a chance of {:.0} %: write `load.duration` of at least {seconds}s; it is {}",
                self.primary,
                self.blocks,
                chance * 100.0,
                cell.load.duration
            )
        })
    }

    /// Where it cannot be told whether a system was steady.
    fn too_short_to_be_steady(&self, cell: &Cell) -> Option<String> {
        let load = &cell.load;
        let plain = cell.experiment.is_none() && cell.faults.is_empty();
        let judged = plain && load.messages.is_none() && load.stages.is_empty();
        let spans = [
            ("load.warm-up-limit", load.warm_up_limit, SEEN_AFTER),
            ("load.duration", load.duration, Span::from_secs(HALVES as u64)),
        ];
        let short = spans.into_iter().filter(|(_, span, needed)| judged && span < needed);
        let word = |(key, span, needed)| format!("`{key}` is {span}, {needed} needed");
        let short = short.map(word).join("; ");
        (!short.is_empty()).then(|| format!("whether it was steady cannot be told: {short}"))
    }

    /// What will run, but not tell what its author may expect.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: IndexSet<String> = IndexSet::new();
        let mut warn = |text: String| {
            warnings.insert(text);
        };
        let under_load = |cell: &&Cell| cell.experiment.as_ref().is_none_or(Experiment::loads);
        for cell in &self.cells {
            self.too_few_samples(cell).into_iter().for_each(&mut warn);
            self.too_short_to_be_steady(cell).into_iter().for_each(&mut warn);
            idle_settings(cell).into_iter().for_each(&mut warn);
            payload_file::told(cell).into_iter().for_each(&mut warn);
            managed_check::warnings(cell).into_iter().for_each(&mut warn);
            if let Some(because) = cell.cannot() {
                warn(format!("{} at {} is shown as `cannot`: {because}", cell.label, cell.point));
            }
            let waiting = cell.load.backlog.0 as f64 / cell.message.mean_bytes();
            let work = cell.load.work.secs_f64() * waiting / f64::from(cell.load.consumers);
            if cell.load.model == Model::Closed && work > cell.load.drain.secs_f64() {
                warn(format!(
                    "at {} the backlog of {} is work for {work:.0} s, \
                    and `load.drain` ends after {}",
                    cell.point, cell.load.backlog, cell.load.drain
                ));
            }
            if cell.load.spinning() > 0 {
                warn(format!(
                    "`load.pacer: spin` at {}: {} threads never sleep, so the client's CPU is that \
                     of as many cores, whatever the load",
                    cell.point,
                    cell.load.spinning()
                ));
            }
            one_side(cell).into_iter().for_each(&mut warn);
            idle(cell).filter(|_| under_load(&cell)).into_iter().for_each(&mut warn);
            let mut set = cell.config.broker.keys().chain(cell.config.topic.config.keys());
            if cell.config.system.base() == System::Kafka
                && cell.message.size > KAFKA_DEFAULT_LARGEST
                && !set.any(|key| key == "message.max.bytes" || key == "max.message.bytes")
            {
                warn(format!(
                    "{}: Kafka refuses messages above about 1 MB unless \
                     `topic.config.max.message.bytes` and `client.message.max.bytes` allow them; \
                     this scenario has {}",
                    cell.label,
                    cell.message.sizes()
                ));
            }
        }
        let adds =
            |cell: &&Cell| cell.config.system.has_key("maxlen") && cell.config.existing().is_none();
        for cell in self.cells.iter().filter(adds).filter(under_load) {
            let entries = [cell.config.maxlen, messages_of(cell)].into_iter().flatten().min();
            let kept = entries.map(|entries| Bytes(bytes_of(cell, entries)));
            if kept.is_none_or(|kept| kept > MUCH_MEMORY) {
                let kept = kept.map_or_else(
                    || "everything".into(),
                    |kept| format!("{:.1} GB", kept.0 as f64 / 1e9),
                );
                warn(format!(
                    "{}: Redis keeps {kept} in memory at {}; `maxlen` bounds it",
                    cell.label, cell.point
                ));
            }
        }
        for (label, config) in &self.systems {
            if let Some(because) = cannot_promise(config, self.guarantee) {
                warn(format!(
                    "{label} cannot promise {}: {because}; it is shown as `cannot`",
                    name(&self.guarantee)
                ));
            }
        }
        for rule in &self.dropped_rules {
            warn(format!("threshold `{rule}` is not judged: it names a system that is left out"));
        }
        for axis in &self.dropped_axes {
            warn(format!("`{axis}` is not varied: it is of a label that is left out"));
        }
        warnings.into_iter().collect()
    }

    pub fn explain(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_explanation(&mut out);
        out
    }

    fn write_explanation(&self, out: &mut String) -> std::fmt::Result {
        let profile =
            self.profile.as_deref().map(|name| format!(", profile {name}")).unwrap_or_default();
        writeln!(out, "{} ({}{profile})\n{}", self.name, self.source, self.question.trim())?;
        if self.claim.is_some() || self.cross_class.is_some() || !self.thresholds.is_empty() {
            writeln!(out)?;
        }
        if let Some(claim) = self.claim {
            writeln!(out, "claim        {}", claim.name())?;
        }
        if let Some(reason) = &self.cross_class {
            writeln!(out, "cross-class  {}", reason.trim())?;
        }
        for rule in &self.thresholds {
            writeln!(out, "threshold    {rule}")?;
        }
        let width = |text: fn(&Origin) -> &str| {
            self.resolved.iter().map(|row| text(row).chars().count()).max()
        };
        let (key, value) =
            (width(|row| &row.key).unwrap_or(0), width(|row| &row.value).unwrap_or(0).min(40));
        writeln!(out, "\n{:key$}  {:value$}  ORIGIN", "KEY", "VALUE")?;
        for row in &self.resolved {
            let shown = if row.value.is_empty() { "\"\"" } else { &row.value };
            writeln!(out, "{:key$}  {shown:value$}  {}", row.key, row.origin)?;
        }
        let label = self.systems.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let times =
            if self.blocks == 1 { String::new() } else { format!(", each {} times", self.blocks) };
        let cells = if self.cells.len() == 1 { "cell" } else { "cells" };
        writeln!(out, "\n{} {cells}{times}:", self.cells.len())?;
        for cell in &self.cells {
            writeln!(out, "  {:label$}  {}", cell.label, cell.point)?;
        }
        self.write_timeline(out)?;
        let tries = self.tries().count();
        if tries > 0 {
            writeln!(
                out,
                "\nbest-of: each system is tried at each setting before the first block ({tries} \
                 tries), and measured at\nthe one that carried most"
            )?;
        }
        let labels = self.systems.iter().map(|(label, _)| self.capacity_searches(label).len());
        let searches: usize = labels.sum();
        if searches > 0 {
            writeln!(
                out,
                "\nhalf-capacity is a rate that is found when it runs: before the first block the \
                 highest fixed rate is sought that\neach system sustains with a p99 within {} \
                 ({searches} searches); half of the slowest one's, rounded down to two \
                 digits,\nis the rate of all, and half of its own that of each at \
                 own-half-capacity",
                Capacity::default().limit
            )?;
        }
        let Estimate { messages, bytes, duration, .. } = self.estimate();
        let amount = match (messages, bytes) {
            (Some(messages), Some(bytes)) => {
                format!("{messages} messages, {:.1} MB, ", bytes as f64 / 1e6)
            }
            _ if self.cells.iter().any(|cell| cell.experiment.is_some()) => String::new(),
            _ if searches > 0 => "as many messages as the rates found make, ".to_owned(),
            _ => "as many messages as the systems carry, ".to_owned(),
        };
        writeln!(out, "\nestimate: {amount}about {:.1} minutes", duration.secs_f64() / 60.0)?;
        // A run on brokers that run already has nothing to be warned of.
        for (label, config) in &self.systems {
            if let Some(why) = config.only_elsewhere() {
                writeln!(out, "warning: {label}: only brokers that run already can be so: {why}")?;
            }
        }
        for warning in self.warnings() {
            writeln!(out, "warning: {warning}")?;
        }
        Ok(())
    }

    /// When which fault is injected in the first block. All cells have the same.
    fn write_timeline(&self, out: &mut String) -> std::fmt::Result {
        let Some(cell) = self.cells.first().filter(|cell| !cell.faults.is_empty()) else {
            return Ok(());
        };
        writeln!(
            out,
            "\nfaults in block 1, after the start of the measured window of {}:",
            cell.load.duration
        )?;
        for injection in timeline(&cell.faults, cell.seed, 1) {
            let Some(plan) = cell.faults.get(injection.plan) else { continue };
            let of = if plan.kind().is_ours() {
                String::new()
            } else {
                format!(" of {}", plan.target.name())
            };
            let healed = match injection.heal {
                Heal::After(Span(0)) => "taken back at once".to_owned(),
                Heal::After(span) => format!("taken back after {span}"),
                Heal::AtEnd => "taken back at the end of the window".to_owned(),
                Heal::Never => "for good".to_owned(),
            };
            writeln!(
                out,
                "  {:9.3} s  {}{of}, {healed}",
                injection.at.secs_f64(),
                plan.kind().name()
            )?;
        }
        Ok(())
    }
}

fn sum(spans: impl IntoIterator<Item = Span>) -> Span {
    Span(spans.into_iter().fold(0, |sum: u64, span| sum.saturating_add(span.nanos())))
}

fn bytes_of(cell: &Cell, messages: u64) -> u64 {
    (messages as f64 * cell.message.mean_bytes()).round() as u64
}

/// Messages of one cell, warm-up included; `None` where the load or an experiment decides.
pub(super) fn messages_of(cell: &Cell) -> Option<u64> {
    let load = &cell.load;
    if cell.cannot().is_some() {
        return Some(0);
    }
    let window = |rate: Rate| match &load.stages[..] {
        [] => rate.per_s() * load.duration.secs_f64(),
        stages => stages.iter().map(Stage::messages).sum(),
    };
    let all = |rate: Rate| rate.per_s() * load.warm_up.secs_f64() + window(rate);
    match (load.messages, load.model, load.rate) {
        _ if cell.experiment.is_some() => None,
        (Some(messages), _, _) => Some(messages),
        (None, Model::Open, Some(rate)) => Some(all(rate).round() as u64),
        _ => None,
    }
}

/// Time of one cell. For a fixed number of messages without a rate it is the window that a scenario
/// would have.
pub(super) fn time_of(cell: &Cell) -> Span {
    let load = &cell.load;
    if cell.cannot().is_some() {
        return Span(0);
    }
    if let Some(experiment) = &cell.experiment {
        return sum([experiment.estimate(cell), AROUND_AN_EXPERIMENT]);
    }
    let loaded = match (load.messages, load.rate) {
        (Some(messages), Some(rate)) => Span((messages as f64 / rate.per_s() * 1e9) as u64),
        _ => sum([load.warm_up.max(load.warm_up_limit.min(SEEN_AFTER)), load.duration]),
    };
    sum([loaded, if cell.faults.is_empty() { AROUND_A_CELL } else { AROUND_A_FAULT }])
}
