//! Brokers that run already, at addresses that the user gives: nothing is started here, and nothing taken away.
//!
//! Invariants: without leave, every address that a name stands for is on this machine; a password comes from the
//! environment, never from the command line, and is never shown.

use super::{Broker, Environment, EnvironmentError, probe, program};
use crate::scenario::{Software, SystemConfig};
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

const RESOLVE: Duration = Duration::from_secs(5);

/// A value that no output may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself: for the wire only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a Redis address says beside host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: u32,
}

impl Login {
    /// The address as a driver takes it, the password in plain: for `driver::Target` only, never for an output.
    pub fn reveal_url(&self, address: &str) -> String {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let userinfo = match (&self.user, &self.password) {
            (None, None) => String::new(),
            (user, password) => {
                let user = user.as_deref().map(encode).unwrap_or_default();
                format!("{user}:{}@", password.as_ref().map(|secret| encode(secret.reveal())).unwrap_or_default())
            }
        };
        format!("redis://{userinfo}{address}/{}", self.database)
    }
}

/// Addresses from the command line.
#[derive(Clone, Debug)]
pub struct External {
    kafka: Vec<String>,
    redis: Option<(String, Login)>,
    allow_remote: bool,
}

impl External {
    /// `kafka` as `HOST:PORT[,HOST:PORT…]`, `redis` as `redis://[user[:${env:NAME}]@]host[:port][/db]`.
    pub fn new(kafka: Option<&str>, redis: Option<&str>, allow_remote: bool) -> Result<Self, EnvironmentError> {
        Ok(Self {
            kafka: kafka.map(kafka_addresses).transpose()?.unwrap_or_default(),
            redis: redis.map(|url| redis_address(url, program::variable)).transpose()?,
            allow_remote,
        })
    }

    pub fn has_kafka(&self) -> bool {
        !self.kafka.is_empty()
    }

    pub fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Refuses an address that is not on this machine, unless remote ones are allowed. Also for addresses that a broker
    /// hands out itself, such as those in Kafka's metadata.
    pub fn permit(&self, address: &str) -> Result<Vec<SocketAddr>, EnvironmentError> {
        let resolved = resolve(address)?;
        let remote = resolved.iter().find(|address| !is_loopback(address.ip()));
        match remote {
            Some(remote) if !self.allow_remote => Err(EnvironmentError::Refused(format!(
                "{address} is not on this machine (it is {}): a load test can bring down what others rely on; \
                 add --allow-remote if you own it",
                remote.ip()
            ))),
            _ => Ok(resolved),
        }
    }
}

impl Environment for External {
    fn name(&self) -> &'static str {
        "external"
    }

    fn network_path(&self) -> String {
        if self.allow_remote { "external (may leave this machine)" } else { "loopback" }.to_owned()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        if let Some(key) = config.broker.keys().next() {
            return Err(EnvironmentError::Refused(format!(
                "broker: `{key}` of {} cannot be set: the broker runs already; remove it, or use --env native",
                config.system
            )));
        }
        let software = config.system.software();
        let (addresses, login, probe): (_, _, probe::Probe) = match (software, &self.redis) {
            (Software::Kafka, _) if !self.kafka.is_empty() => (self.kafka.clone(), None, Arc::new(probe::kafka)),
            (Software::Redis, Some((address, login))) => {
                (vec![address.clone()], Some(login.clone()), Arc::new(probe::redis))
            }
            (Software::Kafka, _) => {
                return Err(EnvironmentError::missing("the address of Kafka", "add --kafka HOST:PORT"));
            }
            (Software::Redis, None) => {
                return Err(EnvironmentError::missing("the address of Redis", "add --redis redis://HOST:PORT"));
            }
            (Software::Fake, _) => return Err(EnvironmentError::Refused("the fake broker is never external".into())),
        };
        let mut resolved = Vec::new();
        for address in &addresses {
            resolved.push((address.clone(), self.permit(address)?));
        }
        let mut broker = ExternalBroker { software, login, probe, resolved };
        broker.check()?;
        Ok(Box::new(broker))
    }
}

struct ExternalBroker {
    software: Software,
    login: Option<Login>,
    probe: probe::Probe,
    resolved: Vec<(String, Vec<SocketAddr>)>,
}

