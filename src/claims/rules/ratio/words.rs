//! Ratios in sentences: as many as there are pairs of labels, however many points there are.

use super::{Pair, RatioLimits};
use crate::claims::finding::word;
use crate::model::Point;
use crate::result::ComparedCell;
use crate::result::words::{significant, survival};
use crate::stats::compare::{GeometricMean, LEAST_BLOCKS};
use indexmap::{IndexMap, IndexSet};
use itertools::Itertools;

/// The ratios of each two labels in one sentence, decision by decision.
pub fn ratios_in_words(pairs: &[Pair<'_>], limits: &RatioLimits) -> Vec<String> {
    let name = |pair: &Pair<'_>| {
        let (above, below) = limits.order(&pair.kafka.label, &pair.primitive.label);
        format!("{above} ÷ {below}")
    };
    let told = pairs.iter().filter(|pair| pair.ratio.is_some() || pair.barred.is_some());
    let sentence = |name_of: String| {
        let same: Vec<&Pair<'_>> = pairs.iter().filter(|other| name(other) == name_of).collect();
        let decisions: Vec<_> = same.iter().map(|pair| &pair.decision).unique().collect();
        let parts = decisions.iter().map(|decision| {
            let of: Vec<&Pair<'_>> =
                same.iter().copied().filter(|other| other.decision == **decision).collect();
            let places = if decisions.len() > 1 {
                format!(" ({})", places(&of, limits))
            } else {
                String::new()
            };
            format!("{} {}{places}", range(&of, decisions.len() == 1), word(decision))
        });
        format!("{name_of}: {}", parts.format(", "))
    };
    let mut sentences: Vec<String> = told.map(name).unique().map(sentence).collect();
    if let Some(fewest) =
        pairs.iter().filter_map(|pair| pair.ratio).map(|ratio| ratio.blocks()).min()
    {
        let blocks = if fewest == 1 {
            "1 paired block".to_owned()
        } else {
            format!("{fewest} paired blocks")
        };
        let few = if fewest < LEAST_BLOCKS {
            format!(": below {LEAST_BLOCKS} no verdict on speed")
        } else {
            String::new()
        };
        sentences.push(blocks + &few);
    }
    sentences
}

/// `p50 at 1k/s, p50+p99 at 10k/s`; without the metric where the rule has only one.
fn places(pairs: &[&Pair<'_>], limits: &RatioLimits) -> String {
    let mut points: IndexMap<&str, Vec<String>> = IndexMap::new();
    for pair in pairs {
        let metric = pair.primitive.metric.rsplit('.').next().unwrap_or_default().replace('_', ".");
        points.entry(&pair.primitive.cell).or_default().push(metric);
    }
    let mut words = points.into_iter().map(|(point, metrics)| {
        let values = Point::read(point).values().replace(", ", " ");
        if limits.metrics.len() == 1 {
            values
        } else {
            format!("{} at {values}", metrics.join("+"))
        }
    });
    words.join(", ")
}

/// `2.00× [1.95, 2.05]`, the interval where there is room, or from the least to the most of several
/// ratios.
fn range(pairs: &[&Pair<'_>], room: bool) -> String {
    let ratios: Vec<GeometricMean> = pairs.iter().filter_map(|pair| pair.ratio).collect();
    if let ([ratio], true) = (ratios.as_slice(), room) {
        let interval = ratio
            .interval()
            .map(|[low, high]| format!(" [{}, {}]", significant(low), significant(high)));
        return format!("{}×{}", significant(ratio.value()), interval.unwrap_or_default());
    }
    let words = |pick: fn(f64, f64) -> f64| {
        ratios.iter().map(GeometricMean::value).reduce(pick).map(significant)
    };
    match (words(f64::min), words(f64::max)) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}×"),
        (Some(least), _) => format!("{least}×"),
        _ => "no ratio,".to_owned(),
    }
}

/// Where the floor is a large share of a value, or all of it.
pub fn floors_in_words(pairs: &[Pair<'_>]) -> Vec<String> {
    let above = |cell: &&ComparedCell| cell.floor_share() > Some(1.0);
    let sides = pairs.iter().flat_map(|pair| [pair.kafka, pair.primitive]);
    let above = sides.filter(above).map(|cell| cell.label.as_str()).unique().join(", ");
    let mut sentences = Vec::new();
    let large = pairs.iter().flat_map(|pair| &pair.floors).unique().join(", ");
    if !large.is_empty() {
        sentences.push(format!(
            "the instrument's floor is a large share of values of {large}: it can hide a \
             difference and makes none"
        ));
    }
    if !above.is_empty() {
        sentences.push(format!(
            "values of {above} are no larger than the instrument's floor: the broker adds nothing \
             that is seen"
        ));
    }
    sentences
}

/// Whose survival classes differ, and the scenario's reason to compare them all the same: its first
/// sentence.
pub fn classes_in_words(pairs: &[Pair<'_>]) -> Vec<String> {
    // Of each reason the classes in words, of each class the labels in it.
    let mut reasons: IndexMap<&str, IndexMap<String, IndexSet<&str>>> = IndexMap::new();
    for pair in pairs {
        let (Some(reason), Some(kafka), Some(primitive)) =
            (pair.cross_class, &pair.kafka.survives, &pair.primitive.survives)
        else {
            continue;
        };
        let classes = reasons.entry(reason).or_default();
        for (label, survives) in [(&pair.kafka.label, kafka), (&pair.primitive.label, primitive)] {
            classes.entry(survival(survives)).or_default().insert(label);
        }
    }
    let sentence = |(reason, classes): (&str, IndexMap<String, IndexSet<&str>>)| {
        let first = reason.split_once(". ").map_or(reason, |(first, _)| first);
        // Many labels would crowd out the ratios; each class stands beside its figures.
        let labels: usize = classes.values().map(IndexSet::len).sum();
        let classes = classes
            .iter()
            .map(|(class, labels)| format!("{} {class}", labels.iter().join("/")))
            .join(", ");
        let named = if labels > 2 { String::new() } else { format!(" ({classes})") };
        format!("across survival classes{named}: {}", first.trim_end_matches('.'))
    };
    reasons.into_iter().map(sentence).collect()
}
