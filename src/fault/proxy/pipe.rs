//! One direction of one connection: reads, holds back, writes.
//!
//! No byte is lost, repeated or reordered, whatever condition follows on whatever. The end of the stream and a reset
//! take their place in the queue behind the bytes before them. It may be interrupted at any await: all that it knows
//! is in the lane.

use super::LinkEnd;
use super::flip::Flipper;
use super::rules::{CHUNK, Rules};
use super::tally::Tally;
use crate::random::SplitMix64;
use rustix::net::{Shutdown, shutdown};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::net::TcpStream;

/// What a queued chunk costs beside its bytes; tiny ones must not grow past the limit.
const OVERHEAD: usize = 96;

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// One end reset it: the other is told the same.
    Passed,
    /// It has carried all that its condition allows.
    Spent,
}

/// What a connection may still carry, both directions together.
pub(super) struct Allowance(AtomicU64);

impl Allowance {
    pub fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }
    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn spend(&self, bytes: usize) {
        if self.left() != u64::MAX {
            self.0.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
    }
}

/// What a lane runs between, and under.
pub(super) struct Way<'a> {
    pub from: &'a TcpStream,
    pub to: &'a TcpStream,
    pub rules: &'a Rules,
    pub allowance: &'a Allowance,
}

enum Item {
    Bytes { data: Vec<u8>, sent: usize },
    End,
    Reset,
}

struct Held {
    item: Item,
    arrived: Instant,
    release: Instant,
}

pub(super) struct ProxyPipe {
    toward: LinkEnd,
    queue: VecDeque<Held>,
    /// Bytes in the queue.
    held: usize,
    /// When the last of the queue may leave; nothing behind it leaves earlier.
    last: Instant,
    random: SplitMix64,
    flipper: Flipper,
    scratch: Vec<u8>,
    /// Nothing more comes in.
    ended: bool,
    /// And nothing more goes out.
    done: bool,
    full: bool,
    tally: Arc<Tally>,
}

impl ProxyPipe {
    pub fn new(toward: LinkEnd, tally: &Arc<Tally>) -> Self {
        Self {
            toward,
            queue: VecDeque::new(),
            held: 0,
            last: Instant::now(),
            random: SplitMix64::new(0),
            flipper: Flipper::default(),
            scratch: vec![0; CHUNK],
            ended: false,
            done: false,
            full: false,
            tally: Arc::clone(tally),
        }
    }

    /// Comes under other rules: what is held back leaves by these, in its order. `stream` tells this lane's draws.
    pub fn enter(&mut self, rules: &Rules, stream: u64) {
        let now = Instant::now();
        self.random = rules.timing.random(stream);
        self.flipper = Flipper::default();
        self.full = false;
        self.last = now;
        for held in &mut self.queue {
            let release = rules.timing.release(held.arrived, now, held.item.len(), &mut self.random);
            self.last = self.last.max(release);
            held.release = self.last;
        }
    }

    /// Carries until the stream has ended and its end has been passed on.
    pub async fn carry(&mut self, way: Way<'_>) -> Result<(), Cut> {
        while !self.done {
            if way.rules.stalled {
                std::future::pending::<()>().await;
            }
            let blocked = self.write_what_is_due(&way)?;
            if self.done {
                break;
            }
            if way.allowance.left() == 0 {
                return Err(Cut::Spent);
            }
            let room = self.has_room(way.rules);
            let next = self.queue.front().map(|held| held.release);
            tokio::select! {
                biased;
                ready = way.to.writable(), if blocked => ready.map_err(|_| Cut::Passed)?,
                ready = way.from.readable(), if room => {
                    ready.map_err(|_| Cut::Passed)?;
                    self.read_one(&way)?;
                }
                () = due(next), if !blocked => {}
            }
        }
        Ok(())
    }

