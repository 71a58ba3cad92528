//! A broker that the janitor holds: started until it answers, watched, crashed and started again, taken away.

use crate::environment::probe::Probe;
use crate::environment::{Broker, EnvironmentError, Janitor, Launch, Signal, State};
use crate::scenario::Software;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Another program may take a port between our look and the broker's start.
const ATTEMPTS: u32 = 3;
pub const LOG_LINES: usize = 20;
/// How long an orderly end may take before it is made a disorderly one.
const TERM: Duration = Duration::from_secs(20);

/// What is the same for every node of the broker.
pub struct Job<'a> {
    pub janitor: &'a Arc<Janitor>,
    pub software: Software,
    /// With its version, such as `Kafka 4.4.0`.
    pub what: String,
    /// Everything of this broker lies here; made anew at each attempt.
    pub home: PathBuf,
    pub probe: Probe,
    /// From process start to the first answer.
    pub limit: Duration,
}

/// One node that is about to be started.
pub struct Plan {
    pub launch: Launch,
    pub address: SocketAddr,
}

struct Node {
    pid: u32,
    address: SocketAddr,
    launch: Launch,
}

pub struct NativeBroker {
    janitor: Arc<Janitor>,
    software: Software,
    what: String,
    home: PathBuf,
    nodes: Vec<Node>,
    probe: Probe,
    limit: Duration,
    started_in_ns: Option<u64>,
    /// Killed on purpose, and not started again yet.
    crashed: bool,
}

