//! For fuzzing: replies cut into pieces and whole, and everything that walks them.

use super::capability::large;
use super::load::{copies, lists, pubsub, streams};
use super::slots;
use crate::clock::Clock;
use crate::wire::redis::{Malformed, Scanner};
use redis::streams::{StreamAutoClaimReply, StreamPendingCountReply, StreamReadReply};
use redis::{FromRedisValue, Value};
use std::collections::HashMap;

/// Lengths of the replies in `input` when it comes in pieces of so many bytes.
fn lengths(input: &[u8], piece: usize) -> Result<Vec<usize>, Malformed> {
    let (mut scanner, mut start, mut found) = (Scanner::default(), 0, vec![]);
    for end in (piece..input.len()).step_by(piece).chain([input.len()]) {
        while start < end {
            let Some(length) = scanner.end_of_reply(&input[start..end])? else { break };
            found.push(length);
            start += length;
        }
    }
    Ok(found)
}

/// What the crate makes of a whole reply off the data path.
fn typed(reply: &[u8]) {
    let Ok(value) = redis::parse_redis_value(reply) else { return };
    let _ = StreamAutoClaimReply::from_redis_value(value.clone());
    let _ = StreamPendingCountReply::from_redis_value(value.clone());
    let _ = StreamReadReply::from_redis_value(value.clone());
    let _ = HashMap::<String, Value>::from_redis_value(value.clone());
    let _ = Vec::<(String, Option<Vec<Vec<u8>>>)>::from_redis_value(value.clone());
    let _ = Option::<(String, Vec<Vec<u8>>)>::from_redis_value(value);
}

/// Whether `input` begins with a whole reply.
pub fn any(input: &[u8]) -> bool {
    let whole = lengths(input, input.len().max(1));
    assert_eq!(whole, lengths(input, 7), "how it is cut changes nothing");
    let mut start = 0;
    for length in whole.iter().flatten() {
        let reply = &input[start..start + length];
        start += length;
        typed(reply);
        let (clock, mut bytes) = (Clock::start(), 0);
        let _ = lists::hand_out(reply, &clock, &mut |message| bytes += message.payload.len());
        let _ = streams::fuzz(reply, &mut bytes);
        slots::fuzz(reply);
        assert!(bytes <= 2 * reply.len(), "nothing is handed out that did not come");
    }
    pubsub::fuzz(input);
    copies::fuzz(input);
    large::fuzz(input);
    whole.is_ok_and(|whole| !whole.is_empty())
}
