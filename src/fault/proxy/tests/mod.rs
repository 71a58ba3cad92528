//! The proxy between real sockets on loopback.
//! Margins are wide: the machine may be busy with other things.

mod bytes;
mod cuts;
mod time;

use super::*;
use crate::random::SplitMix64;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

const LONG: Duration = Duration::from_secs(30);

/// Answers every byte with the same byte, and the end with the end.
fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut answers = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut answers);
        let _ = answers.shutdown(Shutdown::Write);
    })
}

/// Reads to the end and answers with the number of bytes and their checksum.
fn sink() -> SocketAddr {
    serve(|mut stream| {
        let (mut total, mut crc, mut buffer) = (0u64, 0, vec![0; 256 << 10]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            total += count as u64;
            crc = crc32c::crc32c_append(crc, &buffer[..count]);
        }
        let _ = stream
            .write_all(&total.to_le_bytes())
            .and_then(|()| stream.write_all(&crc.to_le_bytes()));
    })
}

/// What [`sink`] answers to `data`.
fn receipt(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u64).to_le_bytes()[..], &crc32c::crc32c(data).to_le_bytes()[..]].concat()
}

fn serve(handle: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || handle(stream));
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect_timeout(&proxy.address(), LONG).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// Who connects is reset. The reset may be there before `connect` itself returns.
fn newcomer_is_reset(proxy: &Proxy) -> bool {
    match TcpStream::connect_timeout(&proxy.address(), LONG) {
        Ok(stream) => {
            stream.set_read_timeout(Some(LONG)).unwrap();
            read_until_reset(&stream) == (0, true)
        }
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// A proxy before a listener of the test's own, and the two ends of one connection through it.
fn pair() -> (Proxy, TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(None, listener.local_addr().unwrap()).unwrap();
    let client = connect(&proxy);
    let served = listener.accept().unwrap().0;
    served.set_read_timeout(Some(LONG)).unwrap();
    (proxy, listener, client, served)
}

fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SplitMix64::new(seed).fill(&mut bytes);
    bytes
}

/// Sends all of it and the end, from a thread of its own; what came back until the end.
fn exchange(stream: &TcpStream, data: &[u8]) -> Vec<u8> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = stream;
            writer.write_all(data).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let (mut back, mut reader) = (Vec::new(), stream);
        reader.read_to_end(&mut back).unwrap();
        back
    })
}

/// One byte there and back.
fn ping(mut stream: &TcpStream) -> Duration {
    let start = Instant::now();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    start.elapsed()
}

/// Whether nothing comes for a while on a connection that is open all the same.
fn silent(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_read_timeout(Some(LONG)).unwrap();
    matches!(read.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// What is left to read, and whether a TCP reset stood at its end.
fn read_until_reset(mut stream: &TcpStream) -> (usize, bool) {
    let (mut count, mut buffer) = (0, [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, false),
            Ok(n) => count += n,
            Err(error) => return (count, error.kind() == ErrorKind::ConnectionReset),
        }
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
