//! Real brokers killed under load and started again: the clients go on by themselves, and every
//! message that was acknowledged is there. Needs redis-server, Java and Maven (or `KAFKA_HOME`):
//! `cargo test --test live failover:: -- --ignored --test-threads 1`

use crate::support::harness::exe;
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Driver, Incoming, Outcome, Outgoing, Submitted};
use brokerbench::environment::{Broker, Environment, Native, NodeAction};
use brokerbench::scenario::{self, Cell, Overrides};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;
const SLOTS: u32 = 4000;
/// So many acknowledgements show that the load goes on.
const ENOUGH: u32 = 10_000;
/// Whatever has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
/// 5,000 messages a second.
const GAP_NS: u64 = SECOND / 5000;

fn cell(systems: &str) -> Cell {
    let text = format!(
        "schema: 1\nname: t\nquestion: Q?\nprimary: goodput\nsystems: {{t: {systems}}}\n\
         load: {{model: open, rate: 5k/s, deadline: 100s, in-flight: {SLOTS}, connections: 2}}\n\
         message: {{size: 200B}}\n"
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
    /// When the broker was taken away and given back, ns.
    down_ns: [u64; 2],
    /// How often the publisher gave back the thread in between.
    looks_while_down: u32,
}

impl Seen {
    fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.values().filter(|found| **found == outcome).count()
    }

    fn longest_gap_ns(&self) -> u64 {
        let mut acked_ns = self.acked_ns.clone();
        acked_ns.sort_unstable();
        acked_ns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }
}

/// What the load and whoever disturbs it tell each other.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    down: AtomicBool,
    acked: AtomicU32,
}

