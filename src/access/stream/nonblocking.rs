//! A [`Stream`] as tokio reads and writes it: looked up, judged and put behind TLS by us, used by a
//! client library that would otherwise connect to whatever a name stands for at that moment.

use super::Stream;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

pub struct AsyncStream {
    stream: Stream,
    /// The same socket once more, by which tokio learns when there is something to do.
    ready: TcpStream,
}

impl AsyncStream {
    /// Inside a runtime only.
    pub fn new(mut stream: Stream) -> io::Result<Self> {
        stream.set_nonblocking()?;
        let twin = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        Ok(Self { stream, ready: TcpStream::from_std(twin)? })
    }
}

impl AsyncRead for AsyncStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, ready } = self.get_mut();
        loop {
            ready!(ready.poll_read_ready(context))?;
            let room = into.initialize_unfilled();
            match ready.try_io(Interest::READABLE, || stream.read(room)) {
                Ok(read) => {
                    into.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for AsyncStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, ready } = self.get_mut();
        loop {
            ready!(ready.poll_write_ready(context))?;
            match ready.try_io(Interest::WRITABLE, || stream.write(bytes)) {
                Err(error) if again(&error) => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Nothing to do yet (tokio knows it now, and tells when there is), or interrupted.
fn again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
