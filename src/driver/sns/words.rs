//! What SNS, SQS and their SDK refuse, in words for whoever has to put it right: the cause, then
//! the remedy. AWS's own words are shown where no secret can be in them: what it says of a
//! signature repeats the request, with the session's token in its head.

use crate::access::why_not_connected;
use crate::driver::DriverError;
use crate::model::System;
use crate::sanitize;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use std::error::Error;

/// AWS refuses a signature that is older or younger than this.
const SKEW_S: i64 = 5 * 60;
/// Most characters of AWS's own words.
const LONGEST: usize = 300;

/// What is asked of AWS, and what an account must be granted for it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Such as `make the topic`.
    pub action: &'static str,
    /// As IAM calls it: `sns:CreateTopic`.
    pub right: &'static str,
}

impl Asked {
    pub const fn new(action: &'static str, right: &'static str) -> Self {
        Self { action, right }
    }

    /// An error of the SDK. `address` is where it was asked.
    pub fn failed<E>(self, address: &str, error: &SdkError<E, HttpResponse>) -> DriverError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let system = System::Sns;
        if let Some(why) = why_not_connected(error) {
            let (address, cause) = (address.to_owned(), why.to_string());
            return DriverError::Disconnected { system, address, cause };
        }
        let action = self.action.to_owned();
        match error {
            SdkError::ServiceError(refusal) => {
                let said = Said { code: error.code(), message: error.message() };
                let skew = skew_s(refusal.raw(), Timestamp::now());
                DriverError::Refused { system, action, cause: said.cause(self.right, skew) }
            }
            SdkError::TimeoutError(_) => {
                let cause = "no answer in time".to_owned();
                DriverError::Disconnected { system, address: address.to_owned(), cause }
            }
            SdkError::ResponseError(_) => {
                DriverError::Protocol { system, cause: format!("{action}: {}", chain(error)) }
            }
            _ => {
                let chain = chain(error);
                let unsigned = ["credential", "identity"].iter().any(|word| chain.contains(word));
                // The chain of `access` says it itself.
                let told = chain.contains("AWS_PROFILE");
                let remedy = if unsigned && !told { NO_CREDENTIALS } else { "" };
                DriverError::Refused { system, action, cause: chain + remedy }
            }
        }
    }
}

const NO_CREDENTIALS: &str = "; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
    or run where a role is attached; `aws sts get-caller-identity` shows who you are";

/// What AWS said of a request that it refused.
struct Said<'e> {
    code: Option<&'e str>,
    message: Option<&'e str>,
}

impl Said<'_> {
    fn cause(&self, right: &str, skew: Option<i64>) -> String {
        let code = self.code.unwrap_or("no code");
        let off = skew.filter(|skew| skew.abs() >= SKEW_S);
        if let (Some(off), "SignatureDoesNotMatch" | "RequestExpired" | "RequestTimeTooSkewed") =
            (off, code)
        {
            let (minutes, side) = (off.abs() / 60, if off > 0 { "ahead" } else { "behind" });
            return format!(
                "this machine's clock is {minutes} minutes {side} of AWS's, which takes no \
                 signature that is five minutes off; set it right (`timedatectl set-ntp true`)"
            );
        }
        let words = match code {
            "SignatureDoesNotMatch" if self.is_about_region() => {
                "the endpoint is of another region than the signature; correct `iam.region`, or \
                 `endpoints`"
            }
            "SignatureDoesNotMatch" => {
                "the secret access key is not that of the access key id, or the clock of this \
                 machine is off; correct AWS_SECRET_ACCESS_KEY, or the profile"
            }
            "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => {
                "AWS does not know the access key id: it was deleted, is of another partition, or \
                 its session token is missing; correct the credentials"
            }
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
                "the credentials have expired; get new ones (`aws sso login`, or a new session)"
            }
            "AuthorizationError" | "AccessDenied" | "AccessDeniedException" => {
                return format!(
                    "these credentials may not do it; grant `{right}` on names that begin with \
                     `bb-` (docs/sns.md has the whole policy)"
                );
            }
            _ if self.is_about_size() => {
                return format!(
                    "{}; a message is a third larger in base64: lower `message.size`, or raise \
                     the topic's `MaximumMessageSize` (at most 1048576)",
                    self.told(code)
                );
            }
            "AWS.SimpleQueueService.QueueDeletedRecently" | "QueueDeletedRecently" => {
                "a queue of this name was deleted less than a minute ago; run again"
            }
            _ => return self.told(code),
        };
        format!("{code}: {words}")
    }

    /// Such as `Credential should be scoped to a valid region, not 'eu-west-1'`.
    fn is_about_region(&self) -> bool {
        self.message.is_some_and(|message| message.contains("scoped to a valid region"))
    }

    fn is_about_size(&self) -> bool {
        let long = self.message.is_some_and(|message| message.contains("too long"));
        self.code.is_some_and(|code| code.starts_with("BatchRequestTooLong")) || long
    }

    /// In AWS's words.
    fn told(&self, code: &str) -> String {
        let message: String = self.message.unwrap_or_default().chars().take(LONGEST).collect();
        sanitize::line(&format!("{code}: {message}")).trim_end_matches(": ").to_owned()
    }
}

