//! From what the threads of a cell reported to its raw result: books balanced, gates judged, nothing derived stored.

use super::cell_run::{Reports, settling_timer};
use super::collect::seconds;
use super::consume::ConsumerReport;
use super::control::Control;
use super::floor::Floor;
use super::gates::{Evidence, judge};
use super::health::Spent;
use super::publish::ProducerReport;
use super::recovery::FaultObservations;
use super::telemetry::Telemetry;
use super::totals::Totals;
use crate::driver::{Driver, DriverError};
use crate::model::{Latency, Quantile, metric};
use crate::record::{AuditBook, Books, Consumed, Counted, PerSecond, SECOND_NS};
use crate::result::{CellOutput, CellRecord, Counts, Description, Observation, Resources, WindowRow};
use crate::scenario::{Cell, Load, Model, cannot_promise};
use crate::stats::Second;
use std::collections::BTreeMap;
use std::thread;

/// A cell whose threads have all ended.
pub(super) struct FinishedCell<'a> {
    pub cell: &'a Cell,
    pub block: u32,
    pub now_ns: u64,
    pub interrupted: bool,
    pub driver: &'a dyn Driver,
    pub description: Description,
    pub control: &'a Control,
    pub reports: Reports,
    pub audit: Option<AuditBook>,
    pub telemetry: Telemetry,
}

/// From when to when something lasted, ns since the run's epoch.
type Window = Option<(u64, u64)>;

/// The raw result of a cell.
pub(super) fn output(of: FinishedCell<'_>) -> CellOutput {
    let FinishedCell { cell, driver, control, now_ns, reports, mut telemetry, .. } = of;
    let Reports { start_ns, error, produced, consumed, log } = reports;
    telemetry.events.extend(log.events);
    telemetry.events.sort_by_key(|event| event.at_ns);
    let load = &cell.load;
    let open = load.model == Model::Open;
    let mut collected = Collected {
        books: Books { audit: of.audit, acknowledges: driver.acknowledges(), ..Books::default() },
        error,
        ..Collected::default()
    };
    collected.producers(produced);
    collected.consumers(load, consumed);
    let seen = std::mem::take(&mut collected.seen);
    let Collected { books, totals, .. } = &collected;
    let window = measured_window(load, control, totals.last_ns, now_ns);
    let counted = books.total();
    let mut faults = log.faults;
    faults.extend(driver.played());
    let load_end_ns = load_end(load, start_ns, window, now_ns).min(control.stop_sending_at());
    seen.judge(&mut faults, books, load.rate.map(|rate| rate.per_s()), load_end_ns, cell.config.streams());
    let spent = window.and_then(|(from, to)| telemetry.health.between(from, to));
    let windows = totals.rows(&telemetry, start_ns, window, open, cell.message.size.0, u64::from(load.subscriptions));
    let measured = measured_seconds(cell, &telemetry, window);
    let evidence = evidence(cell, &collected, &counted, window, &windows, spent.as_ref(), &measured, &telemetry);
    let (gates, outcome, outcome_because) = judge(&evidence);
    let counts = |counted: &Counted| Counts::of(counted, totals.planned, totals.backpressured, books.acknowledges);
    let record = CellRecord {
        open_loop: open,
        window_start_ns: window.map(|(start, _)| start),
        window_end_ns: window.map(|(_, end)| end),
        warm_up_ns: window.map_or(now_ns, |(start, _)| start).saturating_sub(start_ns),
        outcome,
        outcome_because,
        survives: driver.survives(),
        counts: counts(&counted),
        subscriptions_counts: (0..books.consumed.len()).map(|index| counts(&books.balance(index))).collect(),
        resources: resources(spent.as_ref(), totals, whole_seconds(window)),
        gates,
        floor: own_floor(&totals.own_lag),
        saturated_samples: telemetry.collector.saturated(),
        censored: totals.unanswered,
        window_acked: totals.window_acked,
        window_consumed: totals.window_consumed,
        window_sent: totals.window_sent,
        window_planned: open.then_some(totals.window_planned),
        observations: overtaken(load, totals, &counted).into_iter().collect(),
        faults,
        unpromised: cannot_promise(&cell.config, cell.guarantee).map(str::to_owned),
        examples: books.examples(),
        description: of.description,
        interrupted: of.interrupted,
        failures: collected.failures,
        retries: collected.retries,
        error: collected.error,
        ..cell.record(of.block)
    };
    let Telemetry { collector, events, .. } = telemetry;
    CellOutput { record, windows, events, intervals: collector.into_intervals(), broker_log: String::new() }
}

