//! Waits on several connections at once, for whoever has one thread and servers that answer apart.

use super::connection::{Connection, timespec};
use crate::driver::DriverError;
use rustix::event::{PollFd, PollFlags, poll};
use std::time::Duration;

/// Which of these, by their numbers, have something to read (their end among it) or, with something
/// unsent, room to write: waits at most `limit` for the first.
pub fn ready(
    connections: &[(usize, &Connection)],
    limit: Duration,
) -> Result<Vec<usize>, DriverError> {
    let watched = connections.iter().map(|(_, connection)| {
        let interest = match connection.output.unsent() {
            0 => PollFlags::IN,
            _ => PollFlags::IN | PollFlags::OUT,
        };
        PollFd::new(&connection.stream, interest)
    });
    let mut fds: Vec<PollFd<'_>> = watched.collect();
    match poll(&mut fds, Some(&timespec(limit))) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
        Err(cause) => {
            let broken = connections.first().map(|(_, first)| first.endpoint.broken(&cause));
            return broken.map_or(Ok(Vec::new()), Err);
        }
    }
    let woken = connections.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    Ok(woken.map(|((number, _), _)| *number).collect())
}
