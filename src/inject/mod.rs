//! Injects faults, proves that each took effect, and reverts them.
//!
//! Invariant: how a fault is reverted is written down before it is injected, and whatever is
//! written down is done: at its time, at the end of the load, or when the injector is dropped on
//! any other way out. (A harness that is killed takes its brokers along, paused ones too: the
//! janitor sees to that.) A fault that cannot be proven is reverted and told
//! as not applied, never counted.

mod apply;
mod consumers;
mod target;

pub use consumers::Consumers;

use crate::clock::Clock;
use crate::driver::capability::ClusterView;
use crate::environment::{
    Broker, EnvironmentError, FaultableBroker, NodeAction, NodeInfo, is_gone, is_stopped, runs,
};
use crate::fault::disk::DiskFault;
use crate::model::{FaultTarget, Grip, Software, Threat};
use crate::result::Restart;
use crate::scenario::FaultPlan;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A broker that several threads reach, one at a time: whoever injects, and whoever looks whether
/// it lives.
pub type Shared<'b> = Mutex<&'b mut (dyn Broker + 'b)>;

/// How long an effect may take until it can be seen.
const SEEN: Duration = Duration::from_secs(10);
/// How long after its last refused write a broker may still be about to end of it.
const ENDS: Duration = Duration::from_millis(500);
/// How long a consumer may take to come back.
const BACK: Duration = Duration::from_secs(60);
const NAP: Duration = Duration::from_millis(2);

/// A fault that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Names of the nodes that it hit.
    pub node: String,
    /// When it was done; that it took effect was seen later.
    pub at_ns: u64,
    /// What was done and seen, in words.
    pub text: String,
}

/// A fault that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApplied {
    pub node: String,
    pub why: String,
}

/// How one part of a fault is reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Undo {
    Start(usize),
    /// All nodes together: none of them would be ready without the others.
    Restart,
    Resume(usize),
    /// Clients are let through to this node.
    Open(usize),
    /// This node and the others are let through to each other.
    Join(usize),
    Disk(usize),
    /// Those of these nodes that ended of their full disk are started again, once all of their
    /// disks have room.
    Revive(Vec<usize>),
    /// A setting of the broker.
    Set(&'static str, String),
    Pace,
    /// The consumer of this kill is to be back.
    Consumer(u32),
}

pub struct Injector<'a, 'b> {
    broker: &'a Shared<'b>,
    cluster: Option<Box<dyn ClusterView>>,
    consumers: &'a Consumers,
    clock: Clock,
    /// Of jitter and flipped bits.
    seed: u64,
    interrupted: &'a AtomicBool,
    /// What is still to be reverted, by the fault's number.
    pending: Vec<(usize, Undo)>,
}

impl<'a, 'b> Injector<'a, 'b> {
    /// Without a `cluster`, only a lone node can be told to lead.
    pub fn new(
        broker: &'a Shared<'b>,
        cluster: Option<Box<dyn ClusterView>>,
        consumers: &'a Consumers,
        clock: Clock,
        seed: u64,
        interrupted: &'a AtomicBool,
    ) -> Self {
        Self { broker, cluster, consumers, clock, seed, interrupted, pending: Vec::new() }
    }

    /// Injects fault `number` and returns once its effect is proven.
    pub fn inject(&mut self, number: usize, plan: &FaultPlan) -> Result<Applied, NotApplied> {
        let not_applied = |node: &str, why: String| NotApplied { node: node.to_owned(), why };
        let (node, hit, nodes) = if plan.kind().is_ours() {
            ("our consumer".to_owned(), Vec::new(), Vec::new())
        } else {
            let nodes = self.nodes().map_err(|why| not_applied("", why))?;
            let hit = target::resolve(plan.target, &nodes, self.cluster.as_deref_mut());
            let hit = hit.map_err(|why| not_applied("", why))?;
            (names(&hit, &nodes), hit, nodes)
        };
        let on_processes = plan.kind().grip() == Grip::Processes;
        if let Some(down) =
            hit.iter().filter_map(|index| nodes.get(*index)).find(|node| on_processes && node.down)
        {
            return Err(not_applied(&node, format!("{} is down already", down.name)));
        }
        let undos = self.undos(plan, &hit);
        if self.pending.iter().any(|(_, pending)| undos.contains(pending)) {
            return Err(not_applied(
                &node,
                "what was done to it before is not taken back yet".into(),
            ));
        }
        self.pending.extend(undos.into_iter().map(|undo| (number, undo)));
        match self.apply(number, plan, &hit, &nodes) {
            Ok((at_ns, text)) => Ok(Applied { node, at_ns, text }),
            Err(why) => {
                let back = match self.revert(number) {
                    // Who cannot do it cannot undo it either, and has nothing to undo.
                    Err(same) if same == why => {
                        self.leave(number);
                        String::new()
                    }
                    Err(back) => format!("; and it was not taken back: {back}"),
                    Ok(_) => String::new(),
                };
                Err(not_applied(&node, why + &back))
            }
        }
    }

