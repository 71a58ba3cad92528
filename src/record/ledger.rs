//! The books: what producers sent and how it ended, what each subscription saw, what the broker
//! still holds; and the balance of the three.
//!
//! Per subscription: acked = delivered + undelivered + lost (sent in place of acked where a reply
//! promises nothing). The ledger judges nothing; it counts.

mod stored;

use super::seqset::SeqSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use stored::StoredBooks;

/// One sequence of numbers: (producer, lane).
pub type SequenceKey = (u16, u16);

#[derive(Clone, Debug, Default)]
pub struct Produced {
    /// Numbers 0..sent were handed to the client library.
    pub sent: u64,
    pub acked: SeqSet,
    pub failed: SeqSet,
    /// Of transactions that were aborted on purpose: nobody may ever see them.
    pub aborted: SeqSet,
}

/// What one consumer saw. Consumers of one subscription are merged before balancing.
#[derive(Clone, Debug, Default)]
pub struct Consumed {
    lanes: BTreeMap<SequenceKey, ConsumedLane>,
    pub corrupt: u64,
    pub foreign: u64,
}

#[derive(Clone, Debug, Default)]
struct ConsumedLane {
    seen: SeqSet,
    highest: Option<u64>,
    duplicate: u64,
    /// The first few of them.
    duplicates: Vec<u64>,
    reordered: u64,
}

/// How many messages of each kind of harm are named.
const EXAMPLES: usize = 5;

/// A message that came to harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// As its column is called: `broker_lost`, `lost`, `undelivered`, `passed_over`, `phantom`,
    /// `aborted_read`, `duplicate`, `log_duplicate`.
    pub harm: String,
    pub producer: u16,
    pub lane: u16,
    pub sequence: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Books {
    pub produced: BTreeMap<SequenceKey, Produced>,
    /// One per subscription.
    pub consumed: Vec<Consumed>,
    /// What the audit read found; `None` where there was none.
    pub audit: Option<AuditBook>,
    /// Nobody looked what the broker holds, though it may hold what was not delivered: that is
    /// undelivered, and whether any of it is lost is not known.
    pub unaudited: bool,
    /// Whether a reply to a publish is an acknowledgement.
    pub acknowledges: bool,
}

#[derive(Clone, Debug, Default)]
pub struct AuditBook {
    pub seen: Consumed,
    /// True: everything acknowledged should be there. False: only what was not delivered.
    pub retains: bool,
    /// The oldest entries were dropped by a limit that the scenario set: before the first entry
    /// nothing is missing.
    pub trimmed: bool,
}

/// The balance for one subscription, or for all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub sent: u64,
    pub acked: u64,
    pub failed: u64,
    pub aborted: u64,
    /// Sent, and neither acknowledged nor refused nor aborted.
    pub indeterminate: u64,
    /// Acknowledged messages (sent ones, where a reply promises nothing) that arrived.
    pub delivered: u64,
    pub undelivered: u64,
    pub lost: u64,
    /// Then what is lost stands among the undelivered.
    pub unaudited: bool,
    pub broker_lost: Option<u64>,
    /// Of the undelivered: a later message of the same lane was delivered.
    pub passed_over: u64,
    pub duplicate: u64,
    /// Found more than once by the audit of a log.
    pub log_duplicate: Option<u64>,
    pub phantom: u64,
    /// Aborted, and delivered or read back all the same.
    pub aborted_read: u64,
    pub corrupt: u64,
    pub reordered: u64,
    pub foreign: u64,
}

impl Consumed {
    /// Notes a message; true if it is the first delivery.
    #[inline]
    pub fn note(&mut self, lane: SequenceKey, sequence: u64) -> bool {
        let lane = self.lanes.entry(lane).or_default();
        if !lane.seen.insert(sequence) {
            lane.repeat(sequence);
            return false;
        }
        match lane.highest {
            Some(highest) if sequence < highest => lane.reordered += 1,
            _ => lane.highest = Some(sequence),
        }
        true
    }

    pub fn distinct(&self) -> u64 {
        self.lanes.values().map(|lane| lane.seen.len()).sum()
    }

    /// Adds what another consumer of the same subscription saw. What both saw is a duplicate; order
    /// is judged within each consumer only, since nothing orders two of them.
    pub fn merge(&mut self, other: Self) {
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
        for (key, theirs) in other.lanes {
            let mine = self.lanes.entry(key).or_default();
            let end = mine.highest.max(theirs.highest).map_or(0, |highest| highest + 1);
            let room = EXAMPLES.saturating_sub(mine.duplicates.len());
            let both = SeqSet::matching(end, [&mine.seen, &theirs.seen], |[a, b]| a & b);
            let more: Vec<u64> = theirs.duplicates.iter().copied().chain(both).take(room).collect();
            mine.duplicates.extend(more);
            mine.duplicate += theirs.duplicate + mine.seen.merge(&theirs.seen);
            mine.reordered += theirs.reordered;
            mine.highest = mine.highest.max(theirs.highest);
        }
    }

