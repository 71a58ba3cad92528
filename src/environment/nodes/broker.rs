//! A broker that was started here: its nodes started until they answer, watched, taken down and
//! started again one by one or together, taken away. What its nodes are, processes or containers,
//! is their [`NodeHost`]'s.

use super::node::{LOG_LINES, Node, Plan};
use super::restart;
use crate::driver::Routes;
use crate::environment::broker_cache::Shelf;
use crate::environment::probe::Probe;
use crate::environment::process::age;
use crate::environment::{
    Broker, EnvironmentError, FaultableBroker, NodeAction, NodeInfo, NodeRole, PeerLink,
    ProcessState, Signal,
};
use crate::fault::disk::{DiskEffects, DiskFault, Lost, Preload};
use crate::fault::proxy::Proxy;
use crate::model::Software;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Another program may take a port between our look and the broker's start.
const ATTEMPTS: u32 = 3;
/// How the log of whoever came too late ends: a broker's, and that of an engine which publishes
/// ports.
const TAKEN: [&str; 2] = ["ddress already in use", "port is already allocated"];
/// How long an orderly end may take before it is made a disorderly one.
const TERM: Duration = Duration::from_secs(20);

/// What runs the nodes of one broker.
pub trait NodeHost: Send {
    /// How a node is started, beside its [`Plan`].
    type Start;
    /// Begins these nodes together. Whether they answer is asked afterwards.
    fn start(&mut self, stage: Vec<(Plan, Self::Start)>) -> Result<Vec<Node>, EnvironmentError>;
    /// Takes away all that was begun, in whatever state, and its data. Done more than once without
    /// harm.
    fn dispose(&mut self) -> Result<(), EnvironmentError>;
}

/// What is the same for every node of the broker, and every attempt to start it.
#[derive(Clone)]
pub struct LaunchSpec {
    pub software: Software,
    /// With its version, such as `Kafka 4.4.0`.
    pub what: String,
    /// Everything of this broker lies here.
    pub home: PathBuf,
    /// From process start to the first answer.
    pub limit: Duration,
}

/// One way to start the nodes: who keeps them, and each with how it is started, those that take
/// messages first.
pub type Layout<K> = (K, Vec<(Plan, <K as NodeHost>::Start)>);

pub struct NodesBroker<K: NodeHost> {
    host: K,
    spec: LaunchSpec,
    /// Those that take messages first.
    nodes: Vec<Node>,
    started_in_ns: Option<u64>,
    warm: bool,
    /// Where it goes instead of its end, as long as nothing has happened to it.
    shelf: Option<Shelf>,
}

