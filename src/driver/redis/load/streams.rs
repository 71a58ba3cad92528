//! A consumer of Redis Streams: XREADGROUP in batches, XACK of the batch before in the same write.
//!
//! A blocking command is never abandoned: what it would have brought belongs to this consumer and
//! to nobody else. If the server is late with an answer, `receive` returns on time all the same and
//! the next call takes it up.

use super::command::ENVELOPE;
use super::connection::Connection;
use super::{ConsumerPlace, RedisConsumer};
use crate::clock::Clock;
use crate::driver::redis::CLOSE;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Token};
use redis::{Cmd, Value, cmd};
use std::time::Duration;

/// Makes a group that begins at the entry `from`, and its stream where there is none.
pub fn create_group(key: &str, group: &str, from: &str) -> Cmd {
    let mut command = cmd("XGROUP");
    command.arg("CREATE").arg(key).arg(group).arg(from).arg("MKSTREAM");
    command
}

/// Makes the place's group on every stream, from the entry `from` on, where there is none.
pub fn make_groups(
    connection: &mut Connection,
    place: &ConsumerPlace,
    from: &str,
) -> Result<(), DriverError> {
    for key in &place.keys {
        let create = create_group(key, &place.group, from);
        match connection.query::<Value>("XGROUP CREATE", &create) {
            // Another consumer of this subscription was here first.
            Err(DriverError::Refused { cause, .. }) if cause.starts_with("BUSYGROUP") => {}
            made => drop(made?),
        }
    }
    Ok(())
}

/// Asks for entries after `from`, blocking in the server for `left`;
/// not at all when nothing is left.
pub fn read(place: &ConsumerPlace, from: &str, left: Duration) -> Cmd {
    let mut command = cmd("XREADGROUP");
    command.arg("GROUP").arg(&place.group).arg(&place.consumer).arg("COUNT").arg(place.batch);
    if !left.is_zero() {
        // At least 1 ms: 0 is for ever.
        command.arg("BLOCK").arg((left.as_millis() as u64).max(1));
    }
    command.arg("STREAMS").arg(&place.keys).arg(vec![from; place.keys.len()]);
    command
}

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
    place: ConsumerPlace,
    unacknowledged: Vec<Unacknowledged>,
    /// Those whose XACK is under way.
    acknowledging: Vec<Unacknowledged>,
    /// Answers to XACK that come before the next batch.
    acks_due: usize,
    /// Whether an XREADGROUP is under way.
    reading: bool,
    /// The last XREADGROUP as bytes, and whether it caught up, blocked, and for how many ms:
    /// for the next, which is mostly the same.
    question: (Option<(bool, bool, u128)>, Vec<u8>),
    /// After a lost connection, until nothing is left:
    /// read what the group has given us and nobody saw.
    catching_up: bool,
}

impl StreamSubscriber {
    /// Takes a connection to a server where the groups are made.
    pub fn new(connection: Connection, place: ConsumerPlace) -> Self {
        let none = || place.keys.iter().map(|_| Unacknowledged::default()).collect();
        let (unacknowledged, acknowledging, catching_up) = (none(), none(), place.outlives);
        Self {
            connection,
            place,
            unacknowledged,
            acknowledging,
            acks_due: 0,
            reading: false,
            question: (None, Vec::new()),
            catching_up,
        }
    }

    fn collect_acks(&mut self) {
        let out = &mut self.connection.output.bytes;
        let books = self.unacknowledged.iter_mut().zip(&mut self.acknowledging);
        let ConsumerPlace { keys, group, .. } = &self.place;
        for (key, (waiting, under_way)) in keys.iter().zip(books) {
            if waiting.count > 0 {
                resp::array_header(out, 3 + waiting.count);
                [b"XACK", key.as_bytes(), group.as_bytes()]
                    .iter()
                    .for_each(|word| resp::bulk_string(out, word));
                out.extend_from_slice(&waiting.ids);
                self.acks_due += 1;
                // All acknowledgements before are answered: the batch in between came after them.
                under_way.clear();
                std::mem::swap(waiting, under_way);
            }
        }
    }

