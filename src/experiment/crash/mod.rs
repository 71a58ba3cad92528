//! `crash`: the broker is killed under load and started again on its data. What was acknowledged and is gone, and how
//! long until somebody new gets an acknowledgement.
//!
//! SIGKILL leaves what the kernel holds: it tests what the broker hands over before it answers, not its disks. A loss of
//! power, which is simulated, leaves what was synced. Every kill has a topic, stream or list of its own, an unbiased moment, and fresh connections afterwards. A broker that does
//! not come back is a finding, not an error.

mod load;
mod report;

use self::load::{Load, Loss};
use self::report::Fault;
use super::Stage;
use crate::clock::Clock;
use crate::driver::{Audit, Driver, Outcome, Outgoing};
use crate::engine::{TrialError, body_kind};
use crate::fault::disk::Lost;
use crate::payload::{Bodies, Envelope, Reading, read};
use crate::random::SplitMix64;
use crate::record::SeqSet;
use crate::result::CellOutput;
use crate::scenario::{Cell, Crash, CrashFault};
use crate::schedule::Schedule;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How long one try for a first acknowledgement may take, and the pause before the next.
const TRY_NS: u64 = 5_000_000_000;
const NAP: Duration = Duration::from_millis(10);
/// Who publishes the message that proves the recovery.
const PROVER: u16 = 1;

pub fn run(stage: &mut Stage<'_>, keys: &Crash) -> Result<CellOutput, TrialError> {
    let mut faults: Vec<Fault> = Vec::new();
    for number in 1..=keys.kills.max(1) {
        let Some(fault) = kill(stage, keys, number)? else { break };
        let came_back = fault.rto_publish_ns.is_ok();
        faults.push(fault);
        if !came_back {
            break;
        }
    }
    let acknowledges = stage.driver(stage.cell, "about")?.acknowledges();
    stage.output(report::observations(&faults, acknowledges))
}

/// One kill and the recovery from it; `None` when the user interrupted.
fn kill(stage: &mut Stage<'_>, keys: &Crash, number: u16) -> Result<Option<Fault>, TrialError> {
    let (cell, clock) = (stage.cell, stage.clock());
    let part = format!("kill{number}");
    let run = stage.run.wrapping_add(number.into());
    let driver = stage.driver(cell, &part)?;
    driver.prepare()?;
    let mut rng = SplitMix64::stream(cell.seed, u64::from(stage.block) << 16 | u64::from(number));
    let after_ns = keys.before.nanos() + (keys.spread.nanos() as f64 * rng.unit()) as u64;
    let start_ns = clock.now_ns();
    let load = Load {
        publisher: driver.publisher(0)?,
        bodies: bodies(cell)?,
        run,
        start_ns,
        schedule: Schedule::constant(keys.rate, 0, 1),
        in_flight: cell.load.in_flight,
        connections: cell.load.connections,
        streams: cell.config.streams(),
        clock,
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let loading = scope.spawn(|| load.run(&stop));
        // However this is left, the load ends.
        let _stop = Stop(&stop);
        while clock.now_ns() < start_ns + after_ns && !stage.interrupted() && !loading.is_finished() {
            thread::sleep(clock.until(start_ns + after_ns).min(NAP));
        }
        if stage.interrupted() {
            return Ok(None);
        }
        if loading.is_finished() {
            let book = loading.join().map_err(|_| TrialError::Thread)?;
            return book.error.map_or(Ok(None), |error| Err(error.into()));
        }
        let cut = match keys.fault {
            CrashFault::Kill => stage.broker.crash().map(|()| None)?,
            CrashFault::PowerLoss => Some(lose_power(stage)?),
        };
        let killed_ns = clock.now_ns();
        stop.store(true, Relaxed);
        while clock.now_ns() < killed_ns + keys.down.nanos() && !stage.interrupted() {
            thread::sleep(clock.until(killed_ns + keys.down.nanos()).min(NAP));
        }
        if stage.interrupted() {
            return Ok(None);
        }
        let down_ns = clock.now_ns() - killed_ns;
        let restarted = stage.broker.restart().map_err(|error| error.to_string());
        // Connections and a client of its own: how the old ones find back is another question.
        let fresh = stage.driver(cell, &part)?;
        let deadline_ns = killed_ns + keys.patience.nanos();
        let answered = restarted.and_then(|()| first_acknowledgement(stage, fresh.as_ref(), run, deadline_ns));
        let book = loading.join().map_err(|_| TrialError::Thread)?;
        let loss = match &answered {
            Ok(_) if fresh.acknowledges() => {
                let deadline_ns = clock.now_ns() + keys.patience.nanos();
                kept(fresh.as_ref(), run, cell, deadline_ns).map(|kept| book.against(&kept))
            }
            Ok(_) => Ok(Loss { sent: book.sent(), ..Loss::default() }),
            Err(why) => Err(why.clone()),
        };
        if answered.is_ok() {
            // So that the next restart does not have to read it. What cannot be deleted goes with the broker.
            let _ = fresh.clean_up();
        }
        let rto_publish_ns = answered.map(|at_ns| at_ns.saturating_sub(killed_ns));
        Ok(Some(Fault { number, killed_ns, down_ns, rto_publish_ns, loss, cut }))
    })
}

