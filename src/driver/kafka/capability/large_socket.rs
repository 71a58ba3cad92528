//! The second client: one raw Produce and one raw Fetch over a socket of its own.
//!
//! It shares no code with librdkafka and has no limits but those of the protocol, so it tells the
//! usual client's limits from the broker's. The record's value goes from the caller's slice to the
//! socket and comes back through one small buffer. It speaks to one node.

use crate::access::Stream;
use crate::clock::Clock;
use crate::driver::kafka::clients::{Clients, disconnected};
use crate::driver::{
    DriverError, LargeMessages, LargeRefusal, PayloadComparison, Times, Trip, Who,
};
use crate::wire::kafka::answers::accepted;
use crate::wire::kafka::link::{Link, ReadUntil};
use crate::wire::kafka::records::{self, BATCH_HEAD, BatchHead, RECORD_TAIL, checksum};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

const CLIENT: &str = "brokerbench-second";
const CONNECT: Duration = Duration::from_secs(5);
const PIECE: usize = 1 << 20;
/// Larger answers than this hold no record of ours.
const LARGEST_ANSWER: usize = 1 << 20;

pub struct SocketLarge {
    clock: Clock,
    topic: String,
    stream: Stream,
    correlation: i32,
    /// For the message under way.
    deadline: Instant,
    /// Bytes of the answer being read that are still to come.
    left: usize,
}

impl SocketLarge {
    pub fn connect(clients: &Clients, topic: &str) -> Result<Self, DriverError> {
        let address = clients.settings.addresses();
        let first = address.split(',').next().unwrap_or_default();
        let link = Link::open(first, &clients.settings.access, CONNECT);
        let stream = link.map_err(|cause| disconnected(&address, cause))?.stream;
        let (clock, topic, deadline) = (clients.clock, topic.to_owned(), Instant::now());
        Ok(Self { clock, topic, stream, correlation: 0, deadline, left: 0 })
    }

    /// How large the batch at `offset` is, as the broker stores it. The connection is of no use
    /// afterwards: the rest of the batch is on its way.
    pub fn stored_bytes(mut self, offset: i64, limit: Duration) -> Result<u64, LargeRefusal> {
        self.deadline = Instant::now() + limit;
        self.fetch(offset).map(|head| head.size())
    }

    fn trip(&mut self, head: &[u8], payload: &[u8]) -> Result<Times, LargeRefusal> {
        let started_ns = self.clock.now_ns();
        let since = |now_ns: u64| Duration::from_nanos(now_ns - started_ns);
        self.write(&[head, payload, &RECORD_TAIL])?;
        let size = self.answer()?;
        if size > LARGEST_ANSWER {
            return Err(LargeRefusal::new(
                Who::Broker,
                format!("an answer of {size} B to Produce"),
            ));
        }
        let mut response = vec![0; size];
        self.read(&mut response)?;
        let offset =
            records::produced(&response).map_err(|words| LargeRefusal::new(Who::Broker, words))?;
        let acked = since(self.clock.now_ns());
        let head = self.fetch(offset)?;
        self.receive(&head, payload)?;
        Ok(Times { acked, received: since(self.clock.now_ns()) })
    }

    /// Compares the rest of a batch with what was sent.
    fn receive(&mut self, head: &BatchHead, payload: &[u8]) -> Result<(), LargeRefusal> {
        let refused = |words: String| LargeRefusal::new(Who::Consumer, words);
        head.check().map_err(refused)?;
        let expected = records::record_head(payload.len());
        let size = (BATCH_HEAD + expected.len() + payload.len() + RECORD_TAIL.len()) as u64;
        if head.size() != size {
            return Err(refused(format!("a batch of {} B instead of {size} B", head.size())));
        }
        let mut found = vec![0; expected.len()];
        self.read(&mut found)?;
        if found != expected {
            return Err(refused("the head of the record differs from what was sent".into()));
        }
        let mut sum = checksum(head.begin(), &found);
        let (mut comparison, mut piece) = (PayloadComparison::new(payload), vec![0; PIECE]);
        while comparison.left() > 0 {
            let room = comparison.left().min(PIECE);
            self.read(&mut piece[..room])?;
            comparison.take(&piece[..room])?;
            sum = checksum(sum, &piece[..room]);
        }
        let mut tail = [0; RECORD_TAIL.len()];
        self.read(&mut tail)?;
        if checksum(sum, &tail) != head.checksum() {
            return Err(refused("the checksum of the batch does not match".into()));
        }
        Ok(())
    }

