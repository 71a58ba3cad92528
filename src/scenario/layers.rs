//! Lays profile and flags over a file: defaults < file < profile < `--set`, `--sweep`, `--seed`.
//!
//! Each override is written into the tree with its own origin, so a wrong one is blamed by name. An
//! override of a key that the matrix varies ends that axis, and one of a setting that `best-of`
//! chooses ends the choice: what was asked for last is what runs.

use super::best_of;
use super::source::{NAME, is_name};
use crate::model::System;
use crate::yaml::{
    Entry, Layer, Place, Problem, Value, YamlNode, holds_raw_keys, segments, suggest,
};
use std::path::PathBuf;

/// What the command line asks for on top of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub profile: Option<String>,
    /// `key=value`, in order.
    pub sets: Vec<String>,
    /// `key=a,b,c`: axes of the matrix.
    pub sweeps: Vec<String>,
    /// Labels or systems to run; empty runs all.
    pub systems: Vec<String>,
    /// Of everything random.
    pub seed: Option<u64>,
    /// The file whose lines are the messages, where a scenario asks for one. A scenario may come
    /// from a stranger, and so it names none.
    pub payload_file: Option<PathBuf>,
    /// A system of a service in place of all those of the file, asked the same question.
    pub in_place: Option<System>,
    /// How many shards run it together; 0 and 1 are one process.
    pub shards: u16,
}

/// Keys of a label that mean the same at a service. The others are of brokers that we start.
const AT_A_SERVICE: [&str; 6] = ["client", "consume", "maxlen", "topic", "topics", "transaction"];

/// The keys below a key of the file: its profiles, its labels.
pub(super) fn keys<'a>(tree: &'a YamlNode, of: &str) -> Vec<&'a str> {
    tree.get(&[of])
        .map_or(&[][..], YamlNode::entries)
        .iter()
        .map(|entry| entry.key.as_str())
        .collect()
}

pub(super) fn lay(tree: &mut YamlNode, overrides: &Overrides) -> Result<(), Problem> {
    normalise_systems(tree)?;
    if let Some(name) = &overrides.profile {
        let known = keys(tree, "profiles");
        let Some(profile) = tree.get(&["profiles", name]).cloned() else {
            let remedy = if known.is_empty() {
                "this scenario has no profiles".into()
            } else {
                suggest(name, known)
            };
            return Err(Problem::new(
                ["profiles"],
                format_args!("there is no profile `{name}`"),
                &remedy,
            ));
        };
        for Entry { key, mut node, .. } in profile.entries().iter().cloned() {
            node.relayer(&Layer::Profile(name.clone()));
            write(tree, &key, node)?;
        }
    }
    if let Some(system) = overrides.in_place {
        put_in_place(tree, system)?;
    }
    for text in &overrides.sets {
        let (key, value) = key_and_value(text, &Layer::Set)?;
        let node = YamlNode::from_flag(value, is_raw(key), &Layer::Set);
        write(tree, key, node.map_err(|cause| flag_problem(key, &Layer::Set, cause.what))?)?;
    }
    for text in &overrides.sweeps {
        let (key, values) = key_and_value(text, &Layer::Sweep)?;
        let raw = is_raw(key);
        let items =
            values.split(',').map(|value| YamlNode::from_flag(value.trim(), raw, &Layer::Sweep));
        let items = items
            .collect::<Result<_, _>>()
            .map_err(|cause| flag_problem(key, &Layer::Sweep, cause.what))?;
        let node = YamlNode { value: Value::List(items), place: Place::flag(Layer::Sweep) };
        write(tree, &format!("matrix.{key}"), node)?;
    }
    if let Some(seed) = overrides.seed {
        let node = YamlNode { value: Value::Number(seed.into()), place: Place::flag(Layer::Seed) };
        write(tree, "seed", node)?;
    }
    Ok(())
}

/// Whether it is a setting of somebody else's software, whose values are text as they stand.
fn is_raw(key: &str) -> bool {
    let path = segments(key);
    path.split_last().is_some_and(|(_, parents)| parents.len() > 2 && holds_raw_keys(parents))
}

/// With the settings of the plain label of the system that it is driven as, where there is one.
fn put_in_place(tree: &mut YamlNode, system: System) -> Result<(), Problem> {
    let Some(place) = tree.get(&["systems"]).map(|node| node.place.clone()) else { return Ok(()) };
    let base = system.base();
    let mut node = match tree.get(&["systems", base.name()]).cloned() {
        Some(node) => node,
        None if base == system => YamlNode { value: Value::Null, place: place.clone() },
        None => {
            let what = format!("there is no label `{base}`, in whose place `{system}` could stand");
            let remedy = format!("leave out `{system}`, or add the label");
            return Err(Problem::new(["systems"], what, &remedy));
        }
    };
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| AT_A_SERVICE.contains(&entry.key.as_str()));
    }
    // How many copies there are is the service's to say.
    node.remove(&["topic", "replicas"]);
    let entry = Entry { key: system.name().to_owned(), key_place: place.clone(), node };
    tree.set(&["systems"], YamlNode { value: Value::Map(vec![entry]), place });
    // They speak of labels that are gone.
    tree.remove(&["thresholds"]);
    vary_in_place(tree, system);
    Ok(())
}

