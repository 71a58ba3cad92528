//! Turns a layered tree into a [`Scenario`]: defaults filled in, matrix unfolded into cells, every
//! value checked.

use super::best_of;
use super::cell::{Cell, DEFAULT_SEED, Message, PayloadKind, default_primary};
use super::check;
use super::cluster_check;
use super::codec_check;
use super::consume_check;
use super::copies_check;
use super::experiment::experiment_of;
use super::fault::FaultPlan;
use super::fault_check;
use super::file::{ClaimId, File, SCHEMA, Settings};
use super::keyed;
use super::layers::{Overrides, keys, lay};
use super::load::{Load, LoadKeys, Model};
use super::managed_check;
use super::matrix::{MAX_CELLS, MatrixAxis, axes, point_name, points};
use super::message_check;
use super::one_side_check;
use super::origins::resolved;
use super::payload_file;
use super::settings;
use super::sns_check;
use super::source;
use super::stages;
use super::system::SystemConfig;
use super::threshold::{Threshold, measure};
use super::topics_check;
use super::transaction;
use crate::model::{FaultKind, Grip, Guarantee, Measure, System};
use crate::payload::Lines;
use crate::result::Origin;
use crate::stats::compare::LEAST_BLOCKS;
use crate::yaml::{Problem, ScenarioError, Value, YamlNode, decode, suggest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A scenario, ready to run: nothing is left to default.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub name: String,
    pub question: String,
    pub claim: Option<ClaimId>,
    pub primary: Measure,
    pub guarantee: Guarantee,
    /// Why different survival classes may be compared here.
    pub cross_class: Option<String>,
    /// Label and settings, in the file's order, after the filter on systems.
    pub systems: Vec<(String, SystemConfig)>,
    /// What tables and charts call a label, of those that say so.
    pub titles: BTreeMap<String, String>,
    pub thresholds: Vec<Threshold>,
    pub blocks: u32,
    /// How often the brokers are fresh in all blocks; `None` for each label in each block.
    pub fresh_brokers: Option<u32>,
    /// How often a window that the harness spoilt is measured again.
    pub repeat_spoilt: u32,
    pub seed: u64,
    pub profile: Option<String>,
    /// Path of the file, or `built-in NAME`.
    pub source: String,
    /// Keys that the matrix varies.
    pub axes: Vec<String>,
    pub(super) cells: Vec<Cell>,
    pub(super) resolved: Vec<Origin>,
    /// Thresholds that name a label which was filtered out, and keys of the matrix that vary one.
    pub(super) dropped_rules: Vec<String>,
    pub(super) dropped_axes: Vec<String>,
}

/// What else must be right of a cell, by somebody who knows more than is known here, such as a
/// client library of its own settings.
pub type Judge<'a> = &'a dyn Fn(&Cell) -> Result<(), Problem>;

/// Finds, reads, overrides and checks a scenario. `path_or_name` as in [`super::names`].
pub fn load(path_or_name: &str, overrides: &Overrides) -> Result<Scenario, ScenarioError> {
    load_judged(path_or_name, overrides, &|_| Ok(()))
}

/// As [`load`], and every cell is judged.
pub fn load_judged(
    path_or_name: &str,
    overrides: &Overrides,
    judge: Judge<'_>,
) -> Result<Scenario, ScenarioError> {
    let source = source::find(path_or_name)?;
    from_text_judged(&source.name, &source.text, overrides, judge)
}

/// Checks a scenario as it stands and under each of its profiles.
pub fn validate(path_or_name: &str, judge: Judge<'_>) -> Result<Scenario, ScenarioError> {
    let source = source::find(path_or_name)?;
    let plain = from_text_judged(&source.name, &source.text, &Overrides::default(), judge)?;
    let tree = parse(&source.name, &source.text)?;
    for profile in keys(&tree, "profiles") {
        let overrides = Overrides { profile: Some(profile.to_owned()), ..Overrides::default() };
        from_text_judged(&source.name, &source.text, &overrides, judge)?;
    }
    Ok(plain)
}

/// As [`load`], from text; `source` is the name for errors.
pub fn from_text(
    source: &str,
    text: &str,
    overrides: &Overrides,
) -> Result<Scenario, ScenarioError> {
    from_text_judged(source, text, overrides, &|_| Ok(()))
}

