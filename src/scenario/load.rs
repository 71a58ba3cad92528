//! The load of a cell: how messages are offered. Each key stands once,
//! with its type, meaning and default.
//!
//! From that one list come what a file may write ([`LoadKeys`], and so the schema for editors),
//! what the engine runs ([`Load`]) and the defaults of both. Nothing is judged here.

use super::best_of::Setting;
use super::half::HalfOf;
use super::stages::{StageKeys, unfold};
use crate::schedule::{Clients, Placement, Stage};
use crate::units::{ByteRate, Bytes, Rate, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::str::FromStr;

/// Makes the two types of a load from one list of keys. What stands there is of a key that a file
/// need not write.
macro_rules! load_keys {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr,)+) => {
        /// How messages are offered.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct LoadKeys {
            pub model: Model,
            /// Messages a second over all producers, or bytes a second such as `50MB/s`, which are
            /// so many messages of the mean size; open model only. `half-capacity` is found when
            /// the scenario runs: half of the highest fixed rate that the slowest system sustains,
            /// the same for all; `own-half-capacity` is half of each system's own. Plain load only.
            #[serde(default)]
            #[schemars(schema_with = "rate_key")]
            pub rate: Option<RateKey>,
            /// Open model, plain load: the measured window as steps such as `{rate: 10k/s, for:
            /// 30s}` and ramps such as `{from: 1k/s, to: 10k/s, for: 1m}`, on one set of
            /// connections. In place of `duration`; `rate` is then that of the warm-up, by default
            /// the first one of the stages.
            #[serde(default)]
            pub stages: Option<Vec<StageKeys>>,
            /// Closed model, plain load: settings of the generator, each of which every label is
            /// tried at before the first block; it is measured at the one that carried most.
            #[serde(default)]
            pub best_of: Vec<Setting>,
            $($(#[doc = $doc])+ #[serde(default)] pub $key: Option<$type>,)+
        }

        /// How messages are offered, every value resolved.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct Load {
            pub model: Model,
            /// Messages a second over all producers; open model only.
            pub rate: Option<Rate>,
            /// The rate is half of a capacity; `rate` is `None` until a run has found it.
            #[serde(skip)]
            pub half_of: Option<HalfOf>,
            /// The rate as it was written, where that is in bytes.
            #[serde(skip)]
            pub bytes_per_s: Option<ByteRate>,
            /// Of the measured window, each measured for itself; empty where it has one rate.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub stages: Vec<Stage>,
            /// To choose from by what they carry; empty where there is nothing to choose.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub best_of: Vec<Setting>,
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Load {
            fn new(model: Model, rate: Option<Rate>) -> Self {
                let (half_of, bytes_per_s) = (None, None);
                let (stages, best_of) = (Vec::new(), Vec::new());
                Self { model, rate, half_of, bytes_per_s, stages, best_of, $($key: $default,)+ }
            }
        }

        impl LoadKeys {
            /// What an experiment stands on that names no load.
            pub fn for_experiments() -> Self {
                let rate = Some(RateKey::Fixed(FixedRate::Messages(Rate::per_second(1000))));
                let (model, stages, best_of) = (Model::Open, None, Vec::new());
                Self { model, rate, stages, best_of, $($key: None,)+ }
            }

            /// What is written, and of `defaults` what is not.
            fn over(&self, defaults: Load, mean_bytes: f64) -> Load {
                Load {
                    model: self.model,
                    rate: self.fixed_rate(mean_bytes),
                    half_of: self.rate.and_then(RateKey::half_of),
                    bytes_per_s: self.rate.and_then(RateKey::bytes_per_s),
                    stages: unfold(self, mean_bytes),
                    best_of: self.best_of.clone(),
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
    /// A fixed number of messages over all producers, counted from the first;
    /// replaces warm-up and duration.
    messages: Option<u64> = None,
    /// Publishing clients, each a thread.
    producers: u16 = 1,
    /// Each subscription receives everything.
    subscriptions: u16 = 1,
    /// Consumers share the work inside one subscription.
    consumers: u16 = 1,
    /// How long a consumer works on each message, slept: with it, consumers that share work can be
    /// told from one.
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
    /// For how long a client tries again to have one message taken: over lost connections and
    /// fail-overs, until it is acknowledged or refused. The same on every side; without it each
    /// client library does as it comes. 30s with faults.
    deadline: Option<Span> = None,
    /// With `deadline`: for how long a server may keep silent that owes an answer, before its
    /// connection counts as lost. 10s, or half of `deadline` where that is less.
    request_timeout: Option<Span> = None,
    /// Whether the threads that pace and receive sleep between two messages, or look on and on.
    pacer: Pacer = Pacer::Sleep,
    /// Of a load that several shards run together (`run --shard`): whether each of them has
    /// producers and consumers, so that end-to-end latency is that of messages which the host that
    /// sent them received; or the first shards have the producers and the others the consumers.
    placement: Placement = Placement::Paired,
    /// Whether to read back what the broker still holds after the run.
    audit: bool = true,
    /// Whether to measure first, about 3 s a cell, what the path costs without a broker: a verdict
    /// on a latency needs it. Not with faults.
    floor: bool = true,
    /// How long a fresh Kafka is loaded before its first cell, Redis a thirtieth of it. 30s, below
    /// which Kafka's compiler is still at work; 0s for not at all, as with faults.
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
        Self {
            warm_up: none,
            warm_up_limit: none,
            duration,
            floor: false,
            broker_warm_up: none,
            ..self
        }
    }
}

impl LoadKeys {
    /// The rate that is written, for messages of so many bytes on the average.
    pub fn fixed_rate(&self, mean_bytes: f64) -> Option<Rate> {
        match self.rate? {
            RateKey::Fixed(rate) => Some(rate.in_messages(mean_bytes)),
            RateKey::Half(_) => None,
        }
    }

    /// With the defaults of plain load, or of load that faults interrupt; of messages of so many
    /// bytes on the average.
    pub fn resolved(&self, faults: bool, mean_bytes: f64) -> Load {
        let mut defaults = Load::new(self.model, None);
        defaults.warm_up_limit =
            defaults.warm_up_limit.max(self.warm_up.unwrap_or(defaults.warm_up));
        if faults {
            // The same patience on every side, or the clients' own would be compared.
            defaults.deadline = Some(Span::from_secs(30));
            // What a fault does takes seconds: neither the path's microseconds nor a compiler's
            // matter to it.
            defaults.floor = false;
            defaults.broker_warm_up = Span(0);
        }
        let mut load = self.over(defaults, mean_bytes);
        if let Some(first) = load.stages.first() {
            load.rate = load.rate.or(Some(first.from));
            load.duration = Span(load.stages.iter().map(|stage| stage.length.nanos()).sum());
        }
        load
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pacer {
    /// Wakes when something is due or has come. The kernel's wake-ups, some 50 µs each, are part of
    /// every latency.
    Sleep,
    /// Never sleeps: a core for each producer and each consumer, beside those of the brokers.
    /// librdkafka's own threads sleep all the same.
    Spin,
}

impl Load {
    /// How many clients it has.
    pub fn clients(&self) -> Clients {
        let Self { producers, subscriptions, consumers, .. } = *self;
        Clients { producers, subscriptions, consumers }
    }

    /// Cores that spinning threads take for themselves.
    pub fn spinning(&self) -> u64 {
        let consumers = u64::from(self.subscriptions) * u64::from(self.consumers);
        match self.pacer {
            Pacer::Sleep => 0,
            Pacer::Spin => u64::from(self.producers) + consumers,
        }
    }
}

/// What a file may say under `load.rate`: a rate, or a word that stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateKey {
    Fixed(FixedRate),
    Half(HalfOf),
}

/// A rate that is a number: of messages a second, or of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FixedRate {
    Messages(Rate),
    Bytes(ByteRate),
}

impl FixedRate {
    pub fn in_messages(self, mean_bytes: f64) -> Rate {
        match self {
            Self::Messages(rate) => rate,
            Self::Bytes(rate) => rate.in_messages_of(mean_bytes),
        }
    }
}

impl FromStr for FixedRate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let messages = match text.trim_end().ends_with("B/s") {
            true => return text.parse().map(Self::Bytes).map_err(|cause| format!("{cause}")),
            false => text.parse::<Rate>(),
        };
        // Bytes that are written in another way than this.
        let bytes = text.contains(['B', 'b']);
        let hint = if bytes { ", or in bytes like `50MB/s`" } else { "" };
        messages.map(Self::Messages).map_err(|cause| format!("{cause}{hint}"))
    }
}

impl<'de> Deserialize<'de> for FixedRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for FixedRate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "FixedRate".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let messages = generator.subschema_for::<Rate>();
        json_schema!({ "anyOf": [messages, generator.subschema_for::<ByteRate>()] })
    }
}

