//! Scales and their ticks: plotters' own overlap and know no nines.

use super::canvas::{Align, Figure, GRID, MUTED, SMALL};
use super::letters;
use crate::model::Direction;

/// There are at most about eight, unless the numbers are so small that their distance is none.
const MOST_TICKS: u8 = 20;

#[derive(Clone, Debug)]
pub struct Scale {
    kind: ScaleKind,
    /// Where ticks stand instead of the usual places.
    own_ticks: Option<Vec<f64>>,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ScaleKind {
    Linear,
    Log,
    /// Quantiles: each further nine takes the same room.
    Nines,
}

impl Scale {
    /// Zero to a little above the largest value.
    pub fn linear(largest: f64, from: f64, to: f64) -> Self {
        let largest = if largest > 0.0 { largest } else { 1.0 };
        Self { kind: ScaleKind::Linear, own_ticks: None, low: 0.0, high: largest * 1.08, from, to }
    }

    /// From below the smallest positive value to above the largest, at least one decade.
    pub fn log(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high == 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let (mut low, mut high) = (low.log10() - 0.08, high.log10() + 0.08);
        if high - low < 1.0 {
            let middle = (low + high) / 2.0;
            (low, high) = (middle - 0.5, middle + 0.5);
        }
        Self { kind: ScaleKind::Log, own_ticks: None, low, high, from, to }
    }

    pub fn nines(highest: f64, from: f64, to: f64) -> Self {
        Self {
            kind: ScaleKind::Nines,
            own_ticks: None,
            low: 0.0,
            high: nines(highest).max(1.0),
            from,
            to,
        }
    }

    pub fn at(&self, value: f64) -> f64 {
        let value = match self.kind {
            ScaleKind::Linear => value,
            ScaleKind::Log => value.log10(),
            ScaleKind::Nines => nines(value),
        };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * share
    }

    /// With ticks at these values, such as the steps that were measured.
    pub fn with_ticks(mut self, ticks: Vec<f64>) -> Self {
        self.own_ticks = Some(ticks);
        self
    }

    pub fn holds(&self, value: f64) -> bool {
        self.kind != ScaleKind::Log
            || (value > 0.0 && (self.low..=self.high).contains(&value.log10()))
    }

    /// Where ticks stand; at most about eight.
    pub fn ticks(&self) -> Vec<f64> {
        if let Some(ticks) = &self.own_ticks {
            return ticks.iter().copied().filter(|tick| self.holds(*tick)).collect();
        }
        match self.kind {
            ScaleKind::Linear => {
                let rough = self.high / 4.0;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 2.5, 5.0, 10.0]
                    .into_iter()
                    .map(|factor| factor * power)
                    .find(|step| *step >= rough);
                let step = step.unwrap_or(rough);
                let at = (0..MOST_TICKS).map(|n| f64::from(n) * step);
                at.take_while(|tick| *tick <= self.high * 1.000_001).collect()
            }
            ScaleKind::Log => {
                let factors: &[f64] =
                    if self.high - self.low < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let decades = self.low.floor() as i32..=self.high.ceil() as i32;
                decades
                    .flat_map(|decade| {
                        factors.iter().map(move |factor| factor * 10f64.powi(decade))
                    })
                    .filter(|tick| (self.low..=self.high).contains(&tick.log10()))
                    .collect()
            }
            ScaleKind::Nines => [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.999_99, 0.999_999]
                .into_iter()
                .filter(|q| nines(*q) <= self.high + 1e-9)
                .collect(),
        }
    }

    pub fn draw_grid(&self, figure: &mut Figure, top: f64, bottom: f64) {
        for tick in self.ticks() {
            figure.line(vec![(self.at(tick), top), (self.at(tick), bottom)], GRID, 1.0, &[]);
        }
    }

    /// Round ones first: of two labels that would touch each other, the first stays.
    fn round_ticks(&self) -> Vec<f64> {
        let mut ticks = self.ticks();
        let round = |tick: f64| {
            self.kind != ScaleKind::Log || (tick.log10() - tick.log10().round()).abs() < 1e-9
        };
        ticks.sort_by_key(|tick| !round(*tick));
        ticks
    }

