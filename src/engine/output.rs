//! From what the threads of a cell reported to its raw result: books balanced, gates judged,
//! nothing derived stored.

use super::cell_run::{Reports, settling_timer, too_few_to_settle};
use super::censored::Deadlines;
use super::collect::Telemetry;
use super::comeback::{Comeback, Reasons, add};
use super::consume::ConsumerReport;
use super::control::{Context, Control};
use super::floor::floor_of;
use super::gates::{Evidence, judge, lag_limit_ns};
use super::health::Spent;
use super::notes::ProducerReport;
use super::part::{part, parted};
use super::recovery::{FaultObservations, snapshots};
use super::rows::Window;
use super::saturated::{Pace, saturated};
use super::totals::Totals;
use crate::model::{Latency, MessageStore, Statistic, metric};
use crate::record::{AuditBook, Books, Consumed, Counted, PerSecond, SECOND_NS, Timings};
use crate::result::shard::{ShardClock, ShardPart};
use crate::result::{
    CellOutput, CellRecord, Censored, Counts, Description, Distribution, Fault, Observation,
    Resources, ResultError, StageRecord,
};
use crate::scenario::{Cell, Load, Model, Pacer, cannot_promise};
use crate::schedule::Share;
use crate::stats::SETTLED_OVER;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// The raw result of a cell whose threads have all ended.
pub fn output(
    of: Context<'_>,
    description: Description,
    mut reports: Reports,
    audit: Option<AuditBook>,
    mut telemetry: Telemetry,
) -> Result<CellOutput, ResultError> {
    let Context { cell, driver, control, .. } = of;
    let (load, now_ns) = (&cell.load, of.clock.now_ns());
    let (start_ns, collected_ns) = (reports.start_ns, reports.collected_ns);
    let (log, clock) = (std::mem::take(&mut reports.log), reports.clock.take());
    telemetry.events.extend(log.events);
    telemetry.events.sort_by_key(|event| event.at_ns);
    let mut collected = Collected::of(of, reports, audit, &telemetry);
    let window = measured_window(load, control, collected.totals.last_ns, now_ns);
    let load_end_ns = load_end(load, start_ns, window, now_ns).min(control.stop_sending_at());
    let waited_ns = collected_ns.saturating_sub(load_end_ns);
    let faults = log.faults.into_iter().chain(driver.played());
    let faults = collected.faults(cell, faults, &description, (start_ns, load_end_ns));
    collected.stages = stages(load, window, &collected, &telemetry);
    let Collected { books, totals, .. } = &collected;
    let counted = books.total();
    let spent = window.and_then(|(from, to)| telemetry.health.between(from, to));
    let foreign = load.producers == 0;
    // What others published has the size that it has.
    if foreign {
        telemetry.weigh(totals.window_bytes as f64 / totals.window_consumed.max(1) as f64);
    }
    let evidence = evidence(cell, &collected, counted, window, spent.as_ref(), &telemetry);
    let (gates, outcome, outcome_because) = judge(&evidence);
    let held_by_consumers = held_by_consumers(load, totals, window);
    let pace = pace(evidence.busiest_share, held_by_consumers, totals, window);
    let carried = if foreign { totals.window_consumed } else { totals.window_sent };
    let (planned, held_back) = (totals.planned, totals.backpressured);
    let counts = |counted: &Counted| Counts::of(counted, planned, held_back, books.acknowledges);
    let delivered = Some(telemetry.flow.consumed.total());
    let received = Counts { delivered, ..Counts::default() };
    let record = CellRecord {
        open_loop: evidence.open,
        window_start_ns: window.map(|(start, _)| start),
        window_end_ns: window.map(|(_, end)| end),
        warm_up_ns: window.map_or(now_ns, |(start, _)| start).saturating_sub(start_ns),
        outcome,
        outcome_because,
        survives: driver.survives(),
        counts: if foreign { received } else { counts(&counted) },
        subscriptions_counts: (0..books.consumed.len())
            .map(|index| counts(&books.balance(index)))
            .collect(),
        resources: resources(cell, spent.as_ref(), carried, &pace),
        gates,
        // The generator's own lag is part of every latency that counts from the plan: the least
        // floor there is.
        floor: floor_of(&collected.own_lag_of_all()),
        saturated_samples: telemetry.saturated,
        censored: collected.censored.clone(),
        window_acked: totals.window_acked,
        window_consumed: totals.window_consumed,
        window_bytes: foreign.then_some(totals.window_bytes),
        window_sent: totals.window_sent,
        window_planned: evidence.open.then_some(totals.window_planned),
        stages: collected.stages.clone(),
        held_by_consumers,
        observations: overtaken(load, totals, &counted)
            .into_iter()
            .chain(hottest_partition(cell, books))
            .collect(),
        faults,
        unpromised: cannot_promise(&cell.config, cell.guarantee).map(str::to_owned),
        examples: books.examples(),
        description,
        interrupted: of.interrupted.load(Relaxed),
        shard: collected.part(of, &telemetry, waited_ns, clock),
        failures: collected.failures,
        retries: collected.retries,
        error: collected.error,
        ..cell.record(of.block)
    };
    parted(record, window, telemetry, collected.books)
}

