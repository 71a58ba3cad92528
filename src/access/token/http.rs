//! One request by HTTP to whoever gives tokens, over the same way as to brokers: the address is
//! judged, TLS verified, everything bounded.
//!
//! HTTP/1.0, so that an answer ends with its connection and comes in one piece.

use crate::access::Access;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::Write;
use std::time::{Duration, Instant};

/// For the whole of it.
const LIMIT: Duration = Duration::from_secs(10);
/// Answers beyond this give no token.
const LONGEST: usize = 256 << 10;
/// What stands for itself in a URL (RFC 3986, section 2.3).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As a part of a URL or of a form.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    pub tls: bool,
    /// `host:port`
    pub address: String,
    /// With the leading slash, and a query where there is one.
    pub path: String,
}

impl HttpUrl {
    pub fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return None,
        };
        let slash = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(slash);
        let path = if path.is_empty() { "/" } else { path };
        let bare = host.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'));
        let usual = if tls { 443 } else { 80 };
        let address = if bare { format!("{host}:{usual}") } else { host.to_owned() };
        let (name, port) = address.rsplit_once(':')?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._[]:%".contains(c);
        let right = !name.is_empty()
            && name.chars().all(allowed)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
            && path.chars().all(|c| c.is_ascii_graphic() && c != '#');
        right.then(|| Self { tls, path: path.to_owned(), address })
    }

    fn host(&self) -> &str {
        let usual = if self.tls { ":443" } else { ":80" };
        self.address.strip_suffix(usual).unwrap_or(&self.address)
    }

    /// Posts a form; the status and the body of the answer.
    pub fn post(
        &self,
        access: &Access,
        authorization: &str,
        form: &str,
    ) -> Result<(u16, Vec<u8>), String> {
        let deadline = Instant::now() + LIMIT;
        let mut stream = access.connect(&self.address, LIMIT).map_err(|error| error.to_string())?;
        let request = format!(
            "POST {} HTTP/1.0\r\nHost: {}\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Accept: application/json\r\nUser-Agent: brokerbench\r\n\r\n{form}",
            self.path,
            self.host(),
            form.len()
        );
        let broken = |error: std::io::Error| error.to_string();
        stream.set_write_timeout(LIMIT).map_err(broken)?;
        stream.write_all(request.as_bytes()).map_err(broken)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read_by(&mut piece, deadline).map_err(broken)? {
                0 => break,
                read => answer.extend_from_slice(&piece[..read]),
            }
            if answer.len() > LONGEST {
                return Err(format!("its answer is longer than {LONGEST} B"));
            }
        }
        read_answer(&answer).ok_or_else(|| "what answers there does not speak HTTP".into())
    }
}

/// The status, and what follows the empty line.
pub fn read_answer(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let (version, rest) = head.lines().next()?.split_once(' ')?;
    let status = rest.split(' ').next()?.parse().ok()?;
    version.starts_with("HTTP/1.").then(|| (status, answer[end + 4..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = HttpUrl::parse("https://login.example/realms/x/token?a=b").unwrap();
        assert_eq!((url.tls, url.address.as_str()), (true, "login.example:443"));
        assert_eq!((url.path.as_str(), url.host()), ("/realms/x/token?a=b", "login.example"));
        let url = HttpUrl::parse("http://[::1]:8080").unwrap();
        assert_eq!((url.tls, url.address.as_str(), url.path.as_str()), (false, "[::1]:8080", "/"));
        assert_eq!(HttpUrl::parse("http://[::1]").unwrap().address, "[::1]:80");
        for bad in ["", "ftp://a", "https://", "https://:1/x", "https://a:b/x", "https://u@h/"] {
            assert!(HttpUrl::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(encoded("kafka-cluster:Connect/~ä"), "kafka-cluster%3AConnect%2F~%C3%A4");
    }

    #[test]
    fn answers_are_read_whatever_they_are() {
        let whole = b"HTTP/1.1 401 Unauthorized\r\nA: b\r\n\r\n{\"x\":1}";
        assert_eq!(read_answer(whole), Some((401, b"{\"x\":1}".to_vec())));
        for end in 0..whole.len() {
            let _ = read_answer(&whole[..end]);
        }
        for bad in [&b""[..], b"\r\n\r\n", b"SMTP 200\r\n\r\n", b"HTTP/1.0 x\r\n\r\n"] {
            assert_eq!(read_answer(bad), None);
        }
    }
}
