//! Whether a broker answers on a port, asked in its own protocol with the smallest request that it knows.
//!
//! This proves that the broker serves requests, not that a topic works: the driver's `prepare` proves that.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod kafka;
mod redis;

pub use kafka::{kafka, kafka_ping_pong, kafka_tells, kafka_tells_itself};
pub use redis::{redis, redis_linked, redis_ping_pong, sentinel};

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Asks one address; an error says what came instead of an answer.
pub type Probe = Arc<dyn Fn(SocketAddr) -> io::Result<()> + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(2);

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The kernel's word for a read that took too long helps nobody.
fn silence() -> io::Error {
    not_yet(format!("it takes connections and says nothing for {} s", PATIENCE.as_secs()))
}

/// How long a round trip takes in the middle of so many.
fn median(times: usize, mut round_trip: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..times.max(1) {
        let begun = Instant::now();
        round_trip()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

/// All of `into` by the deadline.
fn read(stream: &mut TcpStream, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !into.is_empty() {
        let read = read_some(stream, into, deadline)?;
        into = &mut into[read..];
    }
    Ok(())
}

/// What comes first, by the deadline however few bytes come at a time: the socket's own time-out counts from each of them.
fn read_some(stream: &mut TcpStream, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(silence());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => return Ok(read),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
}

/// It answers, and may yet come to answer as it should.
fn not_yet(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, what)
}

fn foreign(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What stands where the broker must tell an address of ours: clients would go past the fault proxy, or to a stranger.
fn bypass(told: &str, expected: &[String]) -> io::Error {
    not_yet(format!("it sends clients to {told}, which is none of {}", expected.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::time::{Duration, Instant};

    /// A server that reads something, answers with `reply` and hangs up.
    pub fn answering(reply: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(reply);
            let _ = stream.read(&mut [0; 256]);
        });
        address
    }

    /// A server that never comes to an end: `byte` after `byte`.
    fn dripping(byte: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(byte).is_ok() {
                std::thread::sleep(Duration::from_millis(700));
            }
        });
        address
    }

    #[test]
    fn whoever_answers_byte_by_byte_is_given_up_in_time_and_in_words() {
        type Asks = fn(SocketAddr) -> io::Result<()>;
        let probes: [(_, &'static [u8], Asks); 3] = [
            ("kafka", b"\0", super::kafka),
            ("redis", b"+", super::redis),
            ("sentinel", b"+", |address| super::sentinel(address, "x", &[], 1)),
        ];
        std::thread::scope(|scope| {
            for (name, byte, probe) in probes {
                scope.spawn(move || {
                    let started = Instant::now();
                    let error = probe(dripping(byte)).unwrap_err();
                    assert!(error.to_string().contains("says nothing for 2 s"), "{name}: {error}");
                    // Not another wait as long after the last byte.
                    assert!(started.elapsed() < 2 * super::PATIENCE, "{name}");
                });
            }
        });
    }
}
