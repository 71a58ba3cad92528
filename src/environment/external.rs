//! Brokers that run already, at addresses that the user gives: nothing is started here, and nothing taken away.
//!
//! Before any client of the load connects, every address is asked once by a connection of ours, with the TLS and the login
//! of its target: those of the user, and those that the brokers themselves send clients to. What is wrong with an address,
//! a certificate or a password so ends in words and at once, not in a client library's retries. [`Access`] judges each
//! address and keeps the secrets.

use super::{Broker, Environment, EnvironmentError};
use crate::access::Access;
use crate::driver::{self, Paths};
use crate::scenario::{Reach, Software, SystemConfig, Targets};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often brokers are asked again while they are loaded: a handshake and a login cost them something.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct External {
    targets: Targets,
    /// Settings that a scenario asks for and that nobody here can give.
    unset: BTreeSet<String>,
}

impl External {
    pub fn new(targets: Targets) -> Self {
        Self { targets, unset: BTreeSet::new() }
    }

    pub fn has(&self, software: Software) -> bool {
        self.reach(software).is_ok()
    }

    /// Asks every broker whether it answers and lets us in.
    pub fn ask(&self, software: Software) -> Result<Answered, EnvironmentError> {
        ExternalBroker { software, reach: self.reach(software)?, answered: Instant::now() }.ask_all()
    }

    fn reach(&self, software: Software) -> Result<Reach, EnvironmentError> {
        let (reach, what, remedy) = match software {
            Software::Kafka => (&self.targets.kafka, "the address of Kafka", "add --kafka HOST:PORT"),
            Software::Redis => (&self.targets.redis, "the address of Redis", "add --redis redis://HOST:PORT"),
            Software::Fake => return Err(EnvironmentError::Refused("the fake broker is never external".into())),
        };
        let missing = || EnvironmentError::missing(what, format!("{remedy}, or describe it in a file for --targets"));
        reach.clone().ok_or_else(missing)
    }

    fn any(&self, is: impl Fn(&Access) -> bool) -> bool {
        [&self.targets.kafka, &self.targets.redis].into_iter().flatten().any(|reach| is(&reach.access))
    }
}

impl Environment for External {
    fn name(&self) -> &'static str {
        "external"
    }

    fn network_path(&self) -> String {
        if self.any(Access::remote) { "external (may leave this machine)" } else { "loopback" }.to_owned()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        let software = config.system.software();
        let broker = ExternalBroker { software, reach: self.reach(software)?, answered: Instant::now() };
        broker.ask_all()?;
        let system = config.system;
        self.unset.extend(config.broker.iter().map(|(key, value)| format!("{key}={value} for {system}")));
        Ok(Box::new(broker))
    }

    fn warnings(&self) -> Vec<String> {
        let floor = "brokers are reached over TLS: the instrument floor was measured without, so it leaves out what our \
                     side of the encryption costs";
        let mut warnings = Vec::new();
        if self.any(|access| access.tls().is_some()) {
            warnings.push(floor.into());
        }
        if !self.unset.is_empty() {
            let unset = self.unset.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            warnings.push(format!(
                "the brokers ran already and were measured at their own settings; what the scenario asks for was not \
                 set: {unset} (what they tell of theirs stands in the results)"
            ));
        }
        warnings
    }
}

/// Brokers that answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// `host:port` of each, as the user names them.
    pub addresses: Vec<String>,
    /// How many addresses they send clients to, all of which answered too; 0 where they send them nowhere.
    pub nodes: usize,
}

struct ExternalBroker {
    software: Software,
    reach: Reach,
    answered: Instant,
}

impl ExternalBroker {
    /// The addresses that the one at `address` sends clients to.
    fn knock(&self, address: &str) -> Result<Vec<String>, EnvironmentError> {
        driver::knock(self.software, address, &self.reach.access).map_err(|cause| {
            // The system's own words know no remedy.
            let bare = cause.contains("os error") || cause.contains("timed out");
            let remedy = if bare { "; start it, or correct the address" } else { "" };
            EnvironmentError::Refused(format!("{:?} at {address} cannot be used: {cause}{remedy}", self.software))
        })
    }

