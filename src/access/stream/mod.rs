//! A connected socket, plain or behind TLS, read and written alike.
//!
//! What those who wait on the socket may rely on, blocking or not:
//! - A read that does not fill its buffer has left nothing behind, neither in the kernel nor in
//!   TLS (non-blocking only; a blocking one returns as soon as there is something).
//! - Bytes count as written when the kernel has all of them. TLS must encrypt before it knows
//!   whether the kernel takes them, so after `WouldBlock` the next write must begin with the same
//!   bytes, as OpenSSL demands too; what follows them may have grown.

mod nonblocking;

pub use nonblocking::AsyncStream;

use super::dial::AccessError;
use super::tls::Tls;
use super::words;
use rustix::fd::{AsFd, BorrowedFd};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Shakes hands until `deadline`; the socket is blocking before and after.
    pub(super) fn behind(
        tls: &Tls,
        socket: TcpStream,
        host: &str,
        deadline: Instant,
    ) -> Result<Self, AccessError> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| {
            AccessError::Tls(format!("`{host}` is no name that a certificate can hold"))
        })?;
        let session = ClientConnection::new(Arc::clone(&tls.config), name);
        let session = session.map_err(|error| AccessError::Tls(words::of(&error, host)))?;
        let mut stream = TlsStream {
            socket,
            session,
            host: host.to_owned(),
            input: vec![0; READ],
            start: 0,
            end: 0,
            held: 0,
            greedy: false,
            deadline: None,
        };
        // What is encrypted is never more than one piece: see `write`.
        stream.session.set_buffer_limit(None);
        stream.shake_hands(deadline).map_err(|error| AccessError::Tls(handshake(&error)))?;
        stream.socket.set_read_timeout(None)?;
        stream.socket.set_write_timeout(None)?;
        Ok(Self::Tls(Box::new(stream)))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.socket,
        }
    }

    pub fn set_nonblocking(&mut self) -> io::Result<()> {
        if let Self::Tls(stream) = self {
            stream.greedy = true;
        }
        self.socket().set_nonblocking(true)
    }

    /// Makes the socket blocking, but for no longer than `limit`: then `WouldBlock` as if it were
    /// not. False behind TLS, where nothing changes.
    pub fn sleep_in_reads(&mut self, limit: Duration) -> io::Result<bool> {
        let Self::Plain(socket) = self else { return Ok(false) };
        socket.set_read_timeout(Some(limit))?;
        socket.set_write_timeout(Some(limit))?;
        socket.set_nonblocking(false)?;
        Ok(true)
    }

    /// One read of a blocking socket, over by `deadline` however few bytes come at a time: behind
    /// TLS, a read of ours may take many of the socket's, and a time-out of the socket counts for
    /// each of them anew.
    pub fn read_by(&mut self, into: &mut [u8], deadline: Instant) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => {
                socket.set_read_timeout(Some(left(deadline)?))?;
                socket.read(into)
            }
            Self::Tls(stream) => {
                stream.deadline = Some(deadline);
                let read = stream.read(into);
                stream.deadline = None;
                read
            }
        }
    }

    pub fn set_write_timeout(&self, limit: Duration) -> io::Result<()> {
        self.socket().set_write_timeout(Some(limit))
    }

    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.socket().local_addr()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write_vectored(parts),
            Self::Tls(stream) => {
                stream.write(parts.iter().find(|part| !part.is_empty()).map_or(&[], |part| part))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time until `deadline`, which is not over.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Read from the kernel at once.
const READ: usize = 64 * 1024;
/// Encrypted at once: four of TLS's largest records.
const PIECE: usize = 64 * 1024;

pub struct TlsStream {
    socket: TcpStream,
    session: ClientConnection,
    host: String,
    /// What the kernel gave, `start..end` of it not yet decrypted.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Plain bytes that are encrypted and not yet reported as written.
    held: usize,
    /// Whether a read is to take all there is.
    greedy: bool,
    /// Until when a read may wait.
    deadline: Option<Instant>,
}

impl TlsStream {
    fn shake_hands(&mut self, deadline: Instant) -> io::Result<()> {
        while self.session.is_handshaking() {
            let left = left(deadline)?;
            self.socket.set_read_timeout(Some(left))?;
            self.socket.set_write_timeout(Some(left))?;
            self.send()?;
            if !self.session.is_handshaking() {
                break;
            }
            match self.session.read_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.process()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.send()
    }

    /// Decrypts what was taken in.
    fn process(&mut self) -> io::Result<()> {
        match self.session.process_new_packets() {
            Ok(_) => Ok(()),
            Err(error) => {
                // The other side is told why, as far as the socket takes it.
                let _ = self.send();
                Err(io::Error::new(ErrorKind::InvalidData, words::of(&error, &self.host)))
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (mut filled, mut drained) = (0, false);
        while filled < into.len() {
            match self.session.reader().read(&mut into[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(read) => {
                    filled += read;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end of the stream without TLS's farewell: what is framed tells by itself
                // whether it is whole.
                Err(_) => return Ok(filled),
            }
            if self.start < self.end {
                let mut raw = &self.input[self.start..self.end];
                self.start += self.session.read_tls(&mut raw)?;
                self.process()?;
                if self.session.wants_write() {
                    // An answer of TLS itself. What the socket does not take now goes
                    // with the next write.
                    let _ = self.send();
                }
                continue;
            }
            if filled > 0 && (drained || !self.greedy) {
                return Ok(filled);
            }
            if let Some(deadline) = self.deadline {
                self.socket.set_read_timeout(Some(left(deadline)?))?;
            }
            match self.socket.read(&mut self.input) {
                Ok(0) => {
                    self.session.read_tls(&mut io::empty())?;
                }
                Ok(read) => {
                    drained = read < self.input.len();
                    (self.start, self.end) = (0, read);
                }
                Err(_) if filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held == 0 {
            self.held = self.session.writer().write(&bytes[..bytes.len().min(PIECE)])?;
        }
        self.send()?;
        Ok(std::mem::take(&mut self.held))
    }
}

fn handshake(error: &io::Error) -> String {
    match error.kind() {
        // The words are ours.
        ErrorKind::InvalidData => error.to_string(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            format!("no answer to TLS; perhaps {}", words::NO_TLS)
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            format!("it hung up on TLS; perhaps {}", words::NO_TLS)
        }
        _ => format!("TLS failed: {error}"),
    }
}

#[cfg(test)]
mod tests;
