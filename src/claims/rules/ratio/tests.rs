use super::*;
use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with, verdict};

fn goodputs(kafka: f64, streams: f64) -> Vec<ComparedCell> {
    let near = |value: f64| [value, value * 1.01, value * 0.99];
    vec![
        measured("kafka", "goodput", "base", &near(kafka)),
        measured("redis-streams", "goodput", "base", &near(streams)),
    ]
}

fn latencies(kafka: (f64, f64), streams: (f64, f64)) -> Vec<ComparedCell> {
    [("kafka", kafka), ("redis-streams", streams)]
        .map(|(label, (value, floor))| {
            let mut cell =
                measured(label, "end_to_end.p99", "base", &[value, value * 1.01, value * 0.99]);
            cell.per_block.iter_mut().for_each(|block| block.floor = Some(floor));
            cell
        })
        .into()
}

#[test]
fn the_cells_decide() {
    let throughput = rule("throughput");
    assert_eq!(verdict(&throughput, &goodputs(2e5, 1e5)), "✓ right");
    assert_eq!(verdict(&throughput, &goodputs(1e5, 2e5)), "✗ wrong");
    assert!(verdict(&throughput, &goodputs(1.05e5, 1e5)).starts_with("? open"));
    let urgent = rule("urgent-messages");
    assert_eq!(verdict(&urgent, &latencies((2e6, 0.0), (1e6, 0.0))), "✓ right");
    assert_eq!(verdict(&urgent, &latencies((1e6, 0.0), (2e6, 0.0))), "✗ wrong");
    let realtime = rule("realtime-stream");
    assert_eq!(verdict(&realtime, &latencies((1e6, 0.0), (2e6, 0.0))), "✓ right");
    assert_eq!(verdict(&realtime, &latencies((2e6, 0.0), (1e6, 0.0))), "✗ wrong");
}

#[test]
fn the_limit_in_the_data_decides() {
    let cells = goodputs(2e5, 1e5);
    for (limit, expected) in [("1.05", "✓ right"), ("1.5", "✓ right"), ("3", "✗ wrong")] {
        let changed = rule_with(
            "log-aggregation",
            "must-be: above, limit: 1.05",
            &format!("must-be: above, limit: {limit}"),
        );
        assert_eq!(verdict(&changed, &cells), expected, "{limit}");
    }
    let changed =
        rule_with("urgent-messages", "must-be: below, limit: 0.95", "must-be: below, limit: 0.4");
    assert_eq!(verdict(&changed, &latencies((2e6, 0.0), (1e6, 0.0))), "✗ wrong");
    let turned = rule_with("throughput", "of: Kafka ÷ primitive", "of: primitive ÷ Kafka");
    assert_eq!(verdict(&turned, &cells), "✗ wrong");
}

/// What is barred counts among the conditions: the others are judged as strictly as if it were not.
#[test]
fn the_family_is_all_that_the_row_declares() {
    let spread =
        |label: &str, point: &str, values: [f64; 3]| measured(label, "goodput", point, &values);
    let alone = vec![
        spread("kafka", "a=1", [2.0e5, 2.0e5, 2.0e5]),
        spread("redis-streams", "a=1", [1.0e5, 1.3e5, 1.4e5]),
    ];
    let throughput = rule("throughput");
    assert_eq!(verdict(&throughput, &alone), "✓ right");
    let mut more = alone;
    for point in ["a=2", "a=3", "a=4", "a=5", "a=6"] {
        more.push(spread("kafka", point, [2.0e5; 3]));
        more.push(spread("redis-streams", point, [1.0e5; 3]));
        for cell in more.iter_mut().filter(|cell| cell.cell == point) {
            cell.per_block.iter_mut().for_each(|block| block.n = 1);
        }
    }
    let open = verdict(&throughput, &more);
    assert_eq!(
        open,
        "? open: difference within the spread: about 4 rounds would decide; kafka has 3 \
         of 100 samples"
    );
}

