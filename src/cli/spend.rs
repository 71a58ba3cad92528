//! Money: what a run on AWS costs is said before it begins, agreed to by `--spend`, and held to.

use super::args::SpendArgs;
use super::exit::{Code, Failure};
use super::say;
use crate::environment::External;
use crate::scenario::{LabelCost, Prices, Rates, Scenario, Usd};
use std::time::Instant;

/// What may be spent, and what has been.
pub struct Spending {
    cap: Usd,
    prices: Prices,
    /// On steps that are over.
    spent: f64,
    /// When the one that goes on began.
    since: Instant,
    /// In its course: by loads that are over, and by the newest.
    sent: (u64, u64),
    /// Of the labels of the scenario that runs.
    rates: Vec<(String, Rates)>,
    /// Of the one that is loaded.
    loaded: Option<Rates>,
}

impl Spending {
    fn of(cap: Usd, prices: Prices) -> Self {
        let (since, rates) = (Instant::now(), Vec::new());
        Self { cap, prices, spent: 0.0, since, sent: (0, 0), rates, loaded: None }
    }

    pub fn begin(&mut self, scenario: &Scenario) {
        self.step("");
        self.rates = scenario.rates(&self.prices);
    }

    /// Another step, which begins with the label that it is about.
    pub fn step(&mut self, text: &str) {
        self.spent += self.now();
        (self.since, self.sent) = (Instant::now(), (0, 0));
        let about =
            |label: &str| text.strip_prefix(label).is_some_and(|rest| rest.starts_with([' ', ':']));
        self.loaded = self.rates.iter().find(|(label, _)| about(label)).map(|(_, rates)| *rates);
    }

    /// What the step that goes on has cost.
    fn now(&self) -> f64 {
        let (seconds, sent) = (self.since.elapsed().as_secs_f64(), self.sent.0 + self.sent.1);
        self.loaded.map_or(0.0, |rates| rates.of(seconds, sent))
    }

    /// How many messages the load has sent; in words, once all is spent that may be.
    pub fn progress(&mut self, sent: u64) -> Option<String> {
        let (over, newest) = self.sent;
        // Fewer than before are those of another load.
        self.sent = (if sent < newest { over + newest } else { over }, sent);
        self.all_spent()
    }

    /// How many messages a cell has sent that is over: not every experiment tells before.
    pub fn kept(&mut self, sent: u64) -> Option<String> {
        self.sent = (sent.max(self.sent.0 + self.sent.1), 0);
        self.all_spent()
    }

    fn all_spent(&self) -> Option<String> {
        let spent = Usd(self.spent + self.now());
        (spent >= self.cap).then(|| {
            format!("about {spent} are spent, and --spend was {}: the load stops", self.cap)
        })
    }
}

/// What all of it costs, in words, and whether the number of messages is open.
fn told(costs: &[LabelCost], prices: &Prices) -> (Usd, String) {
    let all = Usd(costs.iter().map(|cost| cost.usd.0).sum());
    let open = costs.iter().filter(|cost| cost.open).map(|cost| cost.label.as_str());
    let open: Vec<&str> = open.collect();
    let more = match open.is_empty() {
        true => String::new(),
        false => format!(", and as many messages as go for {}", open.join(", ")),
    };
    let Prices { as_of, region, .. } = prices;
    (all, format!("about {all}{more}, by prices of {as_of} for {region}"))
}

/// Asks for the user's consent where these scenarios run at AWS; `None` where nothing costs
/// anything.
pub fn agreed(
    args: &SpendArgs,
    scenarios: &[&Scenario],
    external: Option<&External>,
) -> Result<Option<Spending>, Failure> {
    let systems = scenarios.iter().flat_map(|scenario| &scenario.systems);
    let paid = |external: &External| systems.clone().any(|(_, of)| external.at_aws(of.system));
    if !external.is_some_and(paid) {
        return Ok(None);
    }
    let usage = |message: String| Failure::new(Code::Usage, message);
    let prices = Prices::load(args.prices.as_deref())?;
    let costs = scenarios.iter().map(|scenario| scenario.cost(&prices));
    let costs = costs.collect::<Result<Vec<_>, _>>().map_err(usage)?.concat();
    let (all, words) = told(&costs, &prices);
    match args.spend {
        None => {
            let enough = Usd((all.0 * 1.5).max(1.0).ceil());
            Err(usage(format!(
                "it runs at AWS and costs {words}; agree by `--spend {:.0}USD`, at which the load \
                 stops (--prices FILE for your prices)",
                enough.0
            )))
        }
        Some(cap) if all > cap => Err(usage(format!(
            "it costs {words}, more than --spend {cap}; raise it, or measure less (--set \
             load.duration=…, --system …)"
        ))),
        Some(cap) => {
            say(&format!("cost: {words}; the load stops at {cap}"));
            Ok(Some(Spending::of(cap, prices)))
        }
    }
}

