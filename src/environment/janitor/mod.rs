//! The janitor: a small process of our own that is the parent of every broker and outlives the
//! harness by the moment that it takes to clean up.
//!
//! Invariant: whenever the harness is gone, in whatever way, no broker and no temporary folder is
//! left a few seconds later. Three layers carry it:
//! 1. The harness holds one end of a socket, the janitor the other. The kernel closes it when
//!    the harness ends, also by SIGKILL; the janitor then kills and reaps every process group, and
//!    removes the run folder, which it made itself.
//! 2. The brokers ask the kernel to die with the janitor (`PDEATHSIG`, set by a trampoline
//!    before the broker's own program is loaded). Containers are children of nobody here: the
//!    janitor is told of each compose project before it begins, and takes it down with its volumes
//!    and networks.
//! 3. What a janitor that was itself killed left on disk is swept by the next one (a lock held
//!    by the living tells the two apart), and what it left in a container engine by the next run on
//!    containers.
//!
//! The janitor runs on one thread (`PDEATHSIG` fires when the parent *thread* ends), never prints,
//! and never waits for anything but the next request and the end of what it takes away.

mod client;
pub mod containers;
mod exec;
mod folder;
mod server;

pub use client::Janitor;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

const JANITOR: &str = "__janitor";
const EXEC: &str = "__exec";

/// Runs the helper process that this process was started as, and returns its exit code; `None` for
/// an ordinary start. To be called first in `main`, before any thread exists.
pub fn helper_process() -> Option<u8> {
    let mut args = std::env::args_os().skip(1);
    match args.next()?.to_str()? {
        JANITOR => Some(server::run()),
        EXEC => Some(exec::run(args)),
        _ => None,
    }
}

/// A process to start. The program is `argv[0]`; output and errors go to `log`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    pub argv: Vec<String>,
    /// Added to the environment that the harness was started with.
    pub env: BTreeMap<String, String>,
    pub cwd: PathBuf,
    pub log: PathBuf,
}

/// What can be done to a process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    Stop,
    Cont,
    Term,
    Kill,
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    Running,
    /// Gone and reaped.
    Ended(End),
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub success: bool,
    /// In words, such as `exit status: 1` or `signal: 9 (SIGKILL)`.
    pub how: String,
}

/// One line from harness to janitor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Spawn(Launch),
    Signal {
        pid: u32,
        signal: Signal,
    },
    Status {
        pid: u32,
    },
    /// Removes a folder inside the run folder, after it has killed what was started there.
    Remove {
        path: PathBuf,
    },
    /// From here on, containers of this compose project may exist, and must not outlive us.
    Hold {
        docker: PathBuf,
        project: String,
    },
    /// Removes them, with their volumes and networks.
    Release {
        project: String,
    },
    Quit,
}

/// One line from janitor to harness: the first unasked, then one per request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum JanitorReply {
    Ready { folder: PathBuf },
    Spawned { pid: u32 },
    Running,
    Ended(End),
    Done,
    Failed { why: String },
}

fn send(socket: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    socket.write_all(&line)
}
