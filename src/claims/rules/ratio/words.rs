//! Ratios in sentences: as many as there are pairs of labels, however many points there are.

use super::RatioLimits;
use super::pair::{FloorRule, Pair};
use crate::claims::finding::Decision;
use crate::model::Point;
use crate::result::words::{significant, survival};
use crate::stats::compare::{GeometricMean, LEAST_BLOCKS};

/// The ratios of each two labels in one sentence, decision by decision.
pub fn ratios_in_words(pairs: &[Pair<'_>], limits: &RatioLimits) -> Vec<String> {
    let name = |pair: &Pair<'_>| {
        let (above, below) = limits.order(&pair.kafka.label, &pair.primitive.label);
        format!("{above} ÷ {below}")
    };
    let mut sentences: Vec<String> = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.ratio.is_some() || pair.barred.is_some()) {
        let name_of = name(pair);
        if named.contains(&name_of) {
            continue;
        }
        let same: Vec<&Pair<'_>> = pairs.iter().filter(|other| name(other) == name_of).collect();
        let mut decisions: Vec<&Decision> = Vec::new();
        for other in &same {
            if !decisions.contains(&&other.decision) {
                decisions.push(&other.decision);
            }
        }
        let parts = decisions.iter().map(|decision| {
            let of: Vec<&Pair<'_>> = same.iter().copied().filter(|other| other.decision == **decision).collect();
            let places = if decisions.len() > 1 { format!(" ({})", places(&of, limits)) } else { String::new() };
            format!("{} {}{places}", range(&of, decisions.len() == 1), decision.word())
        });
        sentences.push(format!("{name_of}: {}", parts.collect::<Vec<_>>().join(", ")));
        named.push(name_of);
    }
    if let Some(fewest) = pairs.iter().filter_map(|pair| pair.ratio).map(|ratio| ratio.blocks()).min() {
        let blocks = if fewest == 1 { "1 paired block".to_owned() } else { format!("{fewest} paired blocks") };
        let few =
            if fewest < LEAST_BLOCKS { format!(": below {LEAST_BLOCKS} no verdict on speed") } else { String::new() };
        sentences.push(blocks + &few);
    }
    sentences
}

/// `p50 at 1k/s, p50+p99 at 10k/s`; without the metric where the rule has only one.
fn places(pairs: &[&Pair<'_>], limits: &RatioLimits) -> String {
    let mut points: Vec<(&str, Vec<String>)> = Vec::new();
    for pair in pairs {
        let point = pair.primitive.cell.as_str();
        let metric = pair.primitive.metric.rsplit('.').next().unwrap_or_default().replace('_', ".");
        match points.iter_mut().find(|(known, _)| *known == point) {
            Some((_, metrics)) => metrics.push(metric),
            None => points.push((point, vec![metric])),
        }
    }
    let words = points.into_iter().map(|(point, metrics)| {
        let values = Point::read(point).values().replace(", ", " ");
        if limits.metrics.len() == 1 { values } else { format!("{} at {values}", metrics.join("+")) }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// `2.00× [1.95, 2.05]`, the interval where there is room, or from the least to the most of several ratios.
fn range(pairs: &[&Pair<'_>], room: bool) -> String {
    let ratios: Vec<GeometricMean> = pairs.iter().filter_map(|pair| pair.ratio).collect();
    if let ([ratio], true) = (ratios.as_slice(), room) {
        let interval = ratio.interval().map(|[low, high]| format!(" [{}, {}]", significant(low), significant(high)));
        return format!("{}×{}", significant(ratio.value()), interval.unwrap_or_default());
    }
    let words = |pick: fn(f64, f64) -> f64| ratios.iter().map(GeometricMean::value).reduce(pick).map(significant);
    match (words(f64::min), words(f64::max)) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}×"),
        (Some(least), _) => format!("{least}×"),
        _ => "no ratio,".to_owned(),
    }
}

/// Where a verdict stands although the floor is a large share of a value, and why it may.
pub fn floors_in_words(pairs: &[Pair<'_>]) -> Option<String> {
    let decided = pairs.iter().filter(|pair| matches!(pair.decision, Decision::Shown | Decision::Refuted));
    let mut labels: Vec<&str> = Vec::new();
    let mut most: f64 = 0.0;
    for pair in decided {
        if let FloorRule::Harmless(share) = pair.floor {
            most = most.max(share);
            if !labels.contains(&pair.primitive.label.as_str()) {
                labels.push(&pair.primitive.label);
            }
        }
    }
    (!labels.is_empty()).then(|| {
        format!(
            "the instrument's floor is up to {} % of the smaller value ({}) and yet cannot turn these ratios",
            (most * 100.0).round(),
            labels.join(", ")
        )
    })
}

/// Whose survival classes differ, and the scenario's reason to compare them all the same: its first sentence.
pub fn classes_in_words(pairs: &[Pair<'_>]) -> Vec<String> {
    /// A class in words, and the labels in it.
    type Class<'a> = (String, Vec<&'a str>);
    let mut reasons: Vec<(&str, Vec<Class<'_>>)> = Vec::new();
    for pair in pairs {
        let (Some(reason), Some(kafka), Some(primitive)) =
            (pair.cross_class, &pair.kafka.survives, &pair.primitive.survives)
        else {
            continue;
        };
        let at = reasons.iter().position(|(known, _)| *known == reason).unwrap_or_else(|| {
            reasons.push((reason, Vec::new()));
            reasons.len() - 1
        });
        let classes = &mut reasons[at].1;
        for (label, survives) in [(&pair.kafka.label, kafka), (&pair.primitive.label, primitive)] {
            let class = survival(survives);
            match classes.iter_mut().find(|(known, _)| *known == class) {
                Some((_, labels)) if labels.contains(&label.as_str()) => {}
                Some((_, labels)) => labels.push(label),
                None => classes.push((class, vec![label])),
            }
        }
    }
    let sentence = |(reason, classes): (&str, Vec<(String, Vec<&str>)>)| {
        let first = reason.split_once(". ").map_or(reason, |(first, _)| first);
        // Many labels would crowd out the ratios; each class stands beside its figures.
        let labels: usize = classes.iter().map(|(_, labels)| labels.len()).sum();
        let classes: Vec<String> =
            classes.into_iter().map(|(class, labels)| format!("{} {class}", labels.join("/"))).collect();
        let named = if labels > 2 { String::new() } else { format!(" ({})", classes.join(", ")) };
        format!("across survival classes{named}: {}", first.trim_end_matches('.'))
    };
    reasons.into_iter().map(sentence).collect()
}
