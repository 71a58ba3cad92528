//! Where a Redis server is and how to log in: `host:port` or a `redis://user:password@host:port/db` URL.
//!
//! The password leaves this module only towards the server: it is in no `Debug`, no error and no address.

use super::resp;
use crate::driver::DriverError;
use crate::scenario::System;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::fmt;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a connection may take to be made, and a set-up command to be answered.
pub const SET_UP: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Endpoint {
    pub system: System,
    host: String,
    port: u16,
    info: ConnectionInfo,
}

impl Endpoint {
    pub fn parse(system: System, address: &str) -> Result<Self, DriverError> {
        let refuse = |cause: String| DriverError::Refused { system, action: "reading the Redis address".into(), cause };
        let url = if address.contains("://") { address.to_owned() } else { format!("redis://{address}") };
        if url.starts_with("rediss://") || url.starts_with("valkeys://") {
            return Err(refuse("TLS is not supported; give a redis:// URL or host:port".into()));
        }
        // The crate's errors do not quote the URL, but `Redis URL did not parse` helps nobody.
        let info = url.into_connection_info().map_err(|cause| {
            refuse(format!("not of the form host:port or redis://user:password@host:port/db ({})", cause.category()))
        })?;
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => Ok(Self { system, host: host.clone(), port: *port, info }),
            _ => Err(refuse("only TCP addresses are supported".into())),
        }
    }

    /// `host:port`, fit for errors and reports.
    pub fn address(&self) -> String {
        let bracket = self.host.contains(':');
        if bracket { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// For the redis crate, which serves the control path.
    pub fn info(&self) -> ConnectionInfo {
        self.info.clone()
    }

    /// Another server, with the login and the database of this one.
    pub fn at(&self, address: &str) -> Result<Self, DriverError> {
        let other = Self::parse(self.system, address)?;
        let info = self.info.clone().set_addr(ConnectionAddr::Tcp(other.host.clone(), other.port));
        Ok(Self { info, ..other })
    }

    /// A connected blocking socket with `TCP_NODELAY`.
    pub fn connect(&self, limit: Duration) -> Result<TcpStream, DriverError> {
        let lost = |cause: std::io::Error| self.lost(cause.to_string());
        let mut last = std::io::Error::other("the host name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs().map_err(lost)? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(lost)?;
                    return Ok(stream);
                }
                Err(cause) => last = cause,
            }
        }
        Err(lost(last))
    }

    /// The commands that must come first on each connection, with what each is for.
    pub fn greeting(&self) -> Vec<(&'static str, Vec<u8>)> {
        let settings = self.info.redis_settings();
        let mut greeting = vec![];
        if let Some(password) = settings.password() {
            let mut command = vec![];
            match settings.username() {
                Some(user) => resp::command(&mut command, &[b"AUTH", user.as_bytes(), password.as_bytes()]),
                None => resp::command(&mut command, &[b"AUTH", password.as_bytes()]),
            }
            greeting.push(("AUTH", command));
        }
        if settings.db() != 0 {
            let mut command = vec![];
            resp::command(&mut command, &[b"SELECT", settings.db().to_string().as_bytes()]);
            greeting.push(("SELECT", command));
        }
        greeting
    }

    pub fn lost(&self, cause: impl Into<String>) -> DriverError {
        DriverError::Disconnected { system: self.system, address: self.address(), cause: cause.into() }
    }

    pub fn refused(&self, action: impl Into<String>, cause: impl Into<String>) -> DriverError {
        DriverError::Refused { system: self.system, action: action.into(), cause: cause.into() }
    }

    pub fn timed_out(&self, action: impl Into<String>, limit: Duration) -> DriverError {
        DriverError::TimedOut { system: self.system, action: action.into(), seconds: limit.as_secs() }
    }

    pub fn malformed(&self, cause: resp::Malformed) -> DriverError {
        DriverError::Protocol { system: self.system, cause: cause.0 }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.address()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_url_addresses_are_read() {
        let plain = Endpoint::parse(System::RedisLists, "127.0.0.1:7001").unwrap();
        assert_eq!(plain.address(), "127.0.0.1:7001");
        assert!(plain.greeting().is_empty());
        let url = Endpoint::parse(System::RedisLists, "redis://me:s%40crt@[::1]:7002/3").unwrap();
        assert_eq!(url.address(), "[::1]:7002");
        let greeting = url.greeting();
        assert_eq!(greeting[0].1, b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$5\r\ns@crt\r\n");
        assert_eq!(greeting[1].1, b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    }

    #[test]
    fn another_server_is_asked_with_the_same_login() {
        let url = Endpoint::parse(System::RedisLists, "redis://:hunter2@127.0.0.1:1/3").unwrap();
        let other = url.at("127.0.0.1:2").unwrap();
        assert_eq!((other.address(), other.greeting()), ("127.0.0.1:2".to_owned(), url.greeting()));
        assert!(!format!("{other:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_shows_nowhere() {
        let url = Endpoint::parse(System::RedisLists, "redis://:hunter2@127.0.0.1:1").unwrap();
        let closed = url.connect(SET_UP).unwrap_err();
        for text in [format!("{url:?}"), url.address(), closed.to_string(), format!("{closed:?}")] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        for bad in ["redis://:hunter2@", "rediss://:hunter2@host:1", "redis://:hunter2@host:1/x", "hunter2@:x:y"] {
            let text = Endpoint::parse(System::RedisLists, bad).unwrap_err().to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
