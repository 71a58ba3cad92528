//! Brokers of several nodes that are taken down, paused, cut off and started again one by one.
//! Needs Java, Maven (or `KAFKA_HOME`) and redis-server:
//! `cargo test --test live topologies:: -- --ignored --test-threads 1`

use crate::support::harness::{Harness, PART, exe};
use brokerbench::clock::Clock;
use brokerbench::driver::capability::ClusterView;
use brokerbench::driver::{self, Driver, Outcome, Outgoing};
use brokerbench::environment::{Broker, Environment, Native, NodeAction, NodeRole, usage};
use brokerbench::fault::proxy::Condition;
use brokerbench::scenario::{self, Cell, Overrides};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
const STALL: Condition = Condition::Stall;
const SET: &str = "redis-streams: {nodes: 3, sentinel: {down-after-milliseconds: 3000}}";
const KAFKA: &str = "kafka: {nodes: 3, topic: {partitions: 3, replicas: 1}}";

fn cell(systems: &str, proxied: bool) -> Cell {
    let text = format!(
        "schema: 1\nname: t\nquestion: Q?\nprimary: goodput\nsystems:\n  {systems}\n\
         load: {{model: closed, messages: 100}}\nmessage: {{size: 100B}}\n"
    );
    let scenario = scenario::from_text("t", &text, &Overrides::default()).unwrap();
    let mut cell = scenario.cells().remove(0);
    cell.config.proxied = proxied;
    cell
}

fn open(cell: &Cell, broker: &dyn Broker) -> Box<dyn Driver> {
    driver::open(cell, broker.target("live", Clock::start())).unwrap()
}

/// Asks again until it is so, and says how long that took; panics when it never is.
fn within<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(found) => {
                eprintln!("{what} after {:.2?}", begun.elapsed());
                return found;
            }
            Err(why) => {
                assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}: {why}")
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn leader_other_than(cluster: &mut dyn ClusterView, old: &str) -> Result<String, String> {
    match cluster.leader(0) {
        Ok(leader) if leader != old => Ok(leader),
        Ok(leader) => Err(format!("{leader} still leads")),
        Err(error) => Err(error.to_string()),
    }
}

/// Who leads, once all the others say that they follow. Not who led a moment ago: Sentinel fails
/// over again when a busy machine keeps the new primary silent for as long as it may be.
fn leader_of(cluster: &mut dyn ClusterView, servers: &[String]) -> Result<String, String> {
    let leader = cluster.leader(0).map_err(|error| error.to_string())?;
    for server in servers {
        let role = redis(server, "INFO replication").map_err(|error| error.to_string())?;
        let wanted = if *server == leader { "role:master" } else { "role:slave" };
        if role != wanted {
            return Err(format!("{server}: {role}, {leader} leads"));
        }
    }
    Ok(leader)
}

fn follows(server: &str) -> Result<(), String> {
    match redis(server, "INFO replication") {
        Ok(role) if role == "role:slave" => Ok(()),
        found => Err(format!("{found:?}")),
    }
}

fn redundancy(cluster: &mut dyn ClusterView, wanted: (u32, u32)) -> Result<(), String> {
    match cluster.redundancy() {
        Ok(found) if found == wanted => Ok(()),
        found => Err(format!("{found:?}")),
    }
}

fn index_of(broker: &mut dyn Broker, advertised: &str) -> usize {
    broker
        .faultable()
        .unwrap()
        .nodes()
        .iter()
        .position(|node| node.advertised == advertised)
        .unwrap()
}

/// One command and the first line of its reply, or the third where the first is a length: what
/// `INFO` says below its title.
fn redis(address: &str, words: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{words}\r\n").as_bytes())?;
    let mut reply = [0; 256];
    let read = stream.read(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply[..read]);
    let line = if reply.starts_with('$') { 2 } else { 0 };
    Ok(reply.lines().nth(line).unwrap_or_default().to_owned())
}

/// As in `/proc/<pid>/stat`.
fn states(pid: u32) -> Vec<char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let state = |stat: String| stat.rsplit_once(") ").unwrap().1.chars().next().unwrap();
    threads
        .map(|thread| state(std::fs::read_to_string(thread.path().join("stat")).unwrap()))
        .collect()
}

