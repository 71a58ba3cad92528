//! The audit of a cell: what the broker still holds after the load is drained, read back by the driver.

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

/// Reads back what the broker holds. After faults a first try may come too early: then it begins anew.
pub fn read_back(of: Context<'_>, telemetry: &mut Telemetry) -> Option<AuditBook> {
    telemetry.event("phase", "audit");
    let Context { cell, clock, .. } = of;
    let deadline = clock.now_ns() + WITHIN_NS;
    let patient = !cell.faults.is_empty();
    let (mut kind, mut seen) = attempt(of, deadline);
    while kind.is_err() && patient && clock.now_ns() < deadline && !of.interrupted.load(Relaxed) {
        thread::sleep(AGAIN);
        (kind, seen) = attempt(of, deadline);
    }
    let unreadable = match &mut kind {
        Ok(Audit::Retains { unreadable, .. }) => std::mem::take(unreadable),
        _ => Vec::new(),
    };
    for words in &unreadable {
        telemetry.event("warning", &format!("not read back: {words}"));
    }
    // What cannot be read is gone where its node is gone for good. Elsewhere nobody knows.
    let for_good = cell.faults.iter().any(|plan| plan.heal() == Heal::Never);
    match kind {
        Ok(_) if !unreadable.is_empty() && !for_good => None,
        Ok(Audit::Retains { trimmed, .. }) => Some(AuditBook { seen, retains: true, trimmed }),
        Ok(Audit::Remainder) => Some(AuditBook { seen, retains: false, trimmed: false }),
        Ok(Audit::Nothing) => None,
        Err(error) => {
            telemetry.event("warning", &format!("no audit: {error}"));
            None
        }
    }
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
