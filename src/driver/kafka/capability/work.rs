//! WorkQueue that may fail, on Kafka: a classic consumer group whose application counts tries,
//! waits, and writes a dead letter topic.
//!
//! A partition has one position, not an acknowledgement for each message. So a message that failed
//! is kept aside in memory while later ones are worked on, and the position never passes the oldest
//! one that is neither done nor dead_lettered: what a crash repeats is everything behind that. Dead
//! letters are acknowledged by the broker before the position may pass their originals. New
//! messages are not taken while [`MOST_HELD`] lie aside.

use super::audit;
use crate::driver::capability::ReplayFrom;
use crate::driver::kafka::admin::Admin;
use crate::driver::kafka::clients::timed_out;
use crate::driver::kafka::driver::KafkaDriver;
use crate::driver::kafka::load::ffi::Record;
use crate::driver::kafka::load::publisher::KafkaPublisher;
use crate::driver::kafka::load::subscriber::{GroupMember, HOUSEKEEPING};
use crate::driver::work::{
    AcknowledgeTimer, Responsibilities, RetryQueue, WorkEvent, WorkQueue, WorkTerms, Worker,
};
use crate::driver::{DriverError, Outcome, Outgoing, Publisher, Submitted};
use crate::scenario::Topic;
use crate::units::Span;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Messages on the desk from which on no new ones are taken.
const MOST_HELD: usize = 10_000;
/// Longer than a dead member's session lasts by default (45 s): its partitions are free only then.
const JOIN: Duration = Duration::from_secs(60);
/// How long the last dead letters may take.
const LEAVE: Duration = Duration::from_secs(5);
/// An id is a partition above this many bits of an offset.
const OFFSET_BITS: u32 = 48;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

/// What work of either kind of group stands on: the load's topic, one for dead letters, a group.
pub struct WorkPlace<'a> {
    pub driver: &'a KafkaDriver,
    admin: Admin,
    pub dead: String,
    pub group: String,
    pub terms: WorkTerms,
}

impl<'a> WorkPlace<'a> {
    /// Makes the topic `dead`, as the load's but of one partition and with these settings.
    pub fn make(
        driver: &'a KafkaDriver,
        terms: WorkTerms,
        dead: String,
        settings: &[(&str, &str)],
    ) -> Result<Self, DriverError> {
        let (admin, group) = (driver.admin()?, format!("{}-work", driver.target.name));
        let mut topic = Topic { partitions: 1, ..driver.cell.config.topic.clone() };
        let settings = settings.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        topic.config.extend(settings);
        admin.make_topic(&dead, &topic)?;
        Ok(Self { driver, admin, dead, group, terms })
    }

    pub fn dead_letters(
        &self,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        let (clients, name) = (&self.driver.clients, self.dead.as_str());
        let source = audit::AuditSource { clients, name, topic: name, partitions: 1, since: &[] };
        audit::read(&source, ReplayFrom::Beginning, deadline_ns, sink).map(drop)
    }

    pub fn clean_up(&self) -> Result<(), DriverError> {
        self.admin.delete_groups(&[&self.group]);
        self.admin.delete_topics(&[&self.dead])
    }
}

pub struct KafkaWork<'a>(WorkPlace<'a>);

impl<'a> KafkaWork<'a> {
    pub fn new(driver: &'a KafkaDriver, terms: WorkTerms) -> Result<Self, DriverError> {
        let dead = format!("{}-dead", driver.target.name);
        WorkPlace::make(driver, terms, dead, &[]).map(Self)
    }
}

