//! What a condition means for connections and for streams of bytes.
//!
//! All time is a rule that gives each chunk, when it is read, the moment at which it may leave.
//! Nothing sleeps for a chunk, so a delay does not limit throughput and a late wake-up is not added
//! to the next chunk's time.

use super::flip::Flips;
use super::{Condition, LinkEnd};
use crate::random::SplitMix64;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What one read takes at most.
pub(super) const CHUNK: usize = 64 << 10;
/// Held back at most in one direction of one connection under latency: 100 ms of 640 MB/s.
pub(super) const LONGEST_QUEUE: usize = 64 << 20;
/// How far ahead of a paced line chunks are taken in:
/// a wake-up may be so late without loss of rate.
const AHEAD: u64 = 50;

/// A condition in force. It ends, and its `left` with it, when the last connection has gone over to
/// the next one.
#[derive(Debug)]
pub(super) struct State {
    condition: Condition,
    /// Whose connections it holds for; `None`: for all.
    only: Option<IpAddr>,
    to_client: Rules,
    to_upstream: Rules,
    /// For the others.
    open: Rules,
    _left: oneshot::Sender<()>,
}

impl State {
    /// The receiver resolves when no connection is under this state any more, after another has
    /// replaced it.
    pub fn new(condition: Condition) -> (Arc<Self>, oneshot::Receiver<()>) {
        Self::holding(condition, None)
    }

    /// For what comes from one address alone, where connections live under the condition.
    pub fn holding(
        condition: Condition,
        only: Option<IpAddr>,
    ) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (_left, left) = oneshot::channel();
        let (mut to_client, to_upstream) = (Rules::new(&condition), Rules::new(&condition));
        to_client.flips = None;
        let open = Rules::new(&Condition::None);
        (Arc::new(Self { condition, only, to_client, to_upstream, open, _left }), left)
    }

    /// Whether connections live under it; else they are cut.
    pub fn carries(&self) -> bool {
        !matches!(self.condition, Condition::Reset | Condition::Refuse)
    }

    /// Of a connection that comes from `source`.
    pub fn rules(&self, toward: LinkEnd, source: IpAddr) -> &Rules {
        match toward {
            _ if self.only.is_some_and(|only| only != source) => &self.open,
            LinkEnd::Client => &self.to_client,
            LinkEnd::Upstream => &self.to_upstream,
        }
    }
}

/// What holds for the bytes on their way to one side.
#[derive(Debug)]
pub(super) struct Rules {
    pub stalled: bool,
    pub timing: Timing,
    pub flips: Option<Flips>,
    /// One read takes at most so much: at most a millisecond of a paced line.
    pub chunk: usize,
    /// So much is held back at most.
    pub capacity: usize,
}

impl Rules {
    fn new(condition: &Condition) -> Self {
        let open = Self {
            stalled: false,
            timing: Timing::AtOnce,
            flips: None,
            chunk: CHUNK,
            capacity: CHUNK,
        };
        match *condition {
            Condition::Latency { delay, jitter, seed } => Self {
                timing: Timing::Delayed { delay, jitter, seed },
                capacity: LONGEST_QUEUE,
                ..open
            },
            Condition::Bandwidth { bytes_per_s } => {
                let chunk = (bytes_per_s / 1000).clamp(1, CHUNK as u64) as usize;
                let capacity =
                    (bytes_per_s / AHEAD).clamp(2 * chunk as u64, LONGEST_QUEUE as u64) as usize;
                Self { timing: Timing::Paced(Line::new(bytes_per_s)), chunk, capacity, ..open }
            }
            Condition::Stall => Self { stalled: true, ..open },
            Condition::BitFlip { every, seed } => {
                Self { flips: Some(Flips::new(every, seed)), ..open }
            }
            Condition::None | Condition::Reset | Condition::Refuse => open,
        }
    }
}

/// When a chunk may leave.
#[derive(Debug)]
pub(super) enum Timing {
    AtOnce,
    Delayed { delay: Duration, jitter: Duration, seed: u64 },
    Paced(Line),
}

