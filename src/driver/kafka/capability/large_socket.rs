//! The second client: one raw Produce and one raw Fetch over a socket of its own.
//!
//! It shares no code with librdkafka and has no limits but those of the protocol, so it tells the usual client's limits
//! from the broker's. The record's value goes from the caller's slice to the socket and comes back through one small
//! buffer. It speaks to one node.

use super::record::{self, BATCH_HEAD, BatchHead, RECORD_TAIL};
use crate::access::Stream;
use crate::clock::Clock;
use crate::driver::kafka::error::lost;
use crate::driver::kafka::settings::ClientSettings;
use crate::driver::{DriverError, LargeMessages, LargeRefusal, PayloadComparison, Times, Trip, Who};
use crate::wire::kafka::link::Link;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(5);
const PIECE: usize = 1 << 20;
/// Larger answers than this hold no record of ours.
const LARGEST_ANSWER: usize = 1 << 20;

pub struct SocketLarge {
    clock: Clock,
    topic: String,
    stream: Stream,
    correlation: i32,
    /// Bytes of the answer being read that are still to come.
    left: usize,
}

impl SocketLarge {
    pub fn connect(settings: &ClientSettings, clock: Clock, topic: &str) -> Result<Self, DriverError> {
        let addresses = settings.addresses();
        let first = addresses.split(',').next().unwrap_or_default();
        let link = Link::open(first, &settings.access, CONNECT).map_err(|cause| lost(settings, cause))?;
        Ok(Self { clock, topic: topic.to_owned(), stream: link.stream, correlation: 0, left: 0 })
    }

    /// How large the batch at `offset` is, as the broker stores it. The connection is of no use afterwards: the rest
    /// of the batch is on its way.
    pub fn stored_bytes(mut self, offset: i64, deadline_ns: u64) -> Result<u64, LargeRefusal> {
        self.fetch(offset, deadline_ns).map(|head| head.size())
    }

    fn trip(&mut self, head: &[u8], payload: &[u8], deadline_ns: u64) -> Result<Times, LargeRefusal> {
        let started_ns = self.clock.now_ns();
        let since = |now_ns: u64| Duration::from_nanos(now_ns - started_ns);
        let mut sent = 0;
        for part in [head, payload, &RECORD_TAIL] {
            self.write(part, &mut sent, deadline_ns)?;
        }
        let size = self.answer(deadline_ns)?;
        if size > LARGEST_ANSWER {
            return Err(LargeRefusal::new(Who::Broker, format!("an answer of {size} B to Produce")));
        }
        let mut response = vec![0; size];
        self.read(&mut response, deadline_ns)?;
        let offset = record::produced(&response)?;
        let acked = since(self.clock.now_ns());
        self.receive(offset, payload, deadline_ns)?;
        Ok(Times { acked, received: since(self.clock.now_ns()) })
    }

    fn receive(&mut self, offset: i64, payload: &[u8], deadline_ns: u64) -> Result<(), LargeRefusal> {
        let head = self.fetch(offset, deadline_ns)?;
        head.check()?;
        let expected = record::record_head(payload.len());
        let size = (BATCH_HEAD + expected.len() + payload.len() + RECORD_TAIL.len()) as u64;
        if head.size() != size {
            return Err(LargeRefusal::new(Who::Consumer, format!("a batch of {} B instead of {size} B", head.size())));
        }
        let mut found = vec![0; expected.len()];
        self.read(&mut found, deadline_ns)?;
        if found != expected {
            return Err(LargeRefusal::new(Who::Consumer, "the head of the record differs from what was sent"));
        }
        let mut checksum = record::checksum(head.begin(), &found);
        let (mut comparison, mut piece) = (PayloadComparison::new(payload), vec![0; PIECE]);
        while comparison.left() > 0 {
            let room = comparison.left().min(PIECE);
            self.read(&mut piece[..room], deadline_ns)?;
            comparison.take(&piece[..room])?;
            checksum = record::checksum(checksum, &piece[..room]);
        }
        let mut tail = [0; RECORD_TAIL.len()];
        self.read(&mut tail, deadline_ns)?;
        checksum = record::checksum(checksum, &tail);
        if checksum != head.checksum() {
            return Err(LargeRefusal::new(Who::Consumer, "the checksum of the batch does not match"));
        }
        Ok(())
    }

