//! What is an address: `host:port` in its plain form, and of Redis also a socket of this machine.

use crate::access::is_path;

pub const SOCKET: &str = "unix://";
/// Ports that Redis and its Sentinels have where nobody says otherwise.
pub const SERVER: u16 = 6379;
pub const SENTINEL: u16 = 26379;

/// `unix:///path` as its path, or `host:port`.
pub fn socket_or_server(text: &str) -> Option<String> {
    let Some(path) = text.strip_prefix(SOCKET) else { return host_and_port(text, Some(SERVER)) };
    let plain = |c: char| !c.is_control() && c != '@';
    (is_path(path) && path.len() > 1 && path.chars().all(plain)).then(|| path.to_owned())
}

/// `host:port` in its plain form; IPv6 in brackets.
pub fn host_and_port(text: &str, default: Option<u16>) -> Option<String> {
    let in_brackets = text.starts_with('[') && text.ends_with(']');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !in_brackets => (host, Some(port.parse().ok()?)),
        _ => (text, default),
    };
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || "-._".contains(c) || (name.is_some() && ":%".contains(c))
    };
    let plain = !name.unwrap_or(host).is_empty() && name.unwrap_or(host).chars().all(allowed);
    let port = port.filter(|port| *port > 0)?;
    plain.then(|| format!("{host}:{port}"))
}