/// The machine of the tests has two cores.
#[test]
fn more_brokers_than_cores_give_no_verdict() {
    for (kafka, streams) in [(2e6, 1e6), (1e6, 2e6)] {
        for (label, nodes) in [("kafka", 3), ("redis-streams", 3), ("kafka", 2)] {
            let mut cells = latencies((kafka, 0.0), (streams, 0.0));
            cells
                .iter_mut()
                .filter(|cell| cell.label == label)
                .for_each(|cell| cell.nodes = Some(nodes));
            let expected = match (nodes, kafka > streams) {
                (3, _) => "? open: more brokers than cores",
                (_, true) => "✓ right",
                (_, false) => "✗ wrong",
            };
            assert_eq!(verdict(&rule("urgent-messages"), &cells), expected, "{label} {nodes}");
        }
    }
}

#[test]
fn reasons_stay_readable_in_the_worst_case() {
    let mut cells = Vec::new();
    for (at, point) in
        ["load.rate=1k/s", "load.rate=10k/s", "load.rate=half-capacity"].into_iter().enumerate()
    {
        for metric in ["end_to_end.p50", "end_to_end.p99"] {
            for (label, value) in [
                ("kafka", 2e6),
                ("redis-pubsub", 1e6),
                ("redis-streams", 3e6),
                ("redis-lists", 1.9e6),
            ] {
                let value = value * (1.0 + at as f64 / 10.0);
                cells.push(measured(label, metric, point, &[value, value * 1.3, value * 0.8]));
            }
        }
    }
    // The helper checks the length.
    let because = judge_with(&rule("latency"), &cells, &[]).because();
    assert!(because.contains("redis-lists ÷ kafka: 0.950×"), "{because}");
}

#[test]
fn a_rate_that_was_found_is_judged_like_one_that_was_written() {
    let cells = |at_half: f64| -> Vec<ComparedCell> {
        let at = |label, point, value: f64| {
            let metrics = ["end_to_end.p50", "end_to_end.p99"];
            metrics
                .map(|metric| measured(label, metric, point, &[value, value * 1.01, value * 0.99]))
        };
        [("load.rate=1k/s", 1e5), ("load.rate=half-capacity", at_half)]
            .into_iter()
            .flat_map(|(point, value)| {
                [at("kafka", point, 1e6), at("redis-streams", point, value)].concat()
            })
            .chain([measured(
                "redis-streams",
                "capacity.half",
                "load.rate=half-capacity",
                &[25_000.0],
            )])
            .collect()
    };
    assert_eq!(verdict(&rule("latency"), &cells(1e5)), "✓ right");
    let judged = judge_with(&rule("latency"), &cells(3e6), &[]);
    assert_eq!(judged.verdict(), "◐ right at load.rate=1k/s · wrong at load.rate=half-capacity");
    assert!(judged.because().contains("p50+p99 at half-capacity"), "{}", judged.because());
}

/// Against every setting of one promise; none of them is chosen from what was measured.
#[test]
fn redis_is_faster_where_it_is_faster_than_each_setting_of_kafka() {
    let near = |label: &str, value: f64| {
        let metrics = ["end_to_end.p50", "end_to_end.p99"];
        metrics.map(|m| measured(label, m, "a=1", &[value, value * 1.01, value * 0.99]))
    };
    let cells = |best: f64, streams: f64| {
        [near("kafka", 2e6), near("kafka-linger-5", best), near("redis-streams", streams)].concat()
    };
    let latency = rule("latency");
    assert_eq!(verdict(&latency, &cells(3e6, 1e6)), "✓ right");
    assert_eq!(verdict(&latency, &cells(1e6, 4e6)), "✗ wrong");
    assert_eq!(verdict(&latency, &cells(5e5, 1e6)), "? open: Kafka's settings decide");
}

