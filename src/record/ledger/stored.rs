//! The books of one shard as they lie on disk, and how those of several become one.
//!
//! Sets are written as runs, so that a file has the size of what is ragged. Who reads a file makes
//! room only for what [`Budget`] allows, whatever it announces.

use super::{AuditBook, Books, Consumed, ConsumedLane, Produced};
use crate::record::seqset::{CHUNK_BITS, LIMIT, SeqSet};
use serde::{Deserialize, Serialize};

/// `first, one above the last` of each run, in order.
type Runs = Vec<(u64, u64)>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredBooks {
    acknowledges: bool,
    unaudited: bool,
    produced: Vec<StoredProduced>,
    consumed: Vec<StoredConsumed>,
    audit: Option<StoredAudit>,
}

#[derive(Serialize, Deserialize)]
struct StoredProduced {
    producer: u16,
    lane: u16,
    sent: u64,
    acked: Runs,
    failed: Runs,
}

#[derive(Serialize, Deserialize)]
struct StoredConsumed {
    corrupt: u64,
    foreign: u64,
    lanes: Vec<StoredLane>,
}

#[derive(Serialize, Deserialize)]
struct StoredLane {
    producer: u16,
    lane: u16,
    seen: Runs,
    highest: Option<u64>,
    duplicate: u64,
    duplicates: Vec<u64>,
    reordered: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredAudit {
    seen: StoredConsumed,
    retains: bool,
    trimmed: bool,
}

/// Room for the sets of one file, as far as any shard fills it: 4 MB for their chunks, 512 MB for
/// the ragged ones among them. Also who goes through them needs time for each.
const MOST_CHUNKS: u64 = 1 << 18;
const MOST_RAGGED: u64 = 1 << 16;

#[derive(Default)]
struct Budget {
    chunks: u64,
    ragged: u64,
}

const TOO_MANY: &str = "more sequence numbers than any shard has";

impl Budget {
    /// Room for the numbers below `end`.
    fn reserve(&mut self, end: u64) -> Result<(), String> {
        self.chunks = self.chunks.saturating_add(end.div_ceil(CHUNK_BITS));
        if self.chunks > MOST_CHUNKS { Err(TOO_MANY.into()) } else { Ok(()) }
    }

    fn set(&mut self, runs: Runs) -> Result<SeqSet, String> {
        let rising = runs.iter().all(|(from, to)| from < to)
            && runs.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        let end = runs.last().map_or(0, |(_, to)| *to);
        if !rising || end > LIMIT {
            return Err("runs of sequence numbers that are none".into());
        }
        self.reserve(end)?;
        let (mut set, mut ragged) = (SeqSet::new(), None);
        for (from, to) in runs {
            for edge in [from, to].into_iter().filter(|edge| !edge.is_multiple_of(CHUNK_BITS)) {
                self.ragged += u64::from(ragged.replace(edge / CHUNK_BITS) != ragged);
            }
            if self.ragged > MOST_RAGGED {
                return Err(TOO_MANY.into());
            }
            set.insert_run(from, to);
        }
        Ok(set)
    }

    fn consumed(&mut self, stored: StoredConsumed) -> Result<Consumed, String> {
        let StoredConsumed { corrupt, foreign, lanes } = stored;
        let lane = |lane: StoredLane| -> Result<_, String> {
            let StoredLane { producer, lane, seen, highest, duplicate, duplicates, reordered } =
                lane;
            let seen = self.set(seen)?;
            let book = ConsumedLane { seen, highest, duplicate, duplicates, reordered };
            Ok(((producer, lane), book))
        };
        let lanes = lanes.into_iter().map(lane).collect::<Result<_, String>>()?;
        Ok(Consumed { lanes, corrupt, foreign })
    }
}

impl From<&Books> for StoredBooks {
    fn from(books: &Books) -> Self {
        let produced = books.produced.iter().map(|(&(producer, lane), book)| StoredProduced {
            producer,
            lane,
            sent: book.sent,
            acked: book.acked.runs(),
            failed: book.failed.runs(),
        });
        let audit = books.audit.as_ref().map(|audit| StoredAudit {
            seen: StoredConsumed::from(&audit.seen),
            retains: audit.retains,
            trimmed: audit.trimmed,
        });
        Self {
            acknowledges: books.acknowledges,
            unaudited: books.unaudited,
            produced: produced.collect(),
            consumed: books.consumed.iter().map(StoredConsumed::from).collect(),
            audit,
        }
    }
}

impl From<&Consumed> for StoredConsumed {
    fn from(consumed: &Consumed) -> Self {
        let lanes = consumed.lanes.iter().map(|(&(producer, lane), book)| StoredLane {
            producer,
            lane,
            seen: book.seen.runs(),
            highest: book.highest,
            duplicate: book.duplicate,
            duplicates: book.duplicates.clone(),
            reordered: book.reordered,
        });
        let (corrupt, foreign) = (consumed.corrupt, consumed.foreign);
        Self { corrupt, foreign, lanes: lanes.collect() }
    }
}

impl StoredBooks {
    /// The books again; the error is what is wrong with the file.
    pub fn restored(self) -> Result<Books, String> {
        let mut budget = Budget::default();
        let mut books = Books {
            acknowledges: self.acknowledges,
            unaudited: self.unaudited,
            ..Books::default()
        };
        for stored in self.produced {
            let StoredProduced { producer, lane, sent, acked, failed } = stored;
            let (acked, failed) = (budget.set(acked)?, budget.set(failed)?);
            budget.reserve(sent)?;
            // Transactions are for one process.
            let book = Produced { sent, acked, failed, ..Produced::default() };
            books.produced.insert((producer, lane), book);
        }
        for stored in self.consumed {
            books.consumed.push(budget.consumed(stored)?);
        }
        if let Some(StoredAudit { seen, retains, trimmed }) = self.audit {
            books.audit = Some(AuditBook { seen: budget.consumed(seen)?, retains, trimmed });
        }
        Ok(books)
    }
}

impl Books {
    /// Adds the books of another shard of the same run. Returns how many messages both had received
    /// in the same subscription: duplicates that neither knew of. What one shard sent and another
    /// received so meets.
    pub fn add(&mut self, other: Self) -> Result<u64, String> {
        let twice = other.produced.keys().find(|key| self.produced.contains_key(*key));
        if let Some((producer, _)) = twice {
            return Err(format!("the messages of producer {producer} are in two of the shards"));
        }
        self.produced.extend(other.produced);
        if self.consumed.len() < other.consumed.len() {
            self.consumed.resize_with(other.consumed.len(), Consumed::default);
        }
        let mut both = 0;
        for (mine, theirs) in self.consumed.iter_mut().zip(other.consumed) {
            let apart = mine.distinct() + theirs.distinct();
            mine.merge(theirs);
            both += apart.saturating_sub(mine.distinct());
        }
        self.audit = self.audit.take().or(other.audit);
        Ok(both)
    }

