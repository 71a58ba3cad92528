//! `transaction` under a system: messages that are committed, or aborted, together; and what it
//! needs of the load and of the client.

use super::check::{Check, check};
use super::experiment::Experiment;
use super::load::Load;
use super::system::{ConsumeMode, SystemConfig};
use crate::record::SILENCE_NS;
use crate::units::Span;
use crate::yaml::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Transactions of Kafka, each of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Transaction {
    /// Most messages of one.
    #[schemars(range(min = 1))]
    pub messages: u32,
    /// How long after its first message it ends at the latest.
    #[serde(default = "within")]
    pub within: Span,
    /// Share of the transactions that are aborted on purpose, spread evenly: 0 to 1, without it.
    /// Their messages are in the log, and nobody may see them.
    #[serde(default)]
    pub abort: f64,
}

/// As often as Kafka Streams commits where it is to process each message once.
fn within() -> Span {
    Span::from_millis(100)
}

const SOONEST: Span = Span::from_millis(1);
/// Well before the broker would end it.
const LATEST: Span = Span::from_secs(30);
/// With faults, half of the silence that counts as an outage.
const LATEST_WITH_FAULTS: Span = Span(SILENCE_NS / 2);
const KEY: &str = "transaction";

impl Transaction {
    /// Whether this one of those of a connection, counted from 0, is aborted on purpose.
    pub fn aborts(&self, number: u64) -> bool {
        let before = |number: u64| (number as f64 * self.abort).floor();
        before(number + 1) > before(number)
    }
}

/// What the system of this label can do with its transactions.
pub(super) fn fits(
    label: &str,
    config: &SystemConfig,
    load: &Load,
    experiment: Option<&Experiment>,
    faulted: bool,
) -> Check {
    let fail = |path: &[&str], what: &str, remedy: &str| {
        let full = ["systems", label].into_iter().chain(path.iter().copied());
        Err(Problem::new(full, what, remedy))
    };
    let set = |key: &str| config.client.get(key).map(String::as_str);
    let Some(plan) = &config.transaction else {
        return match set("transactional.id") {
            Some(_) => fail(
                &["client", "transactional.id"],
                "it changes nothing without `transaction`",
                "add `transaction: {messages: 100}` to this label, or remove it",
            ),
            None => Ok(()),
        };
    };
    plan.possible(label, load)?;
    if faulted && plan.within > LATEST_WITH_FAULTS {
        let what = format!(
            "acknowledgements come with the commits, and with faults {} without any are an outage",
            Span(SILENCE_NS)
        );
        return fail(&[KEY, "within"], &what, "write `within: 50ms`, or less");
    }
    if set("isolation.level") == Some("read_uncommitted") {
        let what = "consumers would be given what was aborted, which the books hold to be harm";
        return fail(&["client", "isolation.level"], what, "remove it, or `transaction`");
    }
    if set("enable.idempotence") == Some("false") {
        let what = "transactions stand on an idempotent producer";
        return fail(&["client", "enable.idempotence"], what, "remove it, or `transaction`");
    }
    if !matches!(config.acks(), None | Some("all" | "-1")) {
        let what = "transactions need `acks: all`: all copies in sync have what is committed";
        return fail(&["client", "acks"], what, "remove it, or `transaction`");
    }
    if config.consume.mode == ConsumeMode::ShareGroup {
        let what = "our client of share groups reads what is not committed, too";
        return fail(&[KEY], what, "write `consume: {mode: group}`, or remove it");
    }
    match experiment.filter(|experiment| !experiment.loads()) {
        Some(experiment) => {
            let what = format!("the experiment `{}` sends no transactions", experiment.kind());
            fail(&[KEY], &what, "remove it, or `experiment`")
        }
        None => Ok(()),
    }
}

