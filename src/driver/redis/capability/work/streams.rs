//! A worker on a stream: what fails is simply not acknowledged, and claimed again once it has been idle for the pause.
//!
//! The broker remembers everything: which entries are pending, how often each was delivered. So nothing is lost with
//! this worker, and whatever another one left idle is claimed by the same request. An entry that is worked on for
//! longer than the pause would be claimed while it is: the pause must be longer than the work.

use super::GROUP;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::redis::limits::{CLOSE, GRACE_NS};
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::streams::entry_payload;
use crate::driver::work::{WorkEvent, Worker};
use crate::units::Span;
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Token};
use std::collections::{HashMap, VecDeque};

/// Copies a pending entry to the dead letters and acknowledges it, in one step. Nothing happens if another consumer
/// has done so, and an entry trimmed away meanwhile can only be acknowledged.
const BURY: &[u8] = b"local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #pending == 0 then return 0 end
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
if #entry == 1 then
  redis.call('XADD', KEYS[2], '*', 'd', entry[1][2][2], 'source', ARGV[2], 'tries', pending[1][4])
end
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])";

/// Most pending entries of this worker whose delivery counts are read at once.
const MOST_PENDING: &[u8] = b"100000";

/// An entry's id and payload.
type StreamEntry = (Vec<u8>, Vec<u8>);

/// An answer that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamWorkReply {
    Acknowledgement,
    Burial(u64),
    /// XAUTOCLAIM, then the delivery counts of what it claimed: XAUTOCLAIM itself does not tell them.
    Claim,
    Counts,
    Batch,
}

pub struct StreamWorker {
    connection: Connection,
    clock: Clock,
    key: String,
    dead: String,
    consumer: String,
    pause: Span,
    due: VecDeque<StreamWorkReply>,
    /// StreamEntry ids of what is being worked on, by our own numbers.
    working: HashMap<u64, Vec<u8>>,
    numbers: u64,
    done: Vec<Vec<u8>>,
    /// Claimed entries whose counts are not known yet.
    claimed: Vec<StreamEntry>,
    /// Where the next XAUTOCLAIM goes on.
    cursor: Vec<u8>,
    /// When to look for idle entries again.
    look_ns: u64,
}

impl StreamWorker {
    pub fn new(connection: Connection, clock: Clock, key: String, dead: String, consumer: u16, pause: Span) -> Self {
        Self {
            connection,
            clock,
            key,
            dead,
            consumer: format!("c{consumer}"),
            pause,
            due: VecDeque::new(),
            working: HashMap::new(),
            numbers: 0,
            done: vec![],
            claimed: vec![],
            cursor: b"0-0".to_vec(),
            look_ns: 0,
        }
    }

    fn ask(&mut self, due: StreamWorkReply, words: &[&[u8]]) {
        resp::command(&mut self.connection.output.bytes, words);
        self.due.push_back(due);
    }

    fn acknowledge(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let done = std::mem::take(&mut self.done);
        let key = self.key.clone();
        let words: Vec<&[u8]> =
            [b"XACK", key.as_bytes(), GROUP.as_bytes()].into_iter().chain(done.iter().map(Vec::as_slice)).collect();
        self.ask(StreamWorkReply::Acknowledgement, &words);
    }

    /// Asks for what has been idle for the pause, whoever had it.
    fn claim(&mut self, max: u32) {
        let (key, consumer, cursor) = (self.key.clone(), self.consumer.clone(), self.cursor.clone());
        let (idle, max) = ((self.pause.nanos() / 1_000_000).to_string(), max.to_string());
        let (key, consumer, group) = (key.as_bytes(), consumer.as_bytes(), GROUP.as_bytes());
        let words: [&[u8]; 8] =
            [b"XAUTOCLAIM", key, group, consumer, idle.as_bytes(), &cursor, b"COUNT", max.as_bytes()];
        self.ask(StreamWorkReply::Claim, &words);
        self.ask(StreamWorkReply::Counts, &[b"XPENDING", key, group, b"-", b"+", MOST_PENDING, consumer]);
        self.look_ns = self.clock.now_ns() + self.pause.nanos() / 4;
    }

    /// Asks for new entries, blocking in the server until `until_ns`; not at all when that has passed.
    fn read(&mut self, max: u32, until_ns: u64) {
        let (key, consumer, count) = (self.key.clone(), self.consumer.clone(), max.to_string());
        let left = self.clock.until(until_ns);
        let block = (left.as_millis() as u64).max(1).to_string();
        let mut words: Vec<&[u8]> =
            vec![b"XREADGROUP", b"GROUP", GROUP.as_bytes(), consumer.as_bytes(), b"COUNT", count.as_bytes()];
        if !left.is_zero() {
            words.extend([&b"BLOCK"[..], block.as_bytes()]);
        }
        words.extend([&b"STREAMS"[..], key.as_bytes(), b">"]);
        self.ask(StreamWorkReply::Batch, &words);
    }

