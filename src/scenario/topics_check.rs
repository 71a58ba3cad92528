//! Whether the load of a label can be spread over several topics of Kafka.

use super::check::{Check, refuse};
use super::experiment::Experiment;
use super::system::{ConsumeMode, SystemConfig};

/// They are for plain load: faults and experiments look at one topic.
pub(super) fn check(
    label: &str,
    config: &SystemConfig,
    experiment: Option<&Experiment>,
    faulted: bool,
) -> Check {
    if config.topics <= 1 {
        return Ok(());
    }
    let what = match experiment.filter(|experiment| !experiment.loads()) {
        _ if faulted => "what a fault did to leaders and copies is read off one topic".to_owned(),
        Some(experiment) => format!("the experiment `{}` uses one topic", experiment.kind()),
        None if config.consume.mode == ConsumeMode::ShareGroup => {
            "our client of share groups reads one topic".to_owned()
        }
        None => return Ok(()),
    };
    refuse(&format!("systems.{label}.topics"), what, "remove it: `topic.partitions` spreads, too")
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(kafka: &str, load: &str, rest: &str) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {{kafka: {{{kafka}}}}}\n\
             load: {{model: open, rate: 1k/s, in-flight: 100000{load}}}\n{rest}"
        );
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_partitions_of_all_topics_are_one_row() {
        let found = scenario("topics: 3, topic: {partitions: 4}", ", connections: 2", "").unwrap();
        let cell = found.cells().remove(0);
        assert_eq!((cell.config.partitions(), cell.lanes()), (12, 24));
        assert!(found.explain().contains("systems.kafka.topics"));
        let one = scenario("topic: {partitions: 4}", "", "").unwrap();
        assert!(!one.explain().contains("systems.kafka.topics"));
    }

    #[test]
    fn what_looks_at_one_topic_refuses_more() {
        for (kafka, load, rest, words) in [
            ("topics: 0", "", "", "at least 1"),
            ("topics: 2, consume: {mode: share-group}", "", "", "share groups reads one"),
            ("topics: 2", "", "experiment: {kind: retention}\n", "`retention`"),
            ("topics: 2", "", "faults: [{kind: kill, target: node, at: 2s, for: 1s}]\n", "a fault"),
        ] {
            let error = scenario(kafka, load, rest).unwrap_err();
            let key = error.contains("systems.kafka.topics");
            assert!(key && error.contains(words), "{kafka}: {error}");
        }
        let many = "topics: 300, topic: {partitions: 300}";
        let error = scenario(many, "", "").unwrap_err();
        assert!(error.contains("more lanes than 65535"), "{error}");
    }
}
