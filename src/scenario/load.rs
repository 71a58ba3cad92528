//! The load of a cell: how messages are offered. Each key stands once,
//! with its type, meaning and default.
//!
//! From that one list come what a file may write ([`LoadKeys`], and so the schema for editors),
//! what the engine runs ([`Load`]) and the defaults of both. Nothing is judged here.

use super::best_of::Setting;
use super::cell::Cell;
use super::experiment::{Capacity, Experiment};
use crate::model::Point;
use crate::schedule::{Clients, Placement};
use crate::units::{Bytes, Rate, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// Makes the two types of a load from one list of keys. What stands there is of a key that a file
/// need not write.
macro_rules! load_keys {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr,)+) => {
        /// How messages are offered.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct LoadKeys {
            pub model: Model,
            /// Messages a second over all producers; open model only. `half-capacity` is found when
            /// the scenario runs: half of the highest fixed rate that the slowest system sustains,
            /// the same for all; `own-half-capacity` is half of each system's own. Plain load only.
            #[serde(default)]
            #[schemars(schema_with = "rate_key")]
            pub rate: Option<RateKey>,
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
            /// To choose from by what they carry; empty where there is nothing to choose.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub best_of: Vec<Setting>,
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Load {
            fn new(model: Model, rate: Option<Rate>) -> Self {
                Self { model, rate, half_of: None, best_of: Vec::new(), $($key: $default,)+ }
            }
        }

        impl LoadKeys {
            /// What an experiment stands on that names no load.
            pub fn for_experiments() -> Self {
                let rate = Some(RateKey::Fixed(Rate::per_second(1000)));
                Self { model: Model::Open, rate, best_of: Vec::new(), $($key: None,)+ }
            }

            /// What is written, and of `defaults` what is not.
            fn over(&self, defaults: Load) -> Load {
                Load {
                    model: self.model,
                    rate: self.rate.and_then(RateKey::fixed),
                    half_of: self.rate.and_then(RateKey::half_of),
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
    /// With the defaults of plain load, or of load that faults interrupt.
    pub fn resolved(&self, faults: bool) -> Load {
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

/// Whose capacity a rate is half of, as it stands in a file and in the names of matrix points.
/// Until a run has found it such a cell has no rate; then it has one as if it had been written, and
/// keeps the point by which labels, blocks and runs are paired. Nothing here measures: the search
/// of a cell is a cell like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfOf {
    /// The least of all labels': one rate for all.
    Slowest,
    /// Each label's own: the same utilisation for all.
    Own,
}

impl HalfOf {
    const ALL: [Self; 2] = [Self::Slowest, Self::Own];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Slowest => "half-capacity",
            Self::Own => "own-half-capacity",
        }
    }
}

/// The search for a capacity: short probes, since what follows is rounded to two digits.
const FIRST_PROBE: Rate = Rate::per_second(16_000);
const WARM_UP: Span = Span::from_secs(1);
const WINDOW: Span = Span::from_secs(2);
const DRAIN: Span = Span::from_secs(3);
const WITHIN: f64 = 0.2;

/// What a file may say under `load.rate`: a rate, or a word that stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateKey {
    Fixed(Rate),
    Half(HalfOf),
}

impl RateKey {
    fn fixed(self) -> Option<Rate> {
        if let Self::Fixed(rate) = self { Some(rate) } else { None }
    }

    fn half_of(self) -> Option<HalfOf> {
        if let Self::Half(of) = self { Some(of) } else { None }
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
    let rate = generator.subschema_for::<Rate>();
    let words = HalfOf::ALL.map(HalfOf::name);
    json_schema!({ "anyOf": [{ "anyOf": [rate, { "enum": words }] }, { "type": "null" }] })
}

impl Cell {
    /// Whether its rate is yet to be found.
    pub fn awaits_rate(&self) -> bool {
        self.load.half_of.is_some() && self.load.rate.is_none()
    }

    /// The search for the highest fixed rate that this label sustains under the same load; its
    /// point names no rate, so that all points that differ in their rates alone share it. `None`
    /// where no rate is to be found, and where the system cannot run the cell at all.
    pub fn capacity_search(&self) -> Option<Self> {
        if !self.awaits_rate() || self.cannot().is_some() {
            return None;
        }
        let mut search = self.clone();
        search.point = Point::read(&self.point).without(&["rate"]).to_string();
        let keys = Capacity { within: WITHIN, ..Capacity::default() };
        search.experiment = Some(Experiment::Capacity(keys));
        let load = &mut search.load;
        load.rate = Some(FIRST_PROBE);
        load.half_of = None;
        load.warm_up = WARM_UP;
        load.warm_up_limit = WARM_UP;
        load.duration = WINDOW;
        load.drain = DRAIN;
        load.messages = None;
        search.faults.clear();
        Some(search)
    }
}

/// The rate that follows from a capacity in messages a second: two digits, since it is not known
/// any better.
pub fn half_of(capacity_per_s: f64) -> Rate {
    Rate::from_f64(capacity_per_s / 2.0).two_digits_down()
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn it_stands_for_a_rate_alone_and_among_others() {
        let alone = scenario("load: {model: open, rate: half-capacity}\n").unwrap();
        let row = alone.resolved().iter().find(|row| row.key == "load.rate").unwrap();
        assert_eq!((row.value.as_str(), row.origin.as_str()), ("half-capacity", "file"));
        assert!(alone.cells().iter().all(|cell| cell.awaits_rate() && cell.point == "base"));
        let listed =
            scenario("load: {model: open}\nmatrix: {load.rate: [1k/s, half-capacity]}\n").unwrap();
        let cells = listed.cells();
        let found: Vec<_> = cells
            .iter()
            .map(|cell| (cell.point.as_str(), cell.load.rate, cell.awaits_rate()))
            .collect();
        let (fixed, half) = (
            ("load.rate=1k/s", Some(Rate::per_second(1000)), false),
            ("load.rate=half-capacity", None, true),
        );
        assert_eq!(found, [fixed, fixed, half, half]);
    }

    #[test]
    fn only_plain_load_of_the_open_model_has_it() {
        let closed = refused("load: {model: closed, rate: half-capacity}\n");
        assert!(
            closed.contains("`load.rate` = `half-capacity`") && closed.contains("takes no rate"),
            "{closed}"
        );
        let listed = refused("load: {model: closed}\nmatrix: {load.rate: [half-capacity]}\n");
        assert!(listed.contains("takes no rate"), "{listed}");
        let experiment =
            refused("load: {model: open, rate: half-capacity}\nexperiment: {kind: capacity}\n");
        assert!(experiment.contains("only plain load"), "{experiment}");
        let twice =
            refused("load: {model: open}\nmatrix: {load.rate: [half-capacity, half-capacity]}\n");
        assert!(twice.contains("stands twice"), "{twice}");
    }

    #[test]
    fn a_misspelt_word_is_told_what_was_meant() {
        let error = refused("load: {model: open, rate: half}\n");
        let meant = "or `half-capacity`, or `own-half-capacity`";
        assert!(error.contains("`half` is not a rate") && error.contains(meant), "{error}");
        let error = refused("load: {model: open, rate: 5}\n");
        assert!(error.contains("the unit is missing") && !error.contains("half"), "{error}");
    }

    #[test]
    fn a_search_is_the_same_load_at_other_rates() {
        let load = "{model: open, in-flight: 77, batch: 7, messages: 5000, subscriptions: 2}";
        let rates = "load.rate: [1k/s, half-capacity, own-half-capacity]";
        let cells = scenario(&format!(
            "load: {load}\nmatrix: {{{rates}, message.size: [100B]}}\nblocks: 1\n"
        ));
        let cells = cells.unwrap().cells();
        let of = |label: &str| -> Vec<Option<Cell>> {
            let own = cells.iter().filter(|cell| cell.label == label);
            own.map(Cell::capacity_search).collect()
        };
        let searches = of("kafka");
        assert_eq!((&searches[0], &searches[1]), (&None, &searches[2]), "one search for both");
        let search = searches[1].clone().unwrap();
        assert_eq!(search.point, "message.size=100B");
        assert_eq!((search.load.model, search.load.messages), (Model::Open, None));
        let load = &search.load;
        assert_eq!((load.in_flight, load.batch, load.subscriptions), (77, 7, 2));
        assert_eq!((&search.config, &search.message), (&cells[0].config, &cells[0].message));
        assert!(!search.awaits_rate(), "a search is not searched");
        assert_eq!(
            of("redis-lists"),
            [None, None, None],
            "a list has no second reader: it cannot run the cell either"
        );
        let mut known = cells[2].clone();
        assert!(known.awaits_rate());
        known.load.rate = Some(Rate::per_second(1000));
        assert_eq!(known.capacity_search(), None);
    }

    #[test]
    fn it_is_explained_and_its_searches_are_estimated() {
        let with = |rates: &str| {
            scenario(&format!("load: {{model: open}}\nmatrix: {{load.rate: {rates}}}\n")).unwrap()
        };
        let fixed = with("[1k/s, 2k/s, 3k/s]");
        let half = with("[1k/s, half-capacity, own-half-capacity]");
        let text = half.explain();
        assert!(text.contains("found when it runs") && text.contains("2 searches"), "{text}");
        assert!(!fixed.explain().contains("found when it runs"));
        // A search of each label, and the warm-up of a Kafka that is thrown away.
        let seconds = |scenario: &Scenario| scenario.estimate().duration.secs_f64();
        let took = seconds(&half) - seconds(&fixed) - 30.0;
        assert!((80.0..=160.0).contains(&took), "{took}");
        assert_eq!(half.estimate().messages, None, "nobody knows before");
    }

    #[test]
    fn half_of_a_capacity_has_two_digits() {
        assert_eq!(half_of(51_999.0), Rate::per_second(25_000));
        assert_eq!(half_of(3.0).to_string(), "1.5/s");
    }
}
