//! The Java that runs Kafka: `JAVA_HOME` if set, else the first in `PATH`; 17 or newer.

use crate::environment::install::{Tool, install};
use crate::environment::{EnvironmentError, program};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NEEDED: u32 = 17;

fn remedy() -> String {
    format!("{} or point JAVA_HOME to it", install(Tool::Java))
}

#[derive(Debug)]
pub struct Java {
    pub program: PathBuf,
    /// As it names itself, such as `17.0.15`.
    pub version: String,
    /// The variable that names it, or `PATH`.
    from: &'static str,
}

impl Java {
    pub fn origin(&self) -> String {
        format!("{} from {}", self.version, self.from)
    }
}

/// `limit` is for its answer to `-version`, which takes 0.1 s on an idle machine.
pub fn find(limit: Duration) -> Result<Java, EnvironmentError> {
    let (program, from) = match program::variable("JAVA_HOME") {
        Some(home) => {
            let java = Path::new(&home).join("bin/java");
            if !program::is_executable(&java) {
                let what = format!("bin/java in JAVA_HOME={home}");
                return Err(EnvironmentError::missing(
                    what,
                    format!("correct JAVA_HOME, or unset it; Java {NEEDED} or newer is needed"),
                ));
            }
            (java, "JAVA_HOME")
        }
        None => {
            let what = || format!("Java {NEEDED} or newer, which runs Kafka,");
            let missing = || EnvironmentError::missing(what(), remedy());
            (program::find("java").ok_or_else(missing)?, "PATH")
        }
    };
    // The broker gets its own working directory.
    let program = std::path::absolute(&program).unwrap_or(program);
    let answer = program::output(&program, &["-version"], limit)?;
    judge(program, from, &answer)
}

fn judge(program: PathBuf, from: &'static str, answer: &str) -> Result<Java, EnvironmentError> {
    let shown = program.display();
    let Some((version, major)) = version(answer) else {
        let first = answer.lines().next().unwrap_or("nothing");
        return Err(EnvironmentError::refused(
            format!("{shown} does not say which Java it is (`{first}`)"),
            format!("Java {NEEDED} or newer is needed: {}", remedy()),
        ));
    };
    if major < NEEDED {
        return Err(EnvironmentError::refused(
            format!("{shown} is Java {version}, too old for Kafka, which needs {NEEDED} or newer"),
            remedy(),
        ));
    }
    Ok(Java { version: version.to_owned(), program, from })
}

/// From `openjdk version "17.0.15" 2025-04-15`; before Java 9 it read `"1.8.0_392"`.
fn version(answer: &str) -> Option<(&str, u32)> {
    // Not always the first line: the JVM announces options that it takes from the environment
    // before it.
    let line = answer.lines().find(|line| line.contains(" version \""))?;
    let version = line.split('"').nth(1)?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let major = match numbers.next()?.ok()? {
        1 => numbers.next()?.ok()?,
        major => major,
    };
    Some((version, major))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_ages_are_read() {
        let of = |text| version(text).map(|(_, major)| major);
        assert_eq!(of("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(of("java version \"1.8.0_392\""), Some(8));
        assert_eq!(of("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(of("openjdk version \"24-ea\" 2025-03-18"), Some(24));
        assert_eq!(of("Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"21.0.1\""), Some(21));
        assert_eq!(of("command not found"), None);
    }

    #[test]
    fn too_old_says_what_was_found_and_what_to_do() {
        let error =
            judge("/opt/java/bin/java".into(), "PATH", "openjdk version \"11.0.2\" 2019-01-15")
                .unwrap_err()
                .to_string();
        for part in ["/opt/java/bin/java", "11.0.2", "17", "JAVA_HOME"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(judge("java".into(), "PATH", "Segmentation fault").is_err());
    }
}
