//! Programs of this machine: where they are, and what they print when asked for their version.

use super::EnvironmentError;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The first executable file of that name in the folders of `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

pub fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A non-empty environment variable.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where brokerbench keeps what outlives a run: Kafka's jars, the self-check's result.
pub fn cache_dir() -> Option<PathBuf> {
    let root = variable("BROKERBENCH_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME"))
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")))?;
    Some(root.join("brokerbench"))
}

/// What a short-lived program prints, both streams together; killed when it takes longer than `limit`.
pub fn output(program: &Path, args: &[impl AsRef<OsStr>], limit: Duration) -> Result<String, EnvironmentError> {
    let answer = ask(program, args, limit)?;
    Ok(answer.out + &answer.err)
}

/// How a short-lived program ended and what it printed.
pub struct Answer {
    pub success: bool,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// What it complained about, in one line.
    pub fn complaint(&self) -> &str {
        let mut lines = self.out.lines().chain(self.err.lines()).map(str::trim);
        lines.rfind(|line| !line.is_empty()).unwrap_or("it does not say why")
    }
}

/// As [`output`], with the two streams and the success apart.
pub fn ask(program: &Path, args: &[impl AsRef<OsStr>], limit: Duration) -> Result<Answer, EnvironmentError> {
    let failed = |cause: String| EnvironmentError::DidNotStart {
        what: program.display().to_string(),
        cause,
        log_tail: String::new(),
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("no answer within {} s", limit.as_secs())));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    };
    let read = |stream: JoinHandle<String>| stream.join().unwrap_or_default();
    Ok(Answer { success: status.success(), out: read(out), err: read(err) })
}

/// Reads a pipe to its end, so that nobody waits for room in it.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_in_the_path_and_nothing_else() {
        assert!(find("sh").is_some_and(|sh| sh.is_absolute()));
        assert_eq!(find("no-such-program-anywhere"), None);
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let sleep = find("sleep").unwrap_or_default();
        let error = output(&sleep, &["60"], Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("no answer"), "{error}");
        assert_eq!(output(&find("echo").unwrap_or_default(), &["hi"], Duration::from_secs(5)).unwrap(), "hi\n");
    }
}
