//! The only unsafe code of the project: the data path of librdkafka without a lookup, a box or a
//! clone per message.
//!
//! Why it pays: producing by a kept topic handle saves the name's allocation and lookup of every
//! `send`; draining delivery reports ourselves lets the pacing thread serve them without a second
//! thread; reading records by the batch halves the CPU of `BaseConsumer::poll`. Everything here is
//! reached through three safe types: [`ProducerHandle`] (send), [`ConsumerHandle`] (where
//! partitions pour into) and [`Reader`] (take from it). Nothing else belongs here.
#![allow(unsafe_code)]

use super::client_log::KafkaContext;
use crate::clock::Clock;
use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// Wakes the pacing thread when reports came in. Rung by librdkafka's threads, heard by one thread.
#[derive(Default)]
pub struct Waker {
    rung: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Waker {
    /// Names the thread to wake. The first one stays: a publisher is used by one thread.
    pub fn listen(&self) {
        self.sleeper.get_or_init(std::thread::current);
    }

    /// Whether it rang since the last call.
    pub fn heard(&self) -> bool {
        // The load keeps the common case, nothing there, free of a locked instruction.
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::Acquire)
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}

/// Called by librdkafka, with the queue's lock held, when its queue turns from empty to not empty.
unsafe extern "C" fn ring(_: *mut sys::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `waker` is the pointee of `ProducerHandle::waker`, which lives until the callback has
    // been taken off in `drop`.
    unsafe { &*waker.cast::<Waker>() }.ring();
}

/// The broker does not hold a message, as far as the library knows.
const ABSENT: sys::rd_kafka_msg_status_t =
    sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED;

/// What the library reports beside messages.
pub enum Report<'a> {
    /// The end of one message: its slot, when the batch of its report was yielded, and, unless
    /// acknowledged, why and whether it may be stored all the same:
    /// the library follows each attempt.
    Delivery { slot: u32, at_ns: u64, error: Option<(RDKafkaErrorCode, bool)> },
    /// The client's counters, as JSON.
    Statistics(&'a CStr),
    /// A log line.
    Notice(&'a CStr),
    /// An error of the client as a whole.
    Trouble(RDKafkaErrorCode, &'a CStr),
}

/// One producer bound to one topic.
pub struct ProducerHandle {
    topic: NonNull<sys::rd_kafka_topic_t>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    waker: Arc<Waker>,
    /// Last, so that it outlives the two handles made from it.
    producer: BaseProducer<KafkaContext>,
}

// SAFETY: librdkafka's handles may be used from any thread; the raw pointers are owned by this
// value alone.
unsafe impl Send for ProducerHandle {}

impl ProducerHandle {
    /// `None` when the library cannot make the topic's handle: the name is not one.
    pub fn new(producer: BaseProducer<KafkaContext>, topic: &str) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        let client = producer.client().native_ptr();
        let waker = Arc::new(Waker::default());
        // It rings only when the queue turns from empty, and log lines may be in it already: look
        // once unasked.
        waker.ring();
        // SAFETY: `client` is alive as long as `producer`, which moves into the result; a null
        // configuration means the client's defaults;
        // the callback's argument outlives it (see `drop`).
        unsafe {
            let topic =
                NonNull::new(sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()))?;
            let Some(queue) = NonNull::new(sys::rd_kafka_queue_get_main(client)) else {
                sys::rd_kafka_topic_destroy(topic.as_ptr());
                return None;
            };
            sys::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(ring),
                Arc::as_ptr(&waker).cast_mut().cast(),
            );
            Some(Self { topic, queue, waker, producer })
        }
    }

