//! Kafka's two questions: whether it answers at all, and which nodes it sends clients to.

use super::{PATIENCE, bypass, connect, foreign, median, not_yet, read};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const CORRELATION: u32 = 0x6262_6d6b;
const API_VERSIONS: (u16, u16) = (18, 0);
const METADATA: (u16, u16) = (3, 1);
/// Answers beyond this are none of Kafka's.
const LONGEST: usize = 1 << 20;

/// ApiVersions, version 0, which every broker answers before any login.
pub fn kafka(address: SocketAddr) -> io::Result<()> {
    // The error code; the list of versions after it is left unread.
    if ask(address, API_VERSIONS, &[])?.starts_with(&[0, 0]) { Ok(()) } else { Err(no_kafka()) }
}

/// It knows all these nodes and no others, by the addresses that clients are to use: each registered and let in.
pub fn kafka_tells(address: SocketAddr, expected: &[String]) -> io::Result<()> {
    let told = told(address)?;
    if let Some(other) = told.iter().find(|told| !expected.contains(told)) {
        return Err(bypass(other, expected));
    }
    let (found, wanted) = (told.len(), expected.len());
    if found == wanted { Ok(()) } else { Err(not_yet(format!("it knows {found} of {wanted} brokers"))) }
}

/// It knows itself by that address: it is registered and let in, whoever else is away.
pub fn kafka_tells_itself(address: SocketAddr, itself: &str) -> io::Result<()> {
    if told(address)?.iter().any(|told| told == itself) {
        return Ok(());
    }
    Err(not_yet(format!("it is not yet let in as {itself}")))
}

/// The addresses that it sends clients to. (Metadata, version 1, no topic.)
fn told(address: SocketAddr) -> io::Result<Vec<String>> {
    let answer = ask(address, METADATA, &0u32.to_be_bytes())?;
    brokers(&answer).ok_or_else(no_kafka)
}

fn brokers(mut answer: &[u8]) -> Option<Vec<String>> {
    let mut take = |length: usize| {
        let (taken, rest) = answer.split_at_checked(length)?;
        answer = rest;
        Some(taken)
    };
    let count = u32::from_be_bytes(take(4)?.try_into().ok()?);
    let mut found = Vec::new();
    for _ in 0..count {
        take(4)?; // Its number.
        let length = u16::from_be_bytes(take(2)?.try_into().ok()?);
        let host = String::from_utf8_lossy(take(length.into())?).into_owned();
        let port = u32::from_be_bytes(take(4)?.try_into().ok()?);
        let rack = i16::from_be_bytes(take(2)?.try_into().ok()?);
        take(usize::try_from(rack).unwrap_or(0))?;
        found.push(format!("{host}:{port}"));
    }
    Some(found)
}

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) {
    let _ = brokers(answer);
}

/// The median of so many ApiVersions requests, one after the other on one connection.
pub fn kafka_ping_pong(address: SocketAddr, times: usize) -> io::Result<Duration> {
    let mut stream = connect(address)?;
    median(times, || exchange(&mut stream, API_VERSIONS, &[]).map(drop))
}

/// Sends one request on a connection of its own and returns the reply's body.
fn ask(address: SocketAddr, api: (u16, u16), body: &[u8]) -> io::Result<Vec<u8>> {
    exchange(&mut connect(address)?, api, body)
}

fn exchange(stream: &mut TcpStream, (key, version): (u16, u16), body: &[u8]) -> io::Result<Vec<u8>> {
    let client = b"brokerbench";
    let mut request = Vec::new();
    request.extend_from_slice(&key.to_be_bytes());
    request.extend_from_slice(&version.to_be_bytes());
    request.extend_from_slice(&CORRELATION.to_be_bytes());
    request.extend_from_slice(&(client.len() as u16).to_be_bytes());
    request.extend_from_slice(client);
    request.extend_from_slice(body);
    request.splice(0..0, (request.len() as u32).to_be_bytes());
    stream.write_all(&request)?;
    let deadline = Instant::now() + PATIENCE;
    let mut head = [0; 8];
    read(stream, &mut head, deadline)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if head[4..] != CORRELATION.to_be_bytes() || !(4..LONGEST).contains(&length) {
        return Err(no_kafka());
    }
    let mut answer = vec![0; length - 4];
    read(stream, &mut answer, deadline)?;
    Ok(answer)
}

fn no_kafka() -> io::Error {
    foreign("what answers there is no Kafka broker")
}

#[cfg(test)]
mod tests {
    use super::super::tests::answering;
    use super::*;

    #[test]
    fn it_is_told_from_others() {
        assert!(kafka(answering(b"\0\0\0\x06bbmk\0\0")).is_ok());
        assert!(kafka(answering(b"\0\0\0\x06bbmk\0\x23")).is_err());
        assert!(kafka(answering(b"HTTP/1.1 400 Bad Request\r\n")).is_err());
        assert!(kafka(answering(b"")).is_err());
    }

    #[test]
    fn the_nodes_that_it_names_are_those_that_clients_are_to_use() {
        // Two brokers, the second in a rack; controller 1; no topic.
        const TWO: &[u8] = b"\0\0\0\x2bbbmk\0\0\0\x02\0\0\0\x01\0\x01a\0\0\x10\0\xff\xff\0\0\0\x02\0\x01b\0\0\x10\x01\0\x01r\0\0\0\x01\0\0\0\0";
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let words = |result: io::Result<()>| result.unwrap_err().to_string();
        assert!(TWO.len() == 4 + TWO[3] as usize, "{}", TWO.len());
        kafka_tells(answering(TWO), &of(&["b:4097", "a:4096"])).unwrap();
        let few = words(kafka_tells(answering(TWO), &of(&["a:4096", "b:4097", "c:1"])));
        assert!(few.contains("2 of 3"), "{few}");
        let past = words(kafka_tells(answering(TWO), &of(&["a:4096", "b:1"])));
        assert!(past.contains("sends clients to b:4097"), "{past}");
        kafka_tells_itself(answering(TWO), "b:4097").unwrap();
        assert!(kafka_tells_itself(answering(TWO), "c:1").is_err());
    }
}
