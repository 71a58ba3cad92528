//! Brokers that run already, as their owner describes them: a targets file, or addresses on the
//! command line.
//!
//! Like a scenario file it is read strictly, and errors point at file, line and key; unlike one it
//! is never shown: an error quotes a value only where none can be a secret. A secret is a
//! reference, `${env:NAME}`, and nothing else.

mod address;
mod flags;
mod keys;
mod logins;
mod sns;

pub use flags::targets_from_flags;

use super::{Access, SecretString, Terms, Tls};
use crate::model::{Service, Software, System};
use crate::scenario::{NOT_FOR_CLIENT, raw_settings};
use crate::yaml::{Problem, ScenarioError, YamlNode, decode, read};
use address::{SENTINEL, SOCKET, host_and_port, socket_or_server};
use keys::{KafkaKeys, RedisKeys, TargetsFile, TlsKeys, TlsMap};
use logins::{LoginPlace, Logins};
use std::collections::BTreeMap;
use std::path::Path;

/// Where each software and each service is and how it is reached.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub kafka: Option<Reach>,
    pub redis: Option<Reach>,
    pub msk: Option<Reach>,
    pub memorydb: Option<Reach>,
    /// The address of SNS, and that of SQS where it is another.
    pub sns: Option<Reach>,
    /// What the brokers of a block run on, where their owner says so.
    pub instances: BTreeMap<&'static str, String>,
}

impl Targets {
    /// Each that is there, by the name of its block.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Software, &Reach)> {
        let blocks = [
            ("kafka", Software::Kafka, &self.kafka),
            ("redis", Software::Redis, &self.redis),
            (Service::Msk.name(), Software::Kafka, &self.msk),
            (Service::Memorydb.name(), Software::Redis, &self.memorydb),
            (Service::Sns.name(), Software::Sns, &self.sns),
        ];
        blocks.into_iter().filter_map(|(name, kind, reach)| Some((name, kind, reach.as_ref()?)))
    }

    /// The block that describes a system's brokers.
    pub fn block(system: System) -> &'static str {
        match (system.service(), system.software()) {
            (Some(service), _) => service.name(),
            (None, Software::Kafka) => "kafka",
            (None, _) => "redis",
        }
    }

    /// Where a system's brokers are.
    pub fn reach(&self, system: System) -> Option<&Reach> {
        let wanted = Self::block(system);
        self.all().find_map(|(block, _, reach)| (block == wanted).then_some(reach))
    }
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

/// Reads a targets file. Files that it names are looked for beside it.
pub fn load_targets(path: &Path, around: &Around<'_>) -> Result<Targets, ScenarioError> {
    let name = path.display().to_string();
    let text = read(path)
        .map_err(|what| ScenarioError::of_source(&name, what, "give the path of a targets file"))?;
    targets_from_text(&name, &text, path.parent().unwrap_or(Path::new("")), around)
}

/// Whether a targets file holds references where secrets would be: for whoever hands it on. Files
/// and variables that it names need not be there.
pub fn check_targets(path: &Path) -> Result<String, ScenarioError> {
    let name = path.display().to_string();
    let text = read(path)
        .map_err(|what| ScenarioError::of_source(&name, what, "give the path of a targets file"))?;
    let tree = parsed(&name, &text)?;
    match keys_of(&tree) {
        Ok(_) => Ok(text),
        Err(problem) => Err(shown(problem.located(&tree), &name)),
    }
}

fn parsed(source: &str, text: &str) -> Result<YamlNode, ScenarioError> {
    YamlNode::parse(text).map_err(|cause| {
        let what = format!("not readable as YAML: {}", cause.what).into();
        // Without the text: the line could be that of a secret.
        Problem { what, ..cause }.into_error(source, "")
    })
}

/// What the file says, each key of its own type: a secret is a reference by that.
fn keys_of(tree: &YamlNode) -> Result<TargetsFile, Problem> {
    if tree.get(&["schema"]).and_then(YamlNode::scalar).as_deref() != Some("1") {
        let what = "a targets file is of version 1";
        return Err(Problem::new(["schema"], what, "start it with `schema: 1`"));
    }
    let file = decode(tree)?;
    ["kafka", "msk"].into_iter().try_for_each(|block| client_settings(block, tree))?;
    Ok(file)
}

fn client_settings(block: &str, tree: &YamlNode) -> Result<(), Problem> {
    let Some(node) = tree.get(&[block, "client"]) else { return Ok(()) };
    raw_settings(&[block, "client"], node, NOT_FOR_CLIENT).map_err(|mut problem| {
        if problem.what.contains("scenario") {
            problem.what = Box::from(
                "this setting is not for `client`: it has keys of its own here, \
                or is the harness's",
            );
            problem.remedy =
                Box::from("remove it (TLS, login and addresses are `tls`, `sasl` and `brokers`)");
        }
        problem
    })
}