    /// An empty set stands for a lane that nobody saw.
    fn seen(&self, key: SequenceKey) -> &SeqSet {
        static NOTHING: SeqSet = SeqSet::new();
        self.lanes.get(&key).map_or(&NOTHING, |lane| &lane.seen)
    }

    /// One above the highest number seen of a lane.
    fn end(&self, key: SequenceKey) -> u64 {
        self.lanes.get(&key).and_then(|lane| lane.highest).map_or(0, |highest| highest + 1)
    }

    fn duplicate(&self) -> u64 {
        self.lanes.values().map(|lane| lane.duplicate).sum()
    }

    fn duplicates(&self) -> impl Iterator<Item = (SequenceKey, u64)> {
        self.lanes
            .iter()
            .flat_map(|(lane, seen)| seen.duplicates.iter().map(|sequence| (*lane, *sequence)))
    }
}

impl ConsumedLane {
    #[cold]
    fn repeat(&mut self, sequence: u64) {
        self.duplicate += 1;
        if self.duplicates.len() < EXAMPLES {
            self.duplicates.push(sequence);
        }
    }
}

static NOBODY: Consumed = Consumed { lanes: BTreeMap::new(), corrupt: 0, foreign: 0 };

impl Books {
    /// What the audit found; nothing where there was none.
    fn held(&self) -> &Consumed {
        self.audit.as_ref().map_or(&NOBODY, |audit| &audit.seen)
    }

    pub fn balance(&self, index: usize) -> Counted {
        self.consumed.get(index).map(|consumed| self.balance_of(consumed)).unwrap_or_default()
    }

    fn balance_of(&self, consumed: &Consumed) -> Counted {
        let mut total = Counted { unaudited: self.unaudited, ..Counted::default() };
        let mut broker_lost = 0;
        for (key, produced) in &self.produced {
            let end = produced.sent;
            let (seen, held) = (consumed.seen(*key), self.held().seen(*key));
            let Produced { acked, failed, aborted, .. } = produced;
            total.sent += end;
            total.acked += acked.len();
            total.failed += failed.len();
            total.aborted += aborted.len();
            total.indeterminate +=
                SeqSet::count(end, [acked, failed, aborted], |[a, f, x]| !a & !f & !x);
            // Where a reply promises nothing, every message that was sent stands in the place of an
            // acknowledged one.
            let owed = |bits: u64| if self.acknowledges { bits } else { u64::MAX };
            let may = |held: u64| if self.unaudited { u64::MAX } else { held };
            total.delivered += SeqSet::count(end, [acked, seen], |[a, s]| owed(a) & s);
            total.undelivered +=
                SeqSet::count(end, [acked, seen, held], |[a, s, h]| owed(a) & !s & may(h));
            let passed = consumed.end(*key).min(end);
            total.passed_over +=
                SeqSet::count(passed, [acked, seen, held], |[a, s, h]| owed(a) & !s & may(h));
            total.lost +=
                SeqSet::count(end, [acked, seen, held], |[a, s, h]| owed(a) & !s & !may(h));
            let all_the_same = |[ended, s, h]: [u64; 3]| ended & (s | h);
            total.phantom += SeqSet::count(end, [failed, seen, held], all_the_same);
            total.aborted_read += SeqSet::count(end, [aborted, seen, held], all_the_same);
            broker_lost += self.broker_lost_of(*key, produced, consumed).count() as u64;
        }
        total.broker_lost = self.audit.as_ref().map(|_| broker_lost);
        let log = self.audit.as_ref().filter(|audit| audit.retains);
        total.log_duplicate = log.map(|audit| audit.seen.duplicate());
        total.duplicate = consumed.duplicate();
        total.reordered = consumed.lanes.values().map(|lane| lane.reordered).sum();
        total.corrupt = consumed.corrupt;
        // A lane or number that nobody sent is as foreign as another run's message.
        let unsent: u64 = consumed
            .lanes
            .iter()
            .map(|(key, lane)| {
                let end = self.produced.get(key).map_or(0, |produced| produced.sent);
                lane.seen.len() - SeqSet::count(end, [&lane.seen], |[s]| s)
            })
            .sum();
        total.foreign = consumed.foreign + unsent;
        total
    }