#[test]
#[ignore = "needs real brokers"]
fn a_replica_takes_over_and_the_old_primary_comes_back_as_one() {
    let cell = cell(SET, false);
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    eprintln!("the set is whole after {:.1} s", broker.started_in_ns().unwrap() as f64 / 1e9);
    let nodes = broker.faultable().unwrap().nodes();
    assert_eq!(
        nodes.iter().filter(|node| node.role == NodeRole::Sentinel).count(),
        3,
        "{nodes:#?}"
    );
    assert_eq!(
        (broker.addresses().len(), broker.routes().sentinels.len(), broker.pids().len()),
        (3, 3, 6)
    );
    let driver = open(&cell, broker.as_ref());
    driver.prepare().unwrap();
    let mut cluster = driver.cluster().unwrap();
    let first = cluster.leader(0).unwrap();
    assert_eq!(first, broker.addresses()[0]);
    assert_eq!(cluster.redundancy().unwrap(), (3, 3));
    let settings = driver.describe().unwrap().broker_config;
    assert_eq!(settings["sentinel.down-after-milliseconds"], "3000", "{settings:#?}");
    assert_eq!(settings["sentinel.failover-timeout"], "180000", "stock");
    assert_eq!(cluster.set("maxmemory", "100mb").unwrap(), "0");
    assert_eq!(cluster.set("maxmemory", "0").unwrap(), "104857600");

    broker.faultable().unwrap().act(0, NodeAction::Kill).unwrap();
    assert_eq!((broker.faultable().unwrap().nodes()[0].pid, broker.pids().len()), (0, 5));
    broker.check().expect("a death that was meant is none");
    within("another leads", || leader_other_than(cluster.as_mut(), &first));
    // Whoever leads now has one replica at most.
    within("one copy is missing", || redundancy(cluster.as_mut(), (2, 3)));
    broker.faultable().unwrap().act(0, NodeAction::Start).unwrap();
    assert_ne!(broker.faultable().unwrap().nodes()[0].pid, 0);
    within("the old one follows", || follows(&first));
    within("all copies are there again", || redundancy(cluster.as_mut(), (3, 3)));
    let second =
        within("one leads and two follow", || leader_of(cluster.as_mut(), &broker.addresses()));

    // Paused: every thread stands, it is no death, and an orderly end reaches it all the same.
    let index = index_of(broker.as_mut(), &second);
    let pid = broker.faultable().unwrap().nodes()[index].pid;
    broker.faultable().unwrap().act(index, NodeAction::Pause).unwrap();
    assert!(states(pid).iter().all(|state| *state == 'T'), "{:?}", states(pid));
    broker.check().unwrap();
    within("another leads", || leader_other_than(cluster.as_mut(), &second));
    broker.faultable().unwrap().act(index, NodeAction::Resume).unwrap();
    assert!(states(pid).iter().all(|state| *state != 'T'), "{:?}", states(pid));
    within("the paused one follows", || follows(&second));
    within("all copies are there again", || redundancy(cluster.as_mut(), (3, 3)));
    within("one leads and two follow", || leader_of(cluster.as_mut(), &broker.addresses()));
    broker.faultable().unwrap().act(index, NodeAction::Pause).unwrap();
    broker.faultable().unwrap().act(index, NodeAction::Stop).unwrap();
    assert!(usage(pid).is_none());
    broker.faultable().unwrap().act(index, NodeAction::Start).unwrap();
    (0..6).for_each(|index| broker.faultable().unwrap().act(index, NodeAction::Kill).unwrap());
    assert!(broker.pids().is_empty());
    broker.faultable().unwrap().restart().unwrap();
    assert_eq!(broker.pids().len(), 6);
    broker.faultable().unwrap().act(1, NodeAction::Pause).unwrap();
    let pids = broker.pids();
    drop(broker);
    assert!(pids.iter().all(|pid| usage(*pid).is_none()), "a paused one goes with the others");
}

