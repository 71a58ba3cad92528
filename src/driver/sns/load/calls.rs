//! What the SDK tries again, by its reason, and whether a call that ended badly may have been taken
//! all the same: seen from within, since the SDK tells its caller of the last attempt only.
//!
//! One log for each connection, which carries one call at a time.

use crate::access::why_not_connected;
use crate::driver::sns::words;
use aws_sdk_sns::operation::publish_batch::PublishBatchError;
use aws_sdk_sqs::operation::delete_message_batch::DeleteMessageBatchError;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, Error, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, Default)]
pub struct CallLog(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    retries: BTreeMap<String, u64>,
    /// An attempt has begun and has not ended: one that times out never does.
    under_way: bool,
    /// Why the attempt before failed.
    failed: Option<String>,
    /// An attempt of this call may have been taken.
    doubt: bool,
}

impl Calls {
    fn begun(&mut self) {
        if self.under_way {
            self.failed = Some("no answer within the time of an attempt".into());
            self.doubt = true;
        }
        if let Some(reason) = self.failed.take() {
            *self.retries.entry(reason).or_default() += 1;
        }
        self.under_way = true;
    }

    fn ended(&mut self, failure: Option<(String, bool)>) {
        self.under_way = false;
        if let Some((reason, doubt)) = failure {
            self.failed = Some(reason);
            self.doubt |= doubt;
        }
    }
}

impl CallLog {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new call: nothing of it is in doubt, nothing was tried before.
    pub fn begin(&self) {
        let mut calls = self.calls();
        (calls.under_way, calls.failed, calls.doubt) = (false, None, false);
    }

    /// Whether an attempt of the last call may have been taken without an answer.
    pub fn in_doubt(&self) -> bool {
        let calls = self.calls();
        calls.doubt || calls.under_way
    }

    /// Another reason of the same kind: what one entry of a batch was refused for.
    pub fn note(&self, reason: String) {
        *self.calls().retries.entry(reason).or_default() += 1;
    }

    pub fn retries(&self) -> BTreeMap<String, u64> {
        self.calls().retries.clone()
    }
}

impl Intercept for CallLog {
    fn name(&self) -> &'static str {
        "CallLog"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.calls().begun();
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Err(error)) = context.output_or_error() else {
            self.calls().ended(None);
            return Ok(());
        };
        let status = context.response().map(|response| response.status().as_u16());
        let code = error.as_operation_error().and_then(code);
        // Without credentials or a connection nothing was sent; by a 4xx it was refused.
        let cut = error.as_connector_error().is_some() && why_not_connected(error).is_none();
        let broke = status.is_some_and(|status| status >= 500);
        let doubt = cut || broke || error.is_timeout_error() || error.is_response_error();
        self.calls().ended(Some((words::reason(code, status, error), doubt)));
        Ok(())
    }
}

/// AWS's code of what a call of the load was refused for.
fn code(error: &Error) -> Option<&str> {
    let publish = error.downcast_ref::<PublishBatchError>().and_then(|error| error.code());
    let receive = || error.downcast_ref::<ReceiveMessageError>().and_then(|error| error.code());
    let delete = || error.downcast_ref::<DeleteMessageBatchError>().and_then(|error| error.code());
    publish.or_else(receive).or_else(delete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_tried_again_is_counted_and_by_why() {
        let log = CallLog::default();
        let attempt = |failure: Option<(&str, bool)>| {
            log.calls().begun();
            log.calls().ended(failure.map(|(reason, doubt)| (reason.to_owned(), doubt)));
        };
        log.begin();
        attempt(Some(("Throttling", false)));
        attempt(Some(("Throttling", false)));
        attempt(None);
        assert!(!log.in_doubt());
        log.begin();
        attempt(Some(("the connection was lost", true)));
        attempt(Some(("Throttling", false)));
        assert!(log.in_doubt(), "the first attempt may have been taken");
        log.begin();
        assert!(!log.in_doubt());
        let counted = [("Throttling", 2), ("the connection was lost", 1)];
        let counted = BTreeMap::from(counted.map(|(reason, n)| (reason.to_owned(), n)));
        assert_eq!(log.retries(), counted);
    }

    #[test]
    fn an_attempt_that_never_ended_is_in_doubt() {
        let log = CallLog::default();
        log.begin();
        log.calls().begun();
        assert!(log.in_doubt());
        log.calls().begun();
        log.calls().ended(None);
        assert!(log.in_doubt());
        assert_eq!(log.retries().values().sum::<u64>(), 1);
    }
}
