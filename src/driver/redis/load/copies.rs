//! WAIT and WAITAOF: a message counts as acknowledged once so many copies have it.
//!
//! One of them is under way on a connection, never more. What is written meanwhile goes out at
//! once, is executed behind it, and is covered by the next: so each turn has one, not each message,
//! and a connection that is loaded beyond the way to the replicas and back gathers more messages
//! behind each. One that answers too few leaves its messages in doubt: the primary has them, and
//! nobody knows who else.

use crate::driver::timeouts::request_timeout;
use crate::scenario::{Load, SystemConfig, WaitAof};
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Scanner, Token};
use redis::cmd;
use std::time::Duration;

/// How long the replicas may take: less than the probe message of `prepare` may, and, where
/// `load.deadline` is set, than a server may keep silent.
const LONGEST: Duration = Duration::from_secs(4);

/// What it was answered; not enough says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmed {
    Enough,
    TooFew(String),
    /// The server does not wait, or does no more: it may be the primary no longer.
    Refused(String),
}

/// What is asked on one connection, and whether it is under way there.
#[derive(Clone, Debug)]
pub struct CopiesWait {
    name: &'static str,
    /// Encoded.
    command: Vec<u8>,
    /// Files of the primary, and replicas (of WAITAOF: their files) that must have it.
    needed: (u64, u64),
    limit: Duration,
    /// Under way, behind so many messages whose replies are still to come.
    behind: Option<usize>,
}

impl CopiesWait {
    /// As the scenario asks for it, with an answer within `limit`.
    pub fn of(config: &SystemConfig, limit: Duration) -> Option<Self> {
        let limit = limit.min(LONGEST).max(Duration::from_millis(1));
        let ms = limit.as_millis() as u64;
        let (name, needed) = match (config.wait, config.wait_aof) {
            (Some(replicas), _) => ("WAIT", (0, u64::from(replicas))),
            (None, Some(WaitAof { local, replicas })) => {
                ("WAITAOF", (u64::from(local), u64::from(replicas)))
            }
            (None, None) => return None,
        };
        let mut command = cmd(name);
        if name == "WAITAOF" {
            command.arg(needed.0);
        }
        let command = command.arg(needed.1).arg(ms).get_packed_command();
        Some(Self { name, command, needed, limit, behind: None })
    }

    /// For a connection of this load: half the time for which a server may keep silent.
    pub fn under(config: &SystemConfig, load: &Load) -> Option<Self> {
        let patience = request_timeout(load).map(|patience| patience.nanos() / 2);
        Self::of(config, patience.map_or(LONGEST, Duration::from_nanos))
    }

    /// In the words of the results.
    pub fn describe(&self) -> String {
        let (local, replicas) = self.needed;
        let of =
            if self.name == "WAIT" { replicas.to_string() } else { format!("{local} {replicas}") };
        format!("{} {of}, one for each turn of a connection, within {:?}", self.name, self.limit)
    }

    /// Appends it, unless one is under way or nothing needs it: behind `unanswered` messages, with
    /// `answered` ones that no earlier one covers. Returns how many bytes it took.
    #[inline]
    pub fn ask(&mut self, output: &mut Vec<u8>, unanswered: usize, answered: usize) -> usize {
        if self.behind.is_some() || unanswered + answered == 0 {
            return 0;
        }
        output.extend_from_slice(&self.command);
        self.behind = Some(unanswered);
        self.command.len()
    }

    /// Whether the next reply is its own.
    #[inline]
    pub fn is_next(&self) -> bool {
        self.behind == Some(0)
    }

    /// A message before it was answered.
    #[inline]
    pub fn pass(&mut self) {
        self.behind = self.behind.map(|behind| behind.saturating_sub(1));
    }

    /// The connection is gone, and it with that.
    pub fn forget(&mut self) {
        self.behind = None;
    }

    /// Its reply at the start of `input`, and the reply's length; `None` while it is not complete.
    pub fn reply(&mut self, input: &[u8]) -> Result<Option<(Confirmed, usize)>, Malformed> {
        let Some(length) = Scanner::default().end_of_reply(input)? else { return Ok(None) };
        let mut reply = ReplyReader::new(&input[..length]);
        let found = match reply.next()? {
            Token::Integer(replicas) => self.enough((0, replicas)),
            Token::Array(2) => self.enough((reply.integer()?, reply.integer()?)),
            Token::Error(text) => {
                Confirmed::Refused(format!("{}: {}", self.name, resp::error_text(text)))
            }
            other => return Err(resp::unexpected("a number of copies", other)),
        };
        self.behind = None;
        Ok(Some((found, length)))
    }