#[test]
fn at_half_of_its_own_each_has_another_rate_and_nothing_is_judged() {
    let point = "load.rate=own-half-capacity";
    let own = |label: &str, value: f64| measured(label, "end_to_end.p99", point, &[value; 3]);
    let judged = judge_with(&rule("latency"), &[own("kafka", 1e6), own("redis-streams", 4e6)], &[]);
    assert_eq!(judged.findings, []);
    assert_eq!(judged.derived[0].text, "stands beside the verdict");
}

/// The same system twice: how far apart it reads is the least that a difference must be.
#[test]
fn what_the_same_system_differs_by_is_the_margin_and_a_line_of_its_own() {
    let cell = |label: &str, values: [f64; 3]| measured(label, "goodput", "base", &values);
    let study = |again: [f64; 3]| {
        let kafka = cell("kafka", [2e5, 2.02e5, 1.98e5]);
        let again = ComparedCell { same_as: Some("kafka".into()), ..cell("kafka-again", again) };
        let cells = [kafka, again, cell("redis-streams", [1.5e5, 1.51e5, 1.49e5])];
        judge_with(&rule("throughput"), &cells, &[])
    };
    let calm = study([2e5, 2.02e5, 1.98e5]);
    assert_eq!(calm.verdict(), "✓ right");
    let line = calm.derived.iter().find(|cell| cell.label == "kafka-again").unwrap();
    assert_eq!(line.metric, "ratio(goodput, kafka-again, kafka)");
    assert_eq!(line.text, "the same system twice: the margin is 5 %");
    assert_eq!(calm.derived.len(), 2, "it stands against no primitive");
    assert!(calm.because().contains("the same system twice, kafka-again ÷ kafka: goodput"));
    let rough = study([1.5e5, 2.4e5, 2e5]);
    let open = rough.verdict();
    assert_eq!(open, "? open: difference within the spread: about 4 rounds would decide");
}

#[test]
fn what_could_not_run_is_no_evidence() {
    let (aggregation, urgent) = (rule("log-aggregation"), rule("urgent-messages"));
    let cells = [cannot("redis-pubsub", "goodput", "base", "keeps nothing")];
    let judged = judge_with(&aggregation, &cells, &[]);
    assert_eq!(judged.verdict(), "? open: nothing to compare · n/a");
    assert!(
        judged.because().contains("redis-pubsub cannot at base: keeps nothing"),
        "{}",
        judged.because()
    );
    assert_eq!(verdict(&urgent, &cells), "? open: nothing to compare · n/a");
    let cells = [goodputs(2e5, 1e5), cells.into()].concat();
    assert_eq!(verdict(&aggregation, &cells), "✓ right · n/a for redis-pubsub");
}

#[test]
fn a_floor_hides_differences_and_makes_none() {
    let urgent = rule("urgent-messages");
    // Whatever of either is its own: a difference is shown, of either sign.
    for floors in [(1e5, 1.9e5), (1.9e6, 1e4), (1.9e6, 1.9e5)] {
        let (kafka, streams) = floors;
        let judged = judge_with(&urgent, &latencies((2e6, kafka), (2e5, streams)), &[]);
        assert_eq!(judged.verdict(), "✓ right");
        let judged = judge_with(&urgent, &latencies((2e5, streams), (2e6, kafka)), &[]);
        assert_eq!(judged.verdict(), "✗ wrong");
    }
    // Equal within the limit: so they are, or it is the floor that both have.
    let judged = judge_with(&urgent, &latencies((1e6, 9e5), (1e6, 1e4)), &[]);
    assert_eq!(judged.verdict(), "? open: the floor may hide it");
    assert!(judged.because().contains("large share of values of kafka:"), "{}", judged.because());
    assert_eq!(verdict(&urgent, &latencies((1e6, 1e4), (1e6, 1e4))), "✗ wrong");
    // Nor does one above the value.
    let judged = judge_with(&urgent, &latencies((2e6, 1e4), (2e5, 5e5)), &[]);
    assert!(
        judged.verdict() == "✓ right"
            && judged.because().contains("no larger than the instrument's floor"),
        "{}",
        judged.because()
    );
}
