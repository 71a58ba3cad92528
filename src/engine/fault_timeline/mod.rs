//! The faults of one cell on its timeline, beside its load: each injected when it is due, taken
//! back when that is due, and watched until a new client gets through
//! and every copy is whole again.
//!
//! Invariant: nothing here slows the load or touches its clients; whatever was done is taken back
//! before this ends, but for what a scenario loses for good. It judges nothing: it says when each
//! thing was.

use super::control::{Context, OnDrop};
use super::probe::acknowledged_since;
use crate::inject::{Injector, Shared};
use crate::model::FaultKind;
use crate::record::SECOND_NS;
use crate::result::{Event, Fault};
use crate::scenario::{Heal, Injection, timeline};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// How long after the window everything may take to be whole again.
const WHOLE_WITHIN_NS: u64 = 60 * SECOND_NS;
const NAP_NS: u64 = 5_000_000;
const COUNT_EVERY: Duration = Duration::from_millis(200);
/// Faults are injected and taken back one at a time, and a broker that starts again may take long:
/// from so much on it is told that the next one had to wait.
const LATE_NS: u64 = SECOND_NS / 5;
const NOT_YET: u64 = u64::MAX;

pub struct FaultTimeline<'a, 'b> {
    pub of: Context<'a>,
    pub broker: &'a Shared<'b>,
    /// For whoever watches.
    pub news: Sender<FaultNews>,
}

/// What happened, and of which injection it says that it is in force, or no more.
pub struct FaultNews {
    pub text: String,
    pub number: usize,
    pub in_force: Option<String>,
}

#[derive(Default)]
pub struct FaultLog {
    /// In order of injection; times that only the books know are left open.
    pub faults: Vec<Fault>,
    pub events: Vec<Event>,
}

/// One injection and what follows from it.
struct ActiveFault<'scope> {
    number: usize,
    struck_ns: u64,
    /// When it is due to be taken back; `None` once that was tried, and for what is lost for good.
    heal_ns: Option<u64>,
    for_good: bool,
    /// When it was taken back, for its watchers.
    healed: &'scope AtomicU64,
    probe: ScopedJoinHandle<'scope, Option<u64>>,
    whole: ScopedJoinHandle<'scope, Option<u64>>,
}

impl ActiveFault<'_> {
    /// Joins the watchers, whose end must be told to them before, and notes when each saw what it
    /// waits for.
    fn note_recovery(self, log: &mut FaultLog) {
        let [probe_ns, whole_ns] =
            [self.probe, self.whole].map(|watcher| watcher.join().ok().flatten());
        if let Some(record) = log.faults.get_mut(self.number) {
            record.probe_rto_ns = probe_ns.map(|at_ns| at_ns.saturating_sub(self.struck_ns));
            record.redundancy_ns = whole_ns.map(|at_ns| at_ns.saturating_sub(self.struck_ns));
        }
        let told =
            [(probe_ns, "a new client is acknowledged"), (whole_ns, "every copy is in sync again")];
        let event =
            |(at_ns, text): (Option<u64>, &str)| Some(event(at_ns?, "recovery", text.to_owned()));
        log.events.extend(told.into_iter().filter_map(event));
    }
}

