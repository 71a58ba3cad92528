//! A stand-in for Redis on loopback: answers what the drivers ask as cheaply as it can, so that the
//! same load against it shows what our own path costs (the instrument's floor).
//!
//! It hands each message on once, to whoever asks first in each group, and keeps nothing that was
//! handed on: it must never serve as a broker. A thread for each connection. RESP of our own, since
//! the `redis` crate has no server's side.

use crate::access::Access;
use crate::driver::redis::SET_UP;
use crate::driver::redis::load::connection::Input;
use crate::driver::{DriverError, Reflector};
use crate::model::System;
use crate::wire::redis::{self as resp, Scanner, bulks};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A list, or a stream and one of its groups.
type QueueName = (Vec<u8>, Vec<u8>);

#[derive(Default)]
struct Held {
    queues: BTreeMap<QueueName, VecDeque<Vec<u8>>>,
    /// Channels, who listens there, and what is not yet written.
    subscribers: Vec<(Vec<u8>, TcpStream, Vec<u8>)>,
    /// Every connection, to be ended at the end.
    streams: Vec<TcpStream>,
}

#[derive(Default)]
struct Shared {
    held: Mutex<Held>,
    filled: Condvar,
    stop: AtomicBool,
}

struct RedisReflector {
    address: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub fn start() -> Result<Box<dyn Reflector>, DriverError> {
    // The reflector serves all three systems; errors of the machine are told under the first.
    let refused = |cause: io::Error| DriverError::Refused {
        system: System::RedisPubsub,
        action: "starting the loopback reflector".into(),
        cause: cause.to_string(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?.to_string();
    let shared = Arc::new(Shared::default());
    let ours = Arc::clone(&shared);
    let run = move || ours.accept_all(&listener);
    let thread =
        thread::Builder::new().name("redis-reflector".into()).spawn(run).map_err(refused)?;
    Ok(Box::new(RedisReflector { address, shared, thread: Some(thread) }))
}

impl Reflector for RedisReflector {
    fn addresses(&self) -> Vec<String> {
        vec![self.address.clone()]
    }
}

impl Drop for RedisReflector {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        // Wakes the thread that accepts, then those that read, then those that wait for a message.
        let woken = Access::default().connect(&self.address, SET_UP).is_ok();
        for stream in &self.shared.lock().streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.filled.notify_all();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept_all(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for stream in listener.incoming().flatten() {
                self.lock().streams.extend(stream.try_clone());
                if self.stop.load(Relaxed) {
                    return;
                }
                // Ends with its client, or as soon as that does not speak RESP.
                scope.spawn(move || self.serve(stream));
            }
        });
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut input, mut output, mut scanner) = (Input::default(), vec![], Scanner::default());
        // Under CLIENT REPLY OFF nothing is answered any more.
        let mut silent = false;
        loop {
            while let Some(length) =
                scanner.end_of_reply(input.filled()).map_err(io::Error::other)?
            {
                let words = bulks(&input.filled()[..length]).map_err(io::Error::other)?;
                silent |= words == [&b"CLIENT"[..], b"REPLY", b"OFF"];
                self.answer(&words, &stream, &mut output)?;
                if silent {
                    output.clear();
                }
                input.consume(length);
            }
            stream.write_all(&output)?;
            output.clear();
            // Whoever consumes is served behind whoever published: the floor is that of publishing.
            self.filled.notify_all();
            self.lock().subscribers.retain_mut(|(_, subscriber, unsent)| {
                unsent.is_empty() || subscriber.write_all(&std::mem::take(unsent)).is_ok()
            });
            input.read_from(&mut stream)?;
        }
    }

