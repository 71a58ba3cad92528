//! A connection of our own to one Kafka node, behind TLS and logged in where that is said: what every part of this driver
//! uses that speaks the protocol itself.
//!
//! Everything is bounded by the time-out it was opened with, until its user sets another one.

use super::sasl::{self, Scram};
use crate::access::{Access, Login, Mechanism, Stream};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

/// The first version of Metadata that tells a leader's epoch.
pub const METADATA: i16 = 7;
/// The first version after which tokens go in requests of their own.
const SASL_HANDSHAKE: i16 = 1;
const SASL_AUTHENTICATE: i16 = 1;
const CORRELATION: i32 = 1;
/// Answers beyond this are none to our questions.
const LONGEST: usize = 16 << 20;
/// How long a step of [`knock`] may take.
const KNOCK: Duration = Duration::from_secs(5);

pub struct Link {
    pub stream: Stream,
}

impl Link {
    /// Connects and logs in, each step within `limit`. The error does not name the address.
    pub fn open(address: &str, access: &Access, limit: Duration) -> Result<Self, String> {
        let stream = access.connect(address, limit).map_err(|error| error.to_string())?;
        let words = |error: std::io::Error| error.to_string();
        stream.set_read_timeout(limit).and_then(|()| stream.set_write_timeout(limit)).map_err(words)?;
        let mut link = Self { stream };
        if let Some(login) = access.login() {
            link.log_in(login)?;
        }
        Ok(link)
    }

    fn log_in(&mut self, login: &Login) -> Result<(), String> {
        let mechanism = login.mechanism.name();
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer: SaslHandshakeResponse = self.ask(ApiKey::SaslHandshake, SASL_HANDSHAKE, &request)?;
        match ResponseError::try_from_code(answer.error_code) {
            None => {}
            Some(ResponseError::UnsupportedSaslMechanism) => {
                let known = answer.mechanisms.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(format!("it knows no login by {mechanism}, but by {known}; correct `sasl.mechanism`"));
            }
            Some(error) => {
                return Err(format!("it takes no login there ({error:?}); leave `sasl` out, or name the other port"));
            }
        }
        if login.mechanism == Mechanism::Plain {
            return self.authenticate(sasl::plain(login)).map(|_| ());
        }
        let mut scram = Scram::new(login)?;
        let challenge = self.authenticate(scram.first())?;
        let last = self.authenticate(scram.proof(&challenge)?)?;
        scram.verify(&last)
    }

    fn authenticate(&mut self, token: Vec<u8>) -> Result<Vec<u8>, String> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token.into());
        let answer: SaslAuthenticateResponse = self.ask(ApiKey::SaslAuthenticate, SASL_AUTHENTICATE, &request)?;
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(answer.auth_bytes.to_vec()),
            Some(error) => {
                let words = answer.error_message.as_deref().unwrap_or_default();
                let words = if words.is_empty() { format!("{error:?}") } else { shown(words) };
                Err(format!("the login was refused: {words}; correct the user, the password or `sasl.mechanism`"))
            }
        }
    }

    /// One request and its answer.
    pub fn ask<Q, A>(&mut self, key: ApiKey, version: i16, request: &Q) -> Result<A, String>
    where
        Q: Encodable + HeaderVersion,
        A: Decodable + HeaderVersion,
    {
        self.stream.write_all(&frame(key, version, request)?).map_err(|error| broken(&error))?;
        let mut head = [0; 8];
        // An alert of TLS, in whatever version, is shorter than any answer.
        self.stream.read_exact(&mut head[..2]).map_err(|error| broken(&error))?;
        if head[..2] == [0x15, 3] {
            return Err("it speaks TLS there: add `tls` to the target, or name its plain port".into());
        }
        self.stream.read_exact(&mut head[2..]).map_err(|error| broken(&error))?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if !(4..=LONGEST).contains(&length) || head[4..] != CORRELATION.to_be_bytes() {
            return Err("what answers there is no Kafka broker".into());
        }
        let mut answer = head[4..].to_vec();
        answer.resize(length, 0);
        self.stream.read_exact(&mut answer[4..]).map_err(|error| broken(&error))?;
        let mut rest = answer.as_slice();
        let unreadable = |error| format!("an unreadable answer: {error}");
        ResponseHeader::decode(&mut rest, A::header_version(version)).map_err(unreadable)?;
        A::decode(&mut rest, version).map_err(unreadable)
    }
}

/// Whether a broker answers there; the addresses that it sends clients to.
pub fn knock(address: &str, access: &Access) -> Result<Vec<String>, String> {
    let mut link = Link::open(address, access, KNOCK)?;
    // No topic: the nodes alone.
    let request = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
    let answer: MetadataResponse = link.ask(ApiKey::Metadata, METADATA, &request)?;
    let place =
        |host: &str, port: i32| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok(answer.brokers.iter().map(|broker| place(&shown(broker.host.as_str()), broker.port)).collect())
}

fn frame<Q: Encodable + HeaderVersion>(key: ApiKey, version: i16, request: &Q) -> Result<Vec<u8>, String> {
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(CORRELATION)
        .with_client_id(Some(StrBytes::from_static_str("brokerbench")));
    let mut bytes = vec![0; 4];
    let encoded = header.encode(&mut bytes, Q::header_version(version));
    encoded.and_then(|()| request.encode(&mut bytes, version)).map_err(|error| error.to_string())?;
    let size = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    Ok(bytes)
}

fn broken(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it closed the connection instead of an answer: it may demand TLS or a login (`tls` and `sasl` of the \
             target), or be no Kafka broker"
                .into()
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".into(),
        _ => error.to_string(),
    }
}

/// Words of a broker as they may go to a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that reads something, answers with `reply` and hangs up.
    fn answering(reply: &'static [u8]) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(reply);
        });
        address.to_string()
    }

    #[test]
    fn requests_carry_their_length() {
        let bytes = frame(ApiKey::Metadata, METADATA, &MetadataRequest::default()).unwrap();
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        assert_eq!(bytes[4..8], [0, 3, 0, 7]);
    }

    #[test]
    fn whoever_is_no_broker_in_the_clear_is_told_apart() {
        for (reply, words) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "no Kafka broker"),
            (b"\x15\x03\x03\0\x02\x02\x50", "speaks TLS"),
            (b"", "may demand TLS or a login"),
        ] {
            let error = knock(&answering(reply), &Access::default()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