    /// What undoes it, known before it is done.
    fn undos(&self, plan: &FaultPlan, hit: &[usize]) -> Vec<Undo> {
        let each =
            |undo: fn(usize) -> Undo| -> Vec<Undo> { hit.iter().copied().map(undo).collect() };
        match plan.kind().grip() {
            Grip::Processes if plan.kind().takes_down() => {
                // A Kafka node alone waits for a quorum of its controllers.
                let together =
                    plan.target == FaultTarget::All && self.broker().software() == Software::Kafka;
                if together { vec![Undo::Restart] } else { each(Undo::Start) }
            }
            Grip::Processes => each(Undo::Resume),
            Grip::Links => each(Undo::Join),
            Grip::Connections => each(Undo::Open),
            // It stays where it was moved.
            Grip::Slots => Vec::new(),
            Grip::Disk if plan.kind().threat() == Threat::Refusal => {
                [each(Undo::Disk), vec![Undo::Revive(hit.to_vec())]].concat()
            }
            Grip::Disk => each(Undo::Disk),
            Grip::Memory => vec![Undo::Set(apply::MEMORY, "0".into())],
            // The number of one that was killed is not known before, and it comes back by itself.
            Grip::Consumers if plan.kind().is_brief() => Vec::new(),
            Grip::Consumers => vec![Undo::Pace],
        }
    }

    /// Reverts fault `number` and returns when that was done, with words on what it did. What fails
    /// stays pending.
    pub fn revert(&mut self, number: usize) -> Result<(u64, String), String> {
        let (mine, others): (Vec<_>, Vec<_>) =
            self.pending.drain(..).partition(|(owner, _)| *owner == number);
        self.pending = others;
        let (mut why, mut texts) = (None, Vec::new());
        for (owner, undo) in mine {
            match self.revert_one(&undo) {
                Ok(text) => texts.extend(text),
                Err(error) => {
                    why.get_or_insert(error);
                    self.pending.push((owner, undo));
                }
            }
        }
        why.map_or_else(|| Ok((self.clock.now_ns(), texts.join("; "))), Err)
    }

    /// Fault `number` is for good: it is not reverted when this is dropped.
    pub fn leave(&mut self, number: usize) {
        self.pending.retain(|(owner, _)| *owner != number);
    }

    fn revert_one(&mut self, undo: &Undo) -> Result<Option<String>, String> {
        match undo {
            Undo::Start(index) => self.start(*index)?,
            Undo::Restart => self.with_broker(|broker| broker.restart())?,
            Undo::Resume(index) => {
                self.with_broker(|broker| broker.act(*index, NodeAction::Resume))?;
                let pid = self.nodes()?.get(*index).map_or(0, |node| node.pid);
                // Whoever was killed meanwhile needs no resuming.
                if pid != 0 {
                    self.wait_for("the process goes on", SEEN, || {
                        Ok(is_gone(pid) || !is_stopped(pid).unwrap_or(false))
                    })?;
                }
            }
            Undo::Open(index) => {
                let mut broker = self.broker();
                let Some(proxy) = faultable(&mut broker)?.proxy(*index) else { return Ok(None) };
                proxy.revert().map_err(|error| error.to_string())?;
                let counters = proxy.counters();
                let flipped = (counters.flipped > 0)
                    .then(|| format!("{} messages damaged", counters.flipped));
                let resets =
                    (counters.resets > 0).then(|| format!("{} connections reset", counters.resets));
                let seen: Vec<String> = flipped.into_iter().chain(resets).collect();
                return Ok((!seen.is_empty()).then(|| format!("{} so far", seen.join(", "))));
            }
            Undo::Join(index) => {
                let mut broker = self.broker();
                let links = faultable(&mut broker)?.links(*index);
                links
                    .iter()
                    .try_for_each(|link| link.mend().map(drop))
                    .map_err(|e| e.to_string())?;
            }
            Undo::Disk(index) => {
                let seen = self.with_broker(|broker| {
                    let seen = broker.disk(*index)?;
                    broker.set_disk(*index, DiskFault::None).map(|()| seen)
                })?;
                return Ok(Some(format!(
                    "{} syncs delayed, {} writes refused so far",
                    seen.delayed, seen.refused
                )));
            }
            Undo::Revive(indices) => return self.revive(indices),
            Undo::Set(name, value) => {
                let cluster = self.cluster.as_mut().ok_or("the system cannot be asked")?;
                cluster.set(name, value).map_err(|error| error.to_string())?;
            }
            Undo::Pace => self.consumers.slow_down(0),
            Undo::Consumer(kill) => {
                let consumers = self.consumers;
                self.wait_for("the consumer comes back", BACK, || {
                    Ok(consumers.back_at(*kill).is_some())
                })?;
            }
        }
        Ok(None)
    }

