//! Where the shards of a run meet: on the broker itself, by two boards beside the cell's own topic,
//! stream or list. On one everybody speaks to the first shard, on the other it speaks to all, so
//! that the traffic grows with the number of shards and not with its square.
//!
//! A cell goes: hello → echoes → prepared → ready → go → beats, window, beats → stop → echoes →
//! left. Nobody sends before all are ready, and all begin at one time. Whoever fails says why, and
//! all end; whoever is silent under load is named, and all end. So a cell is whole or invalid,
//! never short.

mod clocks;
mod first;
mod gather;
mod lines;
mod other;
#[cfg(test)]
mod tests;

pub use gather::Gathering;
pub use lines::{Beat, Host, Terms};

use super::cell_run::CellRunError;
use crate::clock::Clock;
use crate::driver::{Driver, DriverError};
use crate::record::SECOND_NS;
use crate::result::shard::ShardClock;
use crate::schedule::{Placement, Shard};
use first::{First, Member};
use lines::{Down, Up};
use other::Other;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The two boards of a cell, by name: to the first shard, and from it.
pub const BOARDS: [&str; 2] = ["up", "down"];

/// A line of each shard, under load.
const EVERY: Duration = Duration::from_secs(1);
/// How often a shard looks, under load: each look of a thousand shards is a request.
const GLANCE: Duration = Duration::from_millis(250);
/// Whoever says nothing for so long under load is gone.
const SILENCE: Duration = Duration::from_secs(if cfg!(test) { 4 } else { 10 });
/// From the word to begin, or to open the window, until it is time: all must have heard it.
const LEAD_NS: u64 = 2 * SECOND_NS;
/// How long all may take to connect, or the first to make what is loaded.
const TOGETHER: Duration = Duration::from_secs(180);
/// How long all may take to say that they have what they need.
const LEAVE: Duration = Duration::from_secs(60);
/// How long a last word needs: some clients send by a thread of their own, which ends with them.
const SENT: Duration = Duration::from_millis(100);
/// How long a look at a board waits, where there is nothing else to do.
const LOOK: Duration = Duration::from_millis(100);

/// Why a cell that several shards run comes to its end.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// Who, and why.
    #[error("{0}")]
    Ended(String),
    #[error("the shards cannot meet: {0}")]
    Board(#[from] DriverError),
}

type Passed = Result<(), BarrierError>;

/// When the load begins, and whose stamps can be compared with ours, by shard.
pub struct Go {
    pub start_ns: u64,
    pub comparable: Vec<bool>,
}

enum Side {
    First(First),
    Other(Other),
}

pub struct Barrier {
    shard: Shard,
    placement: Placement,
    host: Host,
    side: Side,
    clock: Clock,
    /// What offsets count from, and where the zero of all clocks lies from there.
    base: Instant,
    zero_ns: i64,
    /// How well that is known.
    bound_ns: u64,
    /// Where the first shard opens it.
    window: Option<(u64, bool)>,
    stopped: bool,
    glanced: Instant,
    beaten: Instant,
    /// Nothing more is said.
    over: bool,
}

impl Barrier {
    pub fn shard(&self) -> Shard {
        self.shard
    }

    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The same for all shards, as well as it is known.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The first makes what is loaded; the others wait for it.
    pub fn prepare(
        &mut self,
        driver: &dyn Driver,
        interrupted: &AtomicBool,
    ) -> Result<(), CellRunError> {
        if let Side::First(first) = &mut self.side {
            driver.prepare()?;
            return Ok(first.say(&Down::Prepared)?);
        }
        self.until(TOGETHER, interrupted, |side| match side {
            Side::Other(other) if !other.prepared => {
                Some("shard 0 did not make what is loaded".to_owned())
            }
            _ => None,
        })?;
        Ok(())
    }

