//! The proxy's one thread: accepts, carries out commands, and ends everything at the end.
//!
//! Commands and connections share one thread, so a change of condition lies between two moves of
//! bytes, never amid one.

use super::link::{self, Newcomer};
use super::rules::State;
use super::{Condition, ConditionChange, ProxyError, Tally};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// For all connections to come under a new condition, and for the port to be listened on again.
pub(super) const LIMIT: Duration = Duration::from_secs(3);
const BACKLOG: u32 = 1024;

#[derive(Debug)]
pub(super) struct ProxyCommand {
    pub condition: Condition,
    /// For what comes from this address alone.
    pub only: Option<IpAddr>,
    pub reply: mpsc::Sender<Result<ConditionChange, ProxyError>>,
}

pub(super) struct Server {
    door: Door,
    pub address: SocketAddr,
    upstream: SocketAddr,
    states: watch::Sender<Arc<State>>,
    /// Resolves when no connection is under the present state any more.
    left: oneshot::Receiver<()>,
    links: JoinSet<()>,
    accepted: u64,
    tally: Arc<Tally>,
}

enum Door {
    Open(TcpListener),
    /// Not listening, so that the kernel refuses; bound where possible, so that nobody else listens
    /// on the port.
    Shut(Option<TcpSocket>),
}

impl Server {
    /// Listens at once. Call it inside the runtime.
    pub fn bind(listen: SocketAddr, upstream: SocketAddr, tally: Arc<Tally>) -> io::Result<Self> {
        let listener = listening(bound(listen)?)?;
        let address = listener.local_addr()?;
        let (state, left) = State::new(Condition::None);
        let (states, _) = watch::channel(state);
        Ok(Self {
            door: Door::Open(listener),
            address,
            upstream,
            states,
            left,
            links: JoinSet::new(),
            accepted: 0,
            tally,
        })
    }

    /// Until the sender of commands is gone; then every connection is reset.
    pub async fn run(mut self, mut commands: UnboundedReceiver<ProxyCommand>) {
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => {
                    let Some(ProxyCommand { condition, only, reply }) = command else { break };
                    let applied = self.apply(condition, only).await;
                    // Nobody waits for it any more: it holds all the same.
                    let _ = reply.send(applied);
                }
                accepted = accept(&self.door) => self.admit(accepted).await,
                Some(_) = self.links.join_next(), if !self.links.is_empty() => {}
            }
        }
        self.door = Door::Shut(None);
        self.states.send_replace(State::new(Condition::Refuse).0);
        let all = async { while self.links.join_next().await.is_some() {} };
        // What is late is cut off with the runtime.
        let _ = timeout(LIMIT, all).await;
    }

    async fn apply(
        &mut self,
        condition: Condition,
        only: Option<IpAddr>,
    ) -> Result<ConditionChange, ProxyError> {
        while self.links.try_join_next().is_some() {}
        let connections = self.links.len() as u64;
        if condition == Condition::Refuse {
            self.shut();
        }
        let (state, next_left) = State::holding(condition, only);
        let left = std::mem::replace(&mut self.left, next_left);
        drop(self.states.send_replace(state));
        // The channel's error is the very news that is waited for: the old state is gone.
        if timeout(LIMIT, left).await.is_err() {
            return Err(ProxyError::Late { condition: condition.name(), limit: LIMIT });
        }
        if condition != Condition::Refuse {
            self.open().await?;
        }
        Ok(ConditionChange { effective: Instant::now(), connections })
    }

    fn shut(&mut self) {
        if let Door::Open(_) = self.door {
            // In this order: a port that is listened on cannot be bound a second time.
            self.door = Door::Shut(None);
            let reserved = bound(self.address).ok();
            // Of two sockets that both permit reuse, either could listen.
            self.door = Door::Shut(reserved.filter(|socket| socket.set_reuseaddr(false).is_ok()));
        }
    }

    /// Listens again on the same port.
    async fn open(&mut self) -> Result<(), ProxyError> {
        let Door::Shut(reserved) = &mut self.door else { return Ok(()) };
        let mut socket = reserved.take().map_or_else(|| bound(self.address), Ok);
        let started = Instant::now();
        loop {
            match socket.and_then(listening) {
                Ok(listener) => {
                    self.door = Door::Open(listener);
                    return Ok(());
                }
                Err(source) if started.elapsed() > LIMIT => {
                    return Err(ProxyError::Listen { address: self.address, source });
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
            socket = bound(self.address);
        }
    }

    async fn admit(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let Ok((client, source)) = accepted else {
            // Out of file descriptors, most likely: the connection waits in the backlog.
            return sleep(Duration::from_millis(10)).await;
        };
        // Refused only for a connection that is gone already; reading finds that out.
        let _ = client.set_nodelay(true);
        let (source, upstream, number) = (source.ip(), self.upstream, self.accepted);
        let (states, tally) = (self.states.subscribe(), Arc::clone(&self.tally));
        self.accepted += 1;
        self.links.spawn(link::run(Newcomer { client, source, upstream, number, states, tally }));
    }
}

async fn accept(door: &Door) -> io::Result<(TcpStream, SocketAddr)> {
    match door {
        Door::Open(listener) => listener.accept().await,
        Door::Shut(_) => std::future::pending().await,
    }
}

/// A socket with the address, not listening. Connections of before that still die away do not
/// hinder it.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listening(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.set_reuseaddr(true)?;
    socket.listen(BACKLOG)
}
