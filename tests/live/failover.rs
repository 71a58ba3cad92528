//! Real brokers killed under load and started again: the clients go on by themselves, and every message that was
//! acknowledged is there. Needs redis-server, Java and Maven (or `KAFKA_HOME`):
//! `cargo test --test live failover:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Driver, Incoming, Outcome, Outgoing, Submitted, Target};
use brokerbench::environment::{Broker, Deed, Environment, Native};
use brokerbench::scenario::{self, Cell, Overrides};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const SLOTS: u32 = 4000;
/// 5,000 messages a second.
const GAP_NS: u64 = SECOND / 5000;

fn cell(systems: &str) -> Cell {
    let text = format!(
        "schema: 1\nname: t\nquestion: Q?\nprimary: goodput\nsystems: {{t: {systems}}}\n\
         load: {{model: open, rate: 5k/s, deadline: 30s, in-flight: {SLOTS}, connections: 2}}\nmessage: {{size: 200B}}\n"
    );
    scenario::from_text("t", &text, &Overrides::default()).unwrap().cells().remove(0)
}

#[derive(Default)]
struct Seen {
    outcomes: BTreeMap<u32, Outcome>,
    /// When messages were acknowledged, ns.
    acked_ns: Vec<u64>,
    failures: BTreeMap<String, u64>,
    retries: BTreeMap<String, u64>,
    latest_ns: u64,
}

impl Seen {
    fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.values().filter(|found| **found == outcome).count()
    }

    fn longest_gap_ns(&self) -> u64 {
        self.acked_ns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }
}

/// Sends at the fixed rate until `stop`, then waits for every end.
fn load(cell: &Cell, driver: &dyn Driver, clock: Clock, stop: &AtomicBool) -> Seen {
    let mut publisher = driver.publisher(0).unwrap();
    let (mut seen, mut completions) = (Seen::default(), vec![]);
    let (mut sent, mut of_slot) = (0u32, vec![0u32; SLOTS as usize]);
    let mut free: Vec<Vec<u32>> = (0..2).map(|c| (0..SLOTS).filter(|slot| slot % 2 == c).collect()).collect();
    let begun = clock.now_ns();
    let mut payload = [b'.'; 200];
    let mut until_ns = u64::MAX;
    while clock.now_ns() < until_ns {
        let now_ns = clock.now_ns();
        while !stop.load(Relaxed) && begun + u64::from(sent) * GAP_NS <= now_ns {
            let connection = sent % 2;
            let Some(slot) = free[connection as usize].pop() else { break };
            payload[..4].copy_from_slice(&sent.to_le_bytes());
            let stream = (sent / 2 % u32::from(cell.config.streams())) as u16;
            let message = Outgoing { slot, connection: connection as u16, stream, payload: &payload };
            if publisher.submit(message).unwrap() == Submitted::Full {
                free[connection as usize].push(slot);
                break;
            }
            of_slot[slot as usize] = sent;
            sent += 1;
        }
        publisher.flush().unwrap();
        let until = clock.now_ns() + 1_000_000;
        publisher.wait(until, &mut completions).unwrap();
        seen.latest_ns = seen.latest_ns.max(clock.now_ns().saturating_sub(until));
        for completion in completions.drain(..) {
            let number = of_slot[completion.slot as usize];
            assert!(seen.outcomes.insert(number, completion.outcome).is_none());
            if completion.outcome == Outcome::Acked {
                seen.acked_ns.push(completion.at_ns);
            }
            free[(completion.slot % 2) as usize].push(completion.slot);
        }
        if stop.load(Relaxed) {
            until_ns = until_ns.min(clock.now_ns() + 40 * SECOND);
            if seen.outcomes.len() as u32 == sent {
                break;
            }
        }
    }
    assert_eq!(seen.outcomes.len() as u32, sent, "messages that never ended");
    (seen.failures, seen.retries) = (publisher.failures(), publisher.retries());
    seen
}

