//! Where a Redis server is and how to reach it: `host:port`, with the TLS, the login and the
//! database of its target.
//!
//! The password leaves this module only towards the server: it is in no `Debug`,
//! no error and no address.

use super::slots;
use crate::access::{Access, ExposeSecret, SecretString, Stream, is_path};
use crate::driver::{DriverError, Outgoing};
use crate::model::System;
use crate::wire::redis::Malformed;
use std::fmt;
use std::time::Duration;

#[derive(Clone)]
pub struct Endpoint {
    pub system: System,
    address: String,
    access: Access,
}

impl Endpoint {
    /// A server that is reached in the clear and without a login,
    /// unless [`Endpoint::through`] says otherwise.
    pub fn parse(system: System, address: &str) -> Result<Self, DriverError> {
        let parts = address.rsplit_once(':');
        let whole =
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        // What is refused is not shown: it may be a URL with a password.
        if address.contains('@') || !is_path(address) && (!whole || address.contains('/')) {
            let (action, cause) =
                ("reading the Redis address".into(), "neither host:port nor a path".into());
            return Err(DriverError::Refused { system, action, cause });
        }
        Ok(Self { system, address: address.to_owned(), access: Access::default() })
    }

    pub fn through(self, access: &Access) -> Self {
        Self { access: access.clone(), ..self }
    }

    /// `host:port`, fit for errors and reports.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Another server, reached as this one is.
    pub fn at(&self, address: &str) -> Result<Self, DriverError> {
        Ok(Self::parse(self.system, address)?.through(&self.access))
    }

    /// A connected blocking socket.
    pub fn connect(&self, limit: Duration) -> Result<Stream, DriverError> {
        self.access.connect(&self.address, limit).map_err(|cause| self.broken(&cause))
    }

    /// The commands that must come first on each connection, with what each is for.
    pub fn greeting(&self) -> Result<Vec<(&'static str, Vec<u8>)>, DriverError> {
        let mut greeting = vec![];
        greeting.extend(self.login()?.map(|command| ("AUTH", command)));
        let database = self.access.database();
        if database != 0 {
            greeting.push(("SELECT", redis::cmd("SELECT").arg(database).get_packed_command()));
        }
        Ok(greeting)
    }

    /// The command that logs in, where the target says how: by a password, or by the newest token.
    pub fn login(&self) -> Result<Option<Vec<u8>>, DriverError> {
        let auth = |user: Option<&str>, password: &SecretString| {
            redis::cmd("AUTH").arg(user).arg(password.expose_secret()).get_packed_command()
        };
        if let Some(login) = self.access.tokens() {
            let token = login.tokens.current().map_err(|why| self.refused("AUTH", why))?;
            return Ok(Some(auth(login.user.as_deref(), &token.value)));
        }
        Ok(self.access.login().map(|login| auth(login.user.as_deref(), &login.password)))
    }
}

/// What goes wrong between us and the server, as errors that name it.
impl Endpoint {
    pub fn lost(&self, cause: impl Into<String>) -> DriverError {
        DriverError::Disconnected {
            system: self.system,
            address: self.address(),
            cause: cause.into(),
        }
    }

    /// Lost by an error of the socket.
    pub fn broken(&self, cause: &impl ToString) -> DriverError {
        self.lost(cause.to_string())
    }

    pub fn refused(&self, action: impl Into<String>, cause: impl Into<String>) -> DriverError {
        DriverError::Refused { system: self.system, action: action.into(), cause: cause.into() }
    }

    pub fn timed_out(&self, action: impl Into<String>, limit: Duration) -> DriverError {
        DriverError::TimedOut {
            system: self.system,
            action: action.into(),
            seconds: limit.as_secs(),
        }
    }

    pub fn cannot(&self, action: &str, because: &str) -> DriverError {
        DriverError::Cannot { system: self.system, action: action.into(), because: because.into() }
    }

    /// A message for a connection or a stream that there is not.
    pub fn no_lane(&self, message: &Outgoing<'_>) -> DriverError {
        let Outgoing { connection, partition, .. } = message;
        self.refused("submit", format!("no connection {connection} or no partition {partition}"))
    }

    pub fn malformed(&self, cause: Malformed) -> DriverError {
        DriverError::Protocol { system: self.system, cause: cause.0 }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.address).finish()
    }
}

/// Why something must be tried again, in words that are the same each time: also without the slot
/// of a redirection.
pub fn reason(error: &DriverError) -> String {
    if let DriverError::Refused { cause, .. } | DriverError::Protocol { cause, .. } = error
        && let Some(redirected) = slots::redirection(cause)
    {
        return redirected.into();
    }
    error.reason()
}

#[cfg(test)]
mod tests {
    use super::super::SET_UP;
    use super::*;
    use crate::access::{Login, Mechanism, SecretString, Terms};

    fn secured(user: Option<&str>, database: u32) -> Access {
        let (user, password) = (user.map(str::to_owned), SecretString::from("hunter2"));
        let login = Some(Login { user, password, mechanism: Mechanism::Plain });
        Terms { login, database, ..Terms::default() }.into()
    }

    #[test]
    fn addresses_are_read_and_greeted_as_their_target_says() {
        let plain = Endpoint::parse(System::RedisLists, "127.0.0.1:7001").unwrap();
        assert_eq!(plain.address(), "127.0.0.1:7001");
        assert!(plain.greeting().unwrap().is_empty());
        let full = Endpoint::parse(System::RedisLists, "[::1]:7002")
            .unwrap()
            .through(&secured(Some("me"), 3));
        let greeting = full.greeting().unwrap();
        assert_eq!(greeting[0].1, b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$7\r\nhunter2\r\n");
        assert_eq!(greeting[1].1, b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
        let nameless = plain.clone().through(&secured(None, 0)).greeting().unwrap();
        assert_eq!(nameless[0].1, b"*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n");
        let other = full.at("127.0.0.1:2").unwrap();
        let again = other.greeting().unwrap();
        assert_eq!((other.address(), again), ("127.0.0.1:2".to_owned(), greeting));
    }

    #[test]
    fn a_password_shows_nowhere() {
        let endpoint =
            Endpoint::parse(System::RedisLists, "127.0.0.1:1").unwrap().through(&secured(None, 0));
        let closed = endpoint.connect(SET_UP).err().unwrap();
        for text in
            [format!("{endpoint:?}"), endpoint.address(), closed.to_string(), format!("{closed:?}")]
        {
            assert!(!text.contains("hunter2"), "{text}");
        }
        for bad in ["redis://:hunter2@host:1", ":hunter2@host:1", "hunter2@:x:y", "hunter2", ":1"] {
            let text = Endpoint::parse(System::RedisLists, bad).unwrap_err().to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
