//! A real redis-server of this test's or benchmark's own, and the cells to load it with.
//! Stops when dropped.
#![allow(dead_code)] // Each user needs a part of it.

use brokerbench::access::Access;
use brokerbench::clock::Clock;
use brokerbench::driver::{Driver, Routes, Target, open};
use brokerbench::environment::supply::{Supply, look};
use brokerbench::model::{Software, System};
use brokerbench::scenario::{Cell, Load, Message, SystemConfig};
use brokerbench::units::{Bytes, Span};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct RedisServer {
    child: Child,
    pub port: u16,
    _data: tempfile::TempDir,
}

impl RedisServer {
    /// Starts the one that a run takes on a free loopback port and waits until it accepts clients.
    pub fn start(settings: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = tempfile::tempdir().unwrap();
        let program = match look(Software::Redis, None, Duration::from_secs(60)).unwrap() {
            Supply::Here(redis) => redis.place,
            Supply::Absent(offer) => panic!("{}", offer.declined()),
        };
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(data.path())
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port, _data: data };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Has it do one command, in words without quotes, which it must take.
    pub fn command(&self, words: &str) {
        let mut server = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        server.write_all(format!("{words}\r\n").as_bytes()).unwrap();
        let mut reply = [0; 3];
        server.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK", "{words}");
    }

    /// Freezes or thaws the server.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn driver(&self, cell: &Cell, clock: Clock) -> Box<dyn Driver> {
        let addresses = vec![format!("127.0.0.1:{}", self.port)];
        open(
            cell,
            Target {
                addresses,
                routes: Routes::default(),
                access: Access::default(),
                name: "bench".into(),
                clock,
            },
        )
        .unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A closed loop of 100 B messages over one key: `connections` × `depth` in flight.
pub fn cell(system: System, connections: u16, depth: u32) -> Cell {
    let in_flight = u32::from(connections) * depth;
    let load =
        Load { connections, batch: depth, backlog: Bytes(64 << 20), ..Load::closed(in_flight) };
    Cell {
        config: SystemConfig { maxlen: None, ..SystemConfig::defaults(system) },
        message: Message::random(100),
        ..Cell::plain(system, load.brief(Span::from_secs(1)))
    }
}
