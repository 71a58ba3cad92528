//! Amazon SNS fanned out to queues of SQS behind the driver's traits, through the SDK that
//! applications use: standard and FIFO topics.
//!
//! [`load`] is the hot path, [`capability`] what experiments ask beyond messages. Everything that
//! is made in the account is in [`resources`], named by [`names`]; [`words`] says what AWS refuses,
//! and what to do about it. The SDK connects through `access` alone.

mod capability;
mod clients;
mod driver;
mod load;
mod names;
mod ping;
mod resources;
mod settings;
mod words;

pub use capability::reflector::start as reflector;
pub use driver::{client_version, open};
pub use ping::{ping, sweep};