    fn enough(&self, found: (i64, i64)) -> Confirmed {
        let (local, replicas) = self.needed;
        let has = |found: i64, needed: u64| u64::try_from(found).is_ok_and(|found| found >= needed);
        if has(found.0, local) && has(found.1, replicas) {
            return Confirmed::Enough;
        }
        let own = match local {
            0 => String::new(),
            _ => format!("{} of {local} own files and ", found.0),
        };
        let what = if self.name == "WAIT" { "replicas" } else { "replicas' files" };
        let (found, limit) = (found.1, self.limit);
        Confirmed::TooFew(format!(
            "{}: {own}{found} of {replicas} {what} within {limit:?}",
            self.name
        ))
    }
}

/// For fuzzing: any bytes as an answer.
#[cfg(any(test, fuzzing))]
pub fn fuzz(input: &[u8]) {
    let lists = SystemConfig::defaults(crate::model::System::RedisLists);
    let config = SystemConfig { wait: Some(1), ..lists };
    let answered = CopiesWait::of(&config, LONGEST).map(|mut wait| wait.reply(input));
    if let Some(Ok(Some((_, length)))) = answered {
        assert!(length <= input.len(), "no more is taken than came");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    fn wait(replicas: u16) -> CopiesWait {
        let config =
            SystemConfig { wait: Some(replicas), ..SystemConfig::defaults(System::RedisStreams) };
        CopiesWait::of(&config, Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn one_is_under_way_and_the_next_covers_what_came_meanwhile() {
        let (mut wait, mut out) = (wait(1), vec![]);
        assert_eq!(wait.ask(&mut out, 0, 0), 0, "nothing to cover");
        let length = wait.ask(&mut out, 2, 0);
        assert_eq!(out, b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n4000\r\n");
        assert_eq!((wait.ask(&mut out, 3, 0), length), (0, out.len()), "one is under way");
        wait.pass();
        assert!(!wait.is_next());
        wait.pass();
        assert!(wait.is_next());
        assert_eq!(wait.reply(b":1\r"), Ok(None));
        assert_eq!(wait.reply(b":2\r\n"), Ok(Some((Confirmed::Enough, 4))), "more than asked for");
        // Answered together with the last one, and not covered by it.
        assert_eq!(wait.ask(&mut out, 0, 4), length);
        assert!(wait.is_next());
    }

    #[test]
    fn too_few_and_refusals_say_why() {
        let of = |wait: &mut CopiesWait, input: &[u8]| wait.reply(input).unwrap().unwrap().0;
        let few = Confirmed::TooFew("WAIT: 1 of 2 replicas within 4s".into());
        assert_eq!(of(&mut wait(2), b":1\r\n"), few);
        let refused = Confirmed::Refused("WAIT: UNBLOCKED state changed".into());
        assert_eq!(of(&mut wait(1), b"-UNBLOCKED state changed\r\n"), refused);
        assert!(wait(1).reply(b"$1\r\na\r\n").is_err());
        let config = SystemConfig {
            wait_aof: Some(WaitAof { local: 1, replicas: 1 }),
            ..SystemConfig::defaults(System::RedisLists)
        };
        let mut synced = CopiesWait::of(&config, Duration::from_millis(1500)).unwrap();
        let mut out = vec![];
        synced.ask(&mut out, 1, 0);
        assert_eq!(out, b"*4\r\n$7\r\nWAITAOF\r\n$1\r\n1\r\n$1\r\n1\r\n$4\r\n1500\r\n");
        assert_eq!(of(&mut synced, b"*2\r\n:1\r\n:1\r\n"), Confirmed::Enough);
        let few = "WAITAOF: 0 of 1 own files and 1 of 1 replicas' files within 1.5s";
        assert_eq!(of(&mut synced, b"*2\r\n:0\r\n:1\r\n"), Confirmed::TooFew(few.into()));
        assert!(CopiesWait::of(&SystemConfig::defaults(System::RedisLists), LONGEST).is_none());
    }
}
