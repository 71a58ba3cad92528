//! One connection: two sockets, two lanes, and the state that they are under.
//!
//! A connection lets go of a state only when it has acted on the next one; so "nobody holds the old state" means "the
//! new one is in effect everywhere". No byte moves between the change and that.

use super::Side;
use super::lane::{Allowance, Cut, Lane, Way};
use super::rules::{Fate, State};
use super::tally::Tally;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// For connecting to the upstream.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) type States = watch::Receiver<Arc<State>>;

/// What a connection is born with.
pub(super) struct Newcomer {
    pub client: TcpStream,
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
        self.0.open.take(1);
    }
}

/// Carries the connection to its end.
pub(super) async fn run(newcomer: Newcomer) {
    let Newcomer { client, upstream, number, mut states, tally } = newcomer;
    tally.connections.add(1);
    tally.open.add(1);
    let _open = Open(Arc::clone(&tally));
    let fate = states.borrow().fate(true);
    match fate {
        Fate::Carried => match connect(upstream).await {
            Some(upstream) => carry(client, upstream, number, &mut states, &tally).await,
            None => {
                tally.unreachable.add(1);
                reset(client);
            }
        },
        Fate::Cut => cut([client], &tally),
        Fate::Halved { .. } => {
            let _under = latest(&mut states);
            half_open(client, &mut states, &tally).await;
        }
    }
}

async fn carry(client: TcpStream, upstream: TcpStream, number: u64, states: &mut States, tally: &Arc<Tally>) {
    let mut to_upstream = Lane::new(Side::Upstream, tally);
    let mut to_client = Lane::new(Side::Client, tally);
    let mut under: Option<Arc<State>> = None;
    loop {
        let next = latest(states);
        match next.fate(under.is_none()) {
            Fate::Carried => {}
            Fate::Cut => return cut([client, upstream], tally),
            Fate::Halved { lost } => {
                let (gone, left) = if lost == Side::Client { (client, upstream) } else { (upstream, client) };
                // What was held back on the way to the lost end is lost with it; nothing will ever follow it.
                drop((to_upstream, to_client));
                cut([gone], tally);
                under.replace(next);
                return half_open(left, states, tally).await;
            }
        }
        to_upstream.enter(next.rules(Side::Upstream), 2 * number);
        to_client.enter(next.rules(Side::Client), 2 * number + 1);
        let allowance = Allowance::new(next.allowance());
        let state = under.insert(next);
        let up = Way { from: &client, to: &upstream, rules: state.rules(Side::Upstream), allowance: &allowance };
        let down = Way { from: &upstream, to: &client, rules: state.rules(Side::Client), allowance: &allowance };
        let end = tokio::select! {
            biased;
            changed = states.changed() => match changed {
                Ok(()) => continue,
                Err(_) => Err(Cut::Passed),
            },
            end = async { tokio::try_join!(to_upstream.carry(up), to_client.carry(down)) } => end.map(|_| ()),
        };
        return match end {
            // Both ends have closed, and each has been told so.
            Ok(()) => {}
            Err(Cut::Spent) => cut([client, upstream], tally),
            Err(Cut::Passed) => [client, upstream].into_iter().for_each(reset),
        };
    }
}

/// Silence until the next condition, then a reset: what a host that has come back answers to a connection of before.
async fn half_open(left: TcpStream, states: &mut States, tally: &Tally) {
    // An error is the end of the proxy: the same end here.
    let _ = states.changed().await;
    cut([left], tally);
}

fn latest(states: &mut States) -> Arc<State> {
    states.borrow_and_update().clone()
}

async fn connect(upstream: SocketAddr) -> Option<TcpStream> {
    let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(upstream)).await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Resets what is left of one connection, and counts it.
fn cut<const N: usize>(sockets: [TcpStream; N], tally: &Tally) {
    sockets.into_iter().for_each(reset);
    tally.resets.add(1);
}

/// Closes with a TCP reset: what the kernel has not sent yet is dropped, and the peer learns that it is no orderly end.
fn reset(socket: TcpStream) {
    // Fails only on a socket that is closed already.
    let _ = socket.set_zero_linger();
    drop(socket);
}
