//! What the user asks for: scenario files, read, checked, overridden and unfolded into cells.
//!
//! The way of a file: [`source`] finds it, [`crate::yaml`] reads it with the place of every value,
//! [`layers`] lays profile and flags over it, [`resolve`] turns it into the types of [`file`] and
//! [`mod@load`], fills in defaults and unfolds the matrix, [`settings`], [`check`] and those beside
//! it refuse what cannot be run and tell what a system has no way to do, [`explain`] says what
//! will. [`fault`] is what may go wrong and when it does, [`threshold`] is the grammar of
//! thresholds. Nothing here talks to a broker.

mod best_of;
mod cell;
mod check;
mod cluster_check;
mod codec_check;
mod consume_check;
mod copies_check;
mod cost;
mod dotted;
mod experiment;
mod explain;
mod fault;
mod fault_check;
mod file;
mod half;
mod keyed;
mod layers;
mod load;
mod managed_check;
mod matrix;
mod message_check;
mod one_side_check;
mod origins;
mod payload_file;
mod resolve;
mod settings;
mod shards;
mod sns_check;
mod source;
mod stages;
mod system;
mod threads;
mod threshold;
mod topics_check;
mod transaction;

pub use best_of::Setting;
pub use cell::{Cell, Message, PayloadKind};
pub use check::cannot_promise;
pub use cost::{LabelCost, Prices, Rates, Usd};
pub use experiment::*;
pub use explain::Estimate;
pub use fault::{FaultAction, FaultPlan, Heal, Injection, Lasts, timeline};
pub use file::{ClaimId, claim_ids, schema};
pub use half::{HalfOf, half_of};
pub use keyed::Keys;
pub use layers::Overrides;
pub use load::{Arrivals, Load, Model, Pacer};
pub use resolve::{Judge, Scenario, from_text, from_text_judged, load, load_judged, validate};
pub use settings::wrong_for_broker;
pub(crate) use settings::{NOT_FOR_CLIENT, raw_settings};
pub use shards::{ServerKind, Shards};
pub use sns_check::text_len as sns_text_len;
pub use source::{names, text};
pub use system::{
    ClientLibrary, ClusterType, Consume, ConsumeMode, Reply, SystemConfig, Topic, WaitAof,
};
pub use threads::{SHARED, share_threads};
pub use threshold::Threshold;
pub use transaction::Transaction;
