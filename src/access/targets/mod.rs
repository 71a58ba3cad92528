//! Brokers that run already, as their owner describes them: a targets file, or addresses on the
//! command line.
//!
//! Like a scenario file it is read strictly, and errors point at file, line and key; unlike one it
//! is never shown: an error quotes a value only where none can be a secret. A secret is a
//! reference, `${env:NAME}`, and nothing else.

mod address;
mod flags;

pub use flags::targets_from_flags;

use super::{Access, Login, Mechanism, SecretString, Terms, Tls};
use crate::scenario::{NOT_FOR_CLIENT, raw_settings};
use crate::yaml::{Problem, ScenarioError, YamlNode, decode, read};
use address::{SENTINEL, SOCKET, host_and_port, socket_or_server};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Where each software is and how it is reached.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub kafka: Option<Reach>,
    pub redis: Option<Reach>,
}

#[derive(Clone, Debug)]
pub struct Reach {
    /// `host:port` of each; of Redis also the path of a socket.
    pub addresses: Vec<String>,
    pub access: Access,
    /// The addresses are those of Sentinels, which call what they watch so; `None` where nobody
    /// said so, and they may be all the same.
    pub primary: Option<String>,
}

/// What a run may do and what it is told beside the file.
pub struct Around<'a> {
    /// `--allow-remote`.
    pub remote: bool,
    /// The environment variable of that name, unless it is unset or empty.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TargetsFile {
    #[serde(rename = "schema")]
    _schema: u32,
    #[serde(default, deserialize_with = "given")]
    kafka: Option<KafkaKeys>,
    #[serde(default, deserialize_with = "given")]
    redis: Option<RedisKeys>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KafkaKeys {
    brokers: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    tls: Option<TlsKeys>,
    #[serde(default, deserialize_with = "given")]
    sasl: Option<SaslKeys>,
    #[serde(default)]
    client: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SaslKeys {
    mechanism: Mechanism,
    user: String,
    password: Reference,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RedisKeys {
    #[serde(default, deserialize_with = "given")]
    address: Option<String>,
    /// In place of the address: they tell where the primary is.
    #[serde(default)]
    sentinels: Vec<String>,
    /// What they call it.
    #[serde(default, deserialize_with = "given")]
    primary: Option<String>,
    #[serde(default, deserialize_with = "given")]
    tls: Option<TlsKeys>,
    #[serde(default, deserialize_with = "given")]
    user: Option<String>,
    #[serde(default, deserialize_with = "given")]
    password: Option<Reference>,
    #[serde(default)]
    database: u32,
}

/// `tls: true`, or a map of these.
#[derive(Default)]
struct TlsKeys(Option<TlsMap>);

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TlsMap {
    #[serde(default, deserialize_with = "given")]
    ca: Option<String>,
    #[serde(default, deserialize_with = "given")]
    certificate: Option<String>,
    #[serde(default, deserialize_with = "given")]
    key: Option<String>,
}

/// A key that is there must say something: `tls:` with nothing behind it must
/// not come to mean "no TLS".
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
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
struct Reference(String);

const NO_REFERENCE: &str =
    "a secret does not stand in a file or on a command line, where others read it";
const REFERENCE: &str = "put it into an environment variable and write ${env:NAME}";

impl Reference {
    fn of(text: &str) -> Option<Self> {
        let name = text.strip_prefix("${env:")?.strip_suffix('}')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then(|| Self(name.to_owned()))
    }

    fn resolve(&self, around: &Around<'_>) -> Result<SecretString, String> {
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

/// Reads a targets file. Files that it names are looked for beside it.
pub fn load_targets(path: &Path, around: &Around<'_>) -> Result<Targets, ScenarioError> {
    let name = path.display().to_string();
    let text = read(path)
        .map_err(|what| ScenarioError::of_source(&name, what, "give the path of a targets file"))?;
    targets_from_text(&name, &text, path.parent().unwrap_or(Path::new("")), around)
}

/// As [`load_targets`], from text; `source` is the name for errors, `folder` where named files lie.
pub fn targets_from_text(
    source: &str,
    text: &str,
    folder: &Path,
    around: &Around<'_>,
) -> Result<Targets, ScenarioError> {
    let tree = YamlNode::parse(text).map_err(|cause| {
        let what = format!("not readable as YAML: {}", cause.what).into();
        // Without the text: the line could be that of a secret.
        Problem { what, ..cause }.into_error(source, "")
    })?;
    let file = || {
        match tree.get(&["schema"]).and_then(YamlNode::scalar).as_deref() {
            Some("1") => {}
            _ => {
                return Err(Problem::new(
                    ["schema"],
                    "a targets file is of version 1",
                    "start it with `schema: 1`",
                ));
            }
        }
        let file: TargetsFile = decode(&tree)?;
        let kafka = file.kafka.map(|keys| kafka_of(keys, &tree, folder, around)).transpose()?;
        let redis = file.redis.map(|keys| redis_of(keys, folder, around)).transpose()?;
        if kafka.is_none() && redis.is_none() {
            return Err(Problem::new::<String>(
                [],
                "it names no broker",
                "add `kafka:` or `redis:`",
            ));
        }
        Ok(Targets { kafka, redis })
    };
    file().map_err(|problem| shown(problem.located(&tree), source))
}

/// Values are quoted where they are no secret by their nature, and nowhere else: the key may be a
/// slip of the pen. The line around one is never shown: what else stands in it may be a secret.
fn shown(mut problem: Problem, source: &str) -> ScenarioError {
    let key = problem.key();
    let harmless = [
        "schema",
        "kafka.brokers",
        "kafka.sasl.mechanism",
        "kafka.client",
        "redis.address",
        "redis.sentinels",
        "redis.primary",
        "redis.database",
    ];
    let named = |plain: &str| {
        key == plain || key.strip_prefix(plain).is_some_and(|rest| rest.starts_with(['[', '.']))
    };
    let quoted = problem.value.as_deref().is_none_or(|value| !value.contains('@'));
    if !(harmless.iter().any(|plain| named(plain)) && quoted) {
        problem.value = None;
        // What serde found instead is the value again.
        problem.what = problem.what.split(", found").next().unwrap_or_default().into();
    }
    problem.into_error(source, "")
}

fn kafka_of(
    keys: KafkaKeys,
    tree: &YamlNode,
    folder: &Path,
    around: &Around<'_>,
) -> Result<Reach, Problem> {
    if keys.brokers.is_empty() {
        return Err(Problem::new(
            ["kafka", "brokers"],
            "there is no address",
            "write `brokers: [host:port]`",
        ));
    }
    let mut addresses = Vec::new();
    for (index, broker) in keys.brokers.iter().enumerate() {
        let wrong = || {
            Problem::new(
                ["kafka", "brokers", &index.to_string()],
                "not an address",
                "write host:port",
            )
        };
        addresses.push(host_and_port(broker, None).ok_or_else(wrong)?);
    }
    if let Some(node) = tree.get(&["kafka", "client"]) {
        raw_settings(&["kafka", "client"], node, NOT_FOR_CLIENT).map_err(|mut problem| {
            if problem.what.contains("scenario") {
                problem.what = Box::from(
                    "this setting is not for `client`: it has keys of its own here, \
                    or is the harness's",
                );
                problem.remedy = Box::from(
                    "remove it (TLS, login and addresses are `tls`, `sasl` and `brokers`)",
                );
            }
            problem
        })?;
    }
    let login = keys.sasl.map(|sasl| {
        let password = sasl.password.resolve(around);
        let password =
            password.map_err(|what| Problem::new(["kafka", "sasl", "password"], what, SET_IT))?;
        if sasl.user.is_empty() {
            return Err(Problem::new(
                ["kafka", "sasl", "user"],
                "it is empty",
                "write the name to log in with",
            ));
        }
        Ok(Login { user: Some(sasl.user), password, mechanism: sasl.mechanism })
    });
    let terms = Terms {
        remote: around.remote,
        tls: tls_of("kafka", keys.tls, folder)?,
        login: login.transpose()?,
        database: 0,
        client: keys.client,
    };
    Ok(Reach { addresses, access: terms.into(), primary: None })
}

/// Where it is, or the Sentinels that tell where it is.
fn redis_addresses(keys: &RedisKeys) -> Result<Vec<String>, Problem> {
    let wrong = |place: Vec<String>, remedy| Problem::new(place, "not an address", remedy);
    let named = |path: &[&str]| path.iter().map(|part| (*part).to_owned()).collect();
    match (&keys.address, &keys.sentinels[..]) {
        (None, []) => Err(Problem::new(
            ["redis"],
            "it names no server",
            "add `address: host:port`, or `sentinels` and what they call it, `primary`",
        )),
        (Some(address), []) => {
            let remedy = "write host:port or unix:///path; TLS and login have their own keys";
            let address = socket_or_server(address);
            Ok(vec![address.ok_or_else(|| wrong(named(&["redis", "address"]), remedy))?])
        }
        (_, sentinels) => {
            let address = |(index, text): (usize, &String)| {
                let place = named(&["redis", "sentinels", &index.to_string()]);
                host_and_port(text, Some(SENTINEL)).ok_or_else(|| wrong(place, "write host:port"))
            };
            sentinels.iter().enumerate().map(address).collect()
        }
    }
}

fn redis_of(keys: RedisKeys, folder: &Path, around: &Around<'_>) -> Result<Reach, Problem> {
    let addresses = redis_addresses(&keys)?;
    let tls = tls_of("redis", keys.tls, folder)?;
    let socket = keys.address.as_ref().is_some_and(|address| address.starts_with(SOCKET));
    if socket && tls.is_some() {
        let (what, remedy) = ("a unix socket has no TLS", "remove `tls`, or write host:port");
        return Err(Problem::new(["redis", "tls"], what, remedy));
    }
    let login = match (keys.user, keys.password) {
        (None, None) => None,
        (Some(_), None) => {
            return Err(Problem::new(
                ["redis", "user"],
                "there is no `password` beside it",
                REFERENCE,
            ));
        }
        (user, Some(reference)) => {
            let password = reference.resolve(around);
            let password =
                password.map_err(|what| Problem::new(["redis", "password"], what, SET_IT))?;
            Some(Login { user, password, mechanism: Mechanism::Plain })
        }
    };
    let terms = Terms {
        remote: around.remote,
        tls,
        login,
        database: keys.database,
        client: BTreeMap::new(),
    };
    Ok(Reach { addresses, access: terms.into(), primary: keys.primary })
}

const SET_IT: &str = "set it to the password in the environment of brokerbench";

fn tls_of(target: &str, keys: Option<TlsKeys>, folder: &Path) -> Result<Option<Tls>, Problem> {
    let Some(TlsKeys(Some(TlsMap { ca, certificate, key }))) = keys else { return Ok(None) };
    let at = |key: &str, what: String| Problem::new([target, "tls", key], what, "");
    let file = |name: &str, path: Option<String>| {
        let read = |path: String| {
            read(&folder.join(&path)).map_err(|what| at(name, format!("{path}: {what}")))
        };
        path.map(read).transpose()
    };
    let ca = file("ca", ca)?;
    let identity = match (file("certificate", certificate)?, file("key", key)?) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, SecretString::from(key))),
        (Some(_), None) => {
            return Err(at("certificate", "there is no `key` beside it: name its file".into()));
        }
        (None, Some(_)) => {
            return Err(at("key", "there is no `certificate` beside it: name its file".into()));
        }
    };
    Tls::new(ca, identity).map(Some).map_err(|error| at(error.part, error.what))
}

#[cfg(test)]
mod tests;
