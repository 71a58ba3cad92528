//! Clients of SNS and SQS, all set alike: where they are, who signs, how long a call may take. Each
//! belongs to one runtime, and connects through `access` only.

use super::load::calls::CallLog;
use super::words::Asked;
use crate::access::aws::AwsIdentity;
use crate::access::{Access, http_client};
use crate::clock::Clock;
use crate::driver::timeouts::request_timeout;
use crate::driver::{DriverError, Target};
use crate::model::System;
use crate::scenario::Load;
use crate::units::Span;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// What the names of AWS's own services end with. Whoever else answers is an emulator: it promises
/// nothing, and lacks what none of them plays.
const AWS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
/// As many attempts as there is time for: a limit of the SDK's that is never reached.
const WITHOUT_LIMIT: u32 = 10_000;

/// How long one call may take, and how often it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    attempt: Duration,
    /// Over all attempts; `None` as the SDK comes, which tries three times.
    call: Option<Duration>,
}

impl Patience {
    /// Longer than the longest wait of a ReceiveMessage.
    pub const USUAL: Self = Self { attempt: Duration::from_secs(30), call: None };

    /// A message is to be taken until the load's deadline, where there is one.
    pub fn of(load: &Load) -> Self {
        let both = load.deadline.zip(request_timeout(load));
        both.map_or(Self::USUAL, |(deadline, attempt)| Self {
            attempt: attempt.std(),
            call: Some(deadline.std()),
        })
    }

    /// A long poll whose service may be away for as long as a message has time.
    pub fn outliving(deadline: Span) -> Self {
        let call = Self::USUAL.attempt + deadline.std();
        Self { call: Some(call), ..Self::USUAL }
    }

    /// One attempt, which is given up after `limit`.
    pub const fn once(limit: Duration) -> Self {
        Self { attempt: limit, call: Some(limit) }
    }

    fn timeouts(self) -> TimeoutConfig {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(self.attempt);
        match self.call {
            Some(call) => timeouts.operation_timeout(call).build(),
            None => timeouts.build(),
        }
    }

    fn retries(self) -> RetryConfig {
        match self.call {
            Some(call) if call <= self.attempt => RetryConfig::disabled(),
            Some(_) => RetryConfig::standard().with_max_attempts(WITHOUT_LIMIT),
            None => RetryConfig::standard(),
        }
    }
}

/// Whether AWS itself answers at `host:port`.
pub fn is_aws(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    AWS.iter().any(|end| host.ends_with(end))
}

#[derive(Clone, Debug)]
struct ServiceAddress {
    /// `host:port`, fit for errors.
    address: String,
    url: String,
}

#[derive(Clone, Debug)]
pub struct Clients {
    config: SdkConfig,
    access: Access,
    sns: ServiceAddress,
    sqs: ServiceAddress,
    pub clock: Clock,
}

impl Clients {
    /// Of a target whose first address is that of SNS, and whose last is that of SQS.
    pub fn new(target: &Target) -> Result<Self, DriverError> {
        let scheme = if target.access.tls().is_some() { "https" } else { "http" };
        let place = |address: Option<&String>| -> Result<ServiceAddress, DriverError> {
            let address = address.ok_or_else(|| refused("open", "no address of SNS is given"))?;
            Ok(ServiceAddress { address: address.clone(), url: format!("{scheme}://{address}") })
        };
        let AwsIdentity { region, credentials, cache } = identity(&target.access)?;
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(credentials)
            .identity_cache(cache)
            // An answer that is waited for long is what a long poll is.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Ok(Self {
            config,
            access: target.access.clone(),
            sns: place(target.addresses.first())?,
            sqs: place(target.addresses.last())?,
            clock: target.clock,
        })
    }

    /// Whether neither service is AWS's own.
    pub fn emulated(&self) -> bool {
        !is_aws(&self.sns.address) || !is_aws(&self.sqs.address)
    }

    /// Of one runtime, and with `log`, of one connection.
    pub fn sns(&self, patience: Patience, log: &CallLog) -> aws_sdk_sns::Client {
        let config = aws_sdk_sns::config::Builder::from(&self.config)
            .endpoint_url(&self.sns.url)
            .http_client(http_client(&self.access))
            .retry_config(patience.retries())
            .timeout_config(patience.timeouts())
            .interceptor(log.clone());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    pub fn sqs(&self, patience: Patience, log: &CallLog) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::config::Builder::from(&self.config)
            .endpoint_url(&self.sqs.url)
            .http_client(http_client(&self.access))
            .retry_config(patience.retries())
            .timeout_config(patience.timeouts())
            .interceptor(log.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// A way to ask both, one question after the other.
    pub fn control(&self, patience: Patience) -> Result<Control, DriverError> {
        let log = CallLog::default();
        Ok(Control {
            runtime: runtime()?,
            sns: self.sns(patience, &log),
            sqs: self.sqs(patience, &log),
            clients: self.clone(),
        })
    }

    /// An error of the SDK, told with where it was asked.
    pub fn failed<E>(&self, asked: Asked, error: &SdkError<E, HttpResponse>) -> DriverError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let place = if asked.right.starts_with("sqs:") { &self.sqs } else { &self.sns };
        asked.failed(&place.address, error)
    }
}

