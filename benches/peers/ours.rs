//! Our side: one cell through the engine, on a broker that is shared with the peer.

use crate::Fallible;
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Audit, Driver, DriverError, Publisher, Subscriber};
use brokerbench::engine::CellRun;
use brokerbench::environment::{Broker, own_usage};
use brokerbench::inject::Shared;
use brokerbench::model::{Latency, System};
use brokerbench::record::new_histogram;
use brokerbench::result::{CellOutput, Description, Survives};
use brokerbench::scenario::{Cell, Load, Message, Model, SystemConfig};
use brokerbench::units::{Rate, Span};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one run of ours showed.
pub struct Measured {
    /// Acknowledged and, where somebody subscribed, consumed.
    pub per_s: f64,
    /// All of this process from connecting to the last answer, by message.
    pub cpu_us: f64,
    /// The figure that a run's summary carries.
    pub reported_cpu_us: f64,
    /// p50 and p99; open model only.
    pub lag_us: (f64, f64),
    /// How far sent or answered in the window are from what was planned; open model only.
    pub off_rate_percent: f64,
}

/// Closed loop on one topic, Kafka with the settings that `kafka-producer-perf-test` gets too.
pub fn cell(system: System, size: u64) -> Cell {
    let mut config = SystemConfig::defaults(system);
    if system == System::Kafka {
        config.topic.partitions = 4;
        for (key, value) in [("acks", "1"), ("linger.ms", "5"), ("batch.size", "131072")] {
            config.client.insert(key.into(), value.into());
        }
    } else {
        config.broker = [("save", ""), ("appendonly", "no")]
            .map(|(key, value)| (key.into(), value.into()))
            .into();
        // Above what `backlog` lets stand unread.
        config.maxlen = (system == System::RedisStreams).then_some(200_000);
    }
    let kafka = system == System::Kafka;
    let load = Load {
        batch: if kafka { 10_000 } else { 1000 },
        drain: Span::from_secs(20),
        // Not above what the Java producer's `buffer.memory` of 32 MiB holds.
        // For Redis as in `throughput.yaml`.
        ..Load::closed(if kafka { ((32 << 20) / size).min(50_000) as u32 } else { 10_000 })
    };
    Cell {
        config,
        message: Message::random(size),
        seed: 1,
        ..Cell::plain(system, load.brief(Span::from_secs(5)))
    }
}

/// The same load at a fixed rate, published and consumed.
pub fn open_loop(load: &Load, per_second: u64) -> Load {
    Load {
        model: Model::Open,
        rate: Some(Rate::per_second(per_second)),
        warm_up: Span::from_secs(3),
        warm_up_limit: Span::from_secs(3),
        duration: Span::from_secs(5),
        ..load.clone()
    }
}

/// Makes the topic of `cell` for somebody else to use; `clean_up` deletes it.
pub fn topic(cell: &Cell, broker: &dyn Broker, name: &str) -> Fallible<Box<dyn Driver>> {
    let target = broker.target(name, Clock::start());
    let driver = driver::open(cell, target)?;
    driver.prepare()?;
    Ok(driver)
}

pub fn run(cell: &Cell, broker: &mut dyn Broker, name: &str) -> Fallible<Measured> {
    let clock = Clock::start();
    let target = broker.target(name, clock);
    let driver = Metered { inner: driver::open(cell, target)?, audit_began_ns: AtomicU64::new(0) };
    let began_ns = cpu_ns();
    let run = u64::from(std::process::id()) << 32 | clock.now_ns() & 0xFFFF_FFFF;
    let shared: Shared<'_> = Mutex::new(broker);
    let output =
        CellRun { run, broker: Some(&shared), ..CellRun::new(cell, clock) }.run(&driver)?;
    driver.clean_up()?;
    prove(cell, &output)?;
    Ok(measured(cell, &output, driver.audit_began_ns.load(Relaxed).saturating_sub(began_ns)))
}