fn pace(busiest: Option<f64>, held: Option<f64>, totals: &Totals, window: Window) -> Pace {
    let length_s = window.map_or(0.0, |(from, to)| to.saturating_sub(from) as f64 / 1e9);
    Pace {
        pacer_busy: busiest.unwrap_or(0.0),
        held_by_consumers: held.unwrap_or(0.0),
        acked_per_s: totals.window_acked as f64 / length_s.max(f64::MIN_POSITIVE),
    }
}

#[derive(Default)]
struct Collected {
    books: Books,
    totals: Totals,
    /// By part of the load.
    own_lag: Vec<Timings>,
    /// Of the window, of the busiest of the producers' and the consumers' threads, ns.
    busiest_ns: u64,
    seen: FaultObservations,
    failures: Reasons,
    retries: Reasons,
    /// Why clients were cut off or refused, by whose they were.
    cut_off: Reasons,
    /// What the broker counted meanwhile of what it does by itself.
    toll: Reasons,
    /// Whether there were faults or outages.
    struck: bool,
    deadlines: Deadlines,
    censored: BTreeMap<Latency, Censored>,
    stages: Vec<StageRecord>,
    error: Option<String>,
}

impl Collected {
    /// What all threads reported, put together.
    fn of(
        of: Context<'_>,
        reports: Reports,
        audit: Option<AuditBook>,
        telemetry: &Telemetry,
    ) -> Self {
        let (load, acknowledges) = (&of.cell.load, of.driver.acknowledges());
        let kept = of.cell.config.system.store() != MessageStore::Nothing;
        let mut all = Self {
            books: Books {
                unaudited: audit.is_none() && kept,
                audit,
                acknowledges,
                ..Books::default()
            },
            error: reports.error,
            toll: reports.toll,
            deadlines: Deadlines::of_consumers(reports.collected_ns),
            ..Self::default()
        };
        all.producers(of.share, reports.produced);
        all.consumers(of.share, reports.consumed);
        all.censored = all.deadlines.censored(&all.totals, telemetry, load.subscriptions > 0);
        all
    }

    fn producers(&mut self, share: Share, reports: Vec<ProducerReport>) {
        for (report, producer) in reports.into_iter().zip(share.producers()) {
            self.seen.add_producer(producer, &report.tenths, report.traces);
            self.totals.add(&report.totals);
            self.own_lag.resize_with(report.own_lag.len(), Timings::default);
            for (all, own) in self.own_lag.iter_mut().zip(&report.own_lag) {
                // Equal bounds: adding cannot fail.
                let _ = all.add(&**own);
            }
            self.busiest_ns = self.busiest_ns.max(report.cpu.window_ns);
            self.deadlines.producer(report.waited);
            add(&mut self.failures, report.failures);
            self.again(("producer", "publish"), report.comeback);
            let lanes = report.lanes.into_iter().zip(0..);
            self.books.produced.extend(lanes.map(|(lane, number)| ((producer, number), lane)));
        }
    }