    /// Every address of the user's answers and lets us in, and so does every one that clients are sent to from there.
    fn ask_all(&self) -> Result<Answered, EnvironmentError> {
        let mut nodes = BTreeSet::new();
        for address in &self.reach.addresses {
            for told in self.knock(address)? {
                if !nodes.contains(&told) && !self.reach.addresses.contains(&told) {
                    driver::knock(self.software, &told, &self.reach.access).map_err(|cause| {
                        EnvironmentError::refused(
                            format!(
                                "{:?} at {address} answers, but sends clients to {told}, which cannot be used from \
                                 here: {cause}",
                                self.software
                            ),
                            "set its `advertised.listeners` to an address that this machine reaches, or make that \
                             name known here",
                        )
                    })?;
                }
                nodes.insert(told);
            }
        }
        Ok(Answered { addresses: self.reach.addresses.clone(), nodes: nodes.len() })
    }
}

impl Broker for ExternalBroker {
    fn software(&self) -> Software {
        self.software
    }

    fn addresses(&self) -> Vec<String> {
        self.reach.addresses.clone()
    }

    fn paths(&self) -> Paths {
        Paths { access: self.reach.access.clone(), ..Paths::default() }
    }

    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }

    fn check(&mut self) -> Result<(), EnvironmentError> {
        if self.answered.elapsed() >= AGAIN {
            for address in &self.reach.addresses {
                self.knock(address)?;
            }
            self.answered = Instant::now();
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

    /// Leaves it running: it is not ours.
    fn stop(&mut self) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Around, System, targets_from_flags};

    fn external(kafka: Option<&str>, redis: Option<&str>, remote: bool) -> External {
        let around = Around { remote, variable: &|_| Some("s3cret-sentinel".into()) };
        External::new(targets_from_flags(kafka, redis, &around).unwrap())
    }

    fn refused(mut external: External, system: System) -> String {
        let error = external.start(&SystemConfig::defaults(system)).err().unwrap();
        let shown = format!("{error} {error:?} {external:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        error.to_string()
    }

    #[test]
    fn what_is_not_given_or_does_not_answer_is_said() {
        let none = refused(external(None, None, false), System::Kafka);
        assert!(none.contains("--kafka") && none.contains("--targets"), "{none}");
        let dead = refused(external(Some("127.0.0.1:1"), None, false), System::Kafka);
        assert!(dead.contains("Kafka at 127.0.0.1:1 cannot be used"), "{dead}");
        let dead = refused(external(None, Some("redis://me:${env:X}@127.0.0.1:1"), false), System::RedisLists);
        assert!(dead.contains("Redis at 127.0.0.1:1 cannot be used"), "{dead}");
    }

    #[test]
    fn strangers_are_not_even_asked() {
        for (kafka, redis, system) in [
            (Some("192.0.2.1:9092"), None, System::Kafka),
            (None, Some("redis://192.0.2.1"), System::RedisLists),
            (None, Some("redis://0.0.0.0:1"), System::RedisLists),
        ] {
            let far = refused(external(kafka, redis, false), system);
            assert!(far.contains("--allow-remote") && far.contains("not on this machine"), "{far}");
        }
        let clear = refused(external(None, Some("redis://:${env:X}@192.0.2.1"), true), System::RedisLists);
        assert!(clear.contains("in the clear"), "{clear}");
    }

    /// The first broker is near and answers; the one that it names is not near.
    #[test]
    fn where_a_broker_sends_its_clients_is_judged_too() {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let near = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            // Metadata 7: throttled, one broker in no rack, no cluster, controller 1, no topic.
            let mut answer =
                b"\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\x09192.0.2.1\0\0\x23\x84\xff\xff\xff\xff\0\0\0\x01\0\0\0\0"
                    .to_vec();
            let length = (answer.len() as u32).to_be_bytes();
            answer.splice(0..0, length);
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(&answer);
            let _ = stream.read(&mut [0; 256]);
        });
        let far = refused(external(Some(&near), None, false), System::Kafka);
        for words in [&format!("{near} answers, but sends clients to 192.0.2.1:9092"), "--allow-remote", "advertised"] {
            assert!(far.contains(words), "{far}");
        }
    }
}
