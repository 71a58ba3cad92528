//! How shards come together: they agree on what is run, and on the time.

use super::clocks::{Bracket, moved, since_ns};
use super::first::{First, Member};
use super::lines::{Down, Hello, Host, Terms, Up};
use super::other::Other;
use super::{Barrier, BarrierError, LOOK, Passed, Side, first_lacks, lacking};
use crate::clock::{self, Clock};
use crate::driver::capability::Board;
use crate::random::SplitMix64;
use crate::schedule::{Placement, Shard};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How long one echo may take, also where the first has thousands to answer.
const ECHO: Duration = Duration::from_secs(60);
const ECHOES: u32 = 8;
/// How long the others have to read why all end, before the boards go.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often a user is told who is missing.
const TELL: Duration = Duration::from_secs(15);

/// What a shard brings.
pub struct Gathering<'a> {
    pub shard: Shard,
    pub placement: Placement,
    pub terms: Terms,
    pub host: Host,
    /// How long the others may take to come.
    pub wait: Duration,
    pub interrupted: &'a AtomicBool,
    /// Tells the user who is missing.
    pub tell: &'a mut dyn FnMut(&str),
}

impl Barrier {
    /// Meets all other shards, agrees with them on what is run, and on the time.
    pub fn gather(
        gathering: Gathering<'_>,
        boards: [Box<dyn Board>; 2],
        clock: Clock,
    ) -> Result<Self, BarrierError> {
        let Gathering { shard, placement, terms, host, wait, interrupted, tell } = gathering;
        let nonce =
            SplitMix64::new(clock::monotonic_ns() ^ u64::from(std::process::id()) << 48).next_u64();
        let hello = Hello { terms, host: host.clone(), nonce };
        let side = match shard.leads() {
            true => Side::First(First::new(boards, clock, hello.clone())),
            false => Side::Other(Other::new(boards, shard)),
        };
        let mut barrier = Self {
            shard,
            placement,
            host,
            side,
            clock,
            base: Instant::now(),
            zero_ns: 0,
            bound_ns: 0,
            window: None,
            stopped: false,
            glanced: Instant::now(),
            beaten: Instant::now(),
            over: false,
        };
        barrier.alone()?;
        let gathered = match shard.leads() {
            true => barrier.open(nonce, wait, interrupted, tell),
            false => barrier.join(hello, wait, interrupted),
        };
        match gathered {
            Ok(()) => Ok(barrier),
            Err(error) => {
                if barrier.clears_up() {
                    std::thread::sleep(FAREWELL);
                    // What ended it is what matters.
                    let _ = barrier.dismiss();
                }
                Err(error)
            }
        }
    }

    /// Nobody else leads the run: then the boards are somebody's, and stay.
    fn alone(&mut self) -> Passed {
        let Side::First(first) = &mut self.side else { return Ok(()) };
        if first.down.read(Duration::from_secs(1))?.is_empty() {
            return Ok(());
        }
        Err(BarrierError::Ended(format!(
            "shard {} is there twice, or the run id was used before: give each run an id of its \
             own",
            self.shard
        )))
    }

    /// Says where the zero of the clock is, and waits for all others to have set theirs by it.
    fn open(
        &mut self,
        nonce: u64,
        wait: Duration,
        interrupted: &AtomicBool,
        tell: &mut dyn FnMut(&str),
    ) -> Passed {
        let zero_ns = clock::monotonic_ns().saturating_sub(self.clock.now_ns());
        let boot = self.host.boot.clone();
        let Side::First(first) = &mut self.side else { return Ok(()) };
        first.say(&Down::Open { boot, zero_ns, nonce })?;
        let began = Instant::now();
        let mut told = began;
        let set = |member: &Member| member.bound_ns.is_some();
        while !first_lacks(&self.side, set).is_empty() && began.elapsed() < wait {
            self.look(LOOK)?;
            self.unless_interrupted(interrupted)?;
            if told.elapsed() >= TELL {
                told = Instant::now();
                let missing = first_lacks(&self.side, set).join(", ");
                tell(&format!("waiting for {missing}"));
            }
        }
        self.until(Duration::ZERO, interrupted, |side| {
            let missing = first_lacks(side, set);
            lacking(&missing, "did not come", wait)
        })
    }

    /// Says hello, and sets the clock by the first shard's.
    fn join(&mut self, hello: Hello, wait: Duration, interrupted: &AtomicBool) -> Passed {
        self.base = Instant::now();
        let base_ns = clock::monotonic_ns();
        self.other(Up::Hello(hello))?;
        self.until(wait, interrupted, |side| match side {
            Side::Other(other) if other.opened.is_none() => {
                Some(format!("shard 0 did not come within {} s", wait.as_secs()))
            }
            _ => None,
        })?;
        let bracket = self.echoes(0, interrupted)?;
        let opened = if let Side::Other(other) = &self.side { other.opened.clone() } else { None };
        let own_kernel = opened
            .filter(|opened| opened.boot.is_some() && opened.boot == self.host.boot)
            .map(|opened| (opened.zero_ns as i64).saturating_sub(base_ns as i64))
            .filter(|offset_ns| bracket.allows(*offset_ns));
        self.zero_ns = own_kernel.unwrap_or(bracket.middle_ns());
        self.bound_ns = own_kernel.map_or(bracket.farthest_ns(self.zero_ns), |_| 0);
        self.clock = Clock::counting_from(moved(self.base, self.zero_ns));
        self.other(Up::Clock { bound_ns: self.bound_ns })
    }

    /// Asks the first shard for the time, again and again.
    fn echoes(&mut self, from: u32, interrupted: &AtomicBool) -> Result<Bracket, BarrierError> {
        let mut bracket = Bracket::unknown();
        for number in from..from + ECHOES {
            let asked_ns = since_ns(self.base, Instant::now());
            self.other(Up::Echo { number })?;
            let answer = |side: &Side| match side {
                Side::Other(other) => other.echoes.iter().rfind(|echo| echo.0 == number).copied(),
                Side::First(_) => None,
            };
            self.until(ECHO, interrupted, |side| {
                answer(side).is_none().then(|| "shard 0 did not answer an echo".to_owned())
            })?;
            if let Some((_, at_ns, heard)) = answer(&self.side) {
                bracket.narrow(asked_ns, since_ns(self.base, heard), at_ns);
            }
        }
        Ok(bracket)
    }

    /// Whether the clocks went apart under load.
    pub(super) fn drifted(&mut self, interrupted: &AtomicBool) -> Passed {
        let bracket = self.echoes(ECHOES, interrupted)?;
        let exact = self.bound_ns == 0 && bracket.allows(self.zero_ns);
        if !exact {
            self.bound_ns = self.bound_ns.max(bracket.farthest_ns(self.zero_ns));
        }
        Ok(())
    }
}
