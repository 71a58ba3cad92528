//! The few things that are done to files of a broker: folders made, settings written, the end of a
//! log read.

use crate::environment::EnvironmentError;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

pub fn make_folder(path: &Path) -> Result<(), EnvironmentError> {
    fs::create_dir_all(path).map_err(|error| cannot_write(path, &error))
}

pub fn write_file(path: &Path, text: &str) -> Result<(), EnvironmentError> {
    fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

pub fn cannot_write(path: &Path, error: &std::io::Error) -> EnvironmentError {
    EnvironmentError::Refused(format!("cannot write {}: {error}", path.display()))
}

/// The last lines of a log, without Java's stack frames: they would push the reason out of sight.
pub fn tail(log: &Path, lines: usize) -> String {
    // Lines of a log are rarely longer; fewer than asked for come where they are.
    const LINE: usize = 1024;
    let most = (lines.saturating_mul(LINE)).max(256 * 1024) as u64;
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    last_lines(&read().unwrap_or_default(), lines)
}

/// The last lines that tell anything.
pub fn last_lines(text: &str, lines: usize) -> String {
    let telling = |line: &&str| !line.trim().is_empty() && !line.starts_with("\tat ");
    let mut last: Vec<&str> = text.lines().rev().filter(telling).take(lines).collect();
    last.reverse();
    last.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_reason_of_a_long_stack_trace() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let frames = "\tat org.apache.kafka.Some.method(Some.java:1)\n".repeat(40);
        fs::write(&log, format!("one\ntwo\nthe reason\n{frames}")).unwrap();
        assert_eq!(tail(&log, 2), "two\nthe reason");
        assert_eq!(tail(&folder.path().join("none"), 2), "");
    }
}
