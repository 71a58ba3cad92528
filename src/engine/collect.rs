//! What the coordinator of a cell gathers while the load runs: what the threads hand over once a
//! second is merged into one histogram per second and timer.
//!
//! A second is closed a few seconds after its end: what was in it goes to disk, or into memory
//! where nobody gave a journal, and only its sums stay. So a load of days takes a few dozen bytes
//! for each second of it, whatever it records.

use super::health::Health;
use super::progress::Tail;
use super::rows::{RowTerms, Window};
use crate::clock::Clock;
use crate::model::Latency;
use crate::record::{Flow, Harvest, PerSecond, SECOND_NS, Timed};
use crate::result::{CellJournal, Event, Interval, ResultError, WindowRow, with_measured};
use crate::stats::Second;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

/// Seconds that stay open behind the one that goes on: a thread hands over within tenths of a
/// second unless it works, or hangs. What comes later yet counts in the oldest open second.
const STAY_OPEN: u64 = 3;

/// Second, timer, part of the load.
type Key = (u64, Latency, usize);

/// What the coordinator gathers while the load runs.
pub struct Telemetry {
    harvests: Receiver<Harvest>,
    clock: Clock,
    /// By which it is seen whether the system has settled: its seconds stay.
    settling: Latency,
    pub flow: Flow<PerSecond>,
    /// Merged histograms by (second, timer, part of the load), of the seconds that are open.
    open: BTreeMap<Key, Histogram<u64>>,
    /// Seconds before this one are closed.
    closed: u64,
    /// The settling timer's closed seconds, the first by its number.
    past: (u64, Vec<Second>),
    /// Of the window, over all closed seconds, by timer and part of the load.
    measured: BTreeMap<(Latency, usize), Histogram<u64>>,
    /// `None` until the load begins.
    terms: Option<RowTerms>,
    kept: Kept,
    /// Measured values that were beyond the histograms' range.
    pub saturated: u64,
    pub health: Health,
    /// The broker's processes when it was asked last.
    pub pids: Vec<u32>,
    pub events: Vec<Event>,
    /// In force now, by the number of the injection.
    pub faults: BTreeMap<usize, String>,
    /// `None` where the warm-up is too short to tell, or the messages are too few.
    pub settled: Option<bool>,
}

/// Where closed seconds go.
enum Kept {
    InMemory(Seconds),
    OnDisk { journal: Box<CellJournal>, broken: Option<ResultError> },
}

/// The seconds of a cell; both empty where they lie on disk already.
#[derive(Default)]
pub struct Seconds {
    pub rows: Vec<WindowRow>,
    pub intervals: Vec<Interval>,
    pub journaled: bool,
}

impl Telemetry {
    pub fn new(
        harvests: Receiver<Harvest>,
        clock: Clock,
        settling: Latency,
        journal: Option<CellJournal>,
    ) -> Self {
        let closed = clock.now_ns() / SECOND_NS;
        let kept = match journal {
            Some(journal) => Kept::OnDisk { journal: Box::new(journal), broken: None },
            None => Kept::InMemory(Seconds::default()),
        };
        Self {
            harvests,
            clock,
            settling,
            flow: Flow::default(),
            open: BTreeMap::new(),
            closed,
            past: (closed, Vec::new()),
            measured: BTreeMap::new(),
            terms: None,
            kept,
            saturated: 0,
            health: Health::default(),
            pids: Vec::new(),
            events: Vec::new(),
            faults: BTreeMap::new(),
            settled: None,
        }
    }

    /// The load begins: from here on there are rows.
    pub fn begin(&mut self, terms: RowTerms) {
        self.terms = Some(terms);
    }

    /// Messages of others have their own size, which is known in the end.
    pub fn weigh(&mut self, mean_bytes: f64) {
        if let Some(terms) = &mut self.terms {
            terms.mean_bytes = mean_bytes;
        }
    }

    pub fn event(&mut self, kind: &str, text: &str) {
        self.event_at(self.clock.now_ns(), kind, text);
    }

    pub fn event_at(&mut self, at_ns: u64, kind: &str, text: &str) {
        let event = Event { at_ns, kind: kind.into(), text: text.into() };
        if let Kept::OnDisk { journal, broken: broken @ None } = &mut self.kept {
            *broken = journal.event(&event).err();
        }
        self.events.push(event);
    }

    /// Takes in everything that has been handed over, and closes what is over. Never waits.
    pub fn absorb(&mut self, window: Window) {
        while let Ok(harvest) = self.harvests.try_recv() {
            match harvest {
                Harvest::Counted(counted) => self.flow.add(counted),
                Harvest::Timed(timed) => self.take(timed),
            }
        }
        let until = (self.clock.now_ns() / SECOND_NS).saturating_sub(STAY_OPEN);
        self.close(until, window);
    }

