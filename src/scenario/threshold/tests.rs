//! Rules over cells whose every number is known.

use super::*;
use crate::result::{CellId, CellOutcome, Counts, Latencies, Quantiles, Rates, words};
use proptest::prelude::*;

const LABELS: [&str; 2] = ["kafka", "redis-streams"];

fn cell(label: &str, block: u32, p99_ms: u64, goodput: f64) -> CellSummary {
    let latency =
        Quantiles { count: 1000, p99_ns: Some(p99_ms * 1_000_000), ..Quantiles::default() };
    let id = CellId {
        label: label.into(),
        system: label.into(),
        nodes: 1,
        cell: "base".into(),
        block,
        ..CellId::default()
    };
    CellSummary {
        counts: Counts { lost: Some(0), ..Counts::default() },
        latency: Latencies { end_to_end: Some(latency), ..Latencies::default() },
        rates: Rates { goodput_per_s: Some(goodput), ..Rates::default() },
        id,
        valid: true,
        ..CellSummary::default()
    }
}

fn judge(rule: &str, cells: &[CellSummary]) -> ThresholdResult {
    Threshold::parse(rule, &LABELS.map(String::from)).unwrap().evaluate(cells)
}

/// There was nothing to judge by: a rule that fails names a value first.
fn undecided(result: &ThresholdResult) -> bool {
    let why = ["not measured", "not decided", "no cell"];
    let told = why.iter().any(|why| result.text.starts_with(why));
    assert_eq!(told, result.held.is_none(), "{result:?}");
    told
}

#[test]
fn a_rule_holds_when_it_holds_in_every_cell() {
    let cells = [
        cell("kafka", 1, 10, 100e3),
        cell("kafka", 2, 30, 90e3),
        cell("redis-streams", 1, 60, 200e3),
    ];
    assert_eq!(judge("end_to_end.p99 < 50ms", &cells).held, Some(false));
    let scoped = judge("kafka: end_to_end.p99 < 50ms", &cells);
    assert_eq!(
        (scoped.held, &*scoped.text),
        (Some(true), "at worst 30.0 ms, in kafka base block 2 (of 2 cells)")
    );
    let failed = judge("goodput >= 100k/s", &cells);
    assert_eq!(
        (failed.held, &*failed.text),
        (Some(false), "90.0k/s in kafka base block 2, not >= 100k/s")
    );
    assert_eq!(judge("counts.lost == 0", &cells).held, Some(true));
}

/// Pipelines read which rule failed, where, and by which value.
#[test]
fn the_value_that_decided_is_told_with_its_place() {
    let cells = [cell("kafka", 1, 10, 100e3), cell("kafka", 2, 30, 90e3)];
    let failed = judge("end_to_end.p99 < 20ms", &cells);
    assert_eq!((failed.label.as_deref(), failed.cell.as_deref()), (Some("kafka"), Some("base")));
    assert_eq!((failed.block, failed.value, failed.limit), (Some(2), Some(30e6), Some(20e6)));
    assert_eq!((failed.unit.as_str(), failed.interval), ("ns", None));
    let cells = blocks([220.0, 663.0, 441.0], [200.0, 600.0, 400.0]);
    let ratio = judge("ratio(goodput, redis-streams, kafka) > 1.05", &cells);
    assert_eq!((ratio.label.as_deref(), ratio.block), (Some("redis-streams"), None));
    assert!(ratio.value.unwrap() < 1.0 && ratio.interval.unwrap()[1] < 1.05);
    assert_eq!((ratio.unit.as_str(), ratio.limit), ("×", Some(1.05)));
    let unmeasured = judge("kafka: counts.acked > 0", &cells);
    assert_eq!((unmeasured.held, unmeasured.label.as_deref()), (None, Some("kafka")));
}

/// Three blocks of goodput on each side.
fn blocks(kafka: [f64; 3], streams: [f64; 3]) -> Vec<CellSummary> {
    let of = |label, values: [f64; 3]| {
        values.into_iter().zip(1..).map(move |(value, block)| cell(label, block, 1, value))
    };
    of("kafka", kafka).chain(of("redis-streams", streams)).collect()
}