/// Lines of `explain`; none where nothing runs at a service.
pub fn explained(scenario: &Scenario, prices: &Prices) -> String {
    match scenario.cost(prices) {
        Ok(costs) if costs.is_empty() => String::new(),
        Ok(costs) => format!("cost: {}, at AWS\n", told(&costs, prices).1),
        Err(unknown) => format!("cost: {unknown}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Around, targets_from_text};
    use crate::scenario::{Overrides, from_text};
    use std::io::Write;
    use std::time::Duration;

    fn scenario(system: &str) -> Scenario {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: [{system}]\n\
             load: {{model: open, rate: 1k/s, warm-up: 0s, duration: 10s}}\n\
             message: {{size: 1KiB}}\n"
        );
        from_text("t.yaml", &text, &Overrides::default()).unwrap()
    }

    fn external(address: &str) -> External {
        let text =
            format!("schema: 1\nkafka: {{brokers: [a:1]}}\nmsk: {{brokers: ['{address}']}}\n");
        let around = Around { remote: true, variable: &|_| None };
        let folder = std::path::Path::new(".");
        External::new(targets_from_text("t", &text, folder, &around).unwrap())
    }

    const AWS: &str = "b-1.demo.a1.c2.kafka.eu-central-1.amazonaws.com:9096";

    /// A dollar a second, and one for a thousand messages of 1 KiB.
    fn prices() -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = "schema: 1\nas-of: today\nregion: here\nsource: x\n\
                    msk: {what: x, per-hour: 3600, per-gb-written: 976.5625}\n";
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn asked(spend: Option<Usd>, external: Option<&External>) -> Result<Option<Spending>, String> {
        let prices = prices();
        let args = SpendArgs { spend, prices: Some(prices.path().to_owned()) };
        agreed(&args, &[&scenario("msk")], external).map_err(|failure| failure.message)
    }

    #[test]
    fn only_what_costs_something_is_asked_for() {
        assert!(asked(None, None).unwrap().is_none());
        assert!(asked(None, Some(&external("localhost:9098"))).unwrap().is_none(), "a stand-in");
        let args = SpendArgs { spend: None, prices: None };
        let plain = agreed(&args, &[&scenario("kafka")], Some(&external(AWS)));
        assert!(plain.is_ok_and(|spending| spending.is_none()));
        let unknown = agreed(&args, &[&scenario("msk")], Some(&external(AWS))).err().unwrap();
        assert!(unknown.code == Code::Usage && unknown.message.contains("--prices"));
    }

    #[test]
    fn without_consent_nothing_runs_and_beyond_the_cap_nothing_goes_on() {
        let aws = external(AWS);
        let none = asked(None, Some(&aws)).err().unwrap();
        assert!(none.contains("--spend") && none.contains("prices of today for here"), "{none}");
        let little = asked(Some(Usd(5.0)), Some(&aws)).err().unwrap();
        assert!(little.contains("more than --spend 5.00 USD"), "{little}");
        let mut spending = asked(Some(Usd(100.0)), Some(&aws)).unwrap().unwrap();
        spending.begin(&scenario("msk"));
        let ago = |seconds| Instant::now() - Duration::from_secs(seconds);
        spending.step("msk: starting the broker");
        spending.since = ago(1);
        assert_eq!(spending.progress(1000), None, "two dollars");
        spending.step("kafka base block 1");
        spending.since = ago(1000);
        assert_eq!(spending.progress(1_000_000), None, "it costs nothing");
        spending.step("msk base block 1");
        spending.since = ago(80);
        assert_eq!(spending.progress(10_000), None, "two and ninety");
        assert_eq!(spending.progress(6000), None, "another load: two and ninety-six");
        let over = spending.progress(8001).unwrap();
        assert!(over.contains("100.") && over.contains("the load stops"), "{over}");
    }

    #[test]
    fn what_an_experiment_sent_is_counted_when_it_is_over() {
        let mut spending = asked(Some(Usd(100.0)), Some(&external(AWS))).unwrap().unwrap();
        spending.begin(&scenario("msk"));
        spending.step("msk base block 1");
        assert_eq!(spending.kept(60_000), None);
        spending.step("msk base block 2");
        assert_eq!(spending.progress(20_000), None);
        assert_eq!(spending.kept(20_000), None, "the same ones");
        assert!(spending.kept(50_000).is_some());
    }

    #[test]
    fn explain_tells_what_it_would_cost() {
        let prices = Prices::load(Some(prices().path())).unwrap();
        let text = explained(&scenario("msk"), &prices);
        assert!(text.starts_with("cost: about ") && text.contains("prices of today"), "{text}");
        assert_eq!(explained(&scenario("kafka"), &prices), "");
        let unknown = explained(&scenario("msk"), &Prices::load(None).unwrap());
        assert!(unknown.contains("not known"), "{unknown}");
    }
}