/// What the threads' reports come to, put together.
#[derive(Default)]
struct Collected {
    books: Books,
    totals: Totals,
    seen: FaultObservations,
    failures: BTreeMap<String, u64>,
    retries: BTreeMap<String, u64>,
    error: Option<String>,
}

impl Collected {
    fn producers(&mut self, reports: Vec<ProducerReport>) {
        for (mut report, producer) in reports.into_iter().zip(0..) {
            self.seen.add_producer(producer, &mut report);
            self.totals.add_producer(&report);
            for (reason, count) in &report.failures {
                *self.failures.entry(reason.clone()).or_default() += count;
            }
            self.again("publish", &report.retries);
            self.note(report.error.as_ref());
            self.books.produced.extend(report.lanes);
        }
    }

    fn consumers(&mut self, load: &Load, reports: Vec<ConsumerReport>) {
        let mut reports = reports.into_iter();
        for subscription in 0..load.subscriptions {
            let mut all = Consumed::default();
            for mut report in reports.by_ref().take(usize::from(load.consumers).max(1)) {
                self.seen.add_consumer(subscription, &mut report);
                self.totals.add_consumer(&report);
                self.again("consume", &report.retries);
                self.note(report.error.as_ref());
                all.merge(report.seen);
            }
            self.books.consumed.push(all);
        }
    }

    fn again(&mut self, who: &str, reasons: &BTreeMap<String, u64>) {
        for (reason, count) in reasons {
            *self.retries.entry(format!("{who}: {reason}")).or_default() += count;
        }
    }

    /// The first error is the one that counts.
    fn note(&mut self, error: Option<&DriverError>) {
        self.error = self.error.take().or_else(|| error.map(ToString::to_string));
    }
}

/// A counted run has no end set beforehand: its window is from the first message to the last delivery.
fn measured_window(load: &Load, control: &Control, last_ns: u64, now_ns: u64) -> Window {
    control.window().map(|(start, end)| match load.messages {
        Some(_) => (start, last_ns.max(start + 1)),
        None => (start, end.min(now_ns)),
    })
}

/// When the last message was due.
fn load_end(load: &Load, start_ns: u64, window: Window, now_ns: u64) -> u64 {
    match (load.messages, load.rate) {
        (Some(messages), Some(rate)) => start_ns + (messages as f64 * 1e9 / rate.per_s()) as u64,
        _ => window.map_or(now_ns, |(_, end)| end),
    }
}

/// The first second of the window, and the first one after it.
fn whole_seconds(window: Window) -> (u64, u64) {
    window.map_or((0, 0), |(from, to)| (from / SECOND_NS, to / SECOND_NS))
}

fn measured_seconds(cell: &Cell, telemetry: &Telemetry, window: Window) -> Vec<Second> {
    let (first, last) = whole_seconds(window);
    seconds(&telemetry.collector, settling_timer(cell), first, last)
}

