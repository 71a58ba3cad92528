//! Redis's and Sentinel's questions: whether it answers, whether its copies follow, whether the set
//! is known.

use super::{PATIENCE, bypass, connect, foreign, median, not_yet, read, read_some};
use crate::wire::redis::{self as resp, Malformed, ReplyReader, Scanner, Token};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Answers beyond this are none of ours.
const LONGEST: usize = 1 << 20;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// PING. A demand to log in is an answer too.
pub fn redis(address: SocketAddr) -> io::Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(PING)?;
    let mut reply = [0; 5];
    read(&mut stream, &mut reply, Instant::now() + PATIENCE)?;
    match &reply {
        b"+PONG" | b"-NOAU" => Ok(()),
        b"-LOAD" => Err(not_yet("it is still loading its data".into())),
        _ => Err(foreign(NO_REDIS)),
    }
}

/// The median of so many PINGs, one after the other on one connection.
pub fn redis_ping_pong(address: SocketAddr, times: usize) -> io::Result<Duration> {
    let mut stream = connect(address)?;
    median(times, || {
        stream.write_all(PING)?;
        read(&mut stream, &mut [0; 7], Instant::now() + PATIENCE)
    })
}

/// It is a primary whose copies (so many) all follow, or a copy that follows.
pub fn redis_linked(address: SocketAddr, copies: usize) -> io::Result<()> {
    let mut stream = connect(address)?;
    let reply = ask(&mut stream, &["INFO", "replication"])?;
    let info = ReplyReader::new(&reply).bulk().map(String::from_utf8_lossy).map_err(no_redis)?;
    if info.lines().any(|line| line == "role:master") {
        let online = info.lines().filter(|line| line.starts_with("slave") && line.contains("state=online")).count();
        return if online == copies {
            Ok(())
        } else {
            Err(not_yet(format!("{online} of {copies} replicas follow it")))
        };
    }
    let up = info.lines().any(|line| line == "master_link_status:up");
    if up { Ok(()) } else { Err(not_yet("it does not yet follow its primary".into())) }
}

/// A Sentinel that knows the primary `name`, all its replicas and all other Sentinels, by the addresses `nodes` and no
/// others, and finds nothing wrong with any.
pub fn sentinel(address: SocketAddr, name: &str, nodes: &[String], sentinels: usize) -> io::Result<()> {
    let mut stream = connect(address)?;
    let reply = ask(&mut stream, &["SENTINEL", "MASTER", name])?;
    let primary = SentinelFields::read(&mut ReplyReader::new(&reply)).map_err(no_redis)?;
    let reply = ask(&mut stream, &["SENTINEL", "REPLICAS", name])?;
    let replicas = SentinelFields::list(&reply).map_err(no_redis)?;
    for node in replicas.iter().chain([&primary]) {
        let told = format!("{}:{}", node.get("ip"), node.get("port"));
        if !nodes.contains(&told) {
            return Err(bypass(&told, nodes));
        }
    }
    let well = primary.get("flags") == "master"
        && replicas.iter().all(|node| node.get("flags") == "slave" && node.get("master-link-status") == "ok");
    let others = primary.get("num-other-sentinels");
    if well && replicas.len() + 1 == nodes.len() && others == (sentinels - 1).to_string() {
        return Ok(());
    }
    let found = replicas.len();
    Err(not_yet(format!("it knows {found} replicas and {others} other Sentinels, and not all of them to be well")))
}

/// Names and values as a Sentinel lists them of a node.
struct SentinelFields(BTreeMap<String, String>);

