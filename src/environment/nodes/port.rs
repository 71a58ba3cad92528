//! Free loopback ports, or the one that the user pinned.

use crate::environment::{EnvironmentError, program};
use std::io;
use std::net::TcpListener;

/// So many different ports that nobody else gets as long as the listeners live. They are free when
/// these are dropped; whoever uses them then must be ready to try again.
pub fn free<const N: usize>() -> Result<([u16; N], Vec<TcpListener>), EnvironmentError> {
    let failed = |error: io::Error| {
        EnvironmentError::refused(
            format!("no free port on 127.0.0.1 ({error})"),
            "bring the loopback interface up (`ip link set lo up`), and end what holds thousands \
            of connections",
        )
    };
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        listeners.push(listener);
    }
    Ok((ports, listeners))
}

/// The port that `variable` names, checked to be free; `None` when the variable is not set.
pub fn pinned(variable: &str) -> Result<Option<u16>, EnvironmentError> {
    program::variable(variable).map(|value| check(variable, &value)).transpose()
}

fn check(variable: &str, value: &str) -> Result<u16, EnvironmentError> {
    let port = value.parse::<u16>().ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| {
        EnvironmentError::refused(
            format!("{variable}=`{value}` is not a port"),
            "write a number from 1 to 65535",
        )
    })?;
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(EnvironmentError::refused(
            format!("port {port} (from {variable}) is taken"),
            format!("stop what listens there, or unset {variable} for a free port"),
        )),
        Err(error) => Err(EnvironmentError::refused(
            format!("port {port} (from {variable}) cannot be used ({error})"),
            format!("unset {variable} for a free port"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let ([a, b, c], _) = free::<3>().unwrap();
        assert!(a != b && b != c && a != c && a > 0);
    }

    #[test]
    fn a_taken_port_is_named_with_its_variable() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = check("SOME_PORT", &port.to_string()).unwrap_err().to_string();
        assert!(
            error.contains(&port.to_string())
                && error.contains("SOME_PORT")
                && error.contains("taken"),
            "{error}"
        );
        drop(taken);
        assert_eq!(check("SOME_PORT", &port.to_string()).unwrap(), port);
        assert!(check("SOME_PORT", "junk").is_err() && check("SOME_PORT", "0").is_err());
    }
}
