//! Brokers that run already, at addresses that the user gives: nothing is started here, and nothing
//! taken away.
//!
//! Before any client of the load connects, every address is asked once by a connection of ours,
//! with the TLS and the login of its target: those of the user, and those that the brokers
//! themselves send clients to. What is wrong with an address, a certificate or a password so ends
//! in words and at once, not in a client library's retries. [`Access`] judges each address and
//! keeps the secrets.

use super::watch::{LivenessWatch, Round};
use super::{Broker, Environment, EnvironmentError, NodeOutage, storage};
use crate::access::{Access, AccessError, Reach, Targets};
use crate::driver::{self, Routes};
use crate::model::Software;
use crate::result::Storage;
use crate::scenario::SystemConfig;
use crate::units::Span;
use itertools::Itertools;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// How often brokers are asked again while they are loaded: a handshake and a login cost them
/// something.
const AGAIN: Duration = Duration::from_secs(5);
/// The same where outages are to be outlived and told: no more than so late.
const SOON: Duration = Duration::from_millis(200);
/// More nodes than this are none of a cluster that is loaded from one machine.
const MOST_NODES: usize = 1000;

#[derive(Clone, Debug)]
pub struct External {
    targets: Targets,
    /// Settings that a scenario asks for and that nobody here can give.
    unset: BTreeSet<String>,
    storage: Option<Storage>,
}

impl External {
    pub fn new(targets: Targets) -> Self {
        Self { targets, unset: BTreeSet::new(), storage: None }
    }

    pub fn has(&self, software: Software) -> bool {
        self.reach(software).is_ok()
    }

    /// Asks every broker whether it answers and lets us in.
    pub fn ask(&self, software: Software) -> Result<Answered, EnvironmentError> {
        self.asker(software)?.ask_all()
    }

    /// Where Sentinels are given, they are asked for their primary.
    fn asker(&self, software: Software) -> Result<Asker, EnvironmentError> {
        let (reach, routes) = (self.reach(software)?, Routes::default());
        if software != Software::Redis {
            return Ok(Asker { software, reach, routes });
        }
        let Reach { addresses, access, primary } = &reach;
        let refused = |why: &str| {
            let at = addresses.join(", ");
            EnvironmentError::Refused(format!("the Sentinels at {at} cannot be used: {why}"))
        };
        match driver::watched(addresses, primary.as_deref(), access) {
            Ok(Some((name, at))) => {
                let routes = Routes { sentinels: addresses.clone(), primary: Some(name), ..routes };
                Ok(Asker { software, reach: Reach { addresses: vec![at], ..reach }, routes })
            }
            Err(why) if primary.is_some() || why.contains("Sentinel") => Err(refused(&why)),
            Ok(None) if primary.is_some() => {
                Err(refused("what answers there is no Sentinel; leave `primary` out"))
            }
            // Whatever is wrong with a server is told by asking it as its clients do.
            Ok(None) | Err(_) => Ok(Asker { software, reach, routes }),
        }
    }

    fn reach(&self, software: Software) -> Result<Reach, EnvironmentError> {
        let (reach, what, remedy) = match software {
            Software::Kafka => {
                (&self.targets.kafka, "the address of Kafka", "add --kafka HOST:PORT")
            }
            Software::Redis => {
                (&self.targets.redis, "the address of Redis", "add --redis redis://HOST:PORT")
            }
            Software::Fake => {
                return Err(EnvironmentError::Refused("the fake broker is never external".into()));
            }
        };
        let missing = || {
            EnvironmentError::missing(
                what,
                format!(
                    "{remedy}, describe it in a file for --targets, or leave its systems out with \
                     --system"
                ),
            )
        };
        reach.clone().ok_or_else(missing)
    }

    fn any(&self, is: impl Fn(&Access) -> bool) -> bool {
        [&self.targets.kafka, &self.targets.redis]
            .into_iter()
            .flatten()
            .any(|reach| is(&reach.access))
    }
}