impl Timing {
    /// For `length` bytes that came at `arrived`, seen at `now` (later, when they were held under
    /// another condition).
    pub fn release(
        &self,
        arrived: Instant,
        now: Instant,
        length: usize,
        random: &mut SplitMix64,
    ) -> Instant {
        match self {
            Self::AtOnce => arrived,
            Self::Delayed { delay, jitter, .. } => arrived + jittered(*delay, *jitter, random),
            Self::Paced(line) => line.send(now, length),
        }
    }

    /// The randomness of one stream.
    pub fn random(&self, stream: u64) -> SplitMix64 {
        match self {
            Self::Delayed { seed, .. } => SplitMix64::stream(*seed, stream),
            Self::AtOnce | Self::Paced(_) => SplitMix64::new(stream),
        }
    }
}

/// `delay` − `jitter` to `delay` + `jitter`, uniformly, but never less than nothing.
fn jittered(delay: Duration, jitter: Duration, random: &mut SplitMix64) -> Duration {
    if jitter.is_zero() {
        return delay;
    }
    let spread = 2 * jitter.as_nanos() as u64 + 1;
    (delay + Duration::from_nanos(random.next_u64() % spread)).saturating_sub(jitter)
}

/// A line of a fixed rate, shared by all connections: a token bucket kept as the moment until which
/// it is busy.
#[derive(Debug)]
pub(super) struct Line {
    bytes_per_s: u64,
    busy_until: Mutex<Option<Instant>>,
}

impl Line {
    fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), busy_until: Mutex::new(None) }
    }

    /// Puts `length` bytes behind what is on the line already; the moment at which the last of them
    /// is over.
    fn send(&self, now: Instant, length: usize) -> Instant {
        let takes = (length as u128 * 1_000_000_000).div_ceil(u128::from(self.bytes_per_s));
        let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = busy_until.map_or(now, |busy| busy.max(now));
        let ends = begins + Duration::from_nanos(takes as u64);
        *busy_until = Some(ends);
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_line_has_its_rate_and_no_burst_after_a_pause() {
        let (line, start) = (Line::new(1_000_000), Instant::now());
        for n in 1..=10u32 {
            assert_eq!(line.send(start, 1000), start + n * MS);
        }
        assert_eq!(line.send(start + 50 * MS, 1000), start + 51 * MS);
        assert_eq!(line.send(start + 50 * MS, 1), start + 51 * MS + Duration::from_micros(1));
    }

    #[test]
    fn jitter_stays_in_its_range_and_never_goes_below_nothing() {
        let mut random = SplitMix64::new(3);
        let drawn: Vec<_> = (0..10_000).map(|_| jittered(10 * MS, 4 * MS, &mut random)).collect();
        assert!(drawn.iter().all(|delay| (6 * MS..=14 * MS).contains(delay)));
        assert!(
            drawn.iter().any(|delay| *delay < 7 * MS) && drawn.iter().any(|delay| *delay > 13 * MS)
        );
        assert!((0..10_000).any(|_| jittered(MS, 5 * MS, &mut random).is_zero()));
    }

    #[test]
    fn a_chunk_of_a_paced_line_is_at_most_a_millisecond() {
        for bytes_per_s in [1, 999, 10_000, 5_000_000, 1 << 40] {
            let rules = Rules::new(&Condition::Bandwidth { bytes_per_s });
            assert!(rules.chunk as u64 <= (bytes_per_s / 1000).max(1), "{bytes_per_s}");
            assert!(rules.capacity >= 2 * rules.chunk && rules.capacity <= LONGEST_QUEUE);
        }
    }

    #[test]
    fn only_what_clients_send_is_damaged() {
        let (state, _left) = State::new(Condition::BitFlip { every: 1, seed: 1 });
        let anybody = IpAddr::from([127, 0, 0, 1]);
        assert!(
            state.rules(LinkEnd::Client, anybody).flips.is_none()
                && state.rules(LinkEnd::Upstream, anybody).flips.is_some()
        );
    }

    #[test]
    fn what_holds_for_one_holds_for_nobody_else() {
        let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let (state, _left) = State::holding(Condition::Stall, Some(one));
        for toward in [LinkEnd::Client, LinkEnd::Upstream] {
            assert!(state.rules(toward, one).stalled && !state.rules(toward, other).stalled);
        }
        let (all, _left) = State::new(Condition::Stall);
        assert!(all.rules(LinkEnd::Client, other).stalled);
    }
}
