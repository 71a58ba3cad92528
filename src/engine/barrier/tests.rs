//! Tests only: shards as threads over one fake broker. Together they send what one process plans,
//! and whoever is missing, is there twice, stops or falls silent is named by all others.

use super::*;
use crate::driver::fake::{Behaviour, Fake};
use crate::engine::{CellMerge, CellPart, CellRun};
use crate::model::System;
use crate::result::{CellOutput, Tally};
use crate::scenario::{Cell, Load, Message};
use crate::units::{Rate, Span};
use std::path::Path;
use std::thread;

const RATE: u64 = 3000;
static CALM: AtomicBool = AtomicBool::new(false);

fn cell(producers: u16, consumers: u16) -> Cell {
    let load = Load { producers, consumers, ..Load::open(Rate::per_second(RATE)) };
    let load = Load { drain: Span::from_secs(5), ..load.brief(Span::from_secs(2)) };
    Cell { message: Message::random(100), ..Cell::plain(System::Fake, load) }
}

fn fake(clock: Clock) -> Fake {
    Fake::new(Behaviour { delay_ns: 1_000_000, keep: true, ..Behaviour::default() }, 1, clock)
}

fn terms(shards: u16) -> Terms {
    Terms { program: "p".into(), scenario: "s".into(), seed: 1, shards }
}

fn host(index: u16) -> Host {
    Host { name: format!("host-{index}"), boot: crate::clock::boot(), ..Host::default() }
}

fn gathered(
    fake: &Fake,
    shard: Shard,
    terms: Terms,
    wait: Duration,
    interrupted: &AtomicBool,
) -> Result<Barrier, BarrierError> {
    let boards = BOARDS.map(|name| fake.board(name).unwrap());
    let (placement, host) = (Placement::Paired, host(shard.index));
    let tell = &mut |_: &str| ();
    let gathering = Gathering { shard, placement, terms, host, wait, interrupted, tell };
    Barrier::gather(gathering, boards, fake.clock())
}

/// One shard from its arrival to the end of the cell.
fn run(fake: &Fake, cell: &Cell, shard: Shard, interrupted: &AtomicBool) -> CellOutput {
    let patience = Duration::from_secs(60);
    let mut barrier = gathered(fake, shard, terms(shard.count), patience, interrupted).unwrap();
    let clock = barrier.clock();
    let run =
        CellRun { run: 7, interrupted, barrier: Some(&mut barrier), ..CellRun::new(cell, clock) };
    run.run(fake).unwrap()
}

fn all(cell: &Cell, count: u16, interrupted: &[&AtomicBool]) -> Vec<CellOutput> {
    let fake = &fake(Clock::start());
    thread::scope(|scope| {
        let shards = Shard { index: 0, count }.all();
        let started: Vec<_> = shards
            .map(|shard| {
                let interrupted = interrupted[usize::from(shard.index)];
                scope.spawn(move || run(fake, cell, shard, interrupted))
            })
            .collect();
        started.into_iter().map(|shard| shard.join().unwrap()).collect()
    })
}

fn merged(outputs: Vec<CellOutput>) -> CellOutput {
    let (mut merge, mut tally) = (CellMerge::of(&outputs[0].record), Tally::default());
    for CellOutput { record, windows, events, intervals, books, .. } in outputs {
        let epoch = "2026-11-22T19:00:00Z".parse().unwrap();
        let log = crate::result::hlog::encode(&intervals, epoch, Path::new("x")).unwrap();
        tally.add(&log, Path::new("x")).unwrap();
        merge.add(CellPart { record, books: books.unwrap(), windows, events }).unwrap();
    }
    merge.finish(tally, &[]).0
}

#[test]
fn three_shards_send_what_one_process_plans_and_nothing_is_lost_between_them() {
    let outputs = all(&cell(4, 2), 3, &[&CALM, &CALM, &CALM]);
    for output in &outputs {
        assert_eq!(output.record.error, None);
        assert_eq!(output.record.counts, crate::result::Counts::default(), "not a shard's to say");
    }
    let receivers = outputs.iter().filter(|output| output.record.window_consumed > 0).count();
    assert_eq!(receivers, 2, "two consumers on three shards");
    let record = merged(outputs).record;
    let window_ns = record.window_end_ns.unwrap() - record.window_start_ns.unwrap();
    let load_ns = window_ns + record.warm_up_ns;
    let planned = (u128::from(load_ns) * u128::from(RATE)).div_ceil(1_000_000_000) as u64;
    let counts = &record.counts;
    assert_eq!((counts.planned, counts.sent), (Some(planned), Some(planned)));
    assert_eq!((counts.acked, counts.delivered), (Some(planned), Some(planned)));
    let none = [counts.lost, counts.undelivered, counts.duplicate, counts.foreign, counts.phantom];
    assert_eq!((none, counts.broker_lost), ([Some(0); 5], Some(0)));
    assert_eq!(record.window_planned, Some(2 * RATE));
    let failed: Vec<_> = record.gates.iter().filter(|gate| gate.failed()).collect();
    // A busy machine may be late; the books are ours.
    assert!(failed.iter().all(|gate| gate.name != "books-balance"), "{failed:?}");
    assert!(record.censored.is_empty(), "{:?}", record.censored);
}

