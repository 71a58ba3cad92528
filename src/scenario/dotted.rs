//! Resolved types as dotted keys and values, for `explain`, manifests and the matrix.

use super::cell::Message;
use super::load::Load;
use itertools::Itertools;

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

/// Likewise those of a message: several sizes are one value.
pub fn message_keys(message: &Message) -> Vec<(String, String)> {
    let mut keys = flat("message", message);
    let sizes = keys.iter_mut().filter(|(key, _)| key == "message.size");
    sizes.for_each(|(_, value)| *value = message.sizes());
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
