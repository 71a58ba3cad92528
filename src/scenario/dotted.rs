//! Resolved types as dotted keys and values, for `explain`, manifests and the matrix.

use super::cell::Message;
use super::load::Load;
use super::matrix::MatrixAxis;
use super::resolve::Scenario;
use super::settings;
use crate::result::{Origin, words::name};
use crate::yaml::{HIDDEN, YamlNode, is_secret, segments};
use itertools::Itertools;

/// Where explanations tell the file that the command line names.
const PAYLOAD_FILE: &str = "message.file";

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

/// Every key with its value and the layer that it comes from.
pub fn resolved(scenario: &Scenario, tree: &YamlNode, axes: &[MatrixAxis<'_>]) -> Vec<Origin> {
    let mut rows = vec![
        ("primary".into(), scenario.primary.to_string()),
        ("guarantee".into(), name(&scenario.guarantee)),
        ("blocks".into(), scenario.blocks.to_string()),
        (
            "fresh-brokers".into(),
            scenario.fresh_brokers.map_or("each".to_owned(), |times| times.to_string()),
        ),
        ("repeat-spoilt".into(), scenario.repeat_spoilt.to_string()),
        ("seed".into(), scenario.seed.to_string()),
    ];
    for (label, config) in &scenario.systems {
        let title = scenario.titles.get(label);
        rows.extend(title.map(|title| (format!("systems.{label}.title"), title.clone())));
        let of_system = flat(&format!("systems.{label}"), config);
        let again = config.same_as.is_some();
        let understood = |key: &str| match &segments(key)[2..] {
            ["same-as"] => true,
            path => !again && settings::understands(config.system, path).is_ok(),
        };
        rows.extend(of_system.into_iter().filter(|(key, _)| understood(key)));
    }
    if let Some(cell) = scenario.cells.first() {
        rows.extend(cell.experiment.iter().flat_map(|experiment| flat("experiment", experiment)));
        let counts = |key: &str| {
            cell.experiment.as_ref().is_none_or(|experiment| experiment.reads_load(key))
        };
        // What was written is shown, even where it changes nothing.
        let shown = |key: &str| counts(&key["load.".len()..]) || tree.get(&segments(key)).is_some();
        rows.extend(load_keys(&cell.load).into_iter().filter(|(key, _)| shown(key)));
        rows.extend(message_keys(&cell.message));
        let faults = cell.faults.iter().enumerate();
        rows.extend(faults.map(|(index, fault)| (format!("faults.{index}"), fault.to_string())));
    }
    rows.retain(|(key, _)| !axes.iter().any(|axis| axis.key == key));
    for axis in axes {
        let values: Vec<String> = axis.values.iter().filter_map(YamlNode::scalar).collect();
        rows.push((format!("matrix.{}", axis.key), format!("[{}]", values.join(", "))));
    }
    let origin = |key: &str| match tree.get(&segments(key)) {
        Some(node) => node.place.layer.to_string(),
        None if key == PAYLOAD_FILE => "--payload-file".to_owned(),
        None => "default".to_owned(),
    };
    rows.into_iter()
        .map(|(key, value)| {
            let value = if is_secret(&key) { HIDDEN.to_owned() } else { value };
            Origin { origin: origin(&key), key, value }
        })
        .collect()
}
