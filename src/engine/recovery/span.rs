//! The time that belongs to one fault, and what of the silences in it counts as its outage.

use super::Listened;
use crate::model::Told;
use crate::record::{NEVER, PerTenth, SECOND_NS, SILENCE_NS, Silence, TENTH_NS};
use crate::result::Unavailable;

/// How long after a fault any silence counts as caused by it. One that begins later, in the time
/// that the fault is in force, must itself be longer than this: a disk that fills up and a primary
/// that misses its replicas stop service when they have noticed, and load makes short pauses by
/// itself.
const ONSET_NS: u64 = SECOND_NS;
/// Share of the offered rate that counts as recovered, and for how many tenths of a second it must
/// last.
const RECOVERED: f64 = 0.9;
const LASTING_TENTHS: usize = 10;
/// Where nothing is offered by a plan: the rate before the fault over at most so many tenths.
const BASE_TENTHS: usize = 50;
/// Silences that are named of each stream and fault: the longest.
const NAMED: usize = 3;

/// It cannot be known when a partition came back: later than all of those of which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotSeen;

/// When a partition came back; `None` for one on which nothing ever happened.
pub type Recovered = Option<Result<Told, NotSeen>>;

/// The time that belongs to one fault: until the next one.
pub struct FaultSpan {
    pub effect: u64,
    /// Until when the fault was in force.
    pub over: u64,
    pub next: Option<u64>,
    pub load_end: u64,
    /// Whether a silence may be the ordinary time between two messages.
    pub sparse: bool,
}

impl FaultSpan {
    fn end(&self) -> u64 {
        self.next.unwrap_or(self.load_end)
    }

    /// Of each partition.
    pub fn rto_of_all(
        &self,
        partitions: &[Listened],
        what: &str,
        words: &mut Vec<String>,
    ) -> Vec<Recovered> {
        let (mut quiet, mut pauses) = (0, Vec::new());
        let all: Vec<Recovered> = partitions
            .iter()
            .zip(0..)
            .map(|(partition, number)| {
                let found = partition.heard.then(|| self.rto(partition));
                if let Some(Err(why)) = found {
                    words.push(format!("stream {number}: {why}").replace("{what}", what));
                }
                match found {
                    Some(Ok(Told::AtMost(SILENCE_NS))) => quiet += 1,
                    Some(Ok(Told::AtMost(pause))) => pauses.push(pause),
                    _ => {}
                }
                found.map(|rto| rto.map_err(|_| NotSeen))
            })
            .collect();
        if quiet > 0 {
            words.push(format!(
                "{quiet} of {} streams never without {what} for over 100 ms",
                all.len()
            ));
        }
        if let Some(longest) = pauses.iter().max() {
            let (count, longest) = (pauses.len(), longest.div_ceil(1_000_000));
            words.push(format!(
                "{count} of {} streams went on, without {what} for {longest} ms at most",
                all.len()
            ));
        }
        all
    }

    /// Of a partition that went on, while the fault was in force: at least what passes unseen.
    fn longest_pause(&self, partition: &Listened) -> u64 {
        let until = self.over.min(self.end());
        let during = partition
            .silences
            .iter()
            .filter(|silence| silence.to_ns > self.effect && silence.from_ns < until);
        during.map(|silence| self.lasted(silence)).fold(SILENCE_NS, u64::max)
    }

    /// As far as the load can tell.
    fn lasted(&self, silence: &Silence) -> u64 {
        silence.to_ns.min(self.load_end).saturating_sub(silence.from_ns)
    }

    fn rto(&self, partition: &Listened) -> Result<Told, &'static str> {
        if self.sparse {
            return Err("under 100 messages a second, too few to tell an outage from a pause");
        }
        if !partition.complete {
            return Err("more silences without {what} than are kept");
        }
        let until = self.over.min(self.end());
        let begins_in_time = |silence: &&Silence| {
            let at_once = silence.from_ns <= self.effect.saturating_add(ONSET_NS);
            at_once || silence.from_ns <= until && self.lasted(silence) > ONSET_NS
        };
        let lasts_into_it = |silence: &&Silence| silence.to_ns > self.effect;
        match partition
            .silences
            .iter()
            .filter(begins_in_time)
            .rfind(lasts_into_it)
            .map(|silence| silence.to_ns)
        {
            None => Ok(Told::AtMost(self.longest_pause(partition))),
            Some(NEVER) => Err("no {what} any more until the end"),
            Some(to) if self.next.is_some_and(|next| to > next) => {
                Err("no {what} before the next fault")
            }
            Some(to) => Ok(Told::Value(to - self.effect)),
        }
    }

    /// From the fault to the first tenth of a second, at `from_ns` or later, that has 90 % of the
    /// offered rate, and so have the ten from it on. What comes late does not make up for what did
    /// not come: a tenth counts at most as the whole of its own rate.
    pub fn rto_90(&self, acks: &PerTenth, rate_per_s: Option<f64>, from_ns: u64) -> Option<u64> {
        let slot_of = |at: u64| (at.saturating_sub(acks.start_ns()) / TENTH_NS) as usize;
        let first = slot_of(self.effect);
        let offered = match rate_per_s {
            Some(rate) => rate * TENTH_NS as f64 / 1e9,
            None => {
                let base = first.saturating_sub(BASE_TENTHS)..first;
                let count = base.len();
                base.map(|slot| acks.get(slot)).sum::<u64>() as f64
                    / count.max(LASTING_TENTHS) as f64
            }
        };
        if offered <= 0.0 {
            return None;
        }
        let carried = |slot: usize| (acks.get(slot) as f64).min(offered);
        let lasting = |slot: &usize| {
            let second: f64 = (*slot..*slot + LASTING_TENTHS).map(carried).sum();
            carried(*slot) >= RECOVERED * offered
                && second >= RECOVERED * offered * LASTING_TENTHS as f64
        };
        let last = slot_of(self.end()).checked_sub(LASTING_TENTHS)?;
        let slot = (slot_of(from_ns)..=last).find(lasting)?;
        Some((acks.start_ns() + slot as u64 * TENTH_NS).saturating_sub(self.effect))
    }

    pub fn unavailable(&self, partitions: &[Listened]) -> Vec<Unavailable> {
        let mut all = Vec::new();
        for (listened, partition) in partitions.iter().zip(0..) {
            let within =
                |silence: &&Silence| silence.to_ns > self.effect && silence.from_ns < self.end();
            let mut silences: Vec<Silence> =
                listened.silences.iter().filter(within).copied().collect();
            silences.sort_by_key(|silence| std::cmp::Reverse(silence.to_ns - silence.from_ns));
            silences.truncate(NAMED);
            silences.sort_by_key(|silence| silence.from_ns);
            all.extend(silences.iter().filter(|_| listened.heard).map(|silence| Unavailable {
                partition,
                from_ns: silence.from_ns,
                to_ns: (silence.to_ns != NEVER).then_some(silence.to_ns),
            }));
        }
        all
    }
}
