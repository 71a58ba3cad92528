//! A run in figures: every metric of every label at every matrix point, by block, and with them the
//! settings, versions and properties of the machine that a comparison names first.

use crate::model::{Measure, Metric, Point, Unit};
use crate::result::fault_figures::FAULT_FIGURES;
use crate::result::{
    Baseline, BaselineFigure, CellSummary, Fault, Manifest, SCHEMA, ScenarioInfo, Summary,
    latency_value, usable,
};
use itertools::Itertools;
use std::collections::BTreeMap;

/// Of plain load.
const PLAIN: [&str; 17] = [
    "goodput",
    "completed_of_planned",
    "publish.p50",
    "publish.p99",
    "publish.p99_9",
    "end_to_end.p50",
    "end_to_end.p99",
    "end_to_end.p99_9",
    "counts.failed",
    "counts.lost",
    "counts.broker_lost",
    "counts.duplicate",
    "counts.corrupt",
    "counts.reordered",
    "resources.client_cpu_per_message",
    "resources.broker_cpu_per_message",
    "resources.broker_peak_rss",
];

/// A run, with metrics beyond the usual ones where they are asked for.
pub fn baseline_of(manifest: &Manifest, summary: &Summary, more: &[String]) -> Baseline {
    let asked = more.iter().map(String::as_str).chain([manifest.scenario.primary.as_str()]);
    let measures = PLAIN.into_iter().chain(asked).filter_map(|name| name.parse::<Measure>().ok());
    let measures: Vec<Measure> = measures.unique_by(ToString::to_string).collect();
    let mut figures = BaselineFigures::default();
    for cell in summary.cells.iter().filter(|cell| cell.valid && cell.cannot().is_none()) {
        if cell.experiment.is_none() {
            measures.iter().for_each(|measure| figures.plain(cell, *measure));
        }
        figures.observed(cell);
        figures.of_faults(cell);
    }
    let mut settings = settings_of(&manifest.scenario);
    settings.extend(told(manifest));
    settings.extend(chosen(manifest));
    Baseline {
        schema: SCHEMA,
        run: manifest.run.clone(),
        started_at: manifest.started_at.clone(),
        scenario: manifest.scenario.name.clone(),
        profile: manifest.profile.clone(),
        primary: manifest.scenario.primary.clone(),
        blocks: manifest.blocks,
        brokerbench_version: manifest.brokerbench_version.clone(),
        host: host(manifest),
        versions: versions(manifest),
        settings,
        figures: figures.sorted(),
    }
}

/// The scenario as resolved.
pub fn settings_of(scenario: &ScenarioInfo) -> BTreeMap<String, String> {
    let resolved = scenario.resolved.iter();
    resolved.map(|origin| (origin.key.clone(), origin.value.clone())).collect()
}

/// What brokers and clients told of their settings, by label.
fn told(manifest: &Manifest) -> impl Iterator<Item = (String, String)> + '_ {
    manifest.systems.iter().flat_map(|(label, told)| {
        let sides = [
            ("broker", &told.broker_config),
            ("topic", &told.topic_config),
            ("client", &told.client_config),
        ];
        sides.into_iter().flat_map(move |(side, config)| {
            config.iter().map(move |(key, value)| (format!("{label}: {side} {key}"), value.clone()))
        })
    })
}

/// What the run chose for itself before its first block.
fn chosen(manifest: &Manifest) -> Vec<(String, String)> {
    let mut chosen = Vec::new();
    for (point, found) in &manifest.rates_found {
        let all = found.rate.map(|rate| (format!("rate found at {point}"), rate.to_string()));
        chosen.extend(all);
        chosen.extend(
            found.own.iter().map(|(label, rate)| {
                (format!("rate found at {point} of {label}"), rate.to_string())
            }),
        );
    }
    for (label, points) in &manifest.settings_found {
        chosen.extend(points.iter().filter_map(|(point, found)| {
            Some((format!("setting found at {point} of {label}"), found.setting.clone()?))
        }));
    }
    chosen
}