    fn take(&mut self, mut timed: Timed) {
        if timed.part > 0 {
            self.saturated += timed.saturated;
        }
        let key = (timed.second.max(self.closed), timed.timer, timed.part);
        // Compact: the range of what was recorded, not the ten minutes that could have been.
        let highest = timed.histogram.max().max(2);
        let merged = self.open.entry(key).or_insert_with(|| compact(highest));
        // `merged` grows by itself; adding to it cannot fail.
        let _ = merged.add(&timed.histogram);
        timed.histogram.reset();
        let _ = timed.recycle.send(timed.histogram);
    }

    /// Closes every second before `until`.
    fn close(&mut self, until: u64, window: Window) {
        while self.closed < until {
            let second = self.closed;
            let row = self
                .terms
                .filter(|terms| second >= terms.first())
                .map(|terms| self.timed(terms.row(&self.flow, window, second), second));
            let settling = self.second(second).unwrap_or(NOTHING);
            self.past.1.push(settling);
            self.closed += 1;
            let later = self.open.split_off(&(self.closed, Latency::Publish, 0));
            let over = std::mem::replace(&mut self.open, later);
            let interval = |((second, metric, part), histogram): (Key, Histogram<u64>)| Interval {
                metric,
                warm_up: part == 0,
                stage: part.saturating_sub(1),
                start_ns: second * SECOND_NS,
                length_ns: SECOND_NS,
                histogram,
            };
            let over: Vec<Interval> = over.into_iter().map(interval).collect();
            for interval in over.iter().filter(|interval| !interval.warm_up) {
                let part = (interval.metric, interval.stage + 1);
                let all = self.measured.entry(part).or_insert_with(|| compact(2));
                let _ = all.add(&interval.histogram);
            }
            self.keep(row, over);
        }
    }

    fn keep(&mut self, row: Option<WindowRow>, intervals: Vec<Interval>) {
        match &mut self.kept {
            Kept::InMemory(seconds) => {
                seconds.rows.extend(row);
                seconds.intervals.extend(intervals);
            }
            Kept::OnDisk { journal, broken: broken @ None } => {
                *broken = journal.second(row.as_ref(), &intervals).err();
            }
            Kept::OnDisk { .. } => {}
        }
    }

    /// With what was timed in a second that is still open, and what it cost.
    fn timed(&self, row: WindowRow, second: u64) -> WindowRow {
        let at = second * SECOND_NS;
        let spent = self.health.between(at, at + SECOND_NS);
        let percent = |cpu_ns: u64, length_ns: u64| cpu_ns as f64 * 100.0 / length_ns as f64;
        let of = |latency| self.in_open(latency, second);
        let (publish, end_to_end) = (of(Latency::Publish), of(Latency::EndToEnd));
        WindowRow {
            publish_p50_ns: publish.map(|s| s.p50_ns),
            publish_p99_ns: publish.map(|s| s.p99_ns),
            end_to_end_p50_ns: end_to_end.map(|s| s.p50_ns),
            end_to_end_p99_ns: end_to_end.map(|s| s.p99_ns),
            schedule_lag_p99_ns: of(Latency::ScheduleLag).map(|s| s.p99_ns),
            client_cpu_percent: spent.map(|s| percent(s.client_cpu_ns, s.length_ns)),
            broker_cpu_percent: spent.map(|s| percent(s.broker_cpu_ns, s.length_ns)),
            broker_rss_bytes: self.health.broker_rss_at(at),
            ..row
        }
    }

    /// The measured values of one timer, over all closed seconds.
    pub fn measured(&self, timer: Latency) -> Histogram<u64> {
        let parts = self.measured.iter().filter(|((of, _), _)| *of == timer);
        merge(parts.map(|(_, histogram)| histogram))
    }

    /// Those of one part of the load.
    pub fn measured_in(&self, timer: Latency, part: usize) -> Histogram<u64> {
        self.measured.get(&(timer, part)).cloned().unwrap_or_else(|| compact(2))
    }

    /// One second of the settling timer, warm-up or not.
    pub fn second(&self, second: u64) -> Option<Second> {
        if second >= self.closed {
            return self.in_open(self.settling, second);
        }
        let (first, past) = &self.past;
        let at = second.checked_sub(*first)?;
        past.get(at as usize).copied().filter(|second| second.count > 0)
    }

    /// The seconds of the settling timer, in order; empty ones where nothing ended.
    pub fn seconds(&self, from: u64, to: u64) -> Vec<Second> {
        (from..to).map(|second| self.second(second).unwrap_or(NOTHING)).collect()
    }

    /// A timer in a second that is open, warm-up or not.
    fn in_open(&self, timer: Latency, second: u64) -> Option<Second> {
        self.merged_in_open(timer, second).map(|merged| Second {
            count: merged.len(),
            p50_ns: merged.value_at_quantile(0.5),
            p99_ns: merged.value_at_quantile(0.99),
        })
    }

    fn merged_in_open(&self, timer: Latency, second: u64) -> Option<Histogram<u64>> {
        let parts = self.open.range((second, timer, 0)..=(second, timer, usize::MAX));
        Some(merge(parts.map(|(_, histogram)| histogram))).filter(|merged| !merged.is_empty())
    }

