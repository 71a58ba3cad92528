//! Runs one cell: connect, warm up, measure, drain, audit,
//! and judge the own instrument. Never prints.

mod audit;
mod barrier;
mod cell_run;
mod censored;
mod collect;
mod comeback;
mod consume;
mod control;
mod deliveries;
mod fault_timeline;
mod floor;
mod gates;
mod health;
mod merge;
mod notes;
mod opening;
mod output;
mod part;
mod probe;
mod progress;
mod publish;
mod recovery;
mod rows;
mod saturated;
mod sender;
mod spawn;
#[cfg(test)]
mod tests;
mod thread_cpu;
mod together;
mod totals;

pub use barrier::{BOARDS, Barrier, BarrierError, Gathering, Host, Terms};
pub use cell_run::{CellRun, CellRunError};
pub use control::OnDrop;
pub use floor::{Floor, floor};
pub use merge::{CellMerge, CellPart};
pub use progress::{LiveSecond, Observer, Phase, Progress, Tail};
pub use sender::{InFlight, Pending, SendBook, SendPlan, Sender, sharpen_timer};
pub use spawn::bodies;
pub use thread_cpu::thread_cpu_ns;
