//! Provides brokers and takes them away again: nothing that was started here outlives the run.
//!
//! [`Native`] starts real brokers as processes of this machine, held by a janitor process;
//! [`Docker`] starts them as containers, which the janitor takes away; [`External`] takes addresses
//! from the user. Nothing here prints, and nothing here sends a message: whether a topic works is
//! the driver's to prove.

mod broker_cache;
mod clock_sync;
pub mod docker;
mod doctor;
mod external;
mod install;
mod janitor;
mod leftovers;
mod memory;
mod native;
mod nodes;
mod open_files;
mod probe;
mod process;
mod program;
mod storage;
mod watch;

use crate::model::{Software, System};
pub use broker_cache::{BrokerCache, Shelf, same_broker};
pub use clock_sync::synchronised_by;
pub use docker::{Choice, Docker, choose};
pub use doctor::{Check, Level, Part, Wanted, can_run, checks};
pub use external::External;
pub use janitor::{End, Janitor, Launch, ProcessState, Signal, helper_process};
pub use memory::{memory_available, memory_info, memory_total};
pub use native::{Native, supply};
pub use open_files::{open_files, raise_open_files};
pub use process::{
    MachineTimes, PageCache, Usage, is_gone, is_stopped, machine, own_usage, page_cache,
    reset_peak, runs, usage,
};
pub use program::cache_dir;

use crate::access::Access;
use crate::clock::Clock;
use crate::driver::{Routes, Target};
use crate::fault::disk::{DiskEffects, DiskFault, Lost};
use crate::fault::proxy::{Condition, ConditionChange, Proxy, ProxyError};
use crate::result::{Restart, Storage};
use crate::scenario::SystemConfig;
use crate::units::Span;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

/// Why a broker is not available, in words for the user with a remedy. Exit code 3.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EnvironmentError {
    /// Something that must be installed first.
    #[error("{what} not found: {remedy}")]
    Missing { what: String, remedy: String },
    #[error("{what} did not start: {cause}{}", indented(.log_tail))]
    DidNotStart { what: String, cause: String, log_tail: String },
    #[error("{what} died: {cause}{}", indented(.log_tail))]
    Died { what: String, cause: String, log_tail: String },
    /// What is wrong; what to do about it.
    #[error("{0}")]
    Refused(String),
}

impl EnvironmentError {
    pub(crate) fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), remedy: remedy.into() }
    }

    /// Of what leaves no log.
    fn did_not_start(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::DidNotStart {
            what: what.to_string(),
            cause: cause.to_string(),
            log_tail: String::new(),
        }
    }

    /// Such as `port 9092 is taken; stop what listens there`.
    pub(crate) fn refused(what: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self::Refused(format!("{what}; {remedy}"))
    }

    /// What is wrong, and what to do about it where that stands apart.
    pub(crate) fn parts(&self) -> (String, Option<String>) {
        match self {
            Self::Missing { what, remedy } => (format!("{what} not found"), Some(remedy.clone())),
            Self::Refused(text) => match text.rsplit_once("; ") {
                Some((what, remedy)) => (what.to_owned(), Some(remedy.to_owned())),
                None => (text.clone(), None),
            },
            other => (other.to_string(), None),
        }
    }
}

/// The end of a log under its error message; nothing at all where there is no log.
fn indented(log_tail: &str) -> String {
    if log_tail.is_empty() {
        return String::new();
    }
    let lines = log_tail.lines().map(|line| format!("\n  | {line}")).collect::<String>();
    format!("\nthe last lines of its log:{lines}")
}

/// What a node is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    /// Takes messages: every Kafka node; Redis's primary and its replicas, which change places at a
    /// failover.
    Data,
    /// Watches and promotes.
    Sentinel,
}