/// What the matrix varies of the plain label it varies of the service; what it varies of the other
/// labels is gone with them.
fn vary_in_place(tree: &mut YamlNode, system: System) {
    let Some(mut matrix) = tree.get(&["matrix"]).cloned() else { return };
    let Value::Map(entries) = &mut matrix.value else { return };
    entries.retain_mut(|entry| {
        let (base, key) = (system.base().name(), entry.key.clone());
        match segments(&key)[..] {
            ["systems", _, "topic", "replicas"] => false,
            ["systems", label, setting, ..] if label == base && AT_A_SERVICE.contains(&setting) => {
                let rest = key.strip_prefix(&format!("systems.{base}.")).unwrap_or_default();
                entry.key = format!("systems.{}.{rest}", system.name());
                true
            }
            ["systems", ..] => false,
            _ => true,
        }
    });
    match entries.is_empty() {
        true => tree.remove(&["matrix"]),
        false => drop(tree.set(&["matrix"], matrix)),
    }
}

fn key_and_value<'a>(text: &'a str, layer: &Layer) -> Result<(&'a str, &'a str), Problem> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() || value.trim().is_empty() {
        return Err(flag_problem(text, layer, "not of the form key=value"));
    }
    Ok((key.trim(), value.trim()))
}

fn flag_problem(key: &str, layer: &Layer, what: impl std::fmt::Display) -> Problem {
    let example = if *layer == Layer::Sweep { "load.rate=1k/s,10k/s" } else { "load.rate=10k/s" };
    Problem::new([key], what, &format!("write it like `{layer} {example}`"))
        .at(&Place::flag(layer.clone()))
}

fn write(tree: &mut YamlNode, dotted: &str, node: YamlNode) -> Result<(), Problem> {
    let path = segments(dotted);
    let (place, value) = (node.place.clone(), node.scalar());
    let fail = |what: &str, remedy: &str| {
        let problem = Problem::new(path.iter().copied(), what, remedy).at(&place);
        Err(Problem { value: value.clone(), ..problem })
    };
    if matches!(path[0], "schema" | "profiles") {
        return fail("cannot be overridden", "change it in the file");
    }
    if matches!(node.value, Value::Map(_)) && dotted != "matrix" {
        return fail(
            "an override is one value",
            &format!("name the key inside it: `{dotted}.KEY`"),
        );
    }
    if let ["systems", label, _, ..] = path[..]
        && tree.get(&["systems", label]).is_none()
    {
        return fail(
            &format!("no label `{label}` under `systems`"),
            &suggest(label, keys(tree, "systems")),
        );
    }
    if path[0] != "matrix" {
        tree.remove(&["matrix", dotted]);
    }
    if best_of::KEYS.contains(&dotted.strip_prefix("matrix.").unwrap_or(dotted)) {
        tree.remove(&best_of::LIST);
    }
    if !tree.set(&path, node) {
        return fail(
            "there is no map of keys at this place",
            "`brokerbench schema` shows which keys exist",
        );
    }
    normalise_systems(tree)
}

/// Makes a plain list of systems a map without settings, and checks the labels: they become paths
/// and topics.
fn normalise_systems(tree: &mut YamlNode) -> Result<(), Problem> {
    let Some(mut systems) = tree.get(&["systems"]).cloned() else { return Ok(()) };
    if let Value::List(items) = &systems.value
        && let Some(names) = items.iter().map(YamlNode::scalar).collect::<Option<Vec<_>>>()
    {
        let mut entries: Vec<Entry> = Vec::new();
        for (index, (name, item)) in names.into_iter().zip(items).enumerate() {
            if entries.iter().any(|entry| entry.key == name) {
                let remedy = "to run a system twice, write a map from labels to settings";
                return Err(Problem::new(["systems", &index.to_string()], "stands twice", remedy));
            }
            let node = YamlNode { value: Value::Null, place: item.place.clone() };
            entries.push(Entry { key: name, key_place: item.place.clone(), node });
        }
        systems.value = Value::Map(entries);
        tree.set(&["systems"], systems.clone());
    }
    match systems.entries().iter().find(|entry| !is_name(&entry.key)) {
        Some(entry) => {
            let remedy = "rename it, for example `kafka-3`";
            Err(Problem::new(["systems", &entry.key], format_args!("a label {NAME}"), remedy)
                .of_key())
        }
        None if systems.entries().is_empty() => Err(Problem::new(
            ["systems"],
            "no system is named",
            "write like `systems: [kafka, redis-streams]`",
        )),
        None => Ok(()),
    }
}
