//! From what the threads of a cell reported to its raw result: books balanced, gates judged, nothing derived stored.

use super::collect::seconds;
use super::control::Control;
use super::floor::Floor;
use super::gates::{Evidence, judge};
use super::recovery::Seen;
use super::totals::Totals;
use super::trial::{Outcome, Trial};
use super::watch::Watch;
use crate::driver::Driver;
use crate::model::Quantile;
use crate::record::{AuditBook, Books, Consumed, Counted, Harmed, SECOND_NS, Tally};
use crate::result::{CellOutput, CellRecord, Counts, Description, Example, Metric, Observation, Resources, SCHEMA};
use crate::scenario::{Model, cannot_promise};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

impl Trial<'_, '_> {
    /// The raw result of a cell whose threads have all ended.
    pub(super) fn output(
        self,
        driver: &dyn Driver,
        description: Description,
        control: &Control,
        outcome: Outcome,
        audit: Option<AuditBook>,
        mut watch: Watch,
    ) -> CellOutput {
        let load = &self.cell.load;
        let Outcome { start_ns, error, produced, consumed, endured } = outcome;
        watch.events.extend(endured.events);
        watch.events.sort_by_key(|event| event.at_ns);
        let mut error = error;
        let mut totals = Totals::default();
        let mut books = Books { audit, acknowledges: driver.acknowledges(), ..Books::default() };
        let mut failures = BTreeMap::new();
        let mut retries = BTreeMap::new();
        let mut again = |who: &str, reasons: &BTreeMap<String, u64>| {
            for (reason, count) in reasons {
                *retries.entry(format!("{who}: {reason}")).or_default() += count;
            }
        };
        let mut seen = Seen::default();
        for (mut report, producer) in produced.into_iter().zip(0..) {
            seen.add_producer(producer, &mut report);
            totals.add_producer(&report);
            for (reason, count) in &report.failures {
                *failures.entry(reason.clone()).or_default() += count;
            }
            again("publish", &report.retries);
            error = error.or_else(|| report.error.as_ref().map(ToString::to_string));
            books.produced.extend(report.lanes);
        }
        let per_subscription = usize::from(load.consumers).max(1);
        let mut consumed = consumed.into_iter();
        for subscription in 0..load.subscriptions {
            let mut all = Consumed::default();
            for mut report in consumed.by_ref().take(per_subscription) {
                seen.add_consumer(subscription, &mut report);
                totals.add_consumer(&report);
                again("consume", &report.retries);
                error = error.or_else(|| report.error.as_ref().map(ToString::to_string));
                all.merge(report.seen);
            }
            books.consumed.push(all);
        }
        let interrupted = self.interrupted.load(Relaxed);
        let now = self.clock.now_ns();
        // A counted run has no end set beforehand: its window is from the first message to the last delivery.
        let window = control.window().map(|(start, end)| match load.messages {
            Some(_) => (start, totals.last_ns.max(start + 1)),
            None => (start, end.min(now)),
        });
        let counted = books.total();
        let mut faults = endured.faults;
        faults.extend(driver.played());
        let rate = load.rate.map(|rate| rate.per_s());
        let load_end_ns = match (load.messages, rate) {
            (Some(messages), Some(rate)) => start_ns + (messages as f64 * 1e9 / rate) as u64,
            _ => window.map_or(now, |(_, end)| end),
        };
        let load_end_ns = load_end_ns.min(control.stop_sending_at());
        seen.judge(&mut faults, &books, rate, load_end_ns, self.cell.config.streams());
        let open = load.model == Model::Open;
        let spent = window.and_then(|(from, to)| watch.health.between(from, to));
        let (first, last) = window.map_or((0, 0), |(from, to)| (from / SECOND_NS, to / SECOND_NS));
        let measured = seconds(&watch.collector, self.timer(), first, last);
        let reported = watch.collector.measured(self.timer());
        let quantile = crate::stats::highest_quantile(&self.cell.primary, totals.own_lag.len());
        let lag = (open && !reported.is_empty()).then(|| {
            let value = |histogram: &hdrhistogram::Histogram<u64>| histogram.value_at_quantile(quantile.share());
            (quantile.to_string(), value(&totals.own_lag), value(&reported))
        });
        let in_window = |tally: &Tally| (first..last).map(|second| tally.get(second as usize)).sum::<u64>();
        let rows = totals.rows(&watch, start_ns, window, open, self.cell.message.size.0, u64::from(load.subscriptions));
        let backlog_at = |second: u64| {
            rows.iter().rfind(|row| row.start_ns / SECOND_NS < second).map_or(0, |row| row.backlog_messages)
        };
        let evidence = Evidence {
            open,
            counted,
            sent_by_counter: totals.sent.total(),
            window_planned: totals.window_planned,
            acked_in_time: in_window(&totals.acked),
            subscriptions: u64::from(load.subscriptions),
            backlog: (backlog_at(first), backlog_at(last)),
            lag,
            pacer_busy_share: (last > first).then(|| totals.busiest(first, last)),
            steal_share: spent.map(|spent| spent.steal_share),
            seconds: &measured,
            settled: watch.settled || window.is_none(),
            acknowledges: books.acknowledges,
            unanswered: totals.unanswered,
            faults: !self.cell.faults.is_empty(),
        };
        let (gates, outcome, outcome_because) = judge(&evidence);
        let messages = totals.window_sent.max(1) as f64;
        let saturated = spent.and_then(|spent| {
            let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
            let share = |cpu: u64| cpu as f64 / spent.length_ns as f64;
            let busy = totals.busiest(first, last);
            if busy > 0.9 {
                Some("generator-cpu".to_owned())
            } else if spent.machine_busy_share > 0.95 {
                Some("machine-cpu".to_owned())
            } else if share(spent.broker_cpu_ns) > 0.95 * cores {
                Some("broker-cpu".to_owned())
            } else {
                None
            }
        });
        // Order within each consumer is in the books; whether consumers that share keep it together is seen here.
        let shared = load.consumers > 1;
        let overtaken = || {
            Observation::measured("overtaken", "", totals.overtaken as f64, "msg", counted.delivered)
                .with_text("done after a later message of the same producer and partition, stream or list")
        };
        let observations = shared.then(overtaken).into_iter().collect();
        let record = CellRecord {
            schema: SCHEMA,
            label: self.cell.label.clone(),
            system: self.cell.config.system.name().into(),
            variant: self.cell.variant(),
            nodes: self.cell.config.nodes,
            cell: self.cell.point.clone(),
            block: self.block,
            open_loop: open,
            subscriptions: load.subscriptions,
            message_bytes: self.cell.message.size.0,
            window_start_ns: window.map(|(start, _)| start),
            window_end_ns: window.map(|(_, end)| end),
            warm_up_ns: window.map_or(now, |(start, _)| start).saturating_sub(start_ns),
            outcome,
            outcome_because,
            survives: driver.survives(),
            counts: counts(&counted, &totals, books.acknowledges),
            subscriptions_counts: (0..books.consumed.len())
                .map(|index| counts(&books.balance(index), &totals, books.acknowledges))
                .collect(),
            failures,
            retries,
            resources: Resources {
                client_cpu_ns_per_message: spent.map(|spent| spent.client_cpu_ns as f64 / messages),
                client_peak_rss_bytes: spent.map(|spent| spent.client_peak_rss_bytes),
                // Of a broker whose processes cannot be seen there is no figure, and none is not 0.
                broker_cpu_ns_per_message: spent
                    .filter(|spent| spent.broker_peak_rss_bytes > 0)
                    .map(|spent| spent.broker_cpu_ns as f64 / messages),
                broker_peak_rss_bytes: spent.map(|spent| spent.broker_peak_rss_bytes).filter(|bytes| *bytes > 0),
                saturated,
            },
            gates,
            floor: own_floor(&totals.own_lag),
            saturated_samples: watch.collector.saturated(),
            censored: totals.unanswered,
            window_acked: totals.window_acked,
            window_consumed: totals.window_consumed,
            window_sent: totals.window_sent,
            window_planned: open.then_some(totals.window_planned),
            experiment: None,
            observations,
            faults,
            unpromised: cannot_promise(&self.cell.config, self.cell.guarantee).map(str::to_owned),
            examples: books.examples().into_iter().map(example).collect(),
            description,
            interrupted,
            error,
        };
        let Watch { collector, events, .. } = watch;
        CellOutput { record, windows: rows, events, intervals: collector.into_intervals(), broker_log: String::new() }
    }
}