/// Both services, asked from a thread that waits for the answer.
pub struct Control {
    runtime: Runtime,
    pub sns: aws_sdk_sns::Client,
    pub sqs: aws_sdk_sqs::Client,
    clients: Clients,
}

impl Control {
    pub fn ask<T, E>(
        &self,
        asked: Asked,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, DriverError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.runtime.block_on(call).map_err(|error| self.clients.failed(asked, &error))
    }
}

/// One thread's runtime: whoever blocks on it drives it.
pub fn runtime() -> Result<Runtime, DriverError> {
    let made = Builder::new_current_thread().enable_all().build();
    made.map_err(|cause| refused("starting tokio", cause.to_string()))
}

pub fn refused(action: &str, cause: impl Into<String>) -> DriverError {
    DriverError::Refused { system: System::Sns, action: action.into(), cause: cause.into() }
}

pub fn cannot(action: &str, because: &str) -> DriverError {
    DriverError::Cannot { system: System::Sns, action: action.into(), because: because.into() }
}

pub fn timed_out(action: &str, limit: Duration) -> DriverError {
    DriverError::TimedOut { system: System::Sns, action: action.into(), seconds: limit.as_secs() }
}

/// Who signs for a target; our own reflector takes anybody's signature.
fn identity(access: &Access) -> Result<AwsIdentity, DriverError> {
    if access.is_ours() {
        let nobody = Credentials::new("brokerbench", "brokerbench", None, None, "reflector");
        let credentials = SharedCredentialsProvider::new(nobody);
        return Ok(AwsIdentity::new("us-east-1".into(), credentials));
    }
    let unsigned = || {
        refused(
            "sign requests",
            "the target does not say who signs; describe it as \
        `sns: {iam: {region: …}}` in a file for --targets",
        )
    };
    access.aws().cloned().ok_or_else(unsigned)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::driver::Routes;

    /// Whatever answers at `address`, as one of ours.
    pub fn target(address: &str) -> Target {
        Target {
            addresses: vec![address.into()],
            routes: Routes::default(),
            access: Access::default(),
            name: "bb-abc123-sns-0".into(),
            clock: Clock::start(),
        }
    }

    #[test]
    fn aws_is_told_from_its_emulators_by_name() {
        for address in [
            "sns.us-east-1.amazonaws.com:443",
            "vpce-1.sns.eu-west-1.vpce.amazonaws.com:443",
            "sns.cn-north-1.amazonaws.com.cn:443",
            "sqs.eu-west-1.api.aws:443",
        ] {
            assert!(is_aws(address), "{address}");
        }
        for address in ["127.0.0.1:4566", "localhost:443", "amazonaws.com.example:443"] {
            assert!(!is_aws(address), "{address}");
        }
    }

    #[test]
    fn without_a_deadline_the_sdk_is_as_it_comes() {
        let load = Load::closed(1);
        let usual = Patience::of(&load);
        assert_eq!((usual.retries().max_attempts(), usual.call), (3, None));
        let deadline = Some(Span::from_secs(30));
        let patient = Patience::of(&Load { deadline, ..load });
        assert!(patient.retries().max_attempts() > 1000);
        assert_eq!(patient.timeouts().operation_timeout(), Some(Duration::from_secs(30)));
        assert_eq!(patient.timeouts().operation_attempt_timeout(), Some(Duration::from_secs(10)));
        assert_eq!(Patience::once(Duration::from_secs(1)).retries().max_attempts(), 1);
    }

    #[test]
    fn whoever_does_not_answer_is_told_by_address() {
        let control = Clients::new(&target("127.0.0.1:1")).unwrap();
        let control = control.control(Patience::once(Duration::from_secs(5))).unwrap();
        let asked = Asked::new("list topics", "sns:ListTopics");
        let error = control.ask(asked, control.sns.list_topics().send()).unwrap_err();
        assert!(
            matches!(&error, DriverError::Disconnected { address, .. } if address == "127.0.0.1:1"),
            "{error}"
        );
    }
}
