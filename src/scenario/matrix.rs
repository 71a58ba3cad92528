//! The matrix of a scenario: its axes, the tree of each point, and the name of a point.
//!
//! An axis under `load` or `message` is every label's. One under `systems.LABEL` is that label's
//! alone, and of those that are the same as it: the others have no such point. In its name the
//! label is left out, since the label stands beside it.

use super::cell::Message;
use super::dotted::{load_keys, message_keys, system_keys};
use super::load::Load;
use super::system::SystemConfig;
use crate::model::Point;
use crate::yaml::{Entry, Problem, Value, YamlNode, segments, suggest};

pub struct MatrixAxis<'a> {
    pub key: &'a str,
    pub values: &'a [YamlNode],
}

/// Points of a matrix, and a tenth of what a scenario may run in all.
pub const MAX_CELLS: usize = 1000;

/// Of a label, what a matrix may not vary: then it would be another label.
const IDENTITY: [&str; 3] = ["system", "title", "same-as"];

impl MatrixAxis<'_> {
    /// The label that it belongs to, and the setting below it; `None` of what all have.
    fn of_label(&self) -> Option<(&str, &str)> {
        self.key.strip_prefix("systems.")?.split_once('.')
    }

    pub fn is_of(&self, label: &str, config: &SystemConfig) -> bool {
        let same = |own: &str| own == label || config.same_as.as_deref() == Some(own);
        self.of_label().is_none_or(|(own, _)| same(own))
    }

    /// As the name of a point has it.
    fn short(&self) -> &str {
        self.of_label().map_or(self.key, |(_, setting)| setting)
    }
}

pub fn axes(tree: &YamlNode) -> Result<Vec<MatrixAxis<'_>>, Problem> {
    let Some(matrix) = tree.get(&["matrix"]) else { return Ok(Vec::new()) };
    if !matches!(matrix.value, Value::Map(_) | Value::Null) {
        let remedy = "write like `matrix: {load.rate: [1k/s, 10k/s]}`";
        return Err(Problem::new(
            ["matrix"],
            "expected a map from keys to lists of values",
            remedy,
        ));
    }
    let axes: Vec<MatrixAxis<'_>> =
        matrix.entries().iter().map(|entry| axis(tree, entry)).collect::<Result<_, _>>()?;
    let points = axes.iter().try_fold(1usize, |n, axis| n.checked_mul(axis.values.len()));
    if points.is_none_or(|points| points > MAX_CELLS) {
        let what = format!("the matrix has more than {MAX_CELLS} points");
        return Err(Problem::new(["matrix"], what, "shorten its lists"));
    }
    Ok(axes)
}

fn axis<'a>(tree: &YamlNode, entry: &'a Entry) -> Result<MatrixAxis<'a>, Problem> {
    let fail =
        |what: &str, remedy: &str| Err(Problem::new(["matrix", &entry.key], what, remedy).of_key());
    match segments(&entry.key)[..] {
        ["load" | "message", _, ..] => {}
        ["systems", label, setting, ..] if IDENTITY.contains(&setting) => {
            let what = format!("`{setting}` is what makes {label} this label");
            return fail(&what, "write several labels under `systems`");
        }
        ["systems", label, _, ..] if tree.get(&["systems", label]).is_none() => {
            let labels = tree.get(&["systems"]).map_or(&[][..], YamlNode::entries);
            let labels = labels.iter().map(|entry| entry.key.as_str());
            return fail(&format!("no label `{label}` under `systems`"), &suggest(label, labels));
        }
        ["systems", _, _, ..] => {}
        _ => {
            return fail(
                "the matrix varies keys under `load`, `message` and a label of `systems`",
                "write like `load.rate` or `systems.kafka.client.linger.ms`",
            );
        }
    }
    let Value::List(values) = &entry.node.value else {
        return fail("expected a list of values", "write like `[1k/s, 10k/s]`");
    };
    if values.is_empty() {
        return fail("expected a list of values", "write like `[1k/s, 10k/s]`");
    }
    let Some(words) = values.iter().map(YamlNode::scalar).collect::<Option<Vec<_>>>() else {
        return fail("each value of an axis is one plain value", "write like `[1k/s, 10k/s]`");
    };
    if let Some(word) = words.iter().find(|word| word.contains([',', '='])) {
        let what = format!("`{word}` has a comma or `=` in it, which names of points are made of");
        return fail(&what, "write several labels under `systems`");
    }
    Ok(MatrixAxis { key: &entry.key, values })
}

