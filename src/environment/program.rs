//! Programs of this machine: where they are, and what they print when asked for their version.

use super::EnvironmentError;
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Far more than any answer that is asked for here.
const MOST: u64 = 64 << 20;
/// For the last words of a program that has ended; they are in the pipe already.
const AFTERWARDS: Duration = Duration::from_millis(500);

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

/// Where brokerbench keeps what outlives a run: Kafka's jars, a redis-server, the self-check's
/// result. Absolute: brokers get a working directory of their own.
pub fn cache_dir() -> Option<PathBuf> {
    let root = variable("BROKERBENCH_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME"))
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")))?;
    cache_in(&root)
}

/// A folder of that name there.
pub fn cached(name: &str) -> Result<PathBuf, EnvironmentError> {
    let missing = || {
        let remedy = "set BROKERBENCH_CACHE to a folder, since HOME is not set";
        EnvironmentError::missing(format!("a place for {name}"), remedy)
    };
    Ok(cache_dir().ok_or_else(missing)?.join(name))
}

fn cache_in(root: &Path) -> Option<PathBuf> {
    std::path::absolute(root.join("brokerbench")).ok()
}

/// A small file of the system; `None` where it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// What a short-lived program prints, both streams together; see [`ask`].
pub fn output(
    program: &Path,
    args: &[impl AsRef<OsStr>],
    limit: Duration,
) -> Result<String, EnvironmentError> {
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

/// Runs a short-lived program; killed with everything that it started when it takes longer than
/// `limit`. What it leaves running when it ends is not waited for, and of each stream no more than
/// [`MOST`] is read.
pub fn ask(
    program: &Path,
    args: &[impl AsRef<OsStr>],
    limit: Duration,
) -> Result<Answer, EnvironmentError> {
    let failed = |cause: &dyn Display| EnvironmentError::did_not_start(program.display(), cause);
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    let (out, err) = (child.stdout.take().map(listen), child.stderr.take().map(listen));
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                // A script's own children would live on without it.
                let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                return Err(failed(&format_args!("no answer within {} s", limit.as_secs_f64())));
            }
            Err(error) => return Err(failed(&error)),
        }
    };
    let end = Instant::now() + AFTERWARDS;
    let text = |stream: Option<Receiver<Vec<u8>>>| {
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.as_ref().and_then(|stream| {
            stream.recv_timeout(end.saturating_duration_since(Instant::now())).ok()
        }) {
            bytes.extend(chunk);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Answer { success: status.success(), out: text(out), err: text(err) })
}

/// What comes out of a stream, piece by piece.
fn listen(stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, mut chunk) = (stream.take(MOST), [0; 16384]);
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            if sender.send(chunk[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    heard
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
    fn a_cache_named_from_here_is_found_from_elsewhere() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(cache_in(Path::new("some/cache")), Some(here.join("some/cache/brokerbench")));
        assert_eq!(cache_in(Path::new("/cache")), Some(PathBuf::from("/cache/brokerbench")));
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let sleep = find("sleep").unwrap_or_default();
        let error = output(&sleep, &["60"], Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("no answer"), "{error}");
        assert_eq!(
            output(&find("echo").unwrap_or_default(), &["hi"], Duration::from_secs(5)).unwrap(),
            "hi\n"
        );
    }

    #[test]
    fn what_a_program_leaves_running_holds_nobody_up() {
        let (sh, began) = (find("sh").unwrap_or_default(), Instant::now());
        assert_eq!(
            output(&sh, &["-c", "sleep 40 & echo hi"], Duration::from_secs(30)).unwrap(),
            "hi\n"
        );
        assert!(output(&sh, &["-c", "sleep 40; true"], Duration::from_millis(50)).is_err());
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_that_talks_without_end_is_cut_off() {
        let head = find("head").unwrap_or_default();
        let long = output(&head, &["-c", "70000000", "/dev/zero"], Duration::from_secs(30));
        assert_eq!(long.unwrap().len() as u64, MOST);
    }
}
