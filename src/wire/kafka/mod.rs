//! Kafka's protocol, as far as we speak it ourselves and not by librdkafka.
//!
//! [`link`] is a connection that is logged in, [`answers`] what a node tells on it, [`topics`] which
//! topics it would make, [`records`] what it stores and [`share`] how it hands that out as a queue,
//! read by [`frame`], which trusts nobody's counts.

pub mod answers;
pub mod frame;
pub mod link;
pub mod records;
pub mod sasl;
pub mod share;
pub mod topics;

/// Whether `answer` is one to anything that is asked here and not by librdkafka.
#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    sasl::fuzz(answer);
    topics::fuzz(answer);
    answers::fuzz(answer) | records::fuzz(answer) | share::fuzz(answer)
}
