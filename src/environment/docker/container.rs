//! One container that runs a node, driven by the docker program.
//!
//! Signals go to its first process, which is the broker itself: SIGSTOP stops it as it does a
//! process of ours, and /proc shows it where the engine is of this very kernel.

use super::Engine;
use crate::environment::nodes::Runner;
use crate::environment::nodes::files::last_lines;
use crate::environment::process::{lives, start_time};
use crate::environment::{End, EnvironmentError, ProcessState, Signal, program};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a loaded engine may take over one order.
const ORDER: Duration = Duration::from_secs(30);
/// From a signal that ends it until the engine knows.
const GONE: Duration = Duration::from_secs(20);
/// Asking the engine costs some 30 ms of a core: where only it can tell, it is asked this often at
/// most.
const EVERY: Duration = Duration::from_secs(1);
/// Between looks at what is about to end: at /proc, and at the engine where only it can tell.
const SOON: Duration = Duration::from_millis(10);
const UNSEEN: Duration = Duration::from_millis(200);

pub struct Container {
    engine: Arc<Engine>,
    name: String,
    /// Its first process and when that began: together a name that is never used again.
    process: Option<(u32, u64)>,
    asked: Mutex<Option<Instant>>,
}

impl Container {
    /// One that was started just now.
    pub fn started(engine: &Arc<Engine>, name: String) -> Result<Self, EnvironmentError> {
        let mut container =
            Self { engine: Arc::clone(engine), name, process: None, asked: Mutex::new(None) };
        container.process = container.look()?.process(engine.here);
        Ok(container)
    }

    fn order(&self, words: &[&str]) -> Result<program::Answer, EnvironmentError> {
        program::ask(&self.engine.docker, &[words, &[self.name.as_str()]].concat(), ORDER)
    }

    fn look(&self) -> Result<ContainerState, EnvironmentError> {
        let format = "{{.State.Running}} {{.State.Pid}} {{.State.ExitCode}} {{.State.OOMKilled}}";
        let answer = self.order(&["inspect", "--format", format])?;
        ContainerState::parse(&answer.out)
            .filter(|_| answer.success)
            .ok_or_else(|| self.refused("cannot be looked at", answer.complaint()))
    }

    fn refused(&self, what: &str, why: &str) -> EnvironmentError {
        EnvironmentError::Refused(format!("container {} {what}: {why}", self.name))
    }

    /// Whether /proc shows it; `None` where it does not show this engine's processes.
    fn is_seen(&self) -> Option<bool> {
        self.process.map(|(pid, began)| lives(pid, began))
    }
}

impl Runner for Container {
    fn pid(&self) -> u32 {
        self.process.map_or(0, |(pid, _)| pid)
    }

    fn start(&mut self) -> Result<(), EnvironmentError> {
        let answer = self.order(&["start"])?;
        if !answer.success {
            return Err(self.refused("was not started again", answer.complaint()));
        }
        self.process = self.look()?.process(self.engine.here);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), EnvironmentError> {
        let name = format!("{signal:?}").to_uppercase();
        let answer = self.order(&["kill", "--signal", &name])?;
        // One that has ended is no error.
        if answer.success || answer.err.contains("is not running") {
            return Ok(());
        }
        Err(self.refused(&format!("was not sent SIG{name}"), answer.complaint()))
    }

    fn status(&self) -> Result<ProcessState, EnvironmentError> {
        if let Some(seen) = self.is_seen() {
            if seen {
                return Ok(ProcessState::Running);
            }
        } else {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|at| at.elapsed() < EVERY) {
                return Ok(ProcessState::Running);
            }
            *asked = Some(Instant::now());
        }
        Ok(self.look()?.state())
    }

    /// Until the engine itself says that it has ended: one that it holds for running is not started
    /// again. As long as its process is seen, the engine, which costs the brokers processor time,
    /// is not asked.
    fn wait(&self, deadline: Instant) -> Result<Option<End>, EnvironmentError> {
        loop {
            let seen = self.is_seen();
            if seen != Some(true)
                && let ProcessState::Ended(end) = self.look()?.state()
            {
                return Ok(Some(end));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(if seen.is_some() { SOON } else { UNSEEN });
        }
    }

    fn kill(&self) -> Result<(), EnvironmentError> {
        self.signal(Signal::Kill)?;
        match self.wait(Instant::now() + GONE)? {
            Some(_) => Ok(()),
            None => Err(self.refused("does not end", "it was killed")),
        }
    }

    fn mounts(&self) -> Option<String> {
        let words = ["exec", &self.name, "cat", "/proc/self/mountinfo"];
        let answer = program::ask(&self.engine.docker, &words, ORDER).ok()?;
        answer.success.then_some(answer.out)
    }

    fn log_tail(&self, lines: usize) -> String {
        // Some lines more: those of a stack trace are left out.
        let more = (lines * 4).to_string();
        let answer = self.order(&["logs", "--tail", &more]);
        answer.map(|answer| last_lines(&(answer.out + &answer.err), lines)).unwrap_or_default()
    }
}

/// What the engine says of a container.
struct ContainerState {
    running: bool,
    pid: u32,
    exit_code: i32,
    out_of_memory: bool,
}

impl ContainerState {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self {
            running: words.next()?.parse().ok()?,
            pid: words.next()?.parse().ok()?,
            exit_code: words.next()?.parse().ok()?,
            out_of_memory: words.next()?.parse().ok()?,
        })
    }

    fn process(&self, here: bool) -> Option<(u32, u64)> {
        if here && self.running { Some((self.pid, start_time(self.pid)?)) } else { None }
    }

    fn state(&self) -> ProcessState {
        if self.running {
            return ProcessState::Running;
        }
        let memory = if self.out_of_memory { ", out of the memory that it was given" } else { "" };
        ProcessState::Ended(End {
            success: self.exit_code == 0,
            how: format!("exit code {}{memory}", self.exit_code),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_ended_is_told() {
        assert_eq!(
            ContainerState::parse("true 7 0 false\n").unwrap().state(),
            ProcessState::Running
        );
        let ProcessState::Ended(end) = ContainerState::parse("false 0 137 true").unwrap().state()
        else {
            panic!()
        };
        assert!(
            !end.success && end.how.contains("137") && end.how.contains("memory"),
            "{}",
            end.how
        );
        assert!(
            ContainerState::parse("").is_none() && ContainerState::parse("<no value>").is_none()
        );
        let me = std::process::id();
        let running = ContainerState { running: true, pid: me, exit_code: 0, out_of_memory: false };
        assert_eq!(running.process(true).map(|(pid, _)| pid), Some(me));
        assert_eq!(running.process(false), None, "another kernel's process ids mean nothing here");
    }
}
