//! Messages of the user's own: the lines of a file, one message each.
//!
//! The file is read whole before the load and shared by all producers; what cannot be a load of
//! text lines is refused with the line that shows it. In a message the envelope stands before the
//! line; drivers whose systems have a place beside the payload keep the two apart there.

use super::envelope::FULL;
use crate::regular_file;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

/// Held in memory as long as the load goes on.
const LARGEST_FILE: u64 = 256 << 20;
/// As plain load has it.
const LARGEST_LINE: usize = (16 << 20) - FULL;

/// Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Lines {
    /// Without the folder.
    name: String,
    text: String,
    /// Where each message begins and ends.
    places: Vec<(usize, usize)>,
}

impl Lines {
    /// The error says what is wrong with the file, without its name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |cause: std::io::Error| format!("cannot be read: {cause}");
        let file = regular_file::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(format!("is larger than {} MiB", LARGEST_FILE >> 20));
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self::of(name, bytes)
    }

    fn of(name: String, bytes: Vec<u8>) -> Result<Self, String> {
        let line_at = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let invalid = str::from_utf8(&bytes).err().map(|error| error.valid_up_to());
        if let Some(at) = bytes.iter().position(|byte| *byte == 0).or(invalid) {
            return Err(format!("is no text: line {} has bytes that are none", line_at(at)));
        }
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut places = Vec::new();
        let mut start = 0;
        for (number, whole) in text.split_inclusive('\n').enumerate() {
            let line = whole.trim_end_matches(['\n', '\r']);
            if line.len() > LARGEST_LINE {
                return Err(format!("has a line of more than 16 MiB: line {}", number + 1));
            }
            if !line.is_empty() {
                places.push((start, start + line.len()));
            }
            start += whole.len();
        }
        match places.is_empty() {
            true => Err("holds no line".to_owned()),
            false => Ok(Self { name, text, places }),
        }
    }

    pub fn count(&self) -> u64 {
        self.places.len() as u64
    }

    /// The line of this number, counted on from the first behind the last.
    #[inline]
    pub fn at(&self, number: u64) -> &[u8] {
        let (start, end) = self.places[(number % self.count()) as usize];
        &self.text.as_bytes()[start..end]
    }

    /// Bytes of the smallest and of the largest message, envelope included.
    pub fn sizes(&self) -> (u64, u64) {
        let sizes = self.places.iter().map(|(start, end)| (end - start + FULL) as u64);
        sizes.fold((u64::MAX, 0), |(least, most), size| (least.min(size), most.max(size)))
    }

    /// Bytes of a message on the average, envelope included.
    pub fn mean_bytes(&self) -> f64 {
        let bytes: usize = self.places.iter().map(|(start, end)| end - start).sum();
        bytes as f64 / self.count() as f64 + FULL as f64
    }
}

/// `orders.ndjson: 10000 lines, crc32c 1a2b3c4d`.
impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = crc32c::crc32c(self.text.as_bytes());
        write!(f, "{}: {} lines, crc32c {sum:08x}", self.name, self.count())
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Lines, String> {
        Lines::of("x".into(), bytes.to_vec())
    }

    #[test]
    fn each_line_is_a_message_and_they_come_round() {
        let lines = of(b"{\"a\": 1}\r\n\nsecond\nlast").unwrap();
        let found: Vec<&[u8]> = (0..4).map(|number| lines.at(number)).collect();
        assert_eq!(found, [&b"{\"a\": 1}"[..], b"second", b"last", b"{\"a\": 1}"]);
        assert_eq!(lines.sizes(), (44 + 4, 44 + 8));
        assert_eq!(lines.mean_bytes(), 50.0);
        assert!(lines.to_string().starts_with("x: 3 lines, crc32c "), "{lines}");
    }

    #[test]
    fn what_is_no_file_of_lines_is_refused_with_its_reason() {
        for (bytes, words) in [
            (&b""[..], "holds no line"),
            (b"\n\r\n", "holds no line"),
            (b"good\n\x00\x01", "line 2 has bytes"),
            (b"good\ngood\n\xff\xfe", "line 3 has bytes"),
        ] {
            assert!(of(bytes).unwrap_err().contains(words), "{words}");
        }
        let long = vec![b'x'; LARGEST_LINE + 1];
        assert!(of(&long).unwrap_err().ends_with("16 MiB: line 1"));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lines::read(folder.path()), Err("cannot be read: not a file".into()));
        let large = folder.path().join("large");
        std::fs::File::create(&large).unwrap().set_len(LARGEST_FILE + 1).unwrap();
        assert_eq!(Lines::read(&large), Err("is larger than 256 MiB".into()));
        let missing = Lines::read(&folder.path().join("missing")).unwrap_err();
        assert!(missing.starts_with("cannot be read"), "{missing}");
        let path = folder.path().join("orders.ndjson");
        std::fs::write(&path, "one\n").unwrap();
        assert!(Lines::read(&path).unwrap().to_string().starts_with("orders.ndjson: 1 lines"));
    }
}
