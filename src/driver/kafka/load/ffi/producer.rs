//! Messages into librdkafka, and its reports out of it.

use super::{ENVELOPE, give_token};
use crate::clock::Clock;
use crate::driver::kafka::load::client_log::KafkaContext;
use crate::driver::kafka::load::waker::Waker;
use crate::driver::kafka::topics::Topics;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Called by librdkafka, with the queue's lock held, when its queue turns from empty to not empty.
unsafe extern "C" fn ring(_: *mut sys::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `waker` is the pointee of `ProducerHandle::waker`, which lives until the callback has
    // been taken off in `drop`.
    unsafe { &*waker.cast::<Waker>() }.ring();
}

/// The broker does not hold a message, as far as the library knows.
const ABSENT: sys::rd_kafka_msg_status_t =
    sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED;

/// What one call hands over.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    pub slot: u32,
    /// Of all topics, one after the other.
    pub partition: u16,
    /// Empty for none.
    pub key: &'a [u8],
    /// Into a header of its own; empty where it is a part of the payload.
    pub envelope: &'a [u8],
    pub payload: &'a [u8],
}

/// Headers that go with every message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Small ones, all the same.
    pub count: u16,
    /// And the envelope.
    pub envelope: bool,
}

/// What headers of `Headers::count` hold.
const VALUE: &[u8] = b"0123456789abcdef";

/// The arguments of a message with headers, kept from one to the next: what changes is written
/// over.
struct Arguments {
    all: Vec<sys::rd_kafka_vu_t>,
    /// What those of headers point to.
    _names: Vec<CString>,
}

/// Where each stands that changes.
const PARTITION: usize = 0;
const PAYLOAD: usize = 1;
const KEY: usize = 2;
const SLOT: usize = 3;
const TOPIC: usize = 4;

type Argument = sys::rd_kafka_vu_s__bindgen_ty_1;

fn argument(vtype: sys::rd_kafka_vtype_t, u: Argument) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype, u }
}

fn bytes(of: &[u8]) -> Argument {
    // A null key is none, and an empty one would be a key.
    let start = if of.is_empty() { ptr::null() } else { of.as_ptr() };
    let mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
        ptr: start.cast_mut().cast(),
        size: of.len(),
    };
    Argument { mem }
}

fn header(name: &CStr, value: &[u8]) -> sys::rd_kafka_vu_t {
    let header = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
        name: name.as_ptr(),
        val: value.as_ptr().cast(),
        size: value.len() as isize,
    };
    argument(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADER, Argument { header })
}

impl Arguments {
    fn of(headers: Headers) -> Self {
        use sys::rd_kafka_vtype_t as Type;
        let mut all = vec![
            argument(Type::RD_KAFKA_VTYPE_PARTITION, Argument { i32_: 0 }),
            argument(Type::RD_KAFKA_VTYPE_VALUE, bytes(&[])),
            argument(Type::RD_KAFKA_VTYPE_KEY, bytes(&[])),
            argument(Type::RD_KAFKA_VTYPE_OPAQUE, Argument { ptr: ptr::null_mut() }),
            argument(Type::RD_KAFKA_VTYPE_RKT, Argument { rkt: ptr::null_mut() }),
            argument(Type::RD_KAFKA_VTYPE_MSGFLAGS, Argument { i: sys::RD_KAFKA_MSG_F_COPY }),
        ];
        let name = |number| CString::new(format!("header-{number}")).unwrap_or_default();
        let names: Vec<CString> = (0..headers.count).map(name).collect();
        all.extend(names.iter().map(|name| header(name, VALUE)));
        // Last: it is written over, too.
        all.extend(headers.envelope.then(|| header(ENVELOPE, &[])));
        Self { all, _names: names }
    }

    /// For this message, to this partition of this topic; they point into it.
    fn set(
        &mut self,
        message: Sent<'_>,
        topic: NonNull<sys::rd_kafka_topic_t>,
        partition: u16,
    ) -> &[sys::rd_kafka_vu_t] {
        self.all[TOPIC].u = Argument { rkt: topic.as_ptr() };
        self.all[PARTITION].u = Argument { i32_: i32::from(partition) };
        self.all[PAYLOAD].u = bytes(message.payload);
        self.all[KEY].u = bytes(message.key);
        let opaque = ptr::without_provenance_mut(message.slot as usize);
        self.all[SLOT].u = Argument { ptr: opaque };
        if !message.envelope.is_empty()
            && let Some(last) = self.all.last_mut()
        {
            *last = header(ENVELOPE, message.envelope);
        }
        &self.all
    }
}

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

