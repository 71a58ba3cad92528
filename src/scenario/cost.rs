//! What a run on services of AWS costs, by a dated file of prices: estimated before anything is
//! sent, and counted by the same rates while it runs. Where it is not exact it is too much, so that
//! a cap is held: messages are sent, read and deleted one by one, and a gigabyte is 10^9 bytes.

use super::cell::Cell;
use super::explain::{messages_of, time_of};
use super::resolve::Scenario;
use super::sns_check::text_len;
use crate::model::Service;
use crate::yaml::{Problem, ScenarioError, YamlNode, decode, read};
use serde::Deserialize;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

const BUILT_IN: &str = include_str!("prices.yaml");
/// What SNS and SQS count as one request, bytes.
const REQUEST: u64 = 64 << 10;
/// Empty answers that a consumer gets in a second, where it asks without waiting.
const EMPTY_PER_S: f64 = 100.0;

/// US dollars, written `5USD`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Usd(pub f64);

impl FromStr for Usd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount = text.trim().strip_suffix("USD").and_then(|number| number.trim().parse().ok());
        let right = amount.filter(|amount: &f64| amount.is_finite() && *amount > 0.0);
        right.map(Self).ok_or_else(|| "write an amount such as `5USD`".into())
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = if self.0 < 0.1 { 4 } else { 2 };
        write!(f, "{:.places$} USD", self.0)
    }
}

/// Prices as a file has them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prices {
    #[serde(rename = "schema")]
    _schema: u32,
    pub as_of: String,
    pub region: String,
    pub source: String,
    msk: Option<ClusterPrice>,
    memorydb: Option<ClusterPrice>,
    sns: Option<RequestPrice>,
}

/// Of what runs whether it is loaded or not.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClusterPrice {
    /// Such as `three kafka.m7g.large`.
    #[serde(rename = "what")]
    _what: String,
    per_hour: f64,
    #[serde(default)]
    per_gb_written: f64,
    #[serde(default)]
    per_gb_read: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RequestPrice {
    per_million_publishes: f64,
    /// Of SQS: a receive or a delete.
    per_million_requests: f64,
}

/// What a cell costs while it runs, US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub per_second: f64,
    pub per_message: f64,
}

impl Rates {
    pub fn of(&self, seconds: f64, messages: u64) -> f64 {
        self.per_second * seconds + self.per_message * messages as f64
    }

    /// The dearer of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            per_second: self.per_second.max(other.per_second),
            per_message: self.per_message.max(other.per_message),
        }
    }
}

impl Prices {
    /// Of a file, or those that are built in.
    pub fn load(path: Option<&Path>) -> Result<Self, ScenarioError> {
        let Some(path) = path else { return Self::from_text("built-in prices", BUILT_IN) };
        let name = path.display().to_string();
        let text = read(path).map_err(|what| {
            ScenarioError::of_source(&name, what, "give the path of a file of prices")
        })?;
        Self::from_text(&name, &text)
    }

    fn from_text(source: &str, text: &str) -> Result<Self, ScenarioError> {
        let tree = YamlNode::parse(text).map_err(|cause| {
            let what = format!("not readable as YAML: {}", cause.what).into();
            Problem { what, ..cause }.into_error(source, text)
        })?;
        let found = decode::<Self>(&tree).and_then(|prices| match prices.wrong() {
            Some(path) => {
                let remedy = "write dollars, zero or more";
                Err(Problem::new(path, "no price", remedy))
            }
            None => Ok(prices),
        });
        found.map_err(|problem| problem.located(&tree).into_error(source, text))
    }

    /// The key of a number that is none.
    fn wrong(&self) -> Option<[&'static str; 2]> {
        let cluster = |name, price: &Option<ClusterPrice>| {
            let price = price.as_ref()?;
            let keys = [
                ("per-hour", price.per_hour),
                ("per-gb-written", price.per_gb_written),
                ("per-gb-read", price.per_gb_read),
            ];
            keys.into_iter().find_map(|(key, value)| (!is_price(value)).then_some([name, key]))
        };
        let sns = self.sns.as_ref().and_then(|price| {
            let keys = [
                ("per-million-publishes", price.per_million_publishes),
                ("per-million-requests", price.per_million_requests),
            ];
            keys.into_iter().find_map(|(key, value)| (!is_price(value)).then_some(["sns", key]))
        });
        cluster("msk", &self.msk).or_else(|| cluster("memorydb", &self.memorydb)).or(sns)
    }

    /// What a cell at a service costs; `None` where no price is known.
    pub fn rates(&self, service: Service, cell: &Cell) -> Option<Rates> {
        let (load, size) = (&cell.load, cell.message.size.0);
        let readers = f64::from(load.subscriptions);
        let cluster = |price: &ClusterPrice| Rates {
            per_second: price.per_hour / 3600.0,
            per_message: cell.message.mean_bytes()
                * (price.per_gb_written + readers * price.per_gb_read)
                / 1e9,
        };
        match service {
            Service::Msk => self.msk.as_ref().map(cluster),
            Service::Memorydb => self.memorydb.as_ref().map(cluster),
            Service::Sns => self.sns.as_ref().map(|price| {
                // As text, and each by itself: how full batches get, the run shows.
                let requests = text_len(size).div_ceil(REQUEST) as f64;
                let taken = 2.0 * readers * requests;
                let millions =
                    requests * price.per_million_publishes + taken * price.per_million_requests;
                let wait = cell.config.client.get("WaitTimeSeconds");
                let wait_s: f64 = wait.and_then(|set| set.parse().ok()).unwrap_or(20.0);
                let empty = if wait_s > 0.0 { 1.0 / wait_s } else { EMPTY_PER_S };
                let empty = empty * readers * f64::from(load.consumers);
                let per_second = empty * price.per_million_requests / 1e6;
                Rates { per_second, per_message: millions / 1e6 }
            }),
        }
    }
}

