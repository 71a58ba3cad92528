//! What happened: which messages, how many in each second, how late.
//!
//! Every recorder here belongs to one thread; threads hand their recorders over when they end.
//! Nothing locks.

mod histograms;
mod ledger;
mod per_second;
mod seqset;
mod silences;

pub use histograms::{Harvest, LatencyRecorder, Timings, new_histogram};
pub use ledger::{
    AuditBook, Books, Consumed, Counted, Example, Produced, SequenceKey, StoredBooks,
};
pub use per_second::{PerSecond, SECOND_NS};
pub use seqset::SeqSet;
pub use silences::{
    AckTimes, AckTrace, NEVER, PerTenth, SILENCE_NS, Silence, Silences, TENTH_NS, common,
};
