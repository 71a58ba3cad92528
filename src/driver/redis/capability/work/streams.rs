//! A worker on a stream: what fails is simply not acknowledged, and claimed again once it has been
//! idle for the pause.
//!
//! The broker remembers everything: which entries are pending, how often each was delivered. So
//! nothing is lost with this worker, and whatever another one left idle is claimed by the same
//! request. An entry that is worked on, or not acknowledged, for longer than the pause would be
//! claimed while it is: the pause must be longer than the work, and than the time between two
//! acknowledgements.

use super::WorkConnection;
use crate::driver::DriverError;
use crate::driver::redis::load::ConsumerPlace;
use crate::driver::redis::load::streams::read;
use crate::driver::redis::primitive::WorkerParts;
use crate::driver::work::{AcknowledgeTimer, WorkEvent, Worker};
use crate::units::Span;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamReadReply};
use redis::{Value, cmd};
use std::collections::HashMap;
use std::time::Duration;

/// Copies a pending entry to the dead letters and acknowledges it, in one step. Nothing happens if
/// another consumer has done so, and an entry trimmed away meanwhile can only be acknowledged.
const BURY: &str = "local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #pending == 0 then return 0 end
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
if #entry == 1 then
  redis.call('XADD', KEYS[2], '*', 'd', entry[1][2][2], 'source', ARGV[2], 'tries', pending[1][4])
end
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])";

/// Most pending entries of this worker whose delivery counts are read at once.
const MOST_PENDING: u32 = 100_000;

pub struct StreamWorker {
    link: WorkConnection,
    place: ConsumerPlace,
    dead: String,
    pause: Span,
    /// Ids of the entries that are being worked on, by our own numbers.
    working: HashMap<u64, String>,
    numbers: u64,
    done: Vec<String>,
    acknowledge: AcknowledgeTimer,
    /// Where the next XAUTOCLAIM goes on.
    cursor: String,
    /// When to look for idle entries again.
    look_ns: u64,
}

impl StreamWorker {
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { connection, place, dead, terms } = parts;
        let (link, working, cursor) = (
            WorkConnection { connection, clock: place.clock, decided: vec![] },
            HashMap::new(),
            "0-0".into(),
        );
        Self {
            link,
            place,
            dead,
            pause: terms.pause,
            working,
            numbers: 0,
            done: vec![],
            acknowledge: AcknowledgeTimer::new(terms.acknowledge),
            cursor,
            look_ns: 0,
        }
    }

    fn tell_done(&mut self) {
        if !self.done.is_empty() {
            let ids = std::mem::take(&mut self.done);
            let command =
                cmd("XACK").arg(&self.place.keys[0]).arg(&self.place.group).arg(ids).take();
            self.link.decided.push((command, None));
        }
    }

    /// Takes over what has been idle for the pause, whoever had it; how many entries that were.
    fn claim(
        &mut self,
        max: u32,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<usize, DriverError> {
        let ConsumerPlace { clock, keys, group, consumer, .. } = &self.place;
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&keys[0]).arg(group).arg(consumer).arg(self.pause.nanos() / 1_000_000);
        claim.arg(&self.cursor).arg("COUNT").arg(max);
        // XAUTOCLAIM itself does not tell how often.
        let mut count = cmd("XPENDING");
        count.arg(&keys[0]).arg(group).arg("-").arg("+").arg(MOST_PENDING).arg(consumer);
        self.look_ns = clock.now_ns() + self.pause.nanos() / 4;
        let replies: Vec<StreamAutoClaimReply> = self.link.ask(&[claim], Duration::ZERO, sink)?;
        let mut claimed = vec![];
        for reply in replies {
            self.cursor = reply.next_stream_id;
            claimed.extend(reply.claimed);
        }
        if claimed.is_empty() {
            return Ok(0);
        }
        let pending: Vec<StreamPendingCountReply> =
            self.link.ask(&[count], Duration::ZERO, sink)?;
        let pending = pending.into_iter().flat_map(|reply| reply.ids);
        let counts: HashMap<String, usize> =
            pending.map(|entry| (entry.id, entry.times_delivered)).collect();
        let found = claimed.len();
        for entry in claimed {
            // Claimed at least once, so delivered at least twice,
            // should the count not be among them.
            let attempt = counts.get(&entry.id).map_or(2, |count| *count as u32);
            self.hand_out(entry, attempt, sink);
        }
        Ok(found)
    }

    fn hand_out(&mut self, entry: StreamId, attempt: u32, sink: &mut dyn FnMut(WorkEvent<'_>)) {
        // An entry that was trimmed away has no fields.
        if let Some(Value::BulkString(payload)) = entry.map.get("d") {
            self.numbers += 1;
            self.working.insert(self.numbers, entry.id);
            sink(WorkEvent::Task {
                id: self.numbers,
                attempt,
                payload,
                at_ns: self.place.clock.now_ns(),
            });
        }
    }
}

impl Worker for StreamWorker {
    fn take(
        &mut self,
        max: u32,
        until_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError> {
        let clock = self.place.clock;
        if self.acknowledge.due(clock.now_ns()) {
            self.tell_done();
        }
        let found = if clock.now_ns() >= self.look_ns { self.claim(max, sink)? } else { 0 };
        // With work in hand already, only look whether there is more.
        let left = if found > 0 { Duration::ZERO } else { clock.until(until_ns.min(self.look_ns)) };
        self.place.batch = max;
        let question = read(&self.place, ">", left);
        let replies: Vec<Option<StreamReadReply>> = self.link.ask(&[question], left, sink)?;
        let streams = replies.into_iter().flatten().flat_map(|reply| reply.keys);
        streams.flat_map(|stream| stream.ids).for_each(|entry| self.hand_out(entry, 1, sink));
        Ok(())
    }

    fn done(&mut self, id: u64) {
        self.done.extend(self.working.remove(&id));
    }

    /// Stays pending: the broker counts, and tells when it is claimed.
    fn retry(&mut self, id: u64) {
        self.working.remove(&id);
    }

    fn dead_letter(&mut self, id: u64) {
        if let Some(entry) = self.working.remove(&id) {
            let ConsumerPlace { keys, group, .. } = &self.place;
            let mut burial = cmd("EVAL");
            burial.arg(BURY).arg(2).arg(&keys[0]).arg(&self.dead).arg(group).arg(entry);
            self.link.decided.push((burial, Some(id)));
        }
    }

    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        self.tell_done();
        self.link.settle()
    }
}