    fn consumers(&mut self, share: Share, reports: Vec<ConsumerReport>) {
        let subscriptions = usize::from(share.clients.subscriptions);
        self.books.consumed.resize_with(subscriptions, Consumed::default);
        for (report, (subscription, _)) in reports.into_iter().zip(share.consumers()) {
            self.seen.add_consumer(subscription, report.gaps);
            self.busiest_ns = self.busiest_ns.max(report.cpu.window_ns);
            self.totals.add(&report.totals);
            self.again(("consumer", "consume"), report.comeback);
            if let Some(all) = self.books.consumed.get_mut(usize::from(subscription)) {
                all.merge(report.seen);
            }
        }
    }

    fn own_lag_of_all(&self) -> Timings {
        let mut all = Timings::default();
        for part in &self.own_lag {
            let _ = all.add(&**part);
        }
        all
    }

    /// What a shard knows beside the record of its part.
    fn part(
        &self,
        of: Context<'_>,
        telemetry: &Telemetry,
        waited_ns: u64,
        clock: Option<ShardClock>,
    ) -> Option<ShardPart> {
        let reasons = (self.cut_off.clone(), self.toll.clone());
        part(of, &self.totals, telemetry, waited_ns, clock, reasons)
    }

    /// Whoever was cut off went on, and so did what it does.
    fn again(&mut self, (who, what): (&str, &str), comeback: Comeback) {
        let of = |name: &str, reasons: &Reasons| -> Reasons {
            reasons.iter().map(|(reason, count)| (format!("{name}: {reason}"), *count)).collect()
        };
        add(&mut self.cut_off, of(who, &comeback.cut_off));
        add(&mut self.retries, of(what, &comeback.cut_off));
        add(&mut self.retries, of(what, &comeback.retries));
    }

    /// The faults with what each of them cost.
    fn faults(
        &mut self,
        cell: &Cell,
        faults: impl Iterator<Item = Fault>,
        description: &Description,
        (start_ns, load_end_ns): (u64, u64),
    ) -> Vec<Fault> {
        let mut faults: Vec<Fault> = faults.collect();
        let rate_per_s = cell.load.rate.map(|rate| rate.per_s());
        let (seen, partitions) = (std::mem::take(&mut self.seen), cell.config.partitions());
        seen.judge(&mut faults, &self.books, rate_per_s, load_end_ns, partitions);
        snapshots::note(&mut faults, &description.broker_config, rate_per_s, start_ns);
        self.struck = !faults.is_empty();
        faults
    }
}

/// A counted run, or one that only reads, may end before its time: its window is from the first
/// message to the last delivery.
fn measured_window(load: &Load, control: &Control, last_ns: u64, now_ns: u64) -> Window {
    let counted = load.messages.is_some() || load.producers == 0;
    let over = |start: u64| if counted { last_ns.max(start + 1) } else { now_ns };
    control.window().map(|(start, end)| (start, end.min(over(start))))
}

/// When the last message was due.
fn load_end(load: &Load, start_ns: u64, window: Window, now_ns: u64) -> u64 {
    match (load.messages, load.rate) {
        (Some(messages), Some(rate)) => start_ns + (messages as f64 * 1e9 / rate.per_s()) as u64,
        _ => window.map_or(now_ns, |(_, end)| end),
    }
}

