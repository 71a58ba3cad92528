//! Brokers that run already, as their owner describes them: a targets file, or addresses on the
//! command line.
//!
//! Like a scenario file it is read strictly, and errors point at file, line and key; unlike one it
//! is never shown: an error quotes a value only where none can be a secret. A secret is a
//! reference, `${env:NAME}`, and nothing else.

mod keys;
mod logins;
mod sns;

use super::{Access, Login, Mechanism, SecretString, Terms, Tls};
use crate::model::{Service, Software, System};
use crate::scenario::{NOT_FOR_CLIENT, raw_settings};
use crate::yaml::{Problem, ScenarioError, YamlNode, decode, read};
use keys::{
    KafkaKeys, NO_REFERENCE, REFERENCE, RedisKeys, Reference, TargetsFile, TlsKeys, TlsMap,
};
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
    /// `host:port` of each.
    pub addresses: Vec<String>,
    pub access: Access,
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
        let kafka = |block: &str, keys: Option<KafkaKeys>| {
            keys.map(|keys| kafka_of(block, keys, &tree, folder, around)).transpose()
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
        match targets.all().next() {
            Some(_) => Ok(targets),
            None => {
                let remedy = "add `kafka:`, `redis:`, `msk:`, `memorydb:` or `sns:`";
                Err(Problem::new::<String>([], "it names no broker", remedy))
            }
        }
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
    tree: &YamlNode,
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
    if let Some(node) = tree.get(&[block, "client"]) {
        raw_settings(&[block, "client"], node, NOT_FOR_CLIENT).map_err(|mut problem| {
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
    Ok(Reach { addresses, access: terms.into() })
}

fn redis_of(
    block: &str,
    mut keys: RedisKeys,
    folder: &Path,
    around: &Around<'_>,
) -> Result<Reach, Problem> {
    let wrong = || {
        Problem::new(
            [block, "address"],
            "not an address",
            "write host:port; TLS and login have their own keys",
        )
    };
    let address = host_and_port(&keys.address, Some(6379)).ok_or_else(wrong)?;
    let tls = tls_of(block, keys.tls.take(), folder)?;
    let place = LoginPlace { block, address: &address, tls: tls.is_some(), folder, around };
    let logins = place.redis(&mut keys)?;
    let terms = Terms {
        remote: around.remote,
        tls,
        login: logins.login,
        tokens: logins.tokens,
        database: keys.database,
        ..Terms::default()
    };
    Ok(Reach { addresses: vec![address], access: terms.into() })
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

/// From the command line: `kafka` as `HOST:PORT[,HOST:PORT…]`, `redis` as
/// `redis[s]://[user[:${env:NAME}]@]host[:port][/db]`.
pub fn targets_from_flags(
    kafka: Option<&str>,
    redis: Option<&str>,
    around: &Around<'_>,
) -> Result<Targets, ScenarioError> {
    let kafka = kafka.map(|list| kafka_list(list, around)).transpose()?;
    let redis = redis.map(|url| redis_url(url, around)).transpose()?;
    Ok(Targets { kafka, redis, ..Targets::default() })
}

fn kafka_list(list: &str, around: &Around<'_>) -> Result<Reach, ScenarioError> {
    let refuse = |part: &str| {
        let what = if part.contains('@') {
            "not an address".into()
        } else {
            format!("`{part}` is not an address")
        };
        ScenarioError::of_source(
            "--kafka",
            what,
            "write HOST:PORT, several with commas; TLS and login need --targets",
        )
    };
    let parts = list.split(',').map(str::trim);
    let addresses: Result<_, _> =
        parts.map(|part| host_and_port(part, None).ok_or_else(|| refuse(part))).collect();
    Ok(Reach {
        addresses: addresses?,
        access: Terms { remote: around.remote, ..Terms::default() }.into(),
    })
}

/// Messages about this text show nothing before its `@`: a password may stand there.
fn redis_url(url: &str, around: &Around<'_>) -> Result<Reach, ScenarioError> {
    let shown =
        url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("***@{rest}"));
    let refuse = |why: &str| {
        let remedy = "write redis://[user:${env:NAME}@]host:port[/db], or rediss:// for TLS";
        ScenarioError::of_source("--redis", format!("`{shown}`: {why}"), remedy)
    };
    let (tls, rest) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(refuse("it begins with neither redis:// nor rediss://")),
    };
    let (userinfo, rest) =
        rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
    let database = if database.is_empty() { Ok(0) } else { database.parse() };
    let database =
        database.map_err(|_| refuse("what follows the `/` is not the number of a database"))?;
    let address = host_and_port(host, Some(6379))
        .ok_or_else(|| refuse("host or port is missing or wrong"))?;
    let login = match userinfo {
        None => None,
        Some(userinfo) => {
            let (user, reference) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            let reference = Reference::of(reference).ok_or_else(|| {
                refuse(&format!(
                    "the password is missing or no reference: {NO_REFERENCE}; {REFERENCE}"
                ))
            })?;
            let password = reference
                .resolve(around)
                .map_err(|what| ScenarioError::of_source("--redis", what, SET_IT))?;
            let user = (!user.is_empty()).then(|| user.to_owned());
            Some(Login { user, password, mechanism: Mechanism::Plain })
        }
    };
    let tls = tls
        .then(|| Tls::new(None, None))
        .transpose()
        .map_err(|error| refuse(&error.to_string()))?;
    let terms = Terms { remote: around.remote, tls, login, database, ..Terms::default() };
    Ok(Reach { addresses: vec![address], access: terms.into() })
}

/// `host:port` in its plain form; IPv6 in brackets.
fn host_and_port(text: &str, default: Option<u16>) -> Option<String> {
    let in_brackets = text.starts_with('[') && text.ends_with(']');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !in_brackets => (host, Some(port.parse().ok()?)),
        _ => (text, default),
    };
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || "-._".contains(c) || (name.is_some() && ":%".contains(c))
    };
    let plain = !name.unwrap_or(host).is_empty() && name.unwrap_or(host).chars().all(allowed);
    let port = port.filter(|port| *port > 0)?;
    plain.then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests;