impl Broker for ExternalBroker {
    fn software(&self) -> Software {
        self.software
    }

    fn addresses(&self) -> Vec<String> {
        self.resolved.iter().map(|(address, _)| address.clone()).collect()
    }

    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }

    fn check(&mut self) -> Result<(), EnvironmentError> {
        for (address, resolved) in &self.resolved {
            let mut last = None;
            let answers =
                resolved.iter().any(|address| (self.probe)(*address).map_err(|error| last = Some(error)).is_ok());
            if !answers {
                let cause = last.map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
                return Err(EnvironmentError::Refused(format!(
                    "{:?} at {address} does not answer: {cause}; start it, or correct the address",
                    self.software
                )));
            }
        }
        Ok(())
    }

    fn log_tail(&self, _lines: usize) -> String {
        String::new()
    }

    fn data_dir(&self) -> Option<PathBuf> {
        None
    }

    fn started_in_ns(&self) -> Option<u64> {
        None
    }

    fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Leaves it running: it is not ours.
    fn stop(&mut self) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

fn kafka_addresses(list: &str) -> Result<Vec<String>, EnvironmentError> {
    let refuse = |part: &str| {
        EnvironmentError::Refused(format!("--kafka: `{part}` is not an address: write HOST:PORT, several with commas"))
    };
    list.split(',').map(str::trim).map(|part| host_and_port(part, None).ok_or_else(|| refuse(part))).collect()
}

/// Messages about this text show nothing before its `@`: a password may stand there.
fn redis_address(url: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<(String, Login), EnvironmentError> {
    let shown = url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("redis://***@{rest}"));
    let refuse = |why: &str| {
        EnvironmentError::Refused(format!(
            "--redis: `{shown}`: {why}; write redis://[user:${{env:NAME}}@]host:port[/db]"
        ))
    };
    if url.starts_with("rediss:") {
        return Err(refuse("TLS is not supported yet"));
    }
    let rest = url.strip_prefix("redis://").ok_or_else(|| refuse("it does not start with redis://"))?;
    let (userinfo, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
    let database = if database.is_empty() { Ok(0) } else { database.parse() };
    let database = database.map_err(|_| refuse("what follows the `/` is not the number of a database"))?;
    let address = host_and_port(host, Some(6379)).ok_or_else(|| refuse("host or port is missing or wrong"))?;
    let (user, password) = match userinfo {
        None => ("", None),
        Some(userinfo) => {
            let (user, reference) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            (user, (!reference.is_empty()).then_some(reference))
        }
    };
    let password = password
        .map(|reference| {
            let name = reference.strip_prefix("${env:").and_then(|name| name.strip_suffix('}'));
            let name = name.ok_or_else(|| {
                refuse("a password on the command line is seen by every user of the machine: put it into a variable")
            })?;
            let missing =
                || EnvironmentError::missing(format!("the variable {name} of --redis"), "set it to the password");
            lookup(name).map(Secret).ok_or_else(missing)
        })
        .transpose()?;
    Ok((address, Login { user: (!user.is_empty()).then(|| user.to_owned()), password, database }))
}

/// `host:port` in its plain form; IPv6 in brackets.
fn host_and_port(text: &str, default: Option<u16>) -> Option<String> {
    let in_brackets = text.starts_with('[') && text.ends_with(']');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !in_brackets => (host, Some(port.parse().ok()?)),
        _ => (text, default),
    };
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || (name.is_some() && ":%".contains(c));
    let plain = !name.unwrap_or(host).is_empty() && name.unwrap_or(host).chars().all(allowed);
    let port = port.filter(|port| *port > 0)?;
    plain.then(|| format!("{host}:{port}"))
}

