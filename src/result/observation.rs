//! What an experiment observed, beyond the counts and latencies of plain load:
//! one figure under one condition.
//!
//! Made of a registered metric and stored by its name and unit, so that results of another version
//! are read as well. An observation states facts only; whether a claim holds is decided elsewhere.

use super::comparison::Kind;
use crate::model::Metric;
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
    /// What a reader must know beside the number: who refused, in which words, what was lost; may
    /// be empty.
    pub text: String,
}

impl Observation {
    pub fn measured(metric: &Metric, point: impl Into<String>, value: f64, n: u64) -> Self {
        Self { kind: Kind::Measured, value: Some(value), n, ..Self::without(metric, point) }
    }

    /// The system cannot do it by its nature.
    pub fn cannot(metric: &Metric, point: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind: Kind::Cannot, text: why.into(), ..Self::without(metric, point) }
    }

    /// It could have been measured and was not, such as for want of memory.
    pub fn not_measured(metric: &Metric, point: impl Into<String>, why: impl Into<String>) -> Self {
        Self { text: why.into(), ..Self::without(metric, point) }
    }

    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    fn without(metric: &Metric, point: impl Into<String>) -> Self {
        Self {
            metric: metric.name.to_owned(),
            point: point.into(),
            kind: Kind::NotMeasured,
            value: None,
            unit: metric.unit.name().to_owned(),
            n: 0,
            text: String::new(),
        }
    }
}
