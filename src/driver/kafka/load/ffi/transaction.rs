//! The calls of a transactional producer.
//!
//! Each may block, for as long as it is told to, and needs somebody else to drain the delivery
//! reports meanwhile: the wrapper's own `commit_transaction` takes them from the queue, and with
//! them the ends of our messages.

use super::ProducerHandle;
use crate::driver::kafka::load::client_log::KafkaContext;
use crate::driver::kafka::load::waker::Waker;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

/// What the library says can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Call again: it goes on where it was.
    Again,
    /// Abort the transaction, and begin another one.
    Abort,
    /// Nothing: the producer is fenced, or of no use any more.
    Nothing,
}

#[derive(Debug)]
pub struct TransactionError {
    pub code: RDKafkaErrorCode,
    pub words: String,
    pub remedy: Remedy,
}

/// The transactions of one producer: for one thread that waits for them.
pub struct TransactionCalls {
    producer: Arc<BaseProducer<KafkaContext>>,
    /// Of the thread that sends.
    pub waker: Arc<Waker>,
}

impl TransactionCalls {
    pub(super) fn of(producer: &Arc<BaseProducer<KafkaContext>>, waker: &Arc<Waker>) -> Self {
        Self { producer: Arc::clone(producer), waker: Arc::clone(waker) }
    }

    /// Fences whoever had the same `transactional.id` before.
    pub fn init(&self, limit: Duration) -> Result<(), TransactionError> {
        // SAFETY: `producer` keeps the client alive. What the call returns is the caller's.
        unsafe { done(sys::rd_kafka_init_transactions(self.native(), ms(limit))) }
    }

    pub fn begin(&self) -> Result<(), TransactionError> {
        // SAFETY: as above.
        unsafe { done(sys::rd_kafka_begin_transaction(self.native())) }
    }

    pub fn commit(&self, limit: Duration) -> Result<(), TransactionError> {
        // SAFETY: as above.
        unsafe { done(sys::rd_kafka_commit_transaction(self.native(), ms(limit))) }
    }

    pub fn abort(&self, limit: Duration) -> Result<(), TransactionError> {
        // SAFETY: as above.
        unsafe { done(sys::rd_kafka_abort_transaction(self.native(), ms(limit))) }
    }

    /// Waits until every message that was sent has its report, and that has been drained.
    pub fn flush(&self, limit: Duration) -> Result<(), TransactionError> {
        // SAFETY: as above.
        match unsafe { sys::rd_kafka_flush(self.native(), ms(limit)) } {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => {
                let words = "messages are still on their way".to_owned();
                Err(TransactionError { code: code.into(), words, remedy: Remedy::Again })
            }
        }
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.producer.client().native_ptr()
    }
}

impl ProducerHandle {
    /// Of a producer with a `transactional.id`.
    pub fn transaction_calls(&self) -> TransactionCalls {
        TransactionCalls::of(&self.producer, &self.waker)
    }
}

fn ms(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

/// What a call returned, taken apart and given back.
///
/// # Safety
/// It is null, or an error of the library that nobody else uses.
unsafe fn done(error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so it is an error and, by the caller's word, ours to read and to destroy;
    // its words live as long as it does.
    unsafe {
        let remedy = match () {
            () if sys::rd_kafka_error_is_fatal(error) != 0 => Remedy::Nothing,
            () if sys::rd_kafka_error_txn_requires_abort(error) != 0 => Remedy::Abort,
            () if sys::rd_kafka_error_is_retriable(error) != 0 => Remedy::Again,
            // As the library's documentation recommends.
            () => Remedy::Nothing,
        };
        let words = CStr::from_ptr(sys::rd_kafka_error_string(error));
        let words = words.to_string_lossy().into_owned();
        let code = sys::rd_kafka_error_code(error).into();
        sys::rd_kafka_error_destroy(error);
        Err(TransactionError { code, words, remedy })
    }
}
