//! A consumer of Redis Streams: XREADGROUP in batches, XACK of the batch before in the same write.
//!
//! A blocking command is never abandoned: what it would have brought belongs to this consumer and to nobody else. If
//! the server is late with an answer, `receive` returns on time all the same and the next call takes it up.

use super::connection::Connection;
use super::resilient::Resume;
use crate::clock::Clock;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::limits::SET_UP;
use crate::driver::redis::limits::{CLOSE, GRACE_NS, ON_TIME_NS};
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Token};
use std::time::Instant;

/// Ids of one stream that were handed out and are not acknowledged yet, as they came: encoded.
#[derive(Default)]
struct Unacknowledged {
    ids: Vec<u8>,
    count: usize,
}

impl Unacknowledged {
    fn clear(&mut self) {
        self.ids.clear();
        self.count = 0;
    }
}

pub struct StreamSubscriber {
    connection: Connection,
    clock: Clock,
    keys: Vec<String>,
    group: String,
    consumer: String,
    batch: u32,
    unacknowledged: Vec<Unacknowledged>,
    /// Those whose XACK is under way.
    acknowledging: Vec<Unacknowledged>,
    /// Answers to XACK that come before the next batch.
    acks_due: usize,
    /// Whether an XREADGROUP is under way.
    reading: bool,
    /// After a lost connection, until nothing is left: read what the group has given us and nobody saw.
    catching_up: bool,
    grace_ns: u64,
}

