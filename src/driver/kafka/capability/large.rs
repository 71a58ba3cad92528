//! One message of any size through librdkafka, as it is: its own checks, its encoder, its consumer.
//!
//! librdkafka keeps a copy of what it sends and hands out all of what it received at once, so for a
//! large message its consumer starts only when its producer has let go: at most two copies at a
//! time, the caller's and the library's. For a small one it waits at the broker beforehand, as
//! every consumer does.

use super::large_socket::SocketLarge;
use crate::driver::kafka::clients::{Clients, assign};
use crate::driver::kafka::load::ffi::{ConsumerHandle, Reader};
use crate::driver::kafka::load::publisher::KafkaPublisher;
use crate::driver::kafka::topics::Topics;
use crate::driver::{
    DriverError, LargeMessages, LargeRefusal, Outcome, Outgoing, PayloadComparison, Publisher,
    Submitted, Times, Trip, Who, codec,
};
use crate::model::Codec;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(30);
const NAP: Duration = Duration::from_millis(50);
/// From here on a message is large.
const LARGE: usize = 8 << 20;
/// How long the broker may take to tell how large it stored the message.
const TELL: Duration = Duration::from_secs(5);
/// From here on, librdkafka since 2.5.0 leaves out the length of a batch: it has a place for 28
/// bits of it.
const ENCODER_LIMIT: u64 = (1 << 28) - 1;
/// How the library says that nobody said anything about a message.
const UNANSWERED: [&str; 4] =
    ["MessageTimedOut", "OperationTimedOut", "RequestTimedOut", "BrokerTransportFailure"];
/// What a batch adds to a value.
const FRAMING: u64 = 61 + 16;

pub struct KafkaLarge {
    clients: Clients,
    topic: String,
    codec: Codec,
    publisher: KafkaPublisher,
    consumer_handle: Arc<ConsumerHandle>,
    reader: Reader,
    /// Where the next message will stand, as far as that is known.
    next: Option<i64>,
    waiting: bool,
    /// The size that was last sent, and what the broker made of it.
    stored: Option<(usize, Option<u64>)>,
}

impl KafkaLarge {
    pub fn connect(clients: &Clients, codec: Codec, topic: &str) -> Result<Self, DriverError> {
        let consumer_handle = clients.reader(&format!("{topic}-large"))?;
        Ok(Self {
            clients: clients.clone(),
            topic: topic.to_owned(),
            codec,
            publisher: KafkaPublisher::connect(clients, &Topics::one(topic), 1)?,
            reader: Reader::new(Arc::clone(&consumer_handle), 1, false),
            consumer_handle,
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
        marks.map(|(_, high)| high).map_err(|error| self.refused(Who::Broker, error))
    }

    /// In the words of the library.
    fn refused(&self, who: Who, words: impl Display) -> LargeRefusal {
        LargeRefusal::new(who, self.clients.log.explain(words))
    }

    fn trip(
        &mut self,
        offset: i64,
        payload: &[u8],
        deadline_ns: u64,
    ) -> Result<Times, LargeRefusal> {
        let large = payload.len() >= LARGE;
        if !large {
            self.wait_at(offset)?;
        }
        let clock = self.clients.clock;
        let started_ns = clock.now_ns();
        let since_start = || Duration::from_nanos(clock.now_ns() - started_ns);
        self.send(payload, deadline_ns)?;
        let acked = since_start();
        self.wait_at(offset)?;
        self.receive(offset, payload, deadline_ns)?;
        let received = since_start();
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
            assign(&self.consumer_handle, &self.topic, &[(0, offset)]).map_err(failed)?;
            self.waiting = true;
        }
        Ok(())
    }

    /// Returns once the message is acknowledged.
    fn send(&mut self, payload: &[u8], deadline_ns: u64) -> Result<(), LargeRefusal> {
        let submitted = self.publisher.submit(Outgoing { slot: 0, payload, ..Outgoing::default() });
        let checked = match submitted.map_err(|error| LargeRefusal::by(&error))? {
            Submitted::Full => Some("QueueFull".to_owned()),
            // Nothing failed before: after a failure there is another client.
            Submitted::Taken => self.publisher.failures().into_keys().next(),
        };
        if let Some(code) = checked {
            return Err(LargeRefusal::new(
                Who::ClientCheck,
                format!("{code} (librdkafka's message.max.bytes)"),
            ));
        }
        let mut ends = Vec::new();
        self.publisher.wait(deadline_ns, &mut ends).map_err(|error| LargeRefusal::by(&error))?;
        match (ends.first().map(|end| end.outcome), self.publisher.failures().into_keys().next()) {
            (Some(Outcome::Acked), _) => Ok(()),
            (_, Some(code)) if !UNANSWERED.contains(&code.as_str()) => {
                Err(self.refused(Who::Broker, code))
            }
            _ => Err(self.unanswered(payload)),
        }
    }

    /// Nobody answered: because nobody could read it, if it was as large on the wire as librdkafka
    /// cannot write.
    fn unanswered(&self, payload: &[u8]) -> LargeRefusal {
        match codec::packed_len(self.codec, payload) {
            Ok(packed) if packed + FRAMING >= ENCODER_LIMIT => LargeRefusal::new(
                Who::ClientEncoder,
                format!(
                    "about {packed} B on the wire: librdkafka leaves out the length of a batch of \
                    2^28 B and more, and the broker cannot read it"
                ),
            ),
            _ => self.refused(Who::TimeOut, "not acknowledged within the time for one message"),
        }
    }

    fn receive(
        &mut self,
        offset: i64,
        payload: &[u8],
        deadline_ns: u64,
    ) -> Result<(), LargeRefusal> {
        let mut end = None;
        while end.is_none() {
            if self.clients.clock.until(deadline_ns).is_zero() {
                let words = "acknowledged, but not received within the time for one message";
                return Err(self.refused(Who::TimeOut, words));
            }
            if self.reader.take(NAP.as_millis() as i32, 1) == 0 {
                while self.consumer_handle.consumer().poll(Duration::ZERO).is_some() {}
            }
            self.reader.each(|record| match record.error {
                None if record.offset == offset => {
                    let mut comparison = PayloadComparison::new(payload);
                    end = Some(comparison.take(record.payload).and_then(|()| comparison.end()));
                }
                None | Some(RDKafkaErrorCode::PartitionEOF) => {}
                Some(code) => {
                    let words = self.clients.log.explain(format!("{code:?}"));
                    end = Some(Err(LargeRefusal::new(Who::Consumer, words)));
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
        let ask = SocketLarge::connect(&self.clients, &self.topic).ok();
        let stored = ask.and_then(|client| client.stored_bytes(offset, TELL).ok());
        self.stored = Some((bytes, stored));
        stored
    }
}

fn failed(error: KafkaError) -> LargeRefusal {
    LargeRefusal::new(Who::Consumer, error.to_string())
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
