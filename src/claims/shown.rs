//! What the table and the page show of a row: kinds of headline and of panel, by their form and not by their claim.
//!
//! Data only, read with the claim from `claims.yaml`; `report` draws them.

use serde::Deserialize;

/// What a headline says of each label.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Headline {
    /// Metrics at each point of the plain scenario: `1k/s: p50 0.31 · p99 0.92 ms`.
    Values { of: Vec<String> },
    /// Metrics over the points, one line each: `1/s · 10k/s: 1.00 · 0.920 requests a batch`.
    ByPoint { of: Vec<Worded> },
    /// The largest size: `up to 1 GiB`.
    Largest { of: String },
    /// A share: `100 % readable after acknowledgement`.
    Share { of: String, words: String },
    /// Counts where `above` is above zero: `0 lost · 12 twice`.
    Counts { of: Vec<Worded>, above: String },
    /// Fan-out and sharing of work: `4 consumers at 1ms: 3.9×`.
    SpeedUp,
    /// What losing a node for good cost, and killing the only one: `0 of 60,000 lost, back in 9.10 s`.
    Faults,
}

/// A metric, and what it is called in a sentence or in the head of a column.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worded {
    pub metric: String,
    pub words: String,
}

/// How a row is drawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Drawing {
    /// Dots with intervals on a log axis; `bracket` is what was carried at most, from and to.
    Dots { of: String, axis: String, bracket: Option<[String; 2]> },
    /// Three quantiles of a latency on a log axis, the middle one large.
    Quantiles { of: [String; 3] },
    /// A table in the panel: a line for each label, a column for each metric.
    Columns { of: Vec<Worded>, note: String },
    /// A lane of sizes for each label: intact or refused.
    Sizes,
    /// Requests of consumers, with wake-up latency beside.
    Requests,
    /// p99 of healthy messages without and with poison among them.
    Dumbbells,
    /// Speed-up against subscriptions and consumers.
    Curves,
    /// What faults lost, and for how long nothing was taken.
    Faults,
}
