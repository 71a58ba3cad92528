//! Connects the clients of a cell, each in its own thread, and starts the load at one time for all
//! of them.

use super::cell_run::CellRunError;
use super::consume::{ConsumerReport, consume};
use super::control::Context;
use super::deliveries::Deliveries;
use super::notes::ProducerReport;
use super::publish::{produce, run_length};
use super::sender::Sender;
use crate::driver::DriverError;
use crate::payload::{Bodies, BodyError, BodyKind};
use crate::record::{Harvest, LatencyRecorder};
use crate::scenario::{Cell, PayloadKind};
use std::sync::mpsc::{self, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// Connecting all clients must be done by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);

/// Connects every consumer in its own thread,
/// since consumers of one group need each other to get started.
pub fn start_consumers<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    of: Context<'scope>,
    deliveries: &'scope Deliveries,
    harvest_to: &mpsc::Sender<Harvest>,
) -> Result<Vec<ScopedJoinHandle<'scope, ConsumerReport>>, CellRunError> {
    let (ready_to, ready) = channel::<Result<(), DriverError>>();
    let mut handles = Vec::new();
    for (subscription, consumer) in of.share.consumers() {
        let (ready_to, recorder) = (ready_to.clone(), LatencyRecorder::new(harvest_to.clone()));
        handles.push(scope.spawn(move || match of.driver.subscriber(subscription, consumer) {
            Ok(subscriber) => {
                let _ = ready_to.send(Ok(()));
                drop(ready_to);
                consume(of, deliveries, (subscription, consumer), subscriber, recorder)
            }
            Err(error) => {
                let _ = ready_to.send(Err(error));
                ConsumerReport::default()
            }
        }));
    }
    drop(ready_to);
    for _ in &handles {
        ready.recv_timeout(CONNECT_WITHIN).map_err(|_| CellRunError::Thread)??;
    }
    Ok(handles)
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
        let recorder = LatencyRecorder::new(harvest_to.clone());
        scope.spawn(move || produce(of, producer, sender, start_ns, disturb, recorder))
    };
    Ok((ready.into_iter().map(start).collect(), start_ns))
}

/// What the messages of `cell` are filled with.
pub fn bodies(cell: &Cell, seed: u64) -> Result<Bodies, BodyError> {
    let kind = match (cell.message.payload, cell.message.compressibility) {
        (PayloadKind::Text, _) => BodyKind::Text,
        (PayloadKind::Random, _) => BodyKind::Random,
        (PayloadKind::Mixed, ratio) => BodyKind::Mixed { ratio: ratio.unwrap_or(1.0) },
    };
    Bodies::generate(kind, cell.message.size.0 as usize, seed)
}
