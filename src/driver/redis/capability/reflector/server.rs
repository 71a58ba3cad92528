//! The reflector's sockets: commands in, answers out, and clients that block.
//!
//! A blocked client keeps its command and its deadline; it is tried again after each round in which something was
//! added, and answered with null when its time is up. Its later commands wait in its buffer meanwhile.

use super::store::{Execution, Store};
use crate::driver::redis::load::connection::{Input, Output};
use crate::driver::redis::load::epoll::{Epoll, Ready};
use crate::wire::redis::{self as resp, Malformed, Token};
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LISTENER: u64 = u64::MAX;
/// How often it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

struct Peer {
    stream: TcpStream,
    output: Output,
    blocked: Option<Blocked>,
    /// Asked for `CLIENT REPLY OFF`: nothing is answered any more.
    silent: bool,
}

struct Blocked {
    command: Vec<Vec<u8>>,
    until: Option<Instant>,
}

pub struct ReflectorServer {
    listener: TcpListener,
    stop: Arc<AtomicBool>,
    epoll: Epoll,
    peers: Vec<Option<Peer>>,
    /// Received bytes of each peer; apart from `peers`, since a command borrows from here and answers there.
    inputs: Vec<Input>,
    channels: HashMap<Vec<u8>, Vec<usize>>,
    store: Store,
}

impl ReflectorServer {
    pub fn new(listener: TcpListener, stop: Arc<AtomicBool>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new()?;
        epoll.add(&listener, LISTENER)?;
        let (peers, inputs, channels, store) = (vec![], vec![], HashMap::new(), Store::default());
        Ok(Self { listener, stop, epoll, peers, inputs, channels, store })
    }

