//! One node of a broker: where it is reached, and whether it is down on purpose.
//!
//! Invariant: what is done to its process is seen to be done before it is written down here; a
//! death that is meant is written down before it is caused.

use crate::environment::probe::Probe;
use crate::environment::process::is_stopped;
use crate::environment::{End, EnvironmentError, NodeInfo, NodeRole, ProcessState, Signal};
use crate::fault::disk::{DiskError, Preload};
use crate::fault::proxy::Proxy;
use crate::result::Restart;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const LOG_LINES: usize = 20;
/// How long a stopped or resumed process may take until every thread of it is.
const PAUSE: Duration = Duration::from_secs(5);

/// One node that is about to be started, by whatever runs it.
pub struct Plan {
    /// Such as `node 2`.
    pub name: String,
    pub role: NodeRole,
    pub address: SocketAddr,
    /// Where its own connections to the others come from, if that tells it from all of them.
    pub source: Option<IpAddr>,
    /// Whether it accepts clients, asked after it was started alone.
    pub alive: Probe,
    /// Whether it knows all the others too, asked after all were started.
    pub whole: Probe,
    pub proxies: Proxies,
}

/// What runs a node, once it was started: a process of the janitor's, or a container.
pub trait Runner: Send {
    /// 0 where it is no process that this machine shows.
    fn pid(&self) -> u32;
    /// Starts it again on its data; it has ended.
    fn start(&mut self) -> Result<(), EnvironmentError>;
    fn signal(&self, signal: Signal) -> Result<(), EnvironmentError>;
    fn status(&self) -> Result<ProcessState, EnvironmentError>;
    /// Waits for it to end by itself; `None` when `deadline` comes first.
    fn wait(&self, deadline: Instant) -> Result<Option<End>, EnvironmentError>;
    /// SIGKILL, gone on return.
    fn kill(&self) -> Result<(), EnvironmentError>;
    /// The last lines of what it wrote.
    fn log_tail(&self, lines: usize) -> String;
    /// The folder of its data; `None` where it is not seen from here.
    fn data(&self) -> Option<PathBuf> {
        None
    }
    /// Its mounts as proc_pid_mountinfo(5) has them; `None` where they are ours.
    fn mounts(&self) -> Option<String> {
        None
    }
}

/// The fault proxies before one node.
#[derive(Default)]
pub struct Proxies {
    /// For clients alone.
    pub clients: Option<Proxy>,
    /// For whatever other nodes send it.
    pub peers: Vec<PeerProxy>,
}

/// A way by which other nodes reach one.
pub struct PeerProxy {
    /// The index of the only node that goes it; `None` where all of the others do.
    pub from: Option<usize>,
    pub proxy: Proxy,
}

impl Proxies {
    /// The port that a node is to listen on, and what stands before it: nothing, or one proxy for
    /// clients. These come to the port that is pinned, or else to the one that is free.
    pub fn before(
        proxied: bool,
        pinned: Option<u16>,
        free: u16,
    ) -> Result<(u16, Self), EnvironmentError> {
        if !proxied {
            return Ok((pinned.unwrap_or(free), Self::default()));
        }
        Ok((free, Self { clients: Some(proxy(pinned, free)?), peers: Vec::new() }))
    }

    /// A way to the node besides the clients', for one of the others or for all, so that either can
    /// be cut alone; where it begins.
    pub fn add_for_peers(
        &mut self,
        from: Option<usize>,
        port: u16,
    ) -> Result<SocketAddr, EnvironmentError> {
        let proxy = proxy(None, port)?;
        let address = proxy.address();
        self.peers.push(PeerProxy { from, proxy });
        Ok(address)
    }
}

fn proxy(listen: Option<u16>, port: u16) -> Result<Proxy, EnvironmentError> {
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Proxy::start(listen, upstream).map_err(|error| EnvironmentError::Refused(error.to_string()))
}

pub struct Node {
    pub plan: Plan,
    pub runner: Box<dyn Runner>,
    /// Where its disk can be faulted; else why not.
    pub preload: Result<Preload, String>,
    /// Of a fault that is on it; nobody takes that for a death.
    pub may_end: bool,
    /// Taken down on purpose, or by a fault that may do that: that it ends from here on is meant,
    /// or that it has.
    pub down: bool,
    /// How it was started again last.
    pub restart: Option<Restart>,
}

impl Node {
    /// One that was just started.
    pub fn new(plan: Plan, runner: Box<dyn Runner>, preload: Result<Preload, String>) -> Self {
        Self { plan, runner, preload, may_end: false, down: false, restart: None }
    }

    pub fn pid(&self) -> u32 {
        if self.down { 0 } else { self.runner.pid() }
    }

    pub fn info(&self) -> NodeInfo {
        NodeInfo {
            name: self.plan.name.clone(),
            role: self.plan.role,
            address: self.plan.address.to_string(),
            advertised: self.advertised(),
            pid: self.pid(),
            down: self.down,
            restart: self.restart,
        }
    }

    /// Where clients are to connect.
    pub fn advertised(&self) -> String {
        self.plan.proxies.clients.as_ref().map_or(self.plan.address, Proxy::address).to_string()
    }

    /// Asks it to end, also if it is paused.
    pub fn ask_to_end(&mut self) -> Result<(), EnvironmentError> {
        self.down = true;
        self.runner.signal(Signal::Term)?;
        // A stopped process hears of nothing but SIGKILL.
        self.runner.signal(Signal::Cont)
    }

    /// Stops every thread of it.
    pub fn pause(&self) -> Result<(), EnvironmentError> {
        if self.down {
            return Err(EnvironmentError::Refused(format!(
                "{} is down and cannot be paused",
                self.plan.name
            )));
        }
        if self.runner.pid() == 0 {
            let why = "is no process of this machine: that it stops could not be proven";
            return Err(EnvironmentError::Refused(format!("{} {why}", self.plan.name)));
        }
        self.runner.signal(Signal::Stop)?;
        self.await_threads(true)
    }

    /// Lets a paused process go on; nothing to do for any other.
    pub fn resume(&self) -> Result<(), EnvironmentError> {
        if self.pid() == 0 {
            return Ok(());
        }
        self.runner.signal(Signal::Cont)?;
        self.await_threads(false)
    }

    fn await_threads(&self, stopped: bool) -> Result<(), EnvironmentError> {
        let deadline = Instant::now() + PAUSE;
        loop {
            let found = is_stopped(self.runner.pid());
            let why = match found {
                Ok(found) if found == stopped => return Ok(()),
                Ok(_) => "not all of its threads do".to_owned(),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                let asked = if stopped { "stop" } else { "go on" };
                let (name, seconds) = (&self.plan.name, PAUSE.as_secs());
                return Err(EnvironmentError::Refused(format!(
                    "{name} was told to {asked} and does not within {seconds} s: {why}"
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Starts it again on its data, unless it runs. A start that fails leaves it down.
    pub fn start_again(&mut self) -> Result<(), EnvironmentError> {
        if self.runner.status()? == ProcessState::Running {
            return self.resume();
        }
        self.down = true;
        self.runner.start()
    }
}

impl From<DiskError> for EnvironmentError {
    fn from(error: DiskError) -> Self {
        Self::Refused(error.to_string())
    }
}
