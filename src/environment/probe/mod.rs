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
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The kernel's word for a read that took too long helps nobody.
fn silence(error: io::Error) -> io::Error {
    let timed_out = error.raw_os_error().is_some() && error.kind() == io::ErrorKind::WouldBlock;
    if timed_out {
        not_yet(format!("it takes connections and says nothing for {} s", PATIENCE.as_secs()))
    } else {
        error
    }
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

/// All of `into` by the deadline, however few bytes come at a time: the socket's own time-out counts from each of them.
fn read(stream: &mut TcpStream, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !into.is_empty() {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match stream.read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => into = &mut into[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(silence(error)),
        }
    }
    Ok(())
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
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};

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
}
