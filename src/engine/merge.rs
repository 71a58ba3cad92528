//! From the parts of a cell, which several shards ran, to the cell's raw result: what `output` does
//! for the threads of one process.
//!
//! Everything adds up: books are united, histograms and seconds summed. The gates of the broker are
//! judged anew, on the whole; those of the harness each shard has judged of its own machine, and
//! one that failed spoils the cell.

use super::comeback::{Reasons, add};
use super::gates::{Evidence, judge};
use crate::model::Latency;
use crate::record::{Books, Counted, SECOND_NS, new_histogram};
use crate::result::shard::ShardPart;
use crate::result::{
    Blame, CellOutput, CellRecord, Censored, Counts, Event, Gate, Interval, Resources, Tally,
    WindowRow, words,
};
use crate::schedule::{Placement, Shard};
use crate::stats::{ENOUGH_PER_S, SETTLED_OVER, Second};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Across hosts a latency is told where what their clocks may differ by is less than this part of
/// its median.
const CLOCK_SHARE: f64 = 0.05;

/// One part of a cell as it was read; its latencies go into the cell's [`Tally`].
pub struct CellPart {
    pub record: CellRecord,
    pub books: Books,
    pub windows: Vec<WindowRow>,
    pub events: Vec<Event>,
}

pub struct CellMerge {
    record: CellRecord,
    books: Books,
    /// First deliveries that two shards took for the first.
    both: u64,
    parts: Vec<ShardPart>,
    gates: BTreeMap<String, Vec<(Shard, Gate)>>,
    rows: BTreeMap<u64, WindowRow>,
    events: Vec<Event>,
    client_cpu_ns: f64,
}

impl CellMerge {
    /// The cell that `first` is a part of, nothing counted yet.
    pub fn of(first: &CellRecord) -> Self {
        let none = CellRecord::empty();
        let record = CellRecord {
            counts: none.counts,
            failures: none.failures,
            retries: none.retries,
            resources: none.resources,
            gates: none.gates,
            floor: none.floor,
            saturated_samples: 0,
            censored: none.censored,
            window_acked: 0,
            window_consumed: 0,
            window_sent: 0,
            window_planned: None,
            error: None,
            shard: None,
            ..first.clone()
        };
        Self {
            record,
            books: Books::default(),
            both: 0,
            parts: Vec::new(),
            gates: BTreeMap::new(),
            rows: BTreeMap::new(),
            events: Vec::new(),
            client_cpu_ns: 0.0,
        }
    }

    /// Adds a part; the first shard's first. The error is why it is none of this cell.
    pub fn add(&mut self, part: CellPart) -> Result<(), String> {
        let CellPart { record, books, windows, events } = part;
        let Some(own) = record.shard.clone() else {
            return Err("it is no shard's part of a cell".into());
        };
        let (known, started) = (self.record.window_start_ns, record.window_start_ns);
        if known.is_some() && started.is_some() && known != started {
            return Err("its window began at another time than that of the others".into());
        }
        if self.parts.is_empty() {
            self.books = books;
        } else {
            self.both += self.books.add(books)?;
        }
        for gate in &record.gates {
            let all = self.gates.entry(gate.name.clone()).or_default();
            all.push((own.shard, gate.clone()));
        }
        windows.into_iter().for_each(|row| add_row(&mut self.rows, row));
        let told = |event: &Event| own.shard.leads() || event.kind != "phase";
        self.events.extend(
            events.into_iter().filter(told).map(|event| Event {
                text: format!("shard {}: {}", own.shard, event.text),
                ..event
            }),
        );
        self.sum(&record, &own);
        self.parts.push(own);
        Ok(())
    }

