//! The faults of one cell on its timeline, beside its load: each injected when it is due, taken back when that is due, and
//! watched until a new client gets through and every copy is whole again.
//!
//! Invariant: nothing here slows the load or touches its clients; whatever was done is taken back before this ends, but
//! for what a scenario loses for good. It judges nothing: it says when each thing was.

use super::control::Control;
use super::probe::acknowledged_since;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::inject::{Injector, Shared};
use crate::record::SECOND_NS;
use crate::result::{Event, Fault};
use crate::scenario::{Cell, FaultPlan, Heal, Injection, timeline};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// How long after the window everything may take to be whole again.
const WHOLE_WITHIN_NS: u64 = 60 * SECOND_NS;
const NAP_NS: u64 = 5_000_000;
/// How often the copies are counted.
const COUNT_EVERY: Duration = Duration::from_millis(200);
/// Faults are injected and taken back one at a time, and a broker that starts again may take long: from so much on it is
/// told that the next one had to wait.
const LATE_NS: u64 = SECOND_NS / 5;
/// Not yet.
const NOT_YET: u64 = u64::MAX;

/// What the faults of a cell need.
pub struct FaultTimeline<'a, 'b> {
    pub cell: &'a Cell,
    pub block: u32,
    pub run: u64,
    pub clock: Clock,
    pub control: &'a Control,
    pub driver: &'a dyn Driver,
    pub broker: &'a Shared<'b>,
    pub interrupted: &'a AtomicBool,
    /// For whoever watches.
    pub news: Sender<String>,
}

/// What came of them.
#[derive(Default)]
pub struct FaultLog {
    /// In order of injection; times that only the books know are left open.
    pub faults: Vec<Fault>,
    pub events: Vec<Event>,
}

/// One injection and what follows from it.
struct ActiveFault<'scope> {
    /// Number of the injection.
    number: usize,
    struck_ns: u64,
    /// Due, ns; [`NOT_YET`] for at the end and for never.
    heal_ns: u64,
    heal: Heal,
    done: bool,
    probe: Option<ScopedJoinHandle<'scope, Option<u64>>>,
    whole: Option<ScopedJoinHandle<'scope, Option<u64>>>,
}

impl ActiveFault<'_> {
    /// Joins the watchers, whose end must be told to them before, and notes when each saw what it waits for.
    fn note_recovery(self, log: &mut FaultLog) {
        let found = |handle: Option<ScopedJoinHandle<'_, Option<u64>>>| handle?.join().ok().flatten();
        let (probe_ns, whole_ns) = (found(self.probe), found(self.whole));
        if let Some(record) = log.faults.get_mut(self.number) {
            record.probe_rto_ns = probe_ns.map(|at_ns| at_ns.saturating_sub(self.struck_ns));
            record.redundancy_ns = whole_ns.map(|at_ns| at_ns.saturating_sub(self.struck_ns));
        }
        let told = [(probe_ns, "a new client is acknowledged"), (whole_ns, "every copy is in sync again")];
        for (at_ns, text) in told.into_iter().filter_map(|(at_ns, text)| Some((at_ns?, text))) {
            log.events.push(event(at_ns, "recovery", text.to_owned()));
        }
    }
}

