//! A Pub/Sub subscriber: Redis pushes, nothing is asked for and nothing acknowledged.
//!
//! It reads its own socket and keeps no queue of its own: one that does not read is cut off by
//! Redis, as it should be, and does not grow in our memory instead.

use super::RedisConsumer;
use super::connection::{Connection, LARGEST_INPUT};
use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::wire::redis::{self as resp, Malformed, Token};
use redis::Value;
use std::time::Instant;

pub struct PubSubSubscriber {
    connection: Connection,
    /// Whether a PING waits for its answer.
    pinged: bool,
    clock: Clock,
}

/// Returns once Redis has confirmed every channel: what is published from then on arrives.
pub fn subscribe(connection: &mut Connection, channels: &[String]) -> Result<(), DriverError> {
    connection.collect(redis::cmd("SUBSCRIBE").arg(channels));
    let deadline = Instant::now() + connection.limit;
    let mut confirmed = 0;
    while confirmed < channels.len() {
        // A message on a channel confirmed earlier may come in between; it belongs to nobody yet.
        let (kind, _, _): (String, Value, Value) =
            connection.answer(LARGEST_INPUT, deadline, "SUBSCRIBE")?;
        confirmed += usize::from(kind == "subscribe");
    }
    Ok(())
}

impl PubSubSubscriber {
    /// Takes a connection that has subscribed.
    pub fn new(connection: Connection, clock: Clock) -> Self {
        Self { connection, pinged: false, clock }
    }
}

/// A push: its payload, if it is a message, and its encoded length.
type Push<'a> = (Option<&'a [u8]>, usize);

/// The first push in `input`; `None` while it is not complete.
#[inline]
pub fn push(input: &[u8]) -> Result<Option<Push<'_>>, Malformed> {
    let mut parts = [&b""[..]; 3];
    let (count, mut at) = match resp::token(input)? {
        None => return Ok(None),
        // Two parts: the answer to a PING.
        Some((Token::Array(count @ 2..=3), length)) => (count, length),
        Some((other, _)) => return Err(resp::unexpected("a pushed message", other)),
    };
    for part in &mut parts[..count] {
        match resp::token(&input[at..])? {
            None => return Ok(None),
            Some((Token::Bulk(bytes), length)) => (*part, at) = (bytes, at + length),
            // The third part of a confirmation is the number of subscriptions.
            Some((Token::Integer(_), length)) => at += length,
            Some((other, _)) => return Err(resp::unexpected("a part of a pushed message", other)),
        }
    }
    Ok(Some(((parts[0] == b"message").then_some(parts[2]), at)))
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(input: &[u8]) {
    let mut used = 0;
    while let Ok(Some((_, length))) = push(&input[used..]) {
        assert!(length > 0 && used + length <= input.len());
        used += length;
    }
}

impl Subscriber for PubSubSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        loop {
            let (mut delivered, received_ns) = (false, self.clock.now_ns());
            let (input, mut used) = (&mut self.connection.input, 0);
            while let Some((payload, length)) = push(&input.filled()[used..])
                .map_err(|cause| self.connection.endpoint.malformed(cause))?
            {
                used += length;
                if let Some(payload) = payload {
                    sink(Incoming { payload, received_ns });
                    delivered = true;
                }
            }
            input.consume(used);
            // Whatever came is a sign of life.
            self.pinged &= used == 0;
            if delivered || !self.connection.read_until(&self.clock, until_ns)? {
                return Ok(());
            }
        }
    }

    /// Nothing to acknowledge; the socket closes when this is dropped.
    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

/// What was published while there was no connection is gone.
impl RedisConsumer for PubSubSubscriber {
    fn resume(&mut self, connection: Connection) {
        (self.connection, self.pinged) = (connection, false);
    }

    fn is_owed(&self) -> bool {
        self.pinged
    }

    /// Nobody but the server ever speaks here: without a question, one that is gone looks like one
    /// with nothing to say.
    fn nudge(&mut self) -> Result<(), DriverError> {
        self.connection.collect(&redis::cmd("PING"));
        self.pinged = true;
        self.connection.write().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_told_apart() {
        let message = b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\nhello\r\n";
        assert_eq!(push(message), Ok(Some((Some(&b"hello"[..]), message.len()))));
        for cut in 0..message.len() {
            assert_eq!(push(&message[..cut]), Ok(None));
        }
        let confirmation = b"*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n";
        assert_eq!(push(confirmation), Ok(Some((None, confirmation.len()))));
        let pong = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n";
        assert_eq!(push(pong), Ok(Some((None, pong.len()))));
        assert!(push(b":1\r\n").is_err());
    }
}
