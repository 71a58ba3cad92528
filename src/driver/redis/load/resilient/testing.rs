//! A scripted Redis on loopback: what it does with each command is the test's to say.

use crate::wire::redis::{self as resp, Token};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A command as it came in.
pub struct Asked {
    /// Which connection, from 0.
    pub connection: usize,
    /// How many commands came before, over all connections, PING and ROLE aside.
    pub number: usize,
    pub words: Vec<Vec<u8>>,
}

impl Asked {
    pub fn is(&self, name: &str) -> bool {
        self.words[0] == name.as_bytes()
    }

    /// Its words with a space between.
    pub fn text(&self) -> String {
        self.words
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

pub enum Act {
    /// Keeps the last word and answers `:1`.
    Store,
    /// Keeps it and ends the connection without an answer.
    StoreAndHangUp,
    HangUp,
    Reply(Vec<u8>),
    /// To PING alone, which is answered well otherwise.
    Pong(String),
    /// Says nothing.
    Ignore,
}

pub fn reply(text: &str) -> Act {
    Act::Reply(text.as_bytes().to_vec())
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

#[derive(Default)]
struct Shared {
    stored: Mutex<Vec<Vec<u8>>>,
    /// Connection and text of every command.
    log: Mutex<Vec<(usize, String)>>,
    streams: Mutex<Vec<TcpStream>>,
    commands: AtomicUsize,
    stop: AtomicBool,
}

pub struct Scripted {
    pub address: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    pub fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    pub fn start_at(address: &str, script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (shared, script): (_, Arc<Script>) = (Arc::new(Shared::default()), Arc::new(script));
        let ours = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut peers: Vec<JoinHandle<()>> = vec![];
            for (connection, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                if ours.stop.load(Relaxed) {
                    break;
                }
                ours.streams.lock().unwrap().push(stream.try_clone().unwrap());
                let (shared, script) = (Arc::clone(&ours), Arc::clone(&script));
                peers.push(std::thread::spawn(move || {
                    serve(connection, stream, &shared, script.as_ref())
                }));
            }
            peers.into_iter().for_each(|peer| peer.join().unwrap());
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub fn stored(&self) -> Vec<Vec<u8>> {
        self.shared.stored.lock().unwrap().clone()
    }

    pub fn log(&self) -> Vec<(usize, String)> {
        self.shared.log.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    /// Every connection ends and new ones are refused.
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        let _ = TcpStream::connect(&self.address);
        self.shared
            .streams
            .lock()
            .unwrap()
            .iter()
            .for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(connection: usize, mut stream: TcpStream, shared: &Shared, script: &Script) {
    // The second answer of a pipeline would otherwise wait for the acknowledgement of the first.
    stream.set_nodelay(true).unwrap();
    let (mut input, mut room) = (vec![], [0; 16384]);
    loop {
        while let Some((words, length)) = split(&input) {
            input.drain(..length);
            let mut asked = Asked { connection, number: shared.commands.load(Relaxed), words };
            let answer = if asked.is("PING") {
                match script(&asked) {
                    Act::Ignore => Act::Ignore,
                    Act::Pong(text) => reply(&text),
                    _ => reply("+PONG\r\n"),
                }
            } else {
                asked.number = shared.commands.fetch_add(1, Relaxed);
                shared.log.lock().unwrap().push((connection, asked.text()));
                script(&asked)
            };
            let mut store = || shared.stored.lock().unwrap().push(asked.words.pop().unwrap());
            let reply = match answer {
                Act::Store => {
                    store();
                    b":1\r\n".to_vec()
                }
                Act::StoreAndHangUp => {
                    store();
                    return drop(stream.shutdown(Shutdown::Both));
                }
                Act::HangUp => return drop(stream.shutdown(Shutdown::Both)),
                Act::Reply(reply) => reply,
                Act::Pong(_) | Act::Ignore => vec![],
            };
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
        match stream.read(&mut room) {
            Ok(read) if read > 0 => input.extend_from_slice(&room[..read]),
            _ => return,
        }
    }
}

fn split(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (Token::Array(count), mut at) = resp::token(input).unwrap()? else {
        panic!("not a command")
    };
    let mut words = VecDeque::new();
    for _ in 0..count {
        let (Token::Bulk(word), length) = resp::token(&input[at..]).unwrap()? else {
            panic!("not a word")
        };
        words.push_back(word.to_vec());
        at += length;
    }
    Some((words.into(), at))
}
