//! A TCP proxy inside this process that lets a link suffer: one listener, one upstream, one thread
//! of its own.
//!
//! A condition holds for open and new connections alike, from one moment on, and healing it loses
//! no byte that was held back. Callers are plain synchronous code; every call has a deadline.
//!
//! # What it cannot do The kernel speaks TCP on both sides of it. So connecting succeeds at once
//! under every condition but [`Condition::Refuse`], no packet is lost or sent again, and healing is
//! faster than that of a real cut, where both ends wait out their retransmission timers. The
//! kernel's buffers (some MiB on either side) take bytes before a sender feels a stall or a slow
//! line. Delays are kept to a millisecond, the resolution of the timers; what the proxy adds by
//! itself is measured with [`cost()`].

mod condition;
mod cost;
mod flip;
mod link;
mod pipe;
mod rules;
mod server;
#[cfg(test)]
mod tests;

pub use condition::{Condition, ConditionChange};
pub use cost::{Cost, Leg, cost};

use condition::LinkEnd;
use server::{LIMIT, ProxyCommand, Server};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// The server's own two deadlines, and the machine's other business.
const PATIENCE: Duration = Duration::from_secs(3 * LIMIT.as_secs());

/// Why the proxy could not do what was asked, with a remedy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error(
        "the fault proxy cannot listen on {address}: {source}; free that port, or give none for a \
        free one"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "the fault proxy's thread did not start: {0}; the machine may be out of threads \
        or file descriptors"
    )]
    Start(io::Error),
    #[error("{condition}: `{key}` is {found:?}: {remedy}")]
    Invalid { condition: &'static str, key: &'static str, found: Duration, remedy: &'static str },
    #[error(
        "{condition} was not in effect within {limit:?}: the machine is overloaded; the \
        measurement is void"
    )]
    Late { condition: &'static str, limit: Duration },
    #[error("the fault proxy has ended, so {condition} cannot be applied")]
    Ended { condition: &'static str },
}

/// Counts of one proxy since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Of these, still open.
    pub open: u64,
    /// Bytes handed to the kernel for the upstream.
    pub to_upstream: u64,
    /// Bytes handed to the kernel for the client.
    pub to_client: u64,
    /// Bytes that the proxy itself holds back now, both directions together.
    pub held: u64,
    /// Connections that a condition reset. Those reset by one of their ends
    /// are passed on and not counted.
    pub resets: u64,
    /// Bits flipped.
    pub flipped: u64,
}

impl Counters {
    fn carried(&mut self, toward: LinkEnd, bytes: usize) {
        match toward {
            LinkEnd::Upstream => self.to_upstream += bytes as u64,
            LinkEnd::Client => self.to_client += bytes as u64,
        }
    }
}

/// Read by anyone at any time, written by the proxy's one thread.
#[derive(Debug, Default)]
struct Tally(Mutex<Counters>);

impl Tally {
    fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn read(&self) -> Counters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running proxy. Dropping it closes the listener and resets every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    tally: Arc<Tally>,
    commands: Option<UnboundedSender<ProxyCommand>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on that port of 127.0.0.1, by default on any that is free; the upstream need not be
    /// there yet.
    pub fn start(port: Option<u16>, upstream: SocketAddr) -> Result<Self, ProxyError> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let tally = Arc::new(Tally::default());
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(ProxyError::Start)?;
        let server = {
            let _inside = runtime.enter();
            Server::bind(listen, upstream, Arc::clone(&tally))
        };
        let server = server.map_err(|source| ProxyError::Listen { address: listen, source })?;
        let address = server.address;
        let (commands, received) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("fault-proxy".to_owned())
            .spawn(move || runtime.block_on(server.run(received)))
            .map_err(ProxyError::Start)?;
        Ok(Self { address, tally, commands: Some(commands), thread: Some(thread) })
    }

    /// What clients connect to; the same for the proxy's whole life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts every connection under `condition` in the place of the previous one; returns when that
    /// is in effect.
    pub fn apply(&self, condition: Condition) -> Result<ConditionChange, ProxyError> {
        self.hold(condition, None)
    }

    /// Likewise those from this address alone, which stall: all others pass. Told how many there
    /// are from anywhere.
    pub fn stall_from(&self, source: IpAddr) -> Result<ConditionChange, ProxyError> {
        self.hold(Condition::Stall, Some(source))
    }

    fn hold(
        &self,
        condition: Condition,
        only: Option<IpAddr>,
    ) -> Result<ConditionChange, ProxyError> {
        let condition = condition.checked()?;
        let name = condition.name();
        let (reply, replied) = mpsc::channel();
        let command = ProxyCommand { condition, only, reply };
        let ended = ProxyError::Ended { condition: name };
        let sent = self.commands.as_ref().map(|commands| commands.send(command));
        let Some(Ok(())) = sent else { return Err(ended) };
        match replied.recv_timeout(PATIENCE) {
            Ok(applied) => applied,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(ProxyError::Late { condition: name, limit: PATIENCE })
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(ended),
        }
    }

    /// Reverts the condition: what was held back leaves at once, in its order.
    pub fn revert(&self) -> Result<ConditionChange, ProxyError> {
        self.apply(Condition::None)
    }

    pub fn counters(&self) -> Counters {
        self.tally.read()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.commands.take();
        let Some(thread) = self.thread.take() else { return };
        let started = Instant::now();
        while !thread.is_finished() && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}
