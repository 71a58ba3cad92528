//! AWS: credentials of the usual chain, and requests that are signed with them as logins. With the
//! feature `aws` only.
//!
//! A token dies with the credentials that signed it: its end is never told later than theirs.

use super::SecretString;
use super::token::{IamChain, SignedLogin, Token, TokenSource, encoded, is_plain};
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

/// How long a signed login counts: the longest that both services take.
const LIFE: Duration = Duration::from_secs(900);
/// For the chain to find credentials: some of its links ask over a network.
const PATIENCE: Duration = Duration::from_secs(20);

const NO_CREDENTIALS: &str = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
    give this machine a role; `aws sts get-caller-identity` shows whether AWS knows you";

/// Signs logins.
#[derive(Debug)]
pub struct Presigner {
    pub chain: IamChain,
    pub login: SignedLogin,
}

impl TokenSource for Presigner {
    fn fetch(&self) -> Result<Token, String> {
        // Whoever asks may be driving a runtime, in which no other can be started.
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| self.fetch_here()).join();
            asked.unwrap_or_else(|_| Err("AWS's client library failed".into()))
        })
    }

    fn reasons(&self) -> String {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
        let region = self.chain.region.as_deref().unwrap_or("that of AWS's chain");
        let (right, whom) = match &self.login {
            SignedLogin::Msk => ("kafka-cluster:Connect", "the cluster"),
            SignedLogin::Memorydb { .. } => {
                ("memorydb:Connect", "the cluster and the user, of authentication type `iam`")
            }
        };
        format!(
            "AWS does not say why: the policy does not allow `{right}` on {whom}; the access key \
             is not active or its secret wrong; the credentials are over; the region is not \
             {region}; or this machine's clock, at which it is {now}, is off by five minutes \
             (docs/aws.md has the policy)"
        )
    }
}

impl Presigner {
    fn fetch_here(&self) -> Result<Token, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("starting tokio: {error}"))?;
        let found = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, credentials(&self.chain)).await });
        // Who is looked up meanwhile knows no deadline, and would be waited for.
        runtime.shutdown_background();
        let seconds = PATIENCE.as_secs();
        let (credentials, region) = found
            .map_err(|_| format!("no credentials of AWS within {seconds} s; {NO_CREDENTIALS}"))??;
        self.token(credentials, &region, SystemTime::now())
    }

    fn token(
        &self,
        credentials: Credentials,
        region: &str,
        now: SystemTime,
    ) -> Result<Token, String> {
        if !is_plain(region) {
            return Err("what AWS's chain names is no region; write `iam: {region: …}`".into());
        }
        let end = credentials.expiry().unwrap_or(now + LIFE);
        if end <= now {
            return Err("the credentials of AWS are over; renew them, as by `aws sso login`".into());
        }
        let until = end.min(now + LIFE);
        let value = match &self.login {
            SignedLogin::Msk => {
                let domain = if region.starts_with("cn-") { ".cn" } else { "" };
                let url = format!(
                    "https://kafka.{region}.amazonaws.com{domain}/?Action=kafka-cluster%3AConnect"
                );
                let signed = presigned(credentials, region, "kafka-cluster", &url, now)?;
                // As every signer of AWS does, after the signature.
                URL_SAFE_NO_PAD.encode(format!("{signed}&User-Agent=brokerbench"))
            }
            SignedLogin::Memorydb { cluster, user } => {
                let user = encoded(user);
                let url = format!("http://{cluster}/?Action=connect&User={user}");
                let signed = presigned(credentials, region, "memorydb", &url, now)?;
                signed.trim_start_matches("http://").to_owned()
            }
        };
        let value = SecretString::from(value);
        Ok(Token { value, until, principal: "brokerbench".into() })
    }
}

/// Who signs each call of a service, and for which region.
#[derive(Clone)]
pub struct AwsIdentity {
    pub region: String,
    pub credentials: SharedCredentialsProvider,
    /// One for all clients: else each would ask the chain anew.
    pub cache: SharedIdentityCache,
}

