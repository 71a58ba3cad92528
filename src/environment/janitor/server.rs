//! The janitor's own side: one thread, one socket, and the processes it is the parent of.
//!
//! A process id is in use here only until it is reaped, and it is reaped only after its whole group
//! was killed: so no signal can reach a process that merely inherited the number.

use super::client::KILLED;
use super::folder::{BrokerFolder, sweep};
use super::{EXEC, End, JanitorReply, Launch, ProcessState, Request, Signal, containers, send};
use rustix::process::{Pid, WaitId, WaitIdOptions, getppid, kill_process_group, waitid};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Serves the harness on the socket that is this process's standard input, until it is gone; then
/// cleans up.
pub fn run() -> u8 {
    u8::from(serve().is_err())
}

fn serve() -> io::Result<()> {
    outlive_the_terminal()?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let harness = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let folder = match BrokerFolder::create(harness) {
        Ok(folder) => folder,
        Err(error) => {
            let directory = std::env::temp_dir();
            let why = format!(
                "cannot make a folder in {}: {error} (TMPDIR says where)",
                directory.display()
            );
            return send(&mut socket, &JanitorReply::Failed { why });
        }
    };
    let mut janitor =
        JanitorServer { folder, children: BTreeMap::new(), projects: BTreeMap::new() };
    let asked_to_quit = janitor.talk(&mut socket);
    janitor.clean_up()?;
    if asked_to_quit.is_ok() {
        let _ = send(&mut socket, &JanitorReply::Done);
    }
    Ok(())
}

