//! The tail against the rate that was carried: of plain load at several rates, and of the probes of
//! a search for the highest rate.
//!
//! A percentile of a saturated run is no property of the system: plain load that overloaded one is
//! named and not drawn. A probe that failed is a hollow mark off the line: it shows where the
//! search turned.

use super::canvas::Figure;
use super::lines::{Curve, Plot};
use super::sweep::compose;
use crate::model::Point;
use crate::model::metric::END_TO_END;
use crate::report::group::{Group, blocks, known_or_new};
use crate::report::quantity;
use crate::report::table::DataTable;
use crate::result::words::{TimeUnit, compact, grouped, or_dash, significant, time};
use crate::result::{CellSummary, LatencyValue};
use itertools::Itertools;

/// The key of a matrix or a probe that names the offered rate.
const RATE: &str = "rate";

/// One label under one condition, at several rates.
struct RateCurve<'a> {
    condition: String,
    label: &'a str,
    system: &'a str,
    steps: Vec<RatePoint>,
}

struct RatePoint {
    offered: Option<f64>,
    carried: f64,
    p99: f64,
    n: u64,
    failed: bool,
}

pub fn draw(groups: &[Group<'_>]) -> Option<Figure> {
    of_probes(groups).or_else(|| of_rates(groups))
}

/// Plain load in the open model, where the matrix varies the rate.
fn of_rates(groups: &[Group<'_>]) -> Option<Figure> {
    let mut lines: Vec<RateCurve<'_>> = Vec::new();
    let mut absent: Vec<String> = Vec::new();
    let at_rates = || {
        groups
            .iter()
            .filter(|group| group.open_loop() && Point::read(group.point).get(RATE).is_some())
    };
    for group in at_rates() {
        let mean = |of: fn(&CellSummary) -> Option<f64>| group.mean(of).map(|mean| mean.value());
        let carried = mean(|cell| cell.rates.goodput_per_s.or(cell.rates.consumed_per_s));
        let p99 = group.end_to_end("p99");
        let (Some(carried), Some(LatencyValue::Exact(p99))) = (carried, p99) else {
            let without = || match p99 {
                Some(p99) => format!("{} has a p99 of {}", group.label, p99.words(time)),
                None => format!("{} has too few samples", group.label),
            };
            let why = group.absent().unwrap_or_else(without);
            absent.push(format!("{why} at {}", Point::read(group.point).values()));
            continue;
        };
        let counts = group.values(|cell| {
            cell.latency.end_to_end.as_ref().map(|quantiles| quantiles.count as f64)
        });
        let n = counts.into_iter().fold(f64::INFINITY, f64::min) as u64;
        let offered = mean(|cell| cell.rates.offered_per_s);
        let line = line_of(&mut lines, Point::read(group.point).without(&[RATE]).values(), group);
        line.steps.push(RatePoint { offered, carried, p99, n, failed: false });
    }
    lines.iter_mut().for_each(|line| line.steps.sort_by(|a, b| a.carried.total_cmp(&b.carried)));
    let ends = lines.iter().filter_map(|line| match &line.steps[..] {
        [first, .., last] => Some((line, first, last, last.p99 / first.p99)),
        _ => None,
    });
    let (steepest, first, last, factor) = ends.max_by(|a, b| a.3.total_cmp(&b.3))?;
    let growth = match factor {
        factor if factor > 1.0 => format!("grows most, {}-fold,", significant(factor)),
        _ => "grows for none; least it falls".to_owned(),
    };
    let told = |step: &RatePoint| format!("{} at {} msg/s", time(step.p99), compact(step.carried));
    let title = format!("p99 {growth} for {}: {}, {}", steepest.name(), told(first), told(last));
    let count = at_rates().map(|group| group.blocks.len()).min().unwrap_or(0);
    let caption = format!(
        "End-to-end p99 (received − planned send time) over the goodput that was carried, at fixed \
         rates (open loop). Geometric mean of {}, n ≥ {} a block.{}",
        blocks(count),
        grouped(fewest(&lines)),
        if absent.is_empty() {
            String::new()
        } else {
            format!(" Not drawn: {}.", absent.join(", "))
        }
    );
    Some(figure(title, caption, &lines))
}

/// The probes of a search, each of one rate, block after block.
fn of_probes(groups: &[Group<'_>]) -> Option<Figure> {
    let mut lines: Vec<RateCurve<'_>> = Vec::new();
    let (mut spoilt, mut counted) = (0, 0);
    for group in groups {
        for block in group.blocks.iter().filter(|block| block.valid) {
            let of = |metric: &'static str| {
                block.observations.iter().filter(move |seen| seen.metric == metric)
            };
            let mut steps = Vec::new();
            for probe in of("probe.p99") {
                let carried = of("probe.goodput").find(|other| other.point == probe.point);
                match (
                    Point::read(&probe.point).get("went"),
                    probe.value,
                    carried.and_then(|carried| carried.value),
                ) {
                    (Some(went @ ("passed" | "failed")), Some(p99), Some(carried))
                        if carried > 0.0 =>
                    {
                        let (offered, failed) =
                            (Point::read(&probe.point).number(RATE), went == "failed");
                        steps.push(RatePoint { offered, carried, p99, n: probe.n, failed });
                    }
                    _ => spoilt += 1,
                }
            }
            if !steps.is_empty() {
                counted += 1;
                line_of(&mut lines, Point::read(group.point).values(), group)
                    .steps
                    .append(&mut steps);
            }
        }
    }
    lines.iter_mut().for_each(|line| line.steps.sort_by(|a, b| a.carried.total_cmp(&b.carried)));
    let best = |line: &RateCurve<'_>| {
        line.steps.iter().rfind(|step| !step.failed).map(|step| step.carried)
    };
    let mut ends: Vec<(String, f64)> =
        lines.iter().filter_map(|line| Some((line.name(), best(line)?))).collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    let words = |(name, rate): &(String, f64)| format!("{} msg/s ({name})", compact(*rate));
    let title = match &ends[..] {
        _ if lines.is_empty() => return None,
        [] => "No probe passed".to_owned(),
        [only] => format!("Probes passed up to {}", words(only)),
        [least, .., most] => {
            format!("Probes passed up to {} and up to {}", words(least), words(most))
        }
    };
    let caption = format!(
        "End-to-end p99 of each probe over the goodput that it carried, at fixed rates (open \
         loop); each probe once. Filled and joined: passed. Hollow: failed, and its p99 is of that \
         probe only. {}, n ≥ {} a probe.{}",
        if counted == 1 { "1 search".to_owned() } else { format!("{counted} searches") },
        grouped(fewest(&lines)),
        match spoilt {
            0 => String::new(),
            count => format!(
                " Not drawn: {} without a p99 or spoilt by the generator.",
                quantity::plain(count.into())
            ),
        }
    );
    Some(figure(title, caption, &lines))
}

/// The line of a label under a condition, begun where there is none.
fn line_of<'l, 'a>(
    lines: &'l mut Vec<RateCurve<'a>>,
    condition: String,
    group: &Group<'a>,
) -> &'l mut RateCurve<'a> {
    let same = |line: &RateCurve<'a>| line.label == group.label && line.condition == condition;
    let (label, system) = (group.label, group.system);
    known_or_new(lines, same, || RateCurve {
        condition: condition.clone(),
        label,
        system,
        steps: Vec::new(),
    })
}

impl RateCurve<'_> {
    fn name(&self) -> String {
        if self.condition.is_empty() {
            self.label.to_owned()
        } else {
            format!("{}, {}", self.label, self.condition)
        }
    }
}