    pub fn client(&self) -> &Client<KafkaContext> {
        self.producer.client()
    }

    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Copies `payload` into the library's queue for `partition`; never blocks.
    pub fn send(&self, partition: u16, payload: &[u8], slot: u32) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: MSG_F_COPY makes the library copy the payload before it returns; it has no key;
        // the opaque is a number that nobody dereferences. `last_error` is thread-local and set by
        // the call before.
        unsafe {
            let refused = sys::rd_kafka_produce(
                self.topic.as_ptr(),
                i32::from(partition),
                sys::RD_KAFKA_MSG_F_COPY,
                payload.as_ptr().cast_mut().cast(),
                payload.len(),
                ptr::null(),
                0,
                ptr::without_provenance_mut(slot as usize),
            );
            if refused == 0 { Ok(()) } else { Err(sys::rd_kafka_last_error().into()) }
        }
    }

    /// Hands over every report that is there, stamped when the library yields its batch.
    pub fn drain(&self, clock: Clock, mut visit: impl FnMut(Report<'_>)) {
        // SAFETY: each event is checked for null, used only until it is destroyed at the end of its
        // turn, and the messages in it belong to it. A report's opaque is what `send` put there.
        unsafe {
            while let Some(event) = NonNull::new(sys::rd_kafka_queue_poll(self.queue.as_ptr(), 0)) {
                let event = event.as_ptr();
                let at_ns = clock.now_ns();
                match sys::rd_kafka_event_type(event) {
                    sys::RD_KAFKA_EVENT_DR => {
                        while let Some(message) = sys::rd_kafka_event_message_next(event).as_ref() {
                            let error = (message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                                .then(|| {
                                    (
                                        message.err.into(),
                                        sys::rd_kafka_message_status(message) != ABSENT,
                                    )
                                });
                            visit(Report::Delivery {
                                slot: message._private.addr() as u32,
                                at_ns,
                                error,
                            });
                        }
                    }
                    sys::RD_KAFKA_EVENT_LOG => {
                        let (mut facility, mut text): (*const c_char, *const c_char) =
                            (ptr::null(), ptr::null());
                        let mut level: c_int = 0;
                        if sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) == 0
                            && !text.is_null()
                        {
                            visit(Report::Notice(CStr::from_ptr(text)));
                        }
                    }
                    sys::RD_KAFKA_EVENT_STATS => {
                        let text = sys::rd_kafka_event_stats(event);
                        if !text.is_null() {
                            visit(Report::Statistics(CStr::from_ptr(text)));
                        }
                    }
                    sys::RD_KAFKA_EVENT_ERROR => {
                        let text = sys::rd_kafka_event_error_string(event);
                        if !text.is_null() {
                            let code = sys::rd_kafka_event_error(event);
                            visit(Report::Trouble(code.into(), CStr::from_ptr(text)));
                        }
                    }
                    sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH => {
                        // What failed is in the log, and the library asks again.
                        let _ = give_token(self.client());
                    }
                    _ => {}
                }
                sys::rd_kafka_event_destroy(event);
            }
        }
    }
}

impl Drop for ProducerHandle {
    fn drop(&mut self) {
        // SAFETY: taking the callback off happens under the queue's lock, so no call of it is
        // running afterwards and the waker may go. Both handles are released exactly once, before
        // the client (a later field).
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
            sys::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}

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
    pub partition: i32,
    pub offset: i64,
    pub payload: &'a [u8],
    pub error: Option<RDKafkaErrorCode>,
}

/// Takes records from an [`ConsumerHandle`] by the batch.
pub struct Reader {
    /// Records taken and not yet handed out; every pointer is owned.
    taken: Vec<NonNull<sys::rd_kafka_message_t>>,
    most: usize,
    handle: Arc<ConsumerHandle>,
}

// SAFETY: the pointers are owned by this value alone,
// and librdkafka's messages are not bound to a thread.
unsafe impl Send for Reader {}

impl Reader {
    pub fn new(handle: Arc<ConsumerHandle>, most: usize) -> Self {
        Self { taken: Vec::with_capacity(most), most, handle }
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
        for message in self.taken.drain(..) {
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
                let error = (raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| RDKafkaErrorCode::from(raw.err));
                visit(Record { partition: raw.partition, offset: raw.offset, payload, error });
                sys::rd_kafka_message_destroy(message.as_ptr());
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.each(|_| ());
    }
}

/// Hands a client the token to log in with, where it logs in by tokens: right after it was made,
/// since librdkafka asks for the first one by an event that nobody reads while a client connects,
/// and for which an admin client has no queue at all.
pub fn give_token(client: &Client<KafkaContext>) -> Result<(), String> {
    let context = client.context();
    if context.tokens.is_none() {
        return Ok(());
    }
    let given = context.generate_oauth_token(None).and_then(|made| {
        let (value, principal) = (CString::new(made.token)?, CString::new(made.principal_name)?);
        let mut words: [c_char; 256] = [0; 256];
        // SAFETY: the client is alive; both texts and the buffer outlive the call, which copies
        // what it keeps, writes at most as many bytes as it is told and ends them with a zero;
        // there are no extensions.
        unsafe {
            let code = sys::rd_kafka_oauthbearer_set_token(
                client.native_ptr(),
                value.as_ptr(),
                made.lifetime_ms,
                principal.as_ptr(),
                ptr::null_mut(),
                0,
                words.as_mut_ptr(),
                words.len(),
            );
            match code {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
                _ => Err(CStr::from_ptr(words.as_ptr()).to_string_lossy().into()),
            }
        }
    });
    given.map_err(|error| {
        let why = error.to_string();
        if let Ok(words) = CString::new(why.as_str()) {
            // SAFETY: as above. It makes the library ask again in ten seconds.
            unsafe {
                sys::rd_kafka_oauthbearer_set_token_failure(client.native_ptr(), words.as_ptr());
            }
        }
        why
    })
}

/// Lets the groups of a client's own mock cluster form at once;
/// the mock waits three seconds otherwise.
pub fn hasten_mock_groups(client: &Client<KafkaContext>) {
    // SAFETY: the mock cluster belongs to the client, which is borrowed; null where there is none.
    unsafe {
        let mock = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !mock.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(mock, 0);
        }
    }
}
