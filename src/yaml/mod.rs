//! YAML of users, read strictly: a tree in which every value knows its place, its decoder, and
//! errors that point.

mod decode;
mod error;
mod tree;

pub use decode::decode;
pub use error::{HIDDEN, Problem, ScenarioError, is_secret, suggest};
pub use tree::{Entry, Layer, MAX_TEXT, Place, Value, YamlNode, holds_raw_keys, segments};

use std::io::Read;
use std::path::Path;

/// The text of a small file. The error says what is wrong with it.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |cause: std::io::Error| format!("cannot be read: {cause}");
    let is_file = |metadata: std::io::Result<std::fs::Metadata>| match metadata
        .map_err(unreadable)?
        .is_file()
    {
        true => Ok(()),
        false => Err("not a file".to_owned()),
    };
    // To open a named pipe may take forever; after that it may be another file.
    is_file(std::fs::metadata(path))?;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    is_file(file.metadata())?;
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_TEXT {
        return Err("larger than 1 MiB: is this the right file?".into());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8 text: save it as UTF-8".into())
}
