//! What tests share: the harness that is killed, the real program at work, the action, a Redis, and
//! a finished run on disk.
#![allow(dead_code)] // Each test program needs a part of it.

pub mod action;
#[cfg(feature = "aws")]
pub mod door;
pub mod harness;
pub mod program;
pub mod redis;
pub mod stored;