    fn answer(&self, words: &[&[u8]], stream: &TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
        let fixed: &[u8] = match words {
            [b"PUBLISH", channel, payload] => {
                for (_, _, unsent) in
                    self.lock().subscribers.iter_mut().filter(|(of, ..)| of == channel)
                {
                    unsent.extend_from_slice(b"*3\r\n$7\r\nmessage\r\n");
                    resp::bulk_string(unsent, channel);
                    resp::bulk_string(unsent, payload);
                }
                b":1\r\n"
            }
            [b"SUBSCRIBE", channels @ ..] => {
                for (channel, count) in channels.iter().zip(1..) {
                    self.lock().subscribers.push((channel.to_vec(), stream.try_clone()?, vec![]));
                    out.extend_from_slice(b"*3\r\n$9\r\nsubscribe\r\n");
                    resp::bulk_string(out, channel);
                    write!(out, ":{count}\r\n")?;
                }
                b""
            }
            [b"XADD", key, .., payload] => {
                for (_, queue) in self.lock().queues.iter_mut().filter(|((of, _), _)| of == key) {
                    queue.push_back(payload.to_vec());
                }
                b"$3\r\n1-0\r\n"
            }
            [b"XGROUP", _, key, group, ..] => {
                self.lock().queues.entry((key.to_vec(), group.to_vec())).or_default();
                b"+OK\r\n"
            }
            [b"LPUSH", key, payload] => {
                let name = (key.to_vec(), vec![]);
                self.lock().queues.entry(name).or_default().push_back(payload.to_vec());
                b":1\r\n"
            }
            [b"UNLINK", keys @ ..] => {
                self.lock().queues.retain(|(of, _), _| !keys.contains(&of.as_slice()));
                b":1\r\n"
            }
            [b"XREADGROUP", _, group, _, _, most, b"BLOCK", ms, _, keys @ ..] => {
                self.batch(&keys[..keys.len() / 2], group, most, number(ms) / 1e3, out)
            }
            [b"XREADGROUP", _, group, _, _, most, _, keys @ ..] => {
                self.batch(&keys[..keys.len() / 2], group, most, 0.0, out)
            }
            [b"BLMPOP", wait, _, keys @ .., _, _, most] => {
                self.batch(keys, b"", most, number(wait), out)
            }
            [b"LMPOP", _, keys @ .., _, _, most] => self.batch(keys, b"", most, 0.0, out),
            [b"BLMOVE", key, _, _, _, wait] => self.move_one(key, number(wait), out),
            [b"LMOVE", key, ..] => self.move_one(key, 0.0, out),
            [b"INFO", ..] => b"$42\r\nredis_version:7.4.0\r\nserver_name:reflector\r\n",
            [b"CONFIG" | b"XRANGE" | b"LRANGE" | b"XINFO", ..] => b"*0\r\n",
            [b"XACK" | b"DEL", ..] => b":1\r\n",
            [b"WAIT", copies, _] => {
                write!(out, ":{}\r\n", number(copies))?;
                b""
            }
            [b"WAITAOF", local, copies, _] => {
                write!(out, "*2\r\n:{}\r\n:{}\r\n", number(local), number(copies))?;
                b""
            }
            [b"PING"] => b"+PONG\r\n",
            _ => b"+OK\r\n",
        };
        out.extend_from_slice(fixed);
        Ok(())
    }

    /// The oldest messages of the first queue that has any, waited for for so many seconds.
    fn take(
        &self,
        keys: &[&[u8]],
        group: &[u8],
        most: f64,
        seconds: f64,
    ) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let queues: Vec<QueueName> =
            keys.iter().map(|key| (key.to_vec(), group.to_vec())).collect();
        let mut taken = None;
        let nothing = |held: &mut Held| {
            taken = queues.iter().find_map(|name| {
                let queue = held.queues.get_mut(name).filter(|queue| !queue.is_empty())?;
                let count = queue.len().min(most as usize);
                Some((name.0.clone(), queue.drain(..count).collect()))
            });
            taken.is_none() && !self.stop.load(Relaxed)
        };
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        drop(self.filled.wait_timeout_while(self.lock(), limit, nothing));
        taken
    }

    /// Elements of a list, or entries of a stream where there is a group.
    fn batch(
        &self,
        keys: &[&[u8]],
        group: &[u8],
        most: &[u8],
        seconds: f64,
        out: &mut Vec<u8>,
    ) -> &'static [u8] {
        let Some((key, payloads)) = self.take(keys, group, number(most), seconds) else {
            return b"*-1\r\n";
        };
        let stream = !group.is_empty();
        out.extend_from_slice(if stream { b"*1\r\n*2\r\n" } else { b"*2\r\n" });
        resp::bulk_string(out, &key);
        resp::array_header(out, payloads.len());
        for payload in payloads {
            if stream {
                out.extend_from_slice(b"*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nd\r\n");
            }
            resp::bulk_string(out, &payload);
        }
        b""
    }

    fn move_one(&self, key: &[u8], seconds: f64, out: &mut Vec<u8>) -> &'static [u8] {
        let Some((_, payloads)) = self.take(&[key], b"", 1.0, seconds) else { return b"$-1\r\n" };
        payloads.iter().for_each(|payload| resp::bulk_string(out, payload));
        b""
    }
}

/// 0 of what is none.
fn number(word: &[u8]) -> f64 {
    std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}
