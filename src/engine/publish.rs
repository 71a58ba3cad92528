//! The pacing thread of one producer: sends what is due through a [`Sender`]
//! and books how it ended.
//!
//! Open loop: every message has its own planned time by arithmetic, and on each wake everything
//! that is due goes out, however late; nothing here ever moves the plan. Closed loop: a message
//! goes out whenever a slot is free. One thread owns all of it, so there is no lock and no queue
//! between a stamp and its histogram.

use super::comeback::add;
use super::control::Context;
use super::notes::{Notes, ProducerReport};
use super::sender::{Sender, TICK_NS, sharpen_timer};
use crate::driver::DriverError;
use crate::record::LatencyRecorder;
use crate::scenario::{Arrivals, Cell, Model};
use crate::schedule::Schedule;

/// Messages in a row to the same partition in the closed model: what batching clients do.
const CLOSED_RUN: u64 = 1000;
/// Of what may wait for consumers, a run is at most this part of each partition's share: else a
/// small `load.backlog` would lie in one partition, and the consumers of the others would have
/// nothing to do.
const RUNS_WAITING: u64 = 4;
/// How often a publisher that waits for consumers looks again.
const BACKLOG_POLL_NS: u64 = 100_000;
/// Consumers hold a producer back while less than this part of the backlog is free, and more than
/// this part of the slots: those wait for nobody but the broker.
const NEARLY: u64 = 10;

struct Producer<'a> {
    of: Context<'a>,
    number: u16,
    sender: Sender<false>,
    notes: Notes<'a>,
    start_ns: u64,
    /// Exactly this many, then stop.
    messages: Option<u64>,
    /// Closed model: most messages that may be published and not yet consumed, over all producers.
    backlog: u64,
    /// For the self-check only: the pacer sleeps once, (at, for how long), ns.
    disturb: Option<(u64, u64)>,
    /// Messages that were sent; of a plan also those that it still owed at the end.
    total_sent: u64,
    /// How much was sent when a client last gave out, and since when no more was, ns.
    stuck: (u64, u64),
}

/// Most messages that may be published and not yet consumed in the closed model.
fn backlog(cell: &Cell) -> u64 {
    match cell.load.subscriptions {
        // Nobody could ever catch up.
        0 => u64::MAX,
        _ => (cell.load.backlog.0 / cell.message.size.0.max(1)).max(u64::from(cell.load.in_flight)),
    }
}

/// Messages in a row to the same partition. Open model: as many as fall into a millisecond, so that
/// slow partitions are served evenly.
pub fn run_length(cell: &Cell) -> u32 {
    match (cell.load.model, cell.load.rate) {
        (Model::Open, Some(rate)) => (rate.per_s() / 1000.0).clamp(1.0, CLOSED_RUN as f64) as u32,
        _ => (backlog(cell) / (RUNS_WAITING * u64::from(cell.config.partitions())))
            .clamp(1, CLOSED_RUN) as u32,
    }
}

/// Runs a producer to its end. Blocks its thread until the load has ended and everything is
/// answered or overdue.
pub fn produce(
    of: Context<'_>,
    producer: u16,
    sender: Sender<false>,
    start_ns: u64,
    disturb: Option<(u64, u64)>,
    recorder: LatencyRecorder,
) -> ProducerReport {
    sharpen_timer();
    let (cell, load) = (of.cell, &of.cell.load);
    // Other arrivals in each block: else all blocks repeat one realisation.
    let seed = cell.seed.wrapping_add(u64::from(of.block.saturating_sub(1)));
    let schedule = match (load.model, load.rate) {
        (Model::Open, Some(rate)) => Some(match load.arrivals {
            Arrivals::Constant => Schedule::constant(rate, producer, load.producers),
            Arrivals::Poisson => Schedule::poisson(rate, producer, load.producers, seed),
        }),
        _ => None,
    };
    let share = |total: u64| {
        let (each, rest) = (total / u64::from(load.producers), total % u64::from(load.producers));
        each + u64::from(u64::from(producer) < rest)
    };
    let mut producer = Producer {
        of,
        number: producer,
        sender,
        notes: Notes::new(of, schedule.is_some(), start_ns, recorder),
        start_ns,
        messages: load.messages.map(share),
        backlog: backlog(cell),
        disturb,
        total_sent: 0,
        stuck: (u64::MAX, 0),
    };
    producer.offer(schedule);
    producer.finish()
}