    /// Asks for `offset` until it is there, and reads as far as the head of its batch.
    fn fetch(&mut self, offset: i64, deadline_ns: u64) -> Result<BatchHead, LargeRefusal> {
        loop {
            self.correlation += 1;
            let request = record::fetch(&self.topic, self.correlation, offset)?;
            self.write(&request, &mut 0, deadline_ns)?;
            self.answer(deadline_ns)?;
            // Throttle time, one topic, its name, one partition, its number.
            self.skip(8, deadline_ns)?;
            let name = self.number::<2>(deadline_ns)?;
            self.skip(name.max(0) as usize + 8, deadline_ns)?;
            let code = self.number::<2>(deadline_ns)?;
            record::accepted(code as i16, "")?;
            // Two watermarks; aborted transactions of 16 B each.
            self.skip(16, deadline_ns)?;
            let aborted = self.number::<4>(deadline_ns)?;
            self.skip(aborted.max(0) as usize * 16, deadline_ns)?;
            if self.number::<4>(deadline_ns)? >= BATCH_HEAD as i64 {
                let mut head = [0; BATCH_HEAD];
                self.read(&mut head, deadline_ns)?;
                return Ok(BatchHead::new(head));
            }
            self.skip(self.left, deadline_ns)?;
        }
    }

    /// The length of the next answer's body.
    fn answer(&mut self, deadline_ns: u64) -> Result<usize, LargeRefusal> {
        self.left = 8;
        let size = self.number::<4>(deadline_ns)?;
        let correlation = self.number::<4>(deadline_ns)?;
        if size < 4 || correlation != i64::from(self.correlation) {
            return Err(LargeRefusal::new(Who::Broker, format!("an answer of {size} B to request {correlation}")));
        }
        self.left = size as usize - 4;
        Ok(self.left)
    }

    /// A signed number of `N` bytes.
    fn number<const N: usize>(&mut self, deadline_ns: u64) -> Result<i64, LargeRefusal> {
        let mut bytes = [0; N];
        self.read(&mut bytes, deadline_ns)?;
        let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        Ok(bytes.iter().fold(if negative { -1 } else { 0 }, |value: i64, byte| value << 8 | i64::from(*byte)))
    }

    fn skip(&mut self, bytes: usize, deadline_ns: u64) -> Result<(), LargeRefusal> {
        let mut left = bytes;
        let mut piece = [0; 512];
        while left > 0 {
            let room = left.min(piece.len());
            self.read(&mut piece[..room], deadline_ns)?;
            left -= room;
        }
        Ok(())
    }

    fn read(&mut self, into: &mut [u8], deadline_ns: u64) -> Result<(), LargeRefusal> {
        if into.len() > self.left {
            return Err(LargeRefusal::new(Who::Broker, "an answer ends too early"));
        }
        let mut at = 0;
        while at < into.len() {
            let deadline = Instant::now() + self.limit(deadline_ns)?;
            match self.stream.read_by(&mut into[at..], deadline) {
                Ok(0) => return Err(LargeRefusal::new(Who::Broker, "closed the connection instead of an answer")),
                Ok(read) => at += read,
                Err(error) if again(&error) => {}
                Err(error) => return Err(LargeRefusal::new(Who::Broker, format!("no answer: {error}"))),
            }
        }
        self.left -= into.len();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], sent: &mut usize, deadline_ns: u64) -> Result<(), LargeRefusal> {
        let mut at = 0;
        while at < bytes.len() {
            let limit = self.limit(deadline_ns)?;
            let _ = self.stream.set_write_timeout(limit);
            match self.stream.write(&bytes[at..]) {
                Ok(written) => {
                    at += written;
                    *sent += written;
                }
                Err(error) if again(&error) => {}
                Err(error) => {
                    let words = format!("closed the connection when {sent} B were sent ({error})");
                    return Err(LargeRefusal::new(Who::Broker, words));
                }
            }
        }
        Ok(())
    }

    /// The time left, never nothing.
    fn limit(&self, deadline_ns: u64) -> Result<Duration, LargeRefusal> {
        let left = self.clock.until(deadline_ns);
        if left.is_zero() {
            return Err(LargeRefusal::new(Who::TimeOut, "no answer within the time for one message"));
        }
        Ok(left.max(Duration::from_millis(1)))
    }
}

fn again(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl LargeMessages for SocketLarge {
    fn round_trip(&mut self, payload: &[u8], deadline_ns: u64) -> Trip {
        self.correlation += 1;
        let head = match record::produce(&self.topic, self.correlation, payload) {
            Ok(head) => head,
            Err(refusal) => return Trip { end: Err(refusal), wire_bytes: None },
        };
        let wire_bytes = Some((head.len() + payload.len() + RECORD_TAIL.len()) as u64);
        Trip { end: self.trip(&head, payload, deadline_ns), wire_bytes }
    }
}
