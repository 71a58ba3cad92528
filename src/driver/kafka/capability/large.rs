//! One message of any size through librdkafka, as it is: its own checks, its encoder, its consumer.
//!
//! librdkafka keeps a copy of what it sends and hands out all of what it received at once, so for a large message its
//! consumer starts only when its producer has let go: at most two copies at a time, the caller's and the library's. For
//! a small one it waits at the broker beforehand, as every consumer does.

use super::large_socket::SocketLarge;
use crate::clock::Clock;
use crate::driver::kafka::error::{lost, refused};
use crate::driver::kafka::load::client_log::{ClientLog, Quiet};
use crate::driver::kafka::load::ffi::{ConsumerHandle, ProducerHandle, Reader, Report};
use crate::driver::kafka::settings::ClientSettings;
use crate::driver::{DriverError, LargeMessages, LargeRefusal, PayloadComparison, Times, Trip, Who, codec};
use crate::model::Codec;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(30);
const NAP: Duration = Duration::from_millis(50);
/// From here on a message is large.
const LARGE: usize = 8 << 20;
/// How long the broker may take to tell how large it stored the message.
const TELL_NS: u64 = 5_000_000_000;
/// From here on, librdkafka since 2.5.0 leaves out the length of a batch: it has a place for 28 bits of it.
const ENCODER_LIMIT: u64 = (1 << 28) - 1;
/// What a batch adds to a value.
const FRAMING: u64 = 61 + 16;

pub struct KafkaLarge {
    settings: ClientSettings,
    log: ClientLog,
    clock: Clock,
    topic: String,
    codec: Codec,
    producer_handle: ProducerHandle<Quiet>,
    consumer_handle: Arc<ConsumerHandle<Quiet>>,
    reader: Reader<Quiet>,
    /// Where the next message will stand, as far as that is known.
    next: Option<i64>,
    waiting: bool,
    /// The size that was last sent, and what the broker made of it.
    stored: Option<(usize, Option<u64>)>,
}

impl KafkaLarge {
    pub fn connect(
        settings: &ClientSettings,
        codec: Codec,
        topic: &str,
        log: &ClientLog,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        let context = || Quiet(log.clone());
        let producer: BaseProducer<Quiet> =
            settings.producer().create_with_context(context()).map_err(|error| refused("make a producer", error))?;
        let producer_handle = ProducerHandle::new(producer, topic).ok_or_else(|| refused("open the topic", topic))?;
        let metadata = producer_handle.producer().client().fetch_metadata(Some(topic), CONNECT);
        metadata.map_err(|error| lost(settings, log.explain(error)))?;
        let consumer: BaseConsumer<Quiet> = settings
            .reader(&format!("{topic}-large"))
            .create_with_context(context())
            .map_err(|error| refused("make a consumer", error))?;
        let consumer_handle =
            Arc::new(ConsumerHandle::new(Arc::new(consumer)).ok_or_else(|| refused("make a consumer", "no queue"))?);
        let reader = Reader::new(Arc::clone(&consumer_handle), 1);
        Ok(Self {
            settings: settings.clone(),
            log: log.clone(),
            clock,
            topic: topic.to_owned(),
            codec,
            producer_handle,
            consumer_handle,
            reader,
            next: None,
            waiting: false,
            stored: None,
        })
    }

