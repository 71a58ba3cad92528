//! The comparison table, independent of how it is written: lines of text per cell, nothing escaped
//! yet.

use super::cells::Cells;
use super::group::known_or_new;
use super::{headline, marks, provenance, quantity};
use crate::model::{Service, System, Unit};
use crate::result::words::{TimeUnit, grouped, or_dash, significant, survival, told};
use crate::result::{CellId, Claim, ComparedCell, Comparison, Kind, RunInfo};
use itertools::Itertools;

/// One table with a name; a cell holds one or more lines.
#[derive(Debug, serde::Serialize)]
pub struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<Vec<String>>>,
    /// The column of addresses: shown as links where they may be.
    pub link: Option<usize>,
}

/// The numbers of a figure.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct DataTable {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl DataTable {
    pub fn new<H: Into<String>>(head: impl IntoIterator<Item = H>, rows: Vec<Vec<String>>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows }
    }

    /// Of rows that say first which cell each is about.
    pub fn placed<'a>(
        head: &[&str],
        rows: impl Iterator<Item = (&'a CellId, Vec<String>)>,
    ) -> Self {
        let place = |id: &CellId| [id.label.clone(), id.cell.clone(), id.block.to_string()];
        let rows = rows.map(|(id, row)| place(id).into_iter().chain(row).collect()).collect();
        Self::new(["Label", "Matrix point", "Block"].iter().chain(head).copied(), rows)
    }
}

/// `message-size` becomes `Message size`.
pub fn claim_title(id: &str) -> String {
    capital(&id.replace('-', " "))
}

pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

pub fn is_ratio(cell: &ComparedCell) -> bool {
    cell.metric.starts_with("ratio(")
}

pub fn overview(comparison: &Comparison) -> Table {
    rows(&comparison.claims, comparison)
}

pub fn uses(comparison: &Comparison) -> Table {
    rows(&comparison.uses, comparison)
}

/// The same questions to the services of AWS, a column for each; empty where no row is known.
pub fn managed(comparison: &Comparison) -> Table {
    let rows = comparison.managed.iter().map(|claim| {
        let title = provenance::marked_title(claim, &comparison.runs);
        let claimed = format!("{} / {}", claim.kafka_claim, claim.redis_claim);
        let spoilt = provenance::spoilt(claim, &comparison.runs);
        let mut row = vec![[title, claimed].into_iter().chain(spoilt).collect()];
        row.extend(Service::ALL.map(|service| few(of_service(claim, service, comparison))));
        row
    });
    let head = ["Question"].into_iter().chain(Service::ALL.map(Service::title));
    let head = head.map(str::to_owned).collect();
    Table { title: String::new(), head, rows: rows.collect(), link: None }
}

/// What was measured, when and where; until then, what documents say.
fn of_service(claim: &Claim, service: Service, comparison: &Comparison) -> Vec<String> {
    let cells = Cells::of(claim, &comparison.runs);
    let own = |cell: &&&ComparedCell| {
        System::from_name(&cell.system).and_then(System::service) == Some(service)
    };
    let measured = |cell: &&&ComparedCell| cell.run.is_some();
    let systems = cells.all.iter().filter(own).filter(measured).map(|cell| &cell.system).unique();
    let mut lines: Vec<String> = Vec::new();
    for system in systems {
        let word = system.strip_prefix("memorydb-").map(|word| format!("{}: ", capital(word)));
        let word = word.unwrap_or_default();
        let told = headline::lines(&cells, system).into_iter();
        lines.extend(told.map(|line| format!("{word}{line}")));
    }
    if lines.is_empty() {
        let documented = cells.all.iter().filter(own).map(|cell| cell.text.clone());
        lines.extend(documented);
    } else {
        let runs = cells
            .all
            .iter()
            .filter(own)
            .filter_map(|cell| provenance::run_of(cell, &comparison.runs));
        let at = runs.filter_map(|run| provenance::place(run, service)).sorted().dedup();
        lines.extend(at.map(|at| format!("measured {at}")));
    }
    if lines.is_empty() { vec!["not measured".to_owned()] } else { lines }
}

