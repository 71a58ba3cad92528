//! Consumers through redis-rs: typed replies of the crate, stamped when it hands them out.
//!
//! The consumer's thread drives the crate's runtime itself, inside `receive` alone: as with our own
//! consumers, who does not ask does not read. A blocking command is never abandoned (dropping one
//! loses what it takes): it stays under way, and the next call takes its answer up.

use super::stream::Unanswered;
use super::{connect, failed, login, runtime, set_up};
use crate::clock::Clock;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::limits::{CLOSE, GRACE_NS};
use crate::driver::redis::load::lists::seconds;
use crate::driver::redis::load::streams::group;
use crate::driver::{DriverError, Incoming, Subscriber};
use futures_util::{FutureExt, StreamExt};
use redis::aio::{MultiplexedConnection, PubSub, PubSubStream};
use redis::streams::StreamReadReply;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Value, cmd, pipe};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, RedisError>> + Send>>;

/// A connection, and the one question that is under way on it.
struct Session<T> {
    runtime: Runtime,
    endpoint: Endpoint,
    clock: Clock,
    connection: MultiplexedConnection,
    unanswered: Unanswered,
    pending: Option<Answer<T>>,
}

impl<T: FromRedisValue + 'static> Session<T> {
    fn connect(endpoint: &Endpoint, clock: Clock) -> Result<Self, DriverError> {
        let runtime = runtime(endpoint)?;
        let (connection, unanswered) = connect(&runtime, endpoint)?;
        let endpoint = endpoint.clone();
        Ok(Self { runtime, endpoint, clock, connection, unanswered, pending: None })
    }

    fn ask(&mut self, question: Pipeline) {
        let mut connection = self.connection.clone();
        self.pending = Some(Box::pin(async move { question.query_async(&mut connection).await }));
    }

    /// The answer to what is under way, if it comes by `until_ns` and a little.
    fn answer(&mut self, until_ns: u64) -> Result<Option<T>, DriverError> {
        let patience = until_ns.max(self.clock.now_ns()).saturating_add(GRACE_NS);
        self.answer_within(self.clock.until(patience))
    }

    fn answer_within(&mut self, limit: Duration) -> Result<Option<T>, DriverError> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        // In an `async` block: the timer wants a runtime around it.
        let answered = self.runtime.block_on(async { timeout(limit, pending).await });
        let Ok(answer) = answered else { return Ok(None) };
        self.pending = None;
        self.unanswered.clear();
        answer.map(Some).map_err(|error| failed(&self.endpoint, "consuming", &error))
    }

    /// Sends one last question behind what is under way, and waits for both.
    fn finish(&mut self, question: Pipeline, action: &str) -> Result<(), DriverError> {
        let mut connection = self.connection.clone();
        let last = async { timeout(CLOSE, question.query_async::<Value>(&mut connection)).await };
        match self.runtime.block_on(last) {
            Ok(answer) => answer.map(drop).map_err(|error| failed(&self.endpoint, action, &error)),
            Err(_) => Err(self.endpoint.timed_out(action, CLOSE)),
        }
    }
}

/// Milliseconds that a command may block for; at least one, since none is for ever.
fn block(left: Duration) -> u64 {
    (left.as_millis() as u64).max(1)
}

/// A consumer of a group, which acknowledges a batch in the pipeline that asks for the next.
pub struct LibraryStream {
    session: Session<(Option<StreamReadReply>,)>,
    keys: Vec<String>,
    group: String,
    consumer: String,
    batch: u32,
    /// Of each stream, what was handed out and is not acknowledged yet.
    unacknowledged: Vec<Vec<String>>,
}

