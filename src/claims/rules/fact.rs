//! A figure that is true or not, whatever the spread: looked up among the cells and compared with a
//! limit, block by block.
//!
//! `cannot` counts as nothing at all: no message kept, none delivered. What is missing decides
//! nothing.

use crate::claims::finding::Answer;
use crate::result::{ComparedCell, Kind};

pub enum Fact<'a> {
    /// The least and the most over the blocks that count.
    Range { least: f64, most: f64, cell: &'a ComparedCell },
    /// The system has no such thing; why.
    Cannot(&'a str),
    /// Not measured; what.
    Missing(String),
}

pub fn of(cell: &ComparedCell) -> Fact<'_> {
    let values = || cell.per_block.iter().filter_map(|block| block.value);
    match (values().reduce(f64::min), values().reduce(f64::max)) {
        (Some(least), Some(most)) => Fact::Range { least, most, cell },
        _ if cell.kind == Kind::Cannot => Fact::Cannot(&cell.text),
        _ => Fact::Missing(format!("{} has no {}: {}", cell.label, cell.metric, short(&cell.text))),
    }
}

impl Fact<'_> {
    pub fn at_least(&self, limit: f64) -> Answer {
        self.compare(|value| value >= limit)
    }

    pub fn above(&self, limit: f64) -> Answer {
        self.compare(|value| value > limit)
    }

    pub fn at_most(&self, limit: f64) -> Answer {
        self.compare(|value| value <= limit)
    }

    pub fn below(&self, limit: f64) -> Answer {
        self.compare(|value| value < limit)
    }

    fn compare(&self, holds: impl Fn(f64) -> bool) -> Answer {
        match self {
            Self::Range { least, most, .. } if holds(*least) == holds(*most) => Ok(holds(*least)),
            Self::Range { cell, .. } => {
                Err(format!("the blocks disagree on {} of {}", cell.metric, cell.label))
            }
            Self::Cannot(_) => Ok(holds(0.0)),
            Self::Missing(what) => Err(what.clone()),
        }
    }

    /// In words, with the values written by `print`.
    pub fn words(&self, print: impl Fn(f64) -> String) -> String {
        match self {
            Self::Range { least, most, .. } if print(*least) == print(*most) => print(*least),
            Self::Range { least, most, .. } => format!("{} to {}", print(*least), print(*most)),
            Self::Cannot(why) => format!("cannot ({})", short(why)),
            Self::Missing(_) => "not measured".to_owned(),
        }
    }
}

/// The first words of a reason.
pub fn short(text: &str) -> String {
    const MOST: usize = 70;
    let first = text.split("; ").next().unwrap_or_default();
    if first.chars().count() <= MOST {
        return first.to_owned();
    }
    let cut: String = first.chars().take(MOST).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words);
    format!("{}…", whole.trim_end_matches([',', ';', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::rules::Inputs;
    use crate::claims::rules::testing::{cannot, measured};

    #[test]
    fn blocks_must_agree() {
        let cell = measured("kafka", "lost", "base", &[0.0, 0.0, 3.0]);
        let fact = of(&cell);
        assert_eq!(fact.at_most(5.0), Ok(true));
        assert_eq!(fact.above(5.0), Ok(false));
        assert!(fact.at_most(1.0).unwrap_err().contains("blocks disagree on lost of kafka"));
        assert_eq!(fact.words(|value| value.to_string()), "0 to 3");
    }

    #[test]
    fn cannot_is_nothing_and_missing_is_unknown() {
        let cell = cannot("redis-pubsub", "share.seek", "base", "nothing is kept");
        assert_eq!((of(&cell).above(0.0), of(&cell).at_most(0.0)), (Ok(false), Ok(true)));
        assert_eq!(of(&cell).words(|value| value.to_string()), "cannot (nothing is kept)");
        let inputs = Inputs { judged: vec![&cell], shown: Vec::new(), runs: &[], documented: &[] };
        let missing = inputs.fact("kafka", "share.seek", "base").at_most(0.0).unwrap_err();
        assert!(missing.contains("no share.seek of kafka"), "{missing}");
    }

    #[test]
    fn long_reasons_are_cut_between_words() {
        let text = short(&"a reason of many words ".repeat(9));
        assert!(
            text.chars().count() <= 71 && text.ends_with("words…") || text.ends_with('…'),
            "{text}"
        );
        assert_eq!(short("one; two"), "one");
    }
}
