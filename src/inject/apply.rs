//! How each kind of fault is done, and by what its effect is proven: the state of the process, the
//! proxy's word and counters, the cluster's word, the word of the library under the disk, the
//! setting read back, the consumer that felt it.
//!
//! Invariant: a fault counts from the moment before its deed, not from that of its proof. Clients
//! feel a process go long before it is gone: the connections of a killed JVM end first, and one
//! that is asked to stop hands over its work. Only what lies in wait (a faulted disk, a bit to be
//! flipped) counts from when somebody met it.

use super::{Injector, SEEN, Undo, faultable, is_gone, is_stopped};
use crate::environment::{NodeAction, NodeInfo, PeerLink};
use crate::fault::disk::DiskFault;
use crate::fault::proxy::{Condition, ConditionChange, ProxyError};
use crate::scenario::{FaultAction, FaultPlan};
use std::time::Duration;

pub const MEMORY: &str = "maxmemory";
pub const STRAIGHT: &str = "clients reach this node straight, without a fault proxy between";
const LINKED: &str = "the nodes reach each other straight, without a fault proxy between";

/// When it was done, ns since the run's epoch, and words on what was done.
type Effect = Result<(u64, String), String>;

impl Injector<'_, '_> {
    pub(super) fn apply(
        &mut self,
        number: usize,
        plan: &FaultPlan,
        hit: &[usize],
        nodes: &[NodeInfo],
    ) -> Effect {
        let pids: Vec<u32> =
            hit.iter().filter_map(|index| nodes.get(*index)).map(|node| node.pid).collect();
        let seed = self.seed ^ number as u64;
        match plan.action {
            FaultAction::Kill => self.end(NodeAction::Kill, hit, &pids),
            FaultAction::Stop => self.end(NodeAction::Stop, hit, &pids),
            FaultAction::Pause => {
                let at_ns = self.each(hit, NodeAction::Pause)?;
                let stopped = || Ok(pids.iter().all(|pid| is_stopped(*pid).unwrap_or(false)));
                self.wait_for("every thread of the process is stopped", SEEN, stopped)?;
                Ok((at_ns, String::new()))
            }
            FaultAction::PowerLoss => self.lose_power(hit, &pids),
            FaultAction::NetLatency { delay, jitter } => {
                let (delay, jitter) =
                    (Duration::from_nanos(delay.nanos()), Duration::from_nanos(jitter.nanos()));
                self.on_the_wire(hit, Condition::Latency { delay, jitter, seed })
            }
            FaultAction::NetBandwidth { bandwidth } => {
                self.on_the_wire(hit, Condition::Bandwidth { bytes_per_s: bandwidth.0 })
            }
            FaultAction::NetStall => self.on_the_wire(hit, Condition::Stall),
            FaultAction::NetReset => self.on_the_wire(hit, Condition::Reset),
            FaultAction::NetRefuse => self.on_the_wire(hit, Condition::Refuse),
            FaultAction::NetBitflip { one_in } => {
                self.on_the_wire(hit, Condition::BitFlip { every: u64::from(one_in), seed })
            }
            FaultAction::NetPartition => self.partition(hit),
            FaultAction::Reshard => {
                let cluster = self.cluster.as_mut().ok_or("the system cannot be asked")?;
                let at_ns = self.clock.now_ns();
                cluster.reshard(0).map(|text| (at_ns, text)).map_err(|error| error.to_string())
            }
            FaultAction::DiskSlow { delay } => {
                self.fault_disk(hit, DiskFault::Slow { sync: Duration::from_nanos(delay.nanos()) })
            }
            FaultAction::DiskFull { room } => {
                self.fault_disk(hit, DiskFault::Full { room: room.0 })
            }
            FaultAction::MemFull { room } => self.limit_memory(number, &room.0.to_string()),
            FaultAction::SlowConsumer { rate } => {
                let rate = rate.per_s().max(1e-3);
                let at_ns = self.clock.now_ns();
                self.consumers.slow_down((1e9 / rate) as u64);
                self.wait_for("a consumer takes its time", SEEN, || Ok(self.consumers.felt()))?;
                Ok((at_ns, format!("{rate} messages a second and consumer")))
            }
            FaultAction::ConsumerKill => {
                let kill = self.consumers.kill();
                let gone = || {
                    self.wait_for("the consumer is gone", SEEN, || {
                        Ok(self.consumers.lost_at(kill).is_some())
                    })
                };
                if let Err(why) = gone() {
                    // Else it would go some time, and nobody would know why.
                    if self.consumers.withdraw(kill) {
                        return Err(why);
                    }
                    gone()?;
                }
                self.pending.push((number, Undo::Consumer(kill)));
                let at_ns = self.consumers.lost_at(kill).unwrap_or_else(|| self.clock.now_ns());
                Ok((at_ns, "its connection closed with messages unacknowledged".into()))
            }
        }
    }

