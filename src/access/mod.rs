//! How brokers may be reached: by which addresses, over TLS or not, with which login.
//!
//! Every connection that brokerbench makes itself goes through [`Access::connect`], and librdkafka
//! is given the same settings. Invariants: without leave, no connection of ours goes beyond this
//! machine, whoever named the address (the user, a Sentinel, a broker's metadata): what a name
//! stands for is looked up once, checked, and that very address is connected to. librdkafka looks
//! up and connects by itself: all that the user and the brokers name is judged before it starts.
//! What brokers name later (in new metadata, as a group's coordinator, as another leader in the
//! answer to a fetch) it follows at once; that is judged every few seconds, by the nodes that they
//! tell then, and ends the run after the fact. TLS is always verified. A password or a token is a
//! [`SecretString`], which has no `Display` and no `Serialize` and whose `Debug` shows nothing; it
//! leaves that type only on its way to a broker, or to whoever gives tokens for it.

#[cfg(feature = "aws")]
pub mod aws;
mod dial;
#[cfg(feature = "aws")]
mod http;
mod stream;
mod targets;
mod tls;
mod token;
mod words;

pub use dial::{AccessError, is_path};
#[cfg(feature = "aws")]
pub use http::{http_client, why_not_connected};
pub use secrecy::{ExposeSecret, SecretString};
pub use stream::{AsyncStream, Stream};
pub use targets::{
    Around, Reach, Targets, check_targets, load_targets, targets_from_flags, targets_from_text,
};
pub use tls::Tls;
#[cfg(any(test, fuzzing))]
pub use token::fuzz;
pub use token::{
    HttpUrl, IamChain, OidcClient, SignedLogin, Token, TokenSource, Tokens, region_of,
};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The way to the brokers of one target. The default is that of brokers that we start: this
/// machine, in the clear.
#[derive(Clone, Debug, Default)]
pub struct Access {
    terms: Option<Arc<Terms>>,
    /// Nobody logs in.
    bare: bool,
}

/// What a target's owner says of it.
#[derive(Debug, Default)]
pub struct Terms {
    /// Whether addresses beyond this machine may be connected to.
    pub remote: bool,
    pub tls: Option<Tls>,
    pub login: Option<Login>,
    /// In the place of a login by password.
    pub tokens: Option<TokenLogin>,
    /// Of services whose every call is signed.
    #[cfg(feature = "aws")]
    pub aws: Option<aws::AwsIdentity>,
    /// Of Redis; 0 elsewhere.
    pub database: u32,
    /// Settings of librdkafka for this target.
    pub client: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Login {
    pub user: Option<String>,
    pub password: SecretString,
    pub mechanism: Mechanism,
}

/// A login by tokens that end.
#[derive(Clone, Debug)]
pub struct TokenLogin {
    /// Of Redis, whose users log in with a token as with a password.
    pub user: Option<String>,
    pub tokens: Tokens,
    /// How long a connection of Redis may go without signing in again.
    pub session: Option<Duration>,
}

/// How the password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// By saying it: SASL PLAIN, and Redis's AUTH.
    Plain,
    ScramSha256,
    ScramSha512,
}

/// As SASL calls a login by tokens (RFC 7628).
pub const OAUTHBEARER: &str = "OAUTHBEARER";

impl Mechanism {
    /// As SASL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl From<Terms> for Access {
    fn from(terms: Terms) -> Self {
        Self { terms: Some(Arc::new(terms)), bare: false }
    }
}

impl Access {
    /// Whether it leads to brokers that we started ourselves.
    pub fn is_ours(&self) -> bool {
        self.terms.is_none()
    }

    /// The same way without login and database, which those do not have who only tell where others
    /// are.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { bare: true, ..self.clone() }
    }

    pub fn remote(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.remote)
    }

    pub fn tls(&self) -> Option<&Tls> {
        self.terms.as_ref()?.tls.as_ref()
    }

    pub fn login(&self) -> Option<&Login> {
        self.terms.as_ref().filter(|_| !self.bare)?.login.as_ref()
    }

    pub fn tokens(&self) -> Option<&TokenLogin> {
        self.terms.as_ref().filter(|_| !self.bare)?.tokens.as_ref()
    }

    #[cfg(feature = "aws")]
    pub fn aws(&self) -> Option<&aws::AwsIdentity> {
        self.terms.as_ref()?.aws.as_ref()
    }

    pub fn database(&self) -> u32 {
        self.terms.as_ref().filter(|_| !self.bare).map_or(0, |terms| terms.database)
    }

    pub fn client(&self) -> impl Iterator<Item = (&String, &String)> {
        self.terms.iter().flat_map(|terms| &terms.client)
    }
}