    /// A second that is open, as it looks by now: its row, and its latencies. `None` before the
    /// load.
    pub fn live(&self, window: Window, second: u64) -> Option<(WindowRow, Vec<(Latency, Tail)>)> {
        let terms = self.terms.filter(|terms| second >= terms.first() && second >= self.closed)?;
        let tail = |latency: Latency| {
            let merged = self.merged_in_open(latency, second)?;
            let at = |quantile| merged.value_at_quantile(quantile);
            Some((latency, Tail { p50_ns: at(0.5), p99_ns: at(0.99), p99_9_ns: at(0.999) }))
        };
        let tails = Latency::ALL.into_iter().filter_map(tail).collect();
        Some((self.timed(terms.row(&self.flow, window, second), second), tails))
    }

    /// Why the load must end, since nothing of it is kept any more.
    pub fn broken(&self) -> Option<String> {
        match &self.kept {
            Kept::OnDisk { broken, .. } => broken.as_ref().map(ToString::to_string),
            Kept::InMemory(_) => None,
        }
    }

    /// Closes everything that was handed over.
    pub fn close_all(&mut self, window: Window) {
        self.absorb(window);
        let open = self.open.last_key_value().map_or(0, |((second, ..), _)| second + 1);
        self.close(open.max(self.flow.seconds() as u64), window);
    }

    /// Every second once all is counted: rows as they came may lack what came late.
    pub fn finish(self, window: Window) -> Result<Seconds, ResultError> {
        let Self { flow, terms, kept, .. } = self;
        let rows = terms.map(|terms| terms.all(&flow, window)).into_iter().flatten();
        match kept {
            Kept::OnDisk { broken: Some(error), .. } => Err(error),
            Kept::OnDisk { journal, broken: None } => {
                journal.finish(rows)?;
                Ok(Seconds { journaled: true, ..Seconds::default() })
            }
            Kept::InMemory(seconds) => {
                let rows = with_measured(rows, seconds.rows.into_iter()).collect();
                Ok(Seconds { rows, ..seconds })
            }
        }
    }
}

const NOTHING: Second = Second { count: 0, p50_ns: 0, p99_ns: 0 };

/// All of them as one.
fn merge<'a>(parts: impl Iterator<Item = &'a Histogram<u64>>) -> Histogram<u64> {
    let mut all = compact(2);
    for histogram in parts {
        let _ = all.add(histogram);
    }
    all
}

/// A histogram of the shared precision that grows as far as it must.
fn compact(highest: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, highest.max(2), 3)
        .expect("bounds from 1 to at least 2 are valid");
    histogram.auto(true);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::record::Recorder;
    use crate::scenario::{Cell, Load};
    use crate::units::Rate;
    use std::sync::mpsc::channel;

    /// Of two threads, in the third second of a load that began with the run.
    fn telemetry() -> Telemetry {
        let (out, harvests) = channel();
        let mut telemetry = Telemetry::new(harvests, Clock::start(), Latency::Publish, None);
        let load = Load::open(Rate::per_second(100));
        telemetry.begin(RowTerms::of(&Cell::plain(System::Fake, load), 0));
        for base in [1_000, 2_000] {
            let mut recorder = Recorder::new(out.clone());
            recorder.tick(2 * SECOND_NS);
            (0..100).for_each(|i| recorder.record(Latency::Publish, 1, base + i));
            recorder.record(Latency::Publish, 0, 9_000_000);
            recorder.flow.sent.add(2 * SECOND_NS, 101);
            recorder.harvest();
        }
        telemetry
    }

    #[test]
    fn two_threads_make_one_histogram_and_its_sums_outlive_it() {
        let mut telemetry = telemetry();
        telemetry.absorb(None);
        assert_eq!(telemetry.second(2).map(|s| s.count), Some(202), "while it is open");
        telemetry.close_all(None);
        assert!(telemetry.open.is_empty());
        let measured = telemetry.measured(Latency::Publish);
        assert_eq!((measured.len(), measured.max() / 1000), (200, 2));
        let counts: Vec<u64> = telemetry.seconds(0, 4).iter().map(|s| s.count).collect();
        assert_eq!(counts, [0, 0, 202, 0]);
        let Seconds { rows, intervals, journaled } = telemetry.finish(None).unwrap();
        assert_eq!((rows.len(), intervals.len(), journaled), (3, 2, false));
        assert_eq!((rows[2].sent_messages, rows[2].publish_p50_ns.is_some()), (202, true));
        assert_eq!((rows[1].sent_messages, rows[1].publish_p50_ns), (0, None));
    }

    #[test]
    fn what_comes_after_its_second_was_closed_counts_in_the_oldest_that_is_open() {
        let mut telemetry = telemetry();
        telemetry.close(5, None);
        telemetry.absorb(None);
        assert_eq!(telemetry.open.keys().map(|key| key.0).collect::<Vec<_>>(), [5, 5]);
        telemetry.close_all(None);
        assert_eq!(telemetry.measured(Latency::Publish).len(), 200, "nobody is lost");
        let rows = telemetry.finish(None).unwrap().rows;
        assert_eq!(rows[2].sent_messages, 202, "counted where it was");
    }
}
