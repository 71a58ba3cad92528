//! One value of any size through Redis: written from the caller's slice, compared as it comes back.
//!
//! RESP of our own: the `redis` crate copies a value several times, and 1 GB must fit. Neither side
//! gathers the value: the client holds the slice that it was given and one read buffer. Redis
//! refuses in the midst of a write and closes, so replies are looked for while writing.

use crate::clock::Clock;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::{Connection, LARGEST_REPLY, timespec};
use crate::driver::redis::primitive::LargeCommands;
use crate::driver::{
    DriverError, LargeMessages, LargeRefusal, PayloadComparison, Times, Trip, Who,
};
use crate::wire::redis as resp;
use redis::Value;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{ErrorKind, IoSlice, Write};
use std::time::{Duration, Instant};

/// How long a reply that explains a closed connection may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(200);

pub struct RedisLarge {
    clock: Clock,
    /// Where the value goes in: up to its last argument, the value.
    command: Vec<u8>,
    reading: LargeCommands,
    publisher: Connection,
    consumer: Connection,
}

impl RedisLarge {
    /// `command` publishes, its last argument left out.
    pub fn connect(
        endpoint: &Endpoint,
        clock: Clock,
        reading: LargeCommands,
        command: Vec<u8>,
    ) -> Result<Self, DriverError> {
        let mut consumer = Connection::open(endpoint)?;
        if let Some(subscribe) = &reading.subscribe {
            consumer.query::<Value>("SUBSCRIBE", subscribe)?;
        }
        Ok(Self { clock, command, reading, publisher: Connection::open(endpoint)?, consumer })
    }

    fn trip(
        &mut self,
        head: &[u8],
        payload: &[u8],
        deadline_ns: u64,
    ) -> Result<Times, LargeRefusal> {
        let started_ns = self.clock.now_ns();
        let since = |now_ns: u64| Duration::from_nanos(now_ns - started_ns);
        send(&mut self.publisher, &self.clock, [head, payload, b"\r\n"], deadline_ns)?;
        let deadline = Instant::now() + self.clock.until(deadline_ns);
        let answer = self.publisher.answer::<Value>(LARGEST_REPLY, deadline, "publishing");
        answer.map_err(|error| LargeRefusal::by(&error))?;
        let acked = since(self.clock.now_ns());
        self.reading.ask.iter().for_each(|ask| self.consumer.collect(ask));
        receive(&mut self.consumer, &self.clock, payload, deadline_ns)?;
        let received = since(self.clock.now_ns());
        if let Some(clear) = &self.reading.clear {
            let cleared = self.consumer.query::<Value>("UNLINK", clear);
            cleared.map_err(|error| LargeRefusal::by(&error))?;
        }
        Ok(Times { acked, received })
    }
}

impl LargeMessages for RedisLarge {
    fn round_trip(&mut self, payload: &[u8], deadline_ns: u64) -> Trip {
        let mut head = self.command.clone();
        head.extend_from_slice(format!("${}\r\n", payload.len()).as_bytes());
        let wire_bytes = Some((head.len() + payload.len() + 2) as u64);
        Trip { end: self.trip(&head, payload, deadline_ns), wire_bytes }
    }
}

/// Writes all of `parts` by as few copies as there can be: none of ours.
fn send(
    connection: &mut Connection,
    clock: &Clock,
    parts: [&[u8]; 3],
    deadline_ns: u64,
) -> Result<(), LargeRefusal> {
    let started_ns = clock.now_ns();
    let mut slices = parts.map(IoSlice::new);
    let mut rest = &mut slices[..];
    let mut sent = 0;
    while !rest.is_empty() {
        match connection.stream.write_vectored(rest) {
            Ok(written) => {
                sent += written;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = clock.until(deadline_ns);
                if left.is_zero() {
                    let limit = Duration::from_nanos(clock.now_ns() - started_ns);
                    return Err(LargeRefusal::by(
                        &connection.endpoint.timed_out("writing the value", limit),
                    ));
                }
                let mut watched = [PollFd::new(&connection.stream, PollFlags::IN | PollFlags::OUT)];
                let _ = poll(&mut watched, Some(&timespec(left)));
                // Nothing is due before the whole value is there: whatever comes is a refusal,
                // unless it is TLS's own.
                if watched[0].revents().contains(PollFlags::IN)
                    && !matches!(connection.read(), Ok(false))
                {
                    return Err(last_words(
                        connection,
                        sent,
                        "it answered before the value was whole",
                    ));
                }
            }
            Err(error) => return Err(last_words(connection, sent, &error.to_string())),
        }
    }
    Ok(())
}

/// What the server said before it closed, if it said something.
fn last_words(connection: &mut Connection, sent: usize, cause: &str) -> LargeRefusal {
    match connection.answer::<Value>(LARGEST_REPLY, Instant::now() + LAST_WORDS, "publishing") {
        Err(DriverError::Refused { cause, .. }) => LargeRefusal::new(Who::Broker, cause),
        _ => LargeRefusal::new(
            Who::Broker,
            format!("closed the connection when {sent} B were sent ({cause})"),
        ),
    }
}