impl LibraryStream {
    /// Joins the group of `subscription` on every stream and makes it, from its end on, if it is new.
    pub fn connect(
        endpoint: &Endpoint,
        clock: Clock,
        keys: Vec<String>,
        subscription: u16,
        consumer: u16,
        batch: u32,
    ) -> Result<Self, DriverError> {
        let mut session = Session::connect(endpoint, clock)?;
        let (group, consumer) = (group(subscription), format!("c{consumer}"));
        for key in &keys {
            let mut create = pipe();
            create.cmd("XGROUP").arg("CREATE").arg(key).arg(&group).arg("$").arg("MKSTREAM");
            match session.finish(create, "XGROUP CREATE") {
                // Another consumer of this subscription was here first.
                Err(DriverError::Refused { cause, .. }) if cause.contains("BUSYGROUP") => {}
                ended => ended?,
            }
        }
        let unacknowledged = keys.iter().map(|_| vec![]).collect();
        Ok(Self { session, keys, group, consumer, batch, unacknowledged })
    }

    /// XACK of what was handed out; empty when nothing was.
    fn acknowledge(&mut self) -> Pipeline {
        let mut acknowledge = pipe();
        for (key, ids) in self.keys.iter().zip(&mut self.unacknowledged) {
            if !ids.is_empty() {
                acknowledge.cmd("XACK").arg(key).arg(&self.group).arg(&*ids).ignore();
                ids.clear();
            }
        }
        acknowledge
    }

    fn ask(&mut self, until_ns: u64) {
        let mut question = self.acknowledge();
        let left = self.session.clock.until(until_ns);
        question.cmd("XREADGROUP").arg("GROUP").arg(&self.group).arg(&self.consumer);
        question.arg("COUNT").arg(self.batch);
        if !left.is_zero() {
            question.arg("BLOCK").arg(block(left));
        }
        question.arg("STREAMS").arg(&self.keys);
        question.arg(vec![">"; self.keys.len()]);
        self.session.ask(question);
    }
}

impl Subscriber for LibraryStream {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if self.session.pending.is_none() {
            self.ask(until_ns);
        }
        let Some((Some(reply),)) = self.session.answer(until_ns)? else { return Ok(()) };
        for stream in reply.keys {
            let index = self.keys.iter().position(|key| *key == stream.key);
            for entry in stream.ids {
                if let Some(Value::BulkString(payload)) = entry.map.get("d") {
                    sink(Incoming { payload, received_ns: self.session.clock.now_ns() });
                }
                if let Some(index) = index {
                    self.unacknowledged[index].push(entry.id);
                }
            }
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {}

    /// Acknowledges what was handed out. What a late answer still brings stays pending in the group.
    fn close(&mut self) -> Result<(), DriverError> {
        let acknowledge = self.acknowledge();
        if acknowledge.is_empty() { Ok(()) } else { self.session.finish(acknowledge, "XACK") }
    }
}

/// A list and the elements that were taken from it.
type Popped = (String, Vec<Vec<u8>>);

/// A consumer that takes elements away in batches.
pub struct LibraryList {
    session: Session<(Option<Popped>,)>,
    keys: Vec<String>,
    batch: u32,
}

impl LibraryList {
    pub fn connect(endpoint: &Endpoint, clock: Clock, keys: Vec<String>, batch: u32) -> Result<Self, DriverError> {
        Ok(Self { session: Session::connect(endpoint, clock)?, keys, batch })
    }

