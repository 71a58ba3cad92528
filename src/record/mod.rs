//! What happened: which messages, how many in each second, how late.
//!
//! Every recorder here belongs to one thread; threads hand their recorders over when they end. Nothing locks.

mod gaps;
mod histograms;
mod ledger;
mod seqset;
mod tally;

pub use gaps::{AckTimes, Gaps, NEVER, SILENCE_NS, Silence, TENTH_NS, Tenths, Trace, common};
pub use histograms::{Harvest, LatencyRecorder, TIMERS, Timer, new_histogram};
pub use ledger::{AuditBook, Books, Consumed, Counted, Harmed, LaneKey, Produced};
pub use seqset::SeqSet;
pub use tally::{SECOND_NS, Tally};
