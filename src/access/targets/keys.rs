//! The keys of a targets file, as they are written; what they mean comes later. A secret is a
//! reference to an environment variable, by its type.

use super::Around;
use crate::access::SecretString;
use crate::units::Span;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TargetsFile {
    #[serde(rename = "schema")]
    pub _schema: u32,
    #[serde(default, deserialize_with = "given")]
    pub kafka: Option<KafkaKeys>,
    #[serde(default, deserialize_with = "given")]
    pub redis: Option<RedisKeys>,
    #[serde(default, deserialize_with = "given")]
    pub msk: Option<KafkaKeys>,
    #[serde(default, deserialize_with = "given")]
    pub memorydb: Option<RedisKeys>,
    #[serde(default, deserialize_with = "given")]
    pub sns: Option<SnsKeys>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KafkaKeys {
    pub brokers: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    pub tls: Option<TlsKeys>,
    #[serde(default, deserialize_with = "given")]
    pub sasl: Option<SaslKeys>,
    #[serde(default)]
    pub client: BTreeMap<String, String>,
    /// What it runs on, in the words of its owner: stands beside the figures.
    #[serde(default, deserialize_with = "given")]
    pub instance: Option<String>,
}

/// What each mechanism needs of it is said where it is read.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SaslKeys {
    pub mechanism: SaslMechanism,
    #[serde(default, deserialize_with = "given")]
    pub user: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub password: Option<Reference>,
    #[serde(default, deserialize_with = "given")]
    pub token: Option<Reference>,
    #[serde(default, deserialize_with = "given")]
    pub oidc: Option<OidcKeys>,
    #[serde(default, deserialize_with = "given")]
    pub iam: Option<IamKeys>,
}

/// As clients call it: IAM of MSK is OAUTHBEARER on the wire, with a signed request as the token.
#[derive(Clone, Copy, serde::Deserialize)]
pub enum SaslMechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    #[serde(rename = "AWS_MSK_IAM")]
    AwsMskIam,
}

/// An OpenID Connect provider, asked by client credentials.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OidcKeys {
    pub url: String,
    pub client_id: String,
    pub client_secret: Reference,
    #[serde(default, deserialize_with = "given")]
    pub scope: Option<String>,
    /// Who is trusted to be the provider, in place of the authorities of this machine.
    #[serde(default, deserialize_with = "given")]
    pub ca: Option<String>,
}

/// What AWS's usual chain of credentials does not find by itself.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IamKeys {
    #[serde(default, deserialize_with = "given")]
    pub region: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub profile: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub role: Option<String>,
    /// Of MemoryDB, where its address does not hold the name.
    #[serde(default, deserialize_with = "given")]
    pub cluster: Option<String>,
    /// Of MemoryDB: after how long it cuts a connection that has not signed in again; 12 h.
    #[serde(default, deserialize_with = "given")]
    pub session: Option<Span>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedisKeys {
    #[serde(default, deserialize_with = "given")]
    pub address: Option<String>,
    /// In place of the address: they tell where the primary is.
    #[serde(default)]
    pub sentinels: Vec<String>,
    /// What they call it.
    #[serde(default, deserialize_with = "given")]
    pub primary: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub tls: Option<TlsKeys>,
    #[serde(default, deserialize_with = "given")]
    pub user: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub password: Option<Reference>,
    /// Of MemoryDB.
    #[serde(default, deserialize_with = "given")]
    pub iam: Option<IamKeys>,
    #[serde(default)]
    pub database: u32,
    /// As that of Kafka.
    #[serde(default, deserialize_with = "given")]
    pub instance: Option<String>,
}

/// SNS and SQS: one region, and whose credentials sign.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "read to be refused"))]
pub struct SnsKeys {
    pub iam: IamKeys,
    /// Who is trusted to be these endpoints, in place of the authorities of this machine.
    #[serde(default, deserialize_with = "given")]
    pub tls: Option<TlsKeys>,
    /// In place of AWS's own: `http(s)://host:port` of SNS and, where it differs, of SQS.
    #[serde(default)]
    pub endpoints: Vec<String>,
}

/// `tls: true`, or a map of these.
#[derive(Default)]
pub struct TlsKeys(pub Option<TlsMap>);

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsMap {
    #[serde(default, deserialize_with = "given")]
    pub ca: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub certificate: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub key: Option<String>,
}

/// A key that is there must say something: `tls:` with nothing behind it must
/// not come to mean "no TLS".
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for TlsKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = TlsKeys;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or a map of `ca`, `certificate`, `key`")
            }
            fn visit_bool<E>(self, on: bool) -> Result<TlsKeys, E> {
                Ok(TlsKeys(on.then(TlsMap::default)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsKeys, A::Error> {
                TlsMap::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|keys| TlsKeys(Some(keys)))
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

/// The name of an environment variable, written `${env:NAME}`.
pub struct Reference(String);

pub const NO_REFERENCE: &str =
    "a secret does not stand in a file or on a command line, where others read it";
pub const REFERENCE: &str = "put it into an environment variable and write ${env:NAME}";

impl Reference {
    pub fn of(text: &str) -> Option<Self> {
        let name = text.strip_prefix("${env:")?.strip_suffix('}')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then(|| Self(name.to_owned()))
    }

    pub fn resolve(&self, around: &Around<'_>) -> Result<SecretString, String> {
        let value = (around.variable)(&self.0);
        value
            .map(SecretString::from)
            .ok_or_else(|| format!("the environment variable {} is not set", self.0))
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::of(&text).ok_or_else(|| de::Error::custom(format!("{NO_REFERENCE}: {REFERENCE}")))
    }
}