    /// Labels below, for a horizontal scale; none that would touch another or leave the paper.
    pub fn draw_labels(&self, figure: &mut Figure, bottom: f64, label: impl Fn(f64) -> String) {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for tick in self.round_ticks() {
            let text = short(&label(tick));
            let half = letters::width(&text, SMALL, false) / 2.0;
            let (left, right) = (self.at(tick) - half, self.at(tick) + half);
            let apart = taken.iter().all(|(from, to)| right + 6.0 <= *from || *to + 6.0 <= left);
            if apart && left >= 0.0 && right <= figure.width {
                figure.text((self.at(tick), bottom + 11.0), text, SMALL, MUTED, Align::Middle);
                taken.push((left, right));
            }
        }
    }

    /// Horizontal grid lines with labels on the left, for a vertical scale.
    pub fn draw_left(
        &self,
        figure: &mut Figure,
        left: f64,
        right: f64,
        label: impl Fn(f64) -> String,
    ) {
        let mut taken: Vec<f64> = Vec::new();
        for tick in self.round_ticks() {
            let y = self.at(tick);
            figure.line(vec![(left, y), (right, y)], GRID, 1.0, &[]);
            if taken.iter().all(|other| (other - y).abs() >= SMALL) {
                figure.text((left - 6.0, y), short(&label(tick)), SMALL, MUTED, Align::Right);
                taken.push(y);
            }
        }
    }
}

/// What stands at the better end of an axis.
pub fn better(direction: Direction) -> &'static str {
    match direction {
        Direction::Lower => "← better",
        Direction::Higher => "better →",
        Direction::Neutral => "",
    }
}

/// A tick's label without idle zeros: `1.00k` becomes `1k`, `0.500` becomes `0.5`.
fn short(label: &str) -> String {
    let end = label.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(label.len());
    let (number, unit) = label.split_at(end);
    if number.contains('.') {
        format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
    } else {
        label.to_owned()
    }
}

fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

/// Moves labels apart that stand closer than `gap`, keeping their order; returns their new places.
pub fn spread(places: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    let mut moved = places.to_vec();
    let mut least = low;
    for at in &order {
        moved[*at] = moved[*at].max(least);
        least = moved[*at] + gap;
    }
    let mut most = high;
    for at in order.iter().rev() {
        moved[*at] = moved[*at].min(most);
        most = moved[*at] - gap;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_places() {
        let log = Scale::log([1.0, 1000.0], 0.0, 100.0);
        assert!((log.at(31.622_776) - 50.0).abs() < 0.01);
        assert_eq!(log.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        let nines = Scale::nines(0.999, 0.0, 300.0);
        assert!((nines.at(0.9) - 100.0).abs() < 1e-9 && (nines.at(0.99) - 200.0).abs() < 1e-6);
        assert_eq!(nines.ticks(), [0.0, 0.5, 0.9, 0.99, 0.999]);
        assert_eq!(Scale::linear(10_000.0, 0.0, 1.0).ticks(), [0.0, 5_000.0, 10_000.0]);
        assert!(Scale::log([], 0.0, 1.0).ticks().len() > 1, "nothing to show still has an axis");
    }

    #[test]
    fn ticks_have_no_idle_zeros() {
        for (label, text) in [
            ("1.00k", "1k"),
            ("0.500", "0.5"),
            ("100", "100"),
            ("10.0", "10"),
            ("p99.9", "p99.9"),
            ("0", "0"),
        ] {
            assert_eq!(short(label), text);
        }
    }

    #[test]
    fn values_of_no_size_end() {
        for value in [f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY, f64::NAN] {
            assert!(Scale::linear(value, 0.0, 1.0).ticks().len() <= 20, "{value}");
            assert!(Scale::log([value], 0.0, 1.0).ticks().len() <= 20, "{value}");
        }
    }

    #[test]
    fn labels_are_kept_apart() {
        assert_eq!(spread(&[10.0, 11.0, 50.0], 5.0, 0.0, 100.0), [10.0, 15.0, 50.0]);
        assert_eq!(spread(&[99.0, 98.0], 5.0, 0.0, 100.0), [100.0, 95.0]);
    }
}
