//! Brokers of two nodes that run nothing.

use super::broker::{LaunchSpec, NodeHost, NodesBroker};
use super::node::{Node, Plan, Proxies, Runner};
use crate::environment::probe::Probe;
use crate::environment::{End, EnvironmentError, NodeRole, ProcessState, Signal};
use crate::model::Software;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A process that is there, or one that has ended with this log.
struct Fake(Option<&'static str>);

impl Runner for Fake {
    fn pid(&self) -> u32 {
        0
    }
    fn start(&mut self) -> Result<(), EnvironmentError> {
        Ok(())
    }
    fn signal(&self, _: Signal) -> Result<(), EnvironmentError> {
        Ok(())
    }
    fn status(&self) -> Result<ProcessState, EnvironmentError> {
        let end = |_| ProcessState::Ended(End { success: false, how: "exit code 1".into() });
        Ok(self.0.map_or(ProcessState::Running, end))
    }
    fn wait(&self, _: Instant) -> Result<Option<End>, EnvironmentError> {
        Ok(None)
    }
    fn kill(&self) -> Result<(), EnvironmentError> {
        Ok(())
    }
    fn log_tail(&self, _: usize) -> String {
        self.0.unwrap_or_default().to_owned()
    }
}

pub struct Fakes;

impl NodeHost for Fakes {
    type Start = Option<&'static str>;
    fn start(&mut self, stage: Vec<(Plan, Self::Start)>) -> Result<Vec<Node>, EnvironmentError> {
        let node = |(plan, log)| Node::new(plan, Box::new(Fake(log)), Err(String::new()));
        Ok(stage.into_iter().map(node).collect())
    }
    fn dispose(&mut self) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

/// Two nodes, of which the first waits for the second. Each attempt finds the second with the next
/// of these logs.
pub fn started(
    logs: &[Option<&'static str>],
) -> (Result<NodesBroker<Fakes>, EnvironmentError>, usize) {
    let limit = Duration::from_secs(600);
    let spec =
        LaunchSpec { software: Software::Redis, what: "Redis".into(), home: PathBuf::new(), limit };
    let mut attempts = 0;
    let broker = NodesBroker::start(&spec, || {
        let log = logs[attempts];
        attempts += 1;
        let plan = |number: u16| {
            let whole: Probe = Arc::new(move |_| match log {
                Some(_) => Err("0 of 1 replicas follow it".into()),
                None => Ok(()),
            });
            let (address, alive) = (([127, 0, 0, 1], number).into(), Arc::clone(&whole));
            let (name, role, proxies) =
                (format!("node {number}"), NodeRole::Data, Proxies::default());
            Plan { name, role, address, source: None, alive, whole, proxies }
        };
        Ok((Fakes, vec![(plan(1), None), (plan(2), log)]))
    });
    (broker, attempts)
}