/// The stages of the window as far as it went.
fn stages(
    load: &Load,
    window: Window,
    collected: &Collected,
    telemetry: &Telemetry,
) -> Vec<StageRecord> {
    let deadlines = &collected.deadlines;
    let (mut start_ns, last_ns) = window.unwrap_or_default();
    let mut records = Vec::new();
    for (stage, part) in load.stages.iter().zip(2..) {
        let end_ns = (start_ns + stage.length.nanos()).min(last_ns);
        if end_ns <= start_ns {
            break;
        }
        let seconds = start_ns / SECOND_NS..end_ns / SECOND_NS;
        let in_stage =
            |of: &PerSecond| -> u64 { seconds.clone().map(|second| of.get(second as usize)).sum() };
        let (due, aborted) = (in_stage(&telemetry.flow.offered), in_stage(&telemetry.flow.aborted));
        let delivers = load.subscriptions > 0;
        records.push(StageRecord {
            from_per_s: stage.from.per_s(),
            to_per_s: stage.to.per_s(),
            start_ns,
            end_ns,
            planned: due.saturating_sub(aborted),
            censored: deadlines.censored_in((part, end_ns), (due, aborted), telemetry, delivers),
        });
        start_ns = end_ns;
    }
    records
}

fn evidence(
    cell: &Cell,
    collected: &Collected,
    counted: Counted,
    window: Window,
    spent: Option<&Spent>,
    telemetry: &Telemetry,
) -> Evidence {
    let (Collected { books, totals, .. }, open) = (collected, cell.load.model == Model::Open);
    // The first second of the window, and the first one after it.
    let (first, last) = window.map_or((0, 0), |(from, to)| (from / SECOND_NS, to / SECOND_NS));
    let (flow, subscriptions) = (&telemetry.flow, u64::from(cell.load.subscriptions));
    let backlog_at = |second: u64| flow.backlog_before(second as usize, subscriptions);
    let thin = too_few_to_settle(cell);
    let arrived = match books.acknowledges && cell.load.producers > 0 {
        true => totals.window_acked.max(telemetry.measured(Latency::Service).len()),
        false => totals.window_consumed.max(telemetry.measured(Latency::EndToEnd).len()),
    };
    Evidence {
        open,
        counted,
        sent_by_counter: flow.sent.total(),
        window_planned: totals.window_planned,
        window_aborted: totals.window_aborted,
        acked_in_time: totals.window_acked,
        subscriptions,
        backlog: (backlog_at(first), backlog_at(last)),
        lag: if open { worst_lag(cell, collected, telemetry) } else { None },
        // One that never sleeps is busy whatever it does.
        busiest_share: (last > first && cell.load.pacer == Pacer::Sleep)
            .then(|| collected.busiest_ns as f64 / ((last - first) * SECOND_NS) as f64),
        steal_share: spent.map(|spent| spent.steal_share),
        seconds: if thin { Vec::new() } else { telemetry.seconds(first, last) },
        before: match telemetry.settled {
            Some(true) => telemetry.seconds(first.saturating_sub(SETTLED_OVER as u64), first),
            _ => Vec::new(),
        },
        thin,
        settled: telemetry.settled.filter(|_| window.is_some()),
        acknowledges: books.acknowledges && cell.load.producers > 0,
        shared: cell.config.existing().is_some(),
        unanswered: totals.unanswered,
        arrived,
        failures: collected.failures.clone(),
        cut_off: collected.cut_off.clone(),
        toll: collected.toll.clone(),
        faults: collected.struck,
        staged: !cell.load.stages.is_empty(),
    }
}

