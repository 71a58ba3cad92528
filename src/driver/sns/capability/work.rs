//! Work that may fail, on a queue: SQS counts tries, repeats what is visible again, and moves what
//! was tried too often to the queue of dead letters (`RedrivePolicy`).
//!
//! A message that failed stays hidden for the pause, which is the application's, and is then made
//! visible. At its last try it is made visible once more: with the next look SQS moves it. The
//! worker reads the dead letters only to tell when one is there, and hands them back.

use super::audit;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::driver::sns::clients::{Clients, Patience, runtime};
use crate::driver::sns::driver::SnsDriver;
use crate::driver::sns::load::calls::CallLog;
use crate::driver::sns::load::payload_of;
use crate::driver::sns::load::queue::{DELETE, Fetch, Polling, Queue, RECEIVE, RELEASE, attempt};
use crate::driver::sns::resources::QueuePlace;
use crate::driver::sns::settings::MOST_ENTRIES;
use crate::driver::sns::words::Asked;
use crate::driver::work::{
    AcknowledgeTimer, Responsibilities, WorkEvent, WorkQueue, WorkTerms, Worker,
};
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// For how long a worker keeps a dead letter that it has seen, s: longer than any flow.
const HOLD_S: i32 = 3600;
/// Between two looks at the dead letters, ns: each is a request of its own.
const LOOK_NS: u64 = 200_000_000;
/// How long one look for work waits, s: what is made visible again must be asked for anew.
const WAIT_S: i32 = 1;

pub struct SqsWork<'a> {
    driver: &'a SnsDriver,
    place: QueuePlace,
    dead: QueuePlace,
    terms: WorkTerms,
}

impl<'a> SqsWork<'a> {
    pub fn new(driver: &'a SnsDriver, terms: WorkTerms) -> Result<Self, DriverError> {
        let (place, dead) = (driver.resources.queue(0)?, driver.resources.dead_letters()?);
        let policy = json!({
            "deadLetterTargetArn": dead.arn,
            "maxReceiveCount": terms.tries.max(1).to_string(),
        });
        let control = driver.resources.control()?;
        let call = control.sqs.set_queue_attributes().queue_url(&place.url);
        let call = call.attributes(QueueAttributeName::RedrivePolicy, policy.to_string()).send();
        let asked = Asked::new("say where dead letters go", "sqs:SetQueueAttributes");
        control.ask(asked, call)?;
        Ok(Self { driver, place, dead, terms })
    }
}

impl WorkQueue for SqsWork<'_> {
    fn worker(&self, _: u16) -> Result<Box<dyn Worker>, DriverError> {
        let clients = &self.driver.clients;
        let queue = |polling: Polling| {
            let log = CallLog::default();
            Queue::new(clients.sqs(Patience::USUAL, &log), polling, log)
        };
        let polling = self.driver.polling(&self.place);
        let letters = Polling {
            most: MOST_ENTRIES as i32,
            wait_s: 0,
            visibility_s: Some(HOLD_S),
            ..self.driver.polling(&self.dead)
        };
        Ok(Box::new(SqsWorker {
            runtime: runtime()?,
            answers: queue(polling.clone()),
            work: queue(Polling { wait_s: polling.wait_s.min(WAIT_S), counted: true, ..polling }),
            letters: queue(letters),
            clients: clients.clone(),
            clock: clients.clock,
            terms: self.terms,
            timer: AcknowledgeTimer::new(self.terms.acknowledge),
            most: self.driver.settings.receive,
            under_way: None,
            next_id: 0,
            desk: BTreeMap::new(),
            done: vec![],
            pausing: VecDeque::new(),
            visible: vec![],
            dying: HashMap::new(),
            kept: vec![],
            looked_ns: 0,
        }))
    }

    fn dead_letters(
        &self,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        audit::drain(self.driver, &self.dead, deadline_ns, sink)
    }

    fn responsibilities(&self) -> Responsibilities {
        Responsibilities {
            counts_tries: "SQS (ApproximateReceiveCount)",
            repeats: "SQS, once the application or the visibility time-out shows it again",
            sets_aside: "SQS (RedrivePolicy: maxReceiveCount, deadLetterTargetArn)",
            takes_over: "SQS, once the visibility time-out of what the dead one had is over",
            comes_again: "what the dead one had not yet deleted",
        }
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        self.driver.resources.delete_queue(&self.driver.resources.names().dead_letters())
    }
}

/// A message on a worker's desk: its receipt, and what it says where this is its last try.
struct DeskMessage {
    receipt: String,
    payload: Option<Vec<u8>>,
}