/// All nodes at once.
fn lose_power(stage: &mut Stage<'_>) -> Result<Lost, TrialError> {
    let nodes: Vec<usize> = (0..stage.cell.config.nodes.into()).collect();
    Ok(stage.broker.lose_power(&nodes)?)
}

struct Stop<'a>(&'a AtomicBool);
impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn bodies(cell: &Cell) -> Result<Bodies, TrialError> {
    Ok(Bodies::generate(body_kind(cell), cell.message.size.0 as usize, cell.seed)?)
}

/// When somebody with new connections gets the first acknowledgement; tries until `deadline_ns`.
fn first_acknowledgement(stage: &Stage<'_>, driver: &dyn Driver, run: u64, deadline_ns: u64) -> Result<u64, String> {
    let clock = stage.clock();
    let mut bodies = bodies(stage.cell).map_err(|error| error.to_string())?;
    let mut sequence = 0;
    loop {
        let envelope = Envelope { run, producer: PROVER, lane: 0, sequence, planned_ns: clock.now_ns() };
        match publish_one(driver, bodies.stamped(&envelope), clock, deadline_ns) {
            Ok(at_ns) => return Ok(at_ns),
            Err(why) if clock.now_ns() >= deadline_ns => {
                return Err(format!("no acknowledgement after the restart: {why}"));
            }
            Err(_) if stage.interrupted() => return Err("interrupted".into()),
            Err(_) => thread::sleep(NAP),
        }
        sequence += 1;
    }
}

fn publish_one(driver: &dyn Driver, payload: &[u8], clock: Clock, deadline_ns: u64) -> Result<u64, String> {
    let words = |error: crate::driver::DriverError| error.to_string();
    let mut publisher = driver.publisher(PROVER).map_err(words)?;
    publisher.submit(Outgoing { slot: 0, connection: 0, stream: 0, payload }).map_err(words)?;
    publisher.flush().map_err(words)?;
    let until_ns = deadline_ns.min(clock.now_ns() + TRY_NS);
    let mut completions = Vec::new();
    while completions.is_empty() && clock.now_ns() < until_ns {
        publisher.wait(until_ns, &mut completions).map_err(words)?;
    }
    match completions.first() {
        Some(completion) if completion.outcome == Outcome::Acked => Ok(completion.at_ns),
        Some(_) => Err(publisher.failures().into_keys().next().unwrap_or_else(|| "refused".into())),
        None => Err("no answer".into()),
    }
}

/// The sequences of the load that the broker still holds.
fn kept(driver: &dyn Driver, run: u64, cell: &Cell, deadline_ns: u64) -> Result<SeqSet, String> {
    let (size, mut kept, mut corrupt) = (cell.message.size.0 as usize, SeqSet::new(), 0u64);
    let audit = driver.audit(deadline_ns, &mut |message| match read(message, run, size) {
        Reading::Ours(envelope) if envelope.producer != PROVER => {
            kept.insert(envelope.sequence);
        }
        Reading::Corrupt => corrupt += 1,
        Reading::Ours(_) | Reading::Foreign => {}
    });
    match audit {
        // Nobody has consumed: what remains in a list is all that it was given.
        Ok(Audit::Retains { trimmed: false, .. } | Audit::Remainder) if corrupt == 0 => Ok(kept),
        Ok(Audit::Retains { trimmed: true, .. }) => Err("the broker dropped the oldest by a limit that was set".into()),
        Ok(Audit::Nothing) => Err("the system keeps nothing that could be read".into()),
        Ok(_) => Err(format!("{corrupt} messages came back damaged")),
        Err(error) => Err(error.to_string()),
    }
}