    /// Asks for `offset` until it is there, whatever its size,
    /// and reads as far as the head of its batch.
    fn fetch(&mut self, offset: i64) -> Result<BatchHead, LargeRefusal> {
        loop {
            self.correlation += 1;
            let request =
                records::fetch(CLIENT, self.correlation, &self.topic, &[offset], (500, i32::MAX));
            self.write(&[&request.map_err(unwritable)?])?;
            self.answer()?;
            let mut head = vec![0; records::fetched_head(&self.topic)];
            self.read(&mut head)?;
            let broker = |words: String| LargeRefusal::new(Who::Broker, words);
            let (code, length) =
                records::fetched_one(&head).map_err(|cause| broker(cause.into()))?;
            accepted(code).map_err(broker)?;
            if length >= BATCH_HEAD {
                let mut head = [0; BATCH_HEAD];
                self.read(&mut head)?;
                return Ok(BatchHead(head));
            }
            self.read(&mut [0; BATCH_HEAD][..length])?;
        }
    }

    /// The length of the next answer's body.
    fn answer(&mut self) -> Result<usize, LargeRefusal> {
        self.left = 8;
        let mut head = [0; 8];
        self.read(&mut head)?;
        let [a, b, c, d, number @ ..] = head;
        let (size, correlation) = (i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes(number));
        if size < 4 || correlation != self.correlation {
            return Err(LargeRefusal::new(
                Who::Broker,
                format!("an answer of {size} B to request {correlation}"),
            ));
        }
        self.left = size as usize - 4;
        Ok(self.left)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), LargeRefusal> {
        self.left = match self.left.checked_sub(into.len()) {
            Some(left) => left,
            None => return Err(LargeRefusal::new(Who::Broker, "an answer ends too early")),
        };
        ReadUntil(&mut self.stream, self.deadline).read_exact(into).map_err(|error| {
            match error.kind() {
                _ if waits(&error) => late(),
                ErrorKind::UnexpectedEof => {
                    LargeRefusal::new(Who::Broker, "closed the connection instead of an answer")
                }
                _ => LargeRefusal::new(Who::Broker, format!("no answer: {error}")),
            }
        })
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), LargeRefusal> {
        let mut sent = 0;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let left = self.deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(late());
                }
                let _ = self.stream.set_write_timeout(left);
                match self.stream.write(rest) {
                    Ok(written) => {
                        rest = &rest[written..];
                        sent += written;
                    }
                    Err(error) if waits(&error) || error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => {
                        let words =
                            format!("closed the connection when {sent} B were sent ({error})");
                        return Err(LargeRefusal::new(Who::Broker, words));
                    }
                }
            }
        }
        Ok(())
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn late() -> LargeRefusal {
    LargeRefusal::new(Who::TimeOut, "no answer within the time for one message")
}

fn unwritable(cause: String) -> LargeRefusal {
    LargeRefusal::new(Who::ClientEncoder, cause)
}

impl LargeMessages for SocketLarge {
    fn round_trip(&mut self, payload: &[u8], deadline_ns: u64) -> Trip {
        self.correlation += 1;
        self.deadline = Instant::now() + self.clock.until(deadline_ns);
        let head = match records::produce(CLIENT, &self.topic, self.correlation, payload) {
            Ok(head) => head,
            Err(cause) => return Trip { end: Err(unwritable(cause)), wire_bytes: None },
        };
        let wire_bytes = Some((head.len() + payload.len() + RECORD_TAIL.len()) as u64);
        Trip { end: self.trip(&head, payload), wire_bytes }
    }
}