    fn ask(&mut self, until_ns: u64) {
        let (mut question, left) = (pipe(), self.session.clock.until(until_ns));
        if left.is_zero() {
            question.cmd("LMPOP");
        } else {
            question.cmd("BLMPOP").arg(seconds(left));
        }
        question.arg(self.keys.len()).arg(&self.keys).arg("RIGHT").arg("COUNT").arg(self.batch);
        self.session.ask(question);
        // BLMPOP serves the first list that has anything.
        self.keys.rotate_left(1);
    }
}

impl Subscriber for LibraryList {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if self.session.pending.is_none() {
            self.ask(until_ns);
        }
        if let Some((Some((_, elements)),)) = self.session.answer(until_ns)? {
            for payload in &elements {
                sink(Incoming { payload, received_ns: self.session.clock.now_ns() });
            }
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

/// A consumer that moves elements to a processing list and deletes it when they are processed.
pub struct LibraryReliableList {
    session: Session<Vec<Option<Vec<u8>>>>,
    key: String,
    processing: String,
    batch: u32,
    /// Moves to ask for at once: follows what was there last time.
    moves: u32,
    /// Whether the processing list holds elements that were handed out.
    unacknowledged: bool,
}

impl LibraryReliableList {
    pub fn connect(
        endpoint: &Endpoint,
        clock: Clock,
        key: String,
        processing: String,
        batch: u32,
    ) -> Result<Self, DriverError> {
        let session = Session::connect(endpoint, clock)?;
        Ok(Self { session, key, processing, batch, moves: 1, unacknowledged: false })
    }

    fn delete_processed(&mut self) -> Pipeline {
        let mut delete = pipe();
        if std::mem::take(&mut self.unacknowledged) {
            delete.cmd("DEL").arg(&self.processing).ignore();
        }
        delete
    }

    fn move_element(&self, name: &str) -> Cmd {
        let mut moved = cmd(name);
        moved.arg(&self.key).arg(&self.processing).arg("RIGHT").arg("LEFT");
        moved
    }

    fn take(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<u32, DriverError> {
        let Some(moved) = self.session.answer(until_ns)? else { return Ok(0) };
        let mut found = 0;
        for payload in moved.iter().flatten() {
            sink(Incoming { payload, received_ns: self.session.clock.now_ns() });
            found += 1;
        }
        self.unacknowledged |= found > 0;
        Ok(found)
    }
}

impl Subscriber for LibraryReliableList {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        if self.session.pending.is_none() {
            let mut question = self.delete_processed();
            let moved = self.move_element("LMOVE");
            for _ in 0..self.moves {
                question.add_command(moved.clone());
            }
            self.session.ask(question);
        }
        let found = self.take(until_ns, sink)?;
        if found > 0 || self.session.pending.is_some() {
            let all = found >= self.moves;
            self.moves = if all { (self.moves * 2).min(self.batch) } else { found.max(1) };
            return Ok(());
        }
        self.moves = 1;
        let left = self.session.clock.until(until_ns);
        if !left.is_zero() {
            let mut question = pipe();
            let mut moved = self.move_element("BLMOVE");
            moved.arg(seconds(left));
            question.add_command(moved);
            self.session.ask(question);
            self.take(until_ns, sink)?;
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {}

    /// What a late answer still brings was handed to nobody: then the processing list stays.
    fn close(&mut self) -> Result<(), DriverError> {
        let late = self.session.answer_within(CLOSE)?;
        if late.is_some_and(|moved| moved.iter().any(Option::is_some)) {
            return Ok(());
        }
        let delete = self.delete_processed();
        if delete.is_empty() { Ok(()) } else { self.session.finish(delete, "DEL") }
    }
}

/// A subscriber, which is pushed to. The crate drains the socket into a queue of its own without a
/// bound, whenever it runs: inside `receive`.
pub struct LibraryPubSub {
    runtime: Runtime,
    endpoint: Endpoint,
    clock: Clock,
    unanswered: Unanswered,
    messages: PubSubStream,
}

impl LibraryPubSub {
    pub fn connect(endpoint: &Endpoint, clock: Clock, channels: &[String]) -> Result<Self, DriverError> {
        let runtime = runtime(endpoint)?;
        let (messages, unanswered) = set_up(&runtime, endpoint, async |stream| {
            let mut connection = PubSub::new(&login(endpoint), stream).await?;
            connection.subscribe(channels).await?;
            Ok(connection.into_on_message())
        })?;
        Ok(Self { runtime, endpoint: endpoint.clone(), clock, unanswered, messages })
    }
}

impl Subscriber for LibraryPubSub {
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError> {
        let Self { runtime, endpoint, clock, unanswered, messages } = self;
        let left = clock.until(until_ns);
        runtime.block_on(async {
            let Ok(mut next) = timeout(left, messages.next()).await else { return Ok(()) };
            loop {
                let message = next.ok_or_else(|| endpoint.lost("the server closed the connection"))?;
                unanswered.clear();
                let payload = message.get_payload_bytes();
                sink(Incoming { payload, received_ns: clock.now_ns() });
                // What the crate has read already; it reads no more before the next wait.
                match messages.next().now_or_never() {
                    Some(more) => next = more,
                    None => return Ok(()),
                }
            }
        })
    }

    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}