/// One process of a broker, as fault injection sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Such as `node 2` or `sentinel 1`.
    pub name: String,
    pub role: NodeRole,
    /// Where it listens itself, behind any proxy.
    pub address: String,
    /// What clients are told; differs from `address` where a fault proxy stands before it.
    pub advertised: String,
    /// 0 while it is down, and where it is no process that this machine shows.
    pub pid: u32,
    /// Taken down by a fault, or ended by one, and not started again.
    pub down: bool,
    /// How it was started again last; `None` where it never was.
    pub restart: Option<Restart>,
}

/// A node that went away, and perhaps came back, by somebody else's hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOutage {
    /// By its address.
    pub node: String,
    /// When it last answered before, or was first asked.
    pub from: Instant,
    /// When it answered again.
    pub to: Option<Instant>,
}

/// What can be done to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// SIGKILL, gone on return.
    Kill,
    /// SIGTERM, gone on return; killed after 20 s.
    Stop,
    /// SIGSTOP: every thread is stopped on return.
    Pause,
    /// SIGCONT.
    Resume,
    /// Started again on its data, same address and settings; accepting clients on return.
    Start,
}

/// A running broker (one or more nodes), however it came to be.
pub trait Broker: Send {
    fn software(&self) -> Software;
    /// Such as `Kafka 4.4.0`; `None` where only the broker itself can tell.
    fn version(&self) -> Option<String> {
        None
    }
    /// `host:port` of each node that takes messages, as clients are to reach it.
    fn addresses(&self) -> Vec<String>;
    /// How to find and to reach its nodes besides by [`Broker::addresses`].
    fn routes(&self) -> Routes {
        Routes::default()
    }
    /// Whom its clients may connect to, and with which TLS and login.
    fn access(&self) -> Access {
        Access::default()
    }
    /// Something called `name` is about to be made there.
    fn note(&self, _name: &str) {}
    /// It as a driver is given it, who makes what it needs under that name.
    fn target(&self, name: &str, clock: Clock) -> Target {
        self.note(name);
        self.target_unnoted(name, clock)
    }
    /// The same without a note, where another process makes and deletes what is called so.
    fn target_unnoted(&self, name: &str, clock: Clock) -> Target {
        let (addresses, routes, access) = (self.addresses(), self.routes(), self.access());
        Target { addresses, routes, access, name: name.to_owned(), clock }
    }
    /// Process ids on this machine; empty for brokers that we did not start.
    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
    /// An error as soon as a node is gone that nobody took away.
    fn check(&mut self) -> Result<(), EnvironmentError>;
    /// For how long clients go on from now on while nobody answers, and so does whoever watches:
    /// fail-overs and restarts by somebody else's hand are then no death to [`Broker::check`].
    fn outlive(&mut self, _: Option<Span>) {}
    /// Nodes that went away since then by somebody else's hand; empty where that is a death.
    fn outages(&self) -> Vec<NodeOutage> {
        Vec::new()
    }
    /// Last `lines` lines of the broker's log; empty where there is none that we could read.
    fn log_tail(&self, _lines: usize) -> String {
        String::new()
    }
    /// Where its data lies, if here.
    fn data_dir(&self) -> Option<PathBuf> {
        None
    }
    /// From process start to accepting clients, ns; `None` when it ran before.
    fn started_in_ns(&self) -> Option<u64> {
        None
    }
    /// Whether an earlier scenario has warmed it.
    fn is_warm(&self) -> bool {
        false
    }
    /// Remembers that it is warm now.
    fn note_warm(&mut self) {}
    /// Puts it there when it is stopped, unless something has happened to it that whoever is next
    /// must not inherit.
    fn keep_on(&mut self, _: Shelf) {}
    /// What of it can be broken; `None` for brokers that we did not start.
    fn faultable(&mut self) -> Option<&mut dyn FaultableBroker> {
        None
    }
    /// Stops it and deletes its data. Bounded by a few seconds.
    fn stop(self: Box<Self>) -> Result<(), EnvironmentError>;
}

/// A way between a node and another through a fault proxy of ours.
pub struct PeerLink<'a> {
    pub proxy: &'a Proxy,
    /// Whose connections are meant, where others go the same way; `None`: all.
    pub only: Option<IpAddr>,
}