#[test]
fn one_kernel_is_one_clock_and_every_way_is_timed() {
    let output = merged(all(&cell(2, 1), 2, &[&CALM, &CALM]));
    let planned = output.record.window_planned.unwrap();
    let timed = output.merged(crate::model::Latency::EndToEnd);
    assert_eq!(timed.len(), planned, "also what the other shard sent");
    assert!(timed.min() >= 900_000, "the fake takes a millisecond: {}", timed.min());
    let rows: u64 = output.windows.iter().map(|row| row.consumed_messages).sum();
    assert_eq!(Some(rows), output.record.counts.delivered);
}

#[test]
fn who_does_not_come_is_named() {
    let fake = fake(Clock::start());
    let shard = |index| Shard { index, count: 3 };
    let (first, other) = thread::scope(|scope| {
        let wait = Duration::from_secs(3);
        let other = scope.spawn(|| {
            let patience = Duration::from_secs(60);
            let mut barrier = gathered(&fake, shard(2), terms(3), patience, &CALM).unwrap();
            barrier.prepare(&fake, &CALM).unwrap_err().to_string()
        });
        let first = gathered(&fake, shard(0), terms(3), wait, &CALM).err().unwrap().to_string();
        (first, other.join().unwrap())
    });
    assert_eq!(first, "shard 1/3 did not come within 3 s");
    assert!(other.contains("shard 1/3 did not come"), "{other}");
}

#[test]
fn who_differs_or_is_there_twice_is_named() {
    let refused = |others: [(u16, Terms); 2]| {
        let fake = &fake(Clock::start());
        thread::scope(|scope| {
            let wait = Duration::from_secs(20);
            for (index, terms) in others {
                let shard = Shard { index, count: 3 };
                scope.spawn(move || gathered(fake, shard, terms, wait, &CALM).is_ok());
            }
            let first = Shard { index: 0, count: 3 };
            gathered(fake, first, terms(3), wait, &CALM).err().unwrap().to_string()
        })
    };
    let twice = refused([(1, terms(3)), (1, terms(3))]);
    assert!(twice.contains("shard 1/3 (on host-1)") && twice.contains("twice"), "{twice}");
    let seed = Terms { seed: 9, ..terms(3) };
    let other = refused([(1, terms(3)), (2, seed)]);
    assert!(other.contains("shard 2/3 (on host-2): its seed is 9"), "{other}");
}

#[test]
fn who_is_stopped_stops_all_and_is_named() {
    let stopped = AtomicBool::new(false);
    let cell = cell(2, 2);
    let outputs = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(5));
            stopped.store(true, Relaxed);
        });
        all(&cell, 2, &[&CALM, &stopped])
    });
    let error = outputs[0].record.error.clone().unwrap();
    assert!(error.contains("shard 1/2 (on host-1) ended: interrupted by its user"), "{error}");
    assert!(outputs[1].record.interrupted);
}

/// What the first says of a second one that takes part in the barrier, without any load, until that
/// holds of it.
fn silent_once(seconds: u64, silent: impl Fn(&Barrier) -> bool + Send) -> String {
    let (fake, cell) = (&fake(Clock::start()), cell(2, 2));
    let load = Load { duration: Span::from_secs(seconds), ..cell.load.clone() };
    let cell = &Cell { load, ..cell };
    thread::scope(|scope| {
        scope.spawn(move || {
            let shard = Shard { index: 1, count: 2 };
            let patience = Duration::from_secs(60);
            let mut barrier = gathered(fake, shard, terms(2), patience, &CALM).unwrap();
            barrier.prepare(fake, &CALM).unwrap();
            barrier.start(&CALM).unwrap();
            while !silent(&barrier) {
                barrier.touch(Beat { rested: true, ..Beat::default() }).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        run(fake, cell, Shard { index: 0, count: 2 }, &CALM).record.error.unwrap()
    })
}

#[test]
fn who_falls_silent_under_load_is_named_and_the_others_end() {
    let error = silent_once(60, |_| true);
    assert!(error.starts_with("shard 1/2 (on host-1) was silent"), "{error}");
}

#[test]
fn who_falls_silent_in_the_drain_is_named() {
    let over = |barrier: &Barrier| {
        let over_ns = |(start_ns, _): (u64, bool)| start_ns + 3 * SECOND_NS;
        barrier.window().is_some_and(|window| over_ns(window) <= barrier.clock().now_ns())
    };
    let error = silent_once(2, over);
    assert!(error.starts_with("shard 1/2 (on host-1) was silent"), "{error}");
}

#[test]
fn who_has_left_takes_nothing_from_a_first_that_is_still_busy() {
    let fake = fake(Clock::start());
    let [mut stays, mut leaves] = [1, 2].map(|index| {
        let boards = BOARDS.map(|name| fake.board(name).unwrap());
        Other::new(boards, Shard { index, count: 3 })
    });
    stays.load_begins();
    leaves.load_begins();
    leaves.leave().unwrap();
    thread::sleep(SILENCE + Duration::from_millis(100));
    assert!(stays.first_is_gone() && !leaves.first_is_gone());
}
