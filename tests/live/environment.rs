//! The native environment with real brokers; needs Java, Maven (or `KAFKA_HOME`) and redis-server.
//! `cargo test --test live environment:: -- --ignored --test-threads 1`

use crate::support::harness::{Harness, PART, exe};
use brokerbench::access::{Around, targets_from_flags};
use brokerbench::environment::{
    Broker, Environment, EnvironmentError, External, Native, NodeAction, Wanted, checks, usage,
};
use brokerbench::model::System;
use brokerbench::scenario::SystemConfig;
use std::time::{Duration, Instant};

/// Whatever has not happened by then never will.
const LIMIT: Duration = Duration::from_secs(60);

fn start(native: &mut Native, system: System) -> Result<Box<dyn Broker>, EnvironmentError> {
    native.start(&SystemConfig::defaults(system))
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Until the kernel has ended every thread of it, which takes a loaded machine a while for those of
/// a JVM.
fn await_end(pid: u32) {
    let begun = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        if threads == 0 || threads == 1 && stat.contains(") Z ") {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{stat}");
        std::thread::sleep(Duration::from_millis(5));
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
    let _redis = start(&mut native, System::RedisStreams).unwrap();
    let _kafka = start(&mut native, System::Kafka).unwrap();
    println!("\nready ");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
#[ignore = "needs real brokers"]
fn nothing_is_left_of_a_harness_killed_at_any_moment() {
    // Moments from a sequence that fills the start (some four seconds)
    // evenly, whatever their number.
    for n in 1..=12 {
        let moment = Duration::from_secs_f64((f64::from(n) * 0.618_034).fract() * 5.0);
        let mut harness = Harness::start(module_path!());
        std::thread::sleep(moment);
        harness.kill();
        eprintln!("killed after {moment:.2?}: clean after {:.2?}", harness.clean_within(LIMIT));
    }
    let mut harness = Harness::start(module_path!());
    harness.await_line("ready ");
    harness.kill();
    eprintln!("killed when all was running: clean after {:.2?}", harness.clean_within(LIMIT));
}

#[test]
#[ignore = "needs real brokers"]
fn both_brokers_start_answer_and_go() {
    let mut native = Native::new(exe());
    for system in [System::Kafka, System::RedisStreams, System::Kafka] {
        let begun = Instant::now();
        let mut broker = start(&mut native, system).unwrap();
        let (pid, folder) = (broker.pids()[0], broker.data_dir().unwrap());
        let used = usage(pid).unwrap();
        let own = Duration::from_nanos(broker.started_in_ns().unwrap());
        eprintln!(
            "{system}: ready after {:.2?}, of which its process {own:.2?}; {used:?}",
            begun.elapsed()
        );
        assert!(used.rss_bytes > 1 << 20 && own <= begun.elapsed());
        broker.check().unwrap();
        assert!(!broker.log_tail(5).is_empty());

        // The same broker as one that somebody else runs.
        let address = broker.addresses().remove(0);
        let url = format!("redis://{address}");
        let around = Around { remote: false, variable: &|_| None };
        let mut external =
            External::new(targets_from_flags(Some(&address), Some(&url), &around).unwrap());
        let foreign = external.start(&SystemConfig::defaults(system)).unwrap();
        foreign.stop().unwrap();
        broker.check().unwrap();

        broker.stop().unwrap();
        assert!(usage(pid).is_none() && !folder.exists());
        assert!(external.start(&SystemConfig::defaults(system)).is_err());
    }
    let folder = native.janitor().unwrap().folder().to_owned();
    drop(native);
    assert!(!folder.exists());
}

#[test]
#[ignore = "needs real brokers"]
fn the_death_of_a_broker_is_noticed_with_its_last_words() {
    let mut native = Native::new(exe());
    let mut broker = start(&mut native, System::RedisLists).unwrap();
    let pid = broker.pids()[0];
    kill(pid);
    await_end(pid);
    let error = broker.check().unwrap_err();
    assert!(matches!(error, EnvironmentError::Died { .. }), "{error}");
    assert!(error.to_string().contains("Ready to accept connections"), "{error}");
}

#[test]
#[ignore = "needs real brokers"]
fn a_broker_comes_back_after_a_crash_and_after_an_orderly_end() {
    let mut native = Native::new(exe());
    for system in [System::RedisLists, System::Kafka] {
        let mut broker = start(&mut native, system).unwrap();
        let (addresses, first) = (broker.addresses(), broker.pids());
        broker.faultable().unwrap().act(0, NodeAction::Kill).unwrap();
        assert!(usage(first[0]).is_none(), "gone");
        broker.check().unwrap();
        let begun = Instant::now();
        broker.faultable().unwrap().restart().unwrap();
        eprintln!("{system}: answers again after {:.2?}", begun.elapsed());
        assert_ne!(broker.pids(), first);
        let begun = Instant::now();
        broker.faultable().unwrap().restart().unwrap();
        eprintln!("{system}: ended and answers again after {:.2?}", begun.elapsed());
        assert_eq!(broker.addresses(), addresses);
        broker.check().unwrap();
        let pid = broker.pids()[0];
        kill(pid);
        await_end(pid);
        assert!(broker.check().is_err(), "a death that nobody asked for is still one");
    }
}

#[test]
#[ignore = "needs real brokers"]
fn real_brokers_die_with_a_killed_janitor() {
    let mut native = Native::new(exe());
    let mut brokers =
        [System::RedisLists, System::Kafka].map(|system| start(&mut native, system).unwrap());
    let pids = brokers.each_ref().map(|broker| broker.pids()[0]);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pids[0])).unwrap();
    kill(stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap());
    let begun = Instant::now();
    while pids.iter().any(|pid| usage(*pid).is_some_and(|usage| usage.rss_bytes > 0)) {
        assert!(begun.elapsed() < LIMIT, "a broker lives on without its janitor");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(brokers.iter_mut().all(|broker| broker.check().is_err()));
    // The next start has a new janitor.
    start(&mut native, System::RedisLists).unwrap().check().unwrap();
}

#[test]
#[ignore = "needs real brokers"]
fn a_setting_that_the_broker_refuses_is_in_the_error() {
    let mut native = Native::new(exe());
    for (system, key, value, words) in [
        (System::Kafka, "num.io.threads", "many", "num.io.threads"),
        (System::RedisLists, "maxmemory-policy", "nonsense", "maxmemory-policy"),
    ] {
        let mut config = SystemConfig::defaults(system);
        config.broker.insert(key.into(), value.into());
        let error = native.start(&config).err().unwrap();
        assert!(matches!(error, EnvironmentError::DidNotStart { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        eprintln!("{error}\n");
    }
}

#[test]
#[ignore = "needs real brokers"]
fn the_doctor_finds_what_it_takes() {
    for check in checks(Wanted { native: true, ..Wanted::default() }) {
        eprintln!("{check:?}");
        assert_ne!(check.level, brokerbench::environment::Level::Fail, "{check:?}");
    }
}
