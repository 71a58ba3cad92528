//! The latencies of a cell in `summary.json`.

use super::distribution::LatencyValue;
use crate::model::Latency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `null` where the load model or the system has no such latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Latencies {
    /// acked − planned.
    pub publish: Option<Quantiles>,
    /// received − planned, of the last subscription.
    pub end_to_end: Option<Quantiles>,
    /// acked − sent.
    pub service: Option<Quantiles>,
    /// sent − planned.
    pub schedule_lag: Option<Quantiles>,
}

impl Latencies {
    pub fn new(of: impl Fn(Latency) -> Option<Quantiles>) -> Self {
        Self {
            publish: of(Latency::Publish),
            end_to_end: of(Latency::EndToEnd),
            service: of(Latency::Service),
            schedule_lag: of(Latency::ScheduleLag),
        }
    }

    pub fn get(&self, latency: Latency) -> Option<&Quantiles> {
        match latency {
            Latency::Publish => self.publish.as_ref(),
            Latency::EndToEnd => self.end_to_end.as_ref(),
            Latency::Service => self.service.as_ref(),
            Latency::ScheduleLag => self.schedule_lag.as_ref(),
        }
    }
}

/// Of the messages of the measured window. A quantile is `null` with fewer than 10 of them beyond
/// it, and where it lies among the censored: then `at_least_ns` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Quantiles {
    /// Messages with a time of their own.
    pub count: u64,
    /// Messages that failed, or had no answer, were not sent or not delivered when nobody waited
    /// any longer: beyond every recorded time.
    #[serde(default)]
    pub censored: u64,
    pub p50_ns: Option<u64>,
    pub p90_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub p99_9_ns: Option<u64>,
    pub p99_99_ns: Option<u64>,
    pub max_ns: Option<u64>,
    /// What those above that lie among the censored are at least: `p99`, `max`, …
    #[serde(default)]
    pub at_least_ns: BTreeMap<String, u64>,
}

impl Quantiles {
    /// One of those above by its name: `p50`, `p99_9`, `max`.
    pub fn value(&self, name: &str) -> Option<LatencyValue> {
        let ns = match name {
            "p50" => self.p50_ns,
            "p90" => self.p90_ns,
            "p99" => self.p99_ns,
            "p99_9" => self.p99_9_ns,
            "p99_99" => self.p99_99_ns,
            "max" => self.max_ns,
            _ => None,
        };
        let exact = ns.map(|ns| LatencyValue::Exact(ns as f64));
        exact.or_else(|| self.at_least_ns.get(name).map(|ns| LatencyValue::AtLeast(*ns as f64)))
    }
}
