//! A broker that the janitor holds: started until it answers, watched, crashed and started again, taken away.

use crate::environment::probe::Probe;
use crate::environment::{Broker, EnvironmentError, Janitor, Launch, Signal, State};
use crate::fault::disk::{DiskError, DiskFault, Lost, Model, Preload, Seen};
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
    /// Whether its disks can be faulted.
    pub preloaded: bool,
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
    /// Killed on purpose, and not started again yet.
    down: bool,
    preload: Option<Preload>,
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
        };
        for Plan { mut launch, address } in plans {
            let preload = if job.preloaded { Some(preload(&mut launch)?) } else { None };
            let pid = broker.janitor.spawn(launch.clone())?;
            broker.nodes.push(Node { pid, address, launch, down: false, preload });
        }
        broker.await_answers(begun)?;
        for node in &broker.nodes {
            node.preload.as_ref().map_or(Ok(()), |preload| preload.verify(&broker.name(node)))?;
        }
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

    fn preload(&self, index: usize) -> Result<&Preload, EnvironmentError> {
        let preload = self.nodes.get(index).and_then(|node| node.preload.as_ref());
        preload.ok_or_else(|| {
            let what = format!("node {index} of {} runs without the library that faults disks", self.what);
            EnvironmentError::Refused(what)
        })
    }

    /// Kills these nodes at once and sees them gone.
    fn kill(&mut self, indices: &[usize]) -> Result<(), EnvironmentError> {
        let mut pids = Vec::new();
        for (_, node) in self.nodes.iter_mut().enumerate().filter(|(index, _)| indices.contains(index)) {
            node.down = true;
            pids.push(node.pid);
        }
        // All first, then each until it is gone: one that ends alone could still tell the others.
        pids.iter().try_for_each(|pid| self.janitor.signal(*pid, Signal::Kill))?;
        pids.iter().try_for_each(|pid| self.janitor.kill(*pid))
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
        self.nodes.iter().filter(|node| !node.down).map(|node| node.pid).collect()
    }

    fn check(&mut self) -> Result<(), EnvironmentError> {
        for node in self.nodes.iter().filter(|node| !node.down) {
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
        self.kill(&(0..self.nodes.len()).collect::<Vec<_>>())
    }

    fn lose_power(&mut self, nodes: &[usize], model: Model) -> Result<Lost, EnvironmentError> {
        // Before anything is killed for nothing.
        nodes.iter().try_for_each(|&index| self.preload(index).map(drop))?;
        self.kill(nodes)?;
        let mut all = Lost { model, files: Vec::new() };
        for &index in nodes {
            if let Some(preload) = &mut self.nodes[index].preload {
                all.files.extend(preload.lose(model)?.files);
            }
        }
        // As the reader knows the files: node and topic, not where this run lay.
        let home = fs::canonicalize(&self.home).unwrap_or_else(|_| self.home.clone());
        for cut in &mut all.files {
            if let Ok(inner) = cut.path.strip_prefix(&home) {
                cut.path = inner.to_owned();
            }
        }
        Ok(all)
    }

    fn set_disk(&mut self, node: usize, fault: DiskFault) -> Result<(), EnvironmentError> {
        Ok(self.preload(node)?.set(fault)?)
    }

    fn disk(&self, node: usize) -> Result<Seen, EnvironmentError> {
        Ok(self.preload(node)?.seen()?)
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
            node.down = false;
        }
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

/// Makes the library ready for a node, whose data lies in `data` beside its other files.
fn preload(launch: &mut Launch) -> Result<Preload, EnvironmentError> {
    let preload = Preload::prepare(&launch.cwd.join("preload"), &launch.cwd.join("data"))?;
    launch.env.extend(preload.environment());
    Ok(preload)
}

impl From<DiskError> for EnvironmentError {
    fn from(error: DiskError) -> Self {
        Self::Refused(error.to_string())
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
