//! A producer through redis-rs: each message is a request of its own that somebody awaits, as in an
//! application; the crate writes what has gathered and matches the replies.
//!
//! The crate's runtime has a thread of its own: tokio's timers know milliseconds, and the pacing
//! thread must wake to the microsecond.
//! Order is kept: requests begin in the order of their sending.

use super::stream::Unanswered;
use super::{connect, describe, failed, runtime};
use crate::clock::Clock;
use crate::driver::mailbox::Mailbox;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

struct LibraryRequest {
    slot: u32,
    connection: u16,
    command: Cmd,
}

/// The slot of a message, when it ended, and how.
type RequestEnd = (u32, u64, Result<(), RedisError>);

pub struct RedisRsPublisher {
    endpoint: Endpoint,
    /// For each stream, the command up to its last argument, the payload.
    commands: Vec<Cmd>,
    connections: u16,
    collected: Vec<LibraryRequest>,
    /// `None` once the end has begun.
    requests: Option<UnboundedSender<Vec<LibraryRequest>>>,
    mailbox: Arc<Mailbox<RequestEnd>>,
    failures: BTreeMap<String, u64>,
    thread: Option<JoinHandle<()>>,
    lost: Option<DriverError>,
    clock: Clock,
}

impl RedisRsPublisher {
    pub fn connect(
        endpoint: &Endpoint,
        clock: Clock,
        connections: u16,
        commands: Vec<Cmd>,
    ) -> Result<Self, DriverError> {
        let runtime = runtime(endpoint)?;
        let count = connections.max(1);
        let made: Vec<_> =
            (0..count).map(|_| connect(&runtime, endpoint)).collect::<Result<_, _>>()?;
        let (requests, received) = unbounded_channel();
        let mailbox = Arc::new(Mailbox::default());
        let carrier = Carrier { made, clock, mailbox: mailbox.clone() };
        let run = move || runtime.block_on(carrier.run(received));
        let thread = std::thread::Builder::new().name("redis-rs".into()).spawn(run);
        let thread =
            thread.map_err(|cause| endpoint.refused("starting a thread", cause.to_string()))?;
        Ok(Self {
            endpoint: endpoint.clone(),
            commands,
            connections: count,
            collected: vec![],
            requests: Some(requests),
            mailbox,
            failures: BTreeMap::new(),
            thread: Some(thread),
            lost: None,
            clock,
        })
    }

    fn check(&self) -> Result<(), DriverError> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    fn book(&mut self, (slot, at_ns, ended): RequestEnd, completions: &mut Vec<Completion>) {
        let (outcome, failure) = match ended {
            Ok(()) => (Outcome::Acked, None),
            Err(error) if error.is_unrecoverable_error() => {
                let lost = failed(&self.endpoint, "publishing", &error);
                (Outcome::Indeterminate, Some(self.lost.get_or_insert(lost).to_string()))
            }
            Err(error) => (Outcome::Failed, Some(describe(&error))),
        };
        if let Some(failure) = failure {
            *self.failures.entry(failure).or_default() += 1;
        }
        completions.push(Completion { slot, outcome, at_ns });
    }
}

/// What lives on the runtime's thread.
struct Carrier {
    made: Vec<(MultiplexedConnection, Unanswered)>,
    clock: Clock,
    mailbox: Arc<Mailbox<RequestEnd>>,
}

impl Carrier {
    /// Ends with the sender of the requests, and everything under way with it.
    async fn run(self, mut requests: UnboundedReceiver<Vec<LibraryRequest>>) {
        let this = Arc::new(self);
        while let Some(batch) = requests.recv().await {
            for request in batch {
                let Some((connection, _)) = this.made.get(request.connection as usize) else {
                    continue;
                };
                let (carrier, mut connection) = (Arc::clone(&this), connection.clone());
                tokio::spawn(async move {
                    let answer = connection.send_packed_command(&request.command).await;
                    carrier.end(&request, answer);
                });
            }
        }
    }

    fn end(&self, request: &LibraryRequest, answer: Result<Value, RedisError>) {
        let at_ns = self.clock.now_ns();
        self.made[request.connection as usize].1.clear();
        let ended = answer.and_then(Value::extract_error).map(drop);
        self.mailbox.put([(request.slot, at_ns, ended)]);
    }
}

impl Publisher for RedisRsPublisher {
    /// Takes every message: how many are on their way is the caller's to limit.
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        self.check()?;
        let (connection, partition) = (message.connection, message.partition);
        let command =
            self.commands.get(partition as usize).filter(|_| connection < self.connections);
        let Some(command) = command else { return Err(self.endpoint.no_lane(&message)) };
        let mut command = command.clone();
        command.arg(message.payload);
        self.collected.push(LibraryRequest { slot: message.slot, connection, command });
        Ok(Submitted::Taken)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        self.check()?;
        if !self.collected.is_empty() {
            let batch = std::mem::take(&mut self.collected);
            let sent = self.requests.as_ref().map(|requests| requests.send(batch));
            if !matches!(sent, Some(Ok(()))) {
                return Err(self.endpoint.lost("the thread of redis-rs has ended"));
            }
        }
        Ok(())
    }

    /// Loses nothing that has come: completions are handed over first, the error comes with the
    /// next call.
    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        let ends = self.mailbox.take(self.clock.until(until_ns));
        if ends.is_empty() {
            return self.check();
        }
        ends.into_iter().for_each(|end| self.book(end, completions));
        Ok(())
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.clone()
    }
}

impl Drop for RedisRsPublisher {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