#[test]
#[ignore = "needs real brokers"]
fn a_primary_cut_off_from_the_others_goes_on_serving_clients() {
    let cell = cell(SET, true);
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    let nodes = broker.faultable().unwrap().nodes();
    assert!(
        nodes.iter().all(|node| (node.role == NodeRole::Data) == (node.address != node.advertised)),
        "{nodes:#?}"
    );
    let driver = open(&cell, broker.as_ref());
    driver.prepare().unwrap();
    let mut cluster = driver.cluster().unwrap();
    let first = cluster.leader(0).unwrap();
    assert_eq!(
        (first.as_str(), index_of(broker.as_mut(), &first)),
        (broker.addresses()[0].as_str(), 0)
    );
    let addresses = broker.addresses();
    let faultable = broker.faultable().unwrap();
    let (clients, links) = (faultable.proxy(0).unwrap(), faultable.links(0));
    assert!(clients.counters().to_upstream > 0, "{:?}", clients.counters());
    assert!(
        faultable.proxy(3).is_none() && faultable.links(3).is_empty(),
        "nothing stands before a Sentinel"
    );

    // The clients' way alone: nobody is promoted, and questions past it are answered.
    clients.apply(STALL).unwrap();
    assert!(redis(&first, "PING").is_err());
    assert_eq!(cluster.redundancy().unwrap(), (3, 3));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(cluster.leader(0).unwrap(), first);
    clients.revert().unwrap();
    assert_eq!(redis(&first, "PING").unwrap(), "+PONG");

    // The others' way alone.
    links[0].apply(STALL).unwrap();
    let second = within("another leads", || leader_other_than(cluster.as_mut(), &first));
    assert!(addresses.contains(&second), "clients are sent through their proxy: {second}");
    assert_eq!(redis(&first, "SET k lost").unwrap(), "+OK", "two primaries");
    assert_eq!(redis(&second, "SET k kept").unwrap(), "+OK");
    links[0].revert().unwrap();
    within("the old one follows", || redundancy(cluster.as_mut(), (3, 3)));
    assert!(redis(&first, "SET k no").unwrap().starts_with("-READONLY"));
}

#[test]
#[ignore = "needs real brokers"]
fn partitions_with_one_copy_are_spread_and_go_with_their_node() {
    let cell = cell(KAFKA, false);
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    let driver = open(&cell, broker.as_ref());
    driver.prepare().unwrap();
    let mut cluster = driver.cluster().unwrap();
    let leaders: Vec<String> = (0..3).map(|partition| cluster.leader(partition).unwrap()).collect();
    let mut sorted = (leaders.clone(), broker.addresses());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1, "one partition on each node");
    assert_eq!(cluster.redundancy().unwrap(), (3, 3));

    let controller = cluster.controller().unwrap();
    let index = index_of(broker.as_mut(), &controller);
    let orphan = leaders.iter().position(|leader| *leader == controller).unwrap() as u16;
    broker.faultable().unwrap().act(index, NodeAction::Kill).unwrap();
    broker.check().unwrap();
    within("another controls", || match cluster.controller() {
        Ok(found) if found != controller => Ok(()),
        found => Err(format!("{found:?}")),
    });
    within("its partition is known to be gone", || redundancy(cluster.as_mut(), (2, 3)));
    assert!(cluster.leader(orphan).is_err());
    broker.faultable().unwrap().act(index, NodeAction::Start).unwrap();
    within("all are led again", || redundancy(cluster.as_mut(), (3, 3)));
    within("by the same node", || match cluster.leader(orphan) {
        Ok(leader) if leader == controller => Ok(()),
        found => Err(format!("{found:?}")),
    });
    let pid = broker.faultable().unwrap().nodes()[index].pid;
    broker.faultable().unwrap().act(index, NodeAction::Pause).unwrap();
    assert!(
        states(pid).len() > 10 && states(pid).iter().all(|state| *state == 'T'),
        "{:?}",
        states(pid)
    );
    broker.stop().unwrap();
    assert!(usage(pid).is_none());
}

