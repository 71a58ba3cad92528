//! Waits on many sockets at once, to the nanosecond: Linux's epoll, edge-triggered.
//!
//! Each socket is registered once and for both directions; an edge is reported once, so whoever is
//! told must read or write until the socket has no more. A plain `epoll_wait` rounds its time-out
//! up to whole milliseconds, which would spoil a pacer's deadlines: it serves the whole
//! milliseconds, and `ppoll` on the epoll itself the rest.

use super::connection::{Connection, timespec};
use crate::driver::DriverError;
use crate::driver::redis::endpoint::Endpoint;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Sockets reported by one wait at most; the others come with the next.
const EVENTS: usize = 256;
/// From here on the whole milliseconds are worth a call of their own.
const COARSE: Duration = Duration::from_millis(2);

/// What happened on the socket registered as `token`.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub token: u64,
    /// Something to read, the end of the stream, or an error that reading will tell.
    pub readable: bool,
    /// The other side has hung up: read until reading says so, for no further edge will come.
    pub ended: bool,
    pub writable: bool,
}

pub struct Epoll {
    epoll: OwnedFd,
}

impl Epoll {
    fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches these connections to `endpoint`, the first by the token 0.
    pub fn watching<'a>(
        endpoint: &Endpoint,
        connections: impl IntoIterator<Item = &'a Connection>,
    ) -> Result<Self, DriverError> {
        let watched = Self::new().and_then(|epoll| {
            (0..)
                .zip(connections)
                .try_for_each(|(token, connection)| epoll.add(&connection.stream, token))?;
            Ok(epoll)
        });
        watched.map_err(|cause| endpoint.refused("waiting on sockets (epoll)", cause.to_string()))
    }

    /// Watches a socket until it is closed.
    pub fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token), both)?)
    }

    /// Waits at most `limit`, then replaces `ready` by what happened: nothing when the time is up,
    /// and perhaps earlier.
    pub fn wait(&self, limit: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let mut coarse = Duration::from_millis(limit.as_millis() as u64);
        if limit < COARSE {
            coarse = Duration::ZERO;
            let mut fds = [PollFd::new(&self.epoll, PollFlags::IN)];
            if !limit.is_zero() {
                if let Err(error) = poll(&mut fds, Some(&timespec(limit))) {
                    return unless_interrupted(error);
                }
                if fds[0].revents().is_empty() {
                    return Ok(());
                }
            }
        }
        let mut room = [MaybeUninit::<Event>::uninit(); EVENTS];
        let (events, _) = match epoll::wait(&self.epoll, &mut room, Some(&timespec(coarse))) {
            Ok(found) => found,
            Err(error) => return unless_interrupted(error),
        };
        let hung_up = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        ready.extend(events.iter().map(|event| {
            // Copied first: the kernel's event is packed.
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: data.u64(),
                readable: flags.intersects(EventFlags::IN | hung_up),
                ended: flags.intersects(hung_up),
                writable: flags.contains(EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

/// The same for a single socket, the token 0, in one call of the kernel instead of two; an edge is
/// none here: what is not read is told again. `writes`: also wait for room to write.
pub fn wait_for_one(
    socket: impl AsFd,
    writes: bool,
    limit: Duration,
    ready: &mut Vec<Ready>,
) -> io::Result<()> {
    ready.clear();
    let reads = PollFlags::IN | PollFlags::RDHUP;
    let interest = if writes { reads | PollFlags::OUT } else { reads };
    let mut fds = [PollFd::new(&socket, interest)];
    if let Err(error) = poll(&mut fds, Some(&timespec(limit))) {
        return unless_interrupted(error);
    }
    let happened = fds[0].revents();
    let hung_up = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    if !happened.is_empty() {
        ready.push(Ready {
            token: 0,
            readable: happened.intersects(PollFlags::IN | hung_up),
            ended: happened.intersects(hung_up),
            writable: happened.contains(PollFlags::OUT),
        });
    }
    Ok(())
}

fn unless_interrupted(error: Errno) -> io::Result<()> {
    if error == Errno::INTR { Ok(()) } else { Err(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn a_short_wait_is_not_rounded_to_milliseconds() {
        let (near, _far) = pair();
        let (epoll, mut ready) = (Epoll::new().unwrap(), vec![]);
        epoll.add(&near, 7).unwrap();
        epoll.wait(Duration::from_secs(60), &mut ready).unwrap();
        assert!(ready[0].writable && !ready[0].readable);
        let limit = Duration::from_micros(200);
        let mut waits: Vec<Duration> = (0..101)
            .map(|_| {
                let started = Instant::now();
                epoll.wait(limit, &mut ready).unwrap();
                assert!(ready.is_empty());
                started.elapsed()
            })
            .collect();
        waits.sort_unstable();
        // The shortest is what was asked for; all others are the machine's.
        assert!((limit..Duration::from_millis(1)).contains(&waits[0]), "{:?}", waits[0]);
    }

    #[test]
    fn bytes_and_the_end_of_the_stream_are_readable() {
        let (near, mut far) = pair();
        let (epoll, mut ready) = (Epoll::new().unwrap(), vec![]);
        epoll.add(&near, 7).unwrap();
        epoll.wait(Duration::from_secs(60), &mut ready).unwrap();
        far.write_all(b"x").unwrap();
        epoll.wait(Duration::from_secs(5), &mut ready).unwrap();
        assert!(ready[0].token == 7 && ready[0].readable && !ready[0].ended);
        wait_for_one(&near, false, Duration::from_secs(5), &mut ready).unwrap();
        assert!(ready[0].readable && !ready[0].ended && !ready[0].writable);
        drop(far);
        epoll.wait(Duration::from_micros(1500), &mut ready).unwrap();
        assert!(ready[0].readable && ready[0].ended);
        wait_for_one(&near, true, Duration::ZERO, &mut ready).unwrap();
        assert!(ready[0].readable && ready[0].ended);
    }
}