/// Ctrl-C, TERM and HUP are for the harness: this process ends when the harness has. (A handler,
/// not `SIG_IGN`: brokers would inherit the latter.) Nor does it stand in anybody's directory.
fn outlive_the_terminal() -> io::Result<()> {
    for signal in
        [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
    {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    std::env::set_current_dir("/")
}

struct JanitorServer {
    folder: BrokerFolder,
    children: BTreeMap<u32, ManagedProcess>,
    /// Compose projects that may have containers, each with the program that removes them.
    projects: BTreeMap<String, PathBuf>,
}

enum ManagedProcess {
    /// With the folder that it was started in.
    Ours(Child, PathBuf),
    Ended(End),
}

impl JanitorServer {
    /// Answers requests; `Ok` when asked to quit, an error when the harness is gone.
    fn talk(&mut self, socket: &mut UnixStream) -> io::Result<()> {
        // First: whoever hears that we are ready begins to measure, and looks for what dead runs
        // have left elsewhere.
        sweep(&std::env::temp_dir());
        send(socket, &JanitorReply::Ready { folder: self.folder.path().to_owned() })?;
        let requests = BufReader::new(socket.try_clone()?);
        for line in requests.lines() {
            let reply = match serde_json::from_str(&line?) {
                Ok(Request::Quit) => return Ok(()),
                Ok(request) => self
                    .answer(request)
                    .unwrap_or_else(|error| JanitorReply::Failed { why: error.to_string() }),
                Err(error) => JanitorReply::Failed { why: error.to_string() },
            };
            send(socket, &reply)?;
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn answer(&mut self, request: Request) -> io::Result<JanitorReply> {
        Ok(match request {
            Request::Spawn(launch) => JanitorReply::Spawned { pid: self.spawn(&launch)? },
            Request::Signal { pid, signal } => {
                if let ProcessState::Ended(end) = self.state(pid)? {
                    return Ok(JanitorReply::Ended(end));
                }
                signal_group(pid, signal)?;
                JanitorReply::Done
            }
            Request::Status { pid } => match self.state(pid)? {
                ProcessState::Running => JanitorReply::Running,
                ProcessState::Ended(end) => JanitorReply::Ended(end),
            },
            Request::Remove { path } => {
                self.folder.must_hold(&path)?;
                let left = self.kill(self.inside(&path));
                if !left.is_empty() {
                    return Err(io::Error::other(format!(
                        "processes {left:?} do not end though they were killed"
                    )));
                }
                self.folder.remove_inside(&path)?;
                JanitorReply::Done
            }
            Request::Hold { docker, project } => {
                self.projects.insert(project, docker);
                JanitorReply::Done
            }
            Request::Release { project } => {
                if let Some(docker) = self.projects.get(&project) {
                    // Whoever asks has seen it all begun; what fails stays held.
                    containers::remove(docker, &project, containers::Look::Once)
                        .map_err(io::Error::other)?;
                    self.projects.remove(&project);
                }
                JanitorReply::Done
            }
            Request::Quit => JanitorReply::Done,
        })
    }

    fn spawn(&mut self, launch: &Launch) -> io::Result<u32> {
        let log = OpenOptions::new().create(true).append(true).open(&launch.log)?;
        let child = Command::new(own_program()?)
            .arg(EXEC)
            .arg(std::process::id().to_string())
            .args(&launch.argv)
            .envs(&launch.env)
            .current_dir(&launch.cwd)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        self.children.insert(pid, ManagedProcess::Ours(child, launch.cwd.clone()));
        // It runs: whoever asked must hear its id. The note is for sweeps, should this janitor be
        // killed, and a process dies with its janitor anyhow.
        let _ = self.folder.note(pid);
        Ok(pid)
    }

    fn state(&mut self, pid: u32) -> io::Result<ProcessState> {
        let process = self.children.get_mut(&pid);
        let process =
            process.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such process"))?;
        match process {
            ManagedProcess::Ended(end) => Ok(ProcessState::Ended(end.clone())),
            ManagedProcess::Ours(child, _) => {
                let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                if waitid(WaitId::Pid(raw(pid)?), look)?.is_none() {
                    return Ok(ProcessState::Running);
                }
                // Its own children first, while its id still stands for the group.
                let _ = signal_group(pid, Signal::Kill);
                let status = child.wait()?;
                let end = End { success: status.success(), how: status.to_string() };
                *process = ManagedProcess::Ended(end.clone());
                Ok(ProcessState::Ended(end))
            }
        }
    }

    /// What was started in this folder or below.
    fn inside(&self, folder: &Path) -> Vec<u32> {
        let inside = |(pid, process): (&u32, &ManagedProcess)| match process {
            ManagedProcess::Ours(_, cwd) if cwd.starts_with(folder) => Some(*pid),
            _ => None,
        };
        self.children.iter().filter_map(inside).collect()
    }

    /// Kills these, whatever state they are in, and tells what is not gone in time. One that is
    /// stuck in the kernel must not keep the others alive, nor the folder.
    fn kill(&mut self, mut pids: Vec<u32>) -> Vec<u32> {
        pids.retain(|pid| matches!(self.state(*pid), Ok(ProcessState::Running)));
        for pid in &pids {
            let _ = signal_group(*pid, Signal::Kill);
            let _ = signal_group(*pid, Signal::Cont);
        }
        let deadline = Instant::now() + KILLED;
        loop {
            pids.retain(|pid| matches!(self.state(*pid), Ok(ProcessState::Running)));
            if pids.is_empty() || Instant::now() >= deadline {
                return pids;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends everything that was started here and removes the run folder.
    fn clean_up(mut self) -> io::Result<()> {
        self.kill(self.children.keys().copied().collect());
        for (project, docker) in &self.projects {
            // The engine may still be busy with what a killed compose had asked of it.
            let _ = containers::remove(docker, project, containers::Look::UntilQuiet);
        }
        self.folder.remove()
    }
}

fn raw(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a process id"))
}

fn signal_group(pid: u32, signal: Signal) -> io::Result<()> {
    let signal = match signal {
        Signal::Stop => rustix::process::Signal::STOP,
        Signal::Cont => rustix::process::Signal::CONT,
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    Ok(kill_process_group(raw(pid)?, signal)?)
}

/// This very program, also after its file was replaced by a new build.
fn own_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}