fn rows(claims: &[Claim], comparison: &Comparison) -> Table {
    let rows = claims.iter().map(|claim| {
        let cells = Cells::of(claim, &comparison.runs);
        let title = provenance::marked_title(claim, &comparison.runs);
        let claimed = format!("{} / {}", claim.kafka_claim, claim.redis_claim);
        let spoilt = provenance::spoilt(claim, &comparison.runs);
        let mut row = vec![[title, claimed].into_iter().chain(spoilt).collect()];
        row.extend(System::NAMES.map(|system| few(headline::lines(&cells, system))));
        row.push(vec![claim.verdict.clone()]);
        row
    });
    let head = ["Claim"].into_iter().chain(System::COMPARED.map(System::title)).chain(["Verdict"]);
    let head = head.map(str::to_owned).collect();
    Table { title: String::new(), head, rows: rows.collect(), link: None }
}

/// As many lines as one cell of the table has room for.
fn few(mut lines: Vec<String>) -> Vec<String> {
    const MOST: usize = 12;
    if lines.len() > MOST {
        let more = lines.len() - (MOST - 1);
        lines.truncate(MOST - 1);
        lines.push(format!("… {more} more in the long form"));
    }
    lines
}

/// Where claims come from: each address once, with the names of its rows where there are several.
pub fn sources(comparison: &Comparison) -> Vec<(String, Vec<String>)> {
    let mut sources: Vec<(String, Vec<String>)> = Vec::new();
    for claim in
        comparison.claims.iter().chain(&comparison.uses).filter(|claim| !claim.source.is_empty())
    {
        let new = || (claim.source.clone(), Vec::new());
        let named = known_or_new(&mut sources, |(source, _)| *source == claim.source, new);
        named.1.push(claim_title(&claim.id));
    }
    sources
}

/// Every figure of a claim that was tried: a table for each metric, since a column has one unit,
/// one of ratios, and one of what documents say.
pub fn details(claim: &Claim, runs: &[RunInfo]) -> Vec<Table> {
    let tried =
        claim.cells.iter().filter(|cell| cell.run.is_some() || cell.kind != Kind::NotMeasured);
    let (documented, tried): (Vec<_>, Vec<_>) =
        tried.partition(|cell| cell.kind == Kind::Documented);
    let (ratios, values): (Vec<_>, Vec<_>) = tried.into_iter().partition(|cell| is_ratio(cell));
    let of = |metric: &str| {
        values.iter().filter(|cell| cell.metric == metric).copied().collect::<Vec<_>>()
    };
    let metrics = values.iter().map(|cell| cell.metric.as_str()).unique();
    let mut tables: Vec<Table> =
        metrics.map(|metric| metric_table(metric, &of(metric), runs)).collect();
    if !ratios.is_empty() {
        let head = ["Ratio", "Condition", "Value, ×", "95 % interval, ×", "Blocks", "Decision"];
        let row = |cell: &&ComparedCell| {
            vec![
                cell.metric.clone(),
                cell.cell.clone(),
                or_dash(cell.value, significant),
                span(cell.interval, significant),
                cell.blocks.to_string(),
                cell.text.clone(),
            ]
        };
        tables.push(table("Ratios", &head, ratios.iter().map(row)));
    }
    if !documented.is_empty() {
        let head = ["Label", "Of what", "What the document says", "Document"];
        let row = |cell: &&ComparedCell| {
            let document = or_dash(cell.source.clone(), |address| address);
            vec![name(cell), cell.metric.clone(), cell.text.clone(), document]
        };
        tables.push(Table {
            link: Some(3),
            ..table("Documented", &head, documented.iter().map(row))
        });
    }
    tables
}

/// The label, with what distinguishes it where that says more.
fn name(cell: &ComparedCell) -> String {
    match &cell.variant {
        Some(variant) if *variant != cell.label => format!("{} ({variant})", cell.label),
        _ => cell.label.clone(),
    }
}

