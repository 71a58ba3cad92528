//! What messages are made of: an envelope that identifies each one, a body of known
//! compressibility and size, and where the load has them keys.

mod body;
mod envelope;
mod keys;
mod lines;
mod sizes;

pub use body::{Bodies, BodyError, BodyKind, large};
pub use envelope::{COMPACT, Envelope, FULL, LENGTH_AT, MARK, Reading, read};
pub use keys::{KEY_BYTES, KeyShares, write_key};
pub use lines::Lines;
pub use sizes::{ROUND, Sizes};