impl FaultTimeline<'_, '_> {
    /// Runs the timeline of the measured window; returns when everything is whole again, at the
    /// latest a minute after it.
    pub fn run(&self) -> FaultLog {
        let mut log = FaultLog::default();
        let Context { cell, block, clock, control, driver, interrupted, .. } = self.of;
        let injections = timeline(&cell.faults, cell.seed, block);
        let Some((start_ns, end_ns)) = self.await_window() else {
            log.faults = injections.iter().map(|injection| self.missed(injection)).collect();
            return log;
        };
        // Only healed nodes can be whole: before that, a cluster may not have noticed yet.
        let healed: Vec<AtomicU64> = injections.iter().map(|_| AtomicU64::new(NOT_YET)).collect();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            // However this is left, the watchers must end, or the scope would wait for ever.
            let ended = OnDrop(|| over.store(true, Relaxed));
            let cluster = driver.cluster().ok();
            let seed = cell.seed ^ u64::from(block) << 32;
            let mut injector =
                Injector::new(self.broker, cluster, &control.consumers, clock, seed, interrupted);
            let mut active: Vec<ActiveFault<'_>> = Vec::new();
            let mut waiting = injections.iter().enumerate().peekable();
            let due = |injection: &Injection| start_ns + injection.at.nanos();
            while !self.given_up() {
                let now = clock.now_ns();
                if let Some(fault) =
                    active.iter_mut().find(|fault| fault.heal_ns.is_some_and(|at| at <= now))
                {
                    self.heal(fault, &mut injector, &mut log);
                } else if let Some((number, injection)) =
                    waiting.next_if(|(_, injection)| due(injection) <= now && now < end_ns)
                {
                    let struck =
                        self.inject(number, injection, due(injection), &mut injector, &mut log);
                    let Some(struck_ns) = struck else { continue };
                    let heal_ns = match injection.heal {
                        // It lasts from when it was seen: a broker that takes long to stop is down
                        // for as long.
                        Heal::After(span) => Some(clock.now_ns() + span.nanos()),
                        Heal::AtEnd => Some(end_ns),
                        Heal::Never => None,
                    };
                    if heal_ns.is_none() {
                        injector.leave(number);
                    }
                    let (over, healed) = (&over, &healed[number]);
                    active.push(ActiveFault {
                        number,
                        struck_ns,
                        heal_ns,
                        for_good: heal_ns.is_none(),
                        healed,
                        probe: scope
                            .spawn(move || self.probe(number, struck_ns, (healed, end_ns), over)),
                        whole: scope.spawn(move || self.whole(struck_ns, healed, over)),
                    });
                } else if now >= end_ns {
                    break;
                } else {
                    let next_due = waiting.peek().map(|(_, injection)| due(injection));
                    let next = active.iter().filter_map(|fault| fault.heal_ns).chain(next_due);
                    thread::sleep(clock.until(next.fold(end_ns.min(now + NAP_NS), u64::min)));
                }
            }
            active.iter_mut().for_each(|fault| self.heal(fault, &mut injector, &mut log));
            log.faults.extend(waiting.map(|(_, injection)| self.missed(injection)));
            self.await_whole(&active, end_ns);
            drop(ended);
            active.into_iter().for_each(|fault| fault.note_recovery(&mut log));
        });
        log.events.sort_by_key(|event| event.at_ns);
        log
    }

    fn await_window(&self) -> Option<(u64, u64)> {
        while !self.given_up() {
            if let Some(window) = self.of.control.window() {
                return Some(window);
            }
            thread::sleep(Duration::from_nanos(NAP_NS));
        }
        None
    }

    fn given_up(&self) -> bool {
        self.of.control.abandoned() || self.of.interrupted.load(Relaxed)
    }

    /// What is known of a fault before it is injected.
    fn planned(&self, injection: &Injection) -> Fault {
        let plan = &self.of.cell.faults[injection.plan];
        let target = if plan.kind().is_ours() { "consumer" } else { plan.target.name() };
        Fault { kind: plan.kind().name().into(), target: target.into(), ..Fault::default() }
    }

    /// A fault that the load did not live to see.
    fn missed(&self, injection: &Injection) -> Fault {
        Fault { not_applied: Some("the load ended before".into()), ..self.planned(injection) }
    }

    /// When it took effect; `None` where it did not.
    fn inject(
        &self,
        number: usize,
        injection: &Injection,
        planned_ns: u64,
        injector: &mut Injector<'_, '_>,
        log: &mut FaultLog,
    ) -> Option<u64> {
        let mut record = Fault { planned_at_ns: Some(planned_ns), ..self.planned(injection) };
        let late = late("injected", planned_ns, self.of.clock.now_ns());
        match injector.inject(number, &self.of.cell.faults[injection.plan]) {
            Ok(struck) => {
                (record.node, record.text) = (struck.node, struck.text);
                say(&mut record.text, &late);
                let comma = if record.text.is_empty() { "" } else { ": " };
                let text =
                    format!("{} took effect on {}{comma}{}", record.kind, record.node, record.text);
                let in_force = Some(format!("{} on {}", record.kind, record.node));
                self.tell(log, (number, in_force), struck.at_ns, "fault", text);
                record.took_effect_at_ns = Some(struck.at_ns);
            }
            Err(missed) => {
                let text = format!("{} was not applied: {}", record.kind, missed.why);
                self.tell(log, (number, None), self.of.clock.now_ns(), "warning", text);
                (record.node, record.not_applied) = (missed.node, Some(missed.why));
            }
        }
        let struck_ns = record.took_effect_at_ns;
        log.faults.push(record);
        struck_ns
    }

    /// Takes a fault back, if it still is to be.
    fn heal(
        &self,
        fault: &mut ActiveFault<'_>,
        injector: &mut Injector<'_, '_>,
        log: &mut FaultLog,
    ) {
        let Some(due_ns) = fault.heal_ns.take() else { return };
        let begun_ns = self.of.clock.now_ns();
        let result = injector.revert(fault.number);
        let Some(record) = log.faults.get_mut(fault.number) else { return };
        record.scripted_ns = Some(begun_ns.saturating_sub(fault.struck_ns));
        let (at_ns, kind, text) = match result {
            Ok((at_ns, text)) => {
                record.healed_at_ns = Some(at_ns);
                let takes_down = record.fault_kind().is_some_and(FaultKind::takes_down);
                record.restart = injector.restarted().filter(|_| takes_down);
                say(&mut record.text, &text);
                say(&mut record.text, &late("taken back", due_ns, begun_ns));
                fault.healed.store(at_ns, Relaxed);
                (at_ns, "healed", format!("{} taken back on {}", record.kind, record.node))
            }
            Err(why) => {
                let text = format!("{} not healed: {why}", record.kind);
                record.not_healed = Some(why);
                (self.of.clock.now_ns(), "warning", text)
            }
        };
        self.tell(log, (fault.number, None), at_ns, kind, text);
    }

    /// For the record, and for whoever watches.
    fn tell(
        &self,
        log: &mut FaultLog,
        (number, in_force): (usize, Option<String>),
        at_ns: u64,
        kind: &str,
        text: String,
    ) {
        // Nobody may be watching any more.
        let _ = self.news.send(FaultNews { text: text.clone(), number, in_force });
        log.events.push(event(at_ns, kind, text));
    }

    /// Since when clients with fresh connections are acknowledged. The fault is in force until
    /// healed, or the end.
    fn probe(
        &self,
        number: usize,
        struck_ns: u64,
        (healed, end_ns): (&AtomicU64, u64),
        over: &AtomicBool,
    ) -> Option<u64> {
        let stop = || over.load(Relaxed) || self.given_up();
        let in_force = || healed.load(Relaxed) == NOT_YET && self.of.clock.now_ns() < end_ns;
        acknowledged_since(self.of, number, &in_force, &stop).map(|at| at.max(struck_ns))
    }

    /// When every copy was in sync again; `None` where the system does not tell or it did not come
    /// to that.
    fn whole(&self, struck_ns: u64, healed: &AtomicU64, over: &AtomicBool) -> Option<u64> {
        let mut cluster = self.of.driver.cluster().ok()?;
        // The last count may begin after the load: it decides whether the broker can be read.
        loop {
            let last = over.load(Relaxed) || self.given_up();
            let counted = healed.load(Relaxed) != NOT_YET;
            if counted
                && let Ok((copies, wanted)) = cluster.redundancy()
                && copies >= wanted
            {
                return Some(self.of.clock.now_ns().max(struck_ns));
            }
            if last {
                return None;
            }
            thread::sleep(COUNT_EVERY);
        }
    }

    /// Waits for the watchers of what was healed. What is lost for good cannot be whole: then
    /// nobody is waited for.
    fn await_whole(&self, active: &[ActiveFault<'_>], end_ns: u64) {
        if active.iter().any(|fault| fault.for_good) {
            return;
        }
        let watchers = || active.iter().flat_map(|fault| [&fault.probe, &fault.whole]);
        let deadline = self.of.clock.now_ns().max(end_ns) + WHOLE_WITHIN_NS;
        while !self.given_up()
            && self.of.clock.now_ns() < deadline
            && !watchers().all(ScopedJoinHandle::is_finished)
        {
            thread::sleep(Duration::from_nanos(NAP_NS));
        }
    }
}

/// By how much something missed its time, where that is worth a word.
fn late(what: &str, due_ns: u64, begun_ns: u64) -> String {
    match begun_ns.saturating_sub(due_ns) {
        ..LATE_NS => String::new(),
        by_ns => format!("{what} {:.1} s late", by_ns as f64 / SECOND_NS as f64),
    }
}

/// Adds to what is said of a fault already.
pub fn say(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

fn event(at_ns: u64, kind: &str, text: String) -> Event {
    Event { at_ns, kind: kind.into(), text }
}

#[cfg(test)]
mod tests;