impl SentinelFields {
    fn read(reader: &mut ReplyReader<'_>) -> Result<Self, Malformed> {
        let length = reader.array()?;
        if length % 2 == 1 {
            return Err(Malformed("a name without a value".into()));
        }
        let mut text = || match reader.next()? {
            Token::Bulk(text) | Token::Simple(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            Token::Integer(number) => Ok(number.to_string()),
            other => Err(resp::unexpected("a name or a value", other)),
        };
        (0..length / 2).map(|_| Ok((text()?, text()?))).collect::<Result<_, _>>().map(Self)
    }

    fn list(reply: &[u8]) -> Result<Vec<Self>, Malformed> {
        let mut reader = ReplyReader::new(reply);
        (0..reader.array()?).map(|_| Self::read(&mut reader)).collect()
    }

    /// Empty where there is none of this name.
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// The whole reply. A refusal is an error that may pass.
fn ask(stream: &mut TcpStream, words: &[&str]) -> io::Result<Vec<u8>> {
    let (mut request, words) = (vec![], words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
    resp::command(&mut request, &words);
    stream.write_all(&request)?;
    let (mut reply, mut chunk, mut scanner) = (Vec::new(), [0; 4096], Scanner::default());
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(length) = scanner.end_of_reply(&reply).map_err(no_redis)? {
            reply.truncate(length);
            return match ReplyReader::new(&reply).next() {
                Ok(Token::Error(text)) => Err(not_yet(String::from_utf8_lossy(text).into_owned())),
                _ => Ok(reply),
            };
        }
        match read_some(stream, &mut chunk, deadline)? {
            _ if reply.len() > LONGEST => return Err(foreign(NO_REDIS)),
            read => reply.extend_from_slice(&chunk[..read]),
        }
    }
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) {
    let (mut start, mut scanner) = (0, Scanner::default());
    while let Ok(Some(length)) = scanner.end_of_reply(&answer[start..]) {
        let reply = &answer[start..start + length];
        start += length;
        let _ = SentinelFields::read(&mut ReplyReader::new(reply)).map(|fields| fields.get("ip").len());
        let _ = SentinelFields::list(reply);
    }
}

const NO_REDIS: &str = "what answers there is no Redis server";

fn no_redis(_: Malformed) -> io::Error {
    foreign(NO_REDIS)
}

#[cfg(test)]
mod tests {
    use super::super::tests::answering;
    use super::*;

    #[test]
    fn it_is_told_from_others() {
        assert!(redis(answering(b"+PONG\r\n")).is_ok());
        assert!(redis(answering(b"-NOAUTH Authentication required.\r\n")).is_ok());
        assert!(redis(answering(b"-LOADING Redis is loading\r\n")).is_err());
        assert!(redis(answering(b"HTTP/1.1 400 Bad Request\r\n")).is_err());
    }

    #[test]
    fn fields_of_nodes_are_read_and_a_refusal_is_shown() {
        let whole = b"*2\r\n*4\r\n$2\r\nip\r\n$1\r\na\r\n$4\r\nport\r\n:7\r\n*0\r\n";
        let nodes = SentinelFields::list(whole).unwrap();
        assert_eq!((nodes[0].get("ip"), nodes[0].get("port"), nodes[1].get("ip")), ("a", "7", ""));
        let refused = sentinel(answering(b"-ERR No such master\r\n"), "x", &[], 1).unwrap_err();
        assert!(refused.to_string().contains("No such master"), "{refused}");
    }

    #[test]
    fn an_answer_of_brackets_only_is_refused_and_does_not_end_the_stack() {
        let brackets: &[u8] = b"*1\r\n".repeat(200_000).leak();
        assert!(sentinel(answering(brackets), "x", &[], 1).is_err());
        fuzz(brackets);
    }

    #[test]
    fn copies_that_do_not_follow_are_counted() {
        const PRIMARY: &[u8] = b"$90\r\nrole:master\r\nslave0:ip=a,port=1,state=online,lag=0\r\nslave1:ip=b,port=2,state=wait_bgsave\r\n\r\n";
        let few = redis_linked(answering(PRIMARY), 2).unwrap_err().to_string();
        assert!(few.contains("1 of 2"), "{few}");
        redis_linked(answering(PRIMARY), 1).unwrap();
        redis_linked(answering(b"$35\r\nrole:slave\r\nmaster_link_status:up\r\n\r\n"), 2).unwrap();
        assert!(redis_linked(answering(b"$37\r\nrole:slave\r\nmaster_link_status:down\r\n\r\n"), 2).is_err());
    }
}
