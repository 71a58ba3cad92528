//! Nodes as processes, held by the janitor.

use crate::environment::nodes::files::{make_folder, tail};
use crate::environment::nodes::{Node, NodeHost, NodesBroker, Plan, Runner};
use crate::environment::{End, EnvironmentError, Janitor, Launch, NodeRole, ProcessState, Signal};
use crate::fault::disk::Preload;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub type NativeBroker = NodesBroker<Processes>;

/// Where each node has its data, beside its other files.
const DATA: &str = "data";

/// The processes of one broker.
pub struct Processes {
    janitor: Arc<Janitor>,
    home: PathBuf,
    preloaded: bool,
}

impl Processes {
    /// With an empty folder, in which everything of the broker will lie.
    pub fn fresh(
        janitor: &Arc<Janitor>,
        home: &Path,
        preloaded: bool,
    ) -> Result<Self, EnvironmentError> {
        janitor.remove(home)?;
        make_folder(home)?;
        Ok(Self { janitor: Arc::clone(janitor), home: home.to_owned(), preloaded })
    }

    /// Makes the library ready for a node, whose data lies in `data` beside its other files.
    fn preload(
        &self,
        role: NodeRole,
        launch: &mut Launch,
    ) -> Result<Result<Preload, String>, EnvironmentError> {
        if !self.preloaded || role != NodeRole::Data {
            return Ok(Err(String::new()));
        }
        let preload = Preload::prepare(&launch.cwd.join("preload"), &launch.cwd.join(DATA))?;
        launch.env.extend(preload.environment());
        Ok(Ok(preload))
    }
}

impl NodeHost for Processes {
    type Start = Launch;

    fn start(&mut self, stage: Vec<(Plan, Launch)>) -> Result<Vec<Node>, EnvironmentError> {
        let mut nodes = Vec::new();
        for (plan, mut launch) in stage {
            let preload = self.preload(plan.role, &mut launch)?;
            let pid = self.janitor.spawn(launch.clone())?;
            let runner = Process { janitor: Arc::clone(&self.janitor), launch, pid };
            nodes.push(Node::new(plan, Box::new(runner), preload));
        }
        Ok(nodes)
    }

    fn dispose(&mut self) -> Result<(), EnvironmentError> {
        // The janitor kills all that it has started there first: also what no node of ours stands
        // for, because a start failed half way.
        self.janitor.remove(&self.home)
    }
}

struct Process {
    janitor: Arc<Janitor>,
    launch: Launch,
    pid: u32,
}

impl Runner for Process {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn start(&mut self) -> Result<(), EnvironmentError> {
        self.pid = self.janitor.spawn(self.launch.clone())?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), EnvironmentError> {
        self.janitor.signal(self.pid, signal)
    }

    fn status(&self) -> Result<ProcessState, EnvironmentError> {
        self.janitor.status(self.pid)
    }

    fn wait(&self, deadline: Instant) -> Result<Option<End>, EnvironmentError> {
        self.janitor.wait(self.pid, deadline)
    }

    fn kill(&self) -> Result<(), EnvironmentError> {
        self.janitor.kill(self.pid)
    }

    fn data(&self) -> Option<PathBuf> {
        Some(self.launch.cwd.join(DATA))
    }

    fn log_tail(&self, lines: usize) -> String {
        tail(&self.launch.log, lines)
    }
}