impl<K: NodeHost> NodesBroker<K> {
    /// Starts the nodes that `plan` lays out (with fresh ports at each call) and waits until all of
    /// them answer.
    pub fn start(
        spec: &LaunchSpec,
        mut plan: impl FnMut() -> Result<Layout<K>, EnvironmentError>,
    ) -> Result<Self, EnvironmentError> {
        let mut attempt = 1;
        loop {
            match Self::attempt(spec, plan()?) {
                Err(EnvironmentError::DidNotStart { log_tail, .. })
                    if attempt < ATTEMPTS && TAKEN.iter().any(|words| log_tail.contains(words)) =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn attempt(spec: &LaunchSpec, (host, plans): Layout<K>) -> Result<Self, EnvironmentError> {
        let mut broker = Self {
            host,
            spec: spec.clone(),
            nodes: Vec::new(),
            started_in_ns: None,
            warm: false,
            shelf: None,
        };
        // Sentinels look at what they watch every ten seconds: so they are to see it whole at their
        // first look.
        let (data, watchers): (Vec<_>, Vec<_>) =
            plans.into_iter().partition(|(plan, _)| plan.role == NodeRole::Data);
        let mut took = Duration::ZERO;
        for stage in [data, watchers].into_iter().filter(|stage| !stage.is_empty()) {
            let (first, asked) = (broker.nodes.len(), Instant::now());
            let started = broker.host.start(stage)?;
            broker.nodes.extend(started);
            // What an engine needs to make containers is not the broker's time.
            let oldest =
                broker.nodes[first..].iter().filter_map(|node| age(node.runner.pid())).max();
            let begun = Instant::now()
                .checked_sub(oldest.unwrap_or_default())
                .map_or(asked, |begun| begun.max(asked));
            broker.await_answers(&broker.everyone(), |plan| &plan.whole, begun + spec.limit)?;
            for index in first..broker.nodes.len() {
                // A broker without it serves as well, only its disk cannot be faulted.
                let preload = broker.nodes[index].preload.as_ref();
                let loaded = preload.map_or(Ok(()), |preload| preload.verify(&broker.name(index)));
                if let Err(why) = loaded {
                    broker.nodes[index].preload = Err(why.to_string());
                }
            }
            took += begun.elapsed();
        }
        broker.started_in_ns = u64::try_from(took.as_nanos()).ok();
        Ok(broker)
    }

    /// Names it once it has said itself which version it is.
    pub fn rename(&mut self, what: String) {
        self.spec.what = what;
    }

    /// The mounts of the first node, where they are not ours.
    pub fn first_mounts(&self) -> Option<String> {
        self.nodes.first()?.runner.mounts()
    }

    /// What the first node wrote when it started.
    pub fn first_log(&self, lines: usize) -> String {
        self.nodes.first().map(|node| node.runner.log_tail(lines)).unwrap_or_default()
    }

    /// Such as `Kafka 4.4.0, node 2 (127.0.0.1:9092)`.
    fn name(&self, index: usize) -> String {
        let plan = &self.nodes[index].plan;
        if self.nodes.len() == 1 {
            return format!("{} on {}", self.spec.what, plan.address);
        }
        format!("{}, {} ({})", self.spec.what, plan.name, plan.address)
    }

    fn preload(&self, index: usize) -> Result<&Preload, EnvironmentError> {
        let refused = |why: &str| {
            let what = format!(
                "node {} of {} runs without the library that faults disks",
                index + 1,
                self.spec.what
            );
            EnvironmentError::Refused(if why.is_empty() { what } else { format!("{what}: {why}") })
        };
        let node = self.nodes.get(index).ok_or_else(|| refused("there is no such node"))?;
        node.preload.as_ref().map_err(|why| refused(why))
    }

    fn everyone(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    fn data(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.plan.role == NodeRole::Data)
    }

    /// Kills these nodes at once and sees them gone.
    fn kill(&mut self, indices: &[usize]) -> Result<(), EnvironmentError> {
        indices.iter().for_each(|&index| self.nodes[index].down = true);
        // All first, then each until it is gone: one that ends alone could still tell the others.
        // Whatever becomes of one, the others are killed too; the first error is told.
        let all = |deed: &dyn Fn(&Node) -> Result<(), EnvironmentError>| {
            indices.iter().map(|&index| deed(&self.nodes[index])).fold(Ok(()), Result::and)
        };
        all(&|node| node.runner.signal(Signal::Kill)).and(all(&|node| node.runner.kill()))
    }

    /// Asks these nodes to end, and kills those that do not.
    fn end(&mut self, indices: &[usize]) -> Result<(), EnvironmentError> {
        indices.iter().try_for_each(|&index| self.nodes[index].ask_to_end())?;
        let deadline = Instant::now() + TERM;
        for &index in indices {
            let runner = &self.nodes[index].runner;
            if runner.wait(deadline)?.is_none() {
                runner.kill()?;
            }
        }
        Ok(())
    }

    /// Starts these nodes on their data and waits until each accepts clients.
    fn start_again(&mut self, indices: &[usize]) -> Result<(), EnvironmentError> {
        let on_disk: Vec<_> =
            indices.iter().map(|&index| restart::on_disk(&self.nodes[index])).collect();
        let begun = Instant::now();
        indices.iter().try_for_each(|&index| self.nodes[index].start_again())?;
        self.await_answers(indices, |plan| &plan.alive, begun + self.spec.limit)?;
        let took = begun.elapsed();
        for (&index, data_bytes) in indices.iter().zip(on_disk) {
            let node = &mut self.nodes[index];
            node.restart = Some(restart::told_of(node, self.spec.software, took, data_bytes));
            node.down = false;
        }
        Ok(())
    }

    /// Waits until each of these nodes is content by its probe. None may end meanwhile: the others
    /// would wait for it in vain, and only its own log tells why.
    fn await_answers(
        &self,
        indices: &[usize],
        probe: fn(&Plan) -> &Probe,
        deadline: Instant,
    ) -> Result<(), EnvironmentError> {
        let failed = |index: usize, cause: String| EnvironmentError::DidNotStart {
            what: self.name(index),
            cause,
            log_tail: self.nodes[index].runner.log_tail(LOG_LINES),
        };
        for &index in indices {
            let plan = &self.nodes[index].plan;
            loop {
                // The processes first: on a port that one of them lost, somebody else may answer.
                for &each in indices {
                    if let ProcessState::Ended(end) = self.nodes[each].runner.status()? {
                        let address = self.nodes[each].plan.address;
                        let cause = format!(
                            "its process ended ({}) before it answered on {address}",
                            end.how
                        );
                        return Err(failed(each, cause));
                    }
                }
                match probe(plan)(plan.address) {
                    Ok(()) => break,
                    Err(error) if Instant::now() >= deadline => {
                        return Err(failed(
                            index,
                            format!("no answer on {} in time: {error}", plan.address),
                        ));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        }
        Ok(())
    }
}

impl<K: NodeHost + 'static> Broker for NodesBroker<K> {
    fn software(&self) -> Software {
        self.spec.software
    }

    fn version(&self) -> Option<String> {
        Some(self.spec.what.clone())
    }

    fn addresses(&self) -> Vec<String> {
        self.data().map(Node::advertised).collect()
    }

    fn routes(&self) -> Routes {
        let mut routes = Routes::default();
        for node in &self.nodes {
            let (address, advertised) = (node.plan.address.to_string(), node.advertised());
            if node.plan.role == NodeRole::Sentinel {
                routes.sentinels.push(address);
                continue;
            }
            if let Some(all) = node.plan.proxies.peers.iter().find(|way| way.from.is_none()) {
                routes.advertised.insert(all.proxy.address().to_string(), advertised.clone());
            } else if advertised != address {
                routes.advertised.insert(address.clone(), advertised.clone());
            }
            if advertised != address {
                routes.direct.insert(advertised, address);
            }
        }
        routes
    }

    fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(Node::pid).filter(|pid| *pid != 0).collect()
    }

    fn check(&mut self) -> Result<(), EnvironmentError> {
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.down {
                continue;
            }
            if let ProcessState::Ended(end) = node.runner.status()? {
                if node.may_end {
                    node.down = true;
                    continue;
                }
                self.shelf = None;
                let log_tail = self.nodes[index].runner.log_tail(LOG_LINES);
                return Err(EnvironmentError::Died {
                    what: self.name(index),
                    cause: end.how,
                    log_tail,
                });
            }
        }
        Ok(())
    }

    fn log_tail(&self, lines: usize) -> String {
        let of = |node: &Node| node.runner.log_tail(lines);
        let [node] = self.nodes.as_slice() else {
            let each = self
                .nodes
                .iter()
                .enumerate()
                .map(|(index, node)| format!("{}\n{}", self.name(index), of(node)));
            return each.collect::<Vec<_>>().join("\n");
        };
        of(node)
    }

    fn data_dir(&self) -> Option<PathBuf> {
        Some(self.spec.home.clone())
    }

    fn started_in_ns(&self) -> Option<u64> {
        self.started_in_ns
    }

    fn is_warm(&self) -> bool {
        self.warm
    }

    fn note_warm(&mut self) {
        self.warm = true;
    }

    fn keep_on(&mut self, shelf: Shelf) {
        self.shelf = Some(shelf);
    }

    /// Whoever has it to break it leaves it to nobody else.
    fn faultable(&mut self) -> Option<&mut dyn FaultableBroker> {
        (self.warm, self.shelf) = (false, None);
        Some(self)
    }

    /// Kills it: its data is deleted next, so there is nothing that a slow, orderly end would save.
    fn stop(mut self: Box<Self>) -> Result<(), EnvironmentError> {
        if let Some(shelf) = self.shelf.take()
            && self.check().is_ok()
        {
            shelf.take_back(self);
            return Ok(());
        }
        // Where this fails, dropping it tries again.
        self.host.dispose()
    }
}

impl<K: NodeHost> FaultableBroker for NodesBroker<K> {
    fn lose_power(&mut self, nodes: &[usize]) -> Result<Lost, EnvironmentError> {
        // Before anything is killed for nothing.
        nodes.iter().try_for_each(|&index| self.preload(index).map(drop))?;
        self.kill(nodes)?;
        let mut all = Lost { files: Vec::new() };
        for &index in nodes {
            if let Ok(preload) = &mut self.nodes[index].preload {
                all.files.extend(preload.lose()?.files);
            }
        }
        // As the reader knows the files: node and topic, not where this run lay.
        let home = fs::canonicalize(&self.spec.home).unwrap_or_else(|_| self.spec.home.clone());
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

    fn may_end(&mut self, node: usize, may: bool) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.may_end = may;
        }
    }

    fn disk(&self, node: usize) -> Result<DiskEffects, EnvironmentError> {
        Ok(self.preload(node)?.seen()?)
    }

    fn restart(&mut self) -> Result<(), EnvironmentError> {
        self.end(&self.everyone())?;
        self.start_again(&self.everyone())
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        self.nodes.iter().map(Node::info).collect()
    }

    fn act(&mut self, index: usize, action: NodeAction) -> Result<(), EnvironmentError> {
        if index >= self.nodes.len() {
            let there = self.nodes.len();
            return Err(EnvironmentError::Refused(format!(
                "{} has no node {}, only {there}",
                self.spec.what,
                index + 1
            )));
        }
        match action {
            NodeAction::Kill => self.kill(&[index]),
            NodeAction::Stop => self.end(&[index]),
            NodeAction::Pause => self.nodes[index].pause(),
            NodeAction::Resume => self.nodes[index].resume(),
            NodeAction::Start => self.start_again(&[index]),
        }
    }

    fn proxy(&self, index: usize) -> Option<&Proxy> {
        self.nodes.get(index)?.plan.proxies.clients.as_ref()
    }

    fn links(&self, index: usize) -> Vec<PeerLink<'_>> {
        let source = self.nodes.get(index).and_then(|node| node.plan.source);
        let ways = self.nodes.iter().enumerate().flat_map(|(to, node)| {
            let peers = node.plan.proxies.peers.iter();
            peers.filter_map(move |way| match way.from {
                _ if to == index => Some(PeerLink { proxy: &way.proxy, only: None }),
                Some(from) if from == index => Some(PeerLink { proxy: &way.proxy, only: None }),
                // The others go it too.
                None => source.map(|source| PeerLink { proxy: &way.proxy, only: Some(source) }),
                Some(_) => None,
            })
        });
        ways.collect()
    }
}

impl<K: NodeHost> Drop for NodesBroker<K> {
    fn drop(&mut self) {
        // Where this fails, the janitor is gone, and has taken the broker with it.
        let _ = self.host.dispose();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::started;

    const ENDED: &str = "bind: Address already in use";

    #[test]
    fn the_end_of_one_node_ends_the_wait_for_another_and_is_told_with_its_log() {
        let (broker, attempts) = started(&[Some("out of memory")]);
        let error = broker.err().unwrap().to_string();
        for part in ["node 2 (127.0.0.1:2)", "exit code 1", "out of memory"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(attempts, 1);
    }

    #[test]
    fn a_port_that_somebody_else_took_is_tried_again_with_another() {
        let (broker, attempts) = started(&[Some(ENDED), None]);
        assert_eq!((broker.unwrap().nodes.len(), attempts), (2, 2));
        let (broker, attempts) = started(&[Some(ENDED); 5]);
        assert!(broker.err().unwrap().to_string().contains(ENDED));
        assert_eq!(attempts, 3);
    }
}
