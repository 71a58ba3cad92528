//! brokerbench beside the load generators that Kafka and Redis bring along: same broker, same
//! settings, alternating runs, one table of medians with the goals. `scripts/peers` prepares what
//! it needs and runs it.
//!
//! Our side is the engine itself with everything on (envelope, checksum, stamps, histograms,
//! ledger, audit), proven complete by its own books after each run, or the run does not count and
//! this program ends with an error. A client's CPU is that of its whole process: ours from
//! connecting to the last answer, a peer's from start to exit.

mod bare;
mod ours;
mod quiet;
mod table;
mod theirs;

use brokerbench::environment::{Broker, Environment, Native};
use brokerbench::model::System;
use brokerbench::scenario::{Cell, Pacer};
use brokerbench::units::Bytes;
use ours::{Measured, cell, open_loop, topic};
use quiet::{FOREIGN, Quiet};
use std::error::Error;
use std::path::PathBuf;
use table::{Goal, Table};
use theirs::{Peer, kafka_perf, redis_benchmark};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Redis alone: connections of one producer, as `redis-benchmark -c`.
const CONNECTIONS: u16 = 10;
const REDIS: [System; 3] = [System::RedisPubsub, System::RedisStreams, System::RedisLists];

/// Messages a second, and bytes of each, at which Pub/Sub is paced beside a bare loop.
const BARE_RATES: [u64; 4] = [1_000, 10_000, 50_000, 100_000];
const BARE_SIZE: u64 = 1024;

struct Bench {
    runs: usize,
    only: String,
    /// Folder with the jars of Kafka's tools.
    tools: PathBuf,
    table: Table,
    /// Names topics and keys.
    started: u32,
    /// Runs done again because other programs were at work, and runs kept although they were.
    repeated: usize,
    disturbed: usize,
}

/// How often a disturbed run is done again.
const REPEATS: usize = 5;

fn main() -> Fallible<()> {
    let Some(tools) = std::env::var_os("BROKERBENCH_KAFKA_TOOLS").map(PathBuf::from) else {
        println!("peers: run scripts/peers, which fetches the tools to compare with");
        return Ok(());
    };
    let mut bench = Bench {
        runs: 5,
        only: String::new(),
        tools,
        table: Table::default(),
        started: 0,
        repeated: 0,
        disturbed: 0,
    };
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument}: a value is missing"))?;
        match argument.as_str() {
            "--runs" => bench.runs = value.parse::<usize>()?.max(1),
            "--only" => bench.only = value,
            _ => return Err(format!("{argument}: not known; write --runs N or --only TEXT").into()),
        }
    }
    let mut environment = Native::new(env!("CARGO_BIN_EXE_brokerbench").into());
    bench.kafka(&mut environment)?;
    bench.redis(&mut environment)?;
    for warning in environment.warnings() {
        println!("note: {warning}");
    }
    println!("{}", bench.table.text(bench.runs));
    println!(
        "others on the machine above {:.0} %: {} runs repeated, {} kept after {REPEATS} repeats",
        FOREIGN * 100.0,
        bench.repeated,
        bench.disturbed
    );
    Ok(())
}

impl Bench {
    fn kafka(&mut self, environment: &mut Native) -> Fallible<()> {
        let workloads: Vec<(u64, u64, &str)> = [(100, 5_000_000), (1024, 1_000_000)]
            .iter()
            .flat_map(|(b, n)| ["1", "all"].map(|a| (*b, *n, a)))
            .collect();
        let name = |size: u64, acks: &str| format!("kafka produce {size} B acks={acks}");
        let both = "kafka publish+consume 100 B";
        let wanted = workloads.iter().any(|(size, _, acks)| self.wants(&name(*size, acks)));
        if !wanted && !self.wants(both) && !self.wants("kafka paced") {
            return Ok(());
        }
        let mut started = environment.start(&cell(System::Kafka, 100).config)?;
        let broker = started.as_mut();
        // A fresh broker's compiler is nobody's figure.
        let warm = Cell {
            load: counted(&cell(System::Kafka, 100), 3_000_000, 1),
            ..cell(System::Kafka, 100)
        };
        self.once(&warm, broker)?;

        for (size, messages, acks) in workloads {
            let name = name(size, acks);
            if !self.wants(&name) {
                continue;
            }
            let mut cell = cell(System::Kafka, size);
            cell.config.client.insert("acks".into(), acks.into());
            cell.load = counted(&cell, messages, 0);
            let tools = self.tools.clone();
            let (ours, theirs) = self.alternate(&name, &cell, broker, |topic, address| {
                kafka_perf(&tools, address, topic, messages, size, acks)
            })?;
            self.side_by_side(&name, "kafka-producer-perf-test", &ours, &theirs, 1.6, Some(0.5));
        }
        if self.wants(both) {
            let mut cell = cell(System::Kafka, 100);
            cell.load = counted(&cell, 5_000_000, 1);
            self.alone(both, &cell, broker, Some(2.2))?;
        }
        self.paced(System::Kafka, broker)?;
        started.stop()?;
        Ok(())
    }