fn host(manifest: &Manifest) -> BTreeMap<String, String> {
    let host = &manifest.host;
    let storage = manifest.storage.as_ref().map(|storage| {
        let memory = if storage.in_memory { ", in memory" } else { "" };
        format!("{} ({}){memory}", storage.file_system, storage.options)
    });
    [
        ("cpu", host.cpu.clone()),
        ("cores", host.cores.to_string()),
        // To a tenth: what the kernel keeps for itself differs from boot to boot.
        ("memory", Unit::Bytes.show((host.memory_bytes as f64 / 1e8).round() * 1e8)),
        ("kernel", host.kernel.clone()),
        ("environment", manifest.environment.clone()),
        ("network", manifest.network_path.clone()),
        ("storage", storage.unwrap_or_default()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn versions(manifest: &Manifest) -> BTreeMap<String, String> {
    let both = |(label, told): (&String, &crate::result::Description)| {
        (label.clone(), format!("{}; {}", told.broker_version, told.client_version))
    };
    manifest.systems.iter().map(both).collect()
}

/// By label, cell and metric.
#[derive(Default)]
struct BaselineFigures(BTreeMap<(String, String, String), BaselineFigure>);

impl BaselineFigures {
    fn at(
        &mut self,
        cell: &CellSummary,
        point: &str,
        name: &str,
        unit: &str,
    ) -> &mut BaselineFigure {
        let place = Point::read(&cell.cell).and(&Point::read(point)).to_string();
        let key = (cell.label.clone(), place, name.to_owned());
        self.0.entry(key).or_insert_with_key(|(label, cell_name, metric)| BaselineFigure {
            label: label.clone(),
            cell: cell_name.clone(),
            metric: metric.clone(),
            unit: unit.to_owned(),
            same_as: cell.same_as.clone(),
            ..BaselineFigure::default()
        })
    }

    /// A latency that the load model or the system has not is no figure; one that is there and
    /// tells nothing of the system is one without a value.
    fn plain(&mut self, cell: &CellSummary, measure: Measure) {
        let latency = measure.latency().is_some();
        if latency && latency_value(measure, cell).is_none() {
            return;
        }
        let unit = measure.unit().name();
        match usable(measure, cell) {
            Ok(value) => self.value(cell, "", (&measure.to_string(), unit), value),
            Err(why) if latency => {
                let figure = self.at(cell, "", &measure.to_string(), unit);
                if figure.unmeasured.is_empty() {
                    figure.unmeasured = why;
                }
            }
            Err(_) => {}
        }
    }

    fn observed(&mut self, cell: &CellSummary) {
        for seen in &cell.observations {
            if let Some(value) = seen.value {
                self.value(cell, &seen.point, (&seen.metric, &seen.unit), value);
            }
        }
    }

    /// Of what struck, by the kind of fault.
    fn of_faults(&mut self, cell: &CellSummary) {
        let struck = || cell.faults.iter().filter(|fault| fault.took_effect_at_ns.is_some());
        for kind in struck().map(|fault| &fault.kind).unique() {
            let own: Vec<&Fault> = struck().filter(|fault| fault.kind == *kind).collect();
            for figure in FAULT_FIGURES {
                let value = figure.of_block(&own).and_then(|told| told.value());
                if let Some(value) = value {
                    let Metric { name, unit, .. } = figure.metric;
                    self.value(cell, &format!("fault={kind}"), (name, unit.name()), value);
                }
            }
        }
    }

    fn value(&mut self, cell: &CellSummary, point: &str, (name, unit): (&str, &str), value: f64) {
        let figure = self.at(cell, point, name, unit);
        if value.is_finite() {
            figure.values.insert(cell.block, six_digits(value));
        }
    }

    /// By label, matrix point in order of its quantities, and metric.
    fn sorted(self) -> Vec<BaselineFigure> {
        let mut figures: Vec<_> = self.0.into_values().collect();
        figures.sort_by(|a, b| {
            let points = Point::read(&a.cell).cmp(&Point::read(&b.cell));
            a.label.cmp(&b.label).then(points).then_with(|| a.metric.cmp(&b.metric))
        });
        figures
    }
}

/// No measurement repeats to a millionth, and a file of short numbers can be read.
fn six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}