impl Environment for External {
    fn name(&self) -> &'static str {
        "external"
    }

    fn network_path(&self) -> String {
        if self.any(Access::remote) { "external (may leave this machine)" } else { "loopback" }
            .to_owned()
    }

    fn lacks(&self, software: Software) -> Option<EnvironmentError> {
        self.reach(software).err()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        let asker = self.asker(config.system.software())?;
        asker.ask_all()?;
        self.storage = asker.storage();
        let system = config.system;
        self.unset
            .extend(config.broker.iter().map(|(key, value)| format!("{key}={value} for {system}")));
        let watch = asker.watch(None);
        Ok(Box::new(ExternalBroker { asker, watch }))
    }

    fn storage(&self) -> Option<Storage> {
        self.storage.clone()
    }

    fn warnings(&self) -> Vec<String> {
        let floor = "brokers are reached over TLS: the instrument floor was measured without, so \
                     it leaves out what our side of the encryption costs";
        let mut warnings = Vec::new();
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

#[derive(Clone)]
struct Asker {
    software: Software,
    reach: Reach,
    /// To the Sentinels, where there are any.
    routes: Routes,
}

impl Asker {
    /// Under the data of the first broker, where it is one of this machine.
    fn storage(&self) -> Option<Storage> {
        let Reach { addresses, access, .. } = &self.reach;
        let address = addresses.first().filter(|_| !access.remote())?;
        storage::of_running(&driver::data_folder(self.software, address, access)?)
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
    /// sent to from there. What is wrong with one of the user's does not hide the next.
    fn ask_all(&self) -> Result<Answered, EnvironmentError> {
        let (mut nodes, mut wrong) = (BTreeSet::new(), Vec::new());
        for address in &self.reach.addresses {
            wrong.extend(self.ask_from(address, &mut nodes).err());
        }
        match wrong.len() {
            0 => Ok(Answered { addresses: self.reach.addresses.clone(), nodes: nodes.len() }),
            1 => Err(wrong.swap_remove(0)),
            _ => Err(EnvironmentError::Refused(wrong.iter().join("\n"))),
        }
    }

    /// Adds the nodes that clients are sent to from `address`; who is among them is asked already.
    fn ask_from(
        &self,
        address: &str,
        nodes: &mut BTreeSet<String>,
    ) -> Result<(), EnvironmentError> {
        for advertised in self.ping(address)? {
            let new = nodes.insert(advertised.clone());
            if new && !self.reach.addresses.contains(&advertised) {
                driver::ping(self.software, &advertised, &self.reach.access)
                    .map_err(|cause| self.sent_on(address, &advertised, cause))?;
            }
        }
        Ok(())
    }

    /// Under load: which of the user's addresses still answer, and whether where they send clients
    /// to by now is where those may go. librdkafka follows by itself, so this comes after the fact,
    /// and is then the end of the run.
    fn ask_again(&self) -> Round {
        if let Some(name) = &self.routes.primary {
            return self.ask_sentinels(name);
        }
        let (mut judged, mut round) = (BTreeSet::new(), Round::default());
        for address in &self.reach.addresses {
            let mut answer = Ok(());
            match self.ping(address) {
                Err(error) => answer = Err(error),
                Ok(told) => {
                    for advertised in told {
                        if !judged.insert(advertised.clone()) {
                            continue;
                        }
                        let Err(cause) = self.reach.access.permit(&advertised) else { continue };
                        let error = self.sent_on(address, &advertised, &cause);
                        match cause {
                            AccessError::Remote(_) | AccessError::InTheClear(_) => {
                                round.forbidden = Some(error);
                            }
                            _ => answer = Err(error),
                        }
                    }
                }
            }
            round.nodes.push((address.clone(), answer));
        }
        round
    }

    /// The same of whoever the Sentinels name as the primary by now.
    fn ask_sentinels(&self, name: &str) -> Round {
        let Reach { access, .. } = &self.reach;
        let mut forbidden = None;
        let found = driver::watched(&self.routes.sentinels, Some(name), access);
        let answer = match found.map(|found| found.map(|(_, address)| address)) {
            Err(why) => Err(EnvironmentError::Refused(format!("the Sentinels: {why}"))),
            Ok(None) => Err(EnvironmentError::Refused("the Sentinels are none any more".into())),
            Ok(Some(address)) => {
                if let Err(cause @ (AccessError::Remote(_) | AccessError::InTheClear(_))) =
                    access.permit(&address)
                {
                    forbidden = Some(self.sent_on(name, &address, cause));
                }
                self.ping(&address).map(drop)
            }
        };
        Round { nodes: vec![(format!("the primary of {name}"), answer)], forbidden }
    }

    /// Asked again from now on. With a deadline, nobody need answer for so long.
    fn watch(&self, deadline: Option<Span>) -> LivenessWatch {
        let again = self.clone();
        let every = if deadline.is_some() { SOON } else { AGAIN };
        let patience = Duration::from_nanos(deadline.map_or(0, Span::nanos));
        LivenessWatch::new(every, patience, move || again.ask_again())
    }
}

struct ExternalBroker {
    asker: Asker,
    watch: LivenessWatch,
}

impl Broker for ExternalBroker {
    fn software(&self) -> Software {
        self.asker.software
    }

    fn addresses(&self) -> Vec<String> {
        self.asker.reach.addresses.clone()
    }

    fn routes(&self) -> Routes {
        self.asker.routes.clone()
    }

    fn access(&self) -> Access {
        self.asker.reach.access.clone()
    }

    fn check(&mut self) -> Result<(), EnvironmentError> {
        self.watch.look()
    }

    fn outlive(&mut self, deadline: Option<Span>) {
        self.watch = self.asker.watch(deadline);
    }

    fn outages(&self) -> Vec<NodeOutage> {
        self.watch.outages()
    }

    /// Leaves it running: it is not ours.
    fn stop(self: Box<Self>) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
