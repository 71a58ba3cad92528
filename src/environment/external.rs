//! Brokers that run already, at addresses that the user gives: nothing is started here, and nothing
//! taken away but what runs of ours made in an account.
//!
//! Before any client of the load connects, every address is asked once by a connection of ours,
//! with the TLS and the login of its target: those of the user, and those that the brokers
//! themselves send clients to. What is wrong with an address, a certificate or a password so ends
//! in words and at once, not in a client library's retries. [`Access`] judges each address and
//! keeps the secrets.

use super::leftovers::{self, Delete, Leftovers};
use super::watch::{Alarm, LivenessWatch};
use super::{Broker, Environment, EnvironmentError, storage};
use crate::access::{Access, AccessError, Reach, Targets, region_of};
use crate::driver::{self, DriverError};
use crate::model::{Service, Software, System};
use crate::result::Storage;
use crate::scenario::SystemConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How often brokers are asked again while they are loaded: a handshake and a login cost them
/// something.
const AGAIN: Duration = Duration::from_secs(5);
/// More nodes than this are none of a cluster that is loaded from one machine.
const MOST_NODES: usize = 1000;

#[derive(Clone, Debug)]
pub struct External {
    targets: Targets,
    /// Settings that a scenario asks for and that nobody here can give.
    unset: BTreeSet<String>,
    /// What was said of what killed runs had left behind.
    swept: BTreeSet<String>,
    storage: Option<Storage>,
}

impl External {
    pub fn new(targets: Targets) -> Self {
        Self { targets, unset: BTreeSet::new(), swept: BTreeSet::new(), storage: None }
    }

    /// What is described, by the names in a targets file: who can be asked.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, Asker)> {
        let asker = |software, reach: &Reach| Asker { software, reach: reach.clone() };
        self.targets.all().map(move |(name, software, reach)| (name, asker(software, reach)))
    }

    /// Whether it is AWS itself that is asked, and not a stand-in: there it costs money.
    pub fn at_aws(&self, system: System) -> bool {
        let reach = self.targets.reach(system).filter(|_| system.service().is_some());
        reach.is_some_and(|reach| reach.addresses.iter().any(|at| region_of(at).is_some()))
    }

    fn asker(&self, system: System) -> Result<Asker, EnvironmentError> {
        let software = system.software();
        if software == Software::Fake {
            return Err(EnvironmentError::Refused("the fake broker is never external".into()));
        }
        let missing = || {
            let (title, add) = match (system.service(), software) {
                (Some(service), _) => (service.title(), ""),
                (None, Software::Kafka) => ("Kafka", "add --kafka HOST:PORT, or "),
                (None, _) => ("Redis", "add --redis redis://HOST:PORT, or "),
            };
            let block = Targets::block(system);
            let remedy = format!("{add}describe it as `{block}` in a file for --targets");
            EnvironmentError::missing(format!("the address of {title}"), remedy)
        };
        let known = self.targets.reach(system);
        known.map(|reach| Asker { software, reach: reach.clone() }).ok_or_else(missing)
    }

    /// A note of what will be made in an account, once it is cleared of what was left there.
    fn leftovers(&mut self, asker: &Asker) -> Result<Leftovers, EnvironmentError> {
        let (folder, addresses) = (leftovers::folder()?, &asker.reach.addresses);
        let asked = asker.clone();
        let delete: Delete = Box::new(move |cells| asked.sweep(cells));
        self.swept.extend(leftovers::sweep(&folder, addresses, &delete));
        Leftovers::new(&folder, addresses, delete)
    }

    fn any(&self, is: impl Fn(&Access) -> bool) -> bool {
        self.targets.all().any(|(_, _, reach)| is(&reach.access))
    }
}