#[allow(clippy::too_many_arguments, reason = "each is one thing that the gates look at")]
fn evidence<'a>(
    cell: &Cell,
    collected: &Collected,
    counted: &Counted,
    window: Window,
    rows: &[WindowRow],
    spent: Option<&Spent>,
    seconds: &'a [Second],
    telemetry: &Telemetry,
) -> Evidence<'a> {
    let (Collected { books, totals, .. }, open) = (collected, cell.load.model == Model::Open);
    let (first, last) = whole_seconds(window);
    let in_window = |tally: &PerSecond| (first..last).map(|second| tally.get(second as usize)).sum::<u64>();
    let backlog_at =
        |second: u64| rows.iter().rfind(|row| row.start_ns / SECOND_NS < second).map_or(0, |row| row.backlog_messages);
    let reported = telemetry.collector.measured(settling_timer(cell));
    let quantile = crate::stats::highest_quantile(&cell.primary, totals.own_lag.len());
    let lag = (open && !reported.is_empty()).then(|| {
        let value = |histogram: &hdrhistogram::Histogram<u64>| histogram.value_at_quantile(quantile.share());
        (quantile.to_string(), value(&totals.own_lag), value(&reported))
    });
    Evidence {
        open,
        counted: *counted,
        sent_by_counter: totals.sent.total(),
        window_planned: totals.window_planned,
        acked_in_time: in_window(&totals.acked),
        subscriptions: u64::from(cell.load.subscriptions),
        backlog: (backlog_at(first), backlog_at(last)),
        lag,
        pacer_busy_share: (last > first).then(|| totals.busiest(first, last)),
        steal_share: spent.map(|spent| spent.steal_share),
        seconds,
        settled: telemetry.settled || window.is_none(),
        acknowledges: books.acknowledges,
        unanswered: totals.unanswered,
        faults: !cell.faults.is_empty(),
    }
}

fn resources(spent: Option<&Spent>, totals: &Totals, (first, last): (u64, u64)) -> Resources {
    let messages = totals.window_sent.max(1) as f64;
    Resources {
        client_cpu_ns_per_message: spent.map(|spent| spent.client_cpu_ns as f64 / messages),
        client_peak_rss_bytes: spent.map(|spent| spent.client_peak_rss_bytes),
        // Of a broker whose processes cannot be seen there is no figure, and none is not 0.
        broker_cpu_ns_per_message: spent
            .filter(|spent| spent.broker_peak_rss_bytes > 0)
            .map(|spent| spent.broker_cpu_ns as f64 / messages),
        broker_peak_rss_bytes: spent.map(|spent| spent.broker_peak_rss_bytes).filter(|bytes| *bytes > 0),
        saturated: spent.and_then(|spent| saturated(spent, totals.busiest(first, last))).map(str::to_owned),
    }
}

/// What there was no more of.
fn saturated(spent: &Spent, pacer_busy_share: f64) -> Option<&'static str> {
    let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
    if pacer_busy_share > 0.9 {
        Some("generator-cpu")
    } else if spent.machine_busy_share > 0.95 {
        Some("machine-cpu")
    } else if spent.broker_cpu_ns as f64 / spent.length_ns as f64 > 0.95 * cores {
        Some("broker-cpu")
    } else {
        None
    }
}

/// Order within each consumer is in the books; whether consumers that share keep it together is seen here.
fn overtaken(load: &Load, totals: &Totals, counted: &Counted) -> Option<Observation> {
    (load.consumers > 1).then(|| {
        Observation::measured(metric::OVERTAKEN, "", totals.overtaken as f64, counted.delivered)
            .with_text("done after a later message of the same producer and partition, stream or list")
    })
}

/// The generator's own lag is part of every latency that counts from the plan: the least floor there is.
fn own_floor(own_lag: &hdrhistogram::Histogram<u64>) -> Floor {
    let quantiles: BTreeMap<String, u64> = Quantile::REPORTED
        .into_iter()
        .filter(|quantile| quantile.shown(own_lag.len()))
        .map(|quantile| (quantile.to_string(), own_lag.value_at_quantile(quantile.share())))
        .collect();
    let metrics = [Latency::Publish, Latency::EndToEnd];
    if quantiles.is_empty() {
        return Floor::new();
    }
    metrics.into_iter().map(|metric| (metric.name().to_owned(), quantiles.clone())).collect()
}
