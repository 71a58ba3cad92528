//! The token that a client logs in with.

use crate::driver::kafka::load::client_log::KafkaContext;
use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString, c_char};
use std::ptr;

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
