//! One cell: a labelled system at one point of the matrix, every value resolved. This is what the
//! engine runs.
//!
//! A cell is pure data. It holds no defaults of its own that a reader could not see in `explain`.

use super::experiment::Experiment;
use super::fault::FaultPlan;
use super::file::MessageKeys;
use super::load::{Load, Model};
use super::system::SystemConfig;
use crate::model::{BASE, Codec, Guarantee, System};
use crate::result::{CellId, CellRecord};
use crate::units::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of arrivals, payloads and order.
pub(super) const DEFAULT_SEED: u64 = 42;

/// The metric that carries the verdict unless the scenario names one; `received`: whether anybody
/// consumes.
pub(super) const fn default_primary(model: Model, received: bool) -> &'static str {
    match model {
        Model::Open if received => "end_to_end.p99",
        Model::Open => "publish.p99",
        Model::Closed => "goodput",
    }
}

/// A labelled system at one matrix point.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The key under `systems:`; usually the system's name.
    pub label: String,
    pub config: SystemConfig,
    /// The matrix point in words, such as `load.rate=1k/s`; `base` where there is no matrix.
    pub point: String,
    pub load: Load,
    pub message: Message,
    pub experiment: Option<Experiment>,
    /// Injected while the load goes on; empty in plain load.
    pub faults: Vec<FaultPlan>,
    pub guarantee: Guarantee,
    /// The metric that carries the verdict, such as `end_to_end.p99`.
    pub primary: String,
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Message {
    pub size: Bytes,
    pub payload: PayloadKind,
    /// zstd ratio that a `mixed` payload must reach, within 10 %; checked when the payload is made.
    pub compressibility: Option<f64>,
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

impl Default for Message {
    fn default() -> Self {
        Self::of(&MessageKeys::default())
    }
}

impl Message {
    /// What a scenario sets, and the defaults of the rest.
    pub(super) fn of(keys: &MessageKeys) -> Self {
        Self {
            size: keys.size.unwrap_or(Bytes(1024)),
            payload: keys.payload.unwrap_or(PayloadKind::Text),
            compressibility: keys.compressibility,
            codec: keys.codec.unwrap_or(Codec::None),
        }
    }

    /// Random bytes, as they are.
    pub const fn random(size: u64) -> Self {
        let payload = PayloadKind::Random;
        Self { size: Bytes(size), payload, compressibility: None, codec: Codec::None }
    }
}

impl Cell {
    /// One plain system without a matrix: what a scenario of `load` alone would run.
    pub fn plain(system: System, load: Load) -> Self {
        Self {
            label: system.name().into(),
            config: SystemConfig::defaults(system),
            point: BASE.into(),
            primary: default_primary(load.model, load.subscriptions > 0).into(),
            load,
            message: Message::default(),
            experiment: None,
            faults: Vec::new(),
            guarantee: Guarantee::None,
            seed: DEFAULT_SEED,
        }
    }

    /// The record of this cell when nothing is known of it yet but its name.
    pub fn record(&self, block: u32) -> CellRecord {
        CellRecord {
            id: CellId {
                label: self.label.clone(),
                system: self.config.system.name().to_owned(),
                variant: self.variant(),
                same_as: self.config.same_as.clone(),
                nodes: self.config.nodes,
                shards: self.config.cluster.map(|cluster| cluster.shards),
                cell: self.point.clone(),
                block,
            },
            subscriptions: self.load.subscriptions,
            message_bytes: self.message.size.0,
            ..CellRecord::empty()
        }
    }

    /// Whether outages are expected: then each is told with the recovery from it.
    pub fn watches_recovery(&self) -> bool {
        !self.faults.is_empty() || self.load.deadline.is_some()
    }

    /// What tells this label from the plain system; `None` for the latter.
    pub fn variant(&self) -> Option<String> {
        (self.label != self.config.system.name()).then(|| self.label.clone())
    }

    /// Lanes of one producer: each (connection, stream) pair has its own sequence, since order is
    /// promised only there.
    pub fn lanes(&self) -> u16 {
        self.load.connections * self.config.partitions()
    }
}
