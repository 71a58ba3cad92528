//! Connects the clients of a cell, each in its own thread, and starts the load at one time for all of them.

use super::cell_run::TrialError;
use super::consume::{ConsumerReport, Expectation, consume};
use super::control::Control;
use super::deliveries::Deliveries;
use super::publish::{Assignment, ProducerReport, produce};
use super::sender::Identity;
use crate::clock::Clock;
use crate::driver::{Driver, DriverError};
use crate::payload::{Bodies, BodyKind};
use crate::record::{Harvest, LatencyRecorder, SECOND_NS};
use crate::scenario::{Arrivals, Cell, Model, PayloadKind};
use crate::schedule::Schedule;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// Connecting all clients must be done by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// Messages in a row to the same partition in the closed model: what batching clients do.
const CLOSED_RUN: u64 = 1000;
/// Of what may wait for consumers, a run is at most this part of each stream's share: else a small `load.backlog` would
/// lie in one stream, and the consumers of the others would have nothing to do.
const RUNS_WAITING: u64 = 4;

/// What every thread of a cell is started with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub cell: &'a Cell,
    pub run: u64,
    pub clock: Clock,
    pub driver: &'a dyn Driver,
    pub control: &'a Control,
}

/// Connects every consumer in its own thread, since consumers of one group need each other to get started.
pub(super) fn start_consumers<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    of: Context<'scope>,
    deliveries: &'scope Deliveries,
    harvest_to: &Sender<Harvest>,
) -> Result<Vec<ScopedJoinHandle<'scope, ConsumerReport>>, TrialError> {
    let Context { cell, clock, driver, control, .. } = of;
    let load = &cell.load;
    let (ready_to, ready) = channel::<Result<(), DriverError>>();
    let mut handles = Vec::new();
    let each = |subscription| (0..load.consumers).map(move |consumer| (subscription, consumer));
    for (subscription, consumer) in (0..load.subscriptions).flat_map(each) {
        let expect = Expectation {
            subscription,
            consumer,
            run: of.run,
            message_bytes: cell.message.size.0 as usize,
            open: load.model == Model::Open,
            work_ns: load.work.nanos(),
            watched_streams: if cell.faults.is_empty() { 0 } else { cell.config.streams() },
        };
        let (ready_to, recorder) = (ready_to.clone(), LatencyRecorder::new(harvest_to.clone()));
        handles.push(scope.spawn(move || match driver.subscriber(subscription, consumer) {
            Ok(subscriber) => {
                let _ = ready_to.send(Ok(()));
                drop(ready_to);
                let again = || driver.subscriber(subscription, consumer);
                consume(expect, clock, control, deliveries, subscriber, &again, recorder)
            }
            Err(error) => {
                let _ = ready_to.send(Err(error));
                ConsumerReport::default()
            }
        }));
    }
    drop(ready_to);
    let all = await_ready(&ready, handles.len());
    if all.is_err() {
        control.stop_consuming();
    }
    all.map(|()| handles)
}

/// Connects every producer and starts the load at one time for all of them, which is returned.
pub(super) fn start_producers<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    of: Context<'scope>,
    disturb: Option<(u64, u64)>,
    harvest_to: &Sender<Harvest>,
) -> Result<(Vec<ScopedJoinHandle<'scope, ProducerReport>>, u64), TrialError> {
    let Context { cell, clock, driver, control, .. } = of;
    let size = cell.message.size.0 as usize;
    let mut ready = Vec::new();
    for producer in 0..cell.load.producers {
        let seed = cell.seed.wrapping_add(u64::from(producer));
        let bodies = Bodies::generate(body_kind(cell), size, seed)?;
        ready.push((producer, driver.publisher(producer)?, bodies));
    }
    let start_ns = clock.now_ns() + SECOND_NS / 20;
    let handles = ready
        .into_iter()
        .map(|(producer, publisher, bodies)| {
            let disturb = disturb.map(|(after, length)| (start_ns + after, length));
            let job = Assignment { disturb, ..assignment(cell, of.run, producer, start_ns) };
            let recorder = LatencyRecorder::new(harvest_to.clone());
            scope.spawn(move || produce(job, clock, control, publisher, bodies, recorder))
        })
        .collect();
    Ok((handles, start_ns))
}

fn assignment(cell: &Cell, run: u64, producer: u16, start_ns: u64) -> Assignment {
    let load = &cell.load;
    let schedule = match (load.model, load.rate) {
        (Model::Open, Some(rate)) => Some(match load.arrivals {
            Arrivals::Constant => Schedule::constant(rate, producer, load.producers),
            Arrivals::Poisson => Schedule::poisson(rate, producer, load.producers, cell.seed),
        }),
        _ => None,
    };
    // Open model: as many in a row as fall into a millisecond, so that slow streams are served evenly.
    let backlog = match load.subscriptions {
        // Nobody could ever catch up.
        0 => u64::MAX,
        _ => (load.backlog.0 / cell.message.size.0.max(1)).max(u64::from(load.in_flight)),
    };
    let streams = cell.config.streams();
    let run_length = match load.rate {
        Some(rate) if schedule.is_some() => (rate.per_s() / 1000.0).clamp(1.0, CLOSED_RUN as f64) as u32,
        _ => (backlog / (RUNS_WAITING * u64::from(streams))).clamp(1, CLOSED_RUN) as u32,
    };
    let share = |total: u64| {
        let (each, rest) = (total / u64::from(load.producers), total % u64::from(load.producers));
        each + u64::from(u64::from(producer) < rest)
    };
    Assignment {
        identity: Identity {
            run,
            producer,
            connections: load.connections,
            streams,
            run_length,
            in_flight: load.in_flight,
        },
        schedule,
        start_ns,
        messages: load.messages.map(share),
        batch: load.batch,
        backlog,
        drain_ns: load.drain.nanos(),
        watched: !cell.faults.is_empty(),
        disturb: None,
    }
}

/// What the messages of `cell` are filled with.
pub fn body_kind(cell: &Cell) -> BodyKind {
    match (cell.message.payload, cell.message.compressibility) {
        (PayloadKind::Text, _) => BodyKind::Text,
        (PayloadKind::Random, _) => BodyKind::Random,
        (PayloadKind::Mixed, ratio) => BodyKind::Mixed { ratio: ratio.unwrap_or(1.0) },
    }
}

fn await_ready(ready: &Receiver<Result<(), DriverError>>, count: usize) -> Result<(), TrialError> {
    for _ in 0..count {
        ready.recv_timeout(CONNECT_WITHIN).map_err(|_| TrialError::Thread)??;
    }
    Ok(())
}
