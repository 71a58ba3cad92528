//! Connects the clients of a cell, each in its own thread, and starts the load at one time for all
//! of them.

use super::cell_run::CellRunError;
use super::consume::{ConsumerReport, consume, consume_many};
use super::control::Context;
use super::deliveries::Deliveries;
use super::notes::ProducerReport;
use super::publish::{produce, run_length};
use super::sender::Sender;
use crate::driver::DriverError;
use crate::payload::{Bodies, BodyError, BodyKind};
use crate::record::{Harvest, Recorder};
use crate::scenario::{Cell, PayloadKind, SHARED, share_threads};
use std::ops::Range;
use std::sync::mpsc::{self, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// Connecting all clients must be done by then, and of a topic of many partitions some more.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
const EACH_PARTITION: Duration = Duration::from_millis(20);

/// A report for each consumer of a thread, once it has ended.
pub type ConsumerThread<'scope> = ScopedJoinHandle<'scope, Vec<ConsumerReport>>;

type Ready = mpsc::Sender<Result<(), DriverError>>;

/// Connects every consumer in its own thread, since consumers of one group need each other to get
/// started; very many subscriptions in a few threads.
pub fn start_consumers<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    of: Context<'scope>,
    deliveries: &'scope Deliveries,
    harvest_to: &mpsc::Sender<Harvest>,
) -> Result<Vec<ConsumerThread<'scope>>, CellRunError> {
    let (load, driver, share) = (&of.cell.load, of.driver, of.share);
    let (ready_to, ready) = channel::<Result<(), DriverError>>();
    let mut handles = Vec::new();
    // A part of the subscriptions has a thread for each.
    if share.is_whole() && share_threads(&of.cell.config, load) {
        for part in parts(load.subscriptions) {
            let (ready_to, recorder) = (ready_to.clone(), Recorder::new(harvest_to.clone()));
            handles.push(scope.spawn(move || {
                let crowd = driver.crowd(part.clone(), false);
                once_ready(crowd, ready_to, |crowd| {
                    consume_many(of, deliveries, part, crowd, recorder)
                })
            }));
        }
    } else {
        for who in share.consumers() {
            let (ready_to, recorder) = (ready_to.clone(), Recorder::new(harvest_to.clone()));
            handles.push(scope.spawn(move || {
                let subscriber = driver.subscriber(who.0, who.1);
                once_ready(subscriber, ready_to, |subscriber| {
                    vec![consume(of, deliveries, who, subscriber, recorder)]
                })
            }));
        }
    }
    drop(ready_to);
    let limit = CONNECT_WITHIN + EACH_PARTITION * u32::from(of.cell.config.partitions());
    for _ in &handles {
        ready.recv_timeout(limit).map_err(|_| CellRunError::Thread)??;
    }
    Ok(handles)
}

/// Tells whether it is connected, and goes on with what is.
fn once_ready<T>(
    connected: Result<T, DriverError>,
    ready_to: Ready,
    go_on: impl FnOnce(T) -> Vec<ConsumerReport>,
) -> Vec<ConsumerReport> {
    match connected {
        Ok(connected) => {
            let _ = ready_to.send(Ok(()));
            drop(ready_to);
            go_on(connected)
        }
        Err(error) => {
            let _ = ready_to.send(Err(error));
            Vec::new()
        }
    }
}

/// Subscriptions by thread: as many threads as there are cores, of these a few at most.
fn parts(subscriptions: u16) -> impl Iterator<Item = Range<u16>> {
    let cores = thread::available_parallelism().map_or(1, usize::from) as u16;
    let each = subscriptions.div_ceil(cores.clamp(1, SHARED)).max(1);
    let part = move |from: u16| from..subscriptions.min(from.saturating_add(each));
    (0..subscriptions).step_by(each.into()).map(part)
}

/// Connects every producer and starts the load at one time for all of them, which `when` tells once
/// all are connected, and which is returned.
pub fn start_producers<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    of: Context<'scope>,
    disturb: Option<(u64, u64)>,
    harvest_to: &mpsc::Sender<Harvest>,
    when: impl FnOnce() -> Result<u64, CellRunError>,
) -> Result<(Vec<ScopedJoinHandle<'scope, ProducerReport>>, u64), CellRunError> {
    let mut ready = Vec::new();
    for producer in of.share.producers() {
        let run_length = run_length(of.cell);
        ready.push((
            producer,
            Sender::new(of.driver, of.cell, of.run, producer, run_length, of.clock)?,
        ));
    }
    let start_ns = when()?;
    let disturb = disturb.map(|(after, length)| (start_ns + after, length));
    let start = |(producer, sender)| {
        let recorder = Recorder::new(harvest_to.clone());
        scope.spawn(move || produce(of, producer, sender, start_ns, disturb, recorder))
    };
    Ok((ready.into_iter().map(start).collect(), start_ns))
}

/// What the messages of `cell` are filled with.
pub fn bodies(cell: &Cell, seed: u64) -> Result<Bodies, BodyError> {
    let kind = match (cell.message.payload, cell.message.compressibility) {
        (PayloadKind::Text | PayloadKind::File, _) => BodyKind::Text,
        (PayloadKind::Random, _) => BodyKind::Random,
        (PayloadKind::Mixed, ratio) => BodyKind::Mixed { ratio: ratio.unwrap_or(1.0) },
    };
    match (&cell.message.lines, &cell.message.mix) {
        (Some(lines), _) => Ok(Bodies::lines(lines.clone(), seed)),
        (None, Some(sizes)) => Bodies::mixed(kind, sizes, seed),
        (None, None) => Bodies::generate(kind, cell.message.size.0 as usize, seed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscription_has_one_thread() {
        for subscriptions in [1, 65, 1000, u16::MAX] {
            let parts: Vec<Range<u16>> = parts(subscriptions).collect();
            assert!((1..=usize::from(SHARED)).contains(&parts.len()), "{parts:?}");
            assert!(parts.into_iter().flatten().eq(0..subscriptions));
        }
    }
}