    /// When the first of them was about to feel it.
    fn each(&self, hit: &[usize], action: NodeAction) -> Result<u64, String> {
        self.with_broker(|broker| {
            // Whoever else had the broker was waited for before the clock is read.
            let at_ns = self.clock.now_ns();
            hit.iter().try_for_each(|index| broker.act(*index, action)).map(|()| at_ns)
        })
    }

    fn end(&self, action: NodeAction, hit: &[usize], pids: &[u32]) -> Effect {
        let at_ns = self.each(hit, action)?;
        self.gone(pids)?;
        Ok((at_ns, String::new()))
    }

    fn gone(&self, pids: &[u32]) -> Result<(), String> {
        self.wait_for("the process is gone", SEEN, || Ok(pids.iter().all(|pid| is_gone(*pid))))
    }

    fn lose_power(&self, hit: &[usize], pids: &[u32]) -> Effect {
        let (at_ns, lost) =
            self.with_broker(|broker| Ok((self.clock.now_ns(), broker.lose_power(hit)?)))?;
        self.gone(pids)?;
        let (bytes, files) = (lost.bytes(), lost.files.len());
        let text = format!(
            "simulated power loss: {bytes} bytes that no sync had covered cut off {files} files"
        );
        Ok((at_ns, text))
    }

    fn on_the_wire(&self, hit: &[usize], condition: Condition) -> Effect {
        let flipped = || {
            self.with_broker(|broker| {
                let proxies = hit.iter().filter_map(|index| broker.proxy(*index));
                Ok(proxies.map(|proxy| proxy.counters().flipped).sum::<u64>())
            })
        };
        let before = flipped()?;
        let (at_ns, connections) = {
            let mut broker = self.broker();
            let broker = faultable(&mut broker)?;
            let proxies = hit.iter().map(|index| broker.proxy(*index).ok_or(STRAIGHT));
            let proxies = proxies.collect::<Result<Vec<_>, _>>()?;
            self.in_force(proxies.iter().map(|proxy| proxy.apply(condition)))?
        };
        match condition {
            Condition::Reset if connections == 0 => {
                Err("no connection was there to be reset".into())
            }
            Condition::BitFlip { .. } => {
                self.wait_for("a message is damaged", SEEN, || Ok(flipped()? > before))?;
                Ok((self.clock.now_ns(), format!("{connections} connections")))
            }
            _ => Ok((at_ns, format!("{connections} connections hit"))),
        }
    }

    fn partition(&self, hit: &[usize]) -> Effect {
        let mut broker = self.broker();
        let broker = faultable(&mut broker)?;
        let links: Vec<_> = hit.iter().flat_map(|index| broker.links(*index)).collect();
        if links.is_empty() {
            return Err(LINKED.into());
        }
        let (at_ns, connections) = self.in_force(links.iter().map(PeerLink::cut))?;
        if connections == 0 {
            return Err("the nodes had no connection through the links that were cut".into());
        }
        Ok((at_ns, format!("{connections} connections between nodes cut, clients' let through")))
    }

    /// When all of them were under their conditions, and how many connections that met.
    fn in_force(
        &self,
        changes: impl Iterator<Item = Result<ConditionChange, ProxyError>>,
    ) -> Result<(u64, u64), String> {
        let (mut at_ns, mut connections) = (0, 0);
        for change in changes {
            let applied = change.map_err(|error| error.to_string())?;
            at_ns = at_ns.max(self.clock.at(applied.effective));
            connections += applied.connections;
        }
        Ok((at_ns, connections))
    }

    fn fault_disk(&self, hit: &[usize], fault: DiskFault) -> Effect {
        self.with_broker(|broker| {
            hit.iter().try_for_each(|index| {
                // Kafka ends when its last folder takes no more, and so does a Redis that is to
                // sync each write.
                broker.may_end(*index, matches!(fault, DiskFault::Full { .. }));
                broker.set_disk(*index, fault)
            })
        })?;
        let arrived = || {
            self.with_broker(|broker| {
                let seen = hit.iter().map(|index| broker.disk(*index).map(|seen| seen.arrived));
                Ok(seen.collect::<Result<Vec<_>, _>>()?.iter().all(|arrived| *arrived))
            })
        };
        // Told by the first call that meets it, before that one is held up.
        self.wait_for("the broker writes to its disk", SEEN, arrived)?;
        Ok((self.clock.now_ns(), String::new()))
    }

    fn limit_memory(&mut self, number: usize, room: &str) -> Effect {
        let cluster = self.cluster.as_mut().ok_or("the system cannot be asked")?;
        let at_ns = self.clock.now_ns();
        let before = cluster.set(MEMORY, room).map_err(|error| error.to_string())?;
        for (owner, undo) in &mut self.pending {
            if let Undo::Set(MEMORY, value) = undo
                && *owner == number
            {
                *value = before.clone();
            }
        }
        // Set to what it is: what stood there before is what took effect.
        let stands = cluster.set(MEMORY, room).map_err(|error| error.to_string())?;
        if stands != room {
            return Err(format!("{MEMORY} was set to {room} and reads {stands}"));
        }
        Ok((at_ns, format!("{MEMORY} {before} before, {room} bytes now; the policy as it was")))
    }
}