    fn sum(&mut self, part: &CellRecord, own: &ShardPart) {
        let sum = &mut self.record;
        sum.window_start_ns = sum.window_start_ns.or(part.window_start_ns);
        sum.window_end_ns = sum.window_end_ns.max(part.window_end_ns);
        sum.warm_up_ns = sum.warm_up_ns.max(part.warm_up_ns);
        for (all, one) in [(&mut sum.failures, &part.failures), (&mut sum.retries, &part.retries)] {
            one.iter().for_each(|(why, count)| *all.entry(why.clone()).or_default() += count);
        }
        for (metric, quantiles) in &part.floor {
            let highest = sum.floor.entry(metric.clone()).or_default();
            for (quantile, ns) in quantiles {
                let known = highest.entry(quantile.clone()).or_default();
                *known = (*known).max(*ns);
            }
        }
        for (latency, censored) in &part.censored {
            let all = sum.censored.entry(*latency).or_default();
            *all = all.and(*censored);
        }
        sum.saturated_samples += part.saturated_samples;
        sum.window_acked += part.window_acked;
        sum.window_consumed += part.window_consumed;
        sum.window_sent += part.window_sent;
        sum.window_planned = plus(sum.window_planned, part.window_planned);
        sum.interrupted |= part.interrupted;
        if let Some(error) = part.error.as_ref().filter(|_| sum.error.is_none()) {
            sum.error = Some(format!("shard {} (on {}): {error}", own.shard, own.clock.host));
        }
        let (all, one) = (&mut sum.resources, &part.resources);
        // As it was divided.
        let messages = part.window_sent.max(1) as f64;
        self.client_cpu_ns += one.client_cpu_ns_per_message.unwrap_or(0.0) * messages;
        all.client_share = all.client_share.into_iter().chain(one.client_share).reduce(f64::max);
        all.client_peak_rss_bytes = all.client_peak_rss_bytes.max(one.client_peak_rss_bytes);
        all.saturated = all.saturated.take().or_else(|| one.saturated.clone());
    }

    /// The cell's raw result, and what a reader must know of its latencies. `lacking` says which
    /// shards are not in it, or are and had not ended well: then it is invalid for ever.
    pub fn finish(mut self, tally: Tally, lacking: &[String]) -> (CellOutput, Option<String>) {
        let counted = self.books.total();
        let mut intervals = tally.intervals();
        let told = self.end_to_end(&mut intervals);
        // What two took for the first came once.
        self.record.window_consumed = self.record.window_consumed.saturating_sub(self.both);
        let windows = self.windows(&intervals);
        let (gates, outcome, because) = judge(&self.evidence(counted, &windows, &intervals));
        let of_shards = self.gates.values().filter_map(|each| of_all(each));
        let complete = (!lacking.is_empty()).then(|| Gate {
            name: "shards-complete".into(),
            held: Some(false),
            blames: Blame::Harness,
            found: lacking.join("; "),
            limit: "every shard of the run, as it ended".into(),
        });
        let planned = self.parts.iter().map(|part| part.planned).reduce(plus).flatten();
        let held_back = self.parts.iter().map(|part| part.backpressured).sum();
        let acknowledges = self.books.acknowledges;
        let counts = |counted: &Counted| Counts::of(counted, planned, held_back, acknowledges);
        let subscriptions = 0..self.books.consumed.len();
        let per_message = self.client_cpu_ns / self.record.window_sent.max(1) as f64;
        let record = CellRecord {
            counts: counts(&counted),
            subscriptions_counts: subscriptions
                .map(|index| counts(&self.books.balance(index)))
                .collect(),
            gates: complete.into_iter().chain(gates).chain(of_shards).collect(),
            outcome,
            outcome_because: because,
            examples: self.books.examples(),
            resources: Resources {
                client_cpu_ns_per_message: Some(per_message).filter(|ns| *ns > 0.0),
                ..self.record.resources.clone()
            },
            ..self.record
        };
        self.events.sort_by_key(|event| event.at_ns);
        let output =
            CellOutput { record, windows, events: self.events, intervals, ..CellOutput::default() };
        (output, told)
    }

    /// Of the way from one host to another only what is known stays. Returns what is not, in words.
    fn end_to_end(&mut self, intervals: &mut Vec<Interval>) -> Option<String> {
        let timed = whole(intervals, Latency::EndToEnd);
        let delivered: u64 = self.parts.iter().map(|part| part.window_delivered).sum();
        if let Some(why) = self.unknown(&timed, delivered) {
            intervals.retain(|interval| interval.metric != Latency::EndToEnd);
            return Some(format!("end-to-end latency is not measured: {why}"));
        }
        // Nobody leaves the histogram: who was planned in the window and received by nobody is at
        // least so late. Two bounds, and the truth is below both.
        let planned = self.record.window_planned.unwrap_or(0) + self.both;
        let all: u64 = self.parts.iter().filter_map(|part| part.planned).sum();
        let missing = all.saturating_sub(self.books.received());
        let count = planned.saturating_sub(delivered).min(missing);
        let at_least_ns = self.parts.iter().map(|part| part.waited_ns).min().unwrap_or(0);
        if count > 0 && self.record.open_loop {
            self.record.censored.insert(Latency::EndToEnd, Censored { count, at_least_ns });
        }
        (timed.len() < delivered).then(|| {
            format!(
                "end-to-end latency is that of {} of {} messages: those received under the clock \
                 that stamped them",
                words::grouped(timed.len()),
                words::grouped(delivered)
            )
        })
    }