impl Environment for External {
    fn name(&self) -> &'static str {
        "external"
    }

    fn emulates(&self, system: System) -> bool {
        system.service().is_some() && !self.at_aws(system)
    }

    fn network_path(&self) -> String {
        if self.any(Access::remote) { "external (may leave this machine)" } else { "loopback" }
            .to_owned()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        let asker = self.asker(config.system)?;
        asker.ask_all()?;
        self.storage = asker.storage();
        let system = config.system;
        self.unset
            .extend(config.broker.iter().map(|(key, value)| format!("{key}={value} for {system}")));
        let leftovers = system.service().map(|_| self.leftovers(&asker)).transpose()?;
        let again = asker.clone();
        Ok(Box::new(ExternalBroker {
            asker,
            leftovers,
            watch: LivenessWatch::new(AGAIN, move || again.ask_again()),
        }))
    }

    fn storage(&self) -> Option<Storage> {
        self.storage.clone()
    }

    /// Where each service at AWS is and what it runs on.
    fn facts(&self) -> BTreeMap<String, String> {
        let of = |service: Service| {
            let (_, _, reach) = self.targets.all().find(|(name, ..)| *name == service.name())?;
            let region = reach.addresses.iter().find_map(|at| region_of(at))?;
            let instance = self.targets.instances.get(service.name()).cloned();
            let place = [Some(region), instance].into_iter().flatten().collect::<Vec<_>>();
            Some((service.title().to_owned(), place.join(", ")))
        };
        Service::ALL.into_iter().filter_map(of).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let floor = "brokers are reached over TLS: the instrument floor was measured without, so \
                     it leaves out what our side of the encryption costs";
        let mut warnings: Vec<String> = self.swept.iter().cloned().collect();
        if self.any(|access| access.tls().is_some()) {
            warnings.push(floor.into());
        }
        if !self.unset.is_empty() {
            let unset = self.unset.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            warnings.push(format!(
                "the brokers ran already and were measured at their own settings; what the \
                 scenario asks for was not set: {unset} (what they tell of theirs stands in the \
                 results)"
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
    /// How many addresses they send clients to, all of which answered too; 0 where they send them
    /// nowhere.
    pub nodes: usize,
}

/// Asks the brokers of one target.
#[derive(Clone)]
pub struct Asker {
    software: Software,
    reach: Reach,
}

impl Asker {
    /// Under the data of the first broker, where it is one of this machine.
    fn storage(&self) -> Option<Storage> {
        let Reach { addresses, access } = &self.reach;
        let address = addresses.first().filter(|_| !access.remote())?;
        storage::of_running(&driver::data_folder(self.software, address, access)?)
    }

    /// Deletes what is called after these cells; returns what that was.
    fn sweep(&self, cells: &[String]) -> Result<Vec<String>, DriverError> {
        driver::sweep(self.software, &self.reach.addresses, &self.reach.access, cells)
    }

    /// The addresses that the one at `address` sends clients to.
    fn ping(&self, address: &str) -> Result<Vec<String>, EnvironmentError> {
        let advertised =
            driver::ping(self.software, address, &self.reach.access).and_then(|advertised| {
                match advertised.len() {
                    ..=MOST_NODES => Ok(advertised),
                    many => Err(format!(
                        "it names {many} brokers; brokerbench loads at most {MOST_NODES}"
                    )),
                }
            });
        advertised.map_err(|cause| {
            // The system's own words know no remedy.
            let bare = cause.contains("os error") || cause.contains("timed out");
            let remedy = if bare { "; start it, or correct the address" } else { "" };
            EnvironmentError::Refused(format!(
                "{:?} at {address} cannot be used: {cause}{remedy}",
                self.software
            ))
        })
    }

    fn sent_on(
        &self,
        address: &str,
        advertised: &str,
        cause: impl fmt::Display,
    ) -> EnvironmentError {
        let software = self.software;
        EnvironmentError::refused(
            format!(
                "{software:?} at {address} answers, but sends clients to {advertised}, which \
                cannot be used from here: {cause}"
            ),
            "set its `advertised.listeners` to an address that this machine reaches, or make that \
            name known here",
        )
    }

    /// Every address of the user's answers and lets us in, and so does every one that clients are
    /// sent to from there.
    pub fn ask_all(&self) -> Result<Answered, EnvironmentError> {
        let mut nodes = BTreeSet::new();
        for address in &self.reach.addresses {
            for advertised in self.ping(address)? {
                if !nodes.contains(&advertised) && !self.reach.addresses.contains(&advertised) {
                    driver::ping(self.software, &advertised, &self.reach.access)
                        .map_err(|cause| self.sent_on(address, &advertised, cause))?;
                }
                nodes.insert(advertised);
            }
        }
        Ok(Answered { addresses: self.reach.addresses.clone(), nodes: nodes.len() })
    }

    /// Under load: every address of the user's still answers, and where it sends clients to by now
    /// is where they may go. librdkafka follows by itself, so this comes after the fact, and is
    /// then the end of the run.
    fn ask_again(&self) -> Result<(), Alarm> {
        let mut judged = BTreeSet::new();
        for address in &self.reach.addresses {
            for advertised in self.ping(address).map_err(Alarm::Silent)? {
                if judged.contains(&advertised) {
                    continue;
                }
                self.reach.access.permit(&advertised).map_err(|cause| {
                    let error = self.sent_on(address, &advertised, &cause);
                    match cause {
                        AccessError::Remote(_) | AccessError::InTheClear(_) => {
                            Alarm::Forbidden(error)
                        }
                        _ => Alarm::Silent(error),
                    }
                })?;
                judged.insert(advertised);
            }
        }
        Ok(())
    }
}

struct ExternalBroker {
    asker: Asker,
    /// Of a service; other brokers are the user's own, and so is what is left there.
    leftovers: Option<Leftovers>,
    watch: LivenessWatch,
}

impl Broker for ExternalBroker {
    fn software(&self) -> Software {
        self.asker.software
    }

    fn addresses(&self) -> Vec<String> {
        self.asker.reach.addresses.clone()
    }

    fn access(&self) -> Access {
        self.asker.reach.access.clone()
    }

    fn note(&self, name: &str) {
        if let Some(leftovers) = &self.leftovers {
            leftovers.note(name);
        }
    }

    fn check(&mut self) -> Result<(), EnvironmentError> {
        self.leftovers.as_ref().map_or(Ok(()), Leftovers::check)?;
        self.watch.look()
    }

    /// Leaves it running: it is not ours.
    fn stop(self: Box<Self>) -> Result<(), EnvironmentError> {
        self.leftovers.as_ref().map_or(Ok(()), Leftovers::clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Around, targets_from_flags, targets_from_text};
    use crate::model::System;

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
        let dead = refused(
            external(None, Some("redis://me:${env:X}@127.0.0.1:1"), false),
            System::RedisLists,
        );
        assert!(dead.contains("Redis at 127.0.0.1:1 cannot be used"), "{dead}");
        let managed = refused(external(Some("127.0.0.1:1"), None, false), System::Msk);
        assert!(managed.contains("Amazon MSK") && managed.contains("`msk`"), "{managed}");
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
        let clear =
            refused(external(None, Some("redis://:${env:X}@192.0.2.1"), true), System::RedisLists);
        assert!(clear.contains("in the clear"), "{clear}");
    }

    /// A stand-in is told from AWS by its address, and where AWS is stands beside its figures.
    #[test]
    fn a_service_at_another_address_than_its_own_is_emulated() {
        let at = |address: &str| {
            let text = format!(
                "schema: 1\nmsk: {{brokers: ['{address}'], tls: true, instance: three m7g}}\n"
            );
            let around = Around { remote: true, variable: &|_| None };
            let folder = std::path::Path::new("");
            External::new(targets_from_text("t.yaml", &text, folder, &around).unwrap())
        };
        let aws = at("b-1.demo.a1b2c3.c2.kafka.eu-central-1.amazonaws.com:9094");
        assert!(!aws.emulates(System::Msk));
        assert_eq!(aws.facts()["Amazon MSK"], "eu-central-1, three m7g");
        let near = at("localhost:9094");
        assert!(near.emulates(System::Msk) && !near.emulates(System::Kafka));
        assert!(near.facts().is_empty());
    }

    /// A broker that answers every Metadata request with these nodes.
    fn telling(nodes: &[&str]) -> String {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let near = listener.local_addr().unwrap();
        // Metadata 7: throttled, brokers in no rack, no cluster, controller 1, no topic.
        let mut answer = b"\0\0\0\x01\0\0\0\0".to_vec();
        answer.extend((nodes.len() as u32).to_be_bytes());
        for node in nodes {
            let node = if node.is_empty() { "127.0.0.1" } else { *node };
            answer.extend(b"\0\0\0\x01");
            answer.extend((node.len() as u16).to_be_bytes());
            answer.extend(node.as_bytes());
            answer.extend(u32::from(near.port()).to_be_bytes());
            answer.extend(b"\xff\xff");
        }
        answer.extend(b"\xff\xff\0\0\0\x01\0\0\0\0");
        let length = (answer.len() as u32).to_be_bytes();
        answer.splice(0..0, length);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 256]);
                let _ = stream.write_all(&answer);
                let _ = stream.read(&mut [0; 256]);
            }
        });
        near.to_string()
    }

    fn asker(address: &str) -> Asker {
        external(Some(address), None, false).asker(System::Kafka).unwrap()
    }

    /// The first broker is near and answers; the one that it names is not near.
    #[test]
    fn where_a_broker_sends_its_clients_is_judged_too() {
        let near = telling(&["", "192.0.2.1"]);
        let far = refused(external(Some(&near), None, false), System::Kafka);
        let advertised = format!("{near} answers, but sends clients to 192.0.2.1:");
        for words in [&advertised, "--allow-remote", "advertised"] {
            assert!(far.contains(words), "{far}");
        }
        assert!(matches!(
            asker(&near).ask_again(),
            Err(Alarm::Forbidden(error)) if error.to_string().contains(&advertised)
        ));
        assert!(asker(&telling(&["", ""])).ask_again().is_ok());
        assert!(matches!(asker("127.0.0.1:1").ask_again(), Err(Alarm::Silent(_))));
        assert!(matches!(
            asker(&telling(&["no-such-host.invalid"])).ask_again(),
            Err(Alarm::Silent(_))
        ));
    }

    #[test]
    fn an_address_is_judged_as_it_is_told_and_so_are_only_so_many() {
        let dirty =
            refused(external(Some(&telling(&["127.0.0.1\u{7}"])), None, false), System::Kafka);
        assert!(dirty.contains("sends clients to what is no address"), "{dirty}");
        let many =
            refused(external(Some(&telling(&[""; MOST_NODES + 1])), None, false), System::Kafka);
        assert!(many.contains("names 1001 brokers"), "{many}");
        assert!(asker(&telling(&[""; MOST_NODES])).ask_all().is_ok());
    }
}
