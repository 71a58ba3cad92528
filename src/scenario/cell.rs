//! One cell: a labelled system at one point of the matrix, every value resolved. This is what the
//! engine runs.
//!
//! A cell is pure data. It holds no defaults of its own that a reader could not see in `explain`.

use super::experiment::Experiment;
use super::fault::FaultPlan;
use super::file::MessageKeys;
use super::keyed::Keys;
use super::load::{Load, Model};
use super::system::SystemConfig;
use crate::model::{BASE, Codec, Guarantee, System};
use crate::payload::{Lines, Sizes};
use crate::result::{CellId, CellRecord};
use crate::units::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// Of the largest, where there are several sizes.
    pub size: Bytes,
    /// Where there are several sizes; they are written as the one.
    #[serde(skip)]
    pub mix: Option<Sizes>,
    /// The messages themselves, of `payload: file`; `None` until the file is known.
    #[serde(skip)]
    pub lines: Option<Arc<Lines>>,
    /// Beside each message: Kafka's headers, further fields of a stream's entry.
    #[serde(default, skip_serializing_if = "no_headers")]
    pub headers: u16,
    /// `None`: messages have no keys, and partitions are filled in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Keys>,
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
    /// The lines of a text file, one message each, in their order and again from the first:
    /// `--payload-file` says which. Plain load only.
    File,
}

fn no_headers(headers: &u16) -> bool {
    *headers == 0
}

impl Default for Message {
    fn default() -> Self {
        Self::of(&MessageKeys::default())
    }
}

impl Message {
    /// What a scenario sets, and the defaults of the rest.
    pub(super) fn of(keys: &MessageKeys) -> Self {
        let size = keys.size.as_ref().map_or(Bytes(1024), Sizes::largest);
        Self {
            size,
            mix: keys.size.clone().filter(|sizes| sizes.only().is_none()),
            lines: None,
            headers: keys.headers.unwrap_or(0),
            key: keys.key,
            payload: keys.payload.unwrap_or(PayloadKind::Text),
            compressibility: keys.compressibility,
            codec: keys.codec.unwrap_or(Codec::None),
        }
    }

    /// Random bytes, as they are.
    pub const fn random(size: u64) -> Self {
        let (size, payload) = (Bytes(size), PayloadKind::Random);
        let (mix, lines, headers, key, compressibility) = (None, None, 0, None, None);
        Self { size, mix, lines, headers, key, payload, compressibility, codec: Codec::None }
    }

    /// Where its payload comes from a file: these lines.
    #[must_use]
    pub fn of_lines(self, lines: &Arc<Lines>) -> Self {
        let (_, largest) = lines.sizes();
        Self { size: Bytes(largest), mix: None, lines: Some(Arc::clone(lines)), ..self }
    }

    pub fn smallest(&self) -> Bytes {
        match (&self.lines, &self.mix) {
            (Some(lines), _) => Bytes(lines.sizes().0),
            (None, Some(mix)) => mix.smallest(),
            (None, None) => self.size,
        }
    }

    pub fn mean_bytes(&self) -> f64 {
        match (&self.lines, &self.mix) {
            (Some(lines), _) => lines.mean_bytes(),
            (None, Some(mix)) => mix.mean(),
            (None, None) => self.size.0 as f64,
        }
    }

    /// As a file has them: `1KiB`, `100B to 10KiB`.
    pub fn sizes(&self) -> String {
        match (&self.lines, &self.mix) {
            (Some(lines), _) => {
                let (least, most) = lines.sizes();
                format!("{} to {}", Bytes(least), Bytes(most))
            }
            (None, Some(mix)) => mix.to_string(),
            (None, None) => self.size.to_string(),
        }
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
            message_bytes: self.message.mean_bytes().round() as u64,
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