fn fewest(lines: &[RateCurve<'_>]) -> u64 {
    lines.iter().flat_map(|line| &line.steps).map(|step| step.n).min().unwrap_or(0)
}

fn figure(title: String, caption: String, lines: &[RateCurve<'_>]) -> Figure {
    let curves = |line: &RateCurve<'_>| {
        let (passed, failed): (Vec<&RatePoint>, Vec<&RatePoint>) =
            line.steps.iter().partition(|step| !step.failed);
        // One that failed stands alone: it is on no line.
        let parts = [passed].into_iter().chain(failed.into_iter().map(|step| vec![step]));
        let curve = |steps: Vec<&RatePoint>| Curve {
            label: line.label.to_owned(),
            system: line.system.to_owned(),
            points: steps.into_iter().map(|step| (step.carried, step.p99, !step.failed)).collect(),
        };
        parts.map(curve).collect::<Vec<_>>()
    };
    let family = |condition: &String| {
        let title = if condition.is_empty() { "All".to_owned() } else { condition.clone() };
        let (x_name, y_name) = ("messages a second carried (log)", "end-to-end p99 (log)");
        let own = lines.iter().filter(|line| line.condition == *condition);
        let plot = Plot {
            title,
            x_name,
            y_name,
            better: END_TO_END.better,
            x_tick: &compact,
            y_tick: &time,
            ideal: false,
        };
        (own.flat_map(curves).collect(), plot)
    };
    let families: Vec<(Vec<Curve>, Plot<'_>)> =
        lines.iter().map(|line| &line.condition).unique().map(family).collect();
    let mut figure = compose(title, caption, families);
    let steps = || lines.iter().flat_map(|line| line.steps.iter().map(move |step| (line, step)));
    let unit = TimeUnit::for_column(steps().map(|(_, step)| step.p99));
    let head = [
        "label",
        "condition",
        "offered, msg/s",
        "carried, msg/s",
        &format!("p99, {}", unit.name()),
        "n",
        "went",
    ];
    let row = |(line, step): (&RateCurve<'_>, &RatePoint)| {
        vec![
            line.label.to_owned(),
            line.condition.clone(),
            or_dash(step.offered, |rate| grouped(rate.round() as u64)),
            grouped(step.carried.round() as u64),
            unit.of(step.p99),
            grouped(step.n),
            if step.failed { "failed" } else { "passed" }.to_owned(),
        ]
    };
    figure.data = DataTable::new(head, steps().map(row).collect());
    figure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metric;
    use crate::report::group::groups;
    use crate::result::testing::{capacity_cell, cell, manifest};
    use crate::result::{CellOutcome, CellOutput, Observation, RunFolder, Summary, summarize};

    fn summary(cells: &[CellOutput]) -> Summary {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "x").unwrap();
        folder.write_manifest(&manifest(&folder, "latency", 1)).unwrap();
        for cell in cells {
            folder.write_cell(cell).unwrap();
        }
        summarize(&folder).unwrap()
    }

    fn rates(label: &str) -> [CellOutput; 2] {
        ["load.rate=1k/s", "load.rate=10k/s"].map(|point| cell(label, point, 1))
    }

    #[test]
    fn the_steepest_tail_is_the_finding() {
        let mut cells: Vec<CellOutput> =
            ["kafka", "redis-streams"].into_iter().flat_map(rates).collect();
        let figure = draw(&groups(&summary(&cells))).unwrap();
        // Half as much again at ten times the rate.
        assert!(
            figure.title.starts_with("p99 grows most, 1.")
                && figure.title.contains(" at 1.00k msg/s, ")
        );
        assert_eq!((figure.data.rows.len(), figure.data.rows[0][0].as_str()), (4, "kafka"));
        assert!(figure.caption.contains("1 block, n ≥ 10,000"), "{}", figure.caption);
        cells[3].record.outcome = CellOutcome::Overloaded;
        let figure = draw(&groups(&summary(&cells))).unwrap();
        assert!(figure.title.contains("-fold, for kafka: "), "{}", figure.title);
        assert!(
            figure.caption.contains("Not drawn: redis-streams is overloaded at 10k/s"),
            "{}",
            figure.caption
        );
        assert_eq!(figure.data.rows.len(), 3);
    }

    #[test]
    fn a_tail_that_falls_is_not_said_to_grow() {
        let mut cells = rates("kafka");
        let (slow, fast) = cells.split_at_mut(1);
        std::mem::swap(&mut slow[0].intervals, &mut fast[0].intervals);
        let figure = draw(&groups(&summary(&cells))).unwrap();
        assert!(
            figure.title.starts_with("p99 grows for none; least it falls for kafka: "),
            "{}",
            figure.title
        );
    }

    #[test]
    fn one_rate_is_no_line() {
        assert!(
            draw(&groups(&summary(&[
                cell("kafka", "load.rate=1k/s", 1),
                cell("kafka", "base", 1)
            ])))
            .is_none()
        );
        assert!(
            draw(&groups(&summary(&[capacity_cell("kafka", "message.size=1KiB", 1, 1000)])))
                .is_none()
        );
    }

    fn searched(label: &str, probes: &[(u64, &str, f64)]) -> CellOutput {
        let mut output = capacity_cell(label, "base", 1, 1000);
        output.record.experiment = Some("capacity".into());
        for (at, (rate, went, p99)) in probes.iter().enumerate() {
            let point = format!("probe={},rate={rate}/s,went={went}", at + 1);
            output.record.observations.extend([
                Observation::measured(
                    metric::PROBE_GOODPUT,
                    point.clone(),
                    *rate as f64 * 0.999,
                    5000,
                ),
                Observation::measured(metric::PROBE_P99, point, *p99, 5000),
            ]);
        }
        output
    }

    #[test]
    fn probes_show_where_the_search_turned() {
        let kafka = searched(
            "kafka",
            &[(8000, "passed", 4e6), (16_000, "passed", 9e6), (32_000, "failed", 2e9)],
        );
        let lists = searched("redis-lists", &[(8000, "passed", 4e5), (16_000, "spoilt", 9e7)]);
        let figure = draw(&groups(&summary(&[kafka, lists]))).unwrap();
        assert_eq!(
            figure.title,
            "Probes passed up to 7.99k msg/s (redis-lists) and up to 16.0k msg/s (kafka)"
        );
        assert!(
            figure.caption.contains("2 searches, n ≥ 5,000 a probe. Not drawn: 1 "),
            "{}",
            figure.caption
        );
        let failed: Vec<_> = figure.data.rows.iter().filter(|row| row[6] == "failed").collect();
        assert_eq!((figure.data.rows.len(), failed.len(), failed[0][2].as_str()), (4, 1, "32,000"));
        let none = searched("kafka", &[(8000, "failed", 4e8)]);
        assert_eq!(draw(&groups(&summary(&[none]))).unwrap().title, "No probe passed");
    }
}
