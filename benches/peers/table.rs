//! The one table: medians, ratio of the medians with the range of the rounds' ratios, goal, and
//! whether it is met.

use std::fmt::Write;

/// What a figure is to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    None,
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

struct Row {
    name: String,
    figure: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    goal: Goal,
}

#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn beside(
        &mut self,
        name: &str,
        figure: &'static str,
        ours: Vec<f64>,
        theirs: Vec<f64>,
        goal: Goal,
    ) {
        let row = Row { name: name.to_owned(), figure, ours, theirs, goal };
        // As it comes: whoever stops the run early keeps the rows that are done.
        let ratio = row.ratio().map_or(String::new(), |ratio| format!(", ratio {ratio:.2}"));
        eprintln!("done: {name}, {figure}: {}{ratio}", number(median(&row.ours)));
        self.0.push(row);
    }

    pub fn alone(&mut self, name: &str, figure: &'static str, ours: Vec<f64>, goal: Goal) {
        self.beside(name, figure, ours, Vec::new(), goal);
    }

    pub fn text(&self, runs: usize) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN).force_no_tty();
        table.set_header([
            "workload | peer",
            "figure",
            "brokerbench",
            "peer",
            "ratio (of the rounds)",
            "goal",
            "met",
        ]);
        let mut missed = 0;
        for row in &self.0 {
            let met = row.met();
            missed += usize::from(met == Some(false));
            table.add_row([
                row.name.replace(" | ", " / "),
                row.figure.to_owned(),
                number(median(&row.ours)),
                if row.theirs.is_empty() { String::new() } else { number(median(&row.theirs)) },
                row.ratio().map_or(String::new(), |ratio| {
                    let (least, most) = row.range();
                    format!("{ratio:.2} ({least:.2}–{most:.2})")
                }),
                row.goal.words(),
                met.map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
            ]);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{table}\nmedians of {runs} runs, ours and theirs in turn; {missed} goals missed"
        );
        text
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        (!self.theirs.is_empty()).then(|| median(&self.ours) / median(&self.theirs))
    }

    /// Least and greatest ratio of one round.
    fn range(&self) -> (f64, f64) {
        let ratios = self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs);
        ratios
            .fold((f64::INFINITY, 0.0), |(least, most), ratio| (ratio.min(least), ratio.max(most)))
    }

    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::None => None,
            Goal::AtMost(limit) => Some(median(&self.ours) <= limit),
            Goal::RatioAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
            Goal::RatioAtMost(most) => self.ratio().map(|ratio| ratio <= most),
        }
    }
}

impl Goal {
    fn words(self) -> String {
        match self {
            Self::None => String::new(),
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::RatioAtLeast(least) => format!("≥ {least}×"),
            Self::RatioAtMost(most) => format!("≤ {most}×"),
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[upper],
        _ => (sorted[upper - 1] + sorted[upper]) / 2.0,
    }
}

fn number(value: f64) -> String {
    match value {
        large if large >= 10_000.0 => format!("{:.0}k", large / 1e3),
        large if large >= 100.0 => format!("{large:.0}"),
        small => format!("{small:.3}"),
    }
}
