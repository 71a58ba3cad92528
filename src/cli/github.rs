//! What a pipeline on GitHub shows of a step: Markdown, written behind what is there already.

use super::say;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// GitHub shows nothing of a step whose summary is larger than 1 MiB.
const MOST: u64 = 900 << 10;

/// Where no pipeline asks for it, nothing happens; where it cannot be written, that is said, and is
/// no failure.
pub fn tell(text: &str) {
    let file = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty());
    if let Some(file) = file
        && let Err(why) = append(Path::new(&file), text)
    {
        say(&format!("warning: GITHUB_STEP_SUMMARY: {why}"));
    }
}

fn append(file: &Path, text: &str) -> Result<(), String> {
    let there = std::fs::metadata(file).map_or(0, |file| file.len());
    if there + text.len() as u64 > MOST {
        return Err("the summary is full; the results have it all".to_owned());
    }
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_grows_until_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("summary.md");
        append(&file, "one\n").unwrap();
        append(&file, "two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\n");
        let error = append(&file, &"x".repeat(MOST as usize)).unwrap_err();
        assert!(error.contains("full"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap().len(), 8);
        let error = append(&dir.path().join("no/such/folder"), "x").unwrap_err();
        assert!(error.contains("no/such/folder"), "{error}");
    }
}