    /// Where the next message will stand.
    fn end(&self) -> Result<i64, LargeRefusal> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let marks = self.consumer_handle.consumer().fetch_watermarks(&self.topic, 0, CONNECT);
        marks.map(|(_, high)| high).map_err(|error| LargeRefusal::new(Who::Broker, self.log.explain(error)))
    }

    fn trip(&mut self, offset: i64, payload: &[u8], deadline_ns: u64) -> Result<Times, LargeRefusal> {
        let large = payload.len() >= LARGE;
        if !large {
            self.wait_at(offset)?;
        }
        let started_ns = self.clock.now_ns();
        let since = |now_ns: u64| Duration::from_nanos(now_ns - started_ns);
        self.producer_handle.send(0, payload, 0).map_err(|code| {
            LargeRefusal::new(Who::ClientCheck, format!("{code:?} (librdkafka's message.max.bytes)"))
        })?;
        self.await_report(payload, deadline_ns)?;
        let acked = since(self.clock.now_ns());
        self.wait_at(offset)?;
        self.receive(offset, payload, deadline_ns)?;
        let received = since(self.clock.now_ns());
        if large {
            // Stops fetching, so that nothing is held while the next one is sent.
            self.consumer_handle.consumer().unassign().map_err(failed)?;
            self.waiting = false;
        }
        Ok(Times { acked, received })
    }

    /// Lets the consumer fetch from `offset` on; it goes on by itself.
    fn wait_at(&mut self, offset: i64) -> Result<(), LargeRefusal> {
        if !self.waiting {
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset(&self.topic, 0, Offset::Offset(offset)).map_err(failed)?;
            self.consumer_handle.pour(&self.topic, 0);
            self.consumer_handle.consumer().assign(&assignment).map_err(failed)?;
            self.waiting = true;
        }
        Ok(())
    }

    fn await_report(&self, payload: &[u8], deadline_ns: u64) -> Result<(), LargeRefusal> {
        self.producer_handle.waker().listen();
        let mut end = None;
        loop {
            if self.producer_handle.waker().heard() {
                let visit = |report: Report<'_>| match report {
                    Report::Delivery { error, .. } => end = Some(error.map(|(code, _)| code)),
                    Report::Statistics(_) => {}
                    Report::Notice(line) | Report::Trouble(_, line) => self.log.add(&line.to_string_lossy()),
                };
                self.producer_handle.drain(|| (), visit);
            }
            let left = self.clock.until(deadline_ns);
            match end {
                Some(None) => return Ok(()),
                Some(Some(code)) if !timed_out(code) => {
                    return Err(LargeRefusal::new(Who::Broker, self.log.explain(format!("{code:?}"))));
                }
                Some(Some(_)) => return Err(self.unanswered(payload)),
                None if left.is_zero() => return Err(self.unanswered(payload)),
                None => std::thread::park_timeout(left.min(NAP)),
            }
        }
    }

    /// Nobody answered: because nobody could read it, if it was as large on the wire as librdkafka cannot write.
    fn unanswered(&self, payload: &[u8]) -> LargeRefusal {
        match codec::packed_len(self.codec, payload) {
            Ok(packed) if packed + FRAMING >= ENCODER_LIMIT => LargeRefusal::new(
                Who::ClientEncoder,
                format!(
                    "about {packed} B on the wire: librdkafka leaves out the length of a batch of 2^28 B and more, and the broker cannot read it"
                ),
            ),
            _ => LargeRefusal::new(Who::TimeOut, self.log.explain("not acknowledged within the time for one message")),
        }
    }

    fn receive(&mut self, offset: i64, payload: &[u8], deadline_ns: u64) -> Result<(), LargeRefusal> {
        let Self { consumer_handle, reader, log, clock, .. } = self;
        let consumer = consumer_handle.consumer();
        let mut end = None;
        while end.is_none() {
            if clock.until(deadline_ns).is_zero() {
                let words = log.explain("acknowledged, but not received within the time for one message");
                return Err(LargeRefusal::new(Who::TimeOut, words));
            }
            if reader.take(NAP.as_millis() as i32) == 0 {
                while consumer.poll(Duration::ZERO).is_some() {}
            }
            reader.each(|record| match record.error {
                None if record.offset == offset => end = Some(compare(payload, record.payload)),
                None | Some(RDKafkaErrorCode::PartitionEOF) => {}
                Some(code) => {
                    end = Some(Err(LargeRefusal::new(Who::Consumer, log.explain(format!("{code:?}")))));
                }
            });
        }
        end.unwrap_or(Ok(()))
    }

    /// What the broker stored, which is what came over the wire.
    fn stored(&mut self, offset: i64, bytes: usize) -> Option<u64> {
        if let Some((known, stored)) = self.stored
            && known == bytes
        {
            return stored;
        }
        let ask = SocketLarge::connect(&self.settings, self.clock, &self.topic).ok();
        let stored = ask.and_then(|client| client.stored_bytes(offset, self.clock.now_ns() + TELL_NS).ok());
        self.stored = Some((bytes, stored));
        stored
    }
}

fn failed(error: KafkaError) -> LargeRefusal {
    LargeRefusal::new(Who::Consumer, error.to_string())
}

fn compare(sent: &[u8], came: &[u8]) -> Result<(), LargeRefusal> {
    let mut comparison = PayloadComparison::new(sent);
    comparison.take(came)?;
    match comparison.left() {
        0 => Ok(()),
        left => Err(LargeRefusal::new(Who::Consumer, format!("{left} bytes are missing"))),
    }
}

/// Whether nobody said anything about the message.
fn timed_out(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut | Code::BrokerTransportFailure
    )
}

impl LargeMessages for KafkaLarge {
    fn round_trip(&mut self, payload: &[u8], deadline_ns: u64) -> Trip {
        let offset = match self.end() {
            Ok(offset) => offset,
            Err(refusal) => return Trip { end: Err(refusal), wire_bytes: None },
        };
        let end = self.trip(offset, payload, deadline_ns);
        let wire_bytes = if end.is_ok() { self.stored(offset, payload.len()) } else { None };
        self.next = end.is_ok().then_some(offset + 1);
        Trip { end, wire_bytes }
    }
}
