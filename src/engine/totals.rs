//! Sums over the producers and consumers of a cell, and the rows of its time series.

use super::collect::Telemetry;
use super::health::Spent;
use super::progress::Phase;
use crate::model::Latency;
use crate::record::{PerSecond, SECOND_NS};
use crate::result::WindowRow;

/// What one producer or one consumer did, and all of them together.
#[derive(Debug, Default)]
pub struct Totals {
    /// Due by the schedule; `None` in the closed model.
    pub planned: Option<u64>,
    pub offered: PerSecond,
    pub sent: PerSecond,
    pub acked: PerSecond,
    pub consumed: PerSecond,
    pub backpressured: u64,
    /// No answer by the end of the drain.
    pub unanswered: u64,
    /// Planned (closed: sent) inside the window.
    pub window_planned: u64,
    pub window_sent: u64,
    /// Acknowledged inside the window by the clock, whenever planned.
    pub window_acked: u64,
    /// First deliveries inside the window by the clock.
    pub window_consumed: u64,
    /// Their size, where nobody of ours published them.
    pub window_bytes: u64,
    /// First deliveries of messages planned inside the window. Counted where several shards run the
    /// load and not all of them can be timed.
    pub window_delivered: u64,
    /// First deliveries that were done after a later message of their lane, by whichever consumer
    /// of the subscription.
    pub overtaken: u64,
    /// When the last message was acknowledged, or received and worked on.
    pub last_ns: u64,
    /// Closed model: how long consumers held the producers back in the window, over all producers.
    pub held_ns: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        if let Some(planned) = other.planned {
            *self.planned.get_or_insert(0) += planned;
        }
        self.offered.merge(&other.offered);
        self.sent.merge(&other.sent);
        self.acked.merge(&other.acked);
        self.consumed.merge(&other.consumed);
        self.backpressured += other.backpressured;
        self.unanswered += other.unanswered;
        self.window_planned += other.window_planned;
        self.window_sent += other.window_sent;
        self.window_acked += other.window_acked;
        self.window_consumed += other.window_consumed;
        self.window_bytes += other.window_bytes;
        self.window_delivered += other.window_delivered;
        self.overtaken += other.overtaken;
        self.last_ns = self.last_ns.max(other.last_ns);
        self.held_ns += other.held_ns;
    }

    /// One row a second; messages are of `bytes` each.
    pub fn rows(
        &self,
        telemetry: &Telemetry,
        start_ns: u64,
        window: Option<(u64, u64)>,
        bytes: u64,
        subscriptions: u64,
    ) -> Vec<WindowRow> {
        let first = (start_ns / SECOND_NS) as usize;
        let last = [&self.offered, &self.sent, &self.acked, &self.consumed]
            .iter()
            .map(|t| t.len())
            .max()
            .unwrap_or(0);
        let (mut answered, mut consumed) = (0, 0);
        (first..last)
            .map(|second| {
                let at = second as u64 * SECOND_NS;
                answered += self.acked.get(second);
                consumed += self.consumed.get(second);
                let offered = self.planned.map(|_| self.offered.get(second));
                let spent = telemetry.health.between(at, at + SECOND_NS);
                let cpu = |pick: fn(&Spent) -> u64| {
                    spent.as_ref().map(|spent| pick(spent) as f64 * 100.0 / spent.length_ns as f64)
                };
                let latency = |latency| telemetry.second(latency, second as u64);
                let (publish, end_to_end) = (latency(Latency::Publish), latency(Latency::EndToEnd));
                WindowRow {
                    second: (second - first) as u32,
                    phase: Phase::of(window, at, at + SECOND_NS).name().into(),
                    start_ns: at,
                    offered_messages: offered,
                    sent_messages: self.sent.get(second),
                    acked_messages: self.acked.get(second),
                    consumed_messages: self.consumed.get(second),
                    offered_bytes: offered.map(|messages| messages * bytes),
                    sent_bytes: self.sent.get(second) * bytes,
                    acked_bytes: self.acked.get(second) * bytes,
                    consumed_bytes: self.consumed.get(second) * bytes,
                    backlog_messages: (answered * subscriptions).saturating_sub(consumed),
                    publish_p50_ns: publish.map(|s| s.p50_ns),
                    publish_p99_ns: publish.map(|s| s.p99_ns),
                    end_to_end_p50_ns: end_to_end.map(|s| s.p50_ns),
                    end_to_end_p99_ns: end_to_end.map(|s| s.p99_ns),
                    schedule_lag_p99_ns: latency(Latency::ScheduleLag).map(|s| s.p99_ns),
                    client_cpu_percent: cpu(|spent| spent.client_cpu_ns),
                    broker_cpu_percent: cpu(|spent| spent.broker_cpu_ns),
                    broker_rss_bytes: telemetry.health.broker_rss_at(at),
                }
            })
            .collect()
    }
}