impl RateKey {
    fn half_of(self) -> Option<HalfOf> {
        if let Self::Half(of) = self { Some(of) } else { None }
    }

    fn bytes_per_s(self) -> Option<ByteRate> {
        if let Self::Fixed(FixedRate::Bytes(rate)) = self { Some(rate) } else { None }
    }
}

impl<'de> Deserialize<'de> for RateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let half = HalfOf::ALL.into_iter().find(|half| half.name() == text);
        match (text.parse(), half) {
            (Ok(rate), _) => Ok(Self::Fixed(rate)),
            (Err(_), Some(half)) => Ok(Self::Half(half)),
            // A word: most likely one of these was meant.
            (Err(cause), None) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let [slowest, own] = HalfOf::ALL.map(HalfOf::name);
                Err(D::Error::custom(format_args!("{cause}, or `{slowest}`, or `{own}`")))
            }
            (Err(cause), None) => Err(D::Error::custom(cause)),
        }
    }
}

/// Of an optional one.
pub(super) fn rate_key(generator: &mut SchemaGenerator) -> Schema {
    let rate = generator.subschema_for::<FixedRate>();
    let words = HalfOf::ALL.map(HalfOf::name);
    json_schema!({ "anyOf": [{ "anyOf": [rate, { "enum": words }] }, { "type": "null" }] })
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(rest: &str) -> Result<Scenario, String> {
        let text =
            format!("schema: 1\nname: t\nquestion: Q?\nsystems: [kafka, redis-lists]\n{rest}");
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    fn refused(rest: &str) -> String {
        scenario(rest).map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_rate_in_bytes_offers_equal_bytes_at_each_size() {
        let swept =
            "load: {model: open, rate: 50MB/s}\nmatrix: {message.size: [100B, 1KiB, 10KiB]}\n";
        let found = scenario(swept).unwrap();
        for cell in found.cells() {
            let bytes = cell.load.rate.unwrap().per_s() * cell.message.size.0 as f64;
            assert!((bytes / 50e6 - 1.0).abs() < 1e-9, "{}: {bytes}", cell.point);
        }
        let row = found.resolved().iter().find(|row| row.key == "load.rate").unwrap();
        assert_eq!((row.value.as_str(), row.origin.as_str()), ("50MB/s", "file"));
        let listed =
            scenario("load: {model: open}\nmatrix: {load.rate: [1MB/s, 2MB/s]}\n").unwrap();
        assert_eq!(listed.cells()[2].point, "load.rate=2MB/s");
        for (load, words) in [
            ("{model: closed, rate: 1MB/s}", "takes no rate"),
            ("{model: open, rate: 0B/s}", "sends nothing"),
            ("{model: open, rate: 5 XB/s}", "unknown unit `XB`"),
            ("{model: open, rate: 900GB/s}", "no generator on one machine"),
        ] {
            let error = refused(&format!("load: {load}\n"));
            assert!(error.contains("load.rate") && error.contains(words), "{load}: {error}");
        }
    }
}
