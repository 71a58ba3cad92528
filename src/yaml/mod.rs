//! YAML of users, read strictly: a tree in which every value knows its place, its decoder, and
//! errors that point.

mod decode;
mod error;
mod tree;

pub use decode::decode;
pub use error::{HIDDEN, Problem, ScenarioError, is_secret, suggest};
pub use tree::{Entry, Layer, MAX_TEXT, Place, Value, YamlNode, holds_raw_keys, segments};

use crate::regular_file;
use std::io::Read;
use std::path::Path;

/// The text of a small file. The error says what is wrong with it.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |cause: std::io::Error| format!("cannot be read: {cause}");
    let mut bytes = Vec::new();
    let file = regular_file::open(path).map_err(unreadable)?;
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_TEXT {
        return Err("larger than 1 MiB: is this the right file?".into());
    }
    String::from_utf8(bytes)
        .map_err(|_| "not UTF-8 text: save it as that, keys and certificates as PEM".into())
}
