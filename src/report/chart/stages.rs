//! The knee: p99 and goodput against the offered rate, over the stages of one load.

use super::canvas::Figure;
use super::lines::{Curve, Plot};
use super::sweep::compose;
use crate::model::metric::{END_TO_END, GOODPUT};
use crate::report::group::Group;
use crate::report::stages::{StagePoint, StagedLoad, staged};
use crate::report::table::DataTable;
use crate::result::LatencyValue;
use crate::result::words::{compact, or_dash, significant, time};

/// `None` where no window has stages.
pub fn draw(groups: &[Group<'_>]) -> Option<Figure> {
    let loads = staged(groups);
    if loads.is_empty() {
        return None;
    }
    let knees: Vec<String> = loads.iter().map(StagedLoad::knee_in_words).collect();
    let title = format!("Knee: {}", knees.join(", "));
    let caption = "Each mark is a stage of the measured window, on one set of connections: \
        messages by their planned time, goodput by the clock. Filled: at least 99 % of what was \
        offered came through, with a p99 of at most five times the least; hollow: beyond the knee. \
        Both axes logarithmic.";
    let curves = |value: &dyn Fn(&StagePoint) -> Option<f64>| -> Vec<Curve> {
        let curve = |load: &StagedLoad<'_>| {
            let points = load.stages.iter();
            let points = points
                .filter_map(|stage| Some((stage.offered_per_s, value(stage)?, stage.within_knee)));
            let mut points: Vec<(f64, f64, bool)> = points.collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Curve { label: load.name(), system: load.system.to_owned(), points }
        };
        loads.iter().map(curve).collect()
    };
    let plot = |title: &str, y_name, better, y_tick| Plot {
        title: title.to_owned(),
        x_name: "offered, messages a second (log)",
        y_name,
        better,
        x_tick: &compact,
        y_tick,
        ideal: false,
    };
    let p99 = curves(&|stage: &StagePoint| stage.p99.map(LatencyValue::least));
    let goodput = curves(&|stage: &StagePoint| stage.goodput_per_s);
    let mut plots = Vec::new();
    if p99.iter().any(|curve| !curve.points.is_empty()) {
        plots.push((p99, plot("Latency", "p99 (log)", END_TO_END.better, &time)));
    }
    let name = "messages a second (log)";
    plots.push((goodput, plot("Goodput", name, GOODPUT.better, &compact)));
    let mut figure = compose(title, caption.to_owned(), plots);
    figure.data = table(&loads);
    Some(figure)
}

fn table(loads: &[StagedLoad<'_>]) -> DataTable {
    let row = |load: &StagedLoad<'_>, stage: &StagePoint| {
        vec![
            load.name(),
            stage.rate.clone(),
            significant(stage.offered_per_s),
            or_dash(stage.goodput_per_s, significant),
            or_dash(stage.p50, |ns| ns.words(time)),
            or_dash(stage.p99, |ns| ns.words(time)),
            if stage.within_knee { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows = loads.iter().flat_map(|load| load.stages.iter().map(move |stage| row(load, stage)));
    let head =
        ["label", "stage", "offered, msg/s", "goodput, msg/s", "p50", "p99", "within the knee"];
    DataTable::new(head, rows.collect())
}