    /// Why nothing is known of it.
    fn unknown(&self, timed: &Histogram<u64>, delivered: u64) -> Option<String> {
        let several = self.record.subscriptions;
        if several > 1 {
            return Some(format!("which of {several} subscriptions was last no shard knows"));
        }
        if timed.is_empty() && delivered > 0 {
            return Some("no message was received under the clock that stamped it".into());
        }
        let apart = self.parts.iter().any(|part| part.placement == Placement::Apart);
        let mut bounds: Vec<u64> = self.parts.iter().map(|part| part.clock.bound_ns).collect();
        bounds.sort_unstable();
        let bound_ns: u64 = bounds.iter().rev().take(2).sum();
        let median_ns = timed.value_at_quantile(0.5);
        (apart && bound_ns as f64 > CLOCK_SHARE * median_ns as f64).then(|| {
            format!(
                "the clocks of the hosts are known to agree within {} only, and its median is {}",
                words::time(bound_ns as f64),
                words::time(median_ns as f64)
            )
        })
    }

    /// The seconds of all, with what follows from the sums.
    fn windows(&self, intervals: &[Interval]) -> Vec<WindowRow> {
        let of = |latency| seconds(intervals, latency);
        let (publish, end_to_end, lag) =
            (of(Latency::Publish), of(Latency::EndToEnd), of(Latency::ScheduleLag));
        let subscriptions = u64::from(self.record.subscriptions);
        let (mut answered, mut consumed) = (0, 0);
        let first_ns = self.rows.keys().next().copied().unwrap_or(0);
        let finished = |(at, row): (&u64, &WindowRow)| {
            answered += row.acked_messages;
            consumed += row.consumed_messages;
            WindowRow {
                second: ((at - first_ns) / SECOND_NS) as u32,
                backlog_messages: (answered * subscriptions).saturating_sub(consumed),
                publish_p50_ns: publish.get(at).map(|second| second.p50_ns),
                publish_p99_ns: publish.get(at).map(|second| second.p99_ns),
                end_to_end_p50_ns: end_to_end.get(at).map(|second| second.p50_ns),
                end_to_end_p99_ns: end_to_end.get(at).map(|second| second.p99_ns),
                schedule_lag_p99_ns: lag.get(at).map(|second| second.p99_ns),
                ..row.clone()
            }
        };
        self.rows.iter().map(finished).collect()
    }

    fn evidence(&self, counted: Counted, rows: &[WindowRow], intervals: &[Interval]) -> Evidence {
        let record = &self.record;
        let timer = if record.open_loop { Latency::Publish } else { Latency::Service };
        let window = record.window_start_ns.zip(record.window_end_ns);
        let (first, last) = window.map_or((0, 0), |(from, to)| (from / SECOND_NS, to / SECOND_NS));
        let of = seconds(intervals, timer);
        let none = Second { count: 0, p50_ns: 0, p99_ns: 0 };
        let second = |at: u64| of.get(&(at * SECOND_NS)).copied().unwrap_or(none);
        let between = |from: u64, to: u64| -> Vec<Second> { (from..to).map(second).collect() };
        let at = |row: &WindowRow| row.start_ns / SECOND_NS;
        let backlog_at = |second: u64| {
            rows.iter().rfind(|row| at(row) < second).map_or(0, |row| row.backlog_messages)
        };
        let settled = self.parts.first().and_then(|part| part.settled);
        let before = if settled == Some(true) {
            between(first.saturating_sub(SETTLED_OVER as u64), first)
        } else {
            Vec::new()
        };
        let planned = record.window_planned.filter(|_| last > first);
        let thin = planned.is_some_and(|planned| planned / (last - first) < ENOUGH_PER_S as u64);
        let acknowledges = self.books.acknowledges;
        let recorded = |latency| whole(intervals, latency).len();
        Evidence {
            open: record.open_loop,
            counted,
            sent_by_counter: self.parts.iter().map(|part| part.sent).sum(),
            window_planned: record.window_planned.unwrap_or(0),
            // Transactions and stages are for one process.
            window_aborted: 0,
            staged: false,
            acked_in_time: record.window_acked,
            subscriptions: u64::from(record.subscriptions),
            backlog: (backlog_at(first), backlog_at(last)),
            // Each shard has looked at its own.
            lag: None,
            busiest_share: None,
            steal_share: None,
            seconds: if thin { Vec::new() } else { between(first, last) },
            before,
            thin,
            settled: settled.filter(|_| window.is_some()),
            acknowledges,
            unanswered: self.parts.iter().map(|part| part.unanswered).sum(),
            arrived: match acknowledges {
                true => record.window_acked.max(recorded(Latency::Service)),
                false => record.window_consumed.max(recorded(Latency::EndToEnd)),
            },
            failures: record.failures.clone(),
            cut_off: self.parts.iter().fold(Reasons::new(), |mut all, part| {
                add(&mut all, part.cut_off.clone());
                all
            }),
            toll: self.toll(),
            // Shards load what is made for them, and outlive nothing.
            shared: false,
            faults: false,
        }
    }

