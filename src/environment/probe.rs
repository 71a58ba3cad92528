//! Whether a broker answers on a port, asked in its own protocol with the smallest request that it knows.
//!
//! This proves that the broker serves requests, not that a topic works: the driver's `prepare` proves that.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Asks one address; an error says what came instead of an answer.
pub type Probe = Arc<dyn Fn(SocketAddr) -> io::Result<()> + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(2);
const CORRELATION: u32 = 0x6262_6d6b;

/// Kafka: ApiVersions, version 0, which every broker answers before any login.
pub fn kafka(address: SocketAddr) -> io::Result<()> {
    let client = b"brokerbench";
    let mut body = Vec::new();
    body.extend_from_slice(&18u16.to_be_bytes());
    body.extend_from_slice(&0u16.to_be_bytes());
    body.extend_from_slice(&CORRELATION.to_be_bytes());
    body.extend_from_slice(&(client.len() as u16).to_be_bytes());
    body.extend_from_slice(client);
    let mut stream = connect(address)?;
    stream.write_all(&(body.len() as u32).to_be_bytes())?;
    stream.write_all(&body)?;
    // Length, correlation id, error code; the list of versions after it is left unread.
    let mut head = [0; 10];
    stream.read_exact(&mut head)?;
    if head[4..8] == CORRELATION.to_be_bytes() && head[8..10] == [0, 0] {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "what answers there is no Kafka broker"))
}

/// Redis: PING. A demand to log in is an answer too.
pub fn redis(address: SocketAddr) -> io::Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = [0; 5];
    stream.read_exact(&mut reply)?;
    match &reply {
        b"+PONG" | b"-NOAU" => Ok(()),
        b"-LOAD" => Err(io::Error::new(io::ErrorKind::WouldBlock, "it is still loading its data")),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "what answers there is no Redis server")),
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that reads something, answers with `reply` and hangs up.
    fn answering(reply: &'static [u8]) -> SocketAddr {
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

    #[test]
    fn each_knows_its_own_from_others() {
        assert!(redis(answering(b"+PONG\r\n")).is_ok());
        assert!(redis(answering(b"-NOAUTH Authentication required.\r\n")).is_ok());
        assert!(redis(answering(b"-LOADING Redis is loading\r\n")).is_err());
        assert!(redis(answering(b"HTTP/1.1 400 Bad Request\r\n")).is_err());
        assert!(kafka(answering(b"\0\0\0\x06bbmk\0\0")).is_ok());
        assert!(kafka(answering(b"\0\0\0\x06bbmk\0\x23")).is_err());
        assert!(kafka(answering(b"HTTP/1.1 400 Bad Request\r\n")).is_err());
        assert!(kafka(answering(b"")).is_err());
    }
}
