//! What a scenario may say that only publishes or only consumes, or whose topic or stream is there
//! already and belongs to somebody: nothing of that is made, deleted or trimmed.

use super::cell::Cell;
use super::check::{Check, check, refuse};
use super::experiment::Experiment;
use super::load::{Load, Model};
use super::system::{ClientLibrary, ConsumeMode, SystemConfig};
use crate::model::{Guarantee, System};
use crate::yaml::Problem;

/// As Kafka has it.
const LONGEST_TOPIC: usize = 249;
/// What Kafka calls topics of its own by, such as `__consumer_offsets`.
const INTERNAL: &str = "__";
const LONGEST_STREAM: usize = 512;

/// What needs the load alone.
pub(super) fn load(load: &Load, experiment: Option<&Experiment>, guarantee: Guarantee) -> Check {
    let (producers, subscriptions) = (load.producers, load.subscriptions);
    let key = match (producers, subscriptions) {
        (0, 0) => return refuse("load.producers", "nobody does anything", "write 1 or more"),
        (0, _) => "load.producers",
        (_, 0) => "load.subscriptions",
        _ => return Ok(()),
    };
    let what = "an experiment needs both who publishes and who consumes";
    check(experiment.is_none(), key, what, "write 1 or more")?;
    let what = "nothing can be judged where nobody publishes or nobody consumes";
    check(guarantee == Guarantee::None, "guarantee", what, "remove it, or write `none`")?;
    let what = "a capacity is sought with both who publishes and who consumes";
    check(load.half_of.is_none(), "load.rate", what, "write a rate such as `10k/s`")?;
    let what = "settings are tried with both who publishes and who consumes";
    check(load.best_of.is_empty(), "load.best-of", what, "remove it")?;
    if producers > 0 {
        return Ok(());
    }
    let what = "nothing is planned where nobody publishes";
    check(load.model == Model::Closed, "load.model", what, "write `model: closed`")?;
    let what = "what there is decides how much is read, or `load.duration`";
    check(load.messages.is_none(), "load.messages", what, "remove it")
}

/// What needs the system as well.
pub(super) fn system(
    label: &str,
    config: &SystemConfig,
    load: &Load,
    experiment: Option<&Experiment>,
) -> Check {
    let key = |tail: &str| format!("systems.{label}.{tail}");
    let Some(name) = config.existing() else {
        let what = format_args!("nobody publishes, and `{label}` names nothing that is there");
        let remedy = "name it: `topic: {name: …}` of Kafka, `stream: …` of Redis Streams; or write \
                      1 or more";
        return check(load.producers > 0, "load.producers", what, remedy);
    };
    let kafka = config.system.base() == System::Kafka;
    let named = key(if kafka { "topic.name" } else { "stream" });
    let what = "an experiment makes and deletes what it works on";
    check(experiment.is_none(), &named, what, "remove it")?;
    if kafka {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let right = (1..=LONGEST_TOPIC).contains(&name.len()) && name.chars().all(plain);
        let right = right && ![".", ".."].contains(&name);
        check(right, &named, "no topic of Kafka can have this name", "correct it")?;
        let what = "names that begin so are of topics in which Kafka keeps its own books, such as \
                    where every group stands";
        check(!name.starts_with(INTERNAL), &named, what, "name a topic of an application")?;
        let what = "the topic is there already, and its settings are its owner's";
        check(config.topics == 1, &key("topics"), "one topic is named", "remove it")?;
        check(config.topic.replicas == 1, &key("topic.replicas"), what, "remove it")?;
        check(config.topic.config.is_empty(), &key("topic.config"), what, "remove it")?;
        let group = config.consume.mode == ConsumeMode::Group;
        let what = "a share group begins where it likes in a topic that is there already";
        return check(group, &key("consume.mode"), what, "write `group`, or remove it");
    }
    let right = (1..=LONGEST_STREAM).contains(&name.len()) && !name.contains(char::is_control);
    check(right, &named, "no key that is shown has this name", "correct it")?;
    check(config.keys == 1, &key("keys"), "one stream is named", "remove it")?;
    let what = "nothing that is there already is trimmed";
    check(config.maxlen.is_none(), &key("maxlen"), what, "remove it, or write `none`")?;
    if load.producers == 0 && config.library() == ClientLibrary::RedisRs {
        let place = ["systems", label, "client", ClientLibrary::KEY];
        let what = "only the harness's own client reads from the oldest entry on";
        return Err(Problem::new(place, what, "write `direct`, or remove it"));
    }
    Ok(())
}

