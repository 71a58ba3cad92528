//! A Kafka consumer that does not read its socket: on a bare socket, with Fetch and record batches
//! by hand.
//!
//! librdkafka cannot play it: its threads read ahead, up to `queued.max.messages.kbytes`, whatever
//! the application does. So this one asks once, at the end of the log, and leaves the answer lying
//! until it is told to read on. It belongs to no group, commits nothing, speaks to one broker and
//! does not decompress; it is never for the load.

use crate::access::Stream;
use crate::clock::Clock;
use crate::driver::capability::{HeldForConsumer, WatchedSubscriber};
use crate::driver::kafka::clients::{Clients, cannot, disconnected};
use crate::driver::kafka::driver::KafkaDriver;
use crate::driver::kafka::load::ffi::ConsumerHandle;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::model::{Codec, System};
use crate::wire::kafka::link::{Link, ReadUntil};
use crate::wire::kafka::records;
use rdkafka::consumer::Consumer;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(5);
/// How long one answer may take, to who asks where partitions end.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the broker may hold back the answer that is left lying, ms.
const HOLD_MS: i32 = 600_000;
/// Most bytes of one answer: what librdkafka asks for from one partition by default.
const ANSWER_BYTES: i32 = 1 << 20;
/// How long to wait beyond the time for an answer that the broker should have given by then, ns.
const GRACE_NS: u64 = 1_000_000_000;
/// Frames beyond this are no answers to our requests.
const LONGEST: usize = 256 << 20;

struct KafkaStalled {
    stream: Stream,
    address: String,
    topic: String,
    clock: Clock,
    /// Next offset of each partition.
    positions: Vec<i64>,
    correlation: i32,
    /// Whether an answer is still to come.
    asked: bool,
    /// Received bytes of that answer.
    input: Vec<u8>,
}

pub fn start(driver: &KafkaDriver) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
    let KafkaDriver { cell, target, clients, .. } = driver;
    let unfit = |because| cannot("stall on a bare socket", because);
    let (1, [address]) = (cell.config.nodes, &target.addresses[..]) else {
        return Err(unfit("the bare consumer knows one broker, which leads every partition"));
    };
    if cell.message.codec != Codec::None {
        return Err(unfit("the bare consumer does not decompress; set message.codec: none"));
    }
    // Over another connection.
    let (asking, topic) = (clients.reader(&format!("{}-ends", target.name))?, target.name.clone());
    let begin = ends(clients, &asking, &topic, cell.config.topic.partitions)?;
    let link = Link::open(address, &target.access, CONNECT);
    let mut consumer = KafkaStalled {
        stream: link.map_err(|cause| disconnected(address, cause))?.stream,
        address: address.clone(),
        topic: topic.clone(),
        clock: target.clock,
        positions: begin.clone(),
        correlation: 0,
        asked: false,
        input: Vec::new(),
    };
    consumer.request(HOLD_MS)?;
    let (clients, bytes) = (clients.clone(), cell.message.size.0);
    let held = move || {
        let ends = ends(&clients, &asking, &topic, begin.len() as u16)?;
        let records: i64 = ends.iter().zip(&begin).map(|(end, begin)| end - begin).sum();
        Ok(HeldForConsumer { bytes: records.max(0) as u64 * bytes, place: "the topic's log" })
    };
    Ok(WatchedSubscriber { subscriber: Box::new(consumer), ask: Box::new(held) })
}

impl KafkaStalled {
    /// Asks for what comes next, with leave to the broker to wait that long for the first byte;
    /// does not read.
    fn request(&mut self, wait_ms: i32) -> Result<(), DriverError> {
        self.correlation = self.correlation.wrapping_add(1);
        let limits = (wait_ms, ANSWER_BYTES);
        let request = records::fetch(
            "brokerbench-raw",
            self.correlation,
            &self.topic,
            &self.positions,
            limits,
        );
        let request = request.map_err(|cause| protocol(&cause))?;
        self.stream.write_all(&request).map_err(|cause| disconnected(&self.address, cause))?;
        self.asked = true;
        Ok(())
    }

