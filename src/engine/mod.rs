//! Runs one cell: connect, warm up, measure, drain, audit, and judge the own instrument. Never prints.

mod collect;
mod consume;
mod control;
mod crew;
mod fanout;
mod floor;
mod gates;
mod health;
mod inflight;
mod ordeal;
mod order;
mod output;
mod probe;
#[cfg(test)]
mod proof;
mod publish;
mod recovery;
mod totals;
mod trial;
mod watch;

pub use crew::body_kind;
pub use floor::{Floor, floor};
pub use inflight::{InFlight, Pending};
pub use trial::{Observer, Phase, Progress, Trial, TrialError, Unobserved};
