//! A consumer on a bare socket, which reads only when it is told to: Fetch version 4 and record batches, by hand.
//!
//! It exists because librdkafka reads ahead in threads of its own. It belongs to no group, commits nothing, speaks to
//! one broker and does not decompress; it is for experiments on flow, never for the load.

use crate::access::{Access, Stream};
use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::model::System;
use crate::wire::kafka::fields::{Fields, Walked};
use crate::wire::kafka::frame;
use crate::wire::kafka::link::Link;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(5);
/// Most bytes of one answer: what librdkafka asks for from one partition by default.
const ANSWER_BYTES: i32 = 1 << 20;
/// How long to wait beyond the time for an answer that the broker should have given by then, ns.
const GRACE_NS: u64 = 1_000_000_000;
/// Frames beyond this are no answers to our requests.
const LONGEST: usize = 256 << 20;

pub struct SocketConsumer {
    stream: Stream,
    address: String,
    topic: String,
    /// Next offset of each partition.
    positions: Vec<i64>,
    correlation: i32,
    /// Whether an answer is still to come.
    asked: bool,
    /// Received bytes of that answer.
    input: Vec<u8>,
    clock: Clock,
}

impl SocketConsumer {
    /// Connects to the leader of every partition of `topic`; asks for nothing yet.
    pub fn connect(
        address: &str,
        access: &Access,
        topic: &str,
        positions: Vec<i64>,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        let stream = Link::open(address, access, CONNECT).map_err(|cause| lost(address, cause))?.stream;
        let (address, topic, input) = (address.to_owned(), topic.to_owned(), Vec::new());
        Ok(Self { stream, address, topic, positions, correlation: 0, asked: false, input, clock })
    }

    /// Asks for what comes next, with leave to the broker to wait that long for the first byte; does not read.
    pub fn request(&mut self, wait: Duration) -> Result<(), DriverError> {
        self.correlation = self.correlation.wrapping_add(1);
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let limits = (wait_ms, ANSWER_BYTES);
        let request = frame::fetch("brokerbench-raw", self.correlation, &self.topic, &self.positions, limits);
        let request = request.map_err(|cause| protocol(&cause))?;
        self.stream.write_all(&request).map_err(|cause| lost(&self.address, cause.to_string()))?;
        self.asked = true;
        Ok(())
    }

    /// Reads until the answer is whole; false when it is not by `until_ns`.
    fn read_answer(&mut self, until_ns: u64) -> Result<bool, DriverError> {
        let mut chunk = vec![0; 256 << 10];
        loop {
            if let Some(length) = announced(&self.input) {
                if length > LONGEST {
                    return Err(protocol("an answer of impossible length"));
                }
                if self.input.len() >= 4 + length {
                    return Ok(true);
                }
            }
            let left = self.clock.until(until_ns);
            if left.is_zero() {
                return Ok(false);
            }
            match self.stream.read_by(&mut chunk, Instant::now() + left) {
                Ok(0) => return Err(lost(&self.address, "the broker closed the connection".into())),
                Ok(read) => self.input.extend_from_slice(&chunk[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(&self.address, error.to_string())),
            }
        }
    }
}

impl Subscriber for SocketConsumer {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if !self.asked {
            self.request(self.clock.until(until_ns))?;
        }
        if !self.read_answer(until_ns.max(self.clock.now_ns()).saturating_add(GRACE_NS))? {
            return Ok(());
        }
        let received_ns = self.clock.now_ns();
        self.asked = false;
        let answer = std::mem::take(&mut self.input);
        let mut hand_out = |payload: &[u8]| sink(Incoming { payload, received_ns });
        walk(&answer[4..], self.correlation, &mut self.positions, &mut hand_out).map_err(protocol)
    }