/// Every address that a name stands for. The system's resolver knows no deadline: it gets a thread to be late on.
fn resolve(address: &str) -> Result<Vec<SocketAddr>, EnvironmentError> {
    let (sender, receiver) = mpsc::channel();
    let name = address.to_owned();
    std::thread::spawn(move || sender.send(name.to_socket_addrs().map(Iterator::collect::<Vec<_>>)));
    let refuse =
        |why: String| EnvironmentError::Refused(format!("{address} cannot be resolved: {why}; correct the address"));
    match receiver.recv_timeout(RESOLVE) {
        Ok(Ok(resolved)) if !resolved.is_empty() => Ok(resolved),
        Ok(Ok(_)) => Err(refuse("the name has no address".into())),
        Ok(Err(error)) => Err(refuse(error.to_string())),
        Err(_) => Err(refuse(format!("no answer within {} s", RESOLVE.as_secs()))),
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::System;

    const SENTINEL: &str = "s3cret-sentinel";

    fn parse(url: &str) -> Result<(String, Login), EnvironmentError> {
        redis_address(url, |name| (name == "PASSWORD").then(|| SENTINEL.to_owned()))
    }

    #[test]
    fn redis_urls() {
        let plain = Login { user: None, password: None, database: 0 };
        assert_eq!(parse("redis://localhost").unwrap(), ("localhost:6379".into(), plain.clone()));
        assert_eq!(parse("redis://[::1]:7000/").unwrap(), ("[::1]:7000".into(), plain));
        let (address, login) = parse("redis://me:${env:PASSWORD}@127.0.0.1:7000/3").unwrap();
        assert_eq!((address.as_str(), login.user.as_deref(), login.database), ("127.0.0.1:7000", Some("me"), 3));
        assert_eq!(login.password.as_ref().map(Secret::reveal), Some(SENTINEL));
        assert!(parse("redis://:${env:PASSWORD}@localhost").unwrap().1.user.is_none());
        assert!(parse("redis://:${env:ABSENT}@localhost").unwrap_err().to_string().contains("ABSENT"));
        for wrong in ["localhost:6379", "redis://", "redis://host:x", "redis://host/x", "rediss://host", "redis://a b"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let external = External {
            kafka: Vec::new(),
            redis: Some(parse("redis://me:${env:PASSWORD}@127.0.0.1:1").unwrap()),
            allow_remote: false,
        };
        assert!(!format!("{external:?}").contains(SENTINEL));
        let mut external = external;
        let error = external.start(&SystemConfig::defaults(System::RedisLists)).err().unwrap();
        assert!(!format!("{error} {error:?}").contains(SENTINEL));
        for url in [
            "redis://me:s3cret-sentinel@localhost",
            "junk://me:s3cret-sentinel@localhost",
            "redis://a:s3cret-sentinel@h:x",
        ] {
            let error = parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(SENTINEL), "{error}");
        }
    }

    #[test]
    fn the_driver_gets_a_url_that_no_password_can_break() {
        let login = Login { user: None, password: Some(Secret("a@/".into())), database: 3 };
        assert_eq!(login.reveal_url("h:1"), "redis://:%61%40%2F@h:1/3");
        let plain = Login { user: None, password: None, database: 0 };
        assert_eq!(plain.reveal_url("h:1"), "redis://h:1/0");
    }

    #[test]
    fn kafka_lists() {
        assert_eq!(kafka_addresses("a:1, b.c:2").unwrap(), ["a:1", "b.c:2"]);
        for wrong in ["", "a", "a:", "a:0", "a:1,", "PLAINTEXT://a:1", "a:99999"] {
            assert!(kafka_addresses(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_without_leave() {
        let strict = External::new(None, None, false).unwrap();
        assert!(strict.permit("127.0.0.1:1").is_ok() && strict.permit("[::ffff:127.0.0.1]:1").is_ok());
        let error = strict.permit("192.0.2.1:9092").unwrap_err().to_string();
        assert!(error.contains("--allow-remote") && error.contains("192.0.2.1"), "{error}");
        assert!(strict.permit("0.0.0.0:1").is_err());
        assert!(External::new(None, None, true).unwrap().permit("192.0.2.1:9092").is_ok());
    }

    #[test]
    fn what_is_not_given_or_does_not_answer_is_said() {
        let mut none = External::new(None, None, false).unwrap();
        let error = none.start(&SystemConfig::defaults(System::Kafka)).err().unwrap().to_string();
        assert!(error.contains("--kafka"), "{error}");
        let mut dead = External::new(Some("127.0.0.1:1"), None, false).unwrap();
        let error = dead.start(&SystemConfig::defaults(System::Kafka)).err().unwrap().to_string();
        assert!(error.contains("Kafka at 127.0.0.1:1 does not answer"), "{error}");
    }
}