#[test]
#[ignore = "needs real brokers"]
fn clients_of_kafka_and_its_nodes_pass_through_proxies_of_their_own() {
    let keys = "kafka: {nodes: 3, topic: {partitions: 3, replicas: 3}}";
    let cell = cell(keys, true);
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell.config).unwrap();
    let driver = open(&cell, broker.as_ref());
    driver.prepare().unwrap();
    let mut cluster = driver.cluster().unwrap();
    let leader = cluster.leader(0).unwrap();
    assert!(broker.addresses().contains(&leader), "{leader}");
    for index in 0..3 {
        let carried = broker.faultable().unwrap().links(index);
        let carried = carried.iter().map(|link| link.counters().to_upstream).collect::<Vec<_>>();
        assert_eq!(carried.len(), 8, "brokers and controllers, to two others and back");
        assert!(carried.iter().filter(|bytes| **bytes > 0).count() >= 4, "{carried:?}");
        broker.faultable().unwrap().proxy(index).unwrap().apply(STALL).unwrap();
    }
    let leading = index_of(broker.as_mut(), &leader);
    let passed = broker.faultable().unwrap().proxy(leading).unwrap().counters();
    assert!(passed.to_upstream > 0, "{passed:?}");
    assert_eq!(cluster.redundancy().unwrap(), (9, 9), "asked past the proxies");
    assert!(driver.describe().is_err(), "a client is cut off");
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(cluster.redundancy().unwrap(), (9, 9), "nobody was fenced");
    for index in 0..3 {
        broker.faultable().unwrap().proxy(index).unwrap().revert().unwrap();
    }
    within("clients are back", || driver.describe().map(drop).map_err(|error| error.to_string()));
}

/// Asks the primary for its copies, and says so where they do not answer.
#[test]
#[ignore = "needs real brokers"]
fn a_message_is_in_doubt_while_no_replica_confirms_it() {
    for (wait, failed) in [
        ("wait: 1", "WAIT: 0 of 1 replicas within 4s"),
        (
            "broker: {appendonly: 'yes'}, wait-aof: {local: 1, replicas: 1}",
            "WAITAOF: 1 of 1 own files and 0 of 1 replicas' files within 4s",
        ),
    ] {
        let cell = cell(&format!("redis-streams: {{nodes: 3, {wait}}}"), false);
        let mut native = Native::new(exe());
        let mut broker = native.start(&cell.config).unwrap();
        let clock = Clock::start();
        let driver = driver::open(&cell, broker.target("live", clock)).unwrap();
        match driver.prepare() {
            Err(error) if error.to_string().contains("came with Redis 7.2") => {
                eprintln!("{wait}: not tried: {error}");
                broker.stop().unwrap();
                continue;
            }
            prepared => prepared.unwrap(),
        }
        let class = driver.survives();
        assert!(class.node_loss && class.nearly && class.copies == 2, "{class:?}");
        let mut publisher = driver.publisher(0).unwrap();
        let mut publish = || {
            let message = Outgoing { slot: 0, connection: 0, partition: 0, payload: b"x" };
            publisher.submit(message).unwrap();
            publisher.flush().unwrap();
            let (mut ended, deadline) = (vec![], clock.now_ns() + 20_000_000_000);
            while ended.is_empty() && clock.now_ns() < deadline {
                publisher.wait(deadline, &mut ended).unwrap();
            }
            (ended.first().map(|end| end.outcome), publisher.failures())
        };
        assert_eq!(publish().0, Some(Outcome::Acked), "{wait}");
        let mut act = |deed| {
            for replica in [1, 2] {
                broker.faultable().unwrap().act(replica, deed).unwrap();
            }
        };
        act(NodeAction::Pause);
        let (outcome, failures) = publish();
        assert_eq!(outcome, Some(Outcome::Indeterminate), "{wait}");
        assert_eq!(failures.get(failed), Some(&1), "{failures:?}");
        act(NodeAction::Resume);
        within("a replica confirms", || match publish() {
            (Some(Outcome::Acked), _) => Ok(()),
            found => Err(format!("{found:?}")),
        });
        broker.stop().unwrap();
    }
}

/// Not a test of its own: the part of the harness that is about to die.
#[test]
#[ignore = "played in another process"]
fn the_part_of_the_harness() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let mut native = Native::new(exe());
    let mut broker = native.start(&cell(SET, true).config).unwrap();
    broker.faultable().unwrap().act(0, NodeAction::Pause).unwrap();
    broker.faultable().unwrap().act(4, NodeAction::Pause).unwrap();
    println!("\nready ");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
#[ignore = "needs real brokers"]
fn nothing_paused_is_left_of_a_killed_harness() {
    let mut harness = Harness::start(module_path!());
    harness.await_line("ready ");
    harness.kill();
    eprintln!("clean after {:.2?}", harness.clean_within(PATIENCE));
}