impl Producer<'_> {
    /// Sends all that is to be sent, through as many clients as that takes.
    fn offer(&mut self, mut schedule: Option<Schedule>) {
        loop {
            let offered = match &mut schedule {
                Some(schedule) => self.pace_open_loop(schedule),
                None => self.pace_closed_loop(),
            };
            match offered {
                Err(error) if self.replace_client(&error) => {}
                _ => break,
            }
        }
        if let Some(schedule) = schedule {
            self.owe_the_rest(schedule);
            self.notes.report.totals.planned = Some(self.total_sent);
        }
    }

    /// Open model: the schedule decides. After an error it goes on where it was.
    fn pace_open_loop(&mut self, schedule: &mut Schedule) -> Result<(), DriverError> {
        let Context { cell, clock, control, .. } = self.of;
        let batch = cell.load.batch;
        let mut due = self.start_ns + schedule.due_ns();
        loop {
            let stop_at = control.stop_sending_at();
            let mut now = clock.now_ns();
            self.notes.tick(now);
            let mut burst = 0;
            while due <= now && due < stop_at && !self.complete() && burst < batch {
                if !self.sender.send(due, &mut self.notes)? {
                    self.notes.blocked_until_ns = clock.now_ns();
                    break;
                }
                self.total_sent += 1;
                schedule.advance();
                due = self.start_ns + schedule.due_ns();
                burst += 1;
                now = clock.now_ns();
            }
            self.notes.tell();
            self.sender.publisher.flush()?;
            if self.given_up(now) || due >= stop_at || self.complete() {
                return Ok(());
            }
            // Everything due has gone out, or back-pressure holds it: wait for the next due time or
            // for answers.
            let blocked = due <= now && burst < batch;
            let until = if blocked { now + TICK_NS } else { due.min(now + TICK_NS).min(stop_at) };
            self.collect(until)?;
        }
    }

    /// Whether nothing more is to be sent, however much is owed.
    fn given_up(&self, now_ns: u64) -> bool {
        let Context { cell, control, .. } = self.of;
        let patience_ns = cell.load.drain.nanos();
        control.abandoned() || now_ns > control.stop_sending_at().saturating_add(patience_ns)
    }

    /// A counted load has no end but its last message: it does not wait for ever to send it.
    fn is_stuck(&self, now_ns: u64) -> bool {
        self.messages.is_some() && now_ns > self.stuck.1 + self.of.cell.load.drain.nanos()
    }

    /// What the schedule still owed is planned too, sent or not.
    fn owe_the_rest(&mut self, mut schedule: Schedule) {
        let control = self.of.control;
        if control.abandoned() {
            return;
        }
        let stop_at = control.stop_sending_at();
        let mut due = self.start_ns + schedule.due_ns();
        while due < stop_at && !self.complete() {
            self.notes.report.totals.offered.add(due, 1);
            self.notes.report.totals.window_planned += u64::from(control.in_window(due));
            self.total_sent += 1;
            schedule.advance();
            due = self.start_ns + schedule.due_ns();
        }
    }

    /// Another client takes the place of one that was cut off or refused. False where none is
    /// needed any more.
    fn replace_client(&mut self, error: &DriverError) -> bool {
        let Context { driver, clock, .. } = self.of;
        self.notes.cut_off(error, &mut self.sender, clock.now_ns());
        if self.stuck.0 != self.total_sent {
            self.stuck = (self.total_sent, clock.now_ns());
        }
        let (number, mut comeback) = (self.number, std::mem::take(&mut self.notes.report.comeback));
        let made = comeback.connect(
            || driver.publisher(number),
            || {
                let now = clock.now_ns();
                self.notes.tick(now);
                self.given_up(now) || self.is_stuck(now)
            },
        );
        self.notes.report.comeback = comeback;
        let Some(publisher) = made else { return false };
        let gone = std::mem::replace(&mut self.sender.publisher, publisher);
        let report = &mut self.notes.report;
        add(&mut report.failures, gone.failures());
        add(&mut report.comeback.retries, gone.retries());
        self.notes.blocked_until_ns = clock.now_ns();
        true
    }

    /// Closed model: free slots decide.
    fn pace_closed_loop(&mut self) -> Result<(), DriverError> {
        let Context { cell, clock, control, .. } = self.of;
        // All producers begin together, and a counted run's window begins with them: nothing may go
        // out before it.
        std::thread::sleep(clock.until(self.start_ns));
        let (mut looked_ns, mut held) = (self.start_ns, false);
        loop {
            let now = clock.now_ns();
            self.notes.tick(now);
            if held && control.in_window(now) {
                self.notes.report.totals.held_ns += now.saturating_sub(looked_ns);
            }
            looked_ns = now;
            if control.abandoned() || now >= control.stop_sending_at() || self.complete() {
                return Ok(());
            }
            // So many messages may go out before the next look at the consumers.
            let left = self.backlog.saturating_sub(control.waiting());
            held = self.held_by_consumers(left);
            let room = left.min(u64::from(cell.load.batch));
            let mut burst = 0;
            let mut blocked = false;
            while burst < room && !self.complete() {
                if !self.sender.send(0, &mut self.notes)? {
                    blocked = true;
                    break;
                }
                self.total_sent += 1;
                burst += 1;
            }
            self.notes.tell();
            self.sender.publisher.flush()?;
            let until = if blocked || burst > 0 { now + TICK_NS } else { now + BACKLOG_POLL_NS };
            // With slots left over there is more to send at once: only look what has come in.
            self.collect(if blocked || room == 0 { until } else { 0 })?;
        }
    }

    /// With so much of the backlog `left` to fill.
    fn held_by_consumers(&self, left: u64) -> bool {
        let slots = u64::from(self.of.cell.load.in_flight);
        let free = slots.saturating_sub(self.sender.in_flight.busy() as u64);
        left <= self.backlog / NEARLY && free > slots / NEARLY
    }

    fn complete(&self) -> bool {
        self.messages.is_some_and(|messages| self.total_sent >= messages)
    }

    fn collect(&mut self, until_ns: u64) -> Result<(), DriverError> {
        if let Some((at, length)) = self.disturb
            && self.of.clock.now_ns() >= at
        {
            self.disturb = None;
            std::thread::sleep(std::time::Duration::from_nanos(length));
        }
        let result = self.sender.collect(until_ns, &mut self.notes);
        self.notes.tell();
        result
    }

    /// After the last send: waits for what is unanswered, until the drain's deadline.
    fn finish(self) -> ProducerReport {
        let Self { of, mut sender, mut notes, .. } = self;
        let sent_ns = of.clock.now_ns();
        let deadline_ns = sent_ns + of.cell.load.drain.nanos();
        if let Err(error) = sender.drain(deadline_ns, &mut notes) {
            notes.cut_off(&error, &mut sender, of.clock.now_ns());
        }
        notes.close(&sender, sent_ns, of.clock.now_ns())
    }
}
