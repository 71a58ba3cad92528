//! Every kind of harm lands in its own column, and nothing else does.

use super::*;

const LANE: SequenceKey = (0, 0);

fn books(acked: impl IntoIterator<Item = u64>, sent: u64) -> Books {
    let mut produced = Produced { sent, ..Produced::default() };
    acked.into_iter().for_each(|n| {
        produced.acked.insert(n);
    });
    Books {
        produced: [(LANE, produced)].into(),
        consumed: vec![Consumed::default()],
        audit: None,
        unaudited: false,
        acknowledges: true,
    }
}

#[test]
fn every_kind_of_harm_lands_in_its_own_column() {
    // 0 and 1 arrive, 1 twice; 2 is refused yet seen; 3 is still in the broker; 4 is lost; 5
    // has no answer; 7 arrives before 6; 8 and 9 are aborted, and 9 is seen.
    let mut books = books([0, 1, 3, 4, 6, 7], 10);
    let produced = books.produced.get_mut(&LANE).unwrap();
    produced.failed.insert(2);
    produced.aborted.insert(8);
    produced.aborted.insert(9);
    for n in [0, 1, 1, 2, 7, 6, 9] {
        books.consumed[0].note(LANE, n);
    }
    let mut held = Consumed::default();
    for n in [0, 1, 3, 6, 7] {
        held.note(LANE, n);
    }
    books.audit = Some(AuditBook { seen: held, retains: true, trimmed: false });
    let found = books.balance(0);
    assert_eq!(
        found,
        Counted {
            sent: 10,
            acked: 6,
            failed: 1,
            aborted: 2,
            indeterminate: 1,
            delivered: 4,
            undelivered: 1,
            lost: 1,
            unaudited: false,
            broker_lost: Some(1),
            passed_over: 1,
            duplicate: 1,
            log_duplicate: Some(0),
            phantom: 1,
            aborted_read: 1,
            corrupt: 0,
            reordered: 1,
            foreign: 0,
        }
    );
    assert_eq!(found.acked, found.delivered + found.undelivered + found.lost);
    let examples = books.examples();
    let named: Vec<_> =
        examples.iter().map(|found| (found.harm.as_str(), found.sequence)).collect();
    let truth = [
        ("broker_lost", 4),
        ("lost", 4),
        ("passed_over", 3),
        ("phantom", 2),
        ("aborted_read", 9),
        ("duplicate", 1),
    ];
    assert_eq!(named, truth);
    assert_eq!(books.broker_lost().collect::<Vec<_>>(), [(LANE, 4)]);
}

#[test]
fn a_message_stored_twice_is_a_duplicate_of_the_log_and_few_of_many_are_named() {
    let mut books = books(0..10, 10);
    let mut held = Consumed::default();
    (0..10).chain(0..8).for_each(|n| {
        held.note(LANE, n);
        books.consumed[0].note(LANE, n);
    });
    books.audit = Some(AuditBook { seen: held, retains: true, trimmed: false });
    let found = books.total();
    assert_eq!((found.duplicate, found.log_duplicate, found.broker_lost), (8, Some(8), Some(0)));
    let examples = books.examples();
    assert_eq!(examples.len(), 2 * EXAMPLES, "five of each: {examples:?}");
    books.audit.as_mut().unwrap().retains = false;
    assert_eq!(books.total().log_duplicate, None, "what is left of a list is no log");
}

#[test]
fn without_a_subscription_the_producers_and_the_audit_still_count() {
    let mut books = books([0, 1, 2], 4);
    books.consumed.clear();
    let mut held = Consumed::default();
    (0..2).for_each(|n| {
        held.note(LANE, n);
    });
    books.audit = Some(AuditBook { seen: held, retains: true, trimmed: false });
    let found = books.total();
    assert_eq!(
        (found.sent, found.acked, found.indeterminate, found.broker_lost),
        (4, 3, 1, Some(1))
    );
    assert_eq!((found.delivered, found.undelivered, found.lost), (0, 0, 0));
}

#[test]
fn delivered_and_then_lost_by_the_broker_is_broker_lost() {
    let mut books = books(0..10, 10);
    (0..10).for_each(|n| {
        books.consumed[0].note(LANE, n);
    });
    let mut held = Consumed::default();
    (0..7).for_each(|n| {
        held.note(LANE, n);
    });
    books.audit = Some(AuditBook { seen: held, retains: true, trimmed: false });
    assert_eq!((books.balance(0).lost, books.balance(0).broker_lost), (0, Some(3)));
    books.audit.as_mut().unwrap().retains = false;
    assert_eq!(
        books.balance(0).broker_lost,
        Some(0),
        "taken by a consumer is not lost by the broker"
    );
}

#[test]
fn what_was_aborted_is_owed_to_nobody_and_no_subscription_may_see_it() {
    let mut books = books(0..5, 10);
    let produced = books.produced.get_mut(&LANE).unwrap();
    (5..10).for_each(|n| {
        produced.aborted.insert(n);
    });
    books.consumed.push(Consumed::default());
    for consumed in &mut books.consumed {
        (0..5).for_each(|n| {
            consumed.note(LANE, n);
        });
    }
    let clean = books.total();
    assert_eq!((clean.aborted, clean.aborted_read), (5, 0));
    assert_eq!((clean.lost, clean.indeterminate), (0, 0));
    let mut held = Consumed::default();
    held.note(LANE, 7);
    books.audit = Some(AuditBook { seen: held, retains: true, trimmed: false });
    books.consumed[1].note(LANE, 6);
    let found = books.total();
    assert_eq!((found.aborted_read, found.phantom), (2, 0), "read back, and delivered");
}

#[test]
fn a_limit_of_ours_loses_nothing() {
    let mut books = books(0..10, 10);
    (0..10).for_each(|n| {
        books.consumed[0].note(LANE, n);
    });
    let mut held = Consumed::default();
    (6..10).for_each(|n| {
        held.note(LANE, n);
    });
    books.audit = Some(AuditBook { seen: held, retains: true, trimmed: true });
    assert_eq!(books.balance(0).broker_lost, Some(0));
}

#[test]
fn without_a_promise_sent_stands_for_acked() {
    let mut books = books([], 10);
    books.acknowledges = false;
    (0..9).for_each(|n| {
        books.consumed[0].note(LANE, n);
    });
    let found = books.balance(0);
    assert_eq!((found.delivered, found.lost, found.broker_lost), (9, 1, None));
}

#[test]
fn where_nobody_looked_what_did_not_arrive_is_not_called_lost() {
    let mut books = books(0..10, 10);
    for n in [0, 1, 2, 4] {
        books.consumed[0].note(LANE, n);
    }
    assert_eq!(books.balance(0).lost, 6, "the broker keeps nothing");
    books.unaudited = true;
    let found = books.balance(0);
    assert_eq!((found.undelivered, found.lost, found.passed_over), (6, 0, 1));
    assert!(found.unaudited && found.broker_lost.is_none());
}

#[test]
fn what_two_consumers_saw_is_a_duplicate_and_numbers_nobody_sent_are_foreign() {
    let mut one = Consumed::default();
    let mut two = Consumed::default();
    for n in 0..6 {
        one.note(LANE, n);
        two.note(LANE, n + 5);
    }
    one.merge(two);
    let mut books = books(0..10, 10);
    books.consumed = vec![one];
    let found = books.balance(0);
    assert_eq!((found.delivered, found.duplicate, found.foreign, found.reordered), (10, 1, 1, 0));
}
