//! The hot path: publishers and subscribers through the SDK that applications use, on tokio.
//!
//! HTTP/1.1 carries one request a connection at a time, so a producer has as many requests under
//! way as it has `load.connections`; what comes meanwhile gathers and goes with the next
//! PublishBatch.

pub mod calls;
pub mod publisher;
pub mod queue;
pub mod subscriber;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use crate::scenario::sns_text_len as text_len;

/// A message as SNS and SQS take it: they carry text that XML may hold, and no bytes.
pub fn text_of(payload: &[u8]) -> String {
    BASE64.encode(payload)
}

/// The message again, into `buffer`. What is no text of ours is handed on as it came, and the books
/// find it foreign.
pub fn payload_of<'a>(text: &'a str, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    match BASE64.decode_vec(text, buffer) {
        Ok(()) => buffer,
        Err(_) => text.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_what_is_none_of_ours_stays_as_it_is() {
        let mut buffer = vec![1, 2, 3];
        for length in [0, 1, 2, 3, 44, 1000] {
            let payload: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            let text = text_of(&payload);
            assert_eq!(text.len() as u64, text_len(length as u64));
            assert_eq!(payload_of(&text, &mut buffer), payload);
        }
        assert_eq!(payload_of("{no base64}", &mut buffer), b"{no base64}");
    }
}