/// Likewise, and every cell is judged.
pub fn from_text_judged(
    source: &str,
    text: &str,
    overrides: &Overrides,
    judge: Judge<'_>,
) -> Result<Scenario, ScenarioError> {
    let mut tree = parse(source, text)?;
    refuse_foreign(&tree)
        .and_then(|()| lay(&mut tree, overrides))
        .and_then(|()| payload_file::read(overrides))
        .and_then(|lines| resolve(source, &tree, overrides, lines.as_ref(), judge))
        .and_then(|scenario| payload_file::used(overrides, scenario))
        .map_err(|problem| problem.located(&tree).into_error(source, text))
}

fn parse(source: &str, text: &str) -> Result<YamlNode, ScenarioError> {
    let tree = YamlNode::parse(text).map_err(|cause| {
        let what = format!("not readable as YAML: {}", cause.what).into();
        Problem { what, ..cause }.into_error(source, text)
    })?;
    match tree.value {
        Value::Map(_) => Ok(tree),
        _ => Err(ScenarioError::of_source(
            source,
            "not a scenario: expected a map of keys",
            "start with `schema: 1`",
        )),
    }
}

/// Refuses what belongs to another version of the format, before any key is judged by this one.
fn refuse_foreign(tree: &YamlNode) -> Result<(), Problem> {
    let Some(version) = tree.get(&["schema"]).map(YamlNode::scalar) else {
        return Err(Problem::new(
            ["schema"],
            "this key is missing",
            "start the file with `schema: 1`",
        ));
    };
    let found = version.unwrap_or_else(|| "something else".into());
    if found == "1" {
        return Ok(());
    }
    let what = format!("this file is of version {found}; this brokerbench reads version {SCHEMA}");
    Err(Problem::new(
        ["schema"],
        what,
        "use a brokerbench that knows it, or rewrite the file as `schema: 1`",
    ))
}

fn resolve(
    source: &str,
    tree: &YamlNode,
    overrides: &Overrides,
    lines: Option<&Arc<Lines>>,
    judge: Judge<'_>,
) -> Result<Scenario, Problem> {
    // Also what every point of the matrix overrides must be right.
    decode::<File>(tree)?;
    let axes = axes(tree)?;
    let points = points(tree, &axes);
    let mut scenario: Option<Scenario> = None;
    let (mut seen, mut known) = (BTreeSet::new(), BTreeSet::new());
    for point in &points {
        let (base, mut cells) = cells_at(source, point, &axes, overrides, lines)
            .map_err(|problem| problem.located(point))?;
        let scenario = scenario.get_or_insert(base);
        let place = |cell: &Cell| (cell.label.clone(), cell.point.clone());
        let all: Vec<(String, String)> = cells.iter().map(place).collect();
        let name = all.iter().map(|(_, point)| point.clone()).max_by_key(String::len);
        if !seen.insert(all) && !axes.iter().any(|axis| is_left_out(axis, scenario)) {
            let what = format!("the point `{}` stands twice", name.unwrap_or_default());
            let twice = Problem::new(["matrix"], what, "remove the value that is there twice");
            return Err(twice.located(point));
        }
        // What an axis of one label varies is one point to all others.
        cells.retain(|cell| known.insert(place(cell)));
        for cell in &cells {
            let alike = |judged: &Cell| {
                let beside = |cell: &Cell| (cell.message.size, cell.load.deadline);
                judged.config == cell.config && beside(judged) == beside(cell)
            };
            // Points that differ in their load alone are judged once.
            if !scenario.cells.iter().any(alike) {
                judge(cell).map_err(|problem| problem.located(point))?;
            }
        }
        scenario.cells.extend(cells);
    }
    // `points` holds at least the base tree.
    let mut scenario = scenario.ok_or_else(|| {
        Problem::new(["matrix"], "the matrix has no point", "give each key a value")
    })?;
    scenario.axes = axes.iter().map(|axis| axis.key.to_owned()).collect();
    let left_out = axes.iter().filter(|axis| is_left_out(axis, &scenario));
    let left_out = left_out.map(|axis| axis.key.to_owned()).collect();
    scenario.dropped_axes = left_out;
    // One broker serves all cells of a block.
    let kinds = || scenario.cells.iter().flat_map(|cell| &cell.faults).map(FaultPlan::kind);
    let faulted = kinds().next().is_some();
    let preloaded = kinds().any(FaultKind::on_the_disk);
    let proxied = kinds().any(|kind| matches!(kind.grip(), Grip::Connections | Grip::Links));
    let configs = scenario.systems.iter_mut().map(|(_, config)| config);
    for config in configs.chain(scenario.cells.iter_mut().map(|cell| &mut cell.config)) {
        (config.faulted, config.preloaded, config.proxied) = (faulted, preloaded, proxied);
    }
    if scenario.cells.len() * scenario.blocks as usize > 10 * MAX_CELLS {
        let what =
            format!("{} cells × {} blocks are too many", scenario.cells.len(), scenario.blocks);
        return Err(Problem::new(
            ["blocks"],
            what,
            "at most 10000 together: shorten the matrix or lower `blocks`",
        ));
    }
    scenario.resolved = resolved(&scenario, tree, &axes);
    Ok(scenario)
}