    fn redis(&mut self, environment: &mut Native) -> Fallible<()> {
        let produce = |system: System, depth: u32| {
            let command = match system {
                System::RedisPubsub => "PUBLISH",
                System::RedisStreams => "XADD",
                _ => "LPUSH",
            };
            format!("{command} 100 B pipeline {depth}")
        };
        let both = |system: System| format!("{system} publish+consume 100 B");
        // What an application gets that uses the `redis` crate.
        let by_library = |system: System| format!("{} by redis-rs", both(system));
        for system in REDIS {
            let wanted = [
                produce(system, 1),
                produce(system, 16),
                by_library(system),
                format!("{system} paced"),
            ];
            if !wanted.iter().any(|name| self.wants(name) || self.only.starts_with(name.as_str())) {
                continue;
            }
            let mut started = environment.start(&cell(system, 100).config)?;
            let broker = started.as_mut();
            for (depth, messages) in [(1, 500_000), (16, 3_000_000)] {
                let name = produce(system, depth);
                if !self.wants(&name) {
                    continue;
                }
                let mut cell = cell(system, 100);
                cell.config.maxlen = (system == System::RedisStreams).then_some(100_000);
                cell.load = counted(&cell, messages, 0);
                cell.load.connections = CONNECTIONS;
                cell.load.in_flight = u32::from(CONNECTIONS) * depth;
                cell.load.batch = cell.load.in_flight;
                let (ours, theirs) = self.alternate(&name, &cell, broker, |key, address| {
                    redis_benchmark(
                        system,
                        address,
                        &format!("{key}-0"),
                        CONNECTIONS,
                        depth,
                        messages,
                    )
                })?;
                self.side_by_side(&name, "redis-benchmark", &ours, &theirs, 0.9, None);
            }
            if self.wants(&both(system)) {
                let mut cell = cell(system, 100);
                cell.load = counted(&cell, 3_000_000, 1);
                self.alone(&both(system), &cell, broker, None)?;
            }
            if self.wants(&by_library(system)) {
                let mut cell = cell(system, 100);
                cell.load = counted(&cell, 1_000_000, 1);
                cell.config.client.insert("library".into(), "redis-rs".into());
                self.alone(&by_library(system), &cell, broker, None)?;
            }
            self.paced(system, broker)?;
            started.stop()?;
        }
        Ok(())
    }

    /// Schedule lag and the offered rate, publishing and consuming; for Pub/Sub beside a bare loop.
    fn paced(&mut self, system: System, broker: &mut dyn Broker) -> Fallible<()> {
        let with_bare_loop = system == System::RedisPubsub;
        let rates = if with_bare_loop { &BARE_RATES[..] } else { &[10_000, 100_000] };
        for &rate in rates {
            let name = format!("{system} paced {}k/s", rate / 1000);
            if !self.wants(&name) {
                continue;
            }
            let mut cell = cell(system, if with_bare_loop { BARE_SIZE } else { 100 });
            cell.load = open_loop(&cell.load, rate);
            let runs = if with_bare_loop {
                self.beside_bare_loop(&name, &cell, rate, broker)?
            } else {
                (0..self.runs).map(|_| self.run(&cell, broker)).collect::<Fallible<Vec<_>>>()?
            };
            let figure = |pick: fn(&Measured) -> f64| runs.iter().map(pick).collect::<Vec<_>>();
            let slow = rate == 10_000;
            let goal = |limit: f64| if slow { Goal::AtMost(limit) } else { Goal::None };
            self.table.alone(&name, "schedule lag p50, µs", figure(|run| run.lag_us.0), goal(60.0));
            self.table.alone(
                &name,
                "schedule lag p99, µs",
                figure(|run| run.lag_us.1),
                goal(2000.0),
            );
            self.table.alone(
                &name,
                "off the offered rate, %",
                figure(|run| run.off_rate_percent),
                Goal::AtMost(0.5),
            );
        }
        if with_bare_loop {
            self.spinning(system, broker)?;
        }
        Ok(())
    }