/// As [`load_targets`], from text; `source` is the name for errors, `folder` where named files lie.
pub fn targets_from_text(
    source: &str,
    text: &str,
    folder: &Path,
    around: &Around<'_>,
) -> Result<Targets, ScenarioError> {
    let tree = parsed(source, text)?;
    let file = || {
        let file = keys_of(&tree)?;
        let kafka = |block: &str, keys: Option<KafkaKeys>| {
            keys.map(|keys| kafka_of(block, keys, folder, around)).transpose()
        };
        let redis = |block: &str, keys: Option<RedisKeys>| {
            keys.map(|keys| redis_of(block, keys, folder, around)).transpose()
        };
        let kafka_instance = |keys: &Option<KafkaKeys>| keys.as_ref()?.instance.clone();
        let redis_instance = |keys: &Option<RedisKeys>| keys.as_ref()?.instance.clone();
        let instances = [
            ("kafka", kafka_instance(&file.kafka)),
            ("redis", redis_instance(&file.redis)),
            (Service::Msk.name(), kafka_instance(&file.msk)),
            (Service::Memorydb.name(), redis_instance(&file.memorydb)),
        ];
        let told = |(block, of): (&'static str, Option<String>)| Some((block, of?));
        let targets = Targets {
            instances: instances.into_iter().filter_map(told).collect(),
            kafka: kafka("kafka", file.kafka)?,
            redis: redis("redis", file.redis)?,
            msk: kafka("msk", file.msk)?,
            memorydb: redis("memorydb", file.memorydb)?,
            sns: file.sns.map(|keys| sns::reach(keys, folder, around)).transpose()?,
        };
        if targets.all().next().is_none() {
            let remedy = "add `kafka:`, `redis:`, `msk:`, `memorydb:` or `sns:`";
            return Err(Problem::new::<String>([], "it names no broker", remedy));
        }
        Ok(targets)
    };
    file().map_err(|problem| shown(problem.located(&tree), source))
}

/// Values are quoted where they are no secret by their nature, and nowhere else: the key may be a
/// slip of the pen. The line around one is never shown: what else stands in it may be a secret.
fn shown(mut problem: Problem, source: &str) -> ScenarioError {
    let key = problem.key();
    let harmless = [
        "brokers",
        "sasl.mechanism",
        "sasl.iam",
        "client",
        "address",
        "sentinels",
        "primary",
        "database",
        "iam",
        "endpoints",
        "instance",
    ];
    let within = |key: &str, plain: &str| {
        key.strip_prefix(plain).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
    };
    let named = key == "schema"
        || key
            .split_once('.')
            .is_some_and(|(_, key)| harmless.iter().any(|plain| within(key, plain)));
    let quoted = problem.value.as_deref().is_none_or(|value| !value.contains('@'));
    if !(named && quoted) {
        problem.value = None;
        // What serde found instead is the value again.
        problem.what = problem.what.split(", found").next().unwrap_or_default().into();
    }
    problem.into_error(source, "")
}

fn kafka_of(
    block: &str,
    keys: KafkaKeys,
    folder: &Path,
    around: &Around<'_>,
) -> Result<Reach, Problem> {
    if keys.brokers.is_empty() {
        return Err(Problem::new(
            [block, "brokers"],
            "there is no address",
            "write `brokers: [host:port]`",
        ));
    }
    let mut addresses = Vec::new();
    for (index, broker) in keys.brokers.iter().enumerate() {
        let wrong = || {
            Problem::new(
                [block, "brokers", &index.to_string()],
                "not an address",
                "write host:port",
            )
        };
        addresses.push(host_and_port(broker, None).ok_or_else(wrong)?);
    }
    let tls = tls_of(block, keys.tls, folder)?;
    let place = LoginPlace { block, address: &addresses[0], tls: tls.is_some(), folder, around };
    let logins = keys.sasl.map_or(Ok(Logins::default()), |sasl| place.sasl(sasl))?;
    let terms = Terms {
        remote: around.remote,
        tls,
        login: logins.login,
        tokens: logins.tokens,
        client: keys.client,
        ..Terms::default()
    };
    Ok(Reach { addresses, access: terms.into(), primary: None })
}

/// Where it is, or the Sentinels that tell where it is.
fn redis_addresses(block: &str, keys: &RedisKeys) -> Result<Vec<String>, Problem> {
    let wrong = |path: &[&str], remedy| {
        let place = [block].into_iter().chain(path.iter().copied());
        Problem::new(place, "not an address", remedy)
    };
    match (&keys.address, &keys.sentinels[..]) {
        (None, []) => Err(Problem::new(
            [block],
            "it names no server",
            "add `address: host:port`, or `sentinels` and what they call it, `primary`",
        )),
        (Some(address), []) => {
            let remedy = "write host:port or unix:///path; TLS and login have their own keys";
            Ok(vec![socket_or_server(address).ok_or_else(|| wrong(&["address"], remedy))?])
        }
        (_, sentinels) => {
            let address = |(index, text): (usize, &String)| {
                let address = host_and_port(text, Some(SENTINEL));
                address.ok_or_else(|| wrong(&["sentinels", &index.to_string()], "write host:port"))
            };
            sentinels.iter().enumerate().map(address).collect()
        }
    }
}

fn redis_of(
    block: &str,
    mut keys: RedisKeys,
    folder: &Path,
    around: &Around<'_>,
) -> Result<Reach, Problem> {
    let addresses = redis_addresses(block, &keys)?;
    let tls = tls_of(block, keys.tls.take(), folder)?;
    let socket = keys.address.as_ref().is_some_and(|address| address.starts_with(SOCKET));
    if socket && tls.is_some() {
        let (what, remedy) = ("a unix socket has no TLS", "remove `tls`, or write host:port");
        return Err(Problem::new([block, "tls"], what, remedy));
    }
    let place = LoginPlace { block, address: &addresses[0], tls: tls.is_some(), folder, around };
    let logins = place.redis(&mut keys)?;
    let terms = Terms {
        remote: around.remote,
        tls,
        login: logins.login,
        tokens: logins.tokens,
        database: keys.database,
        ..Terms::default()
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
