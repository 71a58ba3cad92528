//! One cell: a labelled system at one point of the matrix, every value resolved. This is what the engine runs.
//!
//! A cell is pure data. It holds no defaults of its own that a reader could not see in `explain`.

use super::experiment::Experiment;
use super::fault::FaultPlan;
use super::system::SystemConfig;
use crate::model::{Codec, Guarantee};
use crate::units::{Bytes, Rate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A labelled system at one matrix point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// The key under `systems:`; usually the system's name.
    pub label: String,
    pub config: SystemConfig,
    /// The matrix point in words, such as `load.rate=1k/s`; `base` where there is no matrix.
    pub point: String,
    pub load: Load,
    pub message: Message,
    /// In place of plain load.
    pub experiment: Option<Experiment>,
    /// Injected while the load goes on; empty in plain load.
    pub faults: Vec<FaultPlan>,
    pub guarantee: Guarantee,
    /// The metric that carries the verdict, such as `end_to_end.p99`.
    pub primary: String,
    pub seed: u64,
}

/// How messages are offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Load {
    pub model: Model,
    /// Messages a second over all producers; open model only.
    pub rate: Option<Rate>,
    /// The rate is half of what the slowest label carries; `rate` is `None` until a run has found it.
    #[serde(skip)]
    pub half_capacity: bool,
    pub arrivals: Arrivals,
    /// The least warm-up; it goes on until steady, at most [`Load::warm_up_limit`].
    pub warm_up: Span,
    pub warm_up_limit: Span,
    pub duration: Span,
    /// A fixed number of messages over all producers, counted from the first; replaces warm-up and duration when set.
    pub messages: Option<u64>,
    pub producers: u16,
    /// Each subscription receives everything. 0 publishes only: for benchmarks of that path, never in a scenario.
    pub subscriptions: u16,
    /// Consumers share the work inside one subscription.
    pub consumers: u16,
    /// How long a consumer works on each message: slept, not burnt. A message counts as consumed once that is over.
    pub work: Span,
    /// Client connections of one producer.
    pub connections: u16,
    /// Most unacknowledged messages of one producer, over all its connections.
    pub in_flight: u32,
    /// Most messages that one producer hands to the network in one write.
    pub batch: u32,
    /// Closed model only: publishers pause while this much is published but not yet consumed, so that the rate found
    /// is one that the consumers carry too.
    pub backlog: Bytes,
    /// How long to wait after the last send for what is still on its way.
    pub drain: Span,
    /// For how long a client tries again to have one message taken, counted from its sending, on every side alike: over
    /// lost connections and fail-overs, until it is acknowledged or refused. `None`: each client library as it comes.
    pub deadline: Option<Span>,
    /// Whether to read back what the broker still holds after the run.
    pub audit: bool,
    /// Whether to measure first, against a stand-in, what the path costs without a broker.
    pub floor: bool,
    /// How long a fresh Kafka is loaded before its first cell; Redis, which has no compiler, a thirtieth of it.
    pub broker_warm_up: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// A fixed rate, kept whatever the broker does. For every claim on latency.
    Open,
    /// As fast as `in-flight` allows. For capacity only.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    Constant,
    /// Exponential gaps from the scenario's seed.
    Poisson,
}

/// What a message is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Message {
    /// Size of the whole message as the broker stores it, envelope included, uncompressed.
    pub size: Bytes,
    pub payload: PayloadKind,
    /// zstd ratio that a `mixed` payload must reach, within 10 %; checked when the payload is made.
    pub compressibility: Option<f64>,
    /// Kafka's `compression.type`.
    pub codec: Codec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadKind {
    /// Log-like words; compresses about as real logs of short lines do.
    Text,
    /// Does not compress.
    Random,
    /// Random and repeated bytes mixed to reach `message.compressibility`.
    Mixed,
}

impl Cell {
    /// What tells this label from the plain system; `None` for the latter.
    pub fn variant(&self) -> Option<String> {
        (self.label != self.config.system.name()).then(|| self.label.clone())
    }

    /// Lanes of one producer: each (connection, stream) pair has its own sequence, since order is promised only there.
    pub fn lanes(&self) -> u16 {
        self.load.connections * self.config.streams()
    }
}