    fn start(&self, index: usize) -> Result<(), String> {
        self.with_broker(|broker| broker.act(index, NodeAction::Start))?;
        match self.nodes()?.get(index).map_or(0, |node| node.pid) {
            // An engine of another kernel shows no process; that it takes clients again was seen by
            // starting it.
            0 => Ok(()),
            pid => self.wait_for("the process runs", SEEN, || Ok(runs(pid))),
        }
    }

    fn revive(&self, indices: &[usize]) -> Result<Option<String>, String> {
        let down = || {
            self.broker().check().map_err(words)?;
            let nodes = self.nodes()?;
            let is_down = |index: &usize| nodes.get(*index).is_some_and(|node| node.down);
            Ok::<_, String>(indices.iter().copied().filter(is_down).collect::<Vec<_>>())
        };
        let refused = |index: &usize| {
            self.with_broker(|broker| broker.disk(*index)).is_ok_and(|seen| seen.refused > 0)
        };
        let some_refused = indices.iter().any(refused);
        let begun = Instant::now();
        while some_refused
            && begun.elapsed() < ENDS
            && !self.interrupted.load(Relaxed)
            && down()?.len() < indices.len()
        {
            std::thread::sleep(NAP);
        }
        let down = down()?;
        self.with_broker(|broker| {
            indices.iter().for_each(|index| broker.may_end(*index, false));
            Ok(())
        })?;
        if down.is_empty() {
            return Ok(None);
        }
        let nodes = self.nodes()?;
        // As after any other end of all: a Kafka node alone waits for a quorum of its controllers.
        if down.len() > 1
            && nodes.iter().all(|node| node.down)
            && self.broker().software() == Software::Kafka
        {
            self.with_broker(|broker| broker.restart())?;
        } else {
            down.iter().try_for_each(|index| self.start(*index))?;
        }
        let whom =
            if nodes.len() == 1 { String::new() } else { format!(" on {}", names(&down, &nodes)) };
        Ok(Some(format!("the broker ended by itself{whom} and was started again")))
    }

    /// How a broker of one node was started again last.
    pub fn restarted(&self) -> Option<Restart> {
        match &self.nodes().ok()?[..] {
            [alone] => alone.restart,
            _ => None,
        }
    }

    fn broker(&self) -> MutexGuard<'a, &'b mut (dyn Broker + 'b)> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the broker while nobody else has it.
    fn with_broker<T>(
        &self,
        act: impl FnOnce(&mut dyn FaultableBroker) -> Result<T, EnvironmentError>,
    ) -> Result<T, String> {
        act(faultable(&mut self.broker())?).map_err(words)
    }

    fn nodes(&self) -> Result<Vec<NodeInfo>, String> {
        self.with_broker(|broker| Ok(broker.nodes()))
    }

    /// Waits until something is so; an error says what is not.
    fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        so: impl Fn() -> Result<bool, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        while !so()? {
            if begun.elapsed() > limit {
                return Err(format!("not seen within {} s: {what}", limit.as_secs()));
            }
            if self.interrupted.load(Relaxed) {
                return Err(format!("interrupted before it was seen that {what}"));
            }
            std::thread::sleep(NAP);
        }
        Ok(())
    }
}

impl Drop for Injector<'_, '_> {
    fn drop(&mut self) {
        for (_, undo) in std::mem::take(&mut self.pending) {
            // Nobody is left to tell. Where it fails, the broker's end is what reverts it.
            let _ = self.revert_one(&undo);
        }
    }
}

fn faultable<'b>(
    broker: &'b mut &mut (dyn Broker + '_),
) -> Result<&'b mut dyn FaultableBroker, String> {
    broker.faultable().ok_or_else(|| target::NOT_OURS.to_owned())
}

fn names(hit: &[usize], nodes: &[NodeInfo]) -> String {
    let names: Vec<&str> =
        hit.iter().filter_map(|index| nodes.get(*index)).map(|node| node.name.as_str()).collect();
    names.join(", ")
}

fn words(error: EnvironmentError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