struct SqsWorker {
    runtime: Runtime,
    /// Where messages come from, and the same queue once more for what is said of them.
    work: Queue,
    answers: Queue,
    letters: Queue,
    clients: Clients,
    clock: Clock,
    terms: WorkTerms,
    timer: AcknowledgeTimer,
    /// Messages of one request.
    most: i32,
    under_way: Option<Fetch>,
    next_id: u64,
    desk: BTreeMap<u64, DeskMessage>,
    /// Receipts of what is processed and not deleted yet.
    done: Vec<String>,
    /// (due, receipt) of what failed, in order of both: every pause has the same length.
    pausing: VecDeque<(u64, String)>,
    /// Receipts of what everybody may see at once.
    visible: Vec<String>,
    /// What was given up, by what it says: a letter is known by that.
    dying: HashMap<Vec<u8>, u64>,
    /// Receipts of the letters that were seen.
    kept: Vec<String>,
    looked_ns: u64,
}

impl SqsWorker {
    fn delete_done(&mut self) -> Result<(), DriverError> {
        let call = self.answers.delete(std::mem::take(&mut self.done));
        self.runtime.block_on(call).map_err(|error| self.clients.failed(DELETE, &error))
    }

    fn show_again(&mut self, now_ns: u64) -> Result<(), DriverError> {
        while let Some((_, receipt)) = self.pausing.pop_front_if(|(due_ns, _)| *due_ns <= now_ns) {
            self.visible.push(receipt);
        }
        let call = self.answers.release(std::mem::take(&mut self.visible));
        self.runtime.block_on(call).map_err(|error| self.clients.failed(RELEASE, &error))
    }

    fn read_letters(
        &mut self,
        now_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError> {
        if self.dying.is_empty() || now_ns < self.looked_ns + LOOK_NS {
            return Ok(());
        }
        self.looked_ns = now_ns;
        let answer = self.runtime.block_on(self.letters.fetch());
        let letters = answer.map_err(|error| self.clients.failed(RECEIVE, &error))?;
        let (at_ns, mut buffer) = (self.clock.now_ns(), vec![]);
        for letter in letters {
            let payload = payload_of(letter.body().unwrap_or_default(), &mut buffer);
            if let Some(id) = self.dying.remove(payload) {
                sink(WorkEvent::DeadLettered { id, at_ns });
            }
            self.kept.extend(letter.receipt_handle);
        }
        Ok(())
    }

    /// New messages, if some come in time.
    fn fetched(&mut self, limit: Duration) -> Result<Vec<Message>, DriverError> {
        let work = &self.work;
        let under_way = self.under_way.get_or_insert_with(|| work.fetch());
        let answered = self.runtime.block_on(async { timeout(limit, under_way).await });
        let Ok(answer) = answered else { return Ok(vec![]) };
        self.under_way = None;
        answer.map_err(|error| self.clients.failed(RECEIVE, &error))
    }
}

impl Worker for SqsWorker {
    fn take(
        &mut self,
        max: u32,
        until_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError> {
        // Of the next request: one that is under way brings what it was asked for.
        self.work.polling.most = (max.clamp(1, MOST_ENTRIES) as i32).min(self.most);
        let now_ns = self.clock.now_ns();
        if self.timer.due(now_ns) && !self.done.is_empty() {
            self.delete_done()?;
        }
        self.show_again(now_ns)?;
        self.read_letters(now_ns, sink)?;
        let due_ns = self.pausing.front().map_or(until_ns, |(due_ns, _)| *due_ns);
        let messages = self.fetched(self.clock.until(due_ns.min(until_ns)))?;
        let (at_ns, mut buffer) = (self.clock.now_ns(), vec![]);
        for message in messages {
            let payload = payload_of(message.body().unwrap_or_default(), &mut buffer);
            let (id, attempt) = (self.next_id, attempt(&message));
            self.next_id += 1;
            let last = attempt >= self.terms.tries;
            let receipt = message.receipt_handle().unwrap_or_default().to_owned();
            let payload_kept = last.then(|| payload.to_vec());
            self.desk.insert(id, DeskMessage { receipt, payload: payload_kept });
            sink(WorkEvent::Task { id, attempt, payload, at_ns });
        }
        Ok(())
    }

    fn done(&mut self, id: u64) {
        self.done.extend(self.desk.remove(&id).map(|message| message.receipt));
    }

    fn retry(&mut self, id: u64) {
        let due_ns = self.clock.now_ns() + self.terms.pause.nanos();
        self.pausing.extend(self.desk.remove(&id).map(|message| (due_ns, message.receipt)));
    }

    /// It was received as often as it may be: visible once more, it is moved.
    fn dead_letter(&mut self, id: u64) {
        let Some(message) = self.desk.remove(&id) else { return };
        self.visible.push(message.receipt);
        if let Some(payload) = message.payload {
            self.dying.insert(payload, id);
        }
    }

    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        self.under_way = None;
        self.delete_done()?;
        self.show_again(u64::MAX)?;
        let call = self.letters.release(std::mem::take(&mut self.kept));
        self.runtime.block_on(call).map_err(|error| self.clients.failed(RELEASE, &error))
    }
}
