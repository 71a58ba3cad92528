//! The only unsafe code of the project: the data path of librdkafka without a lookup, a box or a
//! clone per message.
//!
//! Why it pays: producing by a kept topic handle saves the name's allocation and lookup of every
//! `send`; draining delivery reports ourselves lets the pacing thread serve them without a second
//! thread; reading records by the batch halves the CPU of `BaseConsumer::poll`. Everything here is
//! reached through four safe types: [`ProducerHandle`] (send), [`TransactionCalls`] (of one of
//! those), [`ConsumerHandle`] (where partitions pour into) and [`Reader`] (take from it), and
//! [`partition_of`]; [`give_token`] logs a client in, which the wrapper does too late. Nothing else
//! belongs here.
#![allow(unsafe_code)]

mod consumer;
mod producer;
#[cfg(test)]
mod tests;
mod token;
mod transaction;

use super::client_log::KafkaContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use std::ffi::CStr;
use std::ptr;

pub use consumer::{ConsumerHandle, Reader, Record};
pub use producer::{Headers, ProducerHandle, Report, Sent};
pub use token::give_token;
pub use transaction::{Remedy, TransactionCalls, TransactionError};

/// The header that carries a message's envelope where its payload is a line of the user's own.
const ENVELOPE: &CStr = c"brokerbench";

/// To which of so many partitions the library's partitioner of this name sends a key. Those that
/// choose at random for messages without one are the same for a key as their namesakes.
pub fn partition_of(partitioner: &str, key: &[u8], partitions: u16) -> u16 {
    let chosen = match partitioner {
        "murmur2" | "murmur2_random" => sys::rd_kafka_msg_partitioner_murmur2,
        "fnv1a" | "fnv1a_random" => sys::rd_kafka_msg_partitioner_fnv1a,
        _ => sys::rd_kafka_msg_partitioner_consistent,
    };
    let (count, none) = (i32::from(partitions.max(1)), ptr::null_mut());
    // SAFETY: these three read `key.len()` bytes of the key and look at nothing else.
    unsafe { chosen(ptr::null(), key.as_ptr().cast(), key.len(), count, none, none) as u16 }
}

/// Lets the groups of a client's own mock cluster form at once;
/// the mock waits three seconds otherwise.
pub fn hasten_mock_groups(client: &Client<KafkaContext>) {
    // SAFETY: the mock cluster belongs to the client, which is borrowed; null where there is none.
    unsafe {
        let mock = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !mock.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(mock, 0);
        }
    }
}
