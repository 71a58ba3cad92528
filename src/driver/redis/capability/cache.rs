//! Values by key: SET with PX and GET on one pipelined connection to each server that has some of
//! the keys. The same for every Redis system: it belongs to none of the three messaging primitives.
//! RESP of our own, as the load's: answers are stamped where they are read.

use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::capability::{CacheAnswer, CacheClient, CacheRequest};
use crate::driver::redis::load::connection::Connection;
use crate::driver::redis::load::watch::ready;
use crate::driver::redis::primary::Primary;
use crate::driver::redis::slots;
use crate::wire::redis::{self as resp, Token};
use redis::cmd;
use std::collections::VecDeque;

/// Unsent bytes of a connection from which on the user is told to wait.
const UNSENT: usize = 1 << 20;

/// One of the servers, with the requests that it has yet to answer, in their order.
struct CacheServer {
    connection: Connection,
    asked: VecDeque<u64>,
}

pub struct RedisCache {
    servers: Vec<CacheServer>,
    /// Which of them serves each slot; none where one serves all.
    owners: Vec<u16>,
    clock: Clock,
    /// Put before every key, so that no other cell's values are touched.
    prefix: String,
}

impl RedisCache {
    pub fn connect(primary: &Primary, clock: Clock, prefix: &str) -> Result<Self, DriverError> {
        let (endpoints, owners) = primary.spread()?;
        let open = endpoints.iter().map(|endpoint| {
            let connection = Connection::open(endpoint)?;
            Ok(CacheServer { connection, asked: VecDeque::new() })
        });
        let servers = open.collect::<Result<_, DriverError>>()?;
        Ok(Self { servers, owners, clock, prefix: format!("{prefix}-") })
    }

    fn owner(&self, key: &str) -> usize {
        match self.owners.is_empty() {
            true => 0,
            false => usize::from(self.owners[usize::from(slots::slot(key))]),
        }
    }
}

impl CacheServer {
    /// Hands over what has come; how many answers that were.
    fn answers(
        &mut self,
        clock: &Clock,
        sink: &mut dyn FnMut(u64, CacheAnswer<'_>, u64),
    ) -> Result<usize, DriverError> {
        // One stamp for all answers of one read: they were all there when it returned.
        let at_ns = clock.now_ns();
        let (endpoint, input) = (&self.connection.endpoint, &mut self.connection.input);
        let (mut used, mut found) = (0, 0);
        while let Some((token, length)) =
            resp::token(&input.filled()[used..]).map_err(|cause| endpoint.malformed(cause))?
        {
            let id = self.asked.pop_front();
            let mut answered = |answer: CacheAnswer<'_>| {
                // The server's farewell is no answer to anybody.
                if let Some(id) = id {
                    sink(id, answer, at_ns);
                }
            };
            match token {
                Token::Simple(_) => answered(CacheAnswer::Stored),
                Token::Bulk(value) => answered(CacheAnswer::Found(value)),
                Token::Null => answered(CacheAnswer::Missing),
                Token::Error(text) => answered(CacheAnswer::Refused(&resp::error_text(text))),
                other => {
                    let cause = resp::unexpected("an answer to SET or GET", other);
                    return Err(endpoint.malformed(cause));
                }
            }
            (used, found) = (used + length, found + 1);
        }
        input.consume(used);
        Ok(found)
    }
}

impl CacheClient for RedisCache {
    fn submit(&mut self, id: u64, request: CacheRequest<'_>) -> Result<bool, DriverError> {
        let (CacheRequest::Set { key, .. } | CacheRequest::Get { key }) = request;
        let name = format!("{}{key}", self.prefix);
        let owner = self.owner(&name);
        let server = &mut self.servers[owner];
        if server.connection.output.unsent() > UNSENT {
            return Ok(false);
        }
        let command = match request {
            CacheRequest::Set { value, ttl, .. } => {
                let ttl_ms = (ttl.nanos() / 1_000_000).max(1);
                cmd("SET").arg(name).arg(value).arg("PX").arg(ttl_ms).take()
            }
            CacheRequest::Get { .. } => cmd("GET").arg(name).take(),
        };
        server.connection.collect(&command);
        server.asked.push_back(id);
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        self.servers.iter_mut().try_for_each(|server| server.connection.write().map(drop))
    }