/// The trees of all matrix points; the last axis varies fastest.
pub fn points(tree: &YamlNode, axes: &[MatrixAxis<'_>]) -> Vec<YamlNode> {
    let mut base = tree.clone();
    base.remove(&["matrix"]);
    axes.iter().fold(vec![base], |trees, axis| {
        let with = |tree: &YamlNode, value: &YamlNode| {
            let mut tree = tree.clone();
            tree.set(&segments(axis.key), value.clone());
            tree
        };
        trees
            .iter()
            .flat_map(|tree| axis.values.iter().map(move |value| with(tree, value)))
            .collect()
    })
}

/// `load.rate=1k/s,client.linger.ms=5`: the point of a label, each value in its normal form.
pub fn point_name(
    axes: &[MatrixAxis<'_>],
    (label, config): &(String, SystemConfig),
    load: &Load,
    message: &Message,
) -> String {
    let prefix = format!("systems.{label}.");
    let all = load_keys(load).into_iter().chain(message_keys(message));
    let below =
        |(key, value): (String, String)| Some((key.strip_prefix(&prefix)?.to_owned(), value));
    let settings = system_keys(label, config).into_iter().filter_map(below);
    let values: Vec<(String, String)> = all.chain(settings).collect();
    let value = |key: &str| {
        values.iter().find(|(known, _)| known == key).map_or("none", |(_, value)| value.as_str())
    };
    let own = axes.iter().filter(|axis| axis.is_of(label, config));
    Point::of(own.map(|axis| (axis.short(), value(axis.short()))).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};

    fn swept(systems: &str, sweeps: &[&str], only: &[&str]) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\nload: {{model: closed}}\n\
             blocks: 3\n"
        );
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let overrides =
            Overrides { sweeps: owned(sweeps), systems: owned(only), ..Overrides::default() };
        from_text("t.yaml", &text, &overrides).map_err(|error| error.to_string())
    }

    fn points(scenario: &Scenario, label: &str) -> Vec<String> {
        let cells = scenario.cells().into_iter();
        cells.filter(|cell| cell.label == label).map(|cell| cell.point).collect()
    }

    #[test]
    fn a_setting_of_one_label_is_varied_for_it_alone() {
        let sweep = ["systems.kafka.client.linger.ms=0,5,20", "message.size=100B,1KiB"];
        let scenario = swept("[kafka, redis-lists]", &sweep, &[]).unwrap();
        assert_eq!(points(&scenario, "redis-lists"), ["message.size=100B", "message.size=1KiB"]);
        let kafka = points(&scenario, "kafka");
        assert_eq!(kafka.len(), 6);
        assert_eq!(kafka[2], "client.linger.ms=5,message.size=100B");
        let lingers = scenario.cells().into_iter().filter(|cell| cell.label == "kafka");
        let lingers: Vec<f64> = lingers.map(|cell| cell.config.linger_ms()).collect();
        assert_eq!(lingers, [0.0, 0.0, 5.0, 5.0, 20.0, 20.0]);
    }

    #[test]
    fn whatever_is_a_setting_can_be_swept_and_the_same_twice_is_swept_with_it() {
        let systems = "{kafka: {}, kafka-again: {same-as: kafka}, redis-streams: {}}";
        let sweep = |sweep: &str| swept(systems, &[sweep], &[]).unwrap();
        let partitions = sweep("systems.kafka.topic.partitions=1,8,64");
        assert_eq!(points(&partitions, "kafka")[1], "topic.partitions=8");
        assert_eq!(points(&partitions, "kafka-again"), points(&partitions, "kafka"));
        assert_eq!(points(&partitions, "redis-streams"), ["base"]);
        assert_eq!(points(&sweep("systems.kafka.client.acks=0,1,all"), "kafka").len(), 3);
        let synced = sweep("systems.redis-streams.broker.appendfsync=always,everysec,no");
        let last = synced.cells().into_iter().rfind(|cell| cell.label == "redis-streams").unwrap();
        assert_eq!(last.config.broker["appendfsync"], "no", "no flag, but the word");
        assert_eq!(last.point, "broker.appendfsync=no");
        assert!(synced.explain().contains("matrix.systems.redis-streams.broker.appendfsync"));
    }

    #[test]
    fn a_label_that_is_left_out_takes_its_axis_along() {
        let sweep = ["systems.kafka.client.linger.ms=0,5"];
        let scenario = swept("[kafka, redis-lists]", &sweep, &["redis-lists"]).unwrap();
        assert_eq!(points(&scenario, "redis-lists"), ["base"]);
        let told = scenario.warnings().join("; ");
        assert!(told.contains("`systems.kafka.client.linger.ms` is not varied"), "{told}");
    }

    #[test]
    fn what_cannot_be_swept_is_told_with_a_remedy() {
        let refused = |sweep: &str| swept("[kafka]", &[sweep], &[]).unwrap_err();
        for (sweep, words) in [
            ("systems.kafak.nodes=1,3", "no label `kafak`"),
            ("systems.kafka.system=kafka,redis-lists", "what makes kafka this label"),
            ("systems.kafka.client.linger.ms=5,5", "the point `client.linger.ms=5` stands twice"),
            ("systems.kafka.client.group.id=a,b", "`systems.kafka.client.group.id`"),
            ("systems.kafka.maxlen=1,2", "`systems.kafka.maxlen`"),
            ("systems.kafka.nodes=1,2000", "more than any cluster"),
            ("systems.kafka=1,2", "a label of `systems`"),
            ("blocks=1,2", "a label of `systems`"),
        ] {
            let error = refused(sweep);
            assert!(error.contains(words), "{sweep}: {error}");
        }
        let comma = "{kafka: {}}\nmatrix: {systems.kafka.client.debug: ['a,b', c]}";
        assert!(swept(comma, &[], &[]).unwrap_err().contains("has a comma"));
    }
}
