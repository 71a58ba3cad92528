//! What a reader sees first of a comparison: one line for each claim, a few sentences that say what
//! came out, and a title. Computed from the cells alone, by what `claims.yaml` says of it.

use super::cells::Cells;
use super::ratios::Ratios;
use super::{marks, provenance, quantity, table};
use crate::claims::{self, FaceRow, Pick, Sentence, Struck};
use crate::model::metric::FAULT_GONE;
use crate::model::{Point, System, Unit};
use crate::result::words::{TimeUnit, in_words, told};
use crate::result::{Claim, ComparedCell, Comparison, Decision, Finding, Kind, Verdict};
use itertools::Itertools;

/// Fewer faults without a loss are not told as keeping everything.
const FEW_FAULTS: u64 = 10;

/// A question with its condition and unit, a value for each system, and what the claim came to.
pub struct FaceLine {
    /// Its name.
    pub claim: String,
    /// The claim in one sentence; of the first line of a claim.
    pub says: Option<String>,
    pub question: String,
    /// In the order of the systems.
    pub values: Vec<String>,
    /// Of the first line of a claim.
    pub chip: Option<Chip>,
}

/// A verdict in a few words, its symbol first.
pub struct Chip {
    pub answer: Verdict,
    pub text: String,
}

/// What came out of one topic, in sentences.
pub struct FaceTopic {
    pub name: String,
    pub text: String,
}

/// The one-line rows of all claims.
pub fn lines(comparison: &Comparison) -> Vec<FaceLine> {
    let of_claim = |claim: &Claim| {
        let cells = Cells::of(claim, &comparison.runs);
        let rows = claims::face_rows(&claim.id).iter().enumerate();
        let line = |(at, row): (usize, &FaceRow)| line(&cells, row, (at == 0).then(|| chip(claim)));
        // Of further lines those that say something.
        let told = |value: &String| !matches!(value.as_str(), "–" | "n/a");
        let says = |line: &FaceLine| line.chip.is_some() || line.values.iter().any(told);
        rows.map(line).filter(says).collect::<Vec<_>>()
    };
    comparison.claims.iter().flat_map(of_claim).collect()
}

/// The advice that was judged, by its title, and what it came to.
pub fn advice(comparison: &Comparison) -> Vec<(String, Chip)> {
    let judged = comparison.uses.iter().filter(|row| row.answer != Verdict::NotMeasured);
    judged.map(|row| (provenance::marked_title(row, &comparison.runs), chip(row))).collect()
}

/// What came out, by topic; a topic of which nothing can be said is left out.
pub fn topics(comparison: &Comparison) -> Vec<FaceTopic> {
    let told = claims::topics().iter().map(|topic| FaceTopic {
        name: topic.topic.clone(),
        text: topic.sentences.iter().filter_map(|one| sentence(comparison, one)).join(" "),
    });
    told.filter(|topic| !topic.text.is_empty()).collect()
}

/// The finding of the whole: what the ratios come to, or else how many claims are right.
pub fn title(comparison: &Comparison) -> String {
    let sentences = || claims::topics().iter().flat_map(|topic| &topic.sentences);
    let ratios = sentences().filter(|sentence| matches!(sentence, Sentence::Ratio { .. }));
    let text = ratios.filter_map(|ratio| core_of(comparison, ratio)).join("; ");
    if !text.is_empty() {
        return table::capital(&text);
    }
    let counted = sentences().find(|sentence| matches!(sentence, Sentence::Verdicts { .. }));
    counted.and_then(|counted| sentence(comparison, counted)).unwrap_or_default()
}

/// The core of the sentence of this name, where it says something.
pub fn core(comparison: &Comparison, name: &str) -> Option<String> {
    let mut sentences = claims::topics().iter().flat_map(|topic| &topic.sentences);
    let named = sentences.find(|sentence| match sentence {
        Sentence::Ratio { name: own, .. } | Sentence::Lost { name: own, .. } => own == name,
        Sentence::Verdicts { .. } => false,
    });
    core_of(comparison, named?).map(|text| table::capital(&text))
}

fn core_of(comparison: &Comparison, sentence: &Sentence) -> Option<String> {
    match sentence {
        Sentence::Ratio { claim, cell, lower, higher, .. } => {
            let ratios = Ratios::of(find(comparison, claim)?, &comparison.runs, cell);
            ratios.title(lower, higher)
        }
        Sentence::Lost { claim, of, title, .. } => {
            let cells = Cells::of(find(comparison, claim)?, &comparison.runs);
            let found = of.iter().filter_map(|one| gone(&cells, one)?.value);
            let found: Vec<f64> = found.collect();
            let few = found.iter().filter(|gone| **gone > 0.0).count();
            let told =
                title.replace("{few}", &in_words(few)).replace("{all}", &in_words(found.len()));
            (!found.is_empty()).then_some(told)
        }
        Sentence::Verdicts { .. } => None,
    }
}

