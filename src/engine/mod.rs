//! Runs one cell: connect, warm up, measure, drain, audit, and judge the own instrument. Never prints.

mod audit;
mod cell_run;
mod collect;
mod consume;
mod control;
mod deliveries;
mod fault_timeline;
mod floor;
mod gates;
mod health;
mod inflight;
mod output;
mod probe;
#[cfg(test)]
mod proof;
mod publish;
mod recovery;
mod sender;
mod spawn;
mod telemetry;
mod totals;

pub use cell_run::{CellRun, Observer, Phase, Progress, TrialError};
pub use floor::{Floor, floor};
pub use inflight::{InFlight, Pending};
pub use sender::{Identity, SendBook, SendPlan, Sender};
pub use spawn::body_kind;
