//! What an experiment observed, beyond the counts and latencies of plain load: one figure under one condition.
//!
//! Names and units of metrics are part of the public interface: README lists them. An observation states facts only;
//! whether a claim holds is decided elsewhere.

use super::comparison::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One figure under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// Such as `largest_intact` or `share.second_reader`.
    pub metric: String,
    /// The condition inside the cell, such as `size=1MiB,codec=lz4`; empty where there is only one.
    pub point: String,
    /// `measured`, `cannot` (the text says why) or `not-measured` (likewise).
    pub kind: Kind,
    /// `null` unless measured.
    pub value: Option<f64>,
    /// Such as `B`, `ns`, `msg`, `msg/s`, `share` (0 to 1), `requests` or `yes` (1 or 0).
    pub unit: String,
    /// Messages, deliveries or tries behind the value.
    pub n: u64,
    /// What a reader must know beside the number: who refused, in which words, what was lost; may be empty.
    pub text: String,
}

impl Observation {
    pub fn measured(metric: &str, point: impl Into<String>, value: f64, unit: &str, n: u64) -> Self {
        Self { kind: Kind::Measured, value: Some(value), n, ..Self::without(metric, point, unit) }
    }

    /// The system cannot do it by its nature.
    pub fn cannot(metric: &str, point: impl Into<String>, unit: &str, why: impl Into<String>) -> Self {
        Self { kind: Kind::Cannot, text: why.into(), ..Self::without(metric, point, unit) }
    }

    /// It could have been measured and was not, such as for want of memory.
    pub fn not_measured(metric: &str, point: impl Into<String>, unit: &str, why: impl Into<String>) -> Self {
        Self { text: why.into(), ..Self::without(metric, point, unit) }
    }

    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    fn without(metric: &str, point: impl Into<String>, unit: &str) -> Self {
        Self {
            metric: metric.to_owned(),
            point: point.into(),
            kind: Kind::NotMeasured,
            value: None,
            unit: unit.to_owned(),
            n: 0,
            text: String::new(),
        }
    }
}