/// Load, with a kill after two seconds and a start `down` later; how it ended, and what was delivered and read back.
fn through_a_kill(
    systems: &str,
    down: Duration,
    kill: impl Fn(&mut dyn Broker),
    start: impl Fn(&mut dyn Broker),
) -> (Seen, BTreeMap<u32, u32>, BTreeMap<u32, u32>) {
    let cell = cell(systems);
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    let clock = Clock::start();
    let target = Target { addresses: broker.addresses(), paths: broker.paths(), name: "live-failover".into(), clock };
    let driver = driver::open(&cell, target).unwrap();
    driver.prepare().unwrap();
    let (stop, stop_consuming) = (AtomicBool::new(false), AtomicBool::new(false));
    let number = |payload: &[u8]| u32::from_le_bytes(payload[..4].try_into().unwrap());
    let (seen, delivered) = std::thread::scope(|scope| {
        let mut subscriber = driver.subscriber(0, 0).unwrap();
        let consuming = scope.spawn({
            let stop = &stop_consuming;
            move || {
                let mut delivered = BTreeMap::<u32, u32>::new();
                while !stop.load(Relaxed) {
                    let mut sink =
                        |incoming: Incoming<'_>| *delivered.entry(number(incoming.payload)).or_default() += 1;
                    subscriber.receive(clock.now_ns() + SECOND / 20, &mut sink).unwrap();
                }
                let _ = subscriber.close();
                (delivered, subscriber.retries())
            }
        });
        let (cell, driver, stop) = (&cell, driver.as_ref(), &stop);
        let loading = scope.spawn(move || load(cell, driver, clock, stop));
        std::thread::sleep(Duration::from_secs(2));
        kill(broker.as_mut());
        std::thread::sleep(down);
        start(broker.as_mut());
        std::thread::sleep(Duration::from_secs(15));
        stop.store(true, Relaxed);
        let seen = loading.join().unwrap();
        std::thread::sleep(Duration::from_secs(5));
        stop_consuming.store(true, Relaxed);
        let (delivered, retries) = consuming.join().unwrap();
        eprintln!("consumer: {retries:?}");
        (seen, delivered)
    });
    let mut kept = BTreeMap::<u32, u32>::new();
    driver.audit(clock.now_ns() + 60 * SECOND, &mut |payload| *kept.entry(number(payload)).or_default() += 1).unwrap();
    eprintln!("{:?}", driver.describe().unwrap().broker_version);
    driver.clean_up().unwrap();
    broker.stop().unwrap();
    let (acked, failed, doubtful) =
        (seen.count(Outcome::Acked), seen.count(Outcome::Failed), seen.count(Outcome::Indeterminate));
    let twice = |all: &BTreeMap<u32, u32>| all.values().filter(|count| **count > 1).count();
    eprintln!(
        "acked {acked}, failed {failed}, indeterminate {doubtful}; longest gap {} ms",
        seen.longest_gap_ns() / 1_000_000
    );
    eprintln!(
        "kept {} ({} twice), delivered {} ({} twice)",
        kept.len(),
        twice(&kept),
        delivered.len(),
        twice(&delivered)
    );
    eprintln!("latest call {} µs; retries {:?}; failures {:?}", seen.latest_ns / 1000, seen.retries, seen.failures);
    (seen, delivered, kept)
}

fn nothing_acked_is_gone(seen: &Seen, found: &BTreeMap<u32, u32>) {
    let gone = seen.outcomes.iter().filter(|(number, end)| **end == Outcome::Acked && !found.contains_key(number));
    assert_eq!(gone.count(), 0);
    let phantom = seen.outcomes.iter().filter(|(number, end)| **end == Outcome::Failed && found.contains_key(number));
    assert_eq!(phantom.count(), 0);
}

fn went_on_by_itself(seen: &Seen, at_least: Duration, at_most: Duration) {
    assert!(seen.outcomes.len() > 40_000, "{}", seen.outcomes.len());
    assert_eq!(seen.count(Outcome::Acked), seen.outcomes.len(), "{:?}", seen.failures);
    let gap = Duration::from_nanos(seen.longest_gap_ns());
    assert!((at_least..at_most).contains(&gap), "{gap:?}");
    assert!(!seen.retries.is_empty());
}

fn crash(broker: &mut dyn Broker) {
    broker.crash().unwrap();
}