fn is_price(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// What one label of a scenario costs.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelCost {
    pub label: String,
    pub usd: Usd,
    /// How many messages it sends shows when it runs: they come on top.
    pub open: bool,
}

impl Scenario {
    /// What each label that runs at a service costs. The error says which price is missing.
    pub fn cost(&self, prices: &Prices) -> Result<Vec<LabelCost>, String> {
        let cost = |(label, service): (&String, Service)| -> Result<LabelCost, String> {
            let missing = || {
                format!(
                    "what {} costs is not known: it depends on what runs; write it as `{}` in a \
                     file for --prices (docs/aws.md has one)",
                    service.title(),
                    service.name()
                )
            };
            let blocks = f64::from(self.blocks);
            let (mut usd, mut open) = (0.0, false);
            for cell in self.cells.iter().filter(|cell| cell.label == *label) {
                let rates = prices.rates(service, cell).ok_or_else(missing)?;
                let messages = messages_of(cell);
                open |= messages.is_none();
                let one = rates.of(time_of(cell).secs_f64(), messages.unwrap_or(0));
                usd += one * blocks;
            }
            for search in self.capacity_searches(label) {
                let rates = prices.rates(service, &search).ok_or_else(missing)?;
                (usd, open) = (usd + rates.of(time_of(&search).secs_f64(), 0), true);
            }
            Ok(LabelCost { label: label.clone(), usd: Usd(usd), open })
        };
        self.paid().map(cost).collect()
    }

    /// What each of these labels costs while it runs: the dearest of its cells.
    pub fn rates(&self, prices: &Prices) -> Vec<(String, Rates)> {
        let rates = self.paid().map(|(label, service)| {
            let cells = self.cells.iter().filter(|cell| cell.label == *label);
            let each = cells.filter_map(|cell| prices.rates(service, cell));
            (label.clone(), each.fold(Rates::default(), Rates::max))
        });
        rates.collect()
    }

    fn paid(&self) -> impl Iterator<Item = (&String, Service)> {
        let systems = self.systems.iter();
        systems.filter_map(|(label, config)| Some((label, config.system.service()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, from_text};

    fn scenario(systems: &str, load: &str) -> Scenario {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: [{systems}]\nload: {{{load}}}\n\
             message: {{size: 768B}}\n"
        );
        from_text("t.yaml", &text, &Overrides::default()).unwrap()
    }

    const PRICES: &str = "schema: 1\nas-of: x\nregion: x\nsource: x\n\
        msk: {what: three, per-hour: 3.6, per-gb-written: 0.1, per-gb-read: 0.05}\n";

    #[test]
    fn what_is_built_in_is_dated_and_knows_no_cluster() {
        let built_in = Prices::load(None).unwrap();
        assert!(built_in.as_of.starts_with("20") && built_in.source.contains("SNS"));
        let unknown = scenario("msk", "model: open, rate: 1k/s").cost(&built_in).unwrap_err();
        assert!(unknown.contains("Amazon MSK") && unknown.contains("--prices"), "{unknown}");
        assert_eq!(scenario("kafka", "model: open, rate: 1k/s").cost(&built_in), Ok(vec![]));
    }

    /// A million messages of 1 KiB in base64, one by one, to one queue.
    #[test]
    fn requests_are_counted_as_aws_counts_them() {
        let million = scenario("sns", "model: open, rate: 10k/s, messages: 1000000, batch: 1");
        let cost = million.cost(&Prices::load(None).unwrap()).unwrap();
        // A long poll of 20 s that finds nothing costs next to nothing, too.
        assert!((cost[0].usd.0 - (0.50 + 2.0 * 0.40)).abs() < 1e-4, "{cost:?}");
        assert!(!cost[0].open);
    }

    #[test]
    fn a_cluster_costs_time_and_bytes_and_what_is_open_is_said() {
        let prices = Prices::from_text("t", PRICES).unwrap();
        let load = "model: open, rate: 1k/s, duration: 10s, warm-up: 0s, subscriptions: 2";
        let rates = scenario("msk", load).rates(&prices);
        let per_message = 768.0 * (0.1 + 2.0 * 0.05) / 1e9;
        assert_eq!(rates[0].0, "msk");
        assert!((rates[0].1.per_message - per_message).abs() < 1e-15, "{rates:?}");
        assert!((rates[0].1.per_second - 0.001).abs() < 1e-12);
        assert!((rates[0].1.of(10.0, 10_000) - (0.01 + 1e4 * per_message)).abs() < 1e-9);
        let closed = scenario("msk", "model: closed").cost(&prices).unwrap();
        assert!(closed[0].open && closed[0].usd.0 > 0.0, "{closed:?}");
    }

    #[test]
    fn amounts_have_a_unit_and_prices_are_read_strictly() {
        assert_eq!("5USD".parse(), Ok(Usd(5.0)));
        assert_eq!(("0.5 USD".parse::<Usd>().unwrap()).to_string(), "0.50 USD");
        assert_eq!(Usd(0.0123).to_string(), "0.0123 USD");
        for bad in ["5", "5EUR", "USD", "-1USD", "0USD", "NaNUSD", ""] {
            assert!(bad.parse::<Usd>().is_err(), "{bad}");
        }
        for (bad, key) in [
            (PRICES.replace("3.6", "-1"), "msk.per-hour"),
            (PRICES.replace("per-hour", "per-day"), "msk.per-day"),
            ("schema: 1\n".to_owned(), "as-of"),
        ] {
            let error = Prices::from_text("p.yaml", &bad).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("p.yaml"), "{error}");
        }
    }
}
