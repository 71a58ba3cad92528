//! The command that publishes to one key, encoded but for the message.

use crate::payload::FULL;
use crate::wire::redis::bulk_string;
use redis::Cmd;

/// Of a stream's entry: the message, or what is left of it where the envelope has a field too.
pub const PAYLOAD: &str = "d";
pub const ENVELOPE: &str = "e";

/// How an empty argument is encoded, and the field of the payload.
const EMPTY: &[u8] = b"$0\r\n\r\n";
const PAYLOAD_ENCODED: &[u8] = b"$1\r\nd\r\n";

#[derive(Clone, Debug)]
pub struct PublishCommand {
    head: Vec<u8>,
    /// Whether the envelope is an argument of its own, and the rest that of the payload's field.
    apart: bool,
}

impl PublishCommand {
    /// `command` is whole but for its last argument, the message; or where envelopes are `apart`
    /// but for the value of their field.
    pub fn of(mut command: Cmd, apart: bool) -> Self {
        // The number of arguments counts those that are missing: encoded are empty ones, and cut
        // off again.
        command.arg("");
        let missing = if apart {
            command.arg(PAYLOAD).arg("");
            EMPTY.len() + PAYLOAD_ENCODED.len() + EMPTY.len()
        } else {
            EMPTY.len()
        };
        let mut head = command.get_packed_command();
        head.truncate(head.len().saturating_sub(missing));
        Self { head, apart }
    }

    /// What comes before the message.
    pub fn into_head(self) -> Vec<u8> {
        self.head
    }

    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, message: &[u8]) {
        out.extend_from_slice(&self.head);
        if !self.apart {
            bulk_string(out, message);
            return;
        }
        let (envelope, line) = message.split_at(FULL.min(message.len()));
        bulk_string(out, envelope);
        out.extend_from_slice(PAYLOAD_ENCODED);
        bulk_string(out, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::cmd;

    fn written(command: &PublishCommand, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        command.write(&mut out, message);
        out
    }

    #[test]
    fn what_is_written_is_the_whole_command() {
        let head = || cmd("XADD").arg("k").arg("*").take();
        let whole = PublishCommand::of(head().arg(PAYLOAD).take(), false);
        let expected = head().arg(PAYLOAD).arg("hello").get_packed_command();
        assert_eq!(written(&whole, b"hello"), expected);
        let (envelope, line) = ([b'E'; FULL], b"{\"a\": 1}");
        let apart = PublishCommand::of(head().arg(ENVELOPE).take(), true);
        let mut expected = head();
        expected.arg(ENVELOPE).arg(&envelope[..]).arg(PAYLOAD).arg(&line[..]);
        let message = [&envelope[..], line].concat();
        assert_eq!(written(&apart, &message), expected.get_packed_command());
        assert!(written(&apart, b"short").ends_with(b"$5\r\nshort\r\n$1\r\nd\r\n$0\r\n\r\n"));
    }
}
