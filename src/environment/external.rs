//! Brokers that run already, at addresses that the user gives: nothing is started here, and nothing
//! taken away but what runs of ours made in an account.
//!
//! Before any client of the load connects, every address is asked once by a connection of ours,
//! with the TLS and the login of its target: those of the user, and those that the brokers
//! themselves send clients to. What is wrong with an address, a certificate or a password so ends
//! in words and at once, not in a client library's retries. [`Access`] judges each address and
//! keeps the secrets.

use super::leftovers::{self, Delete, Leftovers};
use super::watch::{LivenessWatch, Round};
use super::{Broker, Environment, EnvironmentError, NodeOutage, storage};
use crate::access::{Access, AccessError, Reach, Targets, region_of};
use crate::driver::{self, DriverError, Routes};
use crate::model::{Service, Software, System};
use crate::result::Storage;
use crate::scenario::SystemConfig;
use crate::units::Span;
use itertools::Itertools;
use std::collections::{BTreeMap, BTreeSet};
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
    /// What was said of what killed runs had left behind.
    swept: BTreeSet<String>,
    storage: Option<Storage>,
}

impl External {
    pub fn new(targets: Targets) -> Self {
        Self { targets, unset: BTreeSet::new(), swept: BTreeSet::new(), storage: None }
    }

    /// What is described, by the names in a targets file.
    pub fn blocks(&self) -> impl Iterator<Item = &'static str> {
        self.targets.all().map(|(name, ..)| name)
    }

    /// Asks every broker of one of these whether it answers and lets us in.
    pub fn ask(&self, block: &str) -> Result<Answered, EnvironmentError> {
        let found = self.targets.all().find(|(name, ..)| *name == block);
        let (_, software, reach) = found.ok_or_else(|| missing(block, block, ""))?;
        Asker::of(software, reach.clone())?.ask_all()
    }

    /// Whether it is AWS itself that is asked, and not a stand-in: there it costs money.
    pub fn at_aws(&self, system: System) -> bool {
        let reach = self.targets.reach(system).filter(|_| system.service().is_some());
        reach.is_some_and(|reach| reach.addresses.iter().any(|at| region_of(at).is_some()))
    }

    fn asker(&self, system: System) -> Result<Asker, EnvironmentError> {
        Asker::of(system.software(), self.reach(system)?)
    }

    fn reach(&self, system: System) -> Result<Reach, EnvironmentError> {
        let (title, add) = match (system.service(), system.software()) {
            (_, Software::Fake) => {
                return Err(EnvironmentError::Refused("the fake broker is never external".into()));
            }
            (Some(service), _) => (service.title(), ""),
            (None, Software::Kafka) => ("Kafka", "add --kafka HOST:PORT, "),
            (None, _) => ("Redis", "add --redis redis://HOST:PORT, "),
        };
        let known = self.targets.reach(system).cloned();
        known.ok_or_else(|| missing(title, Targets::block(system), add))
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

    fn lacks(&self, system: System) -> Option<EnvironmentError> {
        self.reach(system).err()
    }

    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError> {
        let asker = self.asker(config.system)?;
        asker.ask_all()?;
        self.storage = asker.storage();
        let system = config.system;
        self.unset
            .extend(config.broker.iter().map(|(key, value)| format!("{key}={value} for {system}")));
        let leftovers = system.service().map(|_| self.leftovers(&asker)).transpose()?;
        let watch = asker.watch(None);
        Ok(Box::new(ExternalBroker { asker, leftovers, watch }))
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

fn missing(title: &str, block: &str, add: &str) -> EnvironmentError {
    let remedy = format!(
        "{add}describe it as `{block}` in a file for --targets, or leave its systems out with \
         --system"
    );
    EnvironmentError::missing(format!("the address of {title}"), remedy)
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
struct Asker {
    software: Software,
    reach: Reach,
    /// To the Sentinels, where there are any.
    routes: Routes,
}

impl Asker {
    /// Where Sentinels are given, they are asked for their primary.
    fn of(software: Software, reach: Reach) -> Result<Self, EnvironmentError> {
        let routes = Routes::default();
        if software != Software::Redis {
            return Ok(Self { software, reach, routes });
        }
        let Reach { addresses, access, primary } = &reach;
        let refused = |why: &str| {
            let at = addresses.join(", ");
            EnvironmentError::Refused(format!("the Sentinels at {at} cannot be used: {why}"))
        };
        match driver::watched(addresses, primary.as_deref(), access) {
            Ok(Some((name, at))) => {
                let routes = Routes { sentinels: addresses.clone(), primary: Some(name), ..routes };
                Ok(Self { software, reach: Reach { addresses: vec![at], ..reach }, routes })
            }
            Err(why) if primary.is_some() || why.contains("Sentinel") => Err(refused(&why)),
            Ok(None) if primary.is_some() => {
                Err(refused("what answers there is no Sentinel; leave `primary` out"))
            }
            // Whatever is wrong with a server is told by asking it as its clients do.
            Ok(None) | Err(_) => Ok(Self { software, reach, routes }),
        }
    }

    /// Under the data of the first broker, where it is one of this machine.
    fn storage(&self) -> Option<Storage> {
        let Reach { addresses, access, .. } = &self.reach;
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

    fn routes(&self) -> Routes {
        self.asker.routes.clone()
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

    fn outlive(&mut self, deadline: Option<Span>) {
        self.watch = self.asker.watch(deadline);
    }

    fn outages(&self) -> Vec<NodeOutage> {
        self.watch.outages()
    }

    /// Leaves it running: it is not ours.
    fn stop(self: Box<Self>) -> Result<(), EnvironmentError> {
        self.leftovers.as_ref().map_or(Ok(()), Leftovers::clear)
    }
}

#[cfg(test)]
mod tests;
