//! The harness's side of the janitor: one request, one reply, each with a deadline.

use super::folder;
use super::{End, JANITOR, JanitorReply, Launch, ProcessState, Request, Signal, send};
use crate::environment::EnvironmentError;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest that a reply may take: removing the data of a large run, or containers from a loaded
/// engine.
const REPLY: Duration = Duration::from_secs(45);
/// The longest that a killed process may take to be gone: one that waits for a slow disk is gone
/// once that has answered.
pub const KILLED: Duration = Duration::from_secs(20);

/// A running janitor. Dropping it, or the end of this process in whatever way, ends everything that
/// it started.
pub struct Janitor {
    folder: PathBuf,
    link: Mutex<Option<JanitorLink>>,
}

struct JanitorLink {
    socket: BufReader<UnixStream>,
    process: Child,
}

impl Janitor {
    /// Starts `exe` (a brokerbench binary) as a janitor, in a process group of its own: Ctrl-C does
    /// not reach it.
    pub fn start(exe: &Path) -> Result<Self, EnvironmentError> {
        let begin = || {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_read_timeout(Some(REPLY))?;
            let process = Command::new(exe)
                .arg(JANITOR)
                .stdin(OwnedFd::from(theirs))
                // No pipe of ours may stay open in it: whoever reads our output waits for its end.
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()?;
            let mut link = JanitorLink { socket: BufReader::new(ours), process };
            match link.receive()? {
                JanitorReply::Ready { folder } => Ok(Self { folder, link: Mutex::new(Some(link)) }),
                JanitorReply::Failed { why } => Err(io::Error::other(why)),
                other => Err(io::Error::other(format!("it answered {other:?}"))),
            }
        };
        let what = format!("the janitor process ({})", exe.display());
        begin().map_err(|error| EnvironmentError::did_not_start(what, error))
    }

    /// The run folder, which goes away with the janitor.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn is_alive(&self) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.as_mut().is_some_and(|link| matches!(link.process.try_wait(), Ok(None)))
    }

    /// Starts a process in its own process group. That the program could be run is not yet proven
    /// on return.
    pub fn spawn(&self, launch: Launch) -> Result<u32, EnvironmentError> {
        match self.ask(&Request::Spawn(launch))? {
            JanitorReply::Spawned { pid } => Ok(pid),
            other => Err(unexpected(&other)),
        }
    }

    /// Signals a process and all that it started; a process that has ended is no error.
    pub fn signal(&self, pid: u32, signal: Signal) -> Result<(), EnvironmentError> {
        self.order(&Request::Signal { pid, signal })
    }

    pub fn status(&self, pid: u32) -> Result<ProcessState, EnvironmentError> {
        match self.ask(&Request::Status { pid })? {
            JanitorReply::Running => Ok(ProcessState::Running),
            JanitorReply::Ended(end) => Ok(ProcessState::Ended(end)),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits for a process to end by itself; `None` when `deadline` comes first.
    pub fn wait(&self, pid: u32, deadline: Instant) -> Result<Option<End>, EnvironmentError> {
        loop {
            if let ProcessState::Ended(end) = self.status(pid)? {
                return Ok(Some(end));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills a process and all that it started, and waits until it is gone.
    pub fn kill(&self, pid: u32) -> Result<(), EnvironmentError> {
        self.signal(pid, Signal::Kill)?;
        match self.wait(pid, Instant::now() + KILLED)? {
            Some(_) => Ok(()),
            None => Err(EnvironmentError::Refused(format!(
                "process {pid} does not end though it was killed"
            ))),
        }
    }

    /// Removes a folder inside the run folder, after it has killed what was started there.
    pub fn remove(&self, path: &Path) -> Result<(), EnvironmentError> {
        self.order(&Request::Remove { path: path.to_owned() })
    }

    /// Has this compose project taken away at our end at the latest. To be called before its first
    /// container.
    pub fn hold(&self, docker: &Path, project: &str) -> Result<(), EnvironmentError> {
        self.order(&Request::Hold { docker: docker.to_owned(), project: project.to_owned() })
    }

    /// Takes a compose project away now.
    pub fn release(&self, project: &str) -> Result<(), EnvironmentError> {
        self.order(&Request::Release { project: project.to_owned() })
    }

    fn order(&self, request: &Request) -> Result<(), EnvironmentError> {
        match self.ask(request)? {
            JanitorReply::Done | JanitorReply::Ended(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends every process, removes the run folder and the janitor itself. Also done when dropped.
    pub fn shut_down(&self) {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut link) = link {
            let _ = link.exchange(&Request::Quit);
            // Dropping the link (closing the socket) makes even a janitor that did not answer clean
            // up.
            drop(link);
        }
        // Left only if the janitor was killed; its children died with it.
        let _ = folder::remove(&self.folder);
    }

    fn ask(&self, request: &Request) -> Result<JanitorReply, EnvironmentError> {
        let mut guard = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |cause: String| EnvironmentError::Died {
            what: "the janitor process, and every broker with it,".into(),
            cause,
            log_tail: String::new(),
        };
        let link = guard.as_mut().ok_or_else(|| gone("it was shut down".into()))?;
        match link.exchange(request) {
            Ok(JanitorReply::Failed { why }) => {
                Err(EnvironmentError::Refused(format!("the janitor process: {why}")))
            }
            Ok(reply) => Ok(reply),
            Err(error) => {
                // Out of step from here on: close the socket, and it cleans up.
                *guard = None;
                Err(gone(error.to_string()))
            }
        }
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl JanitorLink {
    fn exchange(&mut self, request: &Request) -> io::Result<JanitorReply> {
        send(self.socket.get_mut(), request)?;
        self.receive()
    }

    fn receive(&mut self) -> io::Result<JanitorReply> {
        let mut line = String::new();
        if self.socket.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for JanitorLink {
    /// Closes the socket and reaps the janitor, which ends once it has cleaned up.
    fn drop(&mut self) {
        let _ = self.socket.get_ref().shutdown(std::net::Shutdown::Both);
        let deadline = Instant::now() + KILLED;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn unexpected(reply: &JanitorReply) -> EnvironmentError {
    EnvironmentError::Refused(format!("the janitor process answered {reply:?}"))
}
