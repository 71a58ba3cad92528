//! How fast the Redis publisher is beside `redis-benchmark`, on the same server, connections and
//! pipeline depth.
//!
//! `cargo bench --bench redis_driver`: medians of five alternating runs and their ratio. It
//! measures the driver with a stamp before each hand-over and a histogram record after each reply,
//! as the engine does; not the engine. `REFLECTOR=1` adds the driver against its loopback
//! reflector: what the path costs without Redis.

#[path = "../tests/support/redis.rs"]
mod support;

use brokerbench::access::Access;
use brokerbench::clock::Clock;
use brokerbench::driver::{
    Driver, Outcome, Outgoing, Reflector, Routes, Submitted, Target, open, reflector,
};
use brokerbench::model::System;
use brokerbench::scenario::Cell;
use hdrhistogram::Histogram;
use std::process::Command;
use support::{RedisServer, cell};

const RUNS: usize = 5;
const CONNECTIONS: u16 = 10;
const SYSTEMS: [System; 3] = [System::RedisPubsub, System::RedisStreams, System::RedisLists];

fn main() {
    let server = RedisServer::start(&[]);
    let floor = std::env::var_os("REFLECTOR").map(|_| reflector(System::RedisPubsub).unwrap());
    let only = std::env::var("ONLY").unwrap_or_default();
    println!(
        "{:<14} {:>5}  {:>12} {:>15} {:>6}  {:>12}",
        "system", "depth", "driver", "redis-benchmark", "ratio", "reflector"
    );
    for depth in [1u32, 16] {
        for system in
            SYSTEMS.into_iter().filter(|system| format!("{system}-{depth}").contains(&only))
        {
            let mut cell = cell(system, CONNECTIONS, depth);
            cell.config.maxlen = (system == System::RedisStreams).then_some(100_000);
            let messages = if depth == 1 { 300_000 } else { 2_000_000 };
            let (mut ours, mut theirs, mut floors) = (vec![], vec![], vec![]);
            for _ in 0..RUNS {
                let clock = Clock::start();
                ours.push(closed_loop(&cell, server.driver(&cell, clock), clock, messages));
                theirs.push(redis_benchmark(&server, system, depth, messages));
                floors.extend(
                    floor.as_ref().map(|floor| on_reflector(&cell, floor.as_ref(), messages)),
                );
            }
            let (ours, theirs) = (median(ours), median(theirs));
            let floor =
                if floors.is_empty() { "".into() } else { format!("{:.0}", median(floors)) };
            println!(
                "{system:<14} {depth:>5}  {ours:>12.0} {theirs:>15.0} {:>6.2}  {floor:>12}",
                ours / theirs
            );
        }
    }
}

fn on_reflector(cell: &Cell, floor: &dyn Reflector, messages: u64) -> f64 {
    let clock = Clock::start();
    let target = Target {
        addresses: floor.addresses(),
        routes: Routes::default(),
        access: Access::default(),
        name: "bench".into(),
        clock,
    };
    closed_loop(cell, open(cell, target).unwrap(), clock, messages)
}

/// Messages a second with every slot always in flight; a slot stays on its connection.
fn closed_loop(cell: &Cell, driver: Box<dyn Driver>, clock: Clock, messages: u64) -> f64 {
    driver.clean_up().unwrap();
    let mut publisher = driver.publisher(0).unwrap();
    let mut latencies = Histogram::<u64>::new_with_max(3_600_000_000_000, 3).unwrap();
    let mut sent_ns = vec![0u64; cell.load.in_flight as usize];
    let mut free: Vec<u32> = (0..cell.load.in_flight).collect();
    let (mut next, mut acked, mut completions) = (0u64, 0u64, vec![]);
    let mut payload = [b'x'; 100];
    let started = clock.now_ns();
    while acked < messages {
        for slot in free.drain(..) {
            if next == messages {
                break;
            }
            payload[..8].copy_from_slice(&next.to_le_bytes());
            sent_ns[slot as usize] = clock.now_ns();
            let connection = (slot % u32::from(CONNECTIONS)) as u16;
            let submitted = publisher
                .submit(Outgoing { slot, connection, payload: &payload, ..Outgoing::default() })
                .unwrap();
            assert_eq!(submitted, Submitted::Taken);
            next += 1;
        }
        publisher.flush().unwrap();
        publisher.wait(clock.now_ns() + 5_000_000_000, &mut completions).unwrap();
        for completion in completions.drain(..) {
            assert_eq!(completion.outcome, Outcome::Acked);
            latencies.saturating_record(completion.at_ns - sent_ns[completion.slot as usize]);
            free.push(completion.slot);
            acked += 1;
        }
    }
    let rate = messages as f64 / ((clock.now_ns() - started) as f64 / 1e9);
    driver.clean_up().unwrap();
    rate
}

fn redis_benchmark(server: &RedisServer, system: System, depth: u32, messages: u64) -> f64 {
    let payload = "x".repeat(100);
    let command: &[&str] = match system {
        System::RedisPubsub => &["publish", "peer"],
        System::RedisStreams => &["xadd", "peer", "MAXLEN", "~", "100000", "*", "d"],
        _ => &["lpush", "peer"],
    };
    let (port, depth, messages) =
        (server.port.to_string(), depth.to_string(), messages.to_string());
    let connections = CONNECTIONS.to_string();
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-c", &connections, "-P", &depth, "-n", &messages, "--csv"])
        .args(command)
        .arg(&payload)
        .output()
        .expect("redis-benchmark is on PATH");
    Command::new("redis-cli")
        .args(["-p", &port, "unlink", "peer"])
        .output()
        .expect("redis-cli is on PATH");
    let text = String::from_utf8_lossy(&output.stdout);
    // The second field of the last line, behind the quoted command: "name","rate",…
    let rate = text
        .lines()
        .last()
        .and_then(|line| line.rsplit("\",\"").nth(6))
        .and_then(|rate| rate.parse().ok());
    rate.unwrap_or_else(|| panic!("no rate in: {text}"))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
