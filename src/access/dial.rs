//! From an address to a connection: looked up, judged, connected,
//! in this order and by the same lookup.

use super::{Access, Mechanism, Stream};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a name may take to be looked up where nobody says otherwise.
const LOOK_UP: Duration = Duration::from_secs(5);

/// Why there is no connection, without the address, which the caller knows, and with a remedy where
/// there is one.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the name cannot be looked up: {0}; correct the address")]
    Unknown(String),
    #[error(
        "it is not on this machine (it is {0}): a load test can bring down what others rely on; \
         add --allow-remote if you own it"
    )]
    Remote(IpAddr),
    #[error(
        "it is not on this machine (it is {0}), and the password or token would cross the network \
        in the clear; add TLS"
    )]
    InTheClear(IpAddr),
    #[error("{0}")]
    Unreachable(#[from] std::io::Error),
    /// In words of [`super::words`].
    #[error("{0}")]
    Tls(String),
}

impl Access {
    /// What `host:port` stands for, if all of it may be connected to.
    pub fn permit(&self, address: &str) -> Result<Vec<SocketAddr>, AccessError> {
        self.permit_within(address, LOOK_UP)
    }

    fn permit_within(
        &self,
        address: &str,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, AccessError> {
        if is_path(address) {
            return Ok(Vec::new());
        }
        let found = look_up(address, limit)?;
        let beyond = found.iter().map(SocketAddr::ip).find(|ip| !ip.to_canonical().is_loopback());
        let told = self.tokens().is_some()
            || self.login().is_some_and(|login| login.mechanism == Mechanism::Plain);
        match beyond {
            Some(ip) if !self.remote() => Err(AccessError::Remote(ip)),
            Some(ip) if told && self.tls().is_none() => Err(AccessError::InTheClear(ip)),
            _ => Ok(found),
        }
    }

    /// A connected blocking socket with `TCP_NODELAY`, behind TLS where that is said. All within
    /// `limit` for each address that the name stands for. The path of a socket of this machine is
    /// an address too: what is read, written and waited for is the same.
    pub fn connect(&self, address: &str, limit: Duration) -> Result<Stream, AccessError> {
        if is_path(address) {
            let socket = OwnedFd::from(UnixStream::connect(address)?);
            return Ok(Stream::Plain(socket.into()));
        }
        let mut last = AccessError::Unknown("it has no address".into());
        for found in self.permit_within(address, limit)? {
            match TcpStream::connect_timeout(&found, limit) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    return match self.tls() {
                        None => Ok(Stream::Plain(socket)),
                        Some(tls) => {
                            Stream::behind(tls, socket, host(address), Instant::now() + limit)
                        }
                    };
                }
                Err(cause) => last = cause.into(),
            }
        }
        Err(last)
    }
}

/// Of a socket of this machine; everything else is `host:port`.
pub fn is_path(address: &str) -> bool {
    address.starts_with('/')
}

/// What stands before the port, without the brackets of an IPv6 address.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Every address that a name stands for. The system's resolver knows no deadline: it gets a thread
/// to be late on.
fn look_up(address: &str, limit: Duration) -> Result<Vec<SocketAddr>, AccessError> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = address.to_owned();
    let find = move || sender.send(name.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    std::thread::Builder::new().name("look-up".into()).spawn(find)?;
    match receiver.recv_timeout(limit) {
        Ok(Ok(found)) if !found.is_empty() => Ok(found),
        Ok(Ok(_)) => Err(AccessError::Unknown("it has no address".into())),
        Ok(Err(error)) => Err(AccessError::Unknown(error.to_string())),
        Err(_) => {
            Err(AccessError::Unknown(format!("no answer within {:.1} s", limit.as_secs_f64())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Login, SecretString, Terms};
    use super::*;

    fn access(remote: bool, login: Option<Mechanism>) -> Access {
        let login = login.map(|mechanism| Login {
            user: Some("me".into()),
            password: SecretString::from("s3cret-sentinel"),
            mechanism,
        });
        Terms { remote, login, ..Terms::default() }.into()
    }

    #[test]
    fn only_this_machine_without_leave() {
        let strict = Access::default();
        for near in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "127.9.9.9:1", "localhost:1"]
        {
            assert!(strict.permit(near).is_ok(), "{near}");
        }
        for far in ["192.0.2.1:9092", "0.0.0.0:1", "[::]:1", "[::ffff:192.0.2.1]:1", "10.0.0.1:1"] {
            let error = strict.permit(far).unwrap_err().to_string();
            assert!(
                error.contains("--allow-remote") && error.contains("not on this machine"),
                "{far}: {error}"
            );
            assert!(matches!(strict.connect(far, LOOK_UP), Err(AccessError::Remote(_))), "{far}");
        }
        assert!(access(true, None).permit("192.0.2.1:9092").is_ok());
    }

    #[test]
    fn a_password_that_is_said_does_not_cross_a_network_in_the_clear() {
        let clear = access(true, Some(Mechanism::Plain));
        assert!(clear.permit("127.0.0.1:1").is_ok());
        let error = clear.permit("192.0.2.1:1").unwrap_err().to_string();
        assert!(error.contains("in the clear") && error.contains("TLS"), "{error}");
        assert!(access(true, Some(Mechanism::ScramSha256)).permit("192.0.2.1:1").is_ok());
    }

    #[test]
    fn names_and_ports() {
        assert_eq!(
            (host("a.b:1"), host("[::1]:1"), host("127.0.0.1:2")),
            ("a.b", "::1", "127.0.0.1")
        );
        assert!(matches!(
            Access::default().permit("no-such-host.invalid:1"),
            Err(AccessError::Unknown(_))
        ));
        assert!(matches!(
            Access::default().connect("127.0.0.1:1", LOOK_UP),
            Err(AccessError::Unreachable(_))
        ));
    }

    #[test]
    fn a_password_shows_nowhere() {
        let shown = format!("{:?}", access(false, Some(Mechanism::Plain)));
        assert!(shown.contains("me") && !shown.contains("s3cret"), "{shown}");
    }
}
