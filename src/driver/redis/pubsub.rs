//! A Pub/Sub subscriber: Redis pushes, nothing is asked for and nothing acknowledged.
//!
//! It reads its own socket and keeps no queue of its own: one that does not read is cut off by Redis, as it should be,
//! and does not grow in our memory instead.

use super::connection::Connection;
use super::endpoint::{Endpoint, SET_UP};
use super::resp::{self, Malformed, Reader, Token};
use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Subscriber};
use std::time::Instant;

pub struct PubSubSubscriber {
    connection: Connection,
    clock: Clock,
}

impl PubSubSubscriber {
    /// Returns once Redis has confirmed every channel: what is published from then on arrives.
    pub fn connect(endpoint: &Endpoint, clock: Clock, channels: &[String]) -> Result<Self, DriverError> {
        let mut connection = Connection::open(endpoint)?;
        let words: Vec<&[u8]> = [&b"SUBSCRIBE"[..]].into_iter().chain(channels.iter().map(String::as_bytes)).collect();
        resp::command(&mut connection.output.bytes, &words);
        let deadline = Instant::now() + SET_UP;
        let mut confirmed = 0;
        while confirmed < channels.len() {
            let reply = connection.reply(deadline, "SUBSCRIBE")?;
            // A message on a channel confirmed earlier may come in between; it belongs to nobody yet.
            let kind = push_kind(&connection.input.filled()[reply.clone()]);
            confirmed += usize::from(kind.map_err(|cause| endpoint.malformed(cause))? == b"subscribe");
            connection.input.consume(reply.len());
        }
        Ok(Self { connection, clock })
    }

    /// Our end of the connection, by which the server's list of clients names it.
    pub fn local_address(&self) -> Result<String, DriverError> {
        let address = self.connection.stream.local_addr();
        address.map(|address| address.to_string()).map_err(|cause| self.connection.endpoint.lost(cause.to_string()))
    }
}

fn push_kind(reply: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(reply);
    reader.array()?;
    reader.bulk()
}

/// A push: its payload, if it is a message, and its encoded length.
type Push<'a> = (Option<&'a [u8]>, usize);

/// The first push in `input`; `None` while it is not complete.
#[inline]
fn push(input: &[u8]) -> Result<Option<Push<'_>>, Malformed> {
    let mut at = 0;
    let mut parts = [&b""[..]; 3];
    match resp::token(input)? {
        None => return Ok(None),
        Some((Token::Array(3), length)) => at += length,
        Some((other, _)) => return Err(resp::unexpected("a pushed message", other)),
    }
    for part in &mut parts {
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

impl Subscriber for PubSubSubscriber {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        loop {
            let mut delivered = false;
            let (input, mut used) = (&mut self.connection.input, 0);
            while let Some((payload, length)) =
                push(&input.filled()[used..]).map_err(|cause| self.connection.endpoint.malformed(cause))?
            {
                used += length;
                if let Some(payload) = payload {
                    sink(Incoming { payload, received_ns: self.clock.now_ns() });
                    delivered = true;
                }
            }
            input.consume(used);
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
        assert!(push(b":1\r\n").is_err());
    }
}
