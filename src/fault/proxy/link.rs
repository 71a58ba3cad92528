//! One connection: two sockets, two lanes, and the state that they are under.
//!
//! A connection lets go of a state only when it has acted on the next one; so "nobody holds the old
//! state" means "the new one is in effect everywhere". No byte moves between the change and that.

use super::pipe::{ProxyPipe, Way};
use super::rules::State;
use super::{LinkEnd, Tally};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// For connecting to the upstream.
const PATIENCE: Duration = Duration::from_secs(5);

/// For news of a connection that the upstream has accepted already: on loopback it is there.
const HEARD: Duration = Duration::from_millis(20);

pub(super) type States = watch::Receiver<Arc<State>>;

/// What a connection is born with.
pub(super) struct Newcomer {
    pub client: TcpStream,
    /// Where it comes from.
    pub source: IpAddr,
    pub upstream: SocketAddr,
    /// Which connection of the proxy it is.
    pub number: u64,
    pub states: States,
    pub tally: Arc<Tally>,
}

/// Counts the connection as open while it lives.
struct Open(Arc<Tally>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|counters| counters.open -= 1);
    }
}

/// Carries the connection to its end.
pub(super) async fn run(newcomer: Newcomer) {
    let Newcomer { client, source, upstream, number, mut states, tally } = newcomer;
    tally.count(|counters| {
        counters.connections += 1;
        counters.open += 1;
    });
    let _open = Open(Arc::clone(&tally));
    let mut under = latest(&mut states);
    if !under.carries() {
        return cut([client], &tally);
    }
    let mut connecting = std::pin::pin!(connect(upstream));
    let upstream = loop {
        tokio::select! {
            biased;
            changed = states.changed() => if changed.is_err() { return reset(client) },
            upstream = &mut connecting => break upstream,
        }
        let next = latest(&mut states);
        if !next.carries() {
            // The upstream may have accepted already, without our having heard of it.
            let upstream = timeout(HEARD, connecting).await.ok().flatten();
            return cut([client].into_iter().chain(upstream), &tally);
        }
        under = next;
    };
    match upstream {
        Some(upstream) => {
            let ends = [client, upstream];
            carry(ends, source, number, under, states, &tally).await;
        }
        None => reset(client),
    }
}

async fn carry(
    [client, upstream]: [TcpStream; 2],
    source: IpAddr,
    number: u64,
    mut state: Arc<State>,
    mut states: States,
    tally: &Arc<Tally>,
) {
    let mut to_upstream = ProxyPipe::new(LinkEnd::Upstream, tally);
    let mut to_client = ProxyPipe::new(LinkEnd::Client, tally);
    loop {
        let up = state.rules(LinkEnd::Upstream, source);
        let down = state.rules(LinkEnd::Client, source);
        to_upstream.enter(up, 2 * number);
        to_client.enter(down, 2 * number + 1);
        let up = to_upstream.carry(Way { from: &client, to: &upstream, rules: up });
        let down = to_client.carry(Way { from: &upstream, to: &client, rules: down });
        let broken = tokio::select! {
            biased;
            changed = states.changed() => changed.is_err(),
            end = async { tokio::try_join!(up, down) } => match end {
                // Both ends have closed, and each has been told so.
                Ok(_) => return,
                Err(_) => true,
            },
        };
        if broken {
            return [client, upstream].into_iter().for_each(reset);
        }
        let next = latest(&mut states);
        if !next.carries() {
            // What was held back is lost with the connection; nothing will ever follow it.
            drop((to_upstream, to_client));
            return cut([client, upstream], tally);
        }
        state = next;
    }
}

fn latest(states: &mut States) -> Arc<State> {
    states.borrow_and_update().clone()
}

async fn connect(upstream: SocketAddr) -> Option<TcpStream> {
    let stream = timeout(PATIENCE, TcpStream::connect(upstream)).await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Resets what there is of one connection, and counts it: first, so that whoever sees the reset
/// sees the count.
fn cut(sockets: impl IntoIterator<Item = TcpStream>, tally: &Tally) {
    tally.count(|counters| counters.resets += 1);
    sockets.into_iter().for_each(reset);
}

/// Closes with a TCP reset: what the kernel has not sent yet is dropped, and the peer learns that
/// it is no orderly end.
fn reset(socket: TcpStream) {
    // Fails only on a socket that is closed already.
    let _ = socket.set_zero_linger();
    drop(socket);
}