    /// Takes up every answer that is due, as far as they come until `patience_ns`; how many messages they brought.
    fn settle(&mut self, patience_ns: u64, sink: &mut dyn FnMut(WorkEvent<'_>)) -> Result<usize, DriverError> {
        let mut found = 0;
        while let Some(&due) = self.due.front() {
            let Some(reply) = self.connection.next_reply()? else {
                if self.connection.read_until(&self.clock, patience_ns)? {
                    continue;
                }
                break;
            };
            self.due.pop_front();
            let bytes = self.connection.input.filled()[reply.clone()].to_vec();
            self.connection.input.consume(reply.len());
            let taken = self.take_up(due, &bytes, sink);
            found += taken.map_err(|cause| self.connection.endpoint.malformed(cause))?;
        }
        Ok(found)
    }

    fn take_up(
        &mut self,
        due: StreamWorkReply,
        reply: &[u8],
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<usize, Malformed> {
        let mut reader = ReplyReader::new(reply);
        let at_ns = self.clock.now_ns();
        match due {
            StreamWorkReply::Acknowledgement => reader.integer().map(|_| 0),
            StreamWorkReply::Burial(id) => {
                reader.integer()?;
                sink(WorkEvent::DeadLettered { id, at_ns });
                Ok(0)
            }
            StreamWorkReply::Claim => {
                reader.array()?;
                self.cursor = reader.bulk()?.to_vec();
                self.claimed = entries(&mut reader)?;
                Ok(0)
            }
            StreamWorkReply::Counts => {
                let mut counts = HashMap::new();
                for _ in 0..reader.array()? {
                    reader.array()?;
                    let id = reader.bulk()?;
                    reader.skip()?;
                    reader.skip()?;
                    counts.insert(id, u32::try_from(reader.integer()?).unwrap_or(u32::MAX));
                }
                let claimed = std::mem::take(&mut self.claimed);
                for (entry, payload) in &claimed {
                    // Claimed at least once, so delivered at least twice, should the count not be among them.
                    let attempt = counts.get(entry.as_slice()).copied().unwrap_or(2);
                    self.hand_out(entry, attempt, payload, at_ns, sink);
                }
                Ok(claimed.len())
            }
            StreamWorkReply::Batch => {
                match reader.next()? {
                    Token::Null => return Ok(0),
                    Token::Array(1) => {}
                    other => return Err(resp::unexpected("entries of one stream", other)),
                }
                reader.array()?;
                reader.skip()?;
                let new = entries(&mut reader)?;
                for (entry, payload) in &new {
                    self.hand_out(entry, 1, payload, at_ns, sink);
                }
                Ok(new.len())
            }
        }
    }

    fn hand_out(
        &mut self,
        entry: &[u8],
        attempt: u32,
        payload: &[u8],
        at_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) {
        self.numbers += 1;
        self.working.insert(self.numbers, entry.to_vec());
        sink(WorkEvent::Task { id: self.numbers, attempt, payload, at_ns });
    }
}

/// Reads `[[id, [field, payload…]]…]`, leaving out entries that were trimmed away.
fn entries(reader: &mut ReplyReader<'_>) -> Result<Vec<StreamEntry>, Malformed> {
    let mut entries = vec![];
    for _ in 0..reader.array()? {
        // Redis 6.2 puts null in the place of a trimmed entry.
        match reader.next()? {
            Token::Null => continue,
            Token::Array(2) => {}
            other => return Err(resp::unexpected("an entry", other)),
        }
        let id = reader.bulk()?.to_vec();
        if let Some(payload) = entry_payload(reader)? {
            entries.push((id, payload.to_vec()));
        }
    }
    Ok(entries)
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(reply: &[u8]) -> bool {
    entries(&mut ReplyReader::new(reply)).is_ok()
}

impl Worker for StreamWorker {
    fn take(&mut self, max: u32, until_ns: u64, sink: &mut dyn FnMut(WorkEvent<'_>)) -> Result<(), DriverError> {
        let patience_ns = until_ns.max(self.clock.now_ns()).saturating_add(GRACE_NS);
        if !self.due.contains(&StreamWorkReply::Batch) {
            self.acknowledge();
            let mut found = 0;
            if self.clock.now_ns() >= self.look_ns {
                self.claim(max);
                found = self.settle(patience_ns, sink)?;
            }
            // With work in hand already, only look whether there is more.
            self.read(max, if found > 0 { 0 } else { until_ns.min(self.look_ns) });
        }
        self.settle(patience_ns, sink).map(|_| ())
    }

    fn done(&mut self, id: u64) {
        self.done.extend(self.working.remove(&id));
    }

    /// Stays pending: the broker counts, and tells when it is claimed.
    fn retry(&mut self, id: u64) {
        self.working.remove(&id);
    }

    fn dead_letter(&mut self, id: u64) {
        if let Some(entry) = self.working.remove(&id) {
            let (key, dead) = (self.key.clone(), self.dead.clone());
            let words: [&[u8]; 7] =
                [b"EVAL", BURY, b"2", key.as_bytes(), dead.as_bytes(), GROUP.as_bytes(), entry.as_slice()];
            self.ask(StreamWorkReply::Burial(id), &words);
        }
    }

    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        self.acknowledge();
        self.settle(self.clock.now_ns() + CLOSE.as_nanos() as u64, &mut |_| ())?;
        if self.due.is_empty() { Ok(()) } else { Err(self.connection.endpoint.timed_out("XACK", CLOSE)) }
    }

    fn kill(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimmed_entries_are_left_out_and_further_fields_are_skipped() {
        let reply = b"*3\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$1\r\nd\r\n$2\r\nhi\r\n$1\r\nx\r\n$1\r\ny\r\n*-1\r\n\
            *2\r\n$3\r\n1-1\r\n*-1\r\n";
        let mut reader = ReplyReader::new(reply);
        assert_eq!(entries(&mut reader), Ok(vec![(b"1-0".to_vec(), b"hi".to_vec())]));
        assert!(entries(&mut ReplyReader::new(b"*1\r\n:1\r\n")).is_err());
    }
}