/// Brokers, host, days and profile: what the figures hold for.
pub fn about(comparison: &Comparison) -> String {
    let own = || comparison.runs.iter().filter(|run| !run.managed());
    let runs = || own().filter(|run| run.measured());
    let days = runs().filter_map(|run| run.started_at.get(..10)).sorted().dedup().join(", ");
    let hosts = runs().map(|run| run.host.as_str()).unique().join("; ");
    let profile = format!("profile {}", comparison.profile);
    let facts = [provenance::brokers(&comparison.runs), hosts, days, profile];
    facts.into_iter().filter(|fact| !fact.is_empty()).join(" · ")
}

/// What the marks of these lines mean.
pub fn legend(lines: &[FaceLine]) -> Vec<String> {
    let absent = [("n/a", "not possible there"), ("–", "not measured")];
    let marks = marks::FLAGS.into_iter().chain(absent);
    let stands = |mark: &str| lines.iter().flat_map(|line| &line.values).any(|v| v.contains(mark));
    let stands = |(mark, _): &(&str, &str)| stands(mark);
    marks.filter(stands).map(|(mark, words)| format!("{mark} {words}")).collect()
}

/// `Pub/Sub` of `redis-pubsub`.
pub fn short(system: &str) -> &str {
    match System::from_name(system) {
        Some(known) => known.title().strip_prefix("Redis ").unwrap_or(known.title()),
        None => system,
    }
}

fn find<'a>(comparison: &'a Comparison, id: &str) -> Option<&'a Claim> {
    comparison.claims.iter().find(|claim| claim.id == id)
}

/// The cell that is picked for a system: of those that fit, the one with the plainest condition.
pub fn picked<'a>(cells: &Cells<'a>, pick: &Pick, system: &str) -> Option<&'a ComparedCell> {
    if pick.without.iter().any(|other| other == system) {
        return None;
    }
    let label = pick.labels.get(system).map_or(system, String::as_str);
    let fits = |cell: &&ComparedCell| {
        let point = Point::read(&cell.cell);
        let at = pick.at.iter().all(|(key, value)| point.get(key) == Some(value.as_str()));
        at && cells.scenario(cell) == pick.scenario
    };
    let fitting = cells.of_label(label, &pick.metric).into_iter().filter(fits);
    fitting.min_by_key(|cell| cell.cell.matches('=').count())
}

fn line(cells: &Cells<'_>, row: &FaceRow, chip: Option<Chip>) -> FaceLine {
    let found = System::NAMES.map(|system| picked(cells, &row.cell, system));
    let unit = found.iter().flatten().map(|cell| cell.unit.as_str()).find(|unit| !unit.is_empty());
    let unit = unit.and_then(Unit::from_name);
    let time = TimeUnit::for_column(found.iter().flatten().filter_map(|cell| cell.value));
    let cannot = |system: &str| {
        let own = cells.of_label(system, &row.cell.metric);
        own.iter().any(|cell| cell.kind == Kind::Cannot)
    };
    let of_system = |(system, cell): (&str, &Option<&ComparedCell>)| {
        let cell = cell.filter(|cell| cell.kind != Kind::Cannot);
        let Some(cell) = cell else {
            return if cannot(system) { "n/a" } else { "–" }.to_owned();
        };
        let print = |value: f64| match unit {
            Some(Unit::Nanoseconds) => time.of(value),
            Some(Unit::Bytes) => quantity::decimal_bytes(value),
            Some(Unit::Share) => percent(value),
            Some(Unit::Yes) => quantity::words(value, &cell.unit),
            Some(Unit::Messages) => quantity::plain(value),
            _ => table::number(value),
        };
        if cell.kind == Kind::Documented {
            let says = claims::documented(cells.claim, &cell.label, &cell.metric);
            return says.unwrap_or("–").to_owned();
        }
        let value = cell.told().map(|one| told(one, print));
        value.map_or_else(|| "–".to_owned(), |value| value + &marks::flags(cell))
    };
    let unit = match unit {
        Some(Unit::Nanoseconds) => format!(", in {}", time.name()),
        Some(Unit::MessagesPerSecond) => ", msg/s".to_owned(),
        _ => String::new(),
    };
    FaceLine {
        claim: cells.claim.to_owned(),
        says: row.claim.clone(),
        question: format!("{}{unit}", row.title),
        values: System::NAMES.into_iter().zip(&found).map(of_system).collect(),
        chip,
    }
}

