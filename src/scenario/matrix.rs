//! The matrix of a scenario: its axes, the tree of each point, and the name of a point.

use super::cell::Message;
use super::dotted::{load_keys, message_keys};
use super::load::Load;
use crate::model::Point;
use crate::yaml::{Problem, Value, YamlNode, segments};

pub struct MatrixAxis<'a> {
    pub key: &'a str,
    pub values: &'a [YamlNode],
}

/// Points of a matrix, and a tenth of what a scenario may run in all.
pub const MAX_CELLS: usize = 1000;

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
    let mut axes = Vec::new();
    for entry in matrix.entries() {
        let fail = |what: &str, remedy: &str| {
            Err(Problem::new(["matrix", &entry.key], what, remedy).of_key())
        };
        if !entry.key.starts_with("load.") && !entry.key.starts_with("message.") {
            return fail(
                "the matrix varies keys under `load` and `message`",
                "for variants of a system, write several labels under `systems`",
            );
        }
        match &entry.node.value {
            Value::List(values) if values.iter().any(|value| value.scalar().is_none()) => {
                return fail(
                    "each value of an axis is one plain value",
                    "write like `[1k/s, 10k/s]`",
                );
            }
            Value::List(values) if !values.is_empty() => {
                axes.push(MatrixAxis { key: &entry.key, values })
            }
            _ => return fail("expected a list of values", "write like `[1k/s, 10k/s]`"),
        }
    }
    let points = axes.iter().try_fold(1usize, |n, axis| n.checked_mul(axis.values.len()));
    if points.is_none_or(|points| points > MAX_CELLS) {
        let what = format!("the matrix has more than {MAX_CELLS} points");
        return Err(Problem::new(["matrix"], what, "shorten its lists"));
    }
    Ok(axes)
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

/// `load.rate=1k/s,message.size=100B`, each value in its normal form.
pub fn point_name(axes: &[MatrixAxis<'_>], load: &Load, message: &Message) -> String {
    let values = load_keys(load).into_iter().chain(message_keys(message)).collect::<Vec<_>>();
    let value = |key: &str| {
        values.iter().find(|(known, _)| known == key).map_or("none", |(_, value)| value.as_str())
    };
    Point::of(axes.iter().map(|axis| (axis.key, value(axis.key))).collect()).to_string()
}
