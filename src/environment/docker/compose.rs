//! What compose is given: our two files, and one made for each run that names containers, settings
//! and mounts.
//!
//! Pure text. The third file is JSON, which is YAML too, so that nothing needs quoting by hand.

use crate::environment::EnvironmentError;
use crate::environment::janitor::containers::labels;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub const FILE: &str = include_str!("../../../docker-compose.yml");
pub const PUBLISHED: &str = include_str!("../../../docker-compose.published.yml");

/// How one container is started, beside what the compose file says of its service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// As in the compose file.
    pub name: String,
    pub environment: BTreeMap<String, String>,
    /// In place of the file's; empty for the image's own.
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// Folders of ours, each with the place where the container finds it.
    pub mounts: Vec<(String, String)>,
}

/// The name of a service's container.
pub fn container(project: &str, service: &str) -> String {
    format!("{project}-{service}")
}

/// The file of this run, for these services of one project of the run in `folder`.
pub fn run_file(project: &str, folder: &Path, services: &[Service], published: bool) -> String {
    let labels: Map<String, Value> =
        labels(folder).into_iter().map(|(key, value)| (key.to_owned(), text(&value))).collect();
    let list = |words: &[String]| words.iter().map(|word| text(word)).collect::<Vec<_>>();
    let one = |service: &Service| {
        let environment: Map<String, Value> =
            service.environment.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        let mounts: Vec<_> =
            service.mounts.iter().map(|(ours, theirs)| format!("{ours}:{theirs}")).collect();
        let name = text(&container(project, &service.name));
        let mut map =
            json!({ "container_name": name, "labels": labels, "environment": environment });
        for (key, words) in [
            ("entrypoint", &service.entrypoint),
            ("command", &service.command),
            ("volumes", &mounts),
        ] {
            if !words.is_empty() {
                map[key] = json!(list(words));
            }
        }
        (service.name.clone(), map)
    };
    let mut services: Map<String, Value> = services.iter().map(one).collect();
    let labelled = || json!({ "labels": labels });
    let ours: Value = serde_saphyr::from_str(FILE).unwrap_or_default();
    let named = ours["volumes"].as_object().into_iter().flatten();
    let volumes: Map<String, Value> = named.map(|(name, _)| (name.clone(), labelled())).collect();
    if published {
        services
            .extend(["kafka-network", "redis-network"].map(|name| (name.to_owned(), labelled())));
    }
    let mut file = json!({ "services": services, "volumes": volumes });
    if published {
        file["networks"] = json!({ "default": labelled() });
    }
    file.to_string()
}

/// A string that compose takes as it stands: a dollar would begin a variable.
fn text(value: &str) -> Value {
    Value::String(value.replace('$', "$$"))
}

/// Variables that the image does not make a setting of: they are for what starts the JVM, and can
/// make it load code.
fn is_the_launchers(variable: &str) -> bool {
    let starts = ["KAFKA_JMX_", "KAFKA_LOG4J_", "KAFKA_TOOLS_LOG4J_"];
    let whole = ["KAFKA_DEBUG", "KAFKA_HOME", "KAFKA_MODE", "KAFKA_VERSION"];
    variable.ends_with("_OPTS")
        || whole.contains(&variable)
        || starts.iter().any(|start| variable.starts_with(start))
}

/// The variable by which the image is told a setting of Kafka.
pub fn kafka_variable(key: &str) -> Result<String, EnvironmentError> {
    let name: String = key
        .chars()
        .map(|c| match c {
            '.' => "_".to_owned(),
            '_' => "__".to_owned(),
            '-' => "___".to_owned(),
            other => other.to_ascii_uppercase().to_string(),
        })
        .collect();
    let variable = format!("KAFKA_{name}");
    if kafka_key(&variable) == key && !is_the_launchers(&variable) {
        return Ok(variable);
    }
    Err(EnvironmentError::Refused(format!(
        "broker: `{}` of kafka cannot be told to a container, whose image takes settings as \
        variables; use `--env native`",
        key.escape_debug()
    )))
}

/// What the image makes of a variable.
fn kafka_key(variable: &str) -> String {
    let key = variable.replace("KAFKA_", "").to_ascii_lowercase().replace('_', ".");
    key.replace("...", "-").replace("..", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn settings_reach_the_image_as_variables_or_are_refused() {
        assert_eq!(
            kafka_variable("log.flush.interval.messages").unwrap(),
            "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES"
        );
        assert_eq!(kafka_key("KAFKA_A_B__C___D"), "a.b_c-d");
        for key in ["some_key.with-both", "node.id"] {
            assert_eq!(kafka_key(&kafka_variable(key).unwrap()), key);
        }
        // Not settings, but options and ports of the JVM.
        let others = ["opts", "jvm.performance.opts", "log4j.opts", "jmx.port", "debug"];
        for key in ["my.kafka.setting", "a..b", "a.-b"].into_iter().chain(others) {
            let error = kafka_variable(key).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("--env native"), "{error}");
        }
    }

    #[test]
    fn every_service_has_its_volume_and_both_ways_to_the_network() {
        let (file, published) = (parsed(FILE), parsed(PUBLISHED));
        let services = file["services"].as_object().unwrap();
        assert_eq!(services.len(), 17);
        for (name, service) in services {
            assert_eq!(service["network_mode"], "host", "{name}");
            assert!(
                service["volumes"][0]
                    .as_str()
                    .is_some_and(|volume| volume.starts_with(&format!("{name}:")))
            );
            assert!(file["volumes"].get(name).is_some(), "{name}");
            let network = if name.starts_with("kafka") {
                "service:kafka-network"
            } else {
                "service:redis-network"
            };
            assert_eq!(published["services"][name]["network_mode"], network, "{name}");
        }
        assert_eq!(published["services"].as_object().unwrap().len(), services.len() + 2);
    }

    #[test]
    fn ports_are_published_on_loopback_alone_and_nothing_else_listens_elsewhere() {
        let published = parsed(PUBLISHED);
        for holder in ["kafka-network", "redis-network"] {
            for port in published["services"][holder]["ports"].as_array().unwrap() {
                assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port}");
            }
        }
        assert!(
            !FILE.contains("0.0.0.0") && !FILE.contains("ports:") && !FILE.contains("privileged")
        );
    }

    #[test]
    fn the_run_file_names_what_must_be_found_again_and_takes_dollars_as_they_are() {
        let service = Service {
            name: "redis".into(),
            environment: [("A".to_owned(), "$HOME".to_owned())].into(),
            entrypoint: vec!["redis-server".into()],
            command: vec!["/x.conf".into()],
            mounts: vec![("/ours".into(), "/theirs".into())],
        };
        let text = run_file("p", Path::new("/run"), &[service], true);
        let file = parsed(&text);
        let redis = &file["services"]["redis"];
        assert_eq!(redis["container_name"], "p-redis");
        assert_eq!(redis["environment"]["A"], "$$HOME");
        assert_eq!(
            (&redis["entrypoint"][0], &redis["volumes"][0]),
            (&json!("redis-server"), &json!("/ours:/theirs"))
        );
        for made in [
            redis,
            &file["services"]["redis-network"],
            &file["volumes"]["redis"],
            &file["networks"]["default"],
        ] {
            assert_eq!(made["labels"]["brokerbench.folder"], "/run", "{text}");
        }
    }
}
