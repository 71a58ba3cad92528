//! One connection of a publisher that outlives it: what waits, what is written, what was refused,
//! in the order in which it was sent.
//!
//! Every message keeps its encoded command until its end, which is one of three: the server
//! answered; its deadline passed; or, where a second sending is not allowed, its connection broke.
//! A message that was ever in doubt (a byte of it went to a socket that gave no answer) can only be
//! acknowledged or end as indeterminate; one that was always refused, or never written, ends as
//! failed. Nothing is sent past a refused message until everything before it is answered, so that
//! only messages of the same pipeline can overtake one another.

use super::super::connection::Connection;
use super::super::copies::{Confirmed, CopiesWait};
use super::super::publisher::publish_reply;
use super::super::reconnect::Reconnect;
use super::detour::Detour;
use super::message::{ASKING, DeliveryBooks, PendingMessage, end};
use super::refusal::{self, RefusalKind};
use crate::clock::Clock;
use crate::driver::redis::endpoint::reason;
use crate::driver::redis::slots;
use crate::driver::timeouts::Backoff;
use crate::driver::{Completion, DriverError, Outcome};
use std::collections::VecDeque;

/// Unsent bytes of a connection from which on nothing more goes into its buffer.
const UNSENT: usize = 1 << 20;

/// How a publisher treats its messages.
#[derive(Clone, Copy, Debug)]
pub struct RetryRules {
    /// Whether what may have been received is sent again.
    /// Not for PUBLISH, which promises at most once.
    pub again: bool,
    /// Whether the server answers (`CLIENT REPLY`).
    pub answers: bool,
    /// Most commands in one write.
    pub batch: u32,
    /// How long a message is tried after its sending.
    pub deadline_ns: u64,
    /// How long a server may keep silent that owes an answer.
    pub patience_ns: u64,
}

pub struct ResilientConnection {
    rules: RetryRules,
    clock: Clock,
    connection: Option<Connection>,
    reconnect: Reconnect<Connection>,
    /// Told to whoever makes the next connection.
    detour: Detour,
    /// Refused ones, all of them older than everything in `written`.
    refused: VecDeque<PendingMessage>,
    /// Handed to the connection, in the order in which it will answer.
    written: VecDeque<PendingMessage>,
    /// Answered well, before `written`; their copies are still to be confirmed.
    confirming: VecDeque<PendingMessage>,
    copies: Option<CopiesWait>,
    waiting: VecDeque<PendingMessage>,
    /// Whether one of the refused ones was refused because of the server.
    elsewhere: bool,
    /// Too few copies answered, or the Sentinels said so: somebody else may be the primary, and is
    /// being looked for.
    suspected: bool,
    /// A message was refused for now, and no other has ended since: one at a time asks whether it
    /// goes on. All that waits would keep busy a server that is in trouble.
    wary: bool,
    /// Nothing is written before.
    rest_until_ns: u64,
    rests: Backoff,
    collected_bytes: u64,
    /// Messages since the last write.
    collected: u32,
    /// When the server last answered, or was first asked.
    heard_ns: u64,
}

impl ResilientConnection {
    pub fn new(
        rules: RetryRules,
        clock: Clock,
        connection: Connection,
        reconnect: Reconnect<Connection>,
        detour: Detour,
        copies: Option<CopiesWait>,
    ) -> Self {
        Self {
            rules,
            clock,
            connection: Some(connection),
            reconnect,
            detour,
            refused: VecDeque::new(),
            written: VecDeque::new(),
            confirming: VecDeque::new(),
            copies,
            waiting: VecDeque::new(),
            elsewhere: false,
            suspected: false,
            wary: false,
            rest_until_ns: 0,
            rests: Backoff::default(),
            collected_bytes: 0,
            collected: 0,
            heard_ns: 0,
        }
    }

