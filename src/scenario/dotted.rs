//! Resolved types as dotted keys and values, for `explain`, manifests and the matrix.

use super::load::Load;
use super::system::SystemConfig;
use itertools::Itertools;

/// The keys of a load as a reader would write them: a rate that a run finds has no number here.
pub fn load_keys(load: &Load) -> Vec<(String, String)> {
    let mut keys = flat("load", load);
    if let Some(half) = load.half_of {
        let rates = keys.iter_mut().filter(|(key, _)| key == "load.rate");
        rates.for_each(|(_, value)| *value = half.name().to_owned());
    }
    keys
}

/// The keys of a label. The shards of a Cluster stand where they are written, in place of the
/// number of its nodes.
pub fn system_keys(label: &str, config: &SystemConfig) -> Vec<(String, String)> {
    let mut keys = flat(&format!("systems.{label}"), config);
    let (cluster, nodes) = (format!("systems.{label}.cluster."), format!("systems.{label}.nodes"));
    keys.retain(|(key, _)| config.cluster.is_none() || *key != nodes);
    for (key, _) in &mut keys {
        if let Some(tail) = key.strip_prefix(&cluster) {
            *key = format!("{nodes}.{tail}");
        }
    }
    keys
}

/// Dotted keys and values of a resolved type.
pub fn flat(prefix: &str, value: &impl serde::Serialize) -> Vec<(String, String)> {
    fn walk(prefix: String, value: &serde_json::Value, out: &mut Vec<(String, String)>) {
        match value {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(key, value)| walk(format!("{prefix}.{key}"), value, out));
            }
            other => out.push((prefix, plain(other))),
        }
    }
    fn plain(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::Null => "none".into(),
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => format!("[{}]", items.iter().map(plain).join(", ")),
            other => other.to_string(),
        }
    }
    let mut out = Vec::new();
    walk(prefix.to_owned(), &serde_json::to_value(value).unwrap_or_default(), &mut out);
    out
}
