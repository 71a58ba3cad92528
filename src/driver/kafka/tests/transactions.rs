//! Transactions on the mock cluster, which knows them, though no reader who waits for their ends.

use super::*;
use crate::scenario::Transaction;
use std::collections::BTreeMap;

fn transactions(messages: u32, within: Span, abort: f64) -> Cell {
    let mut cell = cell();
    cell.config.transaction = Some(Transaction { messages, within, abort });
    cell
}

#[test]
fn messages_end_with_their_transactions_and_the_share_is_aborted() {
    let mut cell = transactions(100, Span::from_secs(20), 0.25);
    cell.load.connections = 2;
    let bench = bench("t-transactions", &cell);
    let completions = publish(&bench, &cell, 2000);
    assert_eq!(completions.len(), 2000);
    let mut of_time: BTreeMap<u64, Vec<Outcome>> = BTreeMap::new();
    for Completion { at_ns, outcome, .. } in &completions {
        of_time.entry(*at_ns).or_default().push(*outcome);
    }
    let aborted = completions.iter().filter(|end| end.outcome == Outcome::Aborted).count();
    assert_eq!(aborted, 400, "of ten transactions of each connection the fourth and the eighth");
    for (at_ns, outcomes) in of_time {
        let all = outcomes.len();
        assert!(all % 100 == 0, "{all} at {at_ns}");
        assert!(all > 100 || outcomes.iter().all(|outcome| *outcome == outcomes[0]));
    }
    assert!(completions.iter().all(|end| end.outcome != Outcome::Failed));
}

#[test]
fn a_transaction_that_nothing_fills_ends_when_it_is_due() {
    let cell = transactions(1000, Span::from_millis(200), 0.0);
    let bench = bench("t-due", &cell);
    let mut publisher = bench.driver.publisher(0).unwrap();
    let begun = Instant::now();
    for slot in 0..7 {
        let message = Outgoing { slot, payload: b"one of few", ..Outgoing::default() };
        assert_eq!(publisher.submit(message).unwrap(), Submitted::Taken);
    }
    let mut completions = Vec::new();
    publisher.wait(after(bench.clock, 20), &mut completions).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(completions.len(), 7);
    assert!(completions.iter().all(|end| end.outcome == Outcome::Acked));
    // A publisher that goes leaves none open, and does not wait for what is due later.
    let message = Outgoing { slot: 0, payload: b"one more", ..Outgoing::default() };
    publisher.submit(message).unwrap();
    let begun = Instant::now();
    drop(publisher);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    bench.driver.audit(after(bench.clock, 20), &mut |_| ()).unwrap();
}
