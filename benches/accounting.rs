//! What recording and accounting cost by themselves: ns a message for each part of it, and memory
//! for 100 million.
//!
//! `cargo bench --bench accounting`. The real types, in the order in which the engine uses them on
//! one message of an open-loop run: the costliest case, with four latencies. Goals: 200 ns in
//! total, 64 MB over the base.

use brokerbench::clock::Clock;
use brokerbench::engine::{InFlight, Pending};
use brokerbench::environment::own_usage;
use brokerbench::model::Latency;
use brokerbench::payload::{Bodies, BodyKind, Envelope, Reading, read};
use brokerbench::record::{Books, Consumed, PerSecond, Produced, Recorder, Tally};
use std::hint::black_box;
use std::sync::mpsc::channel;

const SIZE: usize = 100;
const RUN: u64 = 7;
const LANES: u16 = 8;
const ROUNDS: usize = 5;
const MESSAGES: u64 = 4_000_000;
const MANY: u64 = 100_000_000;

fn main() {
    let mut total = 0.0;
    let mut part = |name: &str, cost: f64| {
        total += cost;
        println!("{name:<52} {cost:>7.1} ns a message");
    };
    part("envelope written, checksum of 100 B", median(envelope_written));
    part("envelope read and checked", median(envelope_read));
    part("in-flight table: take, fill, finish", median(in_flight));
    part("ledger: acknowledged, delivered", median(ledger));
    part("latencies: publish, service, lag, end to end", median(latencies));
    part("tallies: offered, sent, acked, consumed", median(tallies));
    part("stamps: two reads of the clock", median(stamps));
    println!("{:<52} {total:>7.1} ns a message, goal ≤ 200: {}", "in total", met(total <= 200.0));
    memory();
}

fn met(met: bool) -> &'static str {
    if met { "yes" } else { "NO" }
}

/// Nanoseconds per message of `work`, which handles [`MESSAGES`].
fn median(work: fn()) -> f64 {
    let mut costs: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let clock = Clock::start();
            work();
            clock.now_ns() as f64 / MESSAGES as f64
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    costs[ROUNDS / 2]
}

/// Eight lanes in turns of 1,000; within a lane the numbers come slightly out of order, as from
/// several connections.
fn arrivals(messages: u64) -> impl Iterator<Item = (u16, u64)> {
    (0..messages).map(|i| {
        let (turn, within) = (i / 1000, i % 1000);
        let lane = turn % u64::from(LANES);
        let number = turn / u64::from(LANES) * 1000 + within;
        // Swaps neighbours; the last of a turn of 1,000 is odd, so no number leaves its turn.
        (lane as u16, number ^ u64::from(within % 16 < 2))
    })
}

fn envelope(i: u64) -> Envelope {
    Envelope { run: RUN, producer: 0, lane: 0, sequence: i, planned_ns: i * 1000 }
}

fn bodies() -> Bodies {
    Bodies::generate(BodyKind::Random, SIZE, 1).unwrap()
}

fn envelope_written() {
    let mut bodies = bodies();
    for i in 0..MESSAGES {
        black_box(bodies.stamped(&envelope(i)));
    }
}

fn envelope_read() {
    let mut bodies = bodies();
    let messages: Vec<Vec<u8>> = (0..1000).map(|i| bodies.stamped(&envelope(i)).to_vec()).collect();
    for i in 0..MESSAGES as usize {
        assert!(matches!(read(black_box(&messages[i % 1000]), RUN, SIZE), Reading::Ours(_)));
    }
}

fn in_flight() {
    let mut table = InFlight::new(10_000, 1);
    let mut taken = Vec::with_capacity(1000);
    for i in 0..MESSAGES {
        let slot = table.take().unwrap();
        table.fill(slot, Pending { planned_ns: i, sent_ns: i, sequence: i, lane: 0, busy: true });
        taken.push(slot);
        if taken.len() == 1000 {
            for slot in taken.drain(..) {
                black_box(table.finish(slot));
            }
        }
    }
}

fn ledger() {
    let mut produced = vec![Produced::default(); LANES.into()];
    let mut consumed = Consumed::default();
    for (lane, number) in arrivals(MESSAGES) {
        produced[usize::from(lane)].acked.insert(number);
        black_box(consumed.note((0, lane), number));
    }
}

fn latencies() {
    let (out, _harvests) = channel();
    let mut recorder = Recorder::new(out);
    for i in 0..MESSAGES {
        let latency = 100_000 + (i * 7919) % 900_000;
        for timer in [Latency::Publish, Latency::Service, Latency::ScheduleLag, Latency::EndToEnd] {
            recorder.record(timer, 1, black_box(latency));
        }
    }
}

fn tallies() {
    let mut tallies: [Tally; 4] = Default::default();
    for i in 0..MESSAGES {
        tallies.iter_mut().for_each(|tally| tally.add(black_box(i * 1000), 1));
    }
    black_box(tallies.map(|mut tally| tally.take()));
}

fn stamps() {
    let clock = Clock::start();
    for _ in 0..MESSAGES {
        black_box((clock.now_ns(), clock.now_ns()));
    }
}

/// Producer, consumer and balance of 100 million messages.
fn memory() {
    let rss = || own_usage().map_or(0, |usage| usage.rss_bytes) as f64 / 1e6;
    let (base, clock) = (rss(), Clock::start());
    let mut books = Books { acknowledges: true, ..Books::default() };
    let mut produced = vec![Produced::default(); LANES.into()];
    let (mut consumed, mut tally, mut most) = (Consumed::default(), Tally::default(), base);
    for (i, (lane, number)) in arrivals(MANY).enumerate() {
        let lane_book = &mut produced[usize::from(lane)];
        lane_book.sent += 1;
        lane_book.acked.insert(number);
        consumed.note((0, lane), number);
        tally.add(i as u64 * 1000, 1);
        if i % 10_000_000 == 0 {
            most = rss().max(most);
        }
    }
    books.produced =
        produced.into_iter().enumerate().map(|(lane, book)| ((0, lane as u16), book)).collect();
    books.consumed.push(consumed);
    let (found, mut counted) = (books.balance(0), PerSecond::default());
    counted.add(tally.take());
    assert_eq!((found.sent, found.delivered, found.lost, counted.total()), (MANY, MANY, 0, MANY));
    let grown = rss().max(most) - base;
    println!(
        "{MANY} messages accounted for in {grown:.1} MB over the base of {base:.1} MB, {:.1} s; \
        goal ≤ 64 MB: {}",
        clock.now_ns() as f64 / 1e9,
        met(grown <= 64.0)
    );
}