    /// Reads until the answer is whole; false when it is not by then.
    fn read_answer(&mut self, limit: Duration) -> Result<bool, DriverError> {
        let deadline = Instant::now() + limit;
        loop {
            let whole = match self.input.first_chunk() {
                None => 4,
                Some(length) => 4 + u32::from_be_bytes(*length) as usize,
            };
            if whole > 4 + LONGEST {
                return Err(protocol("an answer of impossible length"));
            }
            let missing = whole - self.input.len();
            if missing == 0 {
                return Ok(true);
            }
            let mut rest = ReadUntil(&mut self.stream, deadline).take(missing as u64);
            match rest.read_to_end(&mut self.input) {
                Ok(read) if read == missing => {}
                Ok(_) => {
                    return Err(disconnected(&self.address, "the broker closed the connection"));
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(disconnected(&self.address, error)),
            }
        }
    }
}

/// Where each partition of `topic` ends.
fn ends(
    clients: &Clients,
    asking: &ConsumerHandle,
    topic: &str,
    partitions: u16,
) -> Result<Vec<i64>, DriverError> {
    let end = |partition: u16| {
        let marks = asking.consumer().fetch_watermarks(topic, partition.into(), ANSWER);
        marks.map(|(_, end)| end).map_err(|error| clients.lost(error))
    };
    (0..partitions).map(end).collect()
}

impl Subscriber for KafkaStalled {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let clock = self.clock;
        if !self.asked {
            self.request(i32::try_from(clock.until(until_ns).as_millis()).unwrap_or(i32::MAX))?;
        }
        if !self.read_answer(clock.until(until_ns.max(clock.now_ns()).saturating_add(GRACE_NS)))? {
            return Ok(());
        }
        let received_ns = clock.now_ns();
        self.asked = false;
        let answer = std::mem::take(&mut self.input);
        let mut hand_out = |payload: &[u8]| sink(Incoming { payload, received_ns });
        records::walk(&answer[4..], self.correlation, &mut self.positions, &mut hand_out)
            .map_err(protocol)
    }

    /// Nothing to acknowledge: no group knows of this consumer.
    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

fn protocol(cause: &str) -> DriverError {
    DriverError::Protocol { system: System::Kafka, cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use std::net::TcpListener;

    /// One empty answer in three pieces, the last of which comes after the time of the first call.
    #[test]
    fn an_answer_that_comes_in_pieces_is_read_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]).unwrap();
            let mut answer = b"\0\0\0\x31\0\0\0\x01\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01".to_vec();
            answer.extend([0; 22]);
            answer.extend(b"\xff\xff\xff\xff\0\0\0\0");
            answer[3] = (answer.len() - 4) as u8;
            for (piece, pause) in [
                (&answer[..3], 10),
                (&answer[3..20], GRACE_NS / 1_000_000 + 500),
                (&answer[20..], 0),
            ] {
                stream.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(pause));
            }
        });
        let (clock, stream) =
            (Clock::start(), Link::open(&address, &Access::default(), CONNECT).unwrap().stream);
        let (positions, topic) = (vec![5], "t".to_owned());
        let mut consumer = KafkaStalled {
            stream,
            address,
            topic,
            clock,
            positions,
            correlation: 0,
            asked: false,
            input: Vec::new(),
        };
        consumer.receive(0, &mut |_| panic!("nothing came")).unwrap();
        assert_eq!((consumer.asked, consumer.input.len()), (true, 20));
        consumer.receive(clock.now_ns() + 20_000_000_000, &mut |_| panic!("nothing came")).unwrap();
        assert_eq!(
            (consumer.asked, consumer.input.len(), consumer.positions.as_slice()),
            (false, 0, &[5][..])
        );
        server.join().unwrap();
        let error = consumer.receive(0, &mut |_| ()).unwrap_err();
        assert!(matches!(error, DriverError::Disconnected { .. }), "{error}");
    }
}
