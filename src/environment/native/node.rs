//! One process of a broker: where it listens, and whether it is up, paused or down on purpose.
//!
//! Invariant: what the janitor is told to do to a process is seen to be done before it is written down here; a death
//! that is meant is written down before it is caused.

use super::files::tail;
use crate::environment::probe::Probe;
use crate::environment::process::is_stopped;
use crate::environment::{EnvironmentError, Janitor, Launch, NodeInfo, Role, Signal, State};
use crate::fault::disk::{DiskError, Preload};
use crate::fault::proxy::Proxy;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

pub const LOG_LINES: usize = 20;
/// How long a stopped or resumed process may take until every thread of it is.
const PAUSE: Duration = Duration::from_secs(5);

/// One node that is about to be started.
pub struct Plan {
    /// Such as `node 2`.
    pub name: String,
    pub role: Role,
    pub launch: Launch,
    pub address: SocketAddr,
    /// Whether it accepts clients, asked after it was started alone.
    pub alive: Probe,
    /// Whether it knows all the others too, asked after all were started.
    pub whole: Probe,
    pub proxies: Proxies,
}

/// The fault proxies before one node.
#[derive(Default)]
pub struct Proxies {
    /// For clients alone.
    pub clients: Option<Proxy>,
    /// For whatever the other nodes send it.
    pub peers: Option<Proxy>,
}

impl Proxies {
    /// One for clients, on their port if it is pinned, before a node that is to listen on `port`.
    pub fn for_clients(pinned: Option<u16>, port: u16) -> Result<Self, EnvironmentError> {
        Ok(Self { clients: Some(proxy(pinned, port)?), peers: None })
    }

    /// Two ways to the node, so that either can be cut alone.
    pub fn for_both(pinned: Option<u16>, port: u16) -> Result<Self, EnvironmentError> {
        Ok(Self { peers: Some(proxy(None, port)?), ..Self::for_clients(pinned, port)? })
    }
}

fn proxy(listen: Option<u16>, port: u16) -> Result<Proxy, EnvironmentError> {
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Proxy::start(listen.map(at), at(port)).map_err(|error| EnvironmentError::Refused(error.to_string()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Up,
    Paused,
    /// Taken down on purpose.
    Down,
}

pub struct Node {
    pub plan: Plan,
    pub pid: u32,
    /// Where its disk can be faulted.
    pub preload: Option<Preload>,
    standing: Standing,
}

impl Node {
    pub fn start(mut plan: Plan, preloaded: bool, janitor: &Janitor) -> Result<Self, EnvironmentError> {
        let faulted = preloaded && plan.role == Role::Data;
        let preload = if faulted { Some(preload(&mut plan.launch)?) } else { None };
        let pid = janitor.spawn(plan.launch.clone())?;
        Ok(Self { plan, pid, preload, standing: Standing::Up })
    }

    pub fn is_down(&self) -> bool {
        self.standing == Standing::Down
    }

    pub fn info(&self) -> NodeInfo {
        NodeInfo {
            name: self.plan.name.clone(),
            role: self.plan.role,
            address: self.plan.address.to_string(),
            advertised: self.advertised(),
            pid: if self.is_down() { 0 } else { self.pid },
        }
    }

    /// Where clients are to connect.
    pub fn advertised(&self) -> String {
        self.plan.proxies.clients.as_ref().map_or(self.plan.address, Proxy::address).to_string()
    }

    /// That it ends from here on is meant.
    pub fn mark_down(&mut self) {
        self.standing = Standing::Down;
    }

    /// Asks it to end, also if it is paused.
    pub fn ask_to_end(&mut self, janitor: &Janitor) -> Result<(), EnvironmentError> {
        self.mark_down();
        janitor.signal(self.pid, Signal::Term)?;
        // A stopped process hears of nothing but SIGKILL.
        janitor.signal(self.pid, Signal::Cont)
    }

    /// Stops every thread of it.
    pub fn pause(&mut self, janitor: &Janitor) -> Result<(), EnvironmentError> {
        if self.is_down() {
            return Err(EnvironmentError::Refused(format!("{} is down and cannot be paused", self.plan.name)));
        }
        janitor.signal(self.pid, Signal::Stop)?;
        self.await_threads(true)?;
        self.standing = Standing::Paused;
        Ok(())
    }

    /// Lets a paused process go on; nothing to do for any other.
    pub fn resume(&mut self, janitor: &Janitor) -> Result<(), EnvironmentError> {
        if self.is_down() {
            return Ok(());
        }
        janitor.signal(self.pid, Signal::Cont)?;
        self.await_threads(false)?;
        self.standing = Standing::Up;
        Ok(())
    }

    fn await_threads(&self, stopped: bool) -> Result<(), EnvironmentError> {
        let deadline = Instant::now() + PAUSE;
        loop {
            let found = is_stopped(self.pid);
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
    pub fn start_again(&mut self, janitor: &Janitor) -> Result<(), EnvironmentError> {
        if janitor.status(self.pid)? == State::Running {
            return self.resume(janitor);
        }
        self.mark_down();
        self.pid = janitor.spawn(self.plan.launch.clone())?;
        Ok(())
    }

    /// Waits until `probe` is content. `name` is that of the error.
    pub fn await_answer(
        &self,
        janitor: &Janitor,
        probe: &Probe,
        deadline: Instant,
        name: impl Fn() -> String,
    ) -> Result<(), EnvironmentError> {
        let address = self.plan.address;
        let failed = |cause: String| EnvironmentError::DidNotStart {
            what: name(),
            cause,
            log_tail: tail(&self.plan.launch.log, LOG_LINES),
        };
        loop {
            // The process first: on a port that it lost, somebody else may answer.
            if let State::Ended(end) = janitor.status(self.pid)? {
                return Err(failed(format!("its process ended ({}) before it answered on {address}", end.how)));
            }
            match probe(address) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(failed(format!("no answer on {address} in time: {error}")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// It was started again and answers.
    pub fn mark_up(&mut self) {
        self.standing = Standing::Up;
    }
}

/// Makes the library ready for a node, whose data lies in `data` beside its other files.
fn preload(launch: &mut Launch) -> Result<Preload, EnvironmentError> {
    let preload = Preload::prepare(&launch.cwd.join("preload"), &launch.cwd.join("data"))?;
    launch.env.extend(preload.environment());
    Ok(preload)
}

impl From<DiskError> for EnvironmentError {
    fn from(error: DiskError) -> Self {
        Self::Refused(error.to_string())
    }
}
