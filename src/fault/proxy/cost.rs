//! What the proxy costs by itself: ping-pong and bulk through it and past it,
//! in turns, on this machine.
//!
//! The far end is an echo of our own, so that only the proxy differs. Measure it with nothing else
//! running; results obtained through a proxy are to be read with these numbers beside them.

use super::{Proxy, ProxyError};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PING: usize = 64;
const TURNS: usize = 10;
/// For any single step; so long nothing on loopback takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// One way from the client to the echo and back.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// Round trips measured, of 64 bytes.
    pub pings: usize,
    pub p50_ns: u64,
    pub p99_ns: u64,
    /// Sent and received at the same time, counted once.
    pub bytes_per_s: f64,
}

/// Both ways side by side.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub direct: Leg,
    pub proxied: Leg,
}

impl Cost {
    /// What a round trip takes longer through the proxy, at the median.
    pub fn added_p50_ns(&self) -> u64 {
        self.proxied.p50_ns.saturating_sub(self.direct.p50_ns)
    }

    /// The same at the 99th percentile.
    pub fn added_p99_ns(&self) -> u64 {
        self.proxied.p99_ns.saturating_sub(self.direct.p99_ns)
    }
}

/// Measures at least `pings` round trips each way (a tenth as many warm it up) and `bulk` bytes
/// each way.
pub fn cost(pings: usize, bulk: u64) -> Result<Cost, ProxyError> {
    let echo = echo().map_err(ProxyError::Start)?;
    let proxy = Proxy::start(None, echo)?;
    measure([echo, proxy.address()], pings, bulk).map_err(|error| {
        ProxyError::Start(io::Error::new(
            error.kind(),
            format!("measuring the proxy's own cost failed: {error}"),
        ))
    })
}

fn measure([direct, proxied]: [SocketAddr; 2], pings: usize, bulk: u64) -> io::Result<Cost> {
    let mut streams = [connect(direct)?, connect(proxied)?];
    let per_turn = pings.div_ceil(TURNS).max(1);
    let mut times = [Vec::new(), Vec::new()];
    for stream in &mut streams {
        ping(stream, per_turn)?;
    }
    for _ in 0..TURNS {
        for (stream, times) in streams.iter_mut().zip(&mut times) {
            times.extend(ping(stream, per_turn)?);
        }
    }
    let mut rates = [0.0; 2];
    for (stream, rate) in streams.iter().zip(&mut rates) {
        *rate = bulk as f64 / throughput(stream, bulk)?.as_secs_f64().max(1e-9);
    }
    let leg = |mut times: Vec<u64>, bytes_per_s| {
        times.sort_unstable();
        let rank = |share: f64| {
            times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1]
        };
        Leg { pings: times.len(), p50_ns: rank(0.5), p99_ns: rank(0.99), bytes_per_s }
    };
    let [direct, proxied] = times;
    Ok(Cost { direct: leg(direct, rates[0]), proxied: leg(proxied, rates[1]) })
}

/// Sends everything back on two connections, each on a thread of its own until it is closed.
fn echo() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let reflect = |stream: TcpStream| -> io::Result<()> {
        let (mut stream, mut buffer) = (ready(stream)?, vec![0; 64 << 10]);
        while let count @ 1.. = stream.read(&mut buffer)? {
            stream.write_all(&buffer[..count])?;
        }
        Ok(())
    };
    std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
        for stream in listener.incoming().take(2).flatten() {
            std::thread::spawn(move || reflect(stream));
        }
    })?;
    Ok(address)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    ready(TcpStream::connect_timeout(&address, PATIENCE)?)
}

fn ready(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The nanoseconds of each of `count` round trips.
fn ping(stream: &mut TcpStream, count: usize) -> io::Result<Vec<u64>> {
    let mut bytes = [0x5A; PING];
    (0..count)
        .map(|_| {
            let start = Instant::now();
            stream.write_all(&bytes)?;
            stream.read_exact(&mut bytes)?;
            Ok(start.elapsed().as_nanos() as u64)
        })
        .collect()
}

/// How long `bulk` bytes take there and back, sent and received at once.
fn throughput(stream: &TcpStream, bulk: u64) -> io::Result<Duration> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let (buffer, mut left, mut stream) = (vec![0x5A; 64 << 10], bulk, stream);
            while left > 0 {
                let count = left.min(buffer.len() as u64) as usize;
                stream.write_all(&buffer[..count])?;
                left -= count as u64;
            }
            stream.shutdown(Shutdown::Write)
        });
        let received = io::copy(&mut &*stream, &mut io::sink())?;
        match sender.join() {
            Ok(sent) => sent?,
            Err(_) => return Err(io::Error::other("the sending thread failed")),
        }
        if received != bulk {
            return Err(io::Error::other(format!("{received} of {bulk} bytes came back")));
        }
        Ok(start.elapsed())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_measured_alike() {
        let cost = cost(200, 4 << 20).unwrap();
        for leg in [cost.direct, cost.proxied] {
            assert_eq!(leg.pings, 200);
            assert!(0 < leg.p50_ns && leg.p50_ns <= leg.p99_ns, "{leg:?}");
            assert!(leg.bytes_per_s > 0.0, "{leg:?}");
        }
        assert_eq!(cost.added_p50_ns(), cost.proxied.p50_ns.saturating_sub(cost.direct.p50_ns));
    }
}