    /// Nothing to acknowledge: no group knows of this consumer.
    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

fn lost(address: &str, cause: String) -> DriverError {
    DriverError::Disconnected { system: System::Kafka, address: address.to_owned(), cause }
}

fn protocol(cause: &str) -> DriverError {
    DriverError::Protocol { system: System::Kafka, cause: cause.to_owned() }
}

/// The length that a frame announces, once its header is there.
fn announced(input: &[u8]) -> Option<usize> {
    let header = input.first_chunk()?;
    Some(usize::try_from(i32::from_be_bytes(*header)).unwrap_or(usize::MAX))
}

/// Hands out every record from its partition's position on, and moves the positions.
fn walk(answer: &[u8], correlation: i32, positions: &mut [i64], sink: &mut dyn FnMut(&[u8])) -> Walked<()> {
    let mut fields = Fields(answer);
    if fields.i32()? != correlation {
        return Err("an answer to another request");
    }
    fields.i32()?; // Throttled for.
    for _ in 0..fields.count()? {
        let name = fields.i16()?;
        fields.take(usize::try_from(name).unwrap_or(0))?;
        for _ in 0..fields.count()? {
            let partition = fields.i32()?;
            if fields.i16()? != 0 {
                return Err("the broker refused a fetch");
            }
            fields.take(16)?; // High watermark, last stable offset.
            let aborted = fields.count()?;
            fields.take(aborted.saturating_mul(16))?;
            let length = fields.count()?;
            let records = fields.take(length)?;
            let position = usize::try_from(partition).ok().and_then(|index| positions.get_mut(index));
            batches(records, position.ok_or("records of a partition that was not asked for")?, sink)?;
        }
    }
    Ok(())
}

/// Record batches, the last of which may be cut off: it comes again.
fn batches(records: &[u8], position: &mut i64, sink: &mut dyn FnMut(&[u8])) -> Walked<()> {
    let mut rest = Fields(records);
    loop {
        let (Ok(base), Ok(length)) = (rest.i64(), rest.count()) else { return Ok(()) };
        let Ok(batch) = rest.take(length) else { return Ok(()) };
        let mut batch = Fields(batch);
        batch.take(9)?; // Epoch of the leader, format, checksum.
        if batch.i16()? & 7 != 0 {
            return Err("compressed records");
        }
        let last = base.saturating_add(batch.i32()?.into());
        batch.take(30)?; // Times, producer, its sequence.
        for _ in 0..batch.count()? {
            let length = usize::try_from(batch.varint()?).unwrap_or(usize::MAX);
            let mut record = Fields(batch.take(length)?);
            record.take(1)?;
            record.varint()?; // Time.
            let offset = base.saturating_add(record.varint()?);
            let key = record.varint()?;
            record.take(usize::try_from(key).unwrap_or(0))?;
            let value = usize::try_from(record.varint()?).unwrap_or(0);
            let payload = record.take(value)?;
            if offset >= *position {
                sink(payload);
            }
        }
        *position = (*position).max(last.saturating_add(1));
    }
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    let correlation = answer.first_chunk().map_or(0, |first| i32::from_be_bytes(*first));
    let (mut positions, mut bytes, before) = ([11, 0], 0, [11, 0]);
    let walked = walk(answer, correlation, &mut positions, &mut |payload| bytes += payload.len());
    assert!(positions[0] >= before[0] && positions[1] >= before[1], "positions never go back");
    assert!(bytes <= answer.len(), "nothing is handed out that did not come");
    walked.is_ok() && bytes > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(out: &mut Vec<u8>, value: i64) {
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        while zigzag >= 0x80 {
            out.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        out.push(zigzag as u8);
    }

    /// A batch of records at offsets `base..`, as a broker stores it.
    fn batch(base: i64, payloads: &[&[u8]]) -> Vec<u8> {
        let mut body = vec![0; 9];
        body.extend(0i16.to_be_bytes());
        body.extend((payloads.len() as i32 - 1).to_be_bytes());
        body.extend([0; 30]);
        body.extend((payloads.len() as i32).to_be_bytes());
        for (delta, payload) in payloads.iter().enumerate() {
            let mut record = vec![0];
            varint(&mut record, 1000);
            varint(&mut record, delta as i64);
            varint(&mut record, -1);
            varint(&mut record, payload.len() as i64);
            record.extend_from_slice(payload);
            varint(&mut record, 0);
            varint(&mut body, record.len() as i64);
            body.extend(record);
        }
        let mut out = base.to_be_bytes().to_vec();
        out.extend((body.len() as i32).to_be_bytes());
        out.extend(body);
        out
    }

    fn answer(records: &[u8]) -> Vec<u8> {
        let mut out = 7i32.to_be_bytes().to_vec();
        out.extend(0i32.to_be_bytes());
        out.extend(1i32.to_be_bytes());
        out.extend(1i16.to_be_bytes());
        out.push(b't');
        out.extend(1i32.to_be_bytes());
        out.extend(0i32.to_be_bytes());
        out.extend(0i16.to_be_bytes());
        out.extend([0; 16]);
        out.extend((-1i32).to_be_bytes());
        out.extend((records.len() as i32).to_be_bytes());
        out.extend(records);
        out
    }

    fn walked(answer: &[u8], positions: &mut [i64]) -> Walked<Vec<Vec<u8>>> {
        let mut seen = Vec::new();
        walk(answer, 7, positions, &mut |payload| seen.push(payload.to_vec())).map(|()| seen)
    }

    #[test]
    fn records_from_the_position_on_are_handed_out_once() {
        let long = vec![b'x'; 300];
        let mut records = batch(10, &[b"a", b"b", &long]);
        records.extend(batch(13, &[b"c"]));
        let mut positions = [11];
        assert_eq!(walked(&answer(&records), &mut positions).unwrap(), [b"b".to_vec(), long, b"c".to_vec()]);
        assert_eq!(positions, [14]);
        // A batch that is cut off is left for the next answer.
        let whole = batch(14, &[b"d", b"e"]);
        for cut in 0..whole.len() {
            assert_eq!(walked(&answer(&whole[..cut]), &mut positions), Ok(vec![]), "{cut}");
        }
        assert_eq!(walked(&answer(&whole), &mut positions).unwrap().len(), 2);
    }

    #[test]
    fn answers_that_are_not_ours_are_refused() {
        let good = answer(&batch(0, &[b"a"]));
        assert!(walk(&good, 8, &mut [0], &mut |_| ()).is_err());
        assert!(walk(&good, 7, &mut [], &mut |_| ()).is_err());
        assert!(walk(&good[..good.len() - 1], 7, &mut [0], &mut |_| ()).is_err());
        let mut compressed = batch(0, &[b"a"]);
        compressed[22] = 4;
        assert_eq!(walked(&answer(&compressed), &mut [0]), Err("compressed records"));
    }
}
