//! Consumers through redis-rs: typed replies of the crate, stamped when it hands them out.
//!
//! The consumer's thread drives the crate's runtime itself, inside `receive` alone: as with our own
//! consumers, who does not ask does not read. A blocking command is never abandoned (dropping one
//! loses what it takes): it stays under way, and the next call takes its answer up.

use super::stream::Unanswered;
use super::{connect, failed, login, runtime, set_up, within};
use crate::clock::Clock;
use crate::driver::redis::CLOSE;
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::ConsumerPlace;
use crate::driver::redis::load::lists::{move_one, next_moves, pop};
use crate::driver::redis::load::streams::read;
use crate::driver::{DriverError, Incoming, Subscriber};
use futures_util::{FutureExt, StreamExt};
use redis::aio::{MultiplexedConnection, PubSub, PubSubStream};
use redis::streams::StreamReadReply;
use redis::{FromRedisValue, Pipeline, RedisError, Value, pipe};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, RedisError>> + Send>>;

/// What a consumer that pulls asks for, and what it makes of the answer.
pub trait Pulling: Send {
    type Reply: FromRedisValue + Send + 'static;

    /// What acknowledges everything that was handed out since; nothing where nothing was.
    fn acknowledge(&mut self, _: &ConsumerPlace, _: &mut Pipeline) {}
    /// Asks for messages, blocking in the server for `left`; not at all when nothing is left.
    fn ask(&mut self, place: &ConsumerPlace, left: Duration, question: &mut Pipeline);
    /// Hands out what came. False: nothing was there, and the next question may block for it.
    fn take(
        &mut self,
        place: &ConsumerPlace,
        reply: Self::Reply,
        sink: &mut dyn FnMut(&[u8]),
    ) -> bool;
    /// The same for an answer that is handed to nobody any more.
    fn discard(&mut self, _: Self::Reply) {}
}

/// A connection, and the one question that is under way on it.
pub struct LibraryConsumer<P: Pulling> {
    runtime: Runtime,
    endpoint: Endpoint,
    connection: MultiplexedConnection,
    unanswered: Unanswered,
    pending: Option<Answer<P::Reply>>,
    place: ConsumerPlace,
    pulling: P,
}

impl<P: Pulling + Default> LibraryConsumer<P> {
    pub fn connect(endpoint: &Endpoint, place: ConsumerPlace) -> Result<Self, DriverError> {
        let runtime = runtime(endpoint)?;
        let (connection, unanswered) = connect(&runtime, endpoint)?;
        let (endpoint, pulling) = (endpoint.clone(), P::default());
        Ok(Self { runtime, endpoint, connection, unanswered, pending: None, place, pulling })
    }
}

impl<P: Pulling> LibraryConsumer<P> {
    fn ask(&mut self, left: Duration) {
        let mut question = pipe();
        self.pulling.acknowledge(&self.place, &mut question);
        self.pulling.ask(&self.place, left, &mut question);
        let mut connection = self.connection.clone();
        self.pending = Some(Box::pin(async move { question.query_async(&mut connection).await }));
    }

    /// The answer to what is under way, if it comes in time.
    fn answer(&mut self, limit: Duration) -> Result<Option<P::Reply>, DriverError> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        // In an `async` block: the timer wants a runtime around it.
        let answered = self.runtime.block_on(async { timeout(limit, pending).await });
        let Ok(answer) = answered else { return Ok(None) };
        self.pending = None;
        self.unanswered.clear();
        answer.map(Some).map_err(|error| failed(&self.endpoint, "consuming", &error))
    }
}

impl<P: Pulling> Subscriber for LibraryConsumer<P> {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let clock = self.place.clock;
        loop {
            if self.pending.is_none() {
                self.ask(clock.until(until_ns));
            }
            let limit = clock.until(self.place.patience(until_ns));
            let Some(reply) = self.answer(limit)? else { return Ok(()) };
            let received_ns = clock.now_ns();
            let mut stamped = |payload: &[u8]| sink(Incoming { payload, received_ns });
            if self.pulling.take(&self.place, reply, &mut stamped)
                || clock.until(until_ns).is_zero()
            {
                return Ok(());
            }
        }
    }

    fn close(&mut self) -> Result<(), DriverError> {
        if let Some(late) = self.answer(CLOSE)? {
            self.pulling.discard(late);
        }
        let mut last = pipe();
        self.pulling.acknowledge(&self.place, &mut last);
        if last.is_empty() {
            return Ok(());
        }
        let answer = last.query_async::<Value>(&mut self.connection);
        self.runtime.block_on(within(&self.endpoint, CLOSE, "acknowledging", answer)).map(drop)
    }
}

/// A consumer of a group, which acknowledges a batch in the pipeline that asks for the next.
#[derive(Default)]
pub struct StreamPulling {
    /// What was handed out and is not acknowledged yet: each stream and its ids.
    unacknowledged: Vec<(String, Vec<String>)>,
}

