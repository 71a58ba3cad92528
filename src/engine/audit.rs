//! The audit of a cell: what the broker still holds after the load is drained,
//! read back by the driver.

use super::collect::Telemetry;
use super::consume::ours;
use super::control::Context;
use crate::driver::{Audit, DriverError};
use crate::record::{AuditBook, Consumed, SECOND_NS};
use crate::scenario::Heal;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

const WITHIN_NS: u64 = 120 * SECOND_NS;
/// From one try to the next.
const AGAIN: Duration = Duration::from_millis(500);

/// Reads back what the broker holds. After outages a first try may come too early:
/// then it begins anew.
pub fn read_back(of: Context<'_>, telemetry: &mut Telemetry) -> Option<AuditBook> {
    telemetry.event("phase", "audit");
    let Context { cell, clock, .. } = of;
    let deadline = clock.now_ns() + WITHIN_NS;
    let patient = cell.watches_recovery();
    let (mut kind, mut seen) = attempt(of, deadline);
    while kind.is_err() && patient && clock.now_ns() < deadline && !of.interrupted.load(Relaxed) {
        thread::sleep(AGAIN);
        (kind, seen) = attempt(of, deadline);
    }
    let (retains, trimmed, unreadable) = match kind {
        Ok(Audit::Retains { trimmed, unreadable, .. }) => (true, trimmed, unreadable),
        Ok(Audit::Remainder) => (false, false, Vec::new()),
        Ok(Audit::Nothing) => return None,
        Err(error) => {
            telemetry.event("warning", &format!("no audit: {error}"));
            return None;
        }
    };
    for words in &unreadable {
        telemetry.event("warning", &format!("not read back: {words}"));
    }
    // What cannot be read is gone where its node is gone for good. Elsewhere nobody knows.
    let known = unreadable.is_empty() || cell.faults.iter().any(|plan| plan.heal() == Heal::Never);
    known.then_some(AuditBook { seen, retains, trimmed })
}

fn attempt(of: Context<'_>, deadline: u64) -> (Result<Audit, DriverError>, Consumed) {
    let size = of.cell.message.size.0 as usize;
    let mut seen = Consumed::default();
    let kind = of.driver.audit(deadline, &mut |message| {
        if let Some(envelope) = ours(message, of.run, size, &mut seen) {
            seen.note((envelope.producer, envelope.lane), envelope.sequence);
        }
    });
    (kind, seen)
}