    pub fn run(mut self) {
        let mut ready = vec![];
        while !self.stop.load(Ordering::Relaxed) {
            let blocked = self.peers.iter().flatten().filter_map(|peer| peer.blocked.as_ref()?.until);
            let now = Instant::now();
            let limit =
                blocked.map(|until| until.saturating_duration_since(now)).min().map_or(TICK, |left| left.min(TICK));
            if self.epoll.wait(Some(limit), &mut ready).is_err() {
                return;
            }
            for ready in &ready {
                if ready.token == LISTENER {
                    self.accept();
                } else if ready.readable && self.read(*ready).is_err() {
                    self.forget(ready.token as usize);
                }
            }
            self.retry_blocked();
            for index in 0..self.peers.len() {
                let Some(peer) = &mut self.peers[index] else { continue };
                if peer.output.unsent() > 0 && peer.output.write_to(&mut peer.stream).is_err() {
                    self.forget(index);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let index = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
            let watched = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
            if watched.and_then(|()| self.epoll.add(&stream, index as u64)).is_err() {
                continue;
            }
            let peer = Some(Peer { stream, output: Output::default(), blocked: None, silent: false });
            if index == self.peers.len() {
                self.peers.push(peer);
                self.inputs.push(Input::default());
            } else {
                (self.peers[index], self.inputs[index]) = (peer, Input::default());
            }
        }
    }

    fn forget(&mut self, index: usize) {
        self.peers[index] = None;
        self.channels.values_mut().for_each(|subscribers| subscribers.retain(|subscriber| *subscriber != index));
    }

    fn read(&mut self, ready: Ready) -> Result<(), Gone> {
        let index = ready.token as usize;
        loop {
            let Some(Some(peer)) = self.peers.get_mut(index) else { return Ok(()) };
            let Some((_, more)) = self.inputs[index].read_from(&mut peer.stream)? else { break };
            self.execute_all(index)?;
            if !more && !ready.ended {
                break;
            }
        }
        Ok(())
    }

    /// Executes what peer `index` has sent, up to a command that blocks.
    fn execute_all(&mut self, index: usize) -> Result<(), Gone> {
        let Self { peers, inputs, channels, store, .. } = self;
        let mut words: Vec<Range<usize>> = vec![];
        while peers[index].as_ref().is_some_and(|peer| peer.blocked.is_none()) {
            let input = inputs[index].filled();
            let Some(length) = split(input, &mut words)? else { break };
            let answered = peers[index].as_ref().map_or(0, |peer| peer.output.bytes.len());
            let word = |at: usize| words.get(at).map_or(&b""[..], |range: &Range<usize>| &input[range.clone()]);
            match word(0) {
                b"CLIENT" if word(1) == b"REPLY" => {
                    if let Some(peer) = &mut peers[index] {
                        peer.silent = word(2) == b"OFF";
                    }
                }
                b"PING" if channels.values().any(|subscribers| subscribers.contains(&index)) => {
                    if let Some(peer) = &mut peers[index] {
                        peer.output.bytes.extend_from_slice(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n");
                    }
                }
                b"PUBLISH" => publish(channels, peers, index, word(1), word(2)),
                b"SUBSCRIBE" => {
                    for (count, at) in (1..words.len()).enumerate() {
                        channels.entry(word(at).to_vec()).or_default().push(index);
                        if let Some(peer) = &mut peers[index] {
                            confirm(&mut peer.output.bytes, word(at), count + 1);
                        }
                    }
                }
                _ => {
                    let command: Vec<&[u8]> = (0..words.len()).map(word).collect();
                    let Some(peer) = &mut peers[index] else { break };
                    if let Execution::Wait(limit) = store.execute(&command, &mut peer.output.bytes) {
                        let command = command.iter().map(|word| word.to_vec()).collect();
                        let until = limit.map(|limit| Instant::now() + limit);
                        peer.blocked = Some(Blocked { command, until });
                    }
                }
            }
            if let Some(peer) = peers[index].as_mut().filter(|peer| peer.silent) {
                peer.output.bytes.truncate(answered);
            }
            inputs[index].consume(length);
        }
        Ok(())
    }

    fn retry_blocked(&mut self) {
        let (changed, now) = (self.store.take_changed(), Instant::now());
        for index in 0..self.peers.len() {
            let Some(peer) = &mut self.peers[index] else { continue };
            let Some(blocked) = &peer.blocked else { continue };
            let late = blocked.until.is_some_and(|until| until <= now);
            let command: Vec<&[u8]> = blocked.command.iter().map(Vec::as_slice).collect();
            let served = changed && matches!(self.store.execute(&command, &mut peer.output.bytes), Execution::Given);
            if !served && late {
                peer.output.bytes.extend_from_slice(b"*-1\r\n");
            }
            if served || late {
                peer.blocked = None;
                if self.execute_all(index).is_err() {
                    self.forget(index);
                }
            }
        }
    }
}

/// A peer that left or does not speak RESP; either way it is forgotten.
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<Malformed> for Gone {
    fn from(_: Malformed) -> Self {
        Self
    }
}

/// Cuts the first command of `input` into words and returns its length; `None` while it is not complete.
fn split(input: &[u8], words: &mut Vec<Range<usize>>) -> Result<Option<usize>, Malformed> {
    words.clear();
    let Some((token, mut at)) = resp::token(input)? else { return Ok(None) };
    let Token::Array(count) = token else { return Err(resp::unexpected("a command", token)) };
    for _ in 0..count {
        match resp::token(&input[at..])? {
            None => return Ok(None),
            Some((Token::Bulk(word), length)) => {
                at += length;
                words.push(at - 2 - word.len()..at - 2);
            }
            Some((other, _)) => return Err(resp::unexpected("a word", other)),
        }
    }
    Ok(Some(at))
}

fn publish(
    channels: &HashMap<Vec<u8>, Vec<usize>>,
    peers: &mut [Option<Peer>],
    from: usize,
    channel: &[u8],
    payload: &[u8],
) {
    let subscribers = channels.get(channel).map_or(&[][..], Vec::as_slice);
    for subscriber in subscribers {
        if let Some(peer) = &mut peers[*subscriber] {
            peer.output.bytes.extend_from_slice(b"*3\r\n$7\r\nmessage\r\n");
            resp::bulk_string(&mut peer.output.bytes, channel);
            resp::bulk_string(&mut peer.output.bytes, payload);
        }
    }
    if let Some(peer) = &mut peers[from] {
        resp::integer(&mut peer.output.bytes, subscribers.len());
    }
}

fn confirm(out: &mut Vec<u8>, channel: &[u8], count: usize) {
    out.extend_from_slice(b"*3\r\n$9\r\nsubscribe\r\n");
    resp::bulk_string(out, channel);
    resp::integer(out, count);
}