/// Makes the group on every stream, from the entry `from` on, where there is none.
pub fn make_groups(connection: &mut Connection, keys: &[String], group: &str, from: &str) -> Result<(), DriverError> {
    for key in keys {
        let words: [&[u8]; 6] = [b"XGROUP", b"CREATE", key.as_bytes(), group.as_bytes(), from.as_bytes(), b"MKSTREAM"];
        resp::command(&mut connection.output.bytes, &words);
        match connection.reply(Instant::now() + SET_UP, "XGROUP CREATE") {
            Ok(reply) => connection.input.consume(reply.len()),
            // Another consumer of this subscription was here first.
            Err(DriverError::Refused { cause, .. }) if cause.starts_with("BUSYGROUP") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What the group of a subscription is called.
pub fn group(subscription: u16) -> String {
    format!("g{subscription}")
}

impl StreamSubscriber {
    /// Joins the group of `subscription` on every stream and makes it, from the stream's present end on, if it is new.
    pub fn connect(
        endpoint: &Endpoint,
        clock: Clock,
        keys: Vec<String>,
        subscription: u16,
        consumer: u16,
        batch: u32,
    ) -> Result<Self, DriverError> {
        let mut connection = Connection::open(endpoint)?;
        make_groups(&mut connection, &keys, &group(subscription), "$")?;
        Ok(Self::new(connection, clock, keys, subscription, consumer, batch))
    }

    /// Takes a connection to a server where the groups are made.
    pub fn new(
        connection: Connection,
        clock: Clock,
        keys: Vec<String>,
        subscription: u16,
        consumer: u16,
        batch: u32,
    ) -> Self {
        let none = || keys.iter().map(|_| Unacknowledged::default()).collect();
        let (unacknowledged, acknowledging) = (none(), none());
        Self {
            connection,
            clock,
            keys,
            group: group(subscription),
            consumer: format!("c{consumer}"),
            batch,
            unacknowledged,
            acknowledging,
            acks_due: 0,
            reading: false,
            catching_up: false,
            grace_ns: GRACE_NS,
        }
    }

    /// Comes back on time, whatever the server does; a late answer is taken up by the next call.
    pub fn on_time(self) -> Self {
        Self { grace_ns: ON_TIME_NS, ..self }
    }

    /// First takes up what whoever had its place before left unacknowledged.
    pub fn taking_over(self) -> Self {
        Self { catching_up: true, ..self }
    }

    fn collect_acks(&mut self) {
        let out = &mut self.connection.output.bytes;
        let books = self.unacknowledged.iter_mut().zip(&mut self.acknowledging);
        for (key, (waiting, under_way)) in self.keys.iter().zip(books) {
            if waiting.count > 0 {
                resp::array_header(out, 3 + waiting.count);
                [b"XACK", key.as_bytes(), self.group.as_bytes()].iter().for_each(|word| resp::bulk_string(out, word));
                out.extend_from_slice(&waiting.ids);
                self.acks_due += 1;
                // All acknowledgements before are answered: the batch in between came after them.
                under_way.clear();
                std::mem::swap(waiting, under_way);
            }
        }
    }

    /// Asks for the next batch, blocking in the server until `until_ns`; not at all when that has passed.
    fn ask(&mut self, until_ns: u64) {
        let (count, left) = (self.batch.to_string(), self.clock.until(until_ns));
        let block = (left.as_millis() as u64).max(1).to_string();
        let mut words: Vec<&[u8]> =
            vec![b"XREADGROUP", b"GROUP", self.group.as_bytes(), self.consumer.as_bytes(), b"COUNT", count.as_bytes()];
        if !left.is_zero() {
            words.extend([&b"BLOCK"[..], block.as_bytes()]);
        }
        words.push(b"STREAMS");
        words.extend(self.keys.iter().map(|key| key.as_bytes()));
        let from: &[u8] = if self.catching_up { b"0" } else { b">" };
        words.extend(self.keys.iter().map(|_| from));
        resp::command(&mut self.connection.output.bytes, &words);
        self.reading = true;
    }

    /// Sends the next request and does not look for its answer, which the next [`Subscriber::receive`] takes up.
    pub fn request(&mut self, until_ns: u64) -> Result<(), DriverError> {
        self.ask(until_ns);
        self.connection.write().map(drop)
    }

    /// Takes up every answer that is here. True when the batch was among them.
    fn take(&mut self, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<bool, DriverError> {
        while let Some(reply) = self.connection.next_reply()? {
            let bytes = &self.connection.input.filled()[reply.clone()];
            let (keys, unacknowledged) = (&self.keys, &mut self.unacknowledged);
            let taken = if self.acks_due > 0 {
                self.acks_due -= 1;
                ReplyReader::new(bytes).integer().map(|_| false)
            } else {
                self.reading = false;
                hand_out(bytes, keys, unacknowledged, &self.clock, sink).map(|entries| {
                    self.catching_up &= entries > 0;
                    true
                })
            };
            let taken = taken.map_err(|cause| self.connection.endpoint.malformed(cause))?;
            self.connection.input.consume(reply.len());
            if taken {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Walks `[[key, [[id, [field, payload]]…]]…]`, hands each payload over and keeps its id; how many entries there were.
fn hand_out(
    reply: &[u8],
    keys: &[String],
    unacknowledged: &mut [Unacknowledged],
    clock: &Clock,
    sink: &mut dyn FnMut(Incoming<'_>),
) -> Result<usize, Malformed> {
    let mut reader = ReplyReader::new(reply);
    let mut entries = 0;
    let streams = match reader.next()? {
        Token::Null => return Ok(0),
        Token::Array(streams) => streams,
        other => return Err(resp::unexpected("streams", other)),
    };
    for _ in 0..streams {
        reader.array()?;
        let key = reader.bulk()?;
        let index = keys.iter().position(|known| known.as_bytes() == key);
        let index = index.ok_or_else(|| Malformed("entries of a stream that was not asked for".into()))?;
        let waiting = &mut unacknowledged[index];
        let here = reader.array()?;
        entries += here;
        for _ in 0..here {
            reader.array()?;
            let (_, id) = reader.next_range()?;
            waiting.ids.extend_from_slice(&reply[id]);
            waiting.count += 1;
            if let Some(payload) = entry_payload(&mut reader)? {
                sink(Incoming { payload, received_ns: clock.now_ns() });
            }
        }
    }
    Ok(entries)
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(reply: &[u8], bytes: &mut usize) -> Result<usize, Malformed> {
    let mut unacknowledged = [Unacknowledged::default()];
    hand_out(reply, &["k".to_owned()], &mut unacknowledged, &Clock::start(), &mut |message| {
        *bytes += message.payload.len();
    })
}

/// The value of an entry's first field, which is all there is of our messages; dead letters say more behind it. `None`
/// for an entry that was trimmed away.
pub fn entry_payload<'a>(reader: &mut ReplyReader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match reader.next()? {
        Token::Null => Ok(None),
        Token::Array(parts @ 2..) => {
            reader.bulk()?;
            let payload = reader.bulk()?;
            for _ in 2..parts {
                reader.skip()?;
            }
            Ok(Some(payload))
        }
        other => Err(resp::unexpected("an entry of at least one field", other)),
    }
}

impl Subscriber for StreamSubscriber {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if !self.reading {
            self.collect_acks();
            self.ask(until_ns);
        }
        let patience = until_ns.max(self.clock.now_ns()).saturating_add(self.grace_ns);
        while !self.take(sink)? {
            if !self.connection.read_until(&self.clock, patience)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Acknowledges what was handed out. What a late answer still brings stays pending in the group: nobody saw it.
    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        let deadline = self.clock.now_ns() + CLOSE.as_nanos() as u64;
        self.collect_acks();
        // One of the answers may be a batch under way, which is not handed out any more.
        let mut due = self.acks_due + usize::from(self.reading);
        (self.acks_due, self.reading) = (0, false);
        while due > 0 {
            match self.connection.next_reply()? {
                Some(reply) => {
                    self.connection.input.consume(reply.len());
                    due -= 1;
                }
                None if self.connection.read_until(&self.clock, deadline)? => {}
                None => return Err(self.connection.endpoint.timed_out("XACK", CLOSE)),
            }
        }
        Ok(())
    }
}

/// Acknowledges again what may not have been (XACK a second time does nothing), then reads what the group had given us
/// while the connection broke, then goes on.
impl Resume for StreamSubscriber {
    fn resume(&mut self, connection: Connection) {
        self.connection = connection;
        for (waiting, under_way) in self.unacknowledged.iter_mut().zip(&mut self.acknowledging) {
            waiting.ids.extend_from_slice(&under_way.ids);
            waiting.count += under_way.count;
            under_way.clear();
        }
        (self.acks_due, self.reading, self.catching_up) = (0, false, true);
    }

    fn is_owed(&self) -> bool {
        self.reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_handed_out_and_its_ids_are_kept() {
        let reply =
            b"*1\r\n*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nd\r\n$2\r\nhi\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n";
        let (keys, mut waiting, mut seen) = (vec!["k".to_owned()], [Unacknowledged::default()], vec![]);
        let mut sink = |incoming: Incoming<'_>| seen.push(incoming.payload.to_vec());
        assert_eq!(hand_out(reply, &keys, &mut waiting, &Clock::start(), &mut sink), Ok(2));
        assert_eq!(seen, [b"hi".to_vec()]);
        assert_eq!((waiting[0].count, waiting[0].ids.as_slice()), (2, &b"$3\r\n1-0\r\n$3\r\n1-1\r\n"[..]));
        let mut nobody = |_: Incoming<'_>| ();
        assert!(hand_out(b"*-1\r\n", &keys, &mut waiting, &Clock::start(), &mut nobody).is_ok());
        assert!(hand_out(b"-NOGROUP gone\r\n", &keys, &mut waiting, &Clock::start(), &mut nobody).is_err());
    }
}
