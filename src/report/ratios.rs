//! The ratios of a sentence on a first screen: of whom it holds, on which side of Kafka they lie,
//! and by how much.

use super::cells::Cells;
use super::face::{picked, short};
use crate::claims::{self, Pick, RatioText};
use crate::model::{Point, System};
use crate::result::{Claim, ComparedCell, Decision, Finding, RunInfo};
use crate::stats::compare::{GeometricMean, Side, decide_one, margin};
use itertools::Itertools;

/// Each primitive's value against Kafka's, over paired blocks.
pub struct Ratios {
    who: Vec<&'static str>,
    ratios: Vec<GeometricMean>,
}

impl Ratios {
    pub fn of(claim: &Claim, runs: &[RunInfo], pick: &Pick) -> Self {
        let cells = Cells::of(claim, runs);
        let kafka = picked(&cells, pick, System::Kafka.name());
        // What one system differs by when it runs twice is no difference.
        let again = claim.cells.iter().filter(|cell| {
            let twin = |kafka: &ComparedCell| {
                cell.same_as.as_ref() == Some(&kafka.label)
                    && (&cell.run, &cell.cell, &cell.metric)
                        == (&kafka.run, &kafka.cell, &kafka.metric)
            };
            kafka.is_some_and(twin)
        });
        let equals =
            again.filter_map(|again| claims::paired_ratio(again, kafka?)).collect::<Vec<_>>();
        let margin = margin(&equals);
        // What the verdict leaves open at this point no sentence decides.
        let at = kafka.map(|kafka| Point::read(&kafka.cell).at());
        let open = |system: &str| {
            let left = |one: &Finding| {
                let here = at.as_ref().is_some_and(|at| one.condition == at.trim_start());
                one.primitive == system && here && one.decision == Decision::Open
            };
            claim.findings.iter().any(left)
        };
        let against = |system: &'static str| {
            let ratio = claims::paired_ratio(picked(&cells, pick, system)?, kafka?)?;
            Some((short(system), ratio.with_margin(margin)))
        };
        let decided = System::PRIMITIVES.into_iter().filter(|system| !open(system));
        let (who, ratios) = decided.filter_map(against).unzip();
        Self { who, ratios }
    }

    /// Those that are shown to lie on one side of Kafka, and those of which neither is shown.
    fn by_side(&self) -> Vec<(Option<Side>, Self)> {
        let side = |ratio: &GeometricMean| match decide_one(Some(*ratio), Side::Above, 1.0) {
            Ok(true) => Some(Side::Above),
            Ok(false) => Some(Side::Below),
            Err(_) => None,
        };
        let group = |wanted: Option<Side>| {
            let each = self.who.iter().copied().zip(self.ratios.iter().copied());
            let (who, ratios) = each.filter(|(_, ratio)| side(ratio) == wanted).unzip();
            (wanted, Self { who, ratios })
        };
        let groups = [Some(Side::Below), Some(Side::Above), None].map(group);
        groups.into_iter().filter(|(_, group)| !group.who.is_empty()).collect()
    }

    /// `2.7–4.1`, downwards as factors above one.
    fn times(&self, side: Option<Side>) -> Option<String> {
        let factor = |ratio: &GeometricMean| match side {
            Some(Side::Below) => 1.0 / ratio.value(),
            _ => ratio.value(),
        };
        let (least, most) = self.ratios.iter().map(factor).minmax().into_option()?;
        let [least, most] = [least, most].map(two_digits);
        Some(if least == most { least } else { format!("{least}–{most}") })
    }

    fn fill(&self, text: &str, side: Option<Side>) -> Option<String> {
        let who = if self.who.len() == System::PRIMITIVES.len() {
            "Redis".to_owned()
        } else {
            format!("Redis {}", joined(&self.who))
        };
        Some(text.replace("{times}", &self.times(side)?).replace("{who}", &who))
    }

    pub fn sentence(
        &self,
        lower: &RatioText,
        higher: &RatioText,
        mixed: Option<&str>,
    ) -> Option<String> {
        let mut said = self.by_side().into_iter().filter_map(|(side, group)| {
            let text = match side {
                Some(Side::Below) => &lower.text,
                Some(Side::Above) => &higher.text,
                None => mixed?,
            };
            group.fill(text, side)
        });
        let said = said.join(" ");
        (!said.is_empty()).then_some(said)
    }

    /// Nothing where they lie on both sides.
    pub fn title(&self, lower: &RatioText, higher: &RatioText) -> Option<String> {
        let shown = self.by_side().into_iter().filter(|(side, _)| side.is_some());
        let (side, group) = shown.exactly_one().ok()?;
        let of = if side == Some(Side::Below) { lower } else { higher };
        group.fill(of.title.as_ref()?, side)
    }
}

/// More would be read as exact.
fn two_digits(factor: f64) -> String {
    match factor {
        large if large >= 10.0 => format!("{large:.0}"),
        small if small >= 1.0 => format!("{small:.1}"),
        less => format!("{less:.2}"),
    }
}

/// `a, b and c`.
fn joined(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Pub/Sub, Streams and Lists, over three blocks.
    fn ratios(values: [f64; 3]) -> Ratios {
        let near = |value: f64| GeometricMean::of(&[value * 0.99, value, value * 1.01]).unwrap();
        Ratios { who: vec!["Pub/Sub", "Streams", "Lists"], ratios: values.map(near).to_vec() }
    }

    fn said(values: [f64; 3]) -> (Option<String>, Option<String>) {
        let text = |word: &str| RatioText {
            text: format!("{word} {{who}} {{times}}."),
            title: Some(format!("{word} {{who}}")),
        };
        let (lower, higher) = (text("below"), text("above"));
        let found = ratios(values);
        let sentence = found.sentence(&lower, &higher, Some("neither {who} {times}."));
        (sentence, found.title(&lower, &higher))
    }

    #[test]
    fn each_text_is_of_those_to_whom_it_applies() {
        let both = |sentence: &str, title: &str| (Some(sentence.into()), Some(title.into()));
        assert_eq!(said([0.5, 0.5, 0.25]), both("below Redis 2.0–4.0.", "below Redis"));
        assert_eq!(
            said([0.5, 1.0, 0.5]),
            both(
                "below Redis Pub/Sub and Lists 2.0. neither Redis Streams 1.00.",
                "below Redis Pub/Sub and Lists"
            )
        );
        let split = said([0.5, 2.0, 2.0]);
        assert_eq!(split.0.unwrap(), "below Redis Pub/Sub 2.0. above Redis Streams and Lists 2.0.");
        assert_eq!(split.1, None, "no title says half of it");
        let none = ratios([1.0; 3]);
        let silent = RatioText { text: "no".into(), title: None };
        assert_eq!(none.sentence(&silent, &silent, None), None);
    }
}
