//! What the user asks for: scenario files, read, checked, overridden and unfolded into cells.

mod cell;
mod system;

pub use cell::{Arrivals, Cell, Codec, Guarantee, Load, Message, Model, PayloadKind};
pub use system::{Consume, ListMode, Software, System, SystemConfig, Topic};