    /// Everything of this shard is connected: waits until the same is true of all.
    pub fn start(&mut self, interrupted: &AtomicBool) -> Result<Go, BarrierError> {
        match &mut self.side {
            Side::First(first) => {
                first.own().into_iter().for_each(|own| own.ready = true);
                self.until(TOGETHER, interrupted, |side| {
                    let missing = first_lacks(side, |member| member.ready);
                    lacking(&missing, "did not connect all clients", TOGETHER)
                })?;
            }
            Side::Other(other) => {
                other.say(Up::Ready)?;
                self.until(2 * TOGETHER, interrupted, |side| match side {
                    Side::Other(other) if other.go.is_none() => {
                        Some("shard 0 did not say when to begin".to_owned())
                    }
                    _ => None,
                })?;
            }
        }
        let (start_ns, bounds_ns) = self.begun()?;
        if let Some(why) = self.untimely(start_ns) {
            let why = format!("heard the word to begin {why}");
            self.abort(&why);
            return Err(BarrierError::Ended(why));
        }
        Ok(Go { start_ns, comparable: comparable(self.placement, self.shard, &bounds_ns) })
    }

    /// Whether a time that was said is over, or is none: anybody may write on a broker.
    fn untimely(&self, start_ns: u64) -> Option<&'static str> {
        match start_ns.checked_sub(self.clock.now_ns()) {
            None | Some(0) => Some("too late"),
            Some(ahead_ns) if ahead_ns > 10 * LEAD_NS => Some("for a time that is far away"),
            Some(_) => None,
        }
    }

    /// When all begin, and how well each clock is known.
    fn begun(&mut self) -> Result<(u64, Vec<u64>), BarrierError> {
        let start_ns = self.clock.now_ns() + LEAD_NS;
        match &mut self.side {
            Side::First(first) => {
                let bounds_ns: Vec<u64> =
                    first.members.iter().map(|member| member.bound_ns.unwrap_or(0)).collect();
                first.say(&Down::Go { start_ns, bounds_ns: bounds_ns.clone() })?;
                first.load_begins();
                Ok((start_ns, bounds_ns))
            }
            Side::Other(other) => {
                other.load_begins();
                let none = || BarrierError::Ended("shard 0 did not say when to begin".into());
                other.go.clone().ok_or_else(none)
            }
        }
    }

    /// Says how far this shard is, and hears how far the others are. Never waits. Called many times
    /// a second while there is load or something on its way.
    pub fn touch(&mut self, beat: Beat) -> Passed {
        if self.glanced.elapsed() < GLANCE {
            return Ok(());
        }
        self.glanced = Instant::now();
        self.look(Duration::ZERO)?;
        let due = self.beaten.elapsed() >= EVERY;
        if due {
            self.beaten = Instant::now();
        }
        match &mut self.side {
            Side::First(first) => {
                if let Some(own) = first.own() {
                    own.beat = beat;
                }
                if due { first.say(&Down::Beat) } else { Ok(()) }
            }
            Side::Other(other) => {
                let opens = self.window.is_none().then_some(other.window).flatten();
                (self.window, self.stopped) = (other.window, other.stopped);
                let said = if due { other.say(Up::Beat(beat)) } else { Ok(()) };
                match opens.and_then(|(start_ns, _)| self.untimely(start_ns)) {
                    Some(why) => Err(BarrierError::Ended(format!("heard of the window {why}"))),
                    None => said,
                }
            }
        }
    }

    /// What each shard said of itself last; only the first knows, to whom it matters.
    pub fn beats(&self) -> Option<Vec<&Beat>> {
        match &self.side {
            Side::First(first) => Some(first.members.iter().map(|member| &member.beat).collect()),
            Side::Other(_) => None,
        }
    }

    /// The first shard opens the window of all; not before it can be told to them.
    pub fn open_window(&mut self, next_second: impl Fn(u64) -> u64, rested: bool) -> Passed {
        let start_ns = next_second(self.clock.now_ns() + LEAD_NS);
        let Side::First(first) = &mut self.side else { return Ok(()) };
        self.window = Some((start_ns, rested));
        first.say(&Down::Window { start_ns, rested })
    }

    /// When the window opens, and whether the system had come to rest.
    pub fn window(&self) -> Option<(u64, bool)> {
        self.window
    }

    /// The first shard ends the waiting for deliveries.
    pub fn stop(&mut self) -> Passed {
        self.stopped = true;
        match &mut self.side {
            Side::First(first) => first.say(&Down::Stop),
            Side::Other(_) => Ok(()),
        }
    }

    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The last words: by further echoes it is known whether the clocks went apart meanwhile.
    pub fn leave(&mut self, interrupted: &AtomicBool) -> Result<ShardClock, BarrierError> {
        if self.shard.leads() {
            self.await_the_others(interrupted)?;
        } else {
            self.drifted(interrupted)?;
        }
        if let Side::Other(other) = &mut self.side {
            other.leave()?;
        }
        self.over = true;
        let Host { name, synchronised_by, .. } = self.host.clone();
        Ok(ShardClock { host: name, bound_ns: self.bound_ns, synchronised_by })
    }

    fn await_the_others(&mut self, interrupted: &AtomicBool) -> Passed {
        if let Side::First(first) = &mut self.side {
            first.own().into_iter().for_each(|own| own.left = true);
        }
        self.until(LEAVE, interrupted, |side| {
            let missing = first_lacks(side, |member| member.left);
            lacking(&missing, "did not come to the end", LEAVE)
        })
    }

    /// Ends it for all, once.
    pub fn abort(&mut self, why: &str) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        // Who does not hear it hears nothing at all any more.
        let _ = match &mut self.side {
            Side::First(first) => {
                let why = format!("shard {} (on {}) ended: {why}", self.shard, self.host.name);
                first.say(&Down::Abort { why })
            }
            Side::Other(other) => other.say(Up::Abort { why: why.to_owned() }),
        };
        std::thread::sleep(SENT);
    }

    /// Whether this shard takes away what was made: the first, or any other once it is gone.
    pub fn clears_up(&self) -> bool {
        match &self.side {
            Side::First(_) => true,
            Side::Other(other) => other.deserted || other.first_is_gone(),
        }
    }

    /// Deletes the boards.
    pub fn dismiss(self) -> Passed {
        match self.side {
            Side::First(first) => first.remove(),
            Side::Other(other) => other.remove(),
        }
    }

    fn other(&mut self, line: Up) -> Passed {
        match &mut self.side {
            Side::Other(other) => other.say(line),
            Side::First(_) => Ok(()),
        }
    }

    /// Reads what has come. What ends it for one ends it for all.
    fn look(&mut self, limit: Duration) -> Passed {
        let looked = match &mut self.side {
            Side::First(first) => first.look(limit),
            Side::Other(other) => other.look(limit),
        };
        if let Err(BarrierError::Ended(why)) = &looked {
            match &mut self.side {
                // It names who ended, where `abort` would name the first.
                Side::First(first) if !self.over => {
                    let _ = first.say(&Down::Abort { why: why.clone() });
                }
                _ => {}
            }
            self.over = true;
        }
        looked
    }

    fn unless_interrupted(&mut self, interrupted: &AtomicBool) -> Passed {
        if !interrupted.load(Relaxed) {
            return Ok(());
        }
        self.abort(INTERRUPTED);
        Err(BarrierError::Ended(INTERRUPTED.into()))
    }

    /// Waits as long as something is `missing`, and then ends it for all.
    fn until(
        &mut self,
        limit: Duration,
        interrupted: &AtomicBool,
        missing: impl Fn(&Side) -> Option<String>,
    ) -> Passed {
        let deadline = Instant::now() + limit;
        loop {
            self.look(LOOK)?;
            let Some(why) = missing(&self.side) else { return Ok(()) };
            self.unless_interrupted(interrupted)?;
            if Instant::now() >= deadline {
                // The others wait for the first alone.
                if let Side::Other(other) = &mut self.side {
                    other.deserted = true;
                }
                self.abort(&why);
                return Err(BarrierError::Ended(why));
            }
        }
    }
}

/// What a shard says that a user has stopped.
pub const INTERRUPTED: &str = "interrupted by its user";

fn first_lacks(side: &Side, has: impl Fn(&Member) -> bool) -> Vec<String> {
    match side {
        Side::First(first) => first.lacking(has),
        Side::Other(_) => Vec::new(),
    }
}

fn lacking(missing: &[String], what: &str, within: Duration) -> Option<String> {
    let words = || format!("{} {what} within {} s", missing.join(", "), within.as_secs());
    (!missing.is_empty()).then(words)
}

/// Across hosts stamps differ by what their clocks do, and only `apart` asks for them all the same;
/// where a bound is 0, the clock is that of the first shard's own kernel.
fn comparable(placement: Placement, shard: Shard, bounds_ns: &[u64]) -> Vec<bool> {
    let exact = |index: usize| bounds_ns.get(index) == Some(&0);
    let own = usize::from(shard.index);
    let with = |other: usize| other == own || (exact(own) && exact(other));
    (0..usize::from(shard.count)).map(|i| placement == Placement::Apart || with(i)).collect()
}