fn measured(cell: &Cell, output: &CellOutput, cpu_ns: u64) -> Measured {
    let record = &output.record;
    let (start, end) = (record.window_start_ns.unwrap_or(0), record.window_end_ns.unwrap_or(0));
    let done = match cell.load.subscriptions {
        0 => record.window_acked,
        _ => record.window_acked.min(record.window_consumed),
    };
    let mut lag = new_histogram();
    for interval in
        output.intervals.iter().filter(|i| i.metric == Latency::ScheduleLag && !i.warm_up)
    {
        // Equal bounds: adding cannot fail.
        let _ = lag.add(&interval.histogram);
    }
    let planned = record.window_planned.unwrap_or(0) as f64;
    let in_window = output.windows.iter().filter(|row| (start..end).contains(&row.start_ns));
    let (sent, answered) =
        in_window.fold((0, 0), |(s, a), row| (s + row.sent_messages, a + row.acked_messages));
    let off = |count: u64| (count as f64 / planned.max(1.0) - 1.0).abs() * 100.0;
    Measured {
        per_s: done as f64 * 1e9 / (end - start).max(1) as f64,
        cpu_us: cpu_ns as f64 / 1e3 / record.counts.sent.unwrap_or(1).max(1) as f64,
        reported_cpu_us: record.resources.client_cpu_ns_per_message.unwrap_or(f64::NAN) / 1e3,
        lag_us: (lag.value_at_quantile(0.5) as f64 / 1e3, lag.value_at_quantile(0.99) as f64 / 1e3),
        off_rate_percent: off(sent).max(off(answered)),
    }
}

/// A run counts only if its own books say that everything went out, was answered, and arrived.
fn prove(cell: &Cell, output: &CellOutput) -> Fallible<()> {
    let (record, counts) = (&output.record, &output.record.counts);
    let harm = [
        counts.failed,
        counts.indeterminate,
        counts.lost,
        counts.undelivered,
        counts.corrupt,
        counts.foreign,
    ];
    let whole = cell.load.messages.is_none_or(|messages| counts.sent == Some(messages));
    let blamed = record.gates.iter().find(|gate| gate.name == "books-balance" && gate.spoils());
    if !whole
        || harm.into_iter().flatten().chain(counts.broker_lost).any(|count| count > 0)
        || blamed.is_some()
    {
        return Err(format!("{}: this run's books do not close: {counts:?}", cell.label).into());
    }
    match &record.error {
        Some(error) => Err(error.clone().into()),
        None => Ok(()),
    }
}

/// CPU time of this process, all threads.
fn cpu_ns() -> u64 {
    own_usage().map_or(0, |usage| usage.cpu_ns)
}

/// Notes what the process had spent when the load was over and the audit, which no peer has, began.
struct Metered {
    inner: Box<dyn Driver>,
    audit_began_ns: AtomicU64,
}

impl Driver for Metered {
    fn system(&self) -> brokerbench::model::System {
        self.inner.system()
    }
    fn prepare(&self) -> Result<(), DriverError> {
        self.inner.prepare()
    }
    fn publisher(&self, producer: u16) -> Result<Box<dyn Publisher>, DriverError> {
        self.inner.publisher(producer)
    }
    fn subscriber(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<Box<dyn Subscriber>, DriverError> {
        self.inner.subscriber(subscription, consumer)
    }
    fn audit(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        self.audit_began_ns.store(cpu_ns(), Relaxed);
        self.inner.audit(deadline_ns, sink)
    }
    fn survives(&self) -> Survives {
        self.inner.survives()
    }
    fn acknowledges(&self) -> bool {
        self.inner.acknowledges()
    }
    fn describe(&self) -> Result<Description, DriverError> {
        self.inner.describe()
    }
    fn clean_up(&self) -> Result<(), DriverError> {
        self.inner.clean_up()
    }
}
