//! Resolved types as dotted keys and values, for `explain`, manifests and the matrix.

use super::cell::Message;
use super::load::Load;
use super::system::SystemConfig;
use itertools::Itertools;

/// Where explanations tell the file that the command line names.
pub const PAYLOAD_FILE: &str = "message.file";

/// The keys of a load as a reader would write them: a rate that a run finds has no number here,
/// and one in bytes is not in messages.
pub fn load_keys(load: &Load) -> Vec<(String, String)> {
    let mut keys = flat("load", load);
    let half = load.half_of.map(|half| half.name().to_owned());
    if let Some(written) = half.or_else(|| Some(load.bytes_per_s?.to_string())) {
        let rates = keys.iter_mut().filter(|(key, _)| key == "load.rate");
        rates.for_each(|(_, value)| value.clone_from(&written));
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

/// Likewise those of a message: several sizes are one value.
pub fn message_keys(message: &Message) -> Vec<(String, String)> {
    let mut keys = flat("message", message);
    let sizes = keys.iter_mut().filter(|(key, _)| key == "message.size");
    sizes.for_each(|(_, value)| *value = message.sizes());
    keys.extend(message.lines.iter().map(|lines| (PAYLOAD_FILE.to_owned(), lines.to_string())));
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
