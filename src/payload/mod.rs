//! What messages are made of: an envelope that identifies each one,
//! and a body of known compressibility.

mod body;
mod envelope;
mod sizes;

pub use body::{Bodies, BodyError, BodyKind, large};
pub use envelope::{COMPACT, Envelope, FULL, LENGTH_AT, MARK, Reading, read};
pub use sizes::{ROUND, Sizes};
