//! The program that measures: the commit of its sources, and a hash of the very binary.

use ring::digest::{Context, SHA256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;

/// Set by `build.rs`; empty where the commit is not known.
const COMMIT: &str = env!("BROKERBENCH_COMMIT");
/// How it ends where what was compiled differed from the commit.
const DIRTY: &str = "-dirty";
const CHUNK: usize = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Of the sources; `null` of a debug build, and of sources that lay in no git tree.
    pub commit: Option<String>,
    /// Whether what was compiled differed from the commit; `null` where that is not known.
    pub dirty: Option<bool>,
    /// SHA-256 of the program file; `null` where it could not be read.
    pub binary: Option<String>,
}

impl Build {
    /// Of this process.
    pub fn this() -> &'static Self {
        static THIS: OnceLock<Build> = OnceLock::new();
        THIS.get_or_init(|| Self::of(COMMIT, hash().ok()))
    }

    fn of(commit: &str, binary: Option<String>) -> Self {
        let clean = commit.strip_suffix(DIRTY);
        let named = Some(clean.unwrap_or(commit).to_owned()).filter(|name| !name.is_empty());
        Self { dirty: named.as_ref().map(|_| clean.is_some()), commit: named, binary }
    }

    /// Whether both are known to be one binary.
    pub fn same(a: Option<&Self>, b: Option<&Self>) -> bool {
        let binary = |build: Option<&Self>| build.and_then(|build| build.binary.clone());
        binary(a).is_some() && binary(a) == binary(b)
    }

    pub fn words(build: Option<&Self>) -> String {
        build.map_or_else(|| "build not told".to_owned(), ToString::to_string)
    }
}

/// The file that was started, even where another has taken its place since.
fn hash() -> io::Result<String> {
    let started = Path::new("/proc/self/exe");
    let mut file = match File::open(started) {
        Ok(file) => file,
        Err(_) => File::open(std::env::current_exe()?)?,
    };
    sha256(&mut file)
}

/// In hexadecimal, as `sha256sum` has it.
pub fn sha256(file: &mut impl Read) -> io::Result<String> {
    let (mut context, mut chunk) = (Context::new(&SHA256), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => context.update(&chunk[..read]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Such as `commit 40e68d9f01ab with changes, binary 5b1f00c2d3e4`.
impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &Option<String>| {
            text.as_deref()
                .map_or("not told".into(), |text| text.chars().take(12).collect::<String>())
        };
        let changed = if self.dirty == Some(true) { " with changes" } else { "" };
        write!(f, "commit {}{changed}, binary {}", short(&self.commit), short(&self.binary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_says_what_it_was_made_from() {
        let of = |commit: &str| Build::of(commit, Some("0123456789abcdef".into()));
        assert_eq!((of("").commit, of("").dirty), (None, None));
        assert_eq!((of("abc").dirty, of("abc-dirty").dirty), (Some(false), Some(true)));
        let words = of("40e68d9f01abcdef-dirty").to_string();
        assert_eq!(words, "commit 40e68d9f01ab with changes, binary 0123456789ab");
        assert_eq!(of("").to_string(), "commit not told, binary 0123456789ab");
        assert_eq!(Build::words(None), "build not told");
    }

    #[test]
    fn two_that_do_not_tell_are_not_known_to_be_one() {
        let build = Build { binary: Some("a".into()), ..Build::default() };
        let silent = Build::default();
        assert!(Build::same(Some(&build), Some(&build)));
        assert!(!Build::same(Some(&silent), Some(&silent)));
        assert!(!Build::same(None, None) && !Build::same(Some(&build), None));
    }

    #[test]
    fn the_binary_is_hashed_as_sha256sum_does() {
        let own = std::env::current_exe().unwrap();
        let Ok(output) = std::process::Command::new("sha256sum").arg(own).output() else { return };
        let binary = Build::this().binary.as_deref().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(binary));
        assert_eq!(binary.len(), 64);
    }
}
