//! One socket to Redis, plain or behind TLS: non-blocking, with a buffer on each side.
//!
//! Reading is one system call for as much as is there, writing is one for all that is collected;
//! neither waits, but for a consumer that naps. Other waits are [`Connection::wait`] alone, which
//! the kernel ends to the nanosecond it is told.

use crate::access::Stream;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::redis::SET_UP;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::session::Session;
use crate::wire::redis::{self as resp, Malformed, Scanner};
use redis::{Cmd, FromRedisValue, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Room that a read is offered: much more than arrives at once on a busy connection.
const READ: usize = 64 * 1024;

/// How long one read of a napping connection sleeps at most.
const NAP: Duration = Duration::from_millis(20);

/// Most that is kept of one reply: more than a page of an audit or a batch of consumers can be.
pub const LARGEST_INPUT: usize = 4_000_000_000;
/// Likewise before the load: what asks for little, perhaps before any login, keeps little.
pub const LARGEST_REPLY: usize = 64 << 20;

/// Received bytes, `start..end` of them not yet used.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self { bytes: vec![0; READ], start: 0, end: 0 }
    }
}

impl Input {
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[inline]
    pub fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// One read. Returns how many bytes came (`None`: nothing there) and whether there may be more.
    pub fn read_from(&mut self, source: &mut impl Read) -> io::Result<Option<(usize, bool)>> {
        self.make_room()?;
        let room = self.bytes.len() - self.end;
        loop {
            match source.read(&mut self.bytes[self.end..]) {
                Ok(0) => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "the server closed the connection",
                    ));
                }
                Ok(read) => {
                    self.end += read;
                    return Ok(Some((read, read == room)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// At least half of [`READ`] bytes free behind what is filled: moved to the front when that is
    /// cheap, else grown.
    fn make_room(&mut self) -> io::Result<()> {
        if self.bytes.len() - self.end >= READ / 2 {
            return Ok(());
        }
        if self.start > self.bytes.len() / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        } else if self.end - self.start > LARGEST_INPUT {
            let what = format!("a reply of more than {LARGEST_INPUT} B");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        } else {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        Ok(())
    }
}

/// Bytes to be sent, the first `sent` of them gone.
#[derive(Debug, Default)]
pub struct Output {
    pub bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    #[inline]
    pub fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Writes what the socket takes. True when everything is gone.
    pub fn write_to(&mut self, sink: &mut impl Write) -> io::Result<bool> {
        while self.sent < self.bytes.len() {
            match sink.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.sent > self.bytes.len() / 2 {
                        self.bytes.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Ok(true)
    }
}

pub struct Connection {
    pub endpoint: Endpoint,
    /// How long one answer may take, before the load and besides it.
    pub limit: Duration,
    pub stream: Stream,
    pub input: Input,
    pub output: Output,
    /// Each command of the load comes behind an ASKING: the server does not have the slot yet.
    pub asking: bool,
    /// Never sleeps while it waits: looks again and again.
    pub spins: bool,
    /// Sleeps in the read itself: one call of the kernel, and no timer of its own, where waiting
    /// and then reading take two and a timer.
    naps: bool,
    scanner: Scanner,
    /// Of a login that ends while the connection lives on.
    pub session: Option<Session>,
}

impl Connection {
    /// Connects, logs in, selects the database.
    pub fn open(endpoint: &Endpoint) -> Result<Self, DriverError> {
        Self::open_within(endpoint, SET_UP)
    }

    /// The same, each of its steps and later each answer within `limit`.
    pub fn open_within(endpoint: &Endpoint, limit: Duration) -> Result<Self, DriverError> {
        let mut stream = endpoint.connect(limit)?;
        stream.set_nonblocking().map_err(|cause| endpoint.broken(&cause))?;
        let (input, output) = (Input::default(), Output::default());
        let (endpoint, scanner) = (endpoint.clone(), Scanner::default());
        let (asking, spins, naps) = (false, false, false);
        let session = None;
        let mut connection =
            Self { endpoint, limit, stream, input, output, asking, spins, naps, scanner, session };
        for (name, command) in connection.endpoint.greeting()? {
            connection.output.bytes.extend_from_slice(&command);
            connection.answer::<Value>(LARGEST_REPLY, Instant::now() + limit, name)?;
        }
        connection.session = Session::of(&connection.endpoint);
        Ok(connection)
    }

    /// Signs in again where it is time, behind the whole commands that are collected; how many
    /// bytes that adds.
    #[inline]
    pub fn stay_signed_in(&mut self) -> u64 {
        let Some(session) = &mut self.session else { return 0 };
        session.renew(&self.endpoint, &mut self.output.bytes)
    }

    /// Takes up what answers that.
    #[inline]
    pub fn pass_logins(&mut self) -> Result<(), DriverError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let passed = session.answered(self.input.filled());
        let refused = |why| self.endpoint.refused("signing in again", why);
        self.input.consume(passed.map_err(refused)?);
        Ok(())
    }

    /// Sends what is collected; what the socket does not take stays.
    #[inline]
    pub fn write(&mut self) -> Result<bool, DriverError> {
        self.output.write_to(&mut self.stream).map_err(|cause| self.endpoint.broken(&cause))
    }

    /// Reads once. False when nothing was there.
    #[inline]
    pub fn read(&mut self) -> Result<bool, DriverError> {
        let read =
            self.input.read_from(&mut self.stream).map_err(|cause| self.endpoint.broken(&cause))?;
        Ok(read.is_some())
    }

    /// What `read` makes of the next whole reply to a consumer, which is waited for until
    /// `until_ns`; `None` when none came in time. An error reply is an error.
    #[inline]
    pub fn next<T>(
        &mut self,
        clock: &Clock,
        until_ns: u64,
        read: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Option<T>, DriverError> {
        loop {
            self.pass_logins()?;
            if let Some(length) = self.next_reply()? {
                let reply = &self.input.filled()[..length];
                let made = match resp::refusal(reply) {
                    Some(words) => Err(self.endpoint.refused("consuming", words)),
                    None => read(reply).map_err(|cause| self.endpoint.malformed(cause)),
                };
                self.input.consume(length);
                return made.map(Some);
            }
            if !self.read_until(clock, until_ns)? {
                return Ok(None);
            }
        }
    }

    /// The length of the next whole reply, if it is there.
    #[inline]
    fn next_reply(&mut self) -> Result<Option<usize>, DriverError> {
        self.scanner
            .end_of_reply(self.input.filled())
            .map_err(|cause| self.endpoint.malformed(cause))
    }

    /// Reads once, waiting until `until_ns` for something to come; sends what is still unsent
    /// meanwhile. False when nothing came in time.
    pub fn read_until(&mut self, clock: &Clock, until_ns: u64) -> Result<bool, DriverError> {
        loop {
            let all_sent = self.output.unsent() == 0 || self.write()?;
            let left = clock.until(until_ns);
            let may_read = !self.naps || all_sent && left >= NAP || self.wait(left, all_sent)?;
            if may_read && self.read()? {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            if !self.naps && !self.spins {
                self.wait(left, all_sent)?;
            }
        }
    }

    /// From now on waits asleep in its reads. For who reads and hardly writes; behind TLS, where a
    /// read may take many of the socket's, it stays as it is.
    pub fn nap(&mut self) -> Result<(), DriverError> {
        self.naps =
            self.stream.sleep_in_reads(NAP).map_err(|cause| self.endpoint.broken(&cause))?;
        Ok(())
    }

    /// Waits until there is something to read or, with something unsent, room to write;
    /// at most `limit`. Whether there is something to read, the end of the stream among it.
    fn wait(&self, limit: Duration, all_sent: bool) -> Result<bool, DriverError> {
        let interest = if all_sent { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut fds = [PollFd::new(&self.stream, interest)];
        match poll(&mut fds, Some(&timespec(limit))) {
            Ok(_) => Ok(!(fds[0].revents() - PollFlags::OUT).is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(cause) => Err(self.endpoint.broken(&cause)),
        }
    }

    /// Collects a command of the crate.
    #[inline]
    pub fn collect(&mut self, command: &Cmd) {
        command.write_packed_command(&mut self.output.bytes);
    }

    /// Asks by a command of the crate and waits for the typed reply. For set-up, not for the load.
    pub fn query<T: FromRedisValue>(
        &mut self,
        action: &str,
        command: &Cmd,
    ) -> Result<T, DriverError> {
        // Whoever asks now and then may live longer than its login.
        self.stay_signed_in();
        self.collect(command);
        self.answer(LARGEST_REPLY, Instant::now() + self.limit, action)
    }

    /// Sends what is collected and waits for the typed reply, of at most so many bytes; an error
    /// reply is an error. It is whole, bounded and in time before the crate sees it, which would
    /// wait for whatever is announced.
    pub fn answer<T: FromRedisValue>(
        &mut self,
        most: usize,
        deadline: Instant,
        action: &str,
    ) -> Result<T, DriverError> {
        let started = Instant::now();
        let mut late = false;
        let length = loop {
            let all_sent = self.write()?;
            self.pass_logins()?;
            if let Some(length) = self.next_reply()? {
                break length;
            }
            if self.input.filled().len() > most {
                return Err(self
                    .endpoint
                    .malformed(Malformed(format!("a reply of more than {most} B"))));
            }
            // Looked at once more when the time is over, and not again however much keeps coming.
            if late {
                return Err(self.endpoint.timed_out(action, started.elapsed()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            late = left.is_zero();
            if !self.read()? && !late {
                self.wait(left, all_sent)?;
            }
        };
        let reply = &self.input.filled()[..length];
        let answer = match resp::refusal(reply) {
            Some(words) => Err(self.endpoint.refused(action, words)),
            None => redis::parse_redis_value(reply)
                .and_then(|value| Ok(T::from_redis_value(value)?))
                .map_err(|error| {
                    let cause = resp::error_text(error.to_string().as_bytes());
                    self.endpoint.malformed(Malformed(cause))
                }),
        };
        self.input.consume(length);
        answer
    }
}

/// For a wait in the kernel; cut at about 23 days, which it counts in an `int` of milliseconds.
/// Every caller waits again.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().min(2_000_000) as i64,
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_keeps_its_bytes_while_it_grows_and_moves() {
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let (mut source, mut input, mut seen) = (&sent[..], Input::default(), vec![]);
        while seen.len() < sent.len() {
            if !source.is_empty() {
                input.read_from(&mut source).unwrap();
            }
            let take = (input.filled().len() / 3).max(1);
            seen.extend_from_slice(&input.filled()[..take]);
            input.consume(take);
        }
        assert!(seen == sent);
    }

    /// Connected to a server that sends this, again and again.
    fn flooded(with: &'static [u8]) -> Connection {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(with).is_ok() {}
        });
        Connection::open(&Endpoint::parse(crate::model::System::RedisLists, &address).unwrap())
            .unwrap()
    }

    #[test]
    fn a_reply_without_an_end_is_given_up_in_time_and_in_size() {
        const ENDLESS: &[u8] = b"$2000000000\r\n";
        let error =
            flooded(ENDLESS).answer::<Value>(LARGEST_REPLY, Instant::now(), "AUTH").unwrap_err();
        assert!(matches!(error, DriverError::TimedOut { .. }), "{error}");
        let mut connection = flooded(ENDLESS);
        let error = connection
            .answer::<Value>(LARGEST_REPLY, Instant::now() + Duration::from_secs(60), "AUTH")
            .unwrap_err();
        assert!(matches!(error, DriverError::Protocol { .. }), "{error}");
        assert!(connection.input.filled().len() < 2 * LARGEST_REPLY);
    }

    /// Takes ten bytes a call and then nothing.
    struct Narrow(Vec<u8>, bool);
    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if !self.1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(10);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn output_goes_out_whole_and_in_order_through_a_narrow_socket() {
        let (mut output, mut narrow, mut expected) =
            (Output::default(), Narrow(vec![], false), vec![]);
        for n in 0..100u8 {
            output.bytes.extend_from_slice(&[n; 7]);
            expected.extend_from_slice(&[n; 7]);
            output.write_to(&mut narrow).unwrap();
        }
        while !output.write_to(&mut narrow).unwrap() {}
        assert_eq!(output.unsent(), 0);
        assert!(narrow.0 == expected);
    }
}