impl AwsIdentity {
    /// Nothing is asked before the first call.
    pub fn of(chain: IamChain, region: String) -> Self {
        let chain = LazyChain(IamChain { region: Some(region.clone()), ..chain });
        Self::new(region, SharedCredentialsProvider::new(chain))
    }

    pub fn new(region: String, credentials: SharedCredentialsProvider) -> Self {
        let cache = IdentityCache::lazy().load_timeout(PATIENCE).build();
        Self { region, credentials, cache }
    }
}

impl fmt::Debug for AwsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AwsIdentity").field(&self.region).finish()
    }
}

/// The chain, asked anew whenever the one who signs needs credentials.
#[derive(Debug)]
struct LazyChain(IamChain);

impl ProvideCredentials for LazyChain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let found = credentials(&self.0).await;
            found.map(|(credentials, _)| credentials).map_err(CredentialsError::provider_error)
        })
    }
}

/// What AWS's clients of this process are set to: this chain's region, profile and credentials, and
/// TLS by the library that all of us have.
pub async fn sdk_config(chain: &IamChain) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(profile) = &chain.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &chain.region {
        loader = loader.region(Region::new(region.clone()));
    }
    loader.load().await
}

/// Credentials of the chain, or of the role that they are to assume, and the region.
async fn credentials(chain: &IamChain) -> Result<(Credentials, String), String> {
    let config = sdk_config(chain).await;
    let region = config.region().map(ToString::to_string);
    let region = region.ok_or("no region is known; write `iam: {region: …}`, or set AWS_REGION")?;
    let found = match &chain.role {
        None => {
            let chain = config.credentials_provider().ok_or(NO_CREDENTIALS)?;
            chain.provide_credentials().await
        }
        Some(role) => {
            let role = AssumeRoleProvider::builder(role.as_str());
            let role = role.configure(&config).session_name("brokerbench").build().await;
            role.provide_credentials().await
        }
    };
    let none = |why: &str| format!("no credentials of AWS ({why}); {NO_CREDENTIALS}");
    Ok((found.map_err(|error| none(&words(&error)))?, region))
}

/// A GET of `url`, signed in its query.
fn presigned(
    credentials: Credentials,
    region: &str,
    service: &str,
    url: &str,
    now: SystemTime,
) -> Result<String, String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFE);
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| words(&error))?
        .into();
    let empty = SignableBody::Bytes(&[]);
    let request = SignableRequest::new("GET", url, std::iter::empty(), empty)
        .map_err(|error| words(&error))?;
    let signed = sign(request, &params).map_err(|error| words(&error))?;
    let (_, query) = signed.into_parts().0.into_parts();
    let query = query.iter().map(|(name, value)| format!("&{name}={}", encoded(value)));
    Ok(format!("{url}{}", query.collect::<String>()))
}