#[test]
fn ratios_are_decided_as_verdicts_are() {
    // Both drift by a factor of three between blocks; the ratio does not.
    let cells = blocks([220.0, 663.0, 441.0], [200.0, 600.0, 400.0]);
    let above = judge("ratio(goodput, kafka, redis-streams) > 1.05", &cells);
    assert!(
        above.held == Some(true) && above.text.starts_with("1.10 [1.10, 1.11] in kafka base"),
        "{}",
        above.text
    );
    let below = judge("ratio(goodput, redis-streams, kafka) > 1.05", &cells);
    assert!(below.held == Some(false) && below.text.contains(", not > 1.05"), "{}", below.text);
    assert_eq!(judge("ratio(goodput, redis-streams, kafka) < 0.95", &cells).held, Some(true));
    let noisy = blocks([220.0, 600.0, 480.0], [200.0, 600.0, 400.0]);
    let open = judge("ratio(goodput, kafka, redis-streams) > 1.05", &noisy);
    assert!(undecided(&open), "every block's mean above the limit is not enough");
    assert!(open.text.contains("difference within the spread"), "{}", open.text);
    let few = [cells[0].clone(), cells[3].clone()];
    let few = judge("ratio(goodput, kafka, redis-streams) > 1.05", &few);
    assert!(undecided(&few) && few.text.contains("fewer than 3 blocks"), "{}", few.text);
    let alone = judge("ratio(goodput, kafka, redis-streams) > 1.05", &cells[..1]);
    assert!(undecided(&alone) && alone.text.contains("was not run beside it"), "{}", alone.text);
}

#[test]
fn what_was_not_measured_does_not_hold() {
    let mut spoilt = cell("kafka", 1, 1, 1.0);
    assert!(undecided(&judge("counts.broker_lost == 0", &[spoilt.clone()])));
    assert!(undecided(&judge("redis-streams: counts.lost == 0", &[spoilt.clone()])));
    spoilt.valid = false;
    spoilt.invalid_because = vec!["schedule lag".into()];
    let finding = judge("counts.lost == 0", &[spoilt]);
    assert!(undecided(&finding) && finding.text.contains("schedule lag"), "{}", finding.text);
}

#[test]
fn latencies_of_a_saturated_cell_are_not_measured() {
    let rule = "end_to_end.p99 < 50ms";
    for outcome in [CellOutcome::Overloaded, CellOutcome::Violated, CellOutcome::Stalled] {
        let because = vec!["rate-reached: 10 %".to_owned()];
        let cell = CellSummary { outcome, outcome_because: because, ..cell("kafka", 1, 1, 9.0) };
        let found = judge(rule, std::slice::from_ref(&cell));
        let why = format!("the cell was {} (rate-reached: 10 %)", words::name(&outcome));
        assert!(undecided(&found) && found.text.contains(&why), "{}", found.text);
        let beside = [cell.clone(), super::tests::cell("redis-streams", 1, 1, 9.0)];
        let ratio = judge("ratio(end_to_end.p99, kafka, redis-streams) < 2", &beside);
        assert!(undecided(&ratio) && ratio.text.contains(&why), "{}", ratio.text);
        assert_eq!(judge("goodput > 1/s", &[cell]).held, Some(true), "what it carried is known");
    }
    let mut censored = cell("kafka", 1, 1, 9.0);
    let latency = censored.latency.end_to_end.as_mut().unwrap();
    (latency.p99_ns, latency.censored) = (None, 500);
    latency.at_least_ns.insert("p99".into(), 3_000_000_000);
    let found = judge(rule, &[censored]);
    assert!(undecided(&found) && found.text.contains("more than 3.00 s"), "{}", found.text);
}

#[test]
fn refusals_say_what_is_wrong() {
    let refused = |text: &str| {
        let Problem { what, remedy, .. } =
            Threshold::parse(text, &LABELS.map(String::from)).unwrap_err();
        format!("{what}; {remedy}")
    };
    for (rule, words) in [
        ("end_to_end.p99", "exactly one comparison"),
        (
            "end_to_end.p100 < 5ms",
            "unknown figure `end_to_end.p100`; a latency has any quantile such as `p99`",
        ),
        ("end_to_end < 5ms", "`mean`, `min`, `max` or `count`"),
        ("gooodput > 5k/s", "did you mean `goodput`?"),
        ("end_to_end.p99 < 5", "unit is missing"),
        ("counts.lost < 0", "can never hold"),
        ("end_to_end.p99 < 0ms", "can never hold"),
        ("ratio(goodput, kafka, redis-streams) < 0", "can never hold"),
        ("ratio(goodput, kafka, redis-streams) == 1", "never equals a number"),
        ("counts.lost == 0.5", "not a number of messages"),
        ("counts.lost != 0", "exactly one comparison"),
        ("1 < counts.lost < 3", "exactly one comparison"),
        ("counts.lost = 0", "exactly one comparison"),
        ("kafak: counts.lost == 0", "no label `kafak` under `systems`; did you mean `kafka`?"),
        ("ratio(goodput, kafka, kafka) > 1", "compares a label with itself"),
        ("ratio(goodput, kafka) > 1", "a figure and two labels"),
        ("ratio(goodput, kafka, redis-streams) > 5ms", "a plain number"),
    ] {
        assert!(refused(rule).contains(words), "{rule}: {}", refused(rule));
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", tail in "[a-z_.:<>=0-9(), ]{0,40}") {
        let _ = Threshold::parse(&text, &LABELS.map(String::from));
        let _ = Threshold::parse(&tail, &LABELS.map(String::from));
    }
}
