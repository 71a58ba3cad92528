//! A socket of `access` whose bytes are counted until an answer is whole.
//!
//! Bounded: the crate keeps what it reads until then, however long that is.

use crate::access::{AsyncStream, Stream};
use crate::driver::redis::load::connection::LARGEST_INPUT;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that came since the last whole answer.
#[derive(Clone, Debug, Default)]
pub struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    /// An answer came.
    pub fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    fn add(&self, bytes: usize) -> io::Result<()> {
        if self.0.fetch_add(bytes, Relaxed) > LARGEST_INPUT {
            let what = format!("a reply of more than {LARGEST_INPUT} B");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Ok(())
    }
}

pub struct CountedStream {
    stream: AsyncStream,
    unanswered: Unanswered,
}

impl CountedStream {
    /// Inside a runtime only.
    pub fn new(stream: Stream, unanswered: Unanswered) -> io::Result<Self> {
        Ok(Self { stream: AsyncStream::new(stream)?, unanswered })
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, unanswered } = self.get_mut();
        let before = into.filled().len();
        ready!(Pin::new(stream).poll_read(context, into))?;
        Poll::Ready(unanswered.add(into.filled().len() - before))
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