    /// Whether the receiver takes no more for now.
    fn write_what_is_due(&mut self, way: &Way<'_>) -> Result<bool, Cut> {
        while let Some(head) = self.queue.front_mut() {
            if head.release > Instant::now() {
                return Ok(false);
            }
            match &mut head.item {
                Item::Bytes { data, sent } => {
                    let written = write(way, &data[*sent..])?;
                    if written == 0 {
                        return Ok(true);
                    }
                    *sent += written;
                    let all = *sent == data.len();
                    self.held -= written;
                    self.tally.held.take(written as u64);
                    self.tally.carried(self.toward).add(written as u64);
                    if all {
                        self.queue.pop_front();
                    }
                }
                Item::End => {
                    // Fails only when the receiver is gone, which is an end as well.
                    let _ = shutdown(way.to, Shutdown::Write);
                    self.done = true;
                    return Ok(false);
                }
                Item::Reset => return Err(Cut::Passed),
            }
        }
        Ok(false)
    }

    fn has_room(&mut self, rules: &Rules) -> bool {
        if self.ended {
            return false;
        }
        let full = self.held + self.queue.len() * OVERHEAD >= rules.capacity;
        if full && !self.full && rules.timing.delays() {
            self.tally.full.add(1);
        }
        self.full = full;
        !full
    }

    fn read_one(&mut self, way: &Way<'_>) -> Result<(), Cut> {
        let limit = way.rules.chunk.min(self.scratch.len());
        let last = match way.from.try_read(&mut self.scratch[..limit]) {
            Ok(0) => Item::End,
            Ok(count) => return self.take(count, way),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => Item::Reset,
        };
        let (arrived, release) = self.stamp(0, way.rules);
        self.queue.push_back(Held { item: last, arrived, release });
        self.ended = true;
        Ok(())
    }

    /// The first `count` bytes of the scratch have arrived. Bytes that may leave at once and find nothing before them
    /// are not queued: the common case.
    fn take(&mut self, count: usize, way: &Way<'_>) -> Result<(), Cut> {
        if let Some(flips) = &way.rules.flips {
            self.tally.flipped.add(self.flipper.pass(&mut self.scratch[..count], flips));
        }
        let (now, release) = self.stamp(count, way.rules);
        let mut sent = 0;
        if self.queue.is_empty() && release <= now {
            sent = write(way, &self.scratch[..count])?;
            self.tally.carried(self.toward).add(sent as u64);
        }
        if sent < count {
            let data = self.scratch[sent..count].to_vec();
            self.held += data.len();
            self.tally.held.add(data.len() as u64);
            self.queue.push_back(Held { item: Item::Bytes { data, sent: 0 }, arrived: now, release });
        }
        Ok(())
    }

    /// Now, and when `length` bytes that arrive now may leave.
    fn stamp(&mut self, length: usize, rules: &Rules) -> (Instant, Instant) {
        let now = Instant::now();
        let release = rules.timing.release(now, now, length, &mut self.random);
        self.last = self.last.max(release);
        (now, self.last)
    }
}

impl Drop for ProxyPipe {
    fn drop(&mut self) {
        self.tally.held.take(self.held as u64);
    }
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Bytes { data, sent } => data.len() - sent,
            Self::End | Self::Reset => 0,
        }
    }
}

/// Writes what the receiver takes and the allowance permits; 0 when the receiver takes nothing for now.
fn write(way: &Way<'_>, bytes: &[u8]) -> Result<usize, Cut> {
    let permitted = bytes.len().min(usize::try_from(way.allowance.left()).unwrap_or(usize::MAX));
    if permitted == 0 {
        return Err(Cut::Spent);
    }
    match way.to.try_write(&bytes[..permitted]) {
        Ok(written) => {
            way.allowance.spend(written);
            Ok(written)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(_) => Err(Cut::Passed),
    }
}

async fn due(release: Option<Instant>) {
    match release {
        Some(release) => tokio::time::sleep_until(release.into()).await,
        None => std::future::pending().await,
    }
}
