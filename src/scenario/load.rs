//! The load of a cell: how messages are offered. Each key stands once, with its type, meaning and default.
//!
//! From that one list come what a file may write ([`LoadKeys`], and so the schema for editors), what the engine runs
//! ([`Load`]) and the defaults of both. Nothing is judged here.

use super::half::{RateKey, rate_key};
use crate::units::{Bytes, Rate, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes the two types of a load from one list of keys. What stands there is of a key that a file need not write.
macro_rules! load_keys {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr,)+) => {
        /// How messages are offered.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct LoadKeys {
            pub model: Model,
            /// Messages a second over all producers; open model only. `half-capacity` is found when the scenario runs: half of what
            /// the slowest system carries as fast as it goes, the same for all; plain load only.
            #[serde(default)]
            #[schemars(schema_with = "rate_key")]
            pub rate: Option<RateKey>,
            $($(#[doc = $doc])+ #[serde(default)] pub $key: Option<$type>,)+
        }

        /// How messages are offered, every value resolved.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct Load {
            pub model: Model,
            /// Messages a second over all producers; open model only.
            pub rate: Option<Rate>,
            /// The rate is half of what the slowest label carries; `rate` is `None` until a run has found it.
            #[serde(skip)]
            pub half_capacity: bool,
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Load {
            fn new(model: Model, rate: Option<Rate>) -> Self {
                Self { model, rate, half_capacity: false, $($key: $default,)+ }
            }
        }

        impl LoadKeys {
            /// What an experiment stands on that names no load.
            pub fn for_experiments() -> Self {
                let rate = Some(RateKey(Some(Rate::per_second(1000))));
                Self { model: Model::Open, rate, $($key: None,)+ }
            }

            /// What is written, and of `defaults` what is not.
            fn over(&self, defaults: Load) -> Load {
                Load {
                    model: self.model,
                    rate: self.rate.and_then(|key| key.0),
                    half_capacity: self.rate == Some(RateKey(None)),
                    $($key: self.$key.unwrap_or(defaults.$key),)+
                }
            }
        }
    };
}

load_keys! {
    /// Constant, or with exponential gaps from the scenario's seed.
    arrivals: Arrivals = Arrivals::Constant,
    /// The least warm-up; it goes on until the latencies are steady.
    warm_up: Span = Span::from_secs(5),
    /// The longest warm-up.
    warm_up_limit: Span = Span::from_secs(60),
    /// The measured window.
    duration: Span = Span::from_secs(20),
    /// A fixed number of messages over all producers, counted from the first; replaces warm-up and duration.
    messages: Option<u64> = None,
    /// Publishing clients, each a thread.
    producers: u16 = 1,
    /// Each subscription receives everything.
    subscriptions: u16 = 1,
    /// Consumers share the work inside one subscription.
    consumers: u16 = 1,
    /// How long a consumer works on each message, slept: with it, consumers that share work can be told from one.
    work: Span = Span(0),
    /// Client connections of one producer.
    connections: u16 = 1,
    /// Most unacknowledged messages of one producer, over all its connections.
    in_flight: u32 = 1024,
    /// Most messages that one producer hands to the network in one write.
    batch: u32 = 1000,
    /// Closed model only: publishers pause while this much is published and not yet consumed.
    backlog: Bytes = Bytes(16 << 20),
    /// How long to wait after the last send for what is still on its way.
    drain: Span = Span::from_secs(10),
    /// For how long a client tries again to have one message taken: over lost connections and fail-overs, until it is
    /// acknowledged or refused. The same on every side; without it each client library does as it comes. 30s with faults.
    deadline: Option<Span> = None,
    /// Whether to read back what the broker still holds after the run.
    audit: bool = true,
    /// Whether to measure first, about 3 s a cell, what the path costs without a broker: a verdict on a latency needs it.
    /// Not with faults.
    floor: bool = true,
    /// How long a fresh Kafka is loaded before its first cell, Redis a thirtieth of it. 30s, below which Kafka's compiler is
    /// still at work; 0s for not at all, as with faults.
    broker_warm_up: Span = Span::from_secs(30),
}

impl Load {
    /// The open model: `rate` whatever the broker does.
    pub fn open(rate: Rate) -> Self {
        Self::new(Model::Open, Some(rate))
    }

    /// The closed model: as fast as `in_flight` allows.
    pub fn closed(in_flight: u32) -> Self {
        Self { in_flight, ..Self::new(Model::Closed, None) }
    }

    /// Measured from the first message for `duration`, without a warm-up: for tests of the path.
    #[must_use]
    pub fn brief(self, duration: Span) -> Self {
        let none = Span(0);
        Self { warm_up: none, warm_up_limit: none, duration, floor: false, broker_warm_up: none, ..self }
    }
}

impl LoadKeys {
    /// With the defaults of plain load, or of load that faults interrupt.
    pub fn resolved(&self, faults: bool) -> Load {
        let mut defaults = Load::new(self.model, None);
        defaults.warm_up_limit = defaults.warm_up_limit.max(self.warm_up.unwrap_or(defaults.warm_up));
        if faults {
            // The same patience on every side, or the clients' own would be compared.
            defaults.deadline = Some(Span::from_secs(30));
            // What a fault does takes seconds: neither the path's microseconds nor a compiler's matter to it.
            defaults.floor = false;
            defaults.broker_warm_up = Span(0);
        }
        self.over(defaults)
    }
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
