//! Redis's and Sentinel's questions: whether it answers, whether its copies follow, whether the set is known.

use super::{PATIENCE, bypass, connect, foreign, median, not_yet, read, read_some};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Answers beyond this are none of ours.
const LONGEST: usize = 1 << 20;
/// What we ask for is a list of lists of words.
const DEEPEST: usize = 4;

/// PING. A demand to log in is an answer too.
pub fn redis(address: SocketAddr) -> io::Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = [0; 5];
    read(&mut stream, &mut reply, Instant::now() + PATIENCE)?;
    match &reply {
        b"+PONG" | b"-NOAU" => Ok(()),
        b"-LOAD" => Err(not_yet("it is still loading its data".into())),
        _ => Err(no_redis()),
    }
}

/// The median of so many PINGs, one after the other on one connection.
pub fn redis_ping_pong(address: SocketAddr, times: usize) -> io::Result<Duration> {
    let mut stream = connect(address)?;
    median(times, || {
        stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        read(&mut stream, &mut [0; 7], Instant::now() + PATIENCE)
    })
}

/// It is a primary whose copies (so many) all follow, or a copy that follows.
pub fn redis_linked(address: SocketAddr, copies: usize) -> io::Result<()> {
    let mut stream = connect(address)?;
    let Reply::Text(info) = ask(&mut stream, &["INFO", "replication"])? else { return Err(no_redis()) };
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
    let primary = ask(&mut stream, &["SENTINEL", "MASTER", name])?;
    let Reply::List(replicas) = ask(&mut stream, &["SENTINEL", "REPLICAS", name])? else { return Err(no_redis()) };
    for node in replicas.iter().chain([&primary]) {
        let told = format!("{}:{}", node.field("ip"), node.field("port"));
        if !nodes.contains(&told) {
            return Err(bypass(&told, nodes));
        }
    }
    let well = primary.field("flags") == "master"
        && replicas.iter().all(|node| node.field("flags") == "slave" && node.field("master-link-status") == "ok");
    let others = primary.field("num-other-sentinels");
    if well && replicas.len() + 1 == nodes.len() && others == (sentinels - 1).to_string() {
        return Ok(());
    }
    let found = replicas.len();
    Err(not_yet(format!("it knows {found} replicas and {others} other Sentinels, and not all of them to be well")))
}

#[derive(Debug, PartialEq)]
enum Reply {
    Text(String),
    List(Vec<Self>),
}

impl Reply {
    /// The value behind a name in a list of names and values; empty where there is none.
    fn field(&self, name: &str) -> &str {
        let Self::List(items) = self else { return "" };
        let value = items.chunks(2).find_map(|pair| match pair {
            [Self::Text(key), Self::Text(value)] if key == name => Some(value.as_str()),
            _ => None,
        });
        value.unwrap_or_default()
    }
}

fn ask(stream: &mut TcpStream, words: &[&str]) -> io::Result<Reply> {
    let strings: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    stream.write_all(format!("*{}\r\n{strings}", words.len()).as_bytes())?;
    let (mut input, mut chunk) = (Vec::new(), [0; 4096]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(reply) = parse(&mut input.as_slice(), DEEPEST)? {
            return Ok(reply);
        }
        match read_some(stream, &mut chunk, deadline)? {
            _ if input.len() > LONGEST => return Err(no_redis()),
            read => input.extend_from_slice(&chunk[..read]),
        }
    }
}

/// One reply, its lists nested at most that deep; `None` while it is not whole. A refusal is an error that may pass.
fn parse(input: &mut &[u8], deep: usize) -> io::Result<Option<Reply>> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&input[..end]).into_owned();
    *input = &input[end + 2..];
    let (kind, rest) = line.split_at_checked(1).ok_or_else(no_redis)?;
    let length = || usize::try_from(rest.parse::<i64>().unwrap_or(-1)).unwrap_or(0);
    match kind {
        "+" | ":" => Ok(Some(Reply::Text(rest.to_owned()))),
        "-" => Err(not_yet(rest.to_owned())),
        "$" => {
            let Some((text, after)) = input.split_at_checked(length()) else { return Ok(None) };
            let Some(after) = after.strip_prefix(b"\r\n") else {
                return if after.len() < 2 { Ok(None) } else { Err(no_redis()) };
            };
            *input = after;
            Ok(Some(Reply::Text(String::from_utf8_lossy(text).into_owned())))
        }
        "*" => {
            // Each level is a call, and a level costs four bytes: the stack would end before the answer does.
            let deep = deep.checked_sub(1).ok_or_else(no_redis)?;
            let mut items = Vec::new();
            for _ in 0..length() {
                let Some(item) = parse(input, deep)? else { return Ok(None) };
                items.push(item);
            }
            Ok(Some(Reply::List(items)))
        }
        _ => Err(no_redis()),
    }
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(mut answer: &[u8]) {
    while let Ok(Some(reply)) = parse(&mut answer, DEEPEST) {
        let _ = reply.field("ip");
    }
}

fn no_redis() -> io::Error {
    foreign("what answers there is no Redis server")
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
    fn replies_are_read_when_they_are_whole() {
        let whole = b"*2\r\n*4\r\n$2\r\nip\r\n$1\r\na\r\n$4\r\nport\r\n:7\r\n$0\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(parse(&mut &whole[..cut], DEEPEST).unwrap(), None, "{cut}");
        }
        let Some(Reply::List(items)) = parse(&mut &whole[..], DEEPEST).unwrap() else { panic!() };
        assert_eq!((items[0].field("ip"), items[0].field("port"), items[0].field("none")), ("a", "7", ""));
        assert_eq!(items[1], Reply::Text(String::new()));
        assert!(
            parse(&mut &b"-ERR No such master\r\n"[..], DEEPEST).unwrap_err().to_string().contains("No such master")
        );
    }

    #[test]
    fn an_answer_of_brackets_only_is_refused_and_does_not_end_the_stack() {
        let error = parse(&mut b"*1\r\n".repeat(200_000).as_slice(), DEEPEST).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
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