fn counts(counted: &Counted, totals: &Totals, acknowledges: bool) -> Counts {
    Counts {
        planned: totals.planned,
        sent: Some(counted.sent),
        acked: acknowledges.then_some(counted.acked),
        failed: Some(counted.failed),
        indeterminate: Some(counted.indeterminate),
        delivered: Some(counted.delivered),
        undelivered: Some(counted.undelivered),
        lost: Some(counted.lost),
        broker_lost: counted.broker_lost,
        passed_over: Some(counted.passed_over),
        duplicate: Some(counted.duplicate),
        log_duplicate: counted.log_duplicate,
        phantom: Some(counted.phantom),
        corrupt: Some(counted.corrupt),
        reordered: Some(counted.reordered),
        foreign: Some(counted.foreign),
        // The closed model waits for answers by design; only a plan can be held up.
        backpressured: totals.planned.map(|_| totals.backpressured),
    }
}

fn example(found: Harmed) -> Example {
    let (producer, lane) = found.lane;
    Example { harm: found.harm.to_owned(), producer, lane, sequence: found.sequence }
}

/// The generator's own lag is part of every latency that counts from the plan: the least floor there is.
fn own_floor(own_lag: &hdrhistogram::Histogram<u64>) -> Floor {
    let quantiles: BTreeMap<String, u64> = Quantile::REPORTED
        .into_iter()
        .filter(|quantile| quantile.shown(own_lag.len()))
        .map(|quantile| (quantile.to_string(), own_lag.value_at_quantile(quantile.share())))
        .collect();
    let metrics = [Metric::Publish, Metric::EndToEnd];
    if quantiles.is_empty() {
        return Floor::new();
    }
    metrics.into_iter().map(|metric| (metric.name().to_owned(), quantiles.clone())).collect()
}
