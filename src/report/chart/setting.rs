//! What a setting of a system does that a run swept: what was carried, and the tail, at each of its
//! values, one figure a setting.
//!
//! Values stand side by side in their order, as far apart as any others: `all` is no number, and 0
//! has no place on a logarithmic axis.

use super::canvas::Figure;
use super::lines::{Curve, Plot};
use super::sweep::compose;
use crate::model::Point;
use crate::model::metric::{END_TO_END, GOODPUT};
use crate::report::group::{Group, blocks, known_or_new};
use crate::report::table::DataTable;
use crate::result::words::{compact, or_dash, time};
use crate::result::{CellOutcome, LatencyValue};
use itertools::Itertools;

/// The settings that were swept, by the names by which points know them.
pub fn swept<'a>(groups: &[Group<'a>]) -> Vec<&'a str> {
    let of = |group: &Group<'a>| Point::read(group.point).settings().collect::<Vec<&'a str>>();
    groups.iter().flat_map(of).unique().collect()
}

/// One label at one value, under one condition.
struct Step<'a> {
    label: &'a str,
    system: &'a str,
    condition: String,
    value: &'a str,
    goodput: Option<f64>,
    p99: Option<LatencyValue>,
    /// Neither overloaded nor worse.
    sound: bool,
}

/// What was measured at each value of `key`.
fn steps_of<'a>(key: &str, groups: &'a [Group<'_>]) -> Vec<Step<'a>> {
    let own = groups.iter().filter_map(|group| {
        let point = Point::read(group.point);
        Some(Step {
            label: group.label,
            system: group.system,
            condition: point.without(&[key]).values(),
            value: point.get(key)?,
            goodput: group.mean(|cell| cell.rates.goodput_per_s).map(|mean| mean.value()),
            p99: group.end_to_end("p99"),
            sound: group.blocks.iter().all(|cell| cell.outcome == CellOutcome::Ok),
        })
    });
    own.collect()
}

pub fn draw(key: &str, groups: &[Group<'_>]) -> Option<Figure> {
    let steps = steps_of(key, groups);
    let values = in_order(&steps);
    if values.len() < 2 {
        return None;
    }
    // Evenly spread on an axis that is logarithmic.
    let place = |value: &str| {
        let at = values.iter().position(|known| *known == value).unwrap_or(0);
        2f64.powi(at as i32)
    };
    let value_at = |x: f64| {
        let at = x.log2();
        let whole = (at - at.round()).abs() < 1e-6;
        let known = values.get(at.round() as usize).filter(|_| whole && at >= 0.0);
        known.map_or_else(String::new, |value| (*value).to_owned())
    };
    let curves = |condition: &str, of: &dyn Fn(&Step<'_>) -> Option<f64>| {
        let mut curves: Vec<Curve> = Vec::new();
        for step in steps.iter().filter(|step| step.condition == condition) {
            let Some(y) = of(step).filter(|y| *y > 0.0) else { continue };
            let (label, system) = (step.label.to_owned(), step.system.to_owned());
            let new = || Curve { label, system, points: Vec::new() };
            let curve = known_or_new(&mut curves, |curve| curve.label == step.label, new);
            curve.points.push((place(step.value), y, step.sound));
        }
        curves.iter_mut().for_each(|curve| curve.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
        curves
    };
    let goodput = |step: &Step<'_>| step.goodput;
    let p99 = |step: &Step<'_>| step.p99.and_then(LatencyValue::exact);
    let mut plots = Vec::new();
    for condition in steps.iter().map(|step| step.condition.as_str()).unique() {
        let titled = |what: &str| match condition {
            "" => what.to_owned(),
            condition => format!("{what}, {condition}"),
        };
        let carried = Plot {
            title: titled("Goodput"),
            x_name: key,
            y_name: "messages a second (log)",
            better: GOODPUT.better,
            x_tick: &value_at,
            y_tick: &compact,
            ideal: false,
        };
        let tail = Plot {
            title: titled("Tail"),
            x_name: key,
            y_name: "end-to-end p99 (log)",
            better: END_TO_END.better,
            x_tick: &value_at,
            y_tick: &time,
            ideal: false,
        };
        let both = [(curves(condition, &goodput), carried), (curves(condition, &p99), tail)];
        plots.extend(both.into_iter().filter(|(curves, _)| !curves.is_empty()));
    }
    if plots.is_empty() {
        return None;
    }
    let counted = groups.iter().map(|group| group.blocks.len()).min().unwrap_or(0);
    let caption = format!(
        "Each value of `{key}` in its order, geometric mean of {}; hollow: overloaded, unsteady or \
         worse in one of them.",
        blocks(counted)
    );
    let mut figure = compose(title(key, &steps), caption, plots);
    figure.data = table(key, &values, &steps);
    Some(figure)
}

/// Numbers by their size, words behind them.
fn in_order<'a>(steps: &[Step<'a>]) -> Vec<&'a str> {
    let as_point = |value: &'a str| Point::of(vec![("", value)]);
    let values = steps.iter().map(|step| step.value).unique();
    values.sorted_by(|a, b| as_point(a).cmp(&as_point(b))).collect()
}