    pub fn connected(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Takes a message in. True when so many have come together that they are worth a write.
    pub fn take(&mut self, slot: u32, command: Vec<u8>, deadline_ns: u64) -> bool {
        let message =
            PendingMessage { slot: Some(slot), command, deadline_ns, ..PendingMessage::default() };
        self.waiting.push_back(message);
        self.collected += 1;
        self.collected >= self.rules.batch
    }

    /// Writes what waits, as far as it may go and the socket takes it.
    pub fn write(&mut self, books: &mut DeliveryBooks) {
        self.collected = 0;
        // Until the last answer before a refused message is here, and the rest after it is over.
        let held = !self.refused.is_empty() || self.rest_until_ns > 0;
        loop {
            let Some(connection) = &mut self.connection else { return };
            let mut room = match self.wary {
                _ if held => 0,
                true => u32::from(self.written.is_empty()),
                false => self.rules.batch,
            };
            while room > 0
                && connection.output.unsent() < UNSENT
                && let Some(mut message) = self.waiting.pop_front()
            {
                if self.written.is_empty() {
                    self.heard_ns = self.clock.now_ns();
                }
                if connection.asking {
                    connection.output.bytes.extend_from_slice(ASKING);
                    let asking = PendingMessage::asking(&message, self.collected_bytes);
                    self.collected_bytes = asking.place.1;
                    self.written.push_back(asking);
                }
                connection.output.bytes.extend_from_slice(&message.command);
                let end = self.collected_bytes + message.command.len() as u64;
                message.place = (std::mem::replace(&mut self.collected_bytes, end), end);
                self.written.push_back(message);
                room -= 1;
            }
            self.collected_bytes += connection.stay_signed_in();
            if let Some(copies) = &mut self.copies {
                let (unanswered, answered) = (self.written.len(), self.confirming.len());
                let output = &mut connection.output.bytes;
                self.collected_bytes += copies.ask(output, unanswered, answered) as u64;
            }
            if connection.output.unsent() == 0 {
                return;
            }
            let written = connection.write();
            if !self.rules.answers {
                self.complete_written(books);
            }
            match written {
                Ok(true) if !held && !self.wary && !self.waiting.is_empty() => {}
                Ok(_) => return,
                Err(error) => return self.read_the_last(&error, books),
            }
        }
    }

    /// Without answers a message is done once the kernel has its last byte.
    fn complete_written(&mut self, books: &mut DeliveryBooks) {
        let written = self.bytes_written();
        let at_ns = self.clock.now_ns();
        while let Some(message) = self.written.pop_front_if(|message| message.place.1 <= written) {
            self.heard_ns = at_ns;
            self.reconnect.settled();
            end(message, Outcome::Acked, at_ns, books);
        }
    }

    /// Bytes of this connection that the kernel has taken.
    fn bytes_written(&self) -> u64 {
        let unsent = self.connection.as_ref().map_or(0, |connection| connection.output.unsent());
        self.collected_bytes - unsent as u64
    }

    /// After a failed write: the server may have said why before it closed, and has answered what
    /// it took.
    fn read_the_last(&mut self, error: &DriverError, books: &mut DeliveryBooks) {
        self.read(true, books);
        if self.connection.is_some() {
            self.lose(reason(error), books);
        }
    }

    /// Reads until the socket is empty (`to_the_end`: until it says that it has ended).
    pub fn read(&mut self, to_the_end: bool, books: &mut DeliveryBooks) {
        let was_wary = self.wary;
        loop {
            let Some(connection) = &mut self.connection else { return };
            let more = match connection.input.read_from(&mut connection.stream) {
                Ok(Some((_, more))) => more,
                Ok(None) => break,
                Err(cause) => return self.lose(cause.to_string(), books),
            };
            // One stamp for all replies of one read: they were all there when it returned.
            if let Err(cause) = self.answers(self.clock.now_ns(), books) {
                return self.lose(cause, books);
            }
            if !more && !to_the_end {
                break;
            }
        }
        self.settle_refusals();
        if self.copies.is_some() || (was_wary && !self.wary) {
            self.write(books);
        }
    }

    /// Takes up every whole reply that is here.
    fn answers(&mut self, at_ns: u64, books: &mut DeliveryBooks) -> Result<(), String> {
        let mut used = 0;
        let result = loop {
            let Some(Connection { input, session, .. }) = &mut self.connection else {
                return Ok(());
            };
            let rest = &input.filled()[used..];
            match session.as_mut().map_or(Ok(0), |session| session.answered(rest)) {
                Ok(0) => {}
                Ok(passed) => {
                    used += passed;
                    continue;
                }
                Err(why) => break Err(format!("signing in again: {why}")),
            }
            if let Some(copies) = self.copies.as_mut().filter(|copies| copies.is_next()) {
                match copies.reply(rest) {
                    Ok(Some((found, length))) => {
                        (used, self.heard_ns) = (used + length, at_ns);
                        match self.confirm(found, at_ns, books) {
                            Ok(()) => continue,
                            Err(why) => break Err(why),
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(cause) => break Err(format!("unreadable reply: {cause}")),
                }
            }
            let (refusal, length) = match publish_reply(rest) {
                Ok(Some(found)) => found,
                Ok(None) => break Ok(()),
                Err(cause) => break Err(format!("unreadable reply: {cause}")),
            };
            let error = refusal.map(|text| (RefusalKind::of(text), refusal::words(text)));
            let asked_at = refusal.and_then(slots::asked_at);
            used += length;
            let owed = if self.rules.answers { self.written.pop_front() } else { None };
            let Some(message) = owed else {
                // The server's farewell, such as "max number of clients reached"; the end of the
                // stream follows it.
                if let Some((_, words)) = error {
                    *books.retries.entry(words).or_default() += 1;
                }
                continue;
            };
            self.heard_ns = at_ns;
            let copies = self.copies.as_mut().map(CopiesWait::pass);
            if message.asks {
                // It says nothing of the message behind it, which has an answer of its own.
                continue;
            }
            self.settle(message, error, (asked_at, copies.is_some()), at_ns, books);
        };
        if let Some(connection) = &mut self.connection {
            connection.input.consume(used);
        }
        result
    }

    /// What an answer makes of its message: done, refused for good, or to be sent again, to where
    /// the server has `asked_at`. With `copied` it is done once the copies have it.
    fn settle(
        &mut self,
        mut message: PendingMessage,
        error: Option<(RefusalKind, String)>,
        (asked_at, copied): (Option<String>, bool),
        at_ns: u64,
        books: &mut DeliveryBooks,
    ) {
        match error {
            None => {
                self.rests.reset();
                self.wary = false;
                if copied {
                    self.confirming.push_back(message);
                } else {
                    self.reconnect.settled();
                    end(message, Outcome::Acked, at_ns, books);
                }
            }
            Some((RefusalKind::Never, words)) => {
                self.wary = false;
                let outcome =
                    if message.doubtful { Outcome::Indeterminate } else { Outcome::Failed };
                if message.slot.is_some() {
                    *books.failures.entry(words).or_default() += 1;
                }
                end(message, outcome, at_ns, books);
            }
            Some((refusal, words)) => {
                self.elsewhere |= refusal != RefusalKind::Later;
                self.detour.set(asked_at);
                *books.retries.entry(words.clone()).or_default() += 1;
                message.refusal = Some(words);
                self.refused.push_back(message);
            }
        }
    }

    /// What the copies say of all that was answered. An error: it may be the primary no more.
    fn confirm(
        &mut self,
        found: Confirmed,
        at_ns: u64,
        books: &mut DeliveryBooks,
    ) -> Result<(), String> {
        match found {
            Confirmed::Enough => {
                self.reconnect.settled();
                let confirmed = self.confirming.drain(..);
                confirmed.for_each(|message| end(message, Outcome::Acked, at_ns, books));
            }
            Confirmed::TooFew(why) => {
                *books.retries.entry(why.clone()).or_default() += self.confirming.len() as u64;
                self.confirming.iter_mut().for_each(|message| message.doubtful = true);
                // They are asked again, and so is who the primary is.
                self.suspect(why);
            }
            Confirmed::Refused(why) => return Err(why),
        }
        Ok(())
    }

    /// Somebody else may be the primary, and is looked for while this connection goes on.
    pub fn suspect(&mut self, why: String) {
        if self.connection.is_some() && !std::mem::replace(&mut self.suspected, true) {
            self.reconnect.begin(self.clock.now_ns(), why);
        }
    }

    /// Once everything is answered: puts refused messages back to the front, to be sent again after
    /// a rest or to another server.
    fn settle_refusals(&mut self) {
        if self.refused.is_empty() || !self.written.is_empty() || !self.confirming.is_empty() {
            return;
        }
        let words =
            self.refused.back().and_then(|message| message.refusal.clone()).unwrap_or_default();
        self.put_back();
        self.wary = true;
        if std::mem::take(&mut self.elsewhere) {
            self.hang_up(words);
        } else {
            // Never at once: the reply has just said that it would be in vain.
            self.rest_until_ns = self.clock.now_ns() + self.rests.pause_ns().max(Backoff::FIRST_NS);
        }
    }

    fn put_back(&mut self) {
        for from in [&mut self.written, &mut self.refused] {
            while let Some(message) = from.pop_back() {
                if message.slot.is_some() {
                    self.waiting.push_front(message);
                }
            }
        }
    }

    fn hang_up(&mut self, why: String) {
        self.connection = None;
        (self.collected_bytes, self.rest_until_ns, self.elsewhere) = (0, 0, false);
        self.copies.iter_mut().for_each(CopiesWait::forget);
        self.suspected = false;
        self.reconnect.begin(self.clock.now_ns(), why);
    }

    /// The connection is gone: what it owed an answer is in doubt,
    /// and waits again where that is allowed.
    fn lose(&mut self, why: String, books: &mut DeliveryBooks) {
        let (written, at_ns) = (self.bytes_written(), self.clock.now_ns());
        let (mut kept, mut again) = (VecDeque::new(), 0);
        let mut owed = std::mem::take(&mut self.confirming);
        owed.append(&mut self.written);
        for mut message in owed {
            let touched = message.place.0 < written;
            if touched && !self.rules.again && message.slot.is_some() {
                *books.failures.entry(why.clone()).or_default() += 1;
                end(message, Outcome::Indeterminate, at_ns, books);
                continue;
            }
            again += u64::from(touched && message.slot.is_some());
            message.doubtful |= touched;
            kept.push_back(message);
        }
        self.written = kept;
        if again > 0 {
            *books.retries.entry(why.clone()).or_default() += again;
        }
        self.put_back();
        self.hang_up(why);
    }

    /// Whatever is due by the clock: deadlines, a silent server, the end of a rest, a new
    /// connection, which is returned to be watched. To be called every few milliseconds.
    pub fn look(&mut self, books: &mut DeliveryBooks) -> Option<&Connection> {
        let now_ns = self.clock.now_ns();
        self.expire(now_ns, books);
        if self.connection.is_none() || self.suspected {
            let found = self.reconnect.poll(&self.clock, 0, &mut books.retries);
            if let Some(made) = found {
                return self.go_on(made, books);
            }
            self.connection.as_ref()?;
        }
        let owed = !self.written.is_empty() || !self.confirming.is_empty();
        if owed && now_ns > self.heard_ns.saturating_add(self.rules.patience_ns) {
            self.lose(format!("no answer for {:.1} s", self.rules.patience_ns as f64 / 1e9), books);
        } else if self.rest_until_ns > 0 && now_ns >= self.rest_until_ns {
            self.rest_until_ns = 0;
            self.write(books);
        } else {
            self.settle_refusals();
        }
        None
    }

    /// Goes on over a new connection, unless it leads to where the old one does, which works.
    fn go_on(&mut self, made: Connection, books: &mut DeliveryBooks) -> Option<&Connection> {
        let suspected = std::mem::take(&mut self.suspected);
        if let Some(old) = self.connection.as_ref().filter(|_| suspected) {
            if old.endpoint.address() == made.endpoint.address() {
                return None;
            }
            let why = self.reconnect.why().to_owned();
            self.lose(why, books);
        }
        Reconnect::<Connection>::count(&mut books.retries);
        self.connection = Some(made);
        self.heard_ns = self.clock.now_ns();
        self.connection.as_ref()
    }

    /// Whether something happens soon that no socket tells.
    pub fn troubled(&self) -> bool {
        let looks = self.connection.is_none() || self.suspected;
        looks || self.rest_until_ns > 0 || !self.refused.is_empty()
    }

    fn expire(&mut self, now_ns: u64, books: &mut DeliveryBooks) {
        let due = |message: &mut PendingMessage| message.deadline_ns <= now_ns;
        while let Some(message) =
            self.refused.pop_front_if(due).or_else(|| self.waiting.pop_front_if(due))
        {
            let (outcome, how) = match (&message.refusal, message.doubtful) {
                (_, true) => (
                    Outcome::Indeterminate,
                    format!("no answer by its deadline: {}", self.reconnect.why()),
                ),
                (Some(words), false) => {
                    (Outcome::Failed, format!("refused until its deadline: {words}"))
                }
                (None, false) => {
                    (Outcome::Failed, format!("not sent by its deadline: {}", self.reconnect.why()))
                }
            };
            *books.failures.entry(how).or_default() += 1;
            end(message, outcome, now_ns, books);
        }
        let owed = self.confirming.iter_mut().chain(&mut self.written);
        for message in owed.take_while(|message| message.deadline_ns <= now_ns) {
            // Its answer may still come, and stays bound to it.
            if let Some(slot) = message.slot.take() {
                *books.failures.entry("no answer by its deadline".into()).or_default() += 1;
                books.ended.push(Completion {
                    slot,
                    outcome: Outcome::Indeterminate,
                    at_ns: now_ns,
                });
            }
        }
    }
}
