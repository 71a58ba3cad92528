//! JSON whose upper levels stand on lines of their own and whose lower ones stand on one line each.
//!
//! For a file that is kept in a repository and read by people now and then: a changed cell is one changed line, and its dozen
//! short fields do not make a page. Any reader of JSON reads it.

use super::error::ResultError;
use super::files;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};
use std::path::Path;

pub fn write<T: Serialize>(path: &Path, value: &T, levels: usize) -> Result<(), ResultError> {
    files::write_atomic(path, &to_vec(value, levels).map_err(|error| ResultError::corrupt(path, error))?)
}

/// `value` with its first `levels` levels broken into lines, and a final newline.
fn to_vec<T: Serialize>(value: &T, levels: usize) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    let outline = Outline { levels, depth: 0, filled: false };
    value.serialize(&mut Serializer::with_formatter(&mut text, outline))?;
    text.push(b'\n');
    Ok(text)
}

struct Outline {
    levels: usize,
    /// Brackets that are open.
    depth: usize,
    /// Whether something stands in the innermost of them.
    filled: bool,
}

impl Outline {
    fn open<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.filled = true;
        let in_lines = self.depth <= self.levels;
        out.write_all(match (first, in_lines) {
            (true, _) => b"",
            (false, true) => b",",
            (false, false) => b", ",
        })?;
        if in_lines { new_line(out, self.depth) } else { Ok(()) }
    }

    fn close<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        if self.filled && self.depth <= self.levels {
            new_line(out, self.depth - 1)?;
        }
        self.depth -= 1;
        // What was closed stands in the bracket around it.
        self.filled = true;
        out.write_all(bracket)
    }
}

fn new_line<W: ?Sized + Write>(out: &mut W, indent: usize) -> io::Result<()> {
    out.write_all(b"\n")?;
    (0..indent).try_for_each(|_| out.write_all(b"  "))
}

impl Formatter for Outline {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deep_values_stand_on_one_line() {
        let value = json!({"a": [{"x": 1, "y": [2, 3]}, {"x": null, "y": []}], "b": {}, "c": "d"});
        let text = String::from_utf8(to_vec(&value, 2).unwrap()).unwrap();
        let expected = r#"{
  "a": [
    {"x": 1, "y": [2, 3]},
    {"x": null, "y": []}
  ],
  "b": {},
  "c": "d"
}
"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
