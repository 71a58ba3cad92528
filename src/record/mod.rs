//! What happened: which messages, how many in each second, how late.
//!
//! Every recorder here belongs to one thread, which hands over once a second what may grow with
//! time, and the rest when it ends. Nothing locks.

mod histograms;
mod ledger;
mod per_second;
mod seqset;
mod silences;

pub use histograms::{Harvest, Recorder, Timed, Timings, new_histogram};
pub use ledger::{
    AuditBook, Books, Consumed, Counted, Example, Produced, SequenceKey, StoredBooks,
};
pub use per_second::{Flow, PerSecond, SECOND_NS, Tally};
pub use seqset::SeqSet;
pub use silences::{
    AckTimes, AckTrace, NEVER, PerTenth, SILENCE_NS, Silence, Silences, TENTH_NS, common,
};
