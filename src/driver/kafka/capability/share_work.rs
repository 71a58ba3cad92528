//! Work that may fail, on a share group: the broker counts tries, repeats, and sets aside.
//!
//! A message that failed stays locked by its worker for the pause, which is the application's, and
//! is then released: the broker delivers it again, to whoever asks. At the group's limit of
//! deliveries it archives it instead and writes it to the group's dead letter topic (KIP-1191,
//! Kafka 4.4). The worker reads that topic only to tell when a letter is there.

use super::work::{WorkPlace, id_of, place_of};
use crate::driver::DriverError;
use crate::driver::kafka::admin::DEAD;
use crate::driver::kafka::clients::{assign, refused};
use crate::driver::kafka::driver::KafkaDriver;
use crate::driver::kafka::load::ffi::Reader;
use crate::driver::kafka::load::share::{FROM_THE_OLDEST, ShareMember};
use crate::driver::work::{
    AcknowledgeTimer, Responsibilities, WorkEvent, WorkQueue, WorkTerms, Worker,
};
use crate::units::Span;
use crate::wire::kafka::share::{AckRange, AckType};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Letters that one look may bring.
const LETTERS: usize = 1000;
/// Longest wait for a message while letters are on their way, ns: they are to be noticed soon.
const NAP: u64 = 2_000_000;

pub struct ShareWork<'a>(WorkPlace<'a>);

impl<'a> ShareWork<'a> {
    pub fn new(driver: &'a KafkaDriver, terms: WorkTerms) -> Result<Self, DriverError> {
        let dead = format!("{DEAD}{}", driver.target.name);
        let settings = [("errors.deadletterqueue.group.enable", "true")];
        WorkPlace::make(driver, terms, dead, &settings).map(Self)
    }
}

impl WorkQueue for ShareWork<'_> {
    fn worker(&self, _: u16) -> Result<Box<dyn Worker>, DriverError> {
        let WorkPlace { driver, dead, group, terms, .. } = &self.0;
        let KafkaDriver { cell, target, clients, .. } = driver;
        let tries = terms.tries.to_string();
        let settings = [
            FROM_THE_OLDEST,
            ("share.delivery.count.limit", tries.as_str()),
            ("errors.deadletterqueue.topic.name", dead.as_str()),
            ("errors.deadletterqueue.copy.record.enable", "true"),
        ];
        let letters = clients.reader(&format!("{dead}-letters"))?;
        assign(&letters, dead, &[(0, 0)]).map_err(|error| refused("read letters", error))?;
        let batch = cell.config.consume.batch;
        Ok(Box::new(ShareWorker {
            member: ShareMember::join(clients, &target.name, group, batch, &settings)?,
            letters: Reader::new(letters, LETTERS, false),
            pause: terms.pause,
            tries: terms.tries,
            timer: AcknowledgeTimer::new(terms.acknowledge),
            pausing: VecDeque::new(),
            answers: BTreeMap::new(),
            last_tries: HashMap::new(),
            dying: HashMap::new(),
        }))
    }

    fn dead_letters(
        &self,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        self.0.dead_letters(deadline_ns, sink)
    }

    fn responsibilities(&self) -> Responsibilities {
        Responsibilities {
            counts_tries: "the broker (delivery count)",
            repeats: "the broker, when the application has released it",
            sets_aside: "the broker (share.delivery.count.limit, \
                errors.deadletterqueue.topic.name)",
            takes_over: "the broker, once the dead member's connection is closed",
            comes_again: "what the dead one had not yet acknowledged, by its next fetch",
        }
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        self.0.clean_up()
    }
}

struct ShareWorker {
    member: ShareMember,
    letters: Reader,
    pause: Span,
    tries: u32,
    timer: AcknowledgeTimer,
    /// (due, id) of what failed, in order of both: every pause has the same length.
    pausing: VecDeque<(u64, u64)>,
    /// What the next fetch is to say.
    answers: BTreeMap<u64, AckType>,
    /// What is delivered for the last time; and what was given up then, which a letter is known by.
    last_tries: HashMap<u64, Vec<u8>>,
    dying: HashMap<Vec<u8>, u64>,
}

impl ShareWorker {
    fn read_letters(&mut self, sink: &mut dyn FnMut(WorkEvent<'_>)) {
        let Self { member, letters, dying, .. } = self;
        if dying.is_empty() || letters.take(0, LETTERS) == 0 {
            return;
        }
        let at_ns = member.clock.now_ns();
        letters.each(|letter| {
            if let Some(id) = dying.remove(letter.payload) {
                sink(WorkEvent::DeadLettered { id, at_ns });
            }
        });
    }

    /// Leaves back what was accepted until it is time for it, or now is the end.
    fn say_answers(&mut self, due: bool) {
        for (id, kind) in std::mem::take(&mut self.answers) {
            if kind == AckType::Accept && !due {
                self.answers.insert(id, kind);
                continue;
            }
            let (partition, offset) = place_of(id);
            self.member.answers.add(partition, AckRange { first: offset, last: offset, kind });
        }
    }
}

impl Worker for ShareWorker {
    fn take(
        &mut self,
        max: u32,
        until_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError> {
        self.read_letters(sink);
        let now_ns = self.member.clock.now_ns();
        while let Some((_, id)) = self.pausing.pop_front_if(|(due_ns, _)| *due_ns <= now_ns) {
            self.answers.insert(id, AckType::Release);
        }
        let due = self.timer.due(now_ns);
        self.say_answers(due);
        let due_ns = self.pausing.front().map_or(until_ns, |(due_ns, _)| *due_ns);
        let left_ns = due_ns.min(until_ns).saturating_sub(now_ns);
        let nap_ns = if self.dying.is_empty() { left_ns } else { left_ns.min(NAP) };
        let Self { member, tries, last_tries, .. } = self;
        member.most = max;
        let taken = member.take(nap_ns, &mut |record| {
            let id = id_of(record.partition, record.offset);
            let (attempt, payload, at_ns) = (record.deliveries, record.payload, record.at_ns);
            if attempt >= *tries {
                last_tries.insert(id, payload.to_vec());
            }
            sink(WorkEvent::Task { id, attempt, payload, at_ns });
        });
        taken.map(drop)
    }

    fn done(&mut self, id: u64) {
        self.last_tries.remove(&id);
        self.answers.insert(id, AckType::Accept);
    }

    fn retry(&mut self, id: u64) {
        self.pausing.push_back((self.member.clock.now_ns() + self.pause.nanos(), id));
    }

    /// The broker has counted as many deliveries as it may: released, it is set aside.
    fn dead_letter(&mut self, id: u64) {
        if let Some(payload) = self.last_tries.remove(&id) {
            self.dying.insert(payload, id);
        }
        self.answers.insert(id, AckType::Release);
    }

    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        self.say_answers(true);
        self.member.leave()
    }

    fn kill(self: Box<Self>) {
        let Self { member, letters, .. } = *self;
        drop(member);
        // No part of the member, and slow to end.
        std::thread::spawn(move || drop(letters));
    }
}