impl Transaction {
    /// Whether it can be filled, and ended in time.
    fn possible(&self, label: &str, load: &Load) -> Check {
        let key = |tail: &str| format!("systems.{label}.{KEY}.{tail}");
        let Self { messages, within, abort } = *self;
        let remedy = "write a number such as `100`";
        check(messages > 0, &key("messages"), "a transaction of no message", remedy)?;
        let each = load.in_flight / u32::from(load.connections.max(1));
        let what = format_args!(
            "a transaction of {messages} needs as many in flight, and each connection has {each}"
        );
        let remedy = "lower it, or raise `load.in-flight`";
        check(messages <= each, &key("messages"), what, remedy)?;
        let what = format_args!("out of range, it is {SOONEST} to {LATEST}");
        let in_range = (SOONEST..=LATEST).contains(&within);
        check(in_range, &key("within"), what, "write a duration such as `100ms`")?;
        let what = format_args!("the last one would end after `load.drain` ({})", load.drain);
        check(within < load.drain, &key("within"), what, "shorten it, or lengthen `load.drain`")?;
        let what = "out of range, a share is 0 to 1, without it";
        let some = (0.0..1.0).contains(&abort);
        check(some, &key("abort"), what, "write a share such as `0.05`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Guarantee;
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(kafka: &str, rest: &str) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {{kafka: {{}}, kafka-tx: {{system: kafka, \
             {kafka}}}}}\n{rest}"
        );
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    const OPEN: &str = "load: {model: open, rate: 1k/s}\n";

    #[test]
    fn transactions_stand_beside_none_and_are_explained() {
        let found = scenario("transaction: {messages: 100, abort: 0.05}", OPEN).unwrap();
        let plans: Vec<_> = found.cells().iter().map(|cell| cell.config.transaction).collect();
        let plan = Transaction { messages: 100, within: Span::from_millis(100), abort: 0.05 };
        assert_eq!(plans, [None, Some(plan)]);
        let row = |key: &str| {
            let row = found.resolved().iter().find(|row| row.key == key);
            row.map(|row| (row.value.clone(), row.origin.clone()))
        };
        let of = |tail: &str| row(&format!("systems.kafka-tx.transaction.{tail}")).unwrap();
        assert_eq!(of("messages"), ("100".into(), "file".into()));
        assert_eq!(of("abort"), ("0.05".into(), "file".into()));
        assert_eq!(of("within"), ("100ms".into(), "default".into()));
        assert_eq!(row("systems.kafka.transaction.messages"), None);
    }

    #[test]
    fn the_share_is_aborted_and_spread_evenly() {
        let plan = |abort| Transaction { messages: 1, within: within(), abort };
        for (share, of, aborted) in [(0.05, 1000, 50), (0.5, 10, 5), (0.0, 100, 0), (0.3, 10, 3)] {
            let all: Vec<u64> = (0..of).filter(|number| plan(share).aborts(*number)).collect();
            assert!(all.len().abs_diff(aborted) <= 1, "{share}: {all:?}");
            let gaps: Vec<u64> = all.windows(2).map(|two| two[1] - two[0]).collect();
            assert!(gaps.iter().max() <= gaps.iter().min().map(|least| least + 1).as_ref());
        }
        assert!(!plan(0.05).aborts(0), "the first is committed");
    }

    #[test]
    fn what_transactions_cannot_be_is_refused_at_its_key() {
        let kafka = |rest: &str| format!("transaction: {{messages: 100{rest}}}");
        for (kafka, rest, key, words) in [
            ("transaction: {messages: 0}".to_owned(), "", "transaction.messages", "no message"),
            ("transaction: {abort: 0.5}".to_owned(), "", "transaction", "messages"),
            (kafka(", abort: 1"), "", "transaction.abort", "without it"),
            (kafka(", abort: -0.1"), "", "transaction.abort", "without it"),
            (kafka(", within: 0ms"), "", "transaction.within", "1ms to 30s"),
            (kafka(", within: 10s"), "", "transaction.within", "`load.drain` (10s)"),
            (kafka(", size: 5"), "", "transaction.size", "unknown"),
            ("transaction: {messages: 2000}".to_owned(), "", "transaction.messages", "has 1024"),
            (kafka("}, client: {acks: 1"), "", "client.acks", "`acks: all`"),
            (kafka("}, client: {enable.idempotence: false"), "", "enable.idempotence", "stand on"),
            (kafka("}, client: {isolation.level: read_uncommitted"), "", "isolation.level", "harm"),
            (kafka("}, consume: {mode: share-group"), "", "kafka-tx.transaction", "share groups"),
            (kafka(""), "experiment: {kind: retention}\n", "kafka-tx.transaction", "`retention`"),
            (
                "client: {transactional.id: bench}".to_owned(),
                "",
                "client.transactional.id",
                "changes nothing without",
            ),
        ] {
            let error = scenario(&kafka, &format!("{OPEN}{rest}")).unwrap_err();
            assert!(error.contains(key) && error.contains(words), "{kafka}: {error}");
        }
        let faults = "load: {model: open, rate: 1k/s, in-flight: 100000}\n\
                      faults: [{kind: kill, target: node, at: 2s, for: 1s}]\n";
        let error = scenario(&kafka(""), faults).unwrap_err();
        assert!(error.contains("transaction.within") && error.contains("100ms"), "{error}");
        scenario(&kafka(", within: 50ms"), faults).unwrap();
        let many = "load: {model: open, rate: 1k/s, in-flight: 1024, connections: 16}\n";
        let error = scenario(&kafka(""), many).unwrap_err();
        assert!(error.contains("each connection has 64"), "{error}");
    }

    #[test]
    fn redis_has_another_thing_of_the_name() {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {{redis-streams: {{transaction: \
             {{messages: 100}}}}}}\n{OPEN}"
        );
        let error = from_text("t.yaml", &text, &Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("redis-streams.transaction"), "{error}");
        assert!(error.contains("MULTI") && error.contains("remove the key"), "{error}");
    }

    #[test]
    fn exactly_once_is_promised_by_transactions_alone() {
        let with = |kafka: &str, guarantee: &str| {
            scenario(kafka, &format!("{OPEN}guarantee: {guarantee}\n"))
        };
        let found = with("transaction: {messages: 10}", "exactly-once").unwrap();
        assert_eq!(found.guarantee, Guarantee::ExactlyOnce);
        let warnings = found.warnings().join("\n");
        assert!(warnings.contains("kafka cannot promise exactly-once: it needs"), "{warnings}");
        assert!(!warnings.contains("kafka-tx cannot promise"), "{warnings}");
        let error = with("client: {enable.idempotence: true}", "exactly-once").unwrap_err();
        assert!(error.contains("none of these systems can promise it"), "{error}");
        with("transaction: {messages: 10}", "exactly-once-in-log").unwrap();
    }
}