fn metric_table(metric: &str, cells: &[&ComparedCell], runs: &[RunInfo]) -> Table {
    let time = TimeUnit::for_column(cells.iter().filter_map(|cell| cell.value));
    let unit = cells
        .iter()
        .map(|cell| cell.unit.as_str())
        .find(|unit| !unit.is_empty())
        .unwrap_or_default();
    let known = Unit::from_name(unit);
    let print = |value: f64| match known {
        Some(Unit::Nanoseconds) => time.of(value),
        Some(Unit::Bytes | Unit::Yes | Unit::Share) => quantity::words(value, unit),
        Some(Unit::Messages) => quantity::plain(value),
        _ => number(value),
    };
    let shown = match known {
        Some(Unit::Nanoseconds) => format!(", {}", time.name()),
        // Bytes carry their unit, shares and yes or no are words.
        Some(Unit::Bytes | Unit::Yes | Unit::Share) => String::new(),
        _ if unit.is_empty() => String::new(),
        _ => format!(", {unit}"),
    };
    let mut head = vec![
        "Label".to_owned(),
        "Scenario".to_owned(),
        "Condition".to_owned(),
        format!("Value{shown}"),
        format!("95 % interval{shown}"),
        counted(cells),
        "Blocks".to_owned(),
        "What is acknowledged survives".to_owned(),
        "Flags".to_owned(),
        "Notes".to_owned(),
    ];
    let spent = cells.iter().any(|cell| cell.resources.is_some());
    head.extend(RESOURCES.iter().filter(|_| spent).map(|text| (*text).to_owned()));
    let row = |cell: &&ComparedCell| {
        let mut row = vec![
            name(cell),
            or_dash(provenance::run_of(cell, runs), provenance::scenario),
            cell.cell.clone(),
            or_dash(
                cell.told()
                    .map(|one| told(one, print))
                    .or((cell.kind == Kind::Cannot).then(|| "cannot".to_owned())),
                |text| text,
            ),
            span(cell.interval, print),
            grouped(cell.n),
            cell.blocks.to_string(),
            or_dash(class(cell), |class| class.trim_start_matches("survives ").to_owned()),
            marks::flags(cell),
            notes(cell),
        ];
        row.extend(resources(cell).into_iter().filter(|_| spent));
        row
    };
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(metric, &head, cells.iter().map(row))
}

/// `survives process kill, 1 copy`, of what was measured.
fn class(cell: &ComparedCell) -> Option<String> {
    cell.survives.as_ref().filter(|_| cell.kind == Kind::Measured).map(survival)
}

/// What the text of a cell says beside its survival class, which has a column of its own.
fn notes(cell: &ComparedCell) -> String {
    let class = cell.survives.as_ref().map(survival);
    cell.text.split("; ").filter(|part| class.as_deref() != Some(*part)).join("; ")
}

/// What the load took of its machine.
const RESOURCES: [&str; 4] = [
    "Client CPU, µs a message",
    "Broker CPU, µs a message",
    "Generator's share of the machine",
    "Ran out",
];

fn resources(cell: &ComparedCell) -> [String; 4] {
    let of = cell.resources.clone().unwrap_or_default();
    let micros = |ns: Option<f64>| or_dash(ns, |ns| significant(ns / 1e3));
    let ran_out =
        of.saturated.iter().map(|(what, blocks)| format!("{what} in {blocks}")).join(", ");
    [
        micros(of.client_cpu_ns_per_message),
        micros(of.broker_cpu_ns_per_message),
        or_dash(of.client_share, quantity::share),
        or_dash(Some(ran_out).filter(|text| !text.is_empty()), |text| text),
    ]
}

/// `n, faults`.
fn counted(cells: &[&ComparedCell]) -> String {
    let units = cells.iter().map(|cell| cell.n_unit.as_str()).filter(|unit| !unit.is_empty());
    ["n"].into_iter().chain(units.unique()).join(", ")
}

fn span(interval: Option<[f64; 2]>, print: impl Fn(f64) -> String) -> String {
    or_dash(interval, |[low, high]| format!("{} to {}", print(low), print(high)))
}

fn table(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    Table {
        title: title.to_owned(),
        head: head.iter().map(|text| (*text).to_owned()).collect(),
        rows: rows.map(|row| row.into_iter().map(|cell| vec![cell]).collect()).collect(),
        link: None,
    }
}

pub fn number(value: f64) -> String {
    let text = significant(value);
    match text.parse::<u64>() {
        Ok(whole) if whole >= 10_000 => grouped(whole),
        _ => text,
    }
}