impl WorkQueue for KafkaWork<'_> {
    fn worker(&self, _: u16) -> Result<Box<dyn Worker>, DriverError> {
        let WorkPlace { driver, dead, group, terms, .. } = &self.0;
        let KafkaDriver { cell, target, clients, .. } = driver;
        let member =
            GroupMember::join(clients, &target.name, group, cell.config.consume.batch, JOIN)?;
        Ok(Box::new(KafkaWorker {
            member,
            letters: KafkaPublisher::connect(clients, dead, 1)?,
            dead_lettering: HashMap::new(),
            slots: 0,
            to_dead_letter: VecDeque::new(),
            desk: RetryQueue::default(),
            pause: terms.pause,
            acknowledge: AcknowledgeTimer::new(terms.acknowledge),
            uncommitted: false,
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
            counts_tries: "the application, in its memory",
            repeats: "the application, from its memory",
            sets_aside: "the application (a record acknowledged in the dead letter topic, \
                then the offset)",
            takes_over: "the broker, once the dead member's session has ended",
            comes_again: "what was not yet committed",
        }
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        self.0.clean_up()
    }
}

struct KafkaWorker {
    member: GroupMember,
    letters: KafkaPublisher,
    /// Dead letters under way, by their slot.
    dead_lettering: HashMap<u32, u64>,
    slots: u32,
    /// Dead letters that are still to be handed over, or to be tried again.
    to_dead_letter: VecDeque<u64>,
    desk: RetryQueue,
    pause: Span,
    acknowledge: AcknowledgeTimer,
    /// Whether anything is done since the last commit.
    uncommitted: bool,
}

pub fn id_of(partition: i32, offset: i64) -> u64 {
    ((partition as u64) << OFFSET_BITS) | (offset as u64 & OFFSET_MASK)
}

/// The partition and the offset that [`id_of`] made this of.
pub fn place_of(id: u64) -> (i32, i64) {
    ((id >> OFFSET_BITS) as i32, (id & OFFSET_MASK) as i64)
}

/// The offset from which a new owner of `partition` must read on: behind everything handed out, but
/// not past the oldest message still on the desk.
fn safe_position(desk: &RetryQueue, partition: usize, next: i64) -> i64 {
    let first = id_of(partition as i32, 0);
    desk.lowest(first..=first | OFFSET_MASK).map_or(next, |id| place_of(id).1)
}

impl KafkaWorker {
    /// Commits what is done, where there is anything new and the policy says so.
    fn acknowledge(&mut self) {
        if self.uncommitted && self.acknowledge.due(self.member.clock.now_ns()) {
            let desk = &self.desk;
            self.member.commit(|partition, next| safe_position(desk, partition, next));
            self.uncommitted = false;
        }
    }

    /// Hands over dead letters and takes up what the broker said to earlier ones.
    fn dead_letter_more(&mut self, sink: &mut dyn FnMut(WorkEvent<'_>)) -> Result<(), DriverError> {
        while let Some(&id) = self.to_dead_letter.front() {
            let Some(payload) = self.desk.payload(id) else {
                self.to_dead_letter.pop_front();
                continue;
            };
            let message = Outgoing { slot: self.slots, connection: 0, partition: 0, payload };
            if self.letters.submit(message)? == Submitted::Full {
                break;
            }
            self.dead_lettering.insert(self.slots, id);
            self.slots = self.slots.wrapping_add(1);
            self.to_dead_letter.pop_front();
        }
        self.letters.flush()?;
        let mut completions = Vec::new();
        self.letters.wait(0, &mut completions)?;
        for completion in completions {
            let Some(id) = self.dead_lettering.remove(&completion.slot) else { continue };
            if completion.outcome == Outcome::Acked {
                self.desk.clear(id);
                self.uncommitted = true;
                sink(WorkEvent::DeadLettered { id, at_ns: completion.at_ns });
            } else {
                // Twice among the dead letters is better than never.
                self.to_dead_letter.push_back(id);
            }
        }
        Ok(())
    }
}

impl Worker for KafkaWorker {
    fn take(
        &mut self,
        max: u32,
        until_ns: u64,
        sink: &mut dyn FnMut(WorkEvent<'_>),
    ) -> Result<(), DriverError> {
        self.acknowledge();
        loop {
            self.dead_letter_more(sink)?;
            let Self { member, desk, .. } = self;
            let now_ns = member.clock.now_ns();
            if now_ns >= member.due_ns {
                member.keep_house(|partition, next| safe_position(desk, partition, next))?;
            }
            let again = desk.hand_out(now_ns, sink);
            let until_ns = desk.next_due_ns().map_or(until_ns, |due_ns| due_ns.min(until_ns));
            let left_ns = if again { 0 } else { until_ns.saturating_sub(now_ns) };
            if desk.count() >= MOST_HELD {
                std::thread::sleep(Duration::from_nanos(left_ns.min(1_000_000)));
                return Ok(());
            }
            // A dead letter under way is to be noticed soon; beyond that, wake for housekeeping.
            let nap_ns = if self.dead_lettering.is_empty() { HOUSEKEEPING } else { 2_000_000 };
            let taken = member.take(left_ns.min(nap_ns), max as usize);
            if taken > 0 || again || left_ns <= nap_ns {
                break;
            }
        }
        let Self { member, desk, .. } = self;
        let at_ns = member.clock.now_ns();
        let hand_out = |record: Record<'_>| {
            let id = id_of(record.partition, record.offset);
            desk.hold(id, record.payload);
            sink(WorkEvent::Task { id, attempt: 1, payload: record.payload, at_ns });
        };
        member.each(hand_out, |_| false)
    }

    fn done(&mut self, id: u64) {
        self.desk.clear(id);
        self.uncommitted = true;
    }

    fn retry(&mut self, id: u64) {
        self.desk.retry(id, self.member.clock.now_ns() + self.pause.nanos());
    }

    fn dead_letter(&mut self, id: u64) {
        self.to_dead_letter.push_back(id);
    }

    fn close(mut self: Box<Self>) -> Result<(), DriverError> {
        let deadline_ns = self.member.clock.now_ns() + LEAVE.as_nanos() as u64;
        while !(self.to_dead_letter.is_empty() && self.dead_lettering.is_empty()) {
            if self.member.clock.now_ns() > deadline_ns {
                return Err(timed_out("writing dead letters", LEAVE));
            }
            self.dead_letter_more(&mut |_| ())?;
            std::thread::sleep(Duration::from_millis(1));
        }
        let Self { member, desk, .. } = *self;
        member.store(|partition, next| safe_position(&desk, partition, next));
        member.leave()
    }

    fn kill(self: Box<Self>) {
        self.member.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_never_passes_what_is_still_on_the_desk() {
        let mut desk = RetryQueue::default();
        for (partition, offset) in [(0, 7), (1, 3), (1, 5)] {
            desk.hold(id_of(partition, offset), b"x");
        }
        let positions = |desk: &RetryQueue| {
            [safe_position(desk, 0, 9), safe_position(desk, 1, 9), safe_position(desk, 2, 9)]
        };
        assert_eq!(positions(&desk), [7, 3, 9]);
        desk.clear(id_of(1, 3));
        assert_eq!(positions(&desk), [7, 5, 9]);
        desk.clear(id_of(0, 7));
        desk.clear(id_of(1, 5));
        assert_eq!(positions(&desk), [9, 9, 9]);
    }
}
