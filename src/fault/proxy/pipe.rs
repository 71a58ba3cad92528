//! One direction of one connection: reads, holds back, writes.
//!
//! No byte is lost, repeated or reordered, whatever condition follows on whatever. The end of the
//! stream and a reset take their place in the queue behind the bytes before them. It may be
//! interrupted at any await: all that it knows is in the lane.

use super::flip::Flipper;
use super::rules::{CHUNK, Rules};
use super::{LinkEnd, Tally};
use crate::random::SplitMix64;
use rustix::net::{Shutdown, shutdown};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;

/// What a queued chunk costs beside its bytes; tiny ones must not grow past the limit.
const OVERHEAD: usize = 96;

/// What a lane runs between, and under.
pub(super) struct Way<'a> {
    pub from: &'a TcpStream,
    pub to: &'a TcpStream,
    pub rules: &'a Rules,
}

enum Item {
    Bytes { data: Vec<u8>, sent: usize },
    End,
    Reset,
}

struct HeldChunk {
    item: Item,
    arrived: Instant,
    release: Instant,
}

pub(super) struct ProxyPipe {
    toward: LinkEnd,
    queue: VecDeque<HeldChunk>,
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
            tally: Arc::clone(tally),
        }
    }

    /// Comes under other rules: what is held back leaves by these, in its order. `stream` tells
    /// this lane's draws.
    pub fn enter(&mut self, rules: &Rules, stream: u64) {
        let now = Instant::now();
        self.random = rules.timing.random(stream);
        self.flipper = Flipper::default();
        self.last = now;
        for held in &mut self.queue {
            let release =
                rules.timing.release(held.arrived, now, held.item.len(), &mut self.random);
            self.last = self.last.max(release);
            held.release = self.last;
        }
    }

    /// Carries until the stream has ended and its end has been passed on. An error: one end reset
    /// the connection, and the other is to be told the same.
    pub async fn carry(&mut self, way: Way<'_>) -> io::Result<()> {
        if way.rules.stalled {
            std::future::pending::<()>().await;
        }
        while !self.done {
            let blocked = self.write_what_is_due(&way)?;
            if self.done {
                break;
            }
            let room = !self.ended && self.held + self.queue.len() * OVERHEAD < way.rules.capacity;
            let next = self.queue.front().map(|held| held.release);
            tokio::select! {
                biased;
                ready = way.to.writable(), if blocked => ready?,
                ready = way.from.readable(), if room => {
                    ready?;
                    self.read_one(&way)?;
                }
                () = due(next), if !blocked => {}
            }
        }
        Ok(())
    }

    /// Whether the receiver takes no more for now.
    fn write_what_is_due(&mut self, way: &Way<'_>) -> io::Result<bool> {
        while let Some(head) = self.queue.front_mut() {
            if head.release > Instant::now() {
                return Ok(false);
            }
            match &mut head.item {
                Item::Bytes { data, sent } => {
                    let written = write(way.to, &data[*sent..])?;
                    if written == 0 {
                        return Ok(true);
                    }
                    *sent += written;
                    let all = *sent == data.len();
                    self.held -= written;
                    self.tally.count(|counters| {
                        counters.held -= written as u64;
                        counters.carried(self.toward, written);
                    });
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
                Item::Reset => return Err(ErrorKind::ConnectionReset.into()),
            }
        }
        Ok(false)
    }

    fn read_one(&mut self, way: &Way<'_>) -> io::Result<()> {
        let limit = way.rules.chunk.min(self.scratch.len());
        let last = match way.from.try_read(&mut self.scratch[..limit]) {
            Ok(0) => Item::End,
            Ok(count) => return self.take(count, way),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => Item::Reset,
        };
        let (arrived, release) = self.stamp(0, way.rules);
        self.queue.push_back(HeldChunk { item: last, arrived, release });
        self.ended = true;
        Ok(())
    }

    /// The first `count` bytes of the scratch have arrived. Bytes that may leave at once and find
    /// nothing before them are not queued: the common case.
    fn take(&mut self, count: usize, way: &Way<'_>) -> io::Result<()> {
        if let Some(flips) = &way.rules.flips {
            let flipped = self.flipper.pass(&mut self.scratch[..count], flips);
            self.tally.count(|counters| counters.flipped += flipped);
        }
        let (now, release) = self.stamp(count, way.rules);
        let mut sent = 0;
        if self.queue.is_empty() && release <= now {
            sent = write(way.to, &self.scratch[..count])?;
        }
        let held = count - sent;
        self.tally.count(|counters| {
            counters.carried(self.toward, sent);
            counters.held += held as u64;
        });
        if held > 0 {
            let data = self.scratch[sent..count].to_vec();
            self.held += held;
            self.queue.push_back(HeldChunk {
                item: Item::Bytes { data, sent: 0 },
                arrived: now,
                release,
            });
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
        self.tally.count(|counters| counters.held -= self.held as u64);
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

/// What the receiver takes; 0 when that is nothing for now.
fn write(to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match to.try_write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

async fn due(release: Option<Instant>) {
    match release {
        Some(release) => tokio::time::sleep_until(release.into()).await,
        None => std::future::pending().await,
    }
}