/// The generator's own lag beside the latency that it is part of, in the part of the load where its
/// share is the largest: what is calm may not hide behind what is slow.
fn worst_lag(
    cell: &Cell,
    collected: &Collected,
    telemetry: &Telemetry,
) -> Option<(String, u64, u64)> {
    let timer = settling_timer(cell);
    let of = |(part, own): (usize, &Timings)| {
        let stage = part.checked_sub(2).and_then(|number| collected.stages.get(number));
        let censored = stage.map_or(&collected.censored, |stage| &stage.censored).get(&timer);
        let recorded = telemetry.measured_in(timer, part);
        let reported = Distribution::of(&recorded, censored.copied().unwrap_or_default());
        if reported.is_empty() {
            return None;
        }
        let quantile = crate::stats::highest_quantile(&cell.primary, own.len());
        let share = quantile.share();
        let value = reported.statistic(Statistic::Quantile(quantile));
        // Of very few messages no quantile is shown.
        let value =
            value.map_or_else(|| recorded.value_at_quantile(share), |value| value.least() as u64);
        let name = match stage {
            None => quantile.to_string(),
            Some(_) => format!("{quantile} of stage {}", part - 1),
        };
        Some((name, own.value_at_quantile(share), value))
    };
    let parts = collected.own_lag.iter().enumerate().skip(1).filter_map(of);
    parts.max_by(|a, b| lag_share(a).total_cmp(&lag_share(b)))
}

/// Of the limit that the gate sets.
fn lag_share((_, lag_ns, value_ns): &(String, u64, u64)) -> f64 {
    *lag_ns as f64 / lag_limit_ns(*value_ns) as f64
}

fn resources(cell: &Cell, spent: Option<&Spent>, sent: u64, pace: &Pace) -> Resources {
    let Some(spent) = spent else { return Resources::default() };
    let messages = sent.max(1) as f64;
    // Of a broker whose processes cannot be seen there is no figure, and none is not 0.
    let seen = spent.broker_peak_rss_bytes > 0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let of_machine = |cpu_ns: u64| cpu_ns as f64 / (spent.length_ns as f64 * cores);
    Resources {
        client_cpu_ns_per_message: Some(spent.client_cpu_ns as f64 / messages),
        client_share: Some(of_machine(spent.client_cpu_ns)),
        client_peak_rss_bytes: Some(spent.client_peak_rss_bytes),
        broker_cpu_ns_per_message: seen.then(|| spent.broker_cpu_ns as f64 / messages),
        broker_peak_rss_bytes: seen.then_some(spent.broker_peak_rss_bytes),
        saturated: saturated(cell, spent, pace).map(str::to_owned),
        dirtied_bytes: spent.cache.map(|cache| cache.dirtied_bytes),
        written_back_bytes: spent.cache.map(|cache| cache.written_bytes),
    }
}

/// Share of the window in which a producer waited for consumers; nothing but the closed model makes
/// it wait.
fn held_by_consumers(load: &Load, totals: &Totals, window: Window) -> Option<f64> {
    let (from, to) = window.filter(|_| load.model == Model::Closed && load.subscriptions > 0)?;
    let whole = (to.saturating_sub(from) * u64::from(load.producers)).max(1) as f64;
    Some((totals.held_ns as f64 / whole).min(1.0))
}

/// Keys decide where messages go: what the partition with most of them got.
fn hottest_partition(cell: &Cell, books: &Books) -> Option<Observation> {
    cell.message.key?;
    let partitions = usize::from(cell.config.partitions().max(1));
    let mut sent = vec![0; partitions];
    for ((_, lane), produced) in &books.produced {
        sent[usize::from(*lane) % partitions] += produced.sent;
    }
    let total: u64 = sent.iter().sum();
    let (hottest, most) = sent.iter().enumerate().max_by_key(|(_, sent)| **sent)?;
    let share = *most as f64 / total.max(1) as f64;
    let even = 100.0 / partitions as f64;
    let text = format!("number {hottest} of {partitions}; each would have {even:.1} % if even");
    Some(Observation::measured(metric::HOTTEST_PARTITION, "", share, total).with_text(text))
}

/// Order within each consumer is in the books; whether consumers that share keep it together is
/// seen here.
fn overtaken(load: &Load, totals: &Totals, counted: &Counted) -> Option<Observation> {
    (load.consumers > 1).then(|| {
        Observation::measured(metric::OVERTAKEN, "", totals.overtaken as f64, counted.delivered)
            .with_text(
                "done after a later message of the same producer and partition, stream or list",
            )
    })
}