    fn ask(&mut self, until_ns: u64) {
        self.connection.stay_signed_in();
        let left = self.place.clock.until(until_ns);
        let asked = (self.catching_up, left.is_zero(), left.as_millis());
        if self.question.0 != Some(asked) {
            let from = if self.catching_up { "0" } else { ">" };
            self.question = (Some(asked), read(&self.place, from, left).get_packed_command());
        }
        self.connection.output.bytes.extend_from_slice(&self.question.1);
        self.reading = true;
    }
}

/// The message in an entry of several fields: the payload is the last, and an envelope beside it is
/// put before it.
fn put_together<'a: 'b, 'b>(
    reader: &mut ReplyReader<'a>,
    fields: usize,
    whole: &'b mut Vec<u8>,
) -> Result<&'b [u8], Malformed> {
    whole.clear();
    let mut payload = &[][..];
    for _ in 0..fields {
        let field = reader.bulk()?;
        payload = reader.bulk()?;
        if field == ENVELOPE.as_bytes() {
            whole.extend_from_slice(payload);
        }
    }
    if whole.is_empty() {
        return Ok(payload);
    }
    whole.extend_from_slice(payload);
    Ok(whole)
}

/// Walks `[[key, [[id, [field, payload]]…]]…]`, hands each payload over and keeps its id; how many
/// entries there were.
fn hand_out(
    reply: &[u8],
    keys: &[String],
    unacknowledged: &mut [Unacknowledged],
    clock: &Clock,
    sink: &mut dyn FnMut(Incoming<'_>),
) -> Result<usize, Malformed> {
    let received_ns = clock.now_ns();
    let mut reader = ReplyReader::new(reply);
    let (mut entries, mut whole) = (0, Vec::new());
    let streams = match reader.next()? {
        Token::Null => return Ok(0),
        Token::Array(streams) => streams,
        other => return Err(resp::unexpected("streams", other)),
    };
    for _ in 0..streams {
        reader.array()?;
        let key = reader.bulk()?;
        let index = keys.iter().position(|known| known.as_bytes() == key);
        let index =
            index.ok_or_else(|| Malformed("entries of a stream that was not asked for".into()))?;
        let waiting = &mut unacknowledged[index];
        let here = reader.array()?;
        entries += here;
        for _ in 0..here {
            reader.array()?;
            let (_, id) = reader.next_range()?;
            waiting.ids.extend_from_slice(&reply[id]);
            waiting.count += 1;
            match reader.next()? {
                // It was trimmed away.
                Token::Null => {}
                Token::Array(2) => {
                    reader.bulk()?;
                    let payload = reader.bulk()?;
                    sink(Incoming { payload, received_ns });
                }
                Token::Array(words) if words > 0 && words.is_multiple_of(2) => {
                    let payload = put_together(&mut reader, words / 2, &mut whole)?;
                    sink(Incoming { payload, received_ns });
                }
                other => return Err(resp::unexpected("an entry of fields", other)),
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

impl Subscriber for StreamSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        if !self.reading {
            self.collect_acks();
            self.ask(self.place.ask_until(until_ns));
        }
        self.answers(self.place.patience(until_ns), sink)
    }

    /// Acknowledges what was handed out. What a late answer still brings stays pending in the
    /// group: nobody saw it.
    fn close(&mut self) -> Result<(), DriverError> {
        let deadline = self.place.clock.now_ns() + CLOSE.as_nanos() as u64;
        self.collect_acks();
        // One of the answers may be a batch under way, which is not handed out any more.
        let due = self.acks_due + usize::from(self.reading);
        (self.acks_due, self.reading) = (0, false);
        for _ in 0..due {
            if self.connection.next(&self.place.clock, deadline, |_| Ok(()))?.is_none() {
                return Err(self.connection.endpoint.timed_out("XACK", CLOSE));
            }
        }
        Ok(())
    }
}

impl StreamSubscriber {
    /// Takes up every answer that is due, as far as they come until `patience_ns`.
    fn answers(
        &mut self,
        patience_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let ConsumerPlace { clock, keys, .. } = &self.place;
        while self.acks_due > 0 {
            let acknowledged = |reply: &[u8]| ReplyReader::new(reply).integer();
            if self.connection.next(clock, patience_ns, acknowledged)?.is_none() {
                return Ok(());
            }
            self.acks_due -= 1;
        }
        let unacknowledged = &mut self.unacknowledged;
        let walk = |reply: &[u8]| hand_out(reply, keys, unacknowledged, clock, sink);
        if let Some(entries) = self.connection.next(clock, patience_ns, walk)? {
            self.reading = false;
            self.catching_up &= entries > 0;
            // One in a crowd is called again when its socket has something: it must have asked.
            if self.place.crowded && entries == 0 {
                self.ask(self.place.ask_until(patience_ns));
                self.connection.write()?;
            }
        }
        Ok(())
    }
}

/// Acknowledges again what may not have been (XACK a second time does nothing), then reads what the
/// group had given us while the connection broke, then goes on.
impl RedisConsumer for StreamSubscriber {
    fn request(&mut self, until_ns: u64) -> Result<(), DriverError> {
        self.collect_acks();
        self.ask(until_ns);
        self.connection.write().map(drop)
    }

    fn take_up(&mut self, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if self.reading { self.answers(0, sink) } else { Ok(()) }
    }

    fn watched(&self) -> Option<&Connection> {
        Some(&self.connection)
    }

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
    fn of_several_fields_the_payload_is_the_last_and_an_envelope_comes_before_it() {
        let entry = |fields: &str| {
            format!("*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-0\r\n{fields}").into_bytes()
        };
        let header = "$8\r\nheader-0\r\n$1\r\nx\r\n";
        for (fields, found) in [
            (format!("*4\r\n{header}$1\r\nd\r\n$4\r\nline\r\n"), "line"),
            ("*4\r\n$1\r\ne\r\n$3\r\nENV\r\n$1\r\nd\r\n$4\r\nline\r\n".into(), "ENVline"),
            (format!("*6\r\n{header}$1\r\ne\r\n$3\r\nENV\r\n$1\r\nd\r\n$0\r\n\r\n"), "ENV"),
        ] {
            let (keys, mut waiting, mut seen) =
                (vec!["k".to_owned()], [Unacknowledged::default()], vec![]);
            let mut sink = |incoming: Incoming<'_>| seen.push(incoming.payload.to_vec());
            let handed = hand_out(&entry(&fields), &keys, &mut waiting, &Clock::start(), &mut sink);
            assert_eq!((handed, seen), (Ok(1), vec![found.as_bytes().to_vec()]), "{fields}");
        }
        let odd = entry("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
        let (mut waiting, mut nobody) = ([Unacknowledged::default()], |_: Incoming<'_>| ());
        let found = hand_out(&odd, &["k".into()], &mut waiting, &Clock::start(), &mut nobody);
        assert!(found.is_err());
    }

    #[test]
    fn a_batch_is_handed_out_and_its_ids_are_kept() {
        let reply = b"*1\r\n*2\r\n$1\r\nk\r\n*2\r\n\
            *2\r\n$3\r\n1-0\r\n*4\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\nd\r\n$2\r\nhi\r\n\
            *2\r\n$3\r\n1-1\r\n*-1\r\n";
        let (keys, mut waiting, mut seen) =
            (vec!["k".to_owned()], [Unacknowledged::default()], vec![]);
        let mut sink = |incoming: Incoming<'_>| seen.push(incoming.payload.to_vec());
        assert_eq!(hand_out(reply, &keys, &mut waiting, &Clock::start(), &mut sink), Ok(2));
        assert_eq!(seen, [b"hi".to_vec()]);
        assert_eq!(
            (waiting[0].count, waiting[0].ids.as_slice()),
            (2, &b"$3\r\n1-0\r\n$3\r\n1-1\r\n"[..])
        );
        let mut nobody = |_: Incoming<'_>| ();
        assert!(hand_out(b"*-1\r\n", &keys, &mut waiting, &Clock::start(), &mut nobody).is_ok());
        assert!(
            hand_out(b"-NOGROUP gone\r\n", &keys, &mut waiting, &Clock::start(), &mut nobody)
                .is_err()
        );
    }
}