impl FaultTimeline<'_, '_> {
    /// Runs the timeline of the measured window; returns when everything is whole again, at the latest a minute after it.
    pub fn run(&self) -> FaultLog {
        let mut log = FaultLog::default();
        let injections = timeline(&self.cell.faults, self.cell.seed, self.block);
        let Some((start_ns, end_ns)) = self.await_window() else {
            log.faults = injections.iter().map(|injection| self.missed(injection)).collect();
            return log;
        };
        // Only healed nodes can be whole: before that, a cluster may not have noticed yet.
        let healed: Vec<AtomicU64> = injections.iter().map(|_| AtomicU64::new(NOT_YET)).collect();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            // However this is left, the watchers must end, or the scope would wait for ever.
            let ended = Over(&over);
            let consumers = &self.control.consumers;
            let cluster = self.driver.cluster().ok();
            let seed = self.cell.seed ^ u64::from(self.block) << 32;
            let mut injector = Injector::new(self.broker, cluster, consumers, self.clock, seed, self.interrupted);
            let mut active: Vec<ActiveFault<'_>> = Vec::new();
            let mut waiting = injections.iter().enumerate().peekable();
            while !self.given_up() {
                let now = self.clock.now_ns();
                let due = |injection: &Injection| start_ns + injection.at.nanos();
                if let Some(fault) = active.iter_mut().find(|fault| !fault.done && fault.heal_ns <= now) {
                    self.heal(fault, &mut injector, &healed, &mut log);
                } else if let Some((number, injection)) =
                    waiting.next_if(|(_, injection)| due(injection) <= now && now < end_ns)
                {
                    let planned_ns = due(injection);
                    let Some(plan) = self.cell.faults.get(injection.plan) else { continue };
                    let struck = self.inject(number, plan, planned_ns, &mut injector, &mut log);
                    let Some(struck_ns) = struck else { continue };
                    let heal_ns = match injection.heal {
                        // It lasts from when it was seen: a broker that takes long to stop is down for as long.
                        Heal::After(span) => self.clock.now_ns() + span.nanos(),
                        Heal::AtEnd => end_ns,
                        Heal::Never => NOT_YET,
                    };
                    if injection.heal == Heal::Never {
                        injector.leave(number);
                    }
                    let (over, healed) = (&over, &healed[number]);
                    active.push(ActiveFault {
                        number,
                        struck_ns,
                        heal_ns,
                        heal: injection.heal,
                        done: false,
                        probe: Some(scope.spawn(move || self.probe(number, struck_ns, (healed, end_ns), over))),
                        whole: Some(scope.spawn(move || self.whole(struck_ns, healed, over))),
                    });
                } else if now >= end_ns {
                    break;
                } else {
                    let next_heal = active.iter().filter(|fault| !fault.done).map(|fault| fault.heal_ns).min();
                    let next_due = waiting.peek().map(|(_, injection)| due(injection));
                    let next = next_heal.into_iter().chain(next_due).fold(end_ns.min(now + NAP_NS), u64::min);
                    thread::sleep(self.clock.until(next));
                }
            }
            for fault in active.iter_mut().filter(|fault| !fault.done && fault.heal != Heal::Never) {
                self.heal(fault, &mut injector, &healed, &mut log);
            }
            log.faults.extend(waiting.map(|(_, injection)| self.missed(injection)));
            self.await_whole(&active, end_ns);
            drop(ended);
            active.into_iter().for_each(|fault| fault.note_recovery(&mut log));
        });
        log.events.sort_by_key(|event| event.at_ns);
        log
    }

    /// Waits for the measured window; `None` where it never opens.
    fn await_window(&self) -> Option<(u64, u64)> {
        while !self.given_up() {
            if let Some(window) = self.control.window() {
                return Some(window);
            }
            thread::sleep(Duration::from_nanos(NAP_NS));
        }
        None
    }

    fn given_up(&self) -> bool {
        self.control.abandoned() || self.interrupted.load(Relaxed)
    }

    /// A fault that the load did not live to see.
    fn missed(&self, injection: &Injection) -> Fault {
        let plan = self.cell.faults.get(injection.plan);
        Fault {
            kind: plan.map_or("", |plan| plan.kind().name()).into(),
            target: plan.map_or("", target).into(),
            not_applied: Some("the load ended before".into()),
            ..Fault::default()
        }
    }

    /// When it took effect; `None` where it did not.
    fn inject(
        &self,
        number: usize,
        plan: &FaultPlan,
        planned_ns: u64,
        injector: &mut Injector<'_, '_>,
        log: &mut FaultLog,
    ) -> Option<u64> {
        let mut record = Fault {
            kind: plan.kind().name().into(),
            target: target(plan).into(),
            planned_at_ns: Some(planned_ns),
            ..Fault::default()
        };
        let late = late("injected", planned_ns, self.clock.now_ns());
        let struck_ns = match injector.inject(number, plan) {
            Ok(struck) => {
                (record.node, record.text) = (struck.node, struck.text);
                add(&mut record.text, late.as_deref());
                let comma = if record.text.is_empty() { "" } else { ": " };
                let text = format!("{} took effect on {}{comma}{}", plan.kind().name(), record.node, record.text);
                self.tell(log, struck.at_ns, "fault", text);
                record.took_effect_at_ns = Some(struck.at_ns);
                Some(struck.at_ns)
            }
            Err(missed) => {
                let text = format!("{} was not applied: {}", plan.kind().name(), missed.why);
                self.tell(log, self.clock.now_ns(), "warning", text);
                (record.node, record.not_applied) = (missed.node, Some(missed.why));
                None
            }
        };
        log.faults.push(record);
        struck_ns
    }

    fn heal(
        &self,
        fault: &mut ActiveFault<'_>,
        injector: &mut Injector<'_, '_>,
        healed: &[AtomicU64],
        log: &mut FaultLog,
    ) {
        fault.done = true;
        let begun_ns = self.clock.now_ns();
        let result = injector.revert(fault.number);
        let Some(record) = log.faults.get_mut(fault.number) else { return };
        record.scripted_ns = Some(begun_ns.saturating_sub(fault.struck_ns));
        let (at_ns, kind, text) = match result {
            Ok((at_ns, text)) => {
                record.healed_at_ns = Some(at_ns);
                add(&mut record.text, Some(&text));
                add(&mut record.text, late("taken back", fault.heal_ns, begun_ns).as_deref());
                if let Some(healed) = healed.get(fault.number) {
                    healed.store(at_ns, Relaxed);
                }
                (at_ns, "healed", format!("{} taken back on {}", record.kind, record.node))
            }
            Err(why) => {
                let text = format!("{} not healed: {why}", record.kind);
                record.not_healed = Some(why);
                (self.clock.now_ns(), "warning", text)
            }
        };
        self.tell(log, at_ns, kind, text);
    }

    /// For the record, and for whoever watches.
    fn tell(&self, log: &mut FaultLog, at_ns: u64, kind: &str, text: String) {
        // Nobody may be watching any more.
        let _ = self.news.send(text.clone());
        log.events.push(event(at_ns, kind, text));
    }

    /// Since when clients with fresh connections are acknowledged. The fault is in force until healed, or the end.
    fn probe(
        &self,
        number: usize,
        struck_ns: u64,
        (healed, end_ns): (&AtomicU64, u64),
        over: &AtomicBool,
    ) -> Option<u64> {
        let stop = || over.load(Relaxed) || self.given_up();
        let in_force = || healed.load(Relaxed) == NOT_YET && self.clock.now_ns() < end_ns;
        acknowledged_since(self.driver, self.cell, self.run, number, self.clock, &in_force, &stop)
            .map(|at| at.max(struck_ns))
    }

    /// When every copy was in sync again; `None` where the system does not tell or it did not come to that.
    fn whole(&self, struck_ns: u64, healed: &AtomicU64, over: &AtomicBool) -> Option<u64> {
        let mut cluster = self.driver.cluster().ok()?;
        // The last count may begin after the load: it decides whether the broker can be read.
        loop {
            let last = over.load(Relaxed) || self.given_up();
            let counted = healed.load(Relaxed) != NOT_YET;
            if counted
                && let Ok((copies, wanted)) = cluster.redundancy()
                && copies >= wanted
            {
                return Some(self.clock.now_ns().max(struck_ns));
            }
            if last {
                return None;
            }
            thread::sleep(COUNT_EVERY);
        }
    }

    /// Waits for the watchers of what was healed. What is lost for good cannot be whole: then nobody is waited for.
    fn await_whole(&self, active: &[ActiveFault<'_>], end_ns: u64) {
        if active.iter().any(|fault| fault.heal == Heal::Never) {
            return;
        }
        let watchers = || active.iter().flat_map(|fault| [&fault.probe, &fault.whole]).flatten();
        let deadline = self.clock.now_ns().max(end_ns) + WHOLE_WITHIN_NS;
        while !self.given_up() && self.clock.now_ns() < deadline && !watchers().all(ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_nanos(NAP_NS));
        }
    }
}

/// Ends the watchers however the scope is left.
struct Over<'a>(&'a AtomicBool);
impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// By how much something missed its time, where that is worth a word.
fn late(what: &str, due_ns: u64, begun_ns: u64) -> Option<String> {
    let by_ns = begun_ns.saturating_sub(due_ns);
    (by_ns >= LATE_NS).then(|| format!("{what} {:.1} s late", by_ns as f64 / SECOND_NS as f64))
}

/// Adds to what is said of a fault already.
fn add(text: &mut String, more: Option<&str>) {
    let Some(more) = more.filter(|more| !more.is_empty()) else { return };
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

fn target(plan: &FaultPlan) -> &'static str {
    if plan.kind().is_ours() { "consumer" } else { plan.target.name() }
}

fn event(at_ns: u64, kind: &str, text: String) -> Event {
    Event { at_ns, kind: kind.into(), text }
}

#[cfg(test)]
mod tests;