/// What a code alone says, of which `right` would have been needed.
pub fn told(code: &str, right: &str) -> String {
    Said { code: Some(code), message: None }.cause(right, None)
}

/// By how many seconds this machine's clock is ahead of that of whoever answered.
pub fn skew_s(answer: &HttpResponse, now: Timestamp) -> Option<i64> {
    let date = answer.headers().get("date")?;
    let theirs = DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(now.as_second() - theirs.as_second())
}

/// Why a request may be tried again, in words that are the same each time.
pub fn reason(code: Option<&str>, status: Option<u16>, error: &(dyn Error + 'static)) -> String {
    match (code, status) {
        (Some(code), _) => sanitize::line(code),
        (None, Some(status)) => format!("HTTP {status}"),
        (None, None) => match why_not_connected(error) {
            Some(why) => why.to_string(),
            None => "the connection was lost before the answer came".into(),
        },
    }
}

/// An error and what it stems from, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let all = std::iter::successors(Some(error), |error| (**error).source());
    let words: Vec<String> = all.map(ToString::to_string).collect();
    sanitize::line(&words.join(": ")).chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    fn cause(code: &str, message: &str, skew: Option<i64>) -> String {
        Said { code: Some(code), message: Some(message) }.cause("sns:CreateTopic", skew)
    }

    #[test]
    fn causes_come_with_remedies() {
        for (code, words) in [
            ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            ("InvalidClientTokenId", "does not know the access key id"),
            ("ExpiredToken", "aws sso login"),
            ("AuthorizationError", "grant `sns:CreateTopic`"),
            ("AccessDenied", "grant `sns:CreateTopic`"),
            ("BatchRequestTooLong", "MaximumMessageSize"),
        ] {
            let text = cause(code, "words", None);
            assert!(text.contains(words), "{code}: {text}");
        }
        let size = cause("InvalidParameter", "Invalid parameter: Message too long", None);
        assert!(size.contains("MaximumMessageSize"), "{size}");
        assert_eq!(cause("Throttling", "Rate exceeded", None), "Throttling: Rate exceeded");
        let region = "Credential should be scoped to a valid region, not 'eu-west-1'";
        let region = cause("SignatureDoesNotMatch", region, None);
        assert!(region.contains("iam.region"), "{region}");
        assert!(told("AuthorizationError", "sns:Publish").contains("grant `sns:Publish`"));
    }

    #[test]
    fn what_is_said_of_a_signature_is_not_repeated() {
        let text = cause("SignatureDoesNotMatch", "x-amz-security-token:s3cret", None);
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn a_clock_that_is_off_is_told_by_how_much() {
        for (skew, words) in [(420, "7 minutes ahead"), (-3600, "60 minutes behind")] {
            let text = cause("SignatureDoesNotMatch", "Signature expired", Some(skew));
            assert!(text.contains(words), "{text}");
        }
        let near = cause("SignatureDoesNotMatch", "", Some(20));
        assert!(near.contains("secret access key"), "{near}");
        let mut answer = HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
        assert_eq!(skew_s(&answer, Timestamp::UNIX_EPOCH), None);
        answer.headers_mut().insert("date", "Thu, 01 Jan 1970 00:10:00 GMT");
        assert_eq!(skew_s(&answer, Timestamp::UNIX_EPOCH), Some(-600));
    }
}