    fn wait(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(u64, CacheAnswer<'_>, u64),
    ) -> Result<(), DriverError> {
        loop {
            let left = self.clock.until(until_ns);
            let mut found = 0;
            if let [only] = &mut self.servers[..] {
                if only.connection.read_until(&self.clock, until_ns)? {
                    found = only.answers(&self.clock, sink)?;
                }
            } else {
                let connections = self.servers.iter().map(|server| &server.connection);
                let connections: Vec<(usize, &Connection)> = connections.enumerate().collect();
                for index in ready(&connections, left)? {
                    let server = &mut self.servers[index];
                    if server.connection.read_until(&self.clock, 0)? {
                        found += server.answers(&self.clock, sink)?;
                    }
                }
            }
            if found > 0 || left.is_zero() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Routes;
    use crate::driver::redis::endpoint::Endpoint;
    use crate::driver::redis::load::resilient::testing::{Act, Asked, Scripted, reply};
    use crate::model::System;
    use crate::units::Span;
    use std::sync::{Arc, OnceLock};

    /// Two nodes, each with half of the slots, that answer GET with their own number.
    fn two() -> [Scripted; 2] {
        let ports: Arc<[OnceLock<String>; 2]> = Arc::default();
        let node = |number: usize| {
            let ports = Arc::clone(&ports);
            Scripted::start(move |asked: &Asked| {
                let half = |first: u16, last: u16, index: usize| {
                    let port = ports[index].get().map_or("0", String::as_str);
                    format!(
                        "*3\r\n:{first}\r\n:{last}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n\
                         $1\r\n{index}\r\n"
                    )
                };
                match asked.text().as_str() {
                    "CLUSTER INFO" => reply("$16\r\ncluster_state:ok\r\n"),
                    "CLUSTER SLOTS" => {
                        let halves = half(0, 8191, 0) + &half(8192, 16_383, 1);
                        Act::Reply(format!("*2\r\n{halves}").into_bytes())
                    }
                    _ if asked.is("GET") => Act::Reply(format!("$1\r\n{number}\r\n").into_bytes()),
                    _ => reply("+OK\r\n"),
                }
            })
        };
        let nodes = [node(0), node(1)];
        for (port, node) in ports.iter().zip(&nodes) {
            port.set(node.address.rsplit_once(':').unwrap().1.to_owned()).unwrap();
        }
        nodes
    }

    #[test]
    fn each_key_is_asked_for_where_it_lies_and_each_answer_finds_its_request() {
        let (clock, nodes) = (Clock::start(), two());
        let endpoint = Endpoint::parse(System::RedisLists, &nodes[0].address).unwrap();
        let primary = Primary::new(endpoint, Routes::default()).unwrap();
        let primary = primary.in_cluster(std::slice::from_ref(&nodes[0].address)).unwrap();
        let mut cache = RedisCache::connect(&primary, clock, "p").unwrap();
        let keys: Vec<String> = (0..40).map(|key| key.to_string()).collect();
        for (id, key) in (0..).zip(&keys) {
            let request = match id % 2 {
                0 => CacheRequest::Get { key },
                _ => CacheRequest::Set { key, value: b"v", ttl: Span::from_secs(1) },
            };
            assert!(cache.submit(id, request).unwrap());
        }
        cache.flush().unwrap();
        let mut answers = vec![None; keys.len()];
        while answers.contains(&None) && clock.now_ns() < 10_000_000_000 {
            let mut sink = |id: u64, answer: CacheAnswer<'_>, _: u64| {
                let found = match answer {
                    CacheAnswer::Found(value) => value.to_vec(),
                    other => format!("{other:?}").into_bytes(),
                };
                assert!(answers[id as usize].replace(found).is_none(), "{id} twice");
            };
            cache.wait(clock.now_ns() + 50_000_000, &mut sink).unwrap();
        }
        let mut halves = [0; 2];
        for (id, (key, answer)) in keys.iter().zip(&answers).enumerate() {
            let half = usize::from(slots::slot(&format!("p-{key}")) >= 8192);
            halves[half] += 1;
            let right = if id % 2 == 0 { half.to_string() } else { "Stored".to_owned() };
            assert_eq!(answer.as_deref(), Some(right.as_bytes()), "{key}");
        }
        assert!(halves.iter().all(|keys| *keys > 5), "{halves:?}");
        let begun_ns = clock.now_ns();
        cache.wait(begun_ns + 30_000_000, &mut |_, _, _| panic!("nothing was asked")).unwrap();
        assert!(clock.now_ns() >= begun_ns + 30_000_000, "it waits for as long as it is told");
    }
}
