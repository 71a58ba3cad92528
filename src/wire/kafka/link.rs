//! A connection of our own to one Kafka node, behind TLS and logged in where that is said: what
//! every part of this driver uses that speaks the protocol itself.
//!
//! Every answer is bounded in time, as a whole, and in length;
//! what it says is not trusted ([`super::answers`]).

use super::answers::{
    LOG_DIRS, METADATA, SASL_AUTHENTICATE, SASL_HANDSHAKE, View, authenticated, handshake, log_dir,
    unreadable,
};
use super::frame::{self, Api, CORRELATION, Fields};
use super::sasl::{self, Scram};
use crate::access::{Access, ExposeSecret, Login, Mechanism, OAUTHBEARER, Stream, Token, Tokens};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    DescribeLogDirsRequest, MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Who asks.
pub const CLIENT: &str = "brokerbench";
/// Answers beyond this are none to our questions.
const LONGEST: usize = 16 << 20;
/// Likewise before a login.
const LONGEST_LOGIN: usize = 64 << 10;
/// Said where a login by password is refused.
const WRONG_LOGIN: &str = "correct the user, the password or `sasl.mechanism`";
const TOO_MANY: &str = "a broker of MSK takes few new connections a second (4 on t3.small): wait a \
    minute, and lower `producers`, `connections` or `consumers`";
/// How long a step of [`ping`] may take.
const PING: Duration = Duration::from_secs(5);

/// What comes on a stream until a deadline, however few bytes come at a time.
pub struct ReadUntil<'a>(pub &'a mut Stream, pub Instant);

impl Read for ReadUntil<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_by(into, self.1)
    }
}

pub struct Link {
    pub stream: Stream,
    /// For each answer.
    limit: Duration,
    longest: usize,
}

impl Link {
    /// Connects and logs in, each step within `limit`, and so each answer afterwards. The error
    /// does not name the address.
    pub fn open(address: &str, access: &Access, limit: Duration) -> Result<Self, String> {
        let stream = access.connect(address, limit).map_err(|error| error.to_string())?;
        stream.set_write_timeout(limit).map_err(|error| error.to_string())?;
        let mut link = Self { stream, limit, longest: LONGEST_LOGIN };
        match (access.tokens(), access.login()) {
            (Some(login), _) => link.bear(&login.tokens)?,
            (None, Some(login)) => link.log_in(login)?,
            (None, None) => {}
        }
        link.longest = LONGEST;
        Ok(link)
    }

    fn log_in(&mut self, login: &Login) -> Result<(), String> {
        self.choose(login.mechanism.name())?;
        if login.mechanism == Mechanism::Plain {
            return self.authenticate(sasl::plain(login), WRONG_LOGIN).map(|_| ());
        }
        let mut scram = Scram::new(login)?;
        let challenge = self.authenticate(scram.first(), WRONG_LOGIN)?;
        let last = self.authenticate(scram.proof(&challenge)?, WRONG_LOGIN)?;
        scram.verify(&last)
    }

    /// Logs in by a token, which is not shown if whoever refuses it repeats it.
    fn bear(&mut self, tokens: &Tokens) -> Result<(), String> {
        let token = tokens.current()?;
        let borne = self.bear_one(&token, &tokens.reasons());
        borne.map_err(|why| why.replace(token.value.expose_secret(), "***"))
    }

    /// Whoever refuses it may tell why in an answer that is no error yet.
    fn bear_one(&mut self, token: &Token, reasons: &str) -> Result<(), String> {
        self.choose(OAUTHBEARER)?;
        let told = self.authenticate(sasl::bearer(token), reasons)?;
        if told.is_empty() {
            return Ok(());
        }
        let told = shown(&String::from_utf8_lossy(&told));
        self.authenticate(sasl::HEARD.to_vec(), &format!("it tells {told}; {reasons}"))?;
        Err(format!("the login was refused: it tells {told}; {reasons}"))
    }

    /// Says by which mechanism the login will be.
    fn choose(&mut self, mechanism: &'static str) -> Result<(), String> {
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.ask(SASL_HANDSHAKE, &request)?;
        let (error, known) = handshake(Fields(&answer)).map_err(unreadable)?;
        match ResponseError::try_from_code(error) {
            None => Ok(()),
            Some(ResponseError::UnsupportedSaslMechanism) => {
                let known = shown(&known.join(", "));
                Err(format!(
                    "it knows no login by {mechanism}, but by {known}; correct `sasl.mechanism`"
                ))
            }
            Some(error) => Err(format!(
                "it takes no login there ({error:?}); leave `sasl` out, or name the other port"
            )),
        }
    }