    /// The pacing thread alone, never asleep: with nobody to receive it takes no more cores than a
    /// small machine has beside the broker's.
    fn spinning(&mut self, system: System, broker: &mut dyn Broker) -> Fallible<()> {
        let name = format!("{system} paced 10k/s, publish only, pacer: spin");
        if !self.wants(&name) {
            return Ok(());
        }
        let mut cell = cell(system, BARE_SIZE);
        cell.load = open_loop(&cell.load, 10_000);
        (cell.load.pacer, cell.load.subscriptions) = (Pacer::Spin, 0);
        let runs = (0..self.runs).map(|_| self.run(&cell, broker)).collect::<Fallible<Vec<_>>>()?;
        let lags = runs.iter().map(|run| run.lag_us.0).collect();
        self.table.alone(&name, "schedule lag p50, µs", lags, Goal::AtMost(5.0));
        Ok(())
    }

    /// The client's CPU, system calls and context switches a message, ours beside the least that a
    /// client can do.
    fn beside_bare_loop(
        &mut self,
        name: &str,
        cell: &Cell,
        rate: u64,
        broker: &mut dyn Broker,
    ) -> Fallible<Vec<Measured>> {
        let seconds = (cell.load.warm_up.secs_f64() + cell.load.duration.secs_f64()) as u64;
        let bare_loop = |channel: &str, address: &str| {
            bare::paced(channel, address, rate, cell.message.size.0, seconds)
        };
        let (ours, theirs) = self.alternate(name, cell, broker, bare_loop)?;
        let row = format!("{name} | bare loop");
        self.table.beside(
            &row,
            "client CPU, µs a message",
            ours.iter().map(|run| run.cpu_us).collect(),
            theirs.iter().map(|run| run.cpu_us).collect(),
            Goal::RatioAtMost(1.1),
        );
        // Counting slows down what it counts: in runs of its own.
        let (_, ours_counted) = bare::counted(|| self.run(cell, broker))?;
        let (_, theirs_counted) = bare::counted(|| self.theirs(cell, broker, bare_loop))?;
        let messages = (rate * seconds) as f64;
        if let (Some(ours), Some(theirs)) = (ours_counted, theirs_counted) {
            for (index, figure) in
                ["system calls a message", "context switches a message"].into_iter().enumerate()
            {
                let each = |counts: [f64; 2]| vec![counts[index] / messages];
                self.table.beside(&row, figure, each(ours), each(theirs), Goal::None);
            }
        }
        Ok(ours)
    }

    /// A figure of ours that no peer has.
    fn alone(
        &mut self,
        name: &str,
        cell: &Cell,
        broker: &mut dyn Broker,
        cpu_goal: Option<f64>,
    ) -> Fallible<()> {
        let runs = (0..self.runs).map(|_| self.run(cell, broker)).collect::<Fallible<Vec<_>>>()?;
        self.table.alone(
            name,
            "messages/s",
            runs.iter().map(|run| run.per_s).collect(),
            Goal::None,
        );
        let cpu = runs.iter().map(|run| run.cpu_us).collect();
        self.table.alone(
            name,
            "client CPU, µs a message",
            cpu,
            cpu_goal.map_or(Goal::None, Goal::AtMost),
        );
        let reported = runs.iter().map(|run| run.reported_cpu_us).collect();
        self.table.alone(name, "the same as its results say", reported, Goal::None);
        Ok(())
    }