fn restart(broker: &mut dyn Broker) {
    broker.restart().unwrap();
}

#[test]
#[ignore = "needs a real redis-server"]
fn streams_go_on_after_a_kill_and_lose_nothing_that_was_synced() {
    let down = Duration::from_secs(2);
    let (seen, delivered, kept) =
        through_a_kill("{system: redis-streams, broker: {appendonly: yes, appendfsync: always}}", down, crash, restart);
    went_on_by_itself(&seen, down, down + Duration::from_secs(3));
    nothing_acked_is_gone(&seen, &kept);
    nothing_acked_is_gone(&seen, &delivered);
    assert!(seen.latest_ns < 20_000_000, "{}", seen.latest_ns);
}

#[test]
#[ignore = "needs a real redis-server"]
fn reliable_lists_go_on_after_a_kill() {
    let down = Duration::from_secs(1);
    let (seen, delivered, kept) = through_a_kill(
        "{system: redis-lists, keys: 1, consume: {mode: reliable}, broker: {appendonly: yes, appendfsync: always}}",
        down,
        crash,
        restart,
    );
    went_on_by_itself(&seen, down, down + Duration::from_secs(3));
    let mut found = delivered;
    found.extend(kept);
    nothing_acked_is_gone(&seen, &found);
}

#[test]
#[ignore = "needs a real redis-server"]
fn pubsub_goes_on_and_loses_what_nobody_was_there_for() {
    let (seen, delivered, _) = through_a_kill("{system: redis-pubsub}", Duration::from_secs(1), crash, restart);
    let doubtful = seen.count(Outcome::Indeterminate);
    assert!(doubtful < SLOTS as usize && seen.count(Outcome::Failed) == 0, "{:?}", seen.failures);
    assert!(delivered.values().all(|count| *count == 1));
    assert!(delivered.len() > seen.outcomes.len() / 2);
}

#[test]
#[ignore = "needs a real redis-server"]
fn a_stopped_redis_is_waited_for() {
    let act = |deed| move |broker: &mut dyn Broker| broker.act(0, deed).unwrap();
    // Longer than a client waits for one answer, so that it gives the connection up and tries again.
    let down = Duration::from_secs(13);
    let (seen, delivered, kept) = through_a_kill("{system: redis-streams}", down, act(Deed::Pause), act(Deed::Resume));
    // It answers nobody while it is stopped; the second is for what was answered, and not yet read, just before.
    went_on_by_itself(&seen, down - Duration::from_secs(1), down + Duration::from_secs(2));
    nothing_acked_is_gone(&seen, &kept);
    nothing_acked_is_gone(&seen, &delivered);
}

#[test]
#[ignore = "needs a real redis-server"]
fn sentinels_lead_the_clients_to_the_new_primary() {
    let act = |deed| move |broker: &mut dyn Broker| broker.act(0, deed).unwrap();
    let (seen, delivered, kept) = through_a_kill(
        "{system: redis-streams, nodes: 3, sentinel: {down-after-milliseconds: 1000}}",
        Duration::from_secs(12),
        act(Deed::Kill),
        act(Deed::Start),
    );
    // Whatever was not replicated yet is gone: asynchronous replication promises no more. The load goes on.
    went_on_by_itself(&seen, Duration::from_millis(200), Duration::from_secs(60));
    let gone = |found: &BTreeMap<u32, u32>| {
        seen.outcomes.iter().filter(|(n, end)| **end == Outcome::Acked && !found.contains_key(n)).count()
    };
    eprintln!("acknowledged and gone: {}, not delivered: {}", gone(&kept), gone(&delivered));
    assert!(gone(&kept) < 2000);
}

#[test]
#[ignore = "needs Kafka"]
fn kafka_goes_on_after_a_kill_and_loses_nothing() {
    let down = Duration::from_secs(1);
    let (seen, delivered, kept) =
        through_a_kill("{system: kafka, topic: {partitions: 2}, client: {acks: all}}", down, crash, restart);
    went_on_by_itself(&seen, down, Duration::from_secs(28));
    nothing_acked_is_gone(&seen, &kept);
    nothing_acked_is_gone(&seen, &delivered);
}
