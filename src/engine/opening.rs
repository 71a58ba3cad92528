//! The end of warm-up: whether a system has come to rest, and the window that opens then.

use super::barrier::Beat;
use super::cell_run::{CellRun, too_few_to_settle};
use super::collect::Telemetry;
use super::control::{AHEAD_NS, Control, next_second};
use super::progress::Phase;
use crate::record::SECOND_NS;
use crate::stats::{SEEN_AFTER, level, settled};

impl CellRun<'_, '_> {
    /// How far this process is with what producers do.
    pub(super) fn beat(
        &self,
        control: &Control,
        start_ns: u64,
        now: u64,
        telemetry: &Telemetry,
    ) -> Beat {
        let waits = !self.share().is_whole() && control.window().is_none();
        let rested = waits && self.rested(start_ns, now, telemetry);
        Beat { rested, ..Beat::default() }
    }

    /// Whether what this process sees of the system has come to rest: who has no producer sees
    /// nothing of it.
    fn rested(&self, start_ns: u64, now: u64, telemetry: &Telemetry) -> bool {
        // The last second may not be complete yet, and the first began in the middle.
        let (from, to) =
            (start_ns / SECOND_NS + 1, (now.saturating_sub(SECOND_NS / 5)) / SECOND_NS);
        // Looked back for a minute at most: what was before decides nothing.
        let from = from.max(to.saturating_sub(60));
        let sends = self.share().producers().next().is_some();
        (!sends || settled(&telemetry.seconds(from, to)))
            && level(&telemetry.health.broker_cpu(from, to))
    }

    /// Opens the window once the system has come to rest, or has had time enough for it.
    pub(super) fn open_window_when_steady(
        &mut self,
        control: &Control,
        start_ns: u64,
        now: u64,
        telemetry: &mut Telemetry,
    ) {
        let load = &self.cell.load;
        let for_ns = now.saturating_sub(start_ns);
        let (warmed, late) = (for_ns >= load.warm_up.nanos(), for_ns >= load.warm_up_limit.nanos());
        let few = too_few_to_settle(self.cell);
        let opens = match self.share().is_whole() {
            false => self.common_window(warmed, late),
            true => {
                let rested = warmed && !few && self.rested(start_ns, now, telemetry);
                let opens = warmed && (rested || few || late);
                opens.then(|| (next_second(self.clock.now_ns(), AHEAD_NS), rested))
            }
        };
        if let Some((start, rested)) = opens {
            let end = start + load.duration.nanos();
            control.open_window(start, end);
            let seen = rested || (!few && load.warm_up_limit >= SEEN_AFTER);
            telemetry.settled = seen.then_some(rested);
            let how = match telemetry.settled {
                Some(true) => "settled",
                Some(false) => "not settled within the warm-up limit",
                None if few => "too few messages a second to tell",
                None => "the warm-up is too short to tell",
            };
            telemetry.event("steady", how);
            telemetry.event_at(start, "phase", Phase::Measure.name());
            telemetry.event_at(end, "phase", Phase::Drain.name());
        }
    }
}