    fn side_by_side(
        &mut self,
        name: &str,
        peer: &str,
        ours: &[Measured],
        theirs: &[Peer],
        rate: f64,
        cpu: Option<f64>,
    ) {
        let name = format!("{name} | {peer}");
        let ours_of = |pick: fn(&Measured) -> f64| ours.iter().map(pick).collect::<Vec<_>>();
        let theirs_of = |pick: fn(&Peer) -> f64| theirs.iter().map(pick).collect::<Vec<_>>();
        let rates = (ours_of(|run| run.per_s), theirs_of(|run| run.per_s));
        self.table.beside(&name, "messages/s", rates.0, rates.1, Goal::RatioAtLeast(rate));
        let cpus = (ours_of(|run| run.cpu_us), theirs_of(|run| run.cpu_us));
        let goal = cpu.map_or(Goal::None, Goal::RatioAtMost);
        self.table.beside(&name, "client CPU, µs a message", cpus.0, cpus.1, goal);
        self.table.alone(
            &name,
            "ours as its results say",
            ours_of(|run| run.reported_cpu_us),
            Goal::None,
        );
    }

    /// Runs ours and theirs in turn, each first in every other round, theirs on a topic made as
    /// ours is.
    fn alternate(
        &mut self,
        name: &str,
        cell: &Cell,
        broker: &mut dyn Broker,
        theirs: impl Fn(&str, &str) -> Fallible<Peer>,
    ) -> Fallible<(Vec<Measured>, Vec<Peer>)> {
        let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
        // The broker's memory grows to what the workload needs;
        // whoever goes first must not pay for it.
        self.once(cell, broker)?;
        for round in 0..self.runs {
            for ours_now in [round % 2 == 0, round % 2 != 0] {
                if ours_now {
                    our_runs.push(self.run(cell, broker)?);
                } else {
                    their_runs.push(self.theirs(cell, broker, &theirs)?);
                }
            }
            if let (Some(ours), Some(theirs)) = (our_runs.last(), their_runs.last()) {
                let (a, b) = (ours.per_s, theirs.per_s);
                let (c, d) = (ours.cpu_us, theirs.cpu_us);
                eprintln!(
                    "{name}, run {}: {a:.0}/s against {b:.0}/s, {c:.3} µs against {d:.3} µs",
                    round + 1
                );
            }
        }
        Ok((our_runs, their_runs))
    }

    fn run(&mut self, cell: &Cell, broker: &mut dyn Broker) -> Fallible<Measured> {
        self.undisturbed(broker, |bench, broker| bench.once(cell, broker))
    }

    fn once(&mut self, cell: &Cell, broker: &mut dyn Broker) -> Fallible<Measured> {
        let name = self.name();
        let measured = ours::run(cell, broker, &name)?;
        eprintln!("{} {name}: {:.0}/s, {:.3} µs", cell.label, measured.per_s, measured.cpu_us);
        Ok(measured)
    }

    fn theirs(
        &mut self,
        cell: &Cell,
        broker: &mut dyn Broker,
        run: impl Fn(&str, &str) -> Fallible<Peer>,
    ) -> Fallible<Peer> {
        self.undisturbed(broker, |bench, broker| {
            let name = bench.name();
            let driver = topic(cell, broker, &name)?;
            let address = broker.addresses().first().cloned().unwrap_or_default();
            let peer = run(&name, &address)?;
            driver.clean_up()?;
            Ok(peer)
        })
    }

    /// Runs on an idle machine, again when others disturbed it.
    fn undisturbed<T>(
        &mut self,
        broker: &mut dyn Broker,
        mut run: impl FnMut(&mut Self, &mut dyn Broker) -> Fallible<T>,
    ) -> Fallible<T> {
        let mut repeats = 0;
        loop {
            let quiet = Quiet::await_it(&broker.pids());
            let found = run(self, broker)?;
            let foreign = quiet.foreign();
            eprintln!("  others took {:.1} % of the machine", foreign * 100.0);
            if foreign < FOREIGN || repeats == REPEATS {
                self.disturbed += usize::from(foreign >= FOREIGN);
                return Ok(found);
            }
            repeats += 1;
            self.repeated += 1;
        }
    }

    fn name(&mut self) -> String {
        self.started += 1;
        format!("peers-{}", self.started)
    }

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }
}

/// A load of exactly `messages`, read by `subscriptions`.
fn counted(cell: &Cell, messages: u64, subscriptions: u16) -> brokerbench::scenario::Load {
    let mut load = cell.load.clone();
    load.messages = Some(messages);
    load.subscriptions = subscriptions;
    load.backlog = Bytes(16 << 20);
    load
}