/// An error with its causes, in one line of bounded length.
fn words(error: &dyn Error) -> String {
    let (mut all, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        all += &format!(": {cause}");
        next = cause.source();
    }
    all.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::ExposeSecret;
    use ring::{digest, hmac};

    const NOW: u64 = 1_796_000_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn keys(session: Option<&str>, end: Option<SystemTime>) -> Credentials {
        Credentials::new("AKIDTEST", "s3cret/key", session.map(str::to_owned), end, "test")
    }

    fn token(login: SignedLogin, keys: Credentials) -> Result<Token, String> {
        let chain = IamChain::default();
        Presigner { chain, login }.token(keys, "eu-central-1", at(NOW))
    }

    /// The signature of a presigned URL, recomputed as the documentation of SigV4 says.
    fn recomputed(url: &str, secret: &str, service: &str) -> (String, String) {
        let (host, query) = url.split_once("/?").unwrap();
        let host = host.trim_start_matches("https://");
        let mut pairs: Vec<&str> = query.split('&').collect();
        let signature = pairs.iter().find_map(|pair| pair.strip_prefix("X-Amz-Signature="));
        let signature = signature.unwrap().to_owned();
        pairs.retain(|pair| !pair.starts_with("X-Amz-Signature=") && !pair.starts_with("User-"));
        pairs.sort_unstable();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let sha = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        let request = format!("GET\n/\n{}\nhost:{host}\n\nhost\n{}", pairs.join("&"), sha(""));
        let date = pairs.iter().find_map(|pair| pair.strip_prefix("X-Amz-Date=")).unwrap();
        let scope = format!("{}/eu-central-1/{service}/aws4_request", &date[..8]);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha(&request));
        let sign = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        };
        let mut key = sign(format!("AWS4{secret}").as_bytes(), &date[..8]);
        for part in ["eu-central-1", service, "aws4_request"] {
            key = sign(key.as_ref(), part);
        }
        (signature, hex(sign(key.as_ref(), &text).as_ref()))
    }

    #[test]
    fn a_token_for_msk_is_a_signed_request_to_connect() {
        for session in [None, Some("session/token+=")] {
            let token = token(SignedLogin::Msk, keys(session, None)).unwrap();
            assert_eq!(token.until, at(NOW + 900));
            let url = URL_SAFE_NO_PAD.decode(token.value.expose_secret()).unwrap();
            let url = String::from_utf8(url).unwrap();
            let host = "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&";
            assert!(url.starts_with(host) && url.contains("&X-Amz-Expires=900&"), "{url}");
            assert!(url.ends_with("&User-Agent=brokerbench"), "{url}");
            let kept = url.contains("X-Amz-Security-Token=session%2Ftoken%2B%3D");
            assert_eq!(kept, session.is_some());
            let (told, right) = recomputed(&url, "s3cret/key", "kafka-cluster");
            assert_eq!(told, right);
            assert_ne!(told, recomputed(&url, "another", "kafka-cluster").1);
            assert!(!url.contains("s3cret"));
        }
    }

    #[test]
    fn a_token_for_memorydb_names_cluster_and_user() {
        let login = SignedLogin::Memorydb { cluster: "demo".into(), user: "bench".into() };
        let token = token(login, keys(None, None)).unwrap();
        let url = token.value.expose_secret();
        assert!(url.starts_with("demo/?Action=connect&User=bench&X-Amz-Algorithm="), "{url}");
        let (told, right) = recomputed(url, "s3cret/key", "memorydb");
        assert_eq!(told, right);
    }

    #[test]
    fn it_ends_with_the_credentials_that_signed_it() {
        let soon = keys(Some("session"), Some(at(NOW + 60)));
        assert_eq!(token(SignedLogin::Msk, soon).unwrap().until, at(NOW + 60));
        let late = keys(Some("session"), Some(at(NOW + 36_000)));
        assert_eq!(token(SignedLogin::Msk, late).unwrap().until, at(NOW + 900));
        let over = token(SignedLogin::Msk, keys(None, Some(at(NOW)))).unwrap_err();
        assert!(over.contains("are over"), "{over}");
    }

    #[test]
    fn what_is_no_region_is_not_signed_for() {
        let presigner = Presigner { chain: IamChain::default(), login: SignedLogin::Msk };
        for region in ["", "evil.test/?", "EU", "eu-central-1\n"] {
            let refused = presigner.token(keys(None, None), region, at(NOW)).unwrap_err();
            assert!(refused.contains("no region"), "{region}: {refused}");
        }
    }

    #[test]
    fn what_is_refused_without_a_reason_gets_all_of_them() {
        let chain = IamChain { region: Some("eu-central-1".into()), ..IamChain::default() };
        let reasons = Presigner { chain, login: SignedLogin::Msk }.reasons();
        for word in ["kafka-cluster:Connect", "eu-central-1", "clock", "secret", "docs/aws.md"] {
            assert!(reasons.contains(word), "{word}: {reasons}");
        }
    }
}