/// `0 %` and `100 %` are exactly that.
fn percent(share: f64) -> String {
    match quantity::share(share).as_str() {
        "all" => "100 %".to_owned(),
        "none" => "0 %".to_owned(),
        part => part.to_owned(),
    }
}

fn chip(claim: &Claim) -> Chip {
    let text = match claim.answer {
        Verdict::Right => "✓ right".to_owned(),
        Verdict::Wrong => "✗ wrong".to_owned(),
        Verdict::Open => "? open".to_owned(),
        Verdict::Documented => "documented".to_owned(),
        Verdict::NotMeasured => "not measured".to_owned(),
        Verdict::Mixed => format!("◐ {}", partly(&claim.findings)),
    };
    Chip { answer: claim.answer, text }
}

/// Of which primitives it is wholly right, or else wholly wrong; where there is neither, under
/// which condition it is the same for all.
fn partly(findings: &[Finding]) -> String {
    let judged = || findings.iter().filter(|one| one.decision != Decision::NotApplicable);
    let wholly = |decision: Decision| {
        let all = |system: &&str| {
            let mut own = judged().filter(|one| one.primitive == **system).peekable();
            own.peek().is_some() && own.all(|one| one.decision == decision)
        };
        System::PRIMITIVES.iter().copied().filter(all).map(short).join(", ")
    };
    for (decision, word) in [(Decision::Right, "right"), (Decision::Wrong, "wrong")] {
        let primitives = wholly(decision);
        if !primitives.is_empty() {
            return format!("{word} for {primitives}");
        }
    }
    for (decision, word) in [(Decision::Wrong, "wrong"), (Decision::Right, "right")] {
        let alike = |condition: &&str| {
            let mut own = judged().filter(|one| one.condition == **condition);
            own.all(|one| one.decision == decision)
        };
        let mut conditions = judged().map(|one| one.condition.as_str()).unique();
        if let Some(condition) = conditions.find(alike) {
            return format!("{word} {}", keyless(condition));
        }
    }
    "depends on the load".to_owned()
}

/// `at 1KiB` of `at message.size=1KiB`.
fn keyless(condition: &str) -> String {
    let word = |word: &str| word.rsplit('=').next().unwrap_or(word).to_owned();
    condition.split(' ').map(word).join(" ")
}

fn sentence(comparison: &Comparison, sentence: &Sentence) -> Option<String> {
    match sentence {
        Sentence::Ratio { claim, cell, lower, higher, mixed, .. } => {
            let ratios = Ratios::of(find(comparison, claim)?, &comparison.runs, cell);
            ratios.sentence(lower, higher, mixed.as_deref())
        }
        Sentence::Lost { claim, of, lost, kept, .. } => {
            let cells = Cells::of(find(comparison, claim)?, &comparison.runs);
            let words = |which: fn(f64, u64) -> bool| {
                let struck = |one: &&Struck| {
                    let found = gone(&cells, one);
                    found.is_some_and(|cell| cell.value.is_some_and(|gone| which(gone, cell.n)))
                };
                of.iter().filter(struck).map(|one| one.words.as_str()).collect::<Vec<_>>()
            };
            let lists = [
                (lost, "{lost}", words(|gone, _| gone > 0.0)),
                (kept, "{kept}", words(|gone, faults| gone == 0.0 && faults >= FEW_FAULTS)),
            ];
            let lists = lists.into_iter().filter(|(.., words)| !words.is_empty());
            let told =
                lists.map(|(text, key, words)| text.replace(key, &words.join("; "))).join(" ");
            Some(told).filter(|text| !text.is_empty())
        }
        Sentence::Verdicts { text } => Some(counted(comparison, text)),
    }
}

/// What is gone of what a setting had acknowledged under a fault.
pub fn gone<'a>(cells: &Cells<'a>, struck: &Struck) -> Option<&'a ComparedCell> {
    let mut own = cells.of_label(&struck.label, FAULT_GONE.name);
    own.retain(|cell| cells.scenario(cell) == struck.scenario);
    own.into_iter().find(|cell| cell.value.is_some())
}

fn counted(comparison: &Comparison, text: &str) -> String {
    let of = |answers: &[Verdict]| {
        let own = comparison.claims.iter().filter(|one| answers.contains(&one.answer));
        own.count().to_string()
    };
    let counts = [
        ("{right}", of(&[Verdict::Right])),
        ("{wrong}", of(&[Verdict::Wrong])),
        ("{mixed}", of(&[Verdict::Mixed])),
        ("{documented}", of(&[Verdict::Documented])),
        ("{open}", of(&[Verdict::Open, Verdict::NotMeasured])),
        ("{all}", in_words(comparison.claims.len())),
    ];
    let text = counts.iter().fold(text.to_owned(), |text, (key, word)| text.replace(key, word));
    table::capital(&text)
}
