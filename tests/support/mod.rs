//! What tests share: the harness that is killed, the real program at work, a Redis, and a finished
//! run on disk.
#![allow(dead_code)] // Each test program needs a part of it.

#[cfg(feature = "aws")]
pub mod door;
pub mod harness;
pub mod program;
pub mod redis;
pub mod stored;