impl PeerLink<'_> {
    /// Nothing passes and nobody is told, as behind a cut cable. How many connections that met; of
    /// a way that others go too that is not known, and none is told.
    pub fn cut(&self) -> Result<ConditionChange, ProxyError> {
        match self.only {
            None => self.proxy.apply(Condition::Stall),
            Some(source) => {
                let change = self.proxy.stall_from(source)?;
                Ok(ConditionChange { connections: 0, ..change })
            }
        }
    }

    pub fn mend(&self) -> Result<ConditionChange, ProxyError> {
        self.proxy.revert()
    }
}

/// A broker whose processes, links and disks are ours to break.
pub trait FaultableBroker {
    /// Its processes, in a fixed order.
    fn nodes(&self) -> Vec<NodeInfo>;
    /// Does `action` to node `index` of [`FaultableBroker::nodes`] and sees that it is done. A node
    /// that was taken down or paused on purpose is no death to [`Broker::check`].
    fn act(&mut self, index: usize, action: NodeAction) -> Result<(), EnvironmentError>;
    /// Starts it again on its data, at the same addresses and with the same settings; accepting
    /// clients on return. What still runs is asked to end first (SIGTERM).
    fn restart(&mut self) -> Result<(), EnvironmentError>;
    /// The fault proxy between clients and a node; `None` where they reach it straight.
    fn proxy(&self, index: usize) -> Option<&Proxy>;
    /// Every way between a node and the others, whoever connects; empty where they cannot be cut
    /// off.
    fn links(&self, index: usize) -> Vec<PeerLink<'_>>;
    /// The power of these nodes fails at once: killed together (SIGKILL), and what was not on disk
    /// is cut off their data. They stay down until [`FaultableBroker::restart`].
    fn lose_power(&mut self, nodes: &[usize]) -> Result<Lost, EnvironmentError>;
    /// Switches a fault of one node's disk on, in place of any other; [`FaultableBroker::disk`]
    /// tells when it is felt.
    fn set_disk(&mut self, node: usize, fault: DiskFault) -> Result<(), EnvironmentError>;
    /// Whether a fault that is on this node may end it, as a full disk ends some: then its end is
    /// no death to [`Broker::check`], which finds it [`NodeInfo::down`].
    fn may_end(&mut self, node: usize, may: bool);
    /// What one node has felt of the faults of its disk.
    fn disk(&self, node: usize) -> Result<DiskEffects, EnvironmentError>;
}

/// A way to have brokers.
pub trait Environment {
    /// `native`, `external`, …: goes into the results.
    fn name(&self) -> &'static str;
    /// Whether what answers as this system is a stand-in for the service that it is named after.
    fn emulates(&self, _system: System) -> bool {
        false
    }
    /// Network path between harness and broker, in words; with what it costs, once a broker has
    /// been started.
    fn network_path(&self) -> String;
    /// Why there can be no broker of this system here, known before anything is started.
    fn lacks(&self, system: System) -> Option<EnvironmentError> {
        nodes::run_by_others(system)
    }
    /// A broker for this configuration, accepting clients on return. A started one is fresh: no
    /// data, no history.
    fn start(&mut self, config: &SystemConfig) -> Result<Box<dyn Broker>, EnvironmentError>;
    /// From now on nothing gives a verdict on speed: what waits may be used again by all.
    fn explore(&mut self) {}
    /// Stops what waits to be used again: what is started next is fresh.
    fn renew(&mut self) -> Result<(), EnvironmentError> {
        Ok(())
    }
    /// What a reader of the results must know about the brokers started so far, such as an old
    /// version.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
    /// Under the data of the brokers started so far; `None` where it is not seen from here.
    fn storage(&self) -> Option<Storage> {
        None
    }
    /// What else belongs into the results, such as the digests of images; complete once every
    /// broker was started.
    fn facts(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}
