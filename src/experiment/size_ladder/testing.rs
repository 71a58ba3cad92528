//! Tests only: attempts made by hand.

use super::climb::{Attempt, Tried};
use super::plan::SendVariant;
use crate::driver::{LargeClient, LargeRefusal, Times, Who};
use crate::model::Codec;
use crate::scenario::PayloadKind;
use crate::units::Bytes;
use std::time::Duration;

/// One attempt with text: how many milliseconds it took, or who refused it.
pub fn attempt(size: u64, codec: Codec, client: LargeClient, end: Result<u64, Who>) -> Attempt {
    let end = end
        .map(|millis| Times {
            acked: Duration::from_millis(millis / 2),
            received: Duration::from_millis(millis),
        })
        .map_err(|who| LargeRefusal::new(who, "no"));
    let tried = Tried {
        end,
        trips: 3,
        pack: Duration::ZERO,
        unpack: Duration::ZERO,
        wire_bytes: Some(size + 100),
        client_peak: Some(2 * size),
        broker_peak: None,
        window_ns: (size, size + 1000),
    };
    let kind = SendVariant { payload: PayloadKind::Text, codec, client };
    Attempt {
        kind,
        size: Bytes(size),
        sent_bytes: size as usize,
        searched: false,
        tried: Ok(tried),
    }
}
