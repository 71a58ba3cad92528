//! How patient a client is with a broker in trouble: the same for every system, so that none
//! recovers sooner than another by its client's settings.
//!
//! Redis's drivers count by this themselves, Kafka's tells it to librdkafka, whose own defaults (10
//! s between attempts to connect, 60 s for an answer) would make up most of what is measured as a
//! recovery. Nothing here waits.

use crate::scenario::Load;
use crate::units::Span;

/// Pauses between attempts to connect: none before the first, then doubling.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff(u64);

impl Backoff {
    pub const FIRST_NS: u64 = 10_000_000;
    /// What a recovery is measured to: with half a second, as applications have it, ten restarts
    /// of Redis that took 0.1 to 0.8 s read 0.17, 0.33, 0.66 and 1.18 s, the ends of our pauses.
    pub const LONGEST_NS: u64 = 40_000_000;

    /// How long to wait now, ns; zero the first time.
    pub fn next(&mut self) -> u64 {
        let pause = self.0;
        self.0 = (self.0 * 2).clamp(Self::FIRST_NS, Self::LONGEST_NS);
        pause
    }

    pub fn reset(&mut self) {
        self.0 = 0;
    }
}

/// Above the 9 s after which Kafka takes a silent broker out of the in-sync replicas: until then
/// its leaders hold back their answers to `acks=all`, and to send again what is only held back may
/// store it twice. Where the controller went with the broker it takes 12 s: then some is sent
/// again, which an idempotent producer does not store twice.
const LONGEST_SILENCE_NS: u64 = 10_000_000_000;

/// For how long a server that owes an answer may keep silent before its connection counts as lost,
/// where clients outlive that: what the scenario says, or else half of `load.deadline` at most, so
/// that there is time for a second try.
pub fn request_timeout(load: &Load) -> Option<Span> {
    let deadline = load.deadline?;
    let silence = Span(LONGEST_SILENCE_NS.min(deadline.nanos() / 2));
    Some(load.request_timeout.unwrap_or(silence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_what_a_recovery_is_measured_to() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..9).map(|_| backoff.next() / 1_000_000).collect();
        assert_eq!(pauses, [0, 10, 20, 40, 40, 40, 40, 40, 40]);
        backoff.reset();
        assert_eq!(backoff.next(), 0);
    }

    #[test]
    fn silence_leaves_time_for_a_second_try() {
        let of = |deadline: Option<u64>, said: Option<u64>| {
            let [deadline, request_timeout] = [deadline, said].map(|s| s.map(Span::from_secs));
            super::request_timeout(&Load { deadline, request_timeout, ..Load::closed(1) })
        };
        assert_eq!(of(None, None), None, "each library as it comes");
        assert_eq!(of(Some(60), None), Some(Span::from_secs(10)));
        assert_eq!(of(Some(2), None), Some(Span::from_secs(1)));
        assert_eq!(of(Some(60), Some(3)), Some(Span::from_secs(3)));
    }
}
