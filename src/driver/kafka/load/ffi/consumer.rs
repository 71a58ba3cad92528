//! Records out of librdkafka, by the batch.

use super::ENVELOPE;
use crate::driver::kafka::load::client_log::KafkaContext;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// A queue of its own for the records of one consumer.
///
/// The consumer's main queue stays with `BaseConsumer::poll`: with rdkafka's event interface a
/// batch read of that queue would answer a rebalance by giving up the assignment.
pub struct ConsumerHandle {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Last, so that it outlives the queue.
    consumer: Arc<BaseConsumer<KafkaContext>>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for ConsumerHandle {}
// SAFETY: as above; `pour` and the reads behind `Reader` lock inside the library.
unsafe impl Sync for ConsumerHandle {}

impl ConsumerHandle {
    pub fn new(consumer: BaseConsumer<KafkaContext>) -> Option<Self> {
        // SAFETY: the client is alive: `consumer` keeps it.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Some(Self { queue: NonNull::new(queue)?, consumer: Arc::new(consumer) })
    }

    pub fn consumer(&self) -> &BaseConsumer<KafkaContext> {
        &self.consumer
    }

    /// Leads the records of one partition here. To be called before the partition is assigned, so
    /// that none of them reaches the consumer's main queue.
    pub fn pour(&self, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else { return false };
        // SAFETY: the partition's queue is reference-counted; the reference taken here is given
        // back at once, the forwarding stays with the partition and holds
        // its own reference on our queue.
        unsafe {
            let native = self.consumer.client().native_ptr();
            let Some(source) =
                NonNull::new(sys::rd_kafka_queue_get_partition(native, topic.as_ptr(), partition))
            else {
                return false;
            };
            sys::rd_kafka_queue_forward(source.as_ptr(), self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(source.as_ptr());
        }
        true
    }

    /// Ends the consumer as a killed process does: its sockets close, it neither commits nor leaves
    /// its group.
    pub fn abandon(self) {
        let native = self.consumer.client().native_ptr();
        let consumer = Arc::clone(&self.consumer);
        drop(self);
        let Some(consumer) = Arc::into_inner(consumer) else { return };
        // The wrapper would close the consumer properly.
        // Its memory, some hundred bytes, is the price.
        std::mem::forget(consumer);
        // SAFETY: the handle is alive: the wrapper that would have freed it has just been
        // forgotten, so that it is destroyed here only. Its context is never freed, so that no late
        // callback meets a freed one.
        unsafe { sys::rd_kafka_destroy_flags(native, sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE) }
    }
}

impl Drop for ConsumerHandle {
    fn drop(&mut self) {
        // SAFETY: released exactly once, before the client (a later field). Partitions that still
        // forward here keep the queue's memory, disabled, until they are gone.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// One record, or an error in the place of one, borrowed from the library.
pub struct Record<'a> {
    /// Null in some errors.
    topic: *mut sys::rd_kafka_topic_t,
    pub partition: i32,
    pub offset: i64,
    pub payload: &'a [u8],
    pub error: Option<RDKafkaErrorCode>,
}

impl Record<'_> {
    /// The name of its topic; empty where none is told.
    pub fn topic(&self) -> &str {
        if self.topic.is_null() {
            return "";
        }
        // SAFETY: the message that this is borrowed from holds the topic, and the topic its name.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.topic)) };
        name.to_str().unwrap_or_default()
    }
}

/// Takes records from an [`ConsumerHandle`] by the batch.
pub struct Reader {
    /// Records taken and not yet handed out; every pointer is owned.
    taken: Vec<NonNull<sys::rd_kafka_message_t>>,
    most: usize,
    /// Where envelopes come in headers: the message put together, one at a time.
    whole: Option<Vec<u8>>,
    handle: Arc<ConsumerHandle>,
}

// SAFETY: the pointers are owned by this value alone,
// and librdkafka's messages are not bound to a thread.
unsafe impl Send for Reader {}

impl Reader {
    /// `joins` the envelope of each message, which is in a header of it, with its payload.
    pub fn new(handle: Arc<ConsumerHandle>, most: usize, joins: bool) -> Self {
        Self { taken: Vec::with_capacity(most), most, whole: joins.then(Vec::new), handle }
    }

    pub fn handle(&self) -> &Arc<ConsumerHandle> {
        &self.handle
    }

    /// Takes what is there, at most `most` and as many as this reader was made for; waits `wait_ms`
    /// for the first only.
    pub fn take(&mut self, wait_ms: i32, most: usize) -> usize {
        let most = most.clamp(1, self.most);
        // A batch read waits until its batch is full or the time is up: hence one record first,
        // then what is there.
        if self.fill(0, most) == 0 && wait_ms > 0 && self.fill(wait_ms, 1) > 0 {
            self.fill(0, most - 1);
        }
        self.taken.len()
    }

    fn fill(&mut self, wait_ms: i32, most: usize) -> usize {
        let room = self.taken.spare_capacity_mut();
        let most = room.len().min(most);
        if most == 0 {
            return 0;
        }
        // SAFETY: the library writes at most `most` pointers into the spare room and says how many;
        // it never writes a null one, so they are valid `NonNull`s (same layout).
        // They are ours to destroy.
        unsafe {
            let got = sys::rd_kafka_consume_batch_queue(
                self.handle.queue.as_ptr(),
                wait_ms,
                room.as_mut_ptr().cast(),
                most,
            );
            let got = usize::try_from(got).unwrap_or(0);
            self.taken.set_len(self.taken.len() + got);
            got
        }
    }

    /// Hands out what was taken.
    pub fn each(&mut self, mut visit: impl FnMut(Record<'_>)) {
        let Self { taken, whole, .. } = self;
        for message in taken.drain(..) {
            // SAFETY: the message is alive until it is destroyed below; the record's lifetime ends
            // before that, since `visit` takes it for any lifetime. A payload pointer, where not
            // null, spans `len` bytes.
            unsafe {
                let raw = message.as_ref();
                let payload = if raw.payload.is_null() {
                    &[][..]
                } else {
                    std::slice::from_raw_parts(raw.payload.cast::<u8>(), raw.len)
                };
                let payload = match whole {
                    None => payload,
                    Some(whole) => {
                        whole.clear();
                        whole.extend_from_slice(envelope(message));
                        whole.extend_from_slice(payload);
                        &whole[..]
                    }
                };
                let error = (raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| RDKafkaErrorCode::from(raw.err));
                let (topic, partition, offset) = (raw.rkt, raw.partition, raw.offset);
                visit(Record { topic, partition, offset, payload, error });
                sys::rd_kafka_message_destroy(message.as_ptr());
            }
        }
    }
}

/// What the header of the envelope holds; nothing where there is none.
///
/// # Safety
/// The message is alive as long as what is returned is used.
unsafe fn envelope<'a>(message: NonNull<sys::rd_kafka_message_t>) -> &'a [u8] {
    let (mut headers, mut value, mut length) = (ptr::null_mut(), ptr::null(), 0);
    // SAFETY: the message is alive by the caller's word, its headers and their values belong to it;
    // the library writes through the pointers before it says that there was no error.
    unsafe {
        let none = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        let found = sys::rd_kafka_message_headers(message.as_ptr(), &mut headers) == none
            && sys::rd_kafka_header_get_last(headers, ENVELOPE.as_ptr(), &mut value, &mut length)
                == none;
        if !found || value.is_null() {
            return &[];
        }
        std::slice::from_raw_parts(value.cast::<u8>(), length)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.each(|_| ());
    }
}
