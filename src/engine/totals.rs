//! Sums over all producers and consumers of a cell, and the rows of its time series.

use super::consume::ConsumerReport;
use super::health::Spent;
use super::publish::ProducerReport;
use super::telemetry::Telemetry;
use crate::model::Latency;
use crate::record::{PerSecond, SECOND_NS, new_histogram};
use crate::result::WindowRow;

/// Sums over all producers and consumers.
pub struct Totals {
    pub planned: Option<u64>,
    pub offered: PerSecond,
    pub sent: PerSecond,
    pub acked: PerSecond,
    pub consumed: PerSecond,
    pub backpressured: u64,
    pub unanswered: u64,
    pub window_planned: u64,
    pub window_sent: u64,
    pub window_acked: u64,
    pub window_consumed: u64,
    pub overtaken: u64,
    pub last_ns: u64,
    pub own_lag: hdrhistogram::Histogram<u64>,
    pub cpu: Vec<PerSecond>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            planned: None,
            offered: PerSecond::default(),
            sent: PerSecond::default(),
            acked: PerSecond::default(),
            consumed: PerSecond::default(),
            backpressured: 0,
            unanswered: 0,
            window_planned: 0,
            window_sent: 0,
            window_acked: 0,
            window_consumed: 0,
            overtaken: 0,
            last_ns: 0,
            own_lag: new_histogram(),
            cpu: Vec::new(),
        }
    }
}

impl Totals {
    pub fn add_producer(&mut self, report: &ProducerReport) {
        if let Some(planned) = report.planned {
            *self.planned.get_or_insert(0) += planned;
        }
        self.offered.merge(&report.offered);
        self.sent.merge(&report.sent);
        self.acked.merge(&report.acked);
        self.backpressured += report.backpressured;
        self.unanswered += report.unanswered;
        self.window_planned += report.window_planned;
        self.window_sent += report.window_sent;
        self.window_acked += report.window_acked;
        self.last_ns = self.last_ns.max(report.last_acked_ns);
        // Equal bounds: adding cannot fail.
        let _ = self.own_lag.add(&report.own_lag);
        self.cpu.push(report.cpu.clone());
    }

    pub fn add_consumer(&mut self, report: &ConsumerReport) {
        self.consumed.merge(&report.consumed);
        self.window_consumed += report.window_consumed;
        self.overtaken += report.overtaken;
        self.last_ns = self.last_ns.max(report.last_received_ns);
    }

    /// Share of the seconds `first..last` that the busiest pacing thread ran.
    pub fn busiest(&self, first: u64, last: u64) -> f64 {
        let window_ns = (last.saturating_sub(first) * SECOND_NS).max(1) as f64;
        let cpu = |tally: &PerSecond| (first..last).map(|second| tally.get(second as usize)).sum::<u64>() as f64;
        self.cpu.iter().map(cpu).fold(0.0, f64::max) / window_ns
    }

    pub fn rows(
        &self,
        telemetry: &Telemetry,
        start_ns: u64,
        window: Option<(u64, u64)>,
        open: bool,
        bytes: u64,
        subscriptions: u64,
    ) -> Vec<WindowRow> {
        let first = (start_ns / SECOND_NS) as usize;
        let last = [&self.offered, &self.sent, &self.acked, &self.consumed].iter().map(|t| t.len()).max().unwrap_or(0);
        let (mut answered, mut consumed) = (0, 0);
        (first..last)
            .map(|second| {
                let at = second as u64 * SECOND_NS;
                answered += self.acked.get(second);
                consumed += self.consumed.get(second);
                let spent = telemetry.health.between(at, at + SECOND_NS);
                let cpu = |pick: fn(&Spent) -> u64| {
                    spent.as_ref().map(|spent| pick(spent) as f64 * 100.0 / spent.length_ns as f64)
                };
                let publish = telemetry.collector.second(Latency::Publish, second as u64);
                let end_to_end = telemetry.collector.second(Latency::EndToEnd, second as u64);
                WindowRow {
                    second: (second - first) as u32,
                    phase: phase(at, window).into(),
                    start_ns: at,
                    offered_messages: open.then(|| self.offered.get(second)),
                    sent_messages: self.sent.get(second),
                    acked_messages: self.acked.get(second),
                    consumed_messages: self.consumed.get(second),
                    offered_bytes: open.then(|| self.offered.get(second) * bytes),
                    sent_bytes: self.sent.get(second) * bytes,
                    acked_bytes: self.acked.get(second) * bytes,
                    consumed_bytes: self.consumed.get(second) * bytes,
                    backlog_messages: (answered * subscriptions).saturating_sub(consumed),
                    publish_p50_ns: publish.map(|s| s.p50_ns),
                    publish_p99_ns: publish.map(|s| s.p99_ns),
                    end_to_end_p50_ns: end_to_end.map(|s| s.p50_ns),
                    end_to_end_p99_ns: end_to_end.map(|s| s.p99_ns),
                    schedule_lag_p99_ns: telemetry
                        .collector
                        .second(Latency::ScheduleLag, second as u64)
                        .map(|s| s.p99_ns),
                    client_cpu_percent: cpu(|spent| spent.client_cpu_ns),
                    broker_cpu_percent: cpu(|spent| spent.broker_cpu_ns),
                    broker_rss_bytes: telemetry.health.broker_rss_at(at),
                }
            })
            .collect()
    }
}

fn phase(at_ns: u64, window: Option<(u64, u64)>) -> &'static str {
    match window {
        Some((start, end)) if at_ns + SECOND_NS > start => {
            if at_ns < end {
                "measure"
            } else {
                "drain"
            }
        }
        _ => "warm-up",
    }
}
