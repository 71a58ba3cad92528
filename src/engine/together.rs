//! A cell that several shards run together: what each says to the others while there is load, and
//! what the first decides for all: when the window opens, and when nothing more is waited for.

use super::barrier::{Beat, INTERRUPTED};
use super::cell_run::{CellRun, CellRunError, LISTEN_ON, LOOK};
use super::collect::Telemetry;
use super::control::{Control, next_second};
use crate::driver::Driver;
use crate::record::SECOND_NS;
use crate::result::shard::ShardClock;
use crate::schedule::Share;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// Where some messages were never answered: for how long nothing must have arrived anywhere. Beats
/// come once a second.
const QUIET_NS: u64 = 3 * SECOND_NS;

/// How far all shards are, put together.
struct Sum {
    published: bool,
    sent: u64,
    owed: u64,
    consumed: Vec<u64>,
}

impl Sum {
    fn of(beats: &[&Beat], subscriptions: usize) -> Self {
        let consumed = |subscription: usize| -> u64 {
            beats.iter().filter_map(|beat| beat.consumed.get(subscription)).sum()
        };
        Self {
            published: beats.iter().all(|beat| beat.published),
            sent: beats.iter().map(|beat| beat.sent).sum(),
            owed: beats.iter().map(|beat| beat.owed).sum(),
            consumed: (0..subscriptions).map(consumed).collect(),
        }
    }

    /// Whether every subscription has everything. What was never answered may arrive as well, and
    /// must not stand for what is still missing.
    fn delivered(&self, quiet: bool) -> bool {
        self.consumed.iter().all(|count| *count >= self.sent || (*count >= self.owed && quiet))
    }
}

impl CellRun<'_, '_> {
    /// What of the cell this process runs.
    pub(super) fn share(&self) -> Share {
        let whole = Share::whole(self.cell.load.clients());
        match &self.barrier {
            Some(barrier) => {
                Share { shard: barrier.shard(), placement: barrier.placement(), ..whole }
            }
            None => whole,
        }
    }

    /// What is loaded is made, by whoever makes it.
    pub(super) fn prepare(&mut self, driver: &dyn Driver) -> Result<(), CellRunError> {
        match &mut self.barrier {
            Some(barrier) => barrier.prepare(driver, self.interrupted),
            None => Ok(driver.prepare()?),
        }
    }

    /// Everything is connected: when the load begins.
    pub(super) fn begin(&mut self, control: &Control) -> Result<u64, CellRunError> {
        let Some(barrier) = &mut self.barrier else {
            return Ok(self.clock.now_ns() + SECOND_NS / 20);
        };
        let go = barrier.start(self.interrupted)?;
        // Nobody has set it before.
        let _ = control.comparable.set(go.comparable);
        Ok(go.start_ns)
    }

    /// Says to the others how far this shard is, and hears how far they are. Returns why all end,
    /// if they do; nothing where this process runs the whole cell.
    pub(super) fn touch(&mut self, control: &Control, mut beat: Beat) -> Option<String> {
        let barrier = self.barrier.as_mut()?;
        beat.sent = control.sent.load(Relaxed);
        beat.consumed = control.consumed.iter().map(|count| count.load(Relaxed)).collect();
        if self.interrupted.load(Relaxed) {
            barrier.abort(INTERRUPTED);
            return Some(INTERRUPTED.to_owned());
        }
        let ended = barrier.touch(beat).err();
        ended.map(|error| error.to_string())
    }

    /// Whether this is a shard without producers, which is there until the window is over.
    pub(super) fn stays(&self, control: &Control) -> bool {
        let sends = self.share().producers().next().is_some();
        let over = |(_, end): (u64, u64)| end == u64::MAX || self.clock.now_ns() >= end;
        !sends && !control.abandoned() && !control.window().is_some_and(over)
    }

    /// Tells the others why this shard ends.
    pub(super) fn abort(&mut self, why: &str) {
        if let Some(barrier) = &mut self.barrier {
            barrier.abort(why);
        }
    }

    /// When the window opens, if that is known by now, and whether the system had come to rest: the
    /// first shard says so once it has for all of them, or they have waited long enough.
    pub(super) fn common_window(&mut self, warmed: bool, late: bool) -> Option<(u64, bool)> {
        let barrier = self.barrier.as_mut()?;
        if barrier.window().is_none() && warmed {
            let rested = barrier.beats().is_some_and(|all| all.iter().all(|beat| beat.rested));
            if rested || late {
                let next = |now_ns| next_second(now_ns, 0);
                // That it was not heard shows when the others are silent.
                let _ = barrier.open_window(next, rested);
            }
        }
        barrier.window()
    }

    /// Waits until every subscription has everything from everybody, or the drain's deadline, and
    /// takes leave of the others. The error is why all end.
    pub(super) fn await_all(
        &mut self,
        control: &Control,
        owed: u64,
        telemetry: &mut Telemetry,
    ) -> Result<ShardClock, String> {
        let mut last = (0, self.clock.now_ns());
        let mut published_ns = None;
        loop {
            let beat = Beat { rested: true, published: true, owed, ..Beat::default() };
            if let Some(why) = self.touch(control, beat) {
                return Err(why);
            }
            if let Err(why) = self.alive() {
                self.abort(&why);
                return Err(why);
            }
            telemetry.absorb(control.window());
            let (now, drain) = (self.clock.now_ns(), self.cell.load.drain.nanos());
            let Some(barrier) = self.barrier.as_mut() else { break };
            if barrier.stopped() {
                break;
            }
            let sum = barrier.beats().map(|beats| Sum::of(&beats, control.consumed.len()));
            if let Some(sum) = sum {
                let all = sum.consumed.iter().sum::<u64>();
                if all != last.0 {
                    last = (all, now);
                }
                if sum.published {
                    let since: u64 = *published_ns.get_or_insert(now);
                    let quiet = now - last.1 >= QUIET_NS;
                    if sum.delivered(quiet) || now >= since + drain {
                        barrier.stop().map_err(|error| error.to_string())?;
                    }
                }
            }
            thread::sleep(LOOK / 5);
        }
        thread::sleep(LISTEN_ON);
        self.sample(telemetry);
        let Some(barrier) = &mut self.barrier else { return Ok(ShardClock::default()) };
        barrier.leave(self.interrupted).map_err(|error| error.to_string())
    }
}