/// Takes one reply whose last bulk string is to be `payload`.
fn receive(
    connection: &mut Connection,
    clock: &Clock,
    payload: &[u8],
    deadline_ns: u64,
) -> Result<(), LargeRefusal> {
    let started_ns = clock.now_ns();
    let more = |connection: &mut Connection| match connection.read_until(clock, deadline_ns) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let limit = Duration::from_nanos(clock.now_ns() - started_ns);
            Err(LargeRefusal::by(&connection.endpoint.timed_out("receiving the value", limit)))
        }
        Err(DriverError::Disconnected { cause, .. }) => {
            Err(LargeRefusal::new(Who::Broker, format!("while the value was received: {cause}")))
        }
        Err(error) => Err(LargeRefusal::by(&error)),
    };
    let mut missing = 1u64;
    let mut comparison = PayloadComparison::new(payload);
    while missing > 0 {
        let header = loop {
            match Header::read(connection.input.filled())? {
                Some((header, length)) => {
                    connection.input.consume(length);
                    break header;
                }
                None => more(connection)?,
            }
        };
        missing -= 1;
        match header {
            Header::Other => {}
            Header::Array(length) => {
                missing = missing.checked_add(length).ok_or_else(unreadable)?
            }
            Header::Bulk(length) => {
                let is_value = missing == 0;
                if is_value && length != payload.len() as u64 {
                    let words = format!("{length} B arrived instead of {} B", payload.len());
                    return Err(LargeRefusal::new(Who::Consumer, words));
                }
                let mut left = length;
                while left > 0 {
                    let filled = connection.input.filled();
                    let piece = &filled[..filled.len().min(left as usize)];
                    if is_value {
                        comparison.take(piece)?;
                    }
                    let taken = piece.len();
                    left -= taken as u64;
                    connection.input.consume(taken);
                    if left > 0 {
                        more(connection)?;
                    }
                }
                while connection.input.filled().len() < 2 {
                    more(connection)?;
                }
                connection.input.consume(2);
            }
        }
    }
    if comparison.left() > 0 {
        return Err(LargeRefusal::new(Who::Consumer, "an answer without the value"));
    }
    Ok(())
}

/// The first line of a value: enough to know what follows.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    Array(u64),
    Bulk(u64),
    Other,
}

impl Header {
    /// With its length; `None` while its line is not whole.
    fn read(input: &[u8]) -> Result<Option<(Self, usize)>, LargeRefusal> {
        let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let line = &input[..end];
        let rest = line.get(1..).unwrap_or_default();
        let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok());
        let header = match (line.first(), number()) {
            (Some(b'-'), _) => return Err(LargeRefusal::new(Who::Broker, resp::error_text(rest))),
            (Some(b'*' | b'$'), Some(-1)) => {
                return Err(LargeRefusal::new(Who::Broker, "the value is not there"));
            }
            (Some(b'*'), Some(length @ 0..)) => Self::Array(length as u64),
            (Some(b'$'), Some(length @ 0..)) => Self::Bulk(length as u64),
            (Some(b':' | b'+'), _) => Self::Other,
            _ => return Err(unreadable()),
        };
        Ok(Some((header, end + 2)))
    }
}

fn unreadable() -> LargeRefusal {
    LargeRefusal::new(Who::Consumer, "an unreadable reply")
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(mut input: &[u8]) {
    while let Ok(Some((_, length))) = Header::read(input) {
        input = &input[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use std::io::Read;
    use std::net::TcpListener;

    /// A client of a server that answers each connection with `reply`,
    /// after it has read `wait` bytes.
    fn connection(wait: usize, reply: Vec<u8>) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.read_exact(&mut vec![0; wait]).unwrap();
            let _ = socket.write_all(&reply);
        });
        Connection::open(&Endpoint::parse(System::RedisLists, &address).unwrap()).unwrap()
    }

    fn after(clock: &Clock, millis: u64) -> u64 {
        clock.now_ns() + millis * 1_000_000
    }

    #[test]
    fn a_value_is_found_in_every_kind_of_reply() {
        let payload: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let mut bulk = vec![];
        resp::bulk_string(&mut bulk, &payload);
        for prefix in [
            &b""[..],
            b"*3\r\n$7\r\nmessage\r\n$3\r\nkey\r\n",
            b"*1\r\n*2\r\n$3\r\nkey\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nd\r\n",
        ] {
            let clock = Clock::start();
            let mut one = connection(0, [prefix, &bulk].concat());
            receive(&mut one, &clock, &payload, after(&clock, 5000)).unwrap();
            assert!(one.input.filled().is_empty());
        }
    }

    #[test]
    fn whatever_is_not_the_value_is_told() {
        let payload = vec![7; 1000];
        let mut wrong = vec![];
        resp::bulk_string(&mut wrong, &[&payload[..999], b"x"].concat());
        for (reply, who, words) in [
            (&b"-ERR no room\r\n"[..], Who::Broker, "no room"),
            (b"$-1\r\n", Who::Broker, "not there"),
            (b"$3\r\nabc\r\n", Who::Consumer, "3 B arrived instead of 1000 B"),
            (&wrong, Who::Consumer, "at byte 999"),
            (b"$1000\r\n\x07\x07", Who::Broker, "closed"),
            (b":1\r\n", Who::Consumer, "without the value"),
            (b"\r\n", Who::Consumer, "unreadable"),
            (&b"*9223372036854775807\r\n".repeat(3), Who::Consumer, "unreadable"),
        ] {
            let clock = Clock::start();
            let refusal =
                receive(&mut connection(0, reply.to_vec()), &clock, &payload, after(&clock, 5000))
                    .unwrap_err();
            assert!(refusal.who == who && refusal.words.contains(words), "{words}: {refusal}");
        }
    }

    #[test]
    fn a_refusal_in_the_midst_of_a_write_is_heard() {
        let payload = vec![0; 64 << 20];
        let clock = Clock::start();
        let mut one = connection(100, b"-ERR Protocol error: invalid bulk length\r\n".to_vec());
        let refusal =
            send(&mut one, &clock, [b"", &payload, b""], after(&clock, 5000)).unwrap_err();
        assert_eq!(refusal.who, Who::Broker);
        // Its words, or, where the reset was faster, how far it came.
        assert!(
            refusal.words.contains("bulk length") || refusal.words.contains("closed"),
            "{refusal}"
        );
    }
}
