//! Whose fault each failure is, and what it is told with.

use super::*;

fn evidence() -> Evidence {
    Evidence {
        open: true,
        counted: Counted {
            sent: 100,
            acked: 100,
            delivered: 100,
            broker_lost: Some(0),
            ..Counted::default()
        },
        sent_by_counter: 100,
        window_planned: 100,
        acked_in_time: 100,
        subscriptions: 1,
        backlog: (0, 0),
        lag: Some(("p99".into(), 100_000, 1_000_000)),
        busiest_share: Some(0.1),
        steal_share: Some(0.0),
        seconds: vec![Second { count: 10, p50_ns: 500_000, p99_ns: 900_000 }; 4],
        before: Vec::new(),
        settled: Some(true),
        acknowledges: true,
        shared: false,
        unanswered: 0,
        arrived: 100,
        failures: BTreeMap::new(),
        cut_off: BTreeMap::new(),
        toll: BTreeMap::new(),
        faults: false,
    }
}

fn failed(evidence: &Evidence) -> (Vec<String>, CellOutcome) {
    let (gates, outcome, _) = judge(evidence);
    (gates.into_iter().filter(|gate| gate.failed()).map(|gate| gate.name).collect(), outcome)
}

#[test]
fn a_clean_cell_passes_all() {
    assert_eq!(failed(&evidence()), (vec![], CellOutcome::Ok));
}

#[test]
fn steadiness_is_seen_in_the_window_and_before_it_or_cannot_be_told() {
    let steady = |e: &Evidence| {
        let gates = judge(e).0;
        let gate = gates.into_iter().find(|gate| gate.name == "steady").unwrap();
        (gate.held, gate.found)
    };
    assert_eq!(steady(&evidence()).0, Some(true));
    let short = Evidence { seconds: evidence().seconds[..3].to_vec(), ..evidence() };
    assert_eq!(steady(&short), (None, "cannot tell: a window of less than 4 s".into()));
    assert_eq!(judge(&short).1, CellOutcome::Ok);
    let brief = Evidence { settled: None, ..evidence() };
    assert_eq!(steady(&brief), (None, "cannot tell: a warm-up of less than 6s".into()));
    let before = vec![Second { count: 10, p50_ns: 300_000, p99_ns: 900_000 }; 3];
    let fell = Evidence { before, ..evidence() };
    let words = "medians of the warm-up's end 300, of the window's halves 500 and 500 µs";
    assert_eq!(steady(&fell), (Some(false), words.into()));
    assert_eq!(judge(&fell).1, CellOutcome::Unsteady);
}

#[test]
fn an_outage_that_was_asked_for_is_no_overload_and_a_loss_is_a_loss() {
    let down = Evidence {
        acked_in_time: 50,
        backlog: (0, 1 << 20),
        settled: Some(false),
        unanswered: 9,
        faults: true,
        ..evidence()
    };
    assert_eq!(failed(&down), (vec![], CellOutcome::Ok));
    let counted = Counted { delivered: 99, lost: 1, ..down.counted };
    assert_eq!(failed(&Evidence { counted, ..down }).1, CellOutcome::Violated);
}

#[test]
fn the_harness_is_blamed_for_its_own_faults_only() {
    let lagging = Evidence { lag: Some(("p99".into(), 3_000_000, 1_000_000)), ..evidence() };
    assert_eq!(failed(&lagging), (vec!["schedule-lag".to_owned()], CellOutcome::Ok));
    let lag = |lag, value| Evidence { lag: Some(("p99".into(), lag, value)), ..evidence() };
    assert!(failed(&lag(99_000, 110_000)).0.is_empty(), "what a wake takes");
    assert!(failed(&lag(240_000, 1_000_000)).0.is_empty());
    assert!(!failed(&lag(260_000, 1_000_000)).0.is_empty(), "a quarter of the value");
    for open in [true, false] {
        let busy = Evidence { open, busiest_share: Some(0.96), ..evidence() };
        assert_eq!(failed(&busy), (vec!["generator-cpu".to_owned()], CellOutcome::Ok));
    }
    let unbalanced = Evidence { sent_by_counter: 101, ..evidence() };
    assert_eq!(failed(&unbalanced), (vec!["books-balance".to_owned()], CellOutcome::Ok));
}