pub type LibraryStream = LibraryConsumer<StreamPulling>;

impl Pulling for StreamPulling {
    type Reply = (Option<StreamReadReply>,);

    fn acknowledge(&mut self, place: &ConsumerPlace, question: &mut Pipeline) {
        for (key, ids) in self.unacknowledged.drain(..) {
            question.cmd("XACK").arg(key).arg(&place.group).arg(ids).ignore();
        }
    }

    fn ask(&mut self, place: &ConsumerPlace, left: Duration, question: &mut Pipeline) {
        question.add_command(read(place, ">", left));
    }

    fn take(&mut self, _: &ConsumerPlace, reply: Self::Reply, sink: &mut dyn FnMut(&[u8])) -> bool {
        for stream in reply.0.into_iter().flat_map(|reply| reply.keys) {
            let mut ids = Vec::with_capacity(stream.ids.len());
            for entry in stream.ids {
                if let Some(Value::BulkString(payload)) = entry.map.get("d") {
                    sink(payload);
                }
                ids.push(entry.id);
            }
            self.unacknowledged.push((stream.key, ids));
        }
        true
    }
}

/// A consumer that takes elements away in batches.
#[derive(Default)]
pub struct ListPulling {
    /// The list that the next request names first.
    turn: usize,
}

pub type LibraryList = LibraryConsumer<ListPulling>;

impl Pulling for ListPulling {
    /// A list and the elements that were taken from it.
    type Reply = (Option<(String, Vec<Vec<u8>>)>,);

    fn ask(&mut self, place: &ConsumerPlace, left: Duration, question: &mut Pipeline) {
        question.add_command(pop(&place.keys, self.turn, place.batch, left));
        self.turn = (self.turn + 1) % place.keys.len();
    }

    fn take(&mut self, _: &ConsumerPlace, reply: Self::Reply, sink: &mut dyn FnMut(&[u8])) -> bool {
        reply.0.iter().flat_map(|(_, elements)| elements).for_each(|payload| sink(payload));
        true
    }
}

/// A consumer that moves elements to a processing list and deletes it when they are processed.
#[derive(Default)]
pub struct ReliablePulling {
    /// Moves to ask for at once; 0: nothing was there, so one that may block.
    moves: u32,
    /// Whether the processing list holds elements that were handed out, and no others.
    unacknowledged: bool,
}

pub type LibraryReliableList = LibraryConsumer<ReliablePulling>;

impl Pulling for ReliablePulling {
    type Reply = Vec<Option<Vec<u8>>>;

    fn acknowledge(&mut self, place: &ConsumerPlace, question: &mut Pipeline) {
        if std::mem::take(&mut self.unacknowledged) {
            question.cmd("DEL").arg(&place.processing).ignore();
        }
    }

    fn ask(&mut self, place: &ConsumerPlace, left: Duration, question: &mut Pipeline) {
        let left = if self.moves == 0 { left } else { Duration::ZERO };
        let moved = move_one(&place.keys[0], &place.processing, left);
        for _ in 0..self.moves.max(1) {
            question.add_command(moved.clone());
        }
    }

    fn take(
        &mut self,
        place: &ConsumerPlace,
        reply: Self::Reply,
        sink: &mut dyn FnMut(&[u8]),
    ) -> bool {
        let found = reply.iter().flatten().map(|payload| sink(payload)).count() as u32;
        self.unacknowledged |= found > 0;
        self.moves = if found > 0 { next_moves(self.moves.max(1), found, place.batch) } else { 0 };
        found > 0
    }

    /// It was handed to nobody: then the processing list stays.
    fn discard(&mut self, late: Self::Reply) {
        self.unacknowledged &= late.iter().all(Option::is_none);
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
    pub fn connect(endpoint: &Endpoint, place: &ConsumerPlace) -> Result<Self, DriverError> {
        let runtime = runtime(endpoint)?;
        let (messages, unanswered) = set_up(&runtime, endpoint, async |stream| {
            let mut connection = PubSub::new(&login(endpoint), stream).await?;
            connection.subscribe(&place.keys).await?;
            Ok(connection.into_on_message())
        })?;
        Ok(Self { runtime, endpoint: endpoint.clone(), clock: place.clock, unanswered, messages })
    }
}

impl Subscriber for LibraryPubSub {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let Self { runtime, endpoint, clock, unanswered, messages } = self;
        let left = clock.until(until_ns);
        runtime.block_on(async {
            let Ok(mut next) = timeout(left, messages.next()).await else { return Ok(()) };
            let received_ns = clock.now_ns();
            loop {
                let message =
                    next.ok_or_else(|| endpoint.lost("the server closed the connection"))?;
                unanswered.clear();
                let payload = message.get_payload_bytes();
                sink(Incoming { payload, received_ns });
                // What the crate has read already; it reads no more before the next wait.
                match messages.next().now_or_never() {
                    Some(more) => next = more,
                    None => return Ok(()),
                }
            }
        })
    }

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}