/// Sends at the fixed rate until it is told to stop, then waits for every end.
fn load(cell: &Cell, driver: &dyn Driver, clock: Clock, told: &Told) -> Seen {
    let mut publisher = driver.publisher(0).unwrap();
    let (mut seen, mut completions) = (Seen::default(), vec![]);
    let (mut sent, mut of_slot) = (0u32, vec![0u32; SLOTS as usize]);
    let mut free: Vec<Vec<u32>> =
        (0..2).map(|c| (0..SLOTS).filter(|slot| slot % 2 == c).collect()).collect();
    let begun = clock.now_ns();
    let mut payload = [b'.'; 200];
    let mut until_ns = u64::MAX;
    while clock.now_ns() < until_ns {
        let now_ns = clock.now_ns();
        while !told.stop.load(Relaxed) && begun + u64::from(sent) * GAP_NS <= now_ns {
            let connection = sent % 2;
            let Some(slot) = free[connection as usize].pop() else { break };
            payload[..4].copy_from_slice(&sent.to_le_bytes());
            let partition = (sent / 2 % u32::from(cell.config.partitions())) as u16;
            let message =
                Outgoing { slot, connection: connection as u16, partition, payload: &payload };
            if publisher.submit(message).unwrap() == Submitted::Full {
                free[connection as usize].push(slot);
                break;
            }
            of_slot[slot as usize] = sent;
            sent += 1;
        }
        publisher.flush().unwrap();
        publisher.wait(clock.now_ns() + 1_000_000, &mut completions).unwrap();
        seen.looks_while_down += u32::from(told.down.load(Relaxed));
        for completion in completions.drain(..) {
            let number = of_slot[completion.slot as usize];
            assert!(seen.outcomes.insert(number, completion.outcome).is_none());
            if completion.outcome == Outcome::Acked {
                seen.acked_ns.push(completion.at_ns);
                told.acked.fetch_add(1, Relaxed);
            }
            free[(completion.slot % 2) as usize].push(completion.slot);
        }
        if told.stop.load(Relaxed) {
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

/// Until it is so. What never comes is told by what is asserted afterwards.
fn await_it(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Load, with a kill after two seconds and a start `down` later; how it ended, and what was
/// delivered and read back.
fn through_a_kill(
    systems: &str,
    down: Duration,
    kill: impl Fn(&mut dyn Broker),
    start: impl Fn(&mut dyn Broker),
) -> (Seen, BTreeMap<u32, u32>, BTreeMap<u32, u32>) {
    through(&cell(systems), down, |broker, _| kill(broker), |broker| start(broker))
}

/// Likewise, where whom to disturb is asked of the system.
fn through(
    cell: &Cell,
    down: Duration,
    kill: impl Fn(&mut dyn Broker, &dyn Driver),
    start: impl Fn(&mut dyn Broker),
) -> (Seen, BTreeMap<u32, u32>, BTreeMap<u32, u32>) {
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    let clock = Clock::start();
    let target = broker.target("live-failover", clock);
    let driver = driver::open(cell, target).unwrap();
    driver.prepare().unwrap();
    let (told, stop_consuming, last_delivered) =
        (Told::default(), AtomicBool::new(false), AtomicU32::new(0));
    let number = |payload: &[u8]| u32::from_le_bytes(payload[..4].try_into().unwrap());
    let (seen, delivered) = std::thread::scope(|scope| {
        let mut subscriber = driver.subscriber(0, 0).unwrap();
        let consuming = scope.spawn({
            let (stop, last_delivered) = (&stop_consuming, &last_delivered);
            move || {
                let mut delivered = BTreeMap::<u32, u32>::new();
                while !stop.load(Relaxed) {
                    let mut sink = |incoming: Incoming<'_>| {
                        *delivered.entry(number(incoming.payload)).or_default() += 1
                    };
                    subscriber.receive(clock.now_ns() + SECOND / 20, &mut sink).unwrap();
                    last_delivered
                        .store(delivered.keys().next_back().copied().unwrap_or(0), Relaxed);
                }
                let _ = subscriber.close();
                (delivered, subscriber.retries())
            }
        });
        let (driver, told) = (driver.as_ref(), &told);
        let loading = scope.spawn(move || load(cell, driver, clock, told));
        std::thread::sleep(Duration::from_secs(2));
        let killed_ns = clock.now_ns();
        kill(broker.as_mut(), driver);
        told.down.store(true, Relaxed);
        std::thread::sleep(down);
        told.down.store(false, Relaxed);
        start(broker.as_mut());
        let (started_ns, so_far) = (clock.now_ns(), told.acked.load(Relaxed));
        await_it(|| told.acked.load(Relaxed) > so_far + ENOUGH);
        told.stop.store(true, Relaxed);
        let mut seen = loading.join().unwrap();
        seen.down_ns = [killed_ns, started_ns];
        let last = seen.outcomes.keys().next_back().copied().unwrap_or(0);
        await_it(|| last_delivered.load(Relaxed) >= last);
        // What comes a second time comes behind it.
        std::thread::sleep(Duration::from_secs(1));
        stop_consuming.store(true, Relaxed);
        let (delivered, retries) = consuming.join().unwrap();
        eprintln!("consumer: {retries:?}");
        (seen, delivered)
    });
    let mut kept = BTreeMap::<u32, u32>::new();
    driver
        .audit(clock.now_ns() + 60 * SECOND, &mut |payload| {
            *kept.entry(number(payload)).or_default() += 1
        })
        .unwrap();
    eprintln!("{:?}", driver.describe().unwrap().broker_version);
    driver.clean_up().unwrap();
    broker.stop().unwrap();
    let (acked, failed, doubtful) = (
        seen.count(Outcome::Acked),
        seen.count(Outcome::Failed),
        seen.count(Outcome::Indeterminate),
    );
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
    let looks = seen.looks_while_down;
    eprintln!("{looks} looks while down; retries {:?}; failures {:?}", seen.retries, seen.failures);
    (seen, delivered, kept)
}

fn nothing_acked_is_gone(seen: &Seen, found: &BTreeMap<u32, u32>) {
    let gone = seen
        .outcomes
        .iter()
        .filter(|(number, end)| **end == Outcome::Acked && !found.contains_key(number));
    assert_eq!(gone.count(), 0);
    let phantom = seen
        .outcomes
        .iter()
        .filter(|(number, end)| **end == Outcome::Failed && found.contains_key(number));
    assert_eq!(phantom.count(), 0);
}

/// Nobody was answered while there was nobody to answer, and everybody afterwards, however long
/// that took.
fn went_on_by_itself(seen: &Seen, at_least: Duration) {
    let [killed_ns, started_ns] = seen.down_ns;
    let before = seen.acked_ns.iter().filter(|at| **at < killed_ns).count();
    let after = seen.acked_ns.iter().filter(|at| **at > started_ns).count();
    assert!(before > 0 && after > ENOUGH as usize / 2, "{before}, {after}: {:?}", seen.failures);
    assert_eq!(seen.count(Outcome::Acked), seen.outcomes.len(), "{:?}", seen.failures);
    let gap = Duration::from_nanos(seen.longest_gap_ns());
    assert!(gap >= at_least, "{gap:?}");
    assert!(!seen.retries.is_empty());
}

fn crash(broker: &mut dyn Broker) {
    broker.faultable().unwrap().act(0, NodeAction::Kill).unwrap();
}

fn restart(broker: &mut dyn Broker) {
    broker.faultable().unwrap().restart().unwrap();
}

#[test]
#[ignore = "needs a real redis-server"]
fn streams_go_on_after_a_kill_and_lose_nothing_that_was_synced() {
    let down = Duration::from_secs(2);
    let (seen, delivered, kept) = through_a_kill(
        "{system: redis-streams, broker: {appendonly: yes, appendfsync: always}}",
        down,
        crash,
        restart,
    );
    went_on_by_itself(&seen, down);
    nothing_acked_is_gone(&seen, &kept);
    nothing_acked_is_gone(&seen, &delivered);
    // One that waits inside for the broker comes back once or twice.
    assert!(seen.looks_while_down > 10, "{}", seen.looks_while_down);
}

#[test]
#[ignore = "needs a real redis-server"]
fn reliable_lists_go_on_after_a_kill() {
    let down = Duration::from_secs(1);
    let (seen, delivered, kept) = through_a_kill(
        "{system: redis-lists, keys: 1, consume: {mode: reliable}, \
          broker: {appendonly: yes, appendfsync: always}}",
        down,
        crash,
        restart,
    );
    went_on_by_itself(&seen, down);
    let mut found = delivered;
    found.extend(kept);
    nothing_acked_is_gone(&seen, &found);
}

#[test]
#[ignore = "needs a real redis-server"]
fn pubsub_goes_on_and_loses_what_nobody_was_there_for() {
    let (seen, delivered, _) =
        through_a_kill("{system: redis-pubsub}", Duration::from_secs(1), crash, restart);
    let doubtful = seen.count(Outcome::Indeterminate);
    assert!(doubtful <= SLOTS as usize && seen.count(Outcome::Failed) == 0, "{:?}", seen.failures);
    assert!(delivered.values().all(|count| *count == 1));
    assert!(
        delivered.last_key_value().map(|(number, _)| number)
            == seen.outcomes.last_key_value().map(|(number, _)| number)
    );
}

#[test]
#[ignore = "needs a real redis-server"]
fn a_stopped_redis_is_waited_for() {
    let act =
        |deed| move |broker: &mut dyn Broker| broker.faultable().unwrap().act(0, deed).unwrap();
    // Longer than a client waits for one answer,
    // so that it gives the connection up and tries again.
    let down = Duration::from_secs(13);
    let (seen, delivered, kept) = through_a_kill(
        "{system: redis-streams}",
        down,
        act(NodeAction::Pause),
        act(NodeAction::Resume),
    );
    // It answers nobody while it is stopped; the second is for what was answered, and not yet read,
    // just before.
    went_on_by_itself(&seen, down - Duration::from_secs(1));
    nothing_acked_is_gone(&seen, &kept);
    nothing_acked_is_gone(&seen, &delivered);
}

/// The primary of three nodes is killed and comes back; `keys` are more of the system's.
fn through_the_death_of_a_primary(keys: &str) -> (Seen, BTreeMap<u32, u32>, BTreeMap<u32, u32>) {
    let act =
        |deed| move |broker: &mut dyn Broker| broker.faultable().unwrap().act(0, deed).unwrap();
    through_a_kill(
        &format!(
            "{{system: redis-streams, nodes: 3, {keys}sentinel: {{down-after-milliseconds: 1000}}}}"
        ),
        Duration::from_secs(12),
        act(NodeAction::Kill),
        act(NodeAction::Start),
    )
}

#[test]
#[ignore = "needs a real redis-server"]
fn sentinels_lead_the_clients_to_the_new_primary() {
    let (seen, delivered, kept) = through_the_death_of_a_primary("");
    // Whatever was not replicated yet is gone: asynchronous replication promises no more. The load
    // goes on.
    went_on_by_itself(&seen, Duration::from_millis(200));
    let gone = |found: &BTreeMap<u32, u32>| {
        seen.outcomes
            .iter()
            .filter(|(n, end)| **end == Outcome::Acked && !found.contains_key(n))
            .count()
    };
    eprintln!("acknowledged and gone: {}, not delivered: {}", gone(&kept), gone(&delivered));
}

#[test]
#[ignore = "needs a real redis-server"]
fn what_a_replica_confirmed_outlives_its_primary() {
    let (seen, delivered, kept) = through_the_death_of_a_primary("wait: 1, ");
    went_on_by_itself(&seen, Duration::from_millis(200));
    nothing_acked_is_gone(&seen, &kept);
    nothing_acked_is_gone(&seen, &delivered);
}

/// Links of a leader, cut: it keeps its clients, and the others elect another.
fn cut_off(systems: &str, down: Duration) -> (Seen, BTreeMap<u32, u32>) {
    let mut cell = cell(systems);
    cell.config.proxied = true;
    let cut = |broker: &mut dyn Broker, driver: &dyn Driver| {
        let leader = driver.cluster().unwrap().leader(0).unwrap();
        let faultable = broker.faultable().unwrap();
        let index = faultable.nodes().iter().position(|node| node.advertised == leader).unwrap();
        let links = faultable.links(index);
        assert!(!links.is_empty());
        for link in links {
            link.cut().unwrap();
        }
    };
    let heal = |broker: &mut dyn Broker| {
        let faultable = broker.faultable().unwrap();
        let links = (0..3).flat_map(|index| faultable.links(index));
        links.for_each(|link| {
            link.mend().unwrap();
        });
    };
    let (seen, _, kept) = through(&cell, down, cut, heal);
    (seen, kept)
}

fn acked_and_gone(seen: &Seen, found: &BTreeMap<u32, u32>) -> usize {
    let acked = seen.outcomes.iter().filter(|(_, end)| **end == Outcome::Acked);
    acked.filter(|(number, _)| !found.contains_key(number)).count()
}

/// Longer than Kafka takes to see that a node is gone (9 s).
const CUT: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs Kafka"]
fn a_leader_of_kafka_that_is_cut_off_acknowledges_alone_what_is_gone_later() {
    let systems = "{system: kafka, nodes: 3, topic: {partitions: 1, replicas: 3}, \
                   client: {acks: 1}}";
    let (seen, kept) = cut_off(systems, CUT);
    let gone = acked_and_gone(&seen, &kept);
    eprintln!("acknowledged by the leader alone and gone: {gone}");
    assert!(gone > 0);
}

#[test]
#[ignore = "needs Kafka"]
fn a_leader_of_kafka_that_is_cut_off_acknowledges_nothing_that_needs_copies() {
    let systems = "{system: kafka, nodes: 3, client: {acks: all, enable.idempotence: true}, \
                   topic: {partitions: 1, replicas: 3, config: {min.insync.replicas: 2}}}";
    let (seen, kept) = cut_off(systems, CUT);
    nothing_acked_is_gone(&seen, &kept);
    // It hears that it has lost its followers only once it is told who leads now.
    let [cut_ns, healed_ns] = seen.down_ns;
    let gap = Duration::from_nanos(seen.longest_gap_ns());
    assert!(gap > Duration::from_secs(1), "{gap:?} between {cut_ns} and {healed_ns}");
    assert!(seen.count(Outcome::Acked) > ENOUGH as usize / 2);
}

#[test]
#[ignore = "needs Kafka"]
fn kafka_goes_on_after_a_kill_and_loses_nothing() {
    let down = Duration::from_secs(1);
    let (seen, delivered, kept) = through_a_kill(
        "{system: kafka, topic: {partitions: 2}, client: {acks: all}}",
        down,
        crash,
        restart,
    );
    went_on_by_itself(&seen, down);
    nothing_acked_is_gone(&seen, &kept);
    nothing_acked_is_gone(&seen, &delivered);
}