    /// The messages of a lane that the broker acknowledged, should still hold and does not; none
    /// without an audit.
    fn broker_lost_of<'a>(
        &'a self,
        key: SequenceKey,
        produced: &'a Produced,
        consumed: &'a Consumed,
    ) -> impl Iterator<Item = u64> + 'a {
        let (seen, held) = (consumed.seen(key), self.held().seen(key));
        let end = if self.audit.is_some() { produced.sent } else { 0 };
        let retains = self.audit.as_ref().is_some_and(|audit| audit.retains);
        // A limit of the scenario's own dropped what was before the first that is left.
        let trimmed = self.audit.as_ref().is_some_and(|audit| audit.trimmed);
        let first = if trimmed { held.first().unwrap_or(end) } else { 0 };
        let rule = move |[a, s, h]: [u64; 3]| a & !h & if retains { !0 } else { !s };
        SeqSet::matching(end, [&produced.acked, seen, held], rule)
            .filter(move |number| *number >= first)
    }

    /// Every message that the broker acknowledged, should still hold and does not, in order within
    /// its lane.
    pub fn broker_lost(&self) -> impl Iterator<Item = (SequenceKey, u64)> {
        let consumed = self.consumed.first().unwrap_or(&NOBODY);
        self.produced.iter().flat_map(move |(key, produced)| {
            self.broker_lost_of(*key, produced, consumed).map(|sequence| (*key, sequence))
        })
    }

    /// The first message of a lane after `sequence` that was acknowledged.
    pub fn acked_after(&self, key: SequenceKey, sequence: u64) -> Option<u64> {
        self.produced.get(&key)?.acked.after(sequence)
    }

    /// The first few messages of each kind of harm, so that a reader can look for them.
    pub fn examples(&self) -> Vec<Example> {
        let mut all: Vec<Example> = Vec::new();
        let mut name = |harm: &str, found: &mut dyn Iterator<Item = (SequenceKey, u64)>| {
            let example = |((producer, lane), sequence)| Example {
                harm: harm.to_owned(),
                producer,
                lane,
                sequence,
            };
            all.extend(found.take(EXAMPLES).map(example));
        };
        name("broker_lost", &mut self.broker_lost());
        let mut add =
            |harm, consumed: &Consumed, rule: fn([u64; 5]) -> u64, delivered_only: bool| {
                let of_lane = |(key, produced): (&SequenceKey, &Produced)| {
                    let (seen, held) = (consumed.seen(*key), self.held().seen(*key));
                    // Where a reply promises nothing, every message that was sent is owed: none counts
                    // as unacknowledged.
                    let end = if delivered_only {
                        consumed.end(*key).min(produced.sent)
                    } else {
                        produced.sent
                    };
                    let promised = if self.acknowledges { 0 } else { u64::MAX };
                    let rule = move |[a, f, x, s, h]: [u64; 5]| rule([a | promised, f, x, s, h]);
                    let Produced { acked, failed, aborted, .. } = produced;
                    let found = SeqSet::matching(end, [acked, failed, aborted, seen, held], rule);
                    found.take(EXAMPLES).map(|sequence| (*key, sequence)).collect::<Vec<_>>()
                };
                name(harm, &mut self.produced.iter().flat_map(of_lane));
            };
        for consumed in &self.consumed {
            let absent = if self.unaudited { "undelivered" } else { "lost" };
            add(absent, consumed, |[a, _, _, s, h]| a & !s & !h, false);
            add("passed_over", consumed, |[a, _, _, s, h]| a & !s & h, true);
            add("phantom", consumed, |[_, f, _, s, h]| f & (s | h), false);
            add("aborted_read", consumed, |[_, _, x, s, h]| x & (s | h), false);
        }
        name("duplicate", &mut self.consumed.iter().flat_map(Consumed::duplicates));
        let log = self.audit.iter().filter(|audit| audit.retains);
        name("log_duplicate", &mut log.flat_map(|audit| audit.seen.duplicates()));
        all
    }

    /// The balance over all subscriptions: the producers' side once, the consumers' side summed.
    pub fn total(&self) -> Counted {
        let mut balances = (0..self.consumed.len()).map(|index| self.balance(index));
        let Some(mut total) = balances.next() else {
            // Nobody subscribed: nothing was owed to anybody.
            // What producers and audit say still counts.
            return Counted {
                undelivered: 0,
                passed_over: 0,
                lost: 0,
                ..self.balance_of(&Consumed::default())
            };
        };
        for next in balances {
            total.delivered += next.delivered;
            total.undelivered += next.undelivered;
            total.passed_over += next.passed_over;
            total.lost += next.lost;
            total.duplicate += next.duplicate;
            total.corrupt += next.corrupt;
            total.reordered += next.reordered;
            total.foreign += next.foreign;
            total.phantom = total.phantom.max(next.phantom);
            total.aborted_read = total.aborted_read.max(next.aborted_read);
        }
        total
    }
}

#[cfg(test)]
mod tests;