    /// First deliveries over all subscriptions.
    pub fn received(&self) -> u64 {
        self.consumed.iter().map(Consumed::distinct).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(books: &Books) -> String {
        serde_json::to_string(&StoredBooks::from(books)).unwrap()
    }

    fn read(text: &str) -> Result<Books, String> {
        serde_json::from_str::<StoredBooks>(text).map_err(|error| error.to_string())?.restored()
    }

    /// One producer, one subscription, and what the broker holds.
    fn books(producer: u16, sent: u64, acked: &[u64], seen: &[(u16, u64)]) -> Books {
        let mut produced = Produced { sent, ..Produced::default() };
        acked.iter().for_each(|number| {
            produced.acked.insert(*number);
        });
        let mut consumed = Consumed::default();
        seen.iter().for_each(|(producer, number)| {
            consumed.note((*producer, 0), *number);
        });
        Books {
            produced: [((producer, 0), produced)].into(),
            consumed: vec![consumed],
            acknowledges: true,
            ..Books::default()
        }
    }

    #[test]
    fn what_one_shard_sent_and_another_received_is_delivered() {
        let mut all = books(0, 3, &[0, 1, 2], &[(1, 0), (1, 1)]);
        assert_eq!(all.total().foreign, 2, "alone, nobody knows who sent these");
        let both = all.add(books(1, 2, &[0, 1], &[(0, 0), (0, 2), (1, 1)])).unwrap();
        let found = all.total();
        assert_eq!((found.sent, found.acked, found.delivered, found.lost), (5, 5, 4, 1));
        assert_eq!((found.duplicate, both, found.foreign), (1, 1, 0));
        let twice = all.add(books(1, 2, &[], &[])).unwrap_err();
        assert!(twice.contains("producer 1 are in two"), "{twice}");
    }

    #[test]
    fn the_audit_of_the_first_shard_serves_all() {
        let mut all = books(0, 1, &[0], &[]);
        let mut held = Consumed::default();
        held.note((1, 0), 0);
        all.audit = Some(AuditBook { seen: held, retains: true, trimmed: false });
        all.add(books(1, 1, &[0], &[(0, 0)])).unwrap();
        let found = all.total();
        assert_eq!((found.undelivered, found.broker_lost), (1, Some(1)));
        let again = read(&json(&all)).unwrap();
        assert_eq!(again.total(), found);
    }

    #[test]
    fn hostile_runs_are_refused_before_room_is_made_for_them() {
        let with = |acked: &str| {
            let text = r#"{"acknowledges": true, "unaudited": false, "consumed": [], "audit": null,
                "produced": [{"producer": 0, "lane": 0, "sent": 1, "acked": RUNS, "failed": []}]}"#;
            read(&text.replace("RUNS", acked))
        };
        assert!(with("[[0, 1]]").is_ok());
        for none in ["[[1, 1]]", "[[2, 1]]", "[[0, 5], [4, 9]]", "[[0, 2000000000000]]"] {
            assert!(with(none).err().unwrap().contains("that are none"), "{none}");
        }
        let many = with("[[0, 1099511627776]]").err().unwrap();
        assert!(many.contains("more sequence numbers"), "{many}");
    }

    proptest! {
        #[test]
        fn sets_come_back_as_they_were(
            runs in prop::collection::vec((0u64..300_000, 1u64..90_000), 0..6),
            single in prop::collection::vec(0u64..300_000, 0..50),
        ) {
            let mut set = SeqSet::new();
            runs.iter().for_each(|(from, length)| set.insert_run(*from, from + length));
            single.iter().for_each(|number| {
                set.insert(*number);
            });
            let again = Budget::default().set(set.runs()).unwrap();
            prop_assert_eq!((again.len(), again.runs()), (set.len(), set.runs()));
            let counted: u64 = set.runs().iter().map(|(from, to)| to - from).sum();
            prop_assert_eq!(counted, set.len());
            let truth: std::collections::BTreeSet<u64> = runs.iter()
                .flat_map(|(from, length)| *from..from + length)
                .chain(single.iter().copied())
                .collect();
            prop_assert_eq!(set.len(), truth.len() as u64);
        }
    }
}