/// One producer bound to the topics of a cell.
pub struct ProducerHandle {
    topics: Topics,
    /// Of each topic; owned.
    opened: Vec<NonNull<sys::rd_kafka_topic_t>>,
    /// `None` where messages have no headers.
    arguments: Option<Arguments>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    pub(super) waker: Arc<Waker>,
    /// Last, so that it outlives the handles made from it.
    pub(super) producer: Arc<BaseProducer<KafkaContext>>,
}

// SAFETY: librdkafka's handles may be used from any thread; the raw pointers are owned by this
// value alone.
unsafe impl Send for ProducerHandle {}

impl ProducerHandle {
    /// `None` when the library cannot make the handle of a topic: its name is not one.
    pub fn new(
        producer: BaseProducer<KafkaContext>,
        topics: &Topics,
        headers: Headers,
    ) -> Option<Self> {
        let names = topics.names().iter().map(|name| CString::new(name.as_str()).ok());
        let names: Vec<CString> = names.collect::<Option<_>>()?;
        let client = producer.client().native_ptr();
        let waker = Arc::new(Waker::default());
        // It rings only when the queue turns from empty, and log lines may be in it already: look
        // once unasked.
        waker.ring();
        // SAFETY: `client` is alive as long as `producer`, which moves into the result; a null
        // configuration means the client's defaults;
        // the callback's argument outlives it (see `drop`).
        unsafe {
            let queue = NonNull::new(sys::rd_kafka_queue_get_main(client))?;
            sys::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(ring),
                Arc::as_ptr(&waker).cast_mut().cast(),
            );
            let (topics, producer) = (topics.clone(), Arc::new(producer));
            let arguments = (headers != Headers::default()).then(|| Arguments::of(headers));
            // From here on it gives back what it has.
            let mut handle = Self { topics, opened: Vec::new(), arguments, queue, waker, producer };
            for name in &names {
                let topic = sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut());
                handle.opened.push(NonNull::new(topic)?);
            }
            Some(handle)
        }
    }

    pub fn client(&self) -> &Client<KafkaContext> {
        self.producer.client()
    }

    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Copies a message into the library's queue; never blocks.
    pub fn send(&mut self, message: Sent<'_>) -> Result<(), RDKafkaErrorCode> {
        let (topic, partition) = self.topics.place(message.partition);
        let Some(topic) = self.opened.get(topic).copied() else {
            return Err(RDKafkaErrorCode::UnknownPartition);
        };
        if let Some(arguments) = &mut self.arguments {
            let arguments = arguments.set(message, topic, partition);
            let client = self.producer.client().native_ptr();
            // SAFETY: the arguments point into `message`, into names that live beside them, and to
            // a topic's handle; the library copies all of it, by MSG_F_COPY the payload too,
            // before it returns. An error is ours to destroy.
            return unsafe {
                match sys::rd_kafka_produceva(client, arguments.as_ptr(), arguments.len()) {
                    error if error.is_null() => Ok(()),
                    error => {
                        let code = sys::rd_kafka_error_code(error);
                        sys::rd_kafka_error_destroy(error);
                        Err(code.into())
                    }
                }
            };
        }
        let Sent { slot, key, payload, .. } = message;
        // A null key is none, and an empty one would be a key.
        let start = if key.is_empty() { ptr::null() } else { key.as_ptr() };
        // SAFETY: the library copies a key, and by MSG_F_COPY the payload, before it returns; the
        // opaque is a number that nobody dereferences. `last_error` is thread-local and set by the
        // call before.
        unsafe {
            let refused = sys::rd_kafka_produce(
                topic.as_ptr(),
                i32::from(partition),
                sys::RD_KAFKA_MSG_F_COPY,
                payload.as_ptr().cast_mut().cast(),
                payload.len(),
                start.cast(),
                key.len(),
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
        // running afterwards and the waker may go. All handles are released exactly once, before
        // the client (a later field).
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
            self.opened.iter().for_each(|topic| sys::rd_kafka_topic_destroy(topic.as_ptr()));
        }
    }
}
