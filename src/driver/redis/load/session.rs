//! A login that ends while its connection lives on, as MemoryDB's after 12 h: repeated in the midst
//! of a load, before the server would cut the connection.
//!
//! The server answers a login with `+OK`, and nothing else that a load asks: that answer is passed
//! over wherever it comes between those of the load.

use crate::driver::redis::endpoint::Endpoint;
use crate::wire::redis::{self as resp, Token};
use std::time::{Duration, Instant};

const OK: &[u8] = b"+OK\r\n";

pub struct Session {
    every: Duration,
    due: Instant,
    /// Answers to repeated logins that are still to come.
    owed: u32,
}

impl Session {
    /// From a login that was just made; `None` where it counts for as long as its connection.
    pub fn of(endpoint: &Endpoint) -> Option<Self> {
        let every = endpoint.access().tokens()?.session? * 3 / 4;
        Some(Self { every, due: Instant::now() + every, owed: 0 })
    }

    /// Appends a login to the commands that are collected, once it is time; how many bytes.
    pub fn renew(&mut self, endpoint: &Endpoint, output: &mut Vec<u8>) -> u64 {
        let now = Instant::now();
        if now < self.due {
            return 0;
        }
        let Ok(Some(command)) = endpoint.login() else {
            // The old one counts on for a while.
            self.due = now + self.every / 16;
            return 0;
        };
        output.extend_from_slice(&command);
        (self.due, self.owed) = (now + self.every, self.owed + 1);
        command.len() as u64
    }

    /// How many bytes at the start of `input` are the answer to a repeated login. The error is the
    /// server's, who refuses it.
    #[inline]
    pub fn answered(&mut self, input: &[u8]) -> Result<usize, String> {
        if self.owed == 0 {
            return Ok(0);
        }
        if input.starts_with(OK) {
            self.owed -= 1;
            return Ok(OK.len());
        }
        match resp::token(input) {
            Ok(Some((Token::Error(text), _)))
                if text.starts_with(b"WRONGPASS") || text.starts_with(b"NOAUTH") =>
            {
                Err(resp::error_text(text))
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{SecretString, Terms, Token as Login, TokenLogin, TokenSource, Tokens};
    use crate::model::System;
    use std::time::SystemTime;

    #[derive(Debug)]
    struct Same;

    impl TokenSource for Same {
        fn fetch(&self) -> Result<Login, String> {
            let until = SystemTime::now() + Duration::from_secs(900);
            Ok(Login { value: SecretString::from("t0ken"), until, principal: "me".into() })
        }
        fn reasons(&self) -> String {
            String::new()
        }
    }

    fn endpoint(session: Option<Duration>) -> Endpoint {
        let login = TokenLogin { user: Some("me".into()), tokens: Tokens::of(Same), session };
        let terms = Terms { tokens: Some(login), ..Terms::default() };
        let endpoint = Endpoint::parse(System::MemorydbLists, "127.0.0.1:1").unwrap();
        endpoint.through(&terms.into())
    }

    const AUTH: &[u8] = b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$5\r\nt0ken\r\n";

    #[test]
    fn a_login_is_repeated_when_three_quarters_of_its_time_are_over() {
        assert!(Session::of(&endpoint(None)).is_none());
        let endpoint = endpoint(Some(Duration::from_millis(400)));
        let (mut session, mut output) = (Session::of(&endpoint).unwrap(), b"x".to_vec());
        assert_eq!((session.renew(&endpoint, &mut output), output.len()), (0, 1));
        std::thread::sleep(Duration::from_millis(310));
        assert_eq!(session.renew(&endpoint, &mut output), AUTH.len() as u64);
        assert_eq!(&output[1..], AUTH);
        assert_eq!(session.renew(&endpoint, &mut output), 0, "not twice");
    }

    #[test]
    fn its_answer_is_passed_over_wherever_it_comes_and_a_refusal_is_told() {
        let mut session = Session { every: Duration::ZERO, due: Instant::now(), owed: 1 };
        for before in [&b""[..], b":1\r\n", b"+O", b"$2\r\nOK\r\n", b"-ERR other\r\n"] {
            assert_eq!(session.answered(before), Ok(0), "{before:?}");
        }
        assert_eq!(session.answered(b"+OK\r\n:1\r\n"), Ok(5));
        assert_eq!(session.answered(b"+OK\r\n"), Ok(0), "nobody asked");
        session.owed = 1;
        let refused = session.answered(b"-WRONGPASS no such user\r\n").unwrap_err();
        assert!(refused.contains("WRONGPASS"), "{refused}");
    }
}