    /// What a broker does to itself all shards are told alike, and what it does to clients each of
    /// its own: the most that one was told is there for sure.
    fn toll(&self) -> Reasons {
        let mut most = Reasons::new();
        for (what, count) in self.parts.iter().flat_map(|part| &part.toll) {
            let known = most.entry(what.clone()).or_default();
            *known = (*known).max(*count);
        }
        most
    }
}

/// One gate of all shards: the first that failed, or else the first.
fn of_all(each: &[(Shard, Gate)]) -> Option<Gate> {
    let failed = each.iter().find(|(_, gate)| gate.failed());
    let (shard, gate) = failed.or(each.first())?;
    Some(Gate { found: format!("shard {shard}: {}", gate.found), ..gate.clone() })
}

/// The sum of what is known of both.
fn plus(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a + b).or(a).or(b)
}

fn add_row(rows: &mut BTreeMap<u64, WindowRow>, row: WindowRow) {
    let Some(sum) = rows.get_mut(&row.start_ns) else {
        rows.insert(row.start_ns, row);
        return;
    };
    sum.offered_messages = plus(sum.offered_messages, row.offered_messages);
    sum.offered_bytes = plus(sum.offered_bytes, row.offered_bytes);
    for (all, one) in [
        (&mut sum.sent_messages, row.sent_messages),
        (&mut sum.acked_messages, row.acked_messages),
        (&mut sum.consumed_messages, row.consumed_messages),
        (&mut sum.sent_bytes, row.sent_bytes),
        (&mut sum.acked_bytes, row.acked_bytes),
        (&mut sum.consumed_bytes, row.consumed_bytes),
    ] {
        *all += one;
    }
    // Of a core, over all machines.
    let cpu = (sum.client_cpu_percent, row.client_cpu_percent);
    sum.client_cpu_percent = cpu.0.zip(cpu.1).map(|(a, b)| a + b).or(cpu.0).or(cpu.1);
}

/// The measured values of a latency, over all seconds.
fn whole(intervals: &[Interval], latency: Latency) -> Histogram<u64> {
    let mut all = new_histogram();
    for interval in intervals.iter().filter(|one| one.metric == latency && !one.warm_up) {
        // Of the bounds that every recorder has: adding cannot fail.
        let _ = all.add(&interval.histogram);
    }
    all
}

/// Each second of a latency by its start, warm-up or not.
fn seconds(intervals: &[Interval], latency: Latency) -> BTreeMap<u64, Second> {
    let mut of: BTreeMap<u64, Vec<&Histogram<u64>>> = BTreeMap::new();
    for interval in intervals.iter().filter(|interval| interval.metric == latency) {
        of.entry(interval.start_ns).or_default().push(&interval.histogram);
    }
    let second = |all: &Histogram<u64>| Second {
        count: all.len(),
        p50_ns: all.value_at_quantile(0.5),
        p99_ns: all.value_at_quantile(0.99),
    };
    let summed = |(start_ns, all): (u64, Vec<&Histogram<u64>>)| match all[..] {
        [only] => (start_ns, second(only)),
        _ => {
            let mut sum = new_histogram();
            all.into_iter().for_each(|one| {
                let _ = sum.add(one);
            });
            (start_ns, second(&sum))
        }
    };
    of.into_iter().map(summed).collect()
}
