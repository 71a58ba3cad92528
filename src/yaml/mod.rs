//! YAML of users, read strictly: a tree in which every value knows its place, its decoder, and errors that point.

mod decode;
mod error;
mod tree;

pub use decode::decode;
pub use error::{HIDDEN, Problem, ScenarioError, is_secret, suggest};
pub use tree::{Entry, Layer, MAX_TEXT, Place, Value, YamlNode, holds_raw_keys, segments};
