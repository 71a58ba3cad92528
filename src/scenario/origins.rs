//! Every setting of a scenario with its value and where it comes from: what `explain` shows and the
//! manifest keeps.

use super::dotted::{PAYLOAD_FILE, flat, load_keys, message_keys, system_keys};
use super::matrix::MatrixAxis;
use super::resolve::Scenario;
use super::settings;
use crate::result::{Origin, words::name};
use crate::yaml::{HIDDEN, YamlNode, is_secret, segments};

/// Every key with its value and the layer that it comes from.
pub(super) fn resolved(
    scenario: &Scenario,
    tree: &YamlNode,
    axes: &[MatrixAxis<'_>],
) -> Vec<Origin> {
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
        let of_system = system_keys(label, config);
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