/// Whether it varies a label that does not run.
fn is_left_out(axis: &MatrixAxis<'_>, scenario: &Scenario) -> bool {
    !scenario.systems.iter().any(|(label, config)| axis.is_of(label, config))
}

/// One point of the matrix: everything but the cells, and one cell a label.
fn cells_at(
    source: &str,
    point: &YamlNode,
    axes: &[MatrixAxis<'_>],
    overrides: &Overrides,
    lines: Option<&Arc<Lines>>,
) -> Result<(Scenario, Vec<Cell>), Problem> {
    let file: File = decode(point)?;
    let base = head(source, point, &file, overrides)?;
    let experiment = experiment_of(point)?;
    let faults = fault_check::resolved(&file.faults)?;
    message_check::keys_of(&file.message)?;
    let message = Message::of(&file.message);
    let message = match lines.filter(|_| message.payload == PayloadKind::File) {
        Some(lines) => message.of_lines(lines),
        None => message,
    };
    let mean_bytes = message.mean_bytes();
    let swept = || axes.iter().map(|axis| axis.key);
    file.load.iter().try_for_each(|keys| stages::keys(keys, mean_bytes, swept()))?;
    let load = match (&file.load, &experiment) {
        (Some(keys), _) => keys.resolved(!faults.is_empty(), mean_bytes),
        (None, Some(_)) => LoadKeys::for_experiments().resolved(false, mean_bytes),
        (None, None) => {
            return Err(Problem::new(
                ["load"],
                "this key is missing",
                "add `load: {model: open, rate: 1k/s}`",
            ));
        }
    };
    check::half_of(&load, experiment.as_ref())?;
    stages::plain(&load, experiment.as_ref(), !faults.is_empty())?;
    let plain = experiment.is_none() && faults.is_empty();
    best_of::check(&load, base.primary, plain, swept())?;
    let loads: Vec<Load> =
        load.best_of.iter().map(|setting| setting.on(&load)).chain([load.clone()]).collect();
    for load in &loads {
        check::load(load, overrides.shards)?;
        message_check::message(&message, load, overrides.shards)?;
        one_side_check::load(load, experiment.as_ref(), base.guarantee)?;
    }
    message_check::of_plain_load(&message, experiment.as_ref())?;
    fault_check::plans(&faults, &load, &message, experiment.as_ref())?;
    for (label, config) in &base.systems {
        loads.iter().try_for_each(|load| check::cell(label, config, load, overrides.shards))?;
        codec_check::check(label, config, &message, plain)?;
        keyed::fits(label, config, &message)?;
        consume_check::mode(label, config, &load, &message)?;
        consume_check::surplus_members(label, config, &load)?;
        one_side_check::system(label, config, &load, experiment.as_ref())?;
        check::library(label, config, &load, experiment.as_ref(), &message)?;
        cluster_check::cluster(label, config)?;
        copies_check::awaited(label, config, experiment.as_ref())?;
        topics_check::check(label, config, experiment.as_ref(), !faults.is_empty())?;
        loads.iter().try_for_each(|load| {
            transaction::fits(label, config, load, experiment.as_ref(), !faults.is_empty())
        })?;
        fault_check::system(label, config, &faults)?;
        managed_check::check(label, config, &load, &message, &faults)?;
        sns_check::sns(label, config, &message)?;
    }
    check::figures(&base, &load)?;
    let cell = |system: &(String, SystemConfig)| Cell {
        label: system.0.clone(),
        config: system.1.clone(),
        point: point_name(axes, system, &load, &message),
        load: load.clone(),
        message: message.clone(),
        experiment: experiment.clone(),
        faults: faults.clone(),
        guarantee: base.guarantee,
        primary: base.primary.to_string(),
        seed: base.seed,
    };
    let cells = base.systems.iter().map(cell).collect();
    Ok((base, cells))
}

/// The systems by their labels, in the file's order, and the titles of those that have one.
type Labelled = (Vec<(String, SystemConfig)>, BTreeMap<String, String>);

fn labelled(tree: &YamlNode, file: &File) -> Result<Labelled, Problem> {
    let (mut systems, mut titles) = (Vec::new(), BTreeMap::new());
    for entry in tree.get(&["systems"]).map_or(&[][..], YamlNode::entries) {
        let Some(settings) = file.systems.get(&entry.key) else { continue };
        if let Some(title) = &settings.title {
            check::title(&entry.key, title)?;
            titles.insert(entry.key.clone(), title.clone());
        }
        let Some(other) = &settings.same_as else {
            let system = system_of(&entry.key, settings)?;
            settings::understood(&entry.key, system, &entry.node)?;
            systems.push((entry.key.clone(), SystemConfig::of(system, settings)));
            continue;
        };
        let settings = settings::same_as(&entry.key, other, &entry.node, &file.systems)?;
        let config = SystemConfig::of(system_of(other, settings)?, settings);
        systems.push((entry.key.clone(), SystemConfig { same_as: Some(other.clone()), ..config }));
    }
    Ok((systems, titles))
}

/// Everything but the cells.
fn head(
    source: &str,
    tree: &YamlNode,
    file: &File,
    overrides: &Overrides,
) -> Result<Scenario, Problem> {
    check::words(file)?;
    let (mut systems, titles) = labelled(tree, file)?;
    let labels: Vec<String> = systems.iter().map(|(label, _)| label.clone()).collect();
    let is = |name: &String, (label, config): &(String, SystemConfig)| {
        name == label || name == config.system.name()
    };
    if let Some(name) =
        overrides.systems.iter().find(|name| !systems.iter().any(|system| is(name, system)))
    {
        let what = format!("`--system {name}` names no system of this scenario");
        return Err(Problem::new(
            ["systems"],
            what,
            &suggest(name, labels.iter().map(String::as_str)),
        ));
    }
    let rule = |(index, text): (usize, &String)| {
        Threshold::parse(text, &labels)
            .map_err(|problem| problem.inside(["thresholds", &index.to_string()]))
    };
    let rules = file.thresholds.iter().enumerate().map(rule).collect::<Result<Vec<_>, _>>()?;
    systems.retain(|system| {
        overrides.systems.is_empty() || overrides.systems.iter().any(|name| is(name, system))
    });
    let blocks = file.blocks.unwrap_or(1);
    check::blocks(blocks)?;
    check::fresh_brokers(file.fresh_brokers, blocks)?;
    // One system twice says nothing where there is no interval.
    let few = (blocks as usize) < LEAST_BLOCKS;
    if systems.iter().any(|(_, config)| config.same_as.is_none()) {
        systems.retain(|(_, config)| !few || config.same_as.is_none());
    }
    let runs = |label: &str| systems.iter().any(|(known, _)| known == label);
    let (thresholds, dropped): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|rule| rule.labels().into_iter().all(runs));
    let model = file.load.as_ref().map_or(Model::Open, |load| load.model);
    let received = file.load.as_ref().is_none_or(|load| load.subscriptions != Some(0));
    let primary = file.primary.as_deref().unwrap_or(default_primary(model, received));
    let primary =
        measure(primary).map_err(|remedy| Problem::new(["primary"], "unknown figure", &remedy))?;
    Ok(Scenario {
        name: file.name.clone(),
        question: file.question.clone(),
        claim: file.claim,
        primary,
        guarantee: file.guarantee.unwrap_or(Guarantee::None),
        cross_class: file.cross_class.clone(),
        systems,
        titles,
        thresholds,
        blocks,
        fresh_brokers: file.fresh_brokers,
        repeat_spoilt: file.repeat_spoilt.unwrap_or(2),
        seed: file.seed.unwrap_or(DEFAULT_SEED),
        profile: overrides.profile.clone(),
        source: source.to_owned(),
        axes: Vec::new(),
        cells: Vec::new(),
        resolved: Vec::new(),
        dropped_rules: dropped.into_iter().map(|rule| rule.text).collect(),
        dropped_axes: Vec::new(),
    })
}

fn system_of(label: &str, settings: &Settings) -> Result<System, Problem> {
    let known = || System::ALL.into_iter().map(System::name);
    match settings.system.or_else(|| System::from_name(label)) {
        Some(System::Fake) => Err(Problem::new(
            ["systems", label, "system"],
            "unknown value",
            &suggest("fake", known()),
        )),
        Some(system) => Ok(system),
        None => {
            let remedy = format!("{} (or add `system:` to this label)", suggest(label, known()));
            Err(Problem::new(["systems", label], "no system has this name", &remedy))
        }
    }
}
