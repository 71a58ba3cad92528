//! What messages are made of: an envelope that identifies each one, and a body of known compressibility.

mod body;
mod envelope;
mod large;

pub use body::{Bodies, Body, BodyError, BodyKind};
pub use envelope::{COMPACT, Envelope, FULL, LENGTH_AT, MARK, Reading, read};
pub use large::large;
