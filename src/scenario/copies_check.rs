//! What a scenario may ask of copies that Redis waits for (`wait`, `wait-aof`): replicas and files
//! that are there, and a client that asks them.

use super::experiment::Experiment;
use super::system::{ClientLibrary, Reply, SystemConfig, WaitAof};
use crate::yaml::Problem;

pub(super) fn awaited(
    label: &str,
    config: &SystemConfig,
    experiment: Option<&Experiment>,
) -> Result<(), Problem> {
    let refuse = |key: &str, what: &str, remedy: &str| {
        Err(Problem::new(["systems", label].into_iter().chain(key.split('.')), what, remedy))
    };
    let (key, many) = match (config.wait, config.wait_aof) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            let what = "`wait-aof` waits for copies too, on disk";
            return refuse("wait", what, "remove `wait`, or `wait-aof`");
        }
        (Some(0), None) => {
            return refuse("wait", "it waits for nobody", "write `wait: 1`, or remove the key");
        }
        (None, Some(WaitAof { local: 0, replicas: 0 })) => {
            let what = "it waits for nobody";
            return refuse("wait-aof", what, "write `wait-aof: {local: 1, replicas: 1}`");
        }
        (None, Some(WaitAof { local: 2.., .. })) => {
            let what = "a primary has one file of its own";
            return refuse("wait-aof.local", what, "write `local: 1`, or `local: 0`");
        }
        (Some(replicas), None) => ("wait", replicas),
        (None, Some(files)) => ("wait-aof", files.replicas),
    };
    let there = config.replicas();
    let counted = if key == "wait" { key } else { "wait-aof.replicas" };
    if many > there && there == 0 {
        let what = "there is no replica that could confirm a message";
        let remedy = match config.cluster {
            None => "add `nodes: 3`, or remove the key",
            Some(_) => "add `replicas: 1` beside the shards, or remove the key",
        };
        return refuse(counted, what, remedy);
    }
    if many > there {
        let what = format!("more replicas than there are ({there})");
        return refuse(
            counted,
            &what,
            "lower it: with all of them, one that is gone stops the load",
        );
    }
    let files = config.broker.get("appendonly").is_some_and(|value| value == "yes");
    if key == "wait-aof" && !files {
        let what = "without an append-only file there is none to wait for";
        return refuse(key, what, "add `broker: {appendonly: \"yes\"}`, or use `wait`");
    }
    let asks = "every turn asks for its copies, and reads the answer";
    if config.reply == Reply::Off {
        return refuse(key, asks, "remove it, or `reply: off`");
    }
    if config.library() == ClientLibrary::RedisRs {
        return refuse(key, asks, "use `client: {library: direct}`, which does");
    }
    match experiment.filter(|experiment| !experiment.loads()) {
        Some(experiment) => {
            let what = format!("the experiment `{}` does not wait for copies", experiment.kind());
            refuse(key, &what, "remove it, or `experiment`")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, from_text};

    fn refused(systems: &str, more: &str) -> String {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\n\
             load: {{model: closed}}\n{more}"
        );
        from_text("t.yaml", &text, &Overrides::default()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn only_copies_that_are_there_and_asked_can_be_waited_for() {
        const FILES: &str = "nodes: 3, broker: {appendonly: 'yes'}";
        for (systems, key, remedy) in [
            ("{redis-lists: {wait: 1}}", "redis-lists.wait", "add `nodes: 3`"),
            ("{redis-streams: {nodes: 3, wait: 3}}", "redis-streams.wait", "lower it"),
            ("{redis-streams: {nodes: 3, wait: 0}}", "redis-streams.wait", "write `wait: 1`"),
            ("{redis-pubsub: {nodes: 3, wait: 1}}", "redis-pubsub.wait", "remove the key"),
            ("{kafka: {nodes: 3, wait: 1}}", "kafka.wait", "remove the key"),
            (
                "{redis-lists: {nodes: 3, wait: 1, reply: 'off'}}",
                "redis-lists.wait",
                "`reply: off`",
            ),
            (
                "{redis-lists: {nodes: 3, wait: 1, client: {library: redis-rs}}}",
                "redis-lists.wait",
                "direct",
            ),
            (
                "{redis-lists: {nodes: 3, wait-aof: {replicas: 1}}}",
                "redis-lists.wait-aof",
                "appendonly",
            ),
            (
                &format!("{{redis-lists: {{{FILES}, wait-aof: {{}}}}}}"),
                "redis-lists.wait-aof",
                "local: 1",
            ),
            (
                &format!("{{redis-lists: {{{FILES}, wait-aof: {{local: 2}}}}}}"),
                "wait-aof.local",
                "local: 0",
            ),
            (
                &format!("{{redis-lists: {{{FILES}, wait: 1, wait-aof: {{local: 1}}}}}}"),
                "redis-lists.wait",
                "remove `wait`",
            ),
        ] {
            let error = refused(systems, "");
            assert!(error.contains(key) && error.contains(remedy), "{systems}: {error}");
        }
        let error =
            refused("{redis-lists: {nodes: 3, wait: 1}}", "experiment: {kind: retention}\n");
        assert!(error.contains("retention"), "{error}");
    }

    #[test]
    fn what_can_be_waited_for_is_taken() {
        for systems in [
            "{redis-streams: {nodes: 3, wait: 2}}",
            "{redis-lists: {nodes: 3, broker: {appendonly: 'yes'}, \
              wait-aof: {local: 1, replicas: 1}}}",
            "{redis-lists: {broker: {appendonly: 'yes'}, wait-aof: {local: 1}}}",
        ] {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\nload: {{model: closed}}\n"
            );
            from_text("t.yaml", &text, &Overrides::default()).unwrap();
        }
    }
}