impl NativeBroker {
    /// Starts the nodes that `plan` lays out (with fresh ports at each call) and waits until all of them answer.
    pub fn start(
        job: &Job<'_>,
        mut plan: impl FnMut(&Path) -> Result<Vec<Plan>, EnvironmentError>,
    ) -> Result<Self, EnvironmentError> {
        let mut attempt = 1;
        loop {
            job.janitor.remove(&job.home)?;
            make_folder(&job.home)?;
            let plans = plan(&job.home)?;
            match Self::attempt(job, plans) {
                Err(EnvironmentError::DidNotStart { log_tail, .. })
                    if attempt < ATTEMPTS && log_tail.contains("ddress already in use") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn attempt(job: &Job<'_>, plans: Vec<Plan>) -> Result<Self, EnvironmentError> {
        let begun = Instant::now();
        let mut broker = Self {
            janitor: Arc::clone(job.janitor),
            software: job.software,
            what: job.what.clone(),
            home: job.home.clone(),
            nodes: Vec::new(),
            probe: job.probe.clone(),
            limit: job.limit,
            started_in_ns: None,
            crashed: false,
        };
        for Plan { launch, address } in plans {
            let pid = broker.janitor.spawn(launch.clone())?;
            broker.nodes.push(Node { pid, address, launch });
        }
        broker.await_answers(begun)?;
        broker.started_in_ns = u64::try_from(begun.elapsed().as_nanos()).ok();
        Ok(broker)
    }

    /// Such as `Kafka 4.4.0, node 2 (127.0.0.1:9092)`.
    fn name(&self, node: &Node) -> String {
        match self.nodes.iter().position(|known| known.address == node.address) {
            Some(index) if self.nodes.len() > 1 => format!("{}, node {} ({})", self.what, index + 1, node.address),
            _ => format!("{} on {}", self.what, node.address),
        }
    }

    fn await_answers(&self, begun: Instant) -> Result<(), EnvironmentError> {
        self.nodes.iter().try_for_each(|node| self.await_answer(node, begun + self.limit))
    }

    fn await_answer(&self, node: &Node, deadline: Instant) -> Result<(), EnvironmentError> {
        let failed = |cause: String| EnvironmentError::DidNotStart {
            what: self.name(node),
            cause,
            log_tail: tail(&node.launch.log, LOG_LINES),
        };
        loop {
            // The process first: on a port that it lost, somebody else may answer.
            if let State::Ended(end) = self.janitor.status(node.pid)? {
                return Err(failed(format!("its process ended ({}) before it answered on {}", end.how, node.address)));
            }
            match (self.probe)(node.address) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(failed(format!("no answer on {} in time: {error}", node.address)));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Broker for NativeBroker {
    fn software(&self) -> Software {
        self.software
    }

    fn version(&self) -> Option<String> {
        Some(self.what.clone())
    }

    fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.to_string()).collect()
    }

    fn pids(&self) -> Vec<u32> {
        if self.crashed {
            return Vec::new();
        }
        self.nodes.iter().map(|node| node.pid).collect()
    }

    fn check(&mut self) -> Result<(), EnvironmentError> {
        if self.crashed {
            return Ok(());
        }
        for node in &self.nodes {
            if let State::Ended(end) = self.janitor.status(node.pid)? {
                let log_tail = tail(&node.launch.log, LOG_LINES);
                return Err(EnvironmentError::Died { what: self.name(node), cause: end.how, log_tail });
            }
        }
        Ok(())
    }

    fn log_tail(&self, lines: usize) -> String {
        let [node] = self.nodes.as_slice() else {
            let each = self.nodes.iter().map(|node| format!("{}\n{}", self.name(node), tail(&node.launch.log, lines)));
            return each.collect::<Vec<_>>().join("\n");
        };
        tail(&node.launch.log, lines)
    }

    fn data_dir(&self) -> Option<PathBuf> {
        Some(self.home.clone())
    }

    fn started_in_ns(&self) -> Option<u64> {
        self.started_in_ns
    }

    fn crash(&mut self) -> Result<(), EnvironmentError> {
        self.crashed = true;
        // All first, then each until it is gone: one that ends alone could still tell the others.
        self.nodes.iter().try_for_each(|node| self.janitor.signal(node.pid, Signal::Kill))?;
        self.nodes.iter().try_for_each(|node| self.janitor.kill(node.pid))
    }

    fn restart(&mut self) -> Result<(), EnvironmentError> {
        self.nodes.iter().try_for_each(|node| self.janitor.signal(node.pid, Signal::Term))?;
        let deadline = Instant::now() + TERM;
        for node in &self.nodes {
            if self.janitor.wait(node.pid, deadline)?.is_none() {
                self.janitor.kill(node.pid)?;
            }
        }
        let begun = Instant::now();
        for node in &mut self.nodes {
            node.pid = self.janitor.spawn(node.launch.clone())?;
        }
        self.crashed = false;
        self.await_answers(begun)
    }

    /// Kills it: its data is deleted next, so there is nothing that a slow, orderly end would save.
    fn stop(&mut self) -> Result<(), EnvironmentError> {
        if self.nodes.is_empty() {
            return Ok(());
        }
        for node in std::mem::take(&mut self.nodes) {
            self.janitor.kill(node.pid)?;
        }
        self.janitor.remove(&self.home)
    }
}

impl Drop for NativeBroker {
    fn drop(&mut self) {
        // Where this fails, the janitor is gone, and has taken the broker with it.
        let _ = self.stop();
    }
}

pub fn make_folder(path: &Path) -> Result<(), EnvironmentError> {
    fs::create_dir_all(path).map_err(|error| cannot_write(path, &error))
}

pub fn write_file(path: &Path, text: &str) -> Result<(), EnvironmentError> {
    fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

pub fn cannot_write(path: &Path, error: &std::io::Error) -> EnvironmentError {
    EnvironmentError::Refused(format!("cannot write {}: {error}", path.display()))
}

/// The last lines of a log, without Java's stack frames: they would push the reason out of sight.
pub fn tail(log: &Path, lines: usize) -> String {
    const MOST: u64 = 256 * 1024;
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let telling = |line: &&str| !line.trim().is_empty() && !line.starts_with("\tat ");
    let text = read().unwrap_or_default();
    let mut last: Vec<&str> = text.lines().rev().filter(telling).take(lines).collect();
    last.reverse();
    last.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_reason_of_a_long_stack_trace() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let frames = "\tat org.apache.kafka.Some.method(Some.java:1)\n".repeat(40);
        fs::write(&log, format!("one\ntwo\nthe reason\n{frames}")).unwrap();
        assert_eq!(tail(&log, 2), "two\nthe reason");
        assert_eq!(tail(&folder.path().join("none"), 2), "");
    }
}