/// The finding: where the tail is shortest and where longest, or who carried most and least.
fn title(key: &str, steps: &[Step<'_>]) -> String {
    let named = |step: &Step<'_>| {
        let condition = match step.condition.as_str() {
            "" => String::new(),
            condition => format!(", {condition}"),
        };
        format!("{} at {key}={}{condition}", step.label, step.value)
    };
    let by = |of: fn(&Step<'_>) -> Option<f64>| {
        let known = steps.iter().filter_map(|step| Some((of(step)?, step)));
        let ends = known.minmax_by(|a, b| a.0.total_cmp(&b.0));
        ends.into_option().filter(|(least, most)| least.0 < most.0)
    };
    let tails = by(|step| step.p99.and_then(LatencyValue::exact));
    let carried = by(|step| step.goodput);
    match (tails, carried) {
        (Some((least, most)), _) => format!(
            "p99 is shortest for {} ({}) and longest for {} ({})",
            named(least.1),
            time(least.0),
            named(most.1),
            time(most.0)
        ),
        (None, Some((least, most))) => format!(
            "Most is carried by {} ({}/s), least by {} ({}/s)",
            named(most.1),
            compact(most.0),
            named(least.1),
            compact(least.0)
        ),
        (None, None) => format!("{key} changes nothing that can be seen"),
    }
}

fn table(key: &str, values: &[&str], steps: &[Step<'_>]) -> DataTable {
    let place = |step: &&Step<'_>| values.iter().position(|value| *value == step.value);
    let rows = steps.iter().sorted_by_key(|step| (step.label, step.condition.clone(), place(step)));
    let row = |step: &Step<'_>| {
        vec![
            step.label.to_owned(),
            step.condition.clone(),
            step.value.to_owned(),
            or_dash(step.goodput, compact),
            or_dash(step.p99, |p99| p99.words(time)),
            if step.sound { "ok" } else { "not sound" }.to_owned(),
        ]
    };
    let head = ["label", "condition", key, "goodput, msg/s", "end-to-end p99", "outcome"];
    DataTable::new(head, rows.map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::group::groups;
    use crate::result::testing::{capacity_cell, cell, manifest};
    use crate::result::{CellOutput, RunFolder, Summary, summarize};

    fn summary(cells: &[CellOutput]) -> Summary {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "x").unwrap();
        folder.write_manifest(&manifest(&folder, "throughput", 1)).unwrap();
        for cell in cells {
            folder.write_cell(cell).unwrap();
        }
        summarize(&folder).unwrap()
    }

    #[test]
    fn every_swept_setting_has_a_figure_with_its_values_in_order() {
        let carried = [("20", 400_000), ("0", 100_000), ("5", 300_000)];
        let cells = carried.map(|(linger, per_s)| {
            capacity_cell("kafka", &format!("client.linger.ms={linger}"), 1, per_s)
        });
        let summary = summary(&cells);
        let groups = groups(&summary);
        assert_eq!(swept(&groups), ["linger.ms"]);
        let figure = draw("linger.ms", &groups).unwrap();
        assert_eq!(
            figure.title,
            "Most is carried by kafka at linger.ms=20 (400k/s), least by kafka at linger.ms=0 \
             (100k/s)"
        );
        let values: Vec<&str> = figure.data.rows.iter().map(|row| row[2].as_str()).collect();
        assert_eq!(values, ["0", "5", "20"]);
        assert!(figure.svg().unwrap().contains("linger.ms"));
    }

    #[test]
    fn of_the_open_loop_the_tail_is_the_finding_and_words_are_values_too() {
        let at = |label: &str, value: &str, block| {
            cell(label, &format!("load.rate=1k/s,client.acks={value}"), block)
        };
        let mut slow = at("kafka", "all", 4);
        slow.record.outcome = CellOutcome::Overloaded;
        let cells = [at("kafka", "0", 1), at("kafka", "1", 2), slow];
        let summary = summary(&cells);
        let groups = groups(&summary);
        let figure = draw("acks", &groups).unwrap();
        let title = &figure.title;
        assert!(title.starts_with("p99 is shortest for kafka at acks=0, 1k/s ("), "{title}");
        assert!(title.contains(" and longest for kafka at acks=1, 1k/s ("), "{title}");
        assert_eq!(figure.data.rows[2][2..], ["all", "1.00k", "–", "not sound"]);
        assert!(draw("acks", &groups[..1]).is_none(), "one value is no sweep");
        assert!(draw("linger.ms", &groups).is_none());
    }
}