#[test]
fn what_was_refused_says_why_before_what_followed() {
    let counted = Counted { acked: 60, failed: 40, delivered: 60, ..evidence().counted };
    let failures = BTreeMap::from([("OOM command not allowed".into(), 40)]);
    let refused = Evidence { counted, acked_in_time: 60, failures, ..evidence() };
    let (_, outcome, because) = judge(&refused);
    assert_eq!(outcome, CellOutcome::Overloaded);
    assert_eq!(because[0], "refused: OOM command not allowed ×40 (limit 1 % of what was sent)");
    assert!(because[1].starts_with("rate-reached"), "{because:?}");
    let closed = Evidence { open: false, ..refused };
    assert_eq!(judge(&closed).1, CellOutcome::Overloaded, "as fast as it is refused");
    assert_eq!(judge(&Evidence { faults: true, ..closed }).1, CellOutcome::Ok);
}

#[test]
fn who_was_cut_off_is_told_first_and_only_where_harm_was_done() {
    let closed = BTreeMap::from([("consumer: the server closed the connection".into(), 2)]);
    let limit = BTreeMap::from([("clients cut off by `output-limit`".into(), 2)]);
    let back = Evidence { cut_off: closed, toll: limit, ..evidence() };
    let (gates, outcome, because) = judge(&back);
    assert_eq!((outcome, because), (CellOutcome::Ok, vec![]), "it came back");
    assert!(gates.iter().any(|gate| gate.name == "left-alone"), "and is told");
    let counted = Counted { delivered: 90, lost: 10, ..evidence().counted };
    let (_, outcome, because) = judge(&Evidence { counted, ..back.clone() });
    assert_eq!(outcome, CellOutcome::Violated);
    let words = "left-alone: consumer: the server closed the connection ×2; clients cut off by \
                 `output-limit` ×2 (limit";
    assert!(because[0].starts_with(words), "{because:?}");
    let counted = Counted { delivered: 90, undelivered: 10, ..evidence().counted };
    assert_eq!(judge(&Evidence { counted, ..back.clone() }).1, CellOutcome::Overloaded);
    let toll = BTreeMap::from([("ms for which a quota held producers back".into(), 9_000)]);
    let slow = Evidence { toll, acked_in_time: 50, ..evidence() };
    let words = "left-alone: ms for which a quota held producers back ×9,000 (limit";
    let because = judge(&slow).2;
    assert!(because[0].starts_with(words), "{because:?}");
    assert!(because[1].starts_with("rate-reached"), "{because:?}");
    let asked = Evidence { faults: true, counted, ..back };
    assert_eq!(judge(&asked).1, CellOutcome::Ok, "a fault was asked for");
}

#[test]
fn what_others_publish_to_the_same_topic_is_no_harm() {
    let counted = Counted { foreign: 7, ..evidence().counted };
    let own = Evidence { counted, ..evidence() };
    assert_eq!(failed(&own).1, CellOutcome::Violated);
    assert_eq!(failed(&Evidence { shared: true, ..own }).1, CellOutcome::Ok);
}

#[test]
fn a_cell_through_which_nothing_came_is_never_green() {
    let counted = Counted { acked: 0, failed: 100, delivered: 0, ..evidence().counted };
    let failures = BTreeMap::from([("OOM".into(), 100)]);
    let none = Evidence { counted, arrived: 0, failures, faults: true, ..evidence() };
    let (_, outcome, because) = judge(&none);
    assert_eq!(outcome, CellOutcome::Stalled);
    assert!(because[0].contains("nothing was acknowledged: OOM ×100"), "{because:?}");
    let silent = Evidence { acknowledges: false, open: false, ..none };
    assert!(judge(&silent).2[0].contains("nothing was received"));
    let nobody = Evidence { subscriptions: 0, ..silent };
    assert_eq!(judge(&nobody).1, CellOutcome::Ok, "nobody could tell");
    let nothing_due =
        Evidence { subscriptions: 1, open: true, window_planned: 0, faults: true, ..nobody };
    assert_eq!(judge(&nothing_due).1, CellOutcome::Ok);
}

#[test]
fn the_brokers_faults_are_results() {
    let slow = Evidence { acked_in_time: 90, ..evidence() };
    assert_eq!(failed(&slow), (vec!["rate-reached".to_owned()], CellOutcome::Overloaded));
    let counted = Counted { delivered: 99, lost: 1, ..evidence().counted };
    let (names, outcome) = failed(&Evidence { counted, ..evidence() });
    assert_eq!(
        (names, outcome),
        (vec!["nothing-lost-or-disordered".to_owned()], CellOutcome::Violated)
    );
}
