//! Where scenario files are found: a path, `./scenarios/NAME.yaml`,
//! or a built-in one inside the binary.

use crate::yaml::{self, ScenarioError, suggest};
use std::path::{Path, PathBuf};

/// The scenarios inside the binary, so that it works in any folder: all of `scenarios/`,
/// listed by `build.rs`.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));
const FOLDER: &str = "scenarios";
/// In it, the scenarios of failure injection; their names begin with it too.
const FAULTS: &str = "faults";

/// A scenario's text and the name under which errors and results show it.
#[derive(Debug)]
pub(super) struct Source {
    pub name: String,
    pub text: String,
}

/// Every scenario that can be run by its name:
/// the built-in ones and those in `./scenarios`, sorted.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.extend(files(Path::new(FOLDER)));
    names.extend(files(&Path::new(FOLDER).join(FAULTS)).map(|name| format!("{FAULTS}/{name}")));
    names.sort();
    names.dedup();
    names
}

/// Names of the scenarios that lie in a folder.
fn files(folder: &Path) -> impl Iterator<Item = String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml"))
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .filter(|name| is_name(name))
}

/// What [`is_name`] asks, in words.
pub(super) const NAME: &str =
    "may hold lower-case letters, digits and dashes, and starts with no dash (at most 40)";

/// Safe in paths, topics and keys.
pub(super) fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text.len() <= 40
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A scenario as it is written; `path_or_name` as in [`names`].
pub fn text(path_or_name: &str) -> Result<String, ScenarioError> {
    find(path_or_name).map(|source| source.text)
}

/// Finds a scenario by path (it has a separator or an ending) or by name.
pub(super) fn find(path_or_name: &str) -> Result<Source, ScenarioError> {
    let ending = Path::new(path_or_name).extension().and_then(|ext| ext.to_str());
    let named = path_or_name
        .strip_prefix(FAULTS)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(path_or_name);
    if !is_name(named)
        && (path_or_name.contains(['/', '\\']) || matches!(ending, Some("yaml" | "yml" | "json")))
    {
        return read(Path::new(path_or_name));
    }
    if is_name(named) {
        for ending in ["yaml", "yml"] {
            let path: PathBuf = [FOLDER, &format!("{path_or_name}.{ending}")].iter().collect();
            if path.is_file() {
                return read(&path);
            }
        }
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == path_or_name) {
            return Ok(Source { name: format!("built-in {name}"), text: (*text).to_owned() });
        }
    }
    let names = names();
    let near = suggest(path_or_name, names.iter().map(String::as_str));
    let remedy = format!("{near} (or give the path of a file)");
    Err(ScenarioError::of_source(path_or_name, "there is no scenario of this name", &remedy))
}

fn read(path: &Path) -> Result<Source, ScenarioError> {
    let name = path.display().to_string();
    let remedy =
        "give the path of one scenario file; `brokerbench list` shows the scenarios there are";
    match yaml::read(path) {
        Ok(text) => Ok(Source { name, text }),
        Err(what) => Err(ScenarioError::of_source(&name, what, remedy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_names_are_names() {
        assert!(is_name("latency") && is_name("kafka-3") && is_name("9"));
        for bad in ["", "-x", "..", "a/b", "A", "a b", "a.b", "ä", &"x".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn every_built_in_scenario_is_whole() {
        for (name, text) in BUILT_IN {
            let scenario = crate::scenario::from_text(name, text, &Default::default()).unwrap();
            assert_eq!(scenario.name, name.trim_start_matches("faults/"));
            // Under each of its profiles too.
            crate::scenario::validate(name, &|_| Ok(())).unwrap();
        }
    }

    #[test]
    fn what_is_missing_is_named_with_a_remedy() {
        let text = find("latencyy").unwrap_err().to_string();
        assert!(text.contains("did you mean `latency`?"), "{text}");
        let text = find("no/such/file.yaml").unwrap_err().to_string();
        assert!(text.starts_with("no/such/file.yaml: cannot be read"), "{text}");
        assert!(find("./src").unwrap_err().to_string().contains("not a file"));
        assert!(find("../secret").is_err());
    }

    #[test]
    fn large_and_binary_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.yaml");
        std::fs::write(&path, vec![b' '; yaml::MAX_TEXT + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("larger than"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("UTF-8"));
    }
}