/// What a reader of such a cell's figures must know.
pub(super) fn told(cell: &Cell) -> Option<String> {
    let (label, existing) = (&cell.label, cell.config.existing());
    match (cell.load.producers, cell.load.subscriptions, existing) {
        (_, 0, _) => Some(format!(
            "{label}: nobody consumes, so goodput is what was acknowledged, and what of it can be \
             read says the audit alone"
        )),
        (0, _, Some(name)) => Some(format!(
            "{label}: nobody publishes, so goodput is what was read of `{name}`, whatever that is, \
             and there are no books"
        )),
        (_, _, Some(name)) => Some(format!(
            "{label}: what is published to `{name}` stays there, and what others publish \
             meanwhile counts as foreign"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(systems: &str, rest: &str) -> Result<Scenario, String> {
        let text = format!("schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\n{rest}\n");
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn who_only_publishes_has_the_figures_of_publishing() {
        let both = "[kafka, redis-pubsub]";
        let closed = scenario(both, "load: {model: closed, subscriptions: 0}").unwrap();
        assert_eq!(closed.primary.to_string(), "goodput");
        let told = closed.warnings();
        assert!(told.iter().any(|text| text.contains("nobody consumes")), "{told:?}");
        let open = scenario("[kafka]", "load: {model: open, rate: 1k/s, subscriptions: 0}");
        assert_eq!(open.unwrap().primary.to_string(), "publish.p99");
        for (rest, key) in [
            ("load: {model: closed, subscriptions: 0, producers: 0}", "load.producers"),
            ("load: {model: closed, subscriptions: 0}\nguarantee: at-least-once", "guarantee"),
            (
                "load: {model: closed, subscriptions: 0}\nexperiment: {kind: retention}",
                "load.subscriptions",
            ),
            ("load: {model: open, rate: half-capacity, subscriptions: 0}", "load.rate"),
            (
                "load: {model: closed, subscriptions: 0}\nprimary: end_to_end.p99",
                "never be measured",
            ),
        ] {
            let refused = scenario("[kafka]", rest).err().unwrap();
            assert!(refused.contains(key), "{rest}: {refused}");
        }
    }

    #[test]
    fn who_only_consumes_names_what_is_there() {
        let load = "load: {model: closed, producers: 0, duration: 30s}";
        let found = scenario("{kafka: {topic: {name: orders, partitions: 12}}}", load).unwrap();
        assert_eq!(found.cells()[0].config.existing(), Some("orders"));
        for of in ["", ", cluster-type: express"] {
            let systems = format!("{{msk: {{topic: {{name: orders}}{of}}}}}");
            let found = scenario(&systems, load).unwrap();
            assert!(found.cells()[0].config.topic.config.is_empty(), "{of}");
        }
        let found = scenario("{redis-streams: {stream: orders}}", load).unwrap();
        assert_eq!((found.cells()[0].config.keys, found.cells()[0].config.maxlen), (1, None));
        for (systems, rest, key) in [
            ("[kafka]", load, "load.producers"),
            ("{redis-lists: {stream: x}}", load, "stream"),
            ("{kafka: {stream: x}}", load, "stream"),
            ("{redis-streams: {topic: {name: x}}}", load, "topic"),
            ("{sns: {topic: {name: x}}}", load, "topic.name"),
            ("{kafka: {topic: {name: a/b}}}", load, "topic.name"),
            ("{kafka: {topic: {name: .}}}", load, "topic.name"),
            ("{kafka: {topic: {name: ..}}}", load, "topic.name"),
            ("{kafka: {topic: {name: __consumer_offsets}}}", load, "keeps its own books"),
            ("{kafka: {topic: {name: __x}}}", "load: {model: open, rate: 1k/s}", "topic.name"),
            ("{kafka: {topic: {name: x, replicas: 3}}}", load, "topic.replicas"),
            ("{kafka: {topic: {name: x, config: {retention.ms: 1}}}}", load, "topic.config"),
            ("{redis-streams: {stream: x, keys: 2}}", load, "keys"),
            ("{redis-streams: {stream: x, maxlen: 5}}", load, "maxlen"),
            ("{redis-streams: {stream: x, client: {library: redis-rs}}}", load, "library"),
            (
                "{kafka: {topic: {name: x}}}",
                "load: {model: open, rate: 1k/s, producers: 0}",
                "load.model",
            ),
            (
                "{kafka: {topic: {name: x}}}",
                "load: {model: closed, producers: 0, messages: 5}",
                "load.messages",
            ),
        ] {
            let refused = scenario(systems, rest).err().unwrap();
            assert!(refused.contains(key), "{systems} {rest}: {refused}");
        }
    }

    #[test]
    fn what_is_there_already_is_for_brokers_that_run_already() {
        let load = "load: {model: open, rate: 1k/s}";
        let found = scenario("{kafka: {topic: {name: orders}}}", load).unwrap();
        let why = found.systems[0].1.only_elsewhere().unwrap();
        assert!(why.contains("orders") && why.contains("empty"), "{why}");
    }
}