    /// One step of a login; `remedy` is said where it is refused.
    fn authenticate(&mut self, token: Vec<u8>, remedy: &str) -> Result<Vec<u8>, String> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token.into());
        let answer = self.ask(SASL_AUTHENTICATE, &request)?;
        let (error, words, token) = authenticated(Fields(&answer)).map_err(unreadable)?;
        match ResponseError::try_from_code(error) {
            None => Ok(token),
            Some(error) => {
                let words = if words.is_empty() { format!("{error:?}") } else { shown(&words) };
                // MSK's words where more clients come at once than it takes.
                let remedy = if words.contains("Too many connects") { TOO_MANY } else { remedy };
                Err(format!("the login was refused: {words}; {remedy}"))
            }
        }
    }

    /// One request, and what follows the correlation id in its answer.
    pub fn ask<Q: Encodable + HeaderVersion>(
        &mut self,
        api: Api,
        request: &Q,
    ) -> Result<Vec<u8>, String> {
        self.exchange(&frame::request(CLIENT, api, CORRELATION, request)?)
    }

    /// One frame of number [`CORRELATION`], and what follows that in its answer.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        let deadline = Instant::now() + self.limit;
        self.stream.write_all(request).map_err(|error| self.broken(&error))?;
        let mut head = [0; 8];
        // An alert of TLS, in whatever version, is shorter than any answer.
        self.read(&mut head[..2], deadline)?;
        if head[..2] == [0x15, 3] {
            return Err(
                "it speaks TLS there; add `tls` to the target, or name its plain port".into()
            );
        }
        self.read(&mut head[2..], deadline)?;
        let length = frame::body_length(head, CORRELATION, self.longest);
        let mut answer = vec![0; length.ok_or("what answers there is no Kafka broker")?];
        self.read(&mut answer, deadline)?;
        Ok(answer)
    }

    fn read(&mut self, into: &mut [u8], deadline: Instant) -> Result<(), String> {
        ReadUntil(&mut self.stream, deadline).read_exact(into).map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                String::from(
                    "it closed the connection instead of an answer; it may demand TLS or a login \
                     (`tls` and `sasl` of the target), or be no Kafka broker",
                )
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!(
                    "it takes connections and gives no answer within {} s",
                    self.limit.as_secs()
                )
            }
            _ => error.to_string(),
        }
    }
}

/// Whether a broker answers there; the addresses that it sends clients to.
pub fn ping(address: &str, access: &Access) -> Result<Vec<String>, String> {
    let mut link = Link::open(address, access, PING)?;
    // No topic: the nodes alone.
    let request = MetadataRequest::default()
        .with_topics(Some(Vec::new()))
        .with_allow_auto_topic_creation(false);
    let answer = link.ask(METADATA, &request)?;
    let view = View::read(Fields(&answer)).map_err(unreadable)?;
    // To be judged and connected to, so never another than the one that other clients are told.
    let plain = |address: String| match shown(&address) {
        same if same == address => Ok(address),
        other => Err(format!(
            "it sends clients to what is no address (`{other}`); correct `advertised.listeners`"
        )),
    };
    view.brokers.into_iter().map(|(_, address)| plain(address)).collect()
}

/// Where the node at `address` keeps its data, and the name of its cluster; `None` where it does
/// not tell.
pub fn data_folder(address: &str, access: &Access) -> Option<(String, String)> {
    let mut link = Link::open(address, access, PING).ok()?;
    let nodes = MetadataRequest::default()
        .with_topics(Some(Vec::new()))
        .with_allow_auto_topic_creation(false);
    let cluster = View::read(Fields(&link.ask(METADATA, &nodes).ok()?)).ok()?.cluster;
    let request = DescribeLogDirsRequest::default().with_topics(Some(Vec::new()));
    let folder = log_dir(Fields(&link.ask(LOG_DIRS, &request).ok()?)).ok()??;
    Some((folder, cluster))
}

/// Words of a broker as they may go to a terminal.
pub(super) fn shown(text: &str) -> String {
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
    fn whoever_is_no_broker_in_the_clear_is_told_apart() {
        for (reply, words) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "no Kafka broker"),
            (b"\x15\x03\x03\0\x02\x02\x50", "speaks TLS"),
            (b"", "may demand TLS or a login"),
        ] {
            let error = ping(&answering(reply), &Access::default()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn whoever_nobody_is_logged_in_to_is_read_less() {
        // A hundred thousand bytes are announced, and the connection ends.
        const LONG: &[u8] = b"\0\x01\x86\xa0\0\0\0\x01";
        let login = Login { user: None, password: "s3cret".into(), mechanism: Mechanism::Plain };
        let access = crate::access::Terms { login: Some(login), ..Default::default() }.into();
        let error = ping(&answering(LONG), &access).unwrap_err();
        assert!(error.contains("no Kafka broker"), "{error}");
        let error = ping(&answering(LONG), &Access::default()).unwrap_err();
        assert!(error.contains("closed the connection"), "{error}");
    }

    #[test]
    fn a_node_that_answers_byte_by_byte_is_given_up() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let dripping = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // A length of a thousand, and then less than anyone waits for.
            let _ = stream.write_all(&[1000u32.to_be_bytes(), CORRELATION.to_be_bytes()].concat());
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let started = Instant::now();
        let mut link = Link::open(&address, &Access::default(), Duration::from_secs(1)).unwrap();
        let error = link.ask(METADATA, &MetadataRequest::default()).unwrap_err();
        assert!(error.contains("no answer within 1 s"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        drop(link);
        dripping.join().unwrap();
    }
}
