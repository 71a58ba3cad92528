//! How each kind of fault is done, and by what its effect is proven: the state of the process, the proxy's word and
//! counters, the word of the library under the disk, the setting read back, the consumer that felt it.
//!
//! Invariant: a fault counts from the moment before its deed, not from that of its proof. Clients feel a process go long
//! before it is gone: the connections of a killed JVM end first, and one that is asked to stop hands over its work. Only
//! what lies in wait (a faulted disk, a bit to be flipped) counts from when somebody met it.

use super::{Injector, Remedy, SEEN, process, words};
use crate::environment::{Broker, Deed, NodeInfo};
use crate::fault::disk::DiskFault;
use crate::fault::proxy::{Condition, Direction, Proxy};
use crate::model::FaultKind;
use crate::scenario::FaultPlan;
use crate::units::Span;
use std::time::Duration;

pub const MEMORY: &str = "maxmemory";
pub const STRAIGHT: &str = "clients reach this node straight, without a fault proxy between";
const LINKED: &str = "the nodes reach each other straight, without a fault proxy between";

/// When it was done, ns since the run's epoch, and words on what was done.
type Effect = Result<(u64, String), String>;

impl Injector<'_, '_> {
    pub(super) fn strike(&mut self, number: usize, plan: &FaultPlan, hit: &[usize], nodes: &[NodeInfo]) -> Effect {
        let pids: Vec<u32> = hit.iter().filter_map(|index| nodes.get(*index)).map(|node| node.pid).collect();
        match plan.kind {
            FaultKind::Kill => self.end(Deed::Kill, hit, &pids),
            FaultKind::Stop => self.end(Deed::Stop, hit, &pids),
            FaultKind::Pause => {
                let at_ns = self.each(hit, Deed::Pause)?;
                let stopped = || Ok(pids.iter().all(|pid| process::is_stopped(*pid)));
                self.wait_for("every thread of the process is stopped", SEEN, stopped)?;
                Ok((at_ns, String::new()))
            }
            FaultKind::PowerLoss => self.lose_power(hit, &pids),
            FaultKind::NetLatency
            | FaultKind::NetBandwidth
            | FaultKind::NetStall
            | FaultKind::NetReset
            | FaultKind::NetRefuse
            | FaultKind::NetBitflip => self.on_the_wire(plan, hit, self.seed ^ number as u64),
            FaultKind::NetPartition => self.partition(hit),
            FaultKind::DiskSlow => {
                let sync = Duration::from_nanos(plan.delay.unwrap_or(Span(0)).nanos());
                self.fault_disk(hit, DiskFault::Slow { sync, write: Duration::ZERO })
            }
            FaultKind::DiskFull => self.fault_disk(hit, DiskFault::Full { room: plan.room.map_or(0, |room| room.0) }),
            FaultKind::MemFull => self.limit_memory(number, plan),
            FaultKind::SlowConsumer => {
                let rate = plan.rate.map_or(1.0, |rate| rate.per_s()).max(1e-3);
                let at_ns = self.clock.now_ns();
                self.consumers.slow_down((1e9 / rate) as u64);
                self.wait_for("a consumer takes its time", SEEN, || Ok(self.consumers.felt()))?;
                Ok((at_ns, format!("{rate} messages a second and consumer")))
            }
            FaultKind::ConsumerKill => {
                let kill = self.consumers.kill();
                let gone =
                    || self.wait_for("the consumer is gone", SEEN, || Ok(self.consumers.lost_at(kill).is_some()));
                if let Err(why) = gone() {
                    // Else it would go some time, and nobody would know why.
                    if self.consumers.withdraw(kill) {
                        return Err(why);
                    }
                    gone()?;
                }
                self.owed.push((number, Remedy::Consumer(kill)));
                let at_ns = self.consumers.lost_at(kill).unwrap_or_else(|| self.clock.now_ns());
                Ok((at_ns, "its connection closed with messages unacknowledged".into()))
            }
        }
    }

    /// When the first of them was about to feel it.
    fn each(&self, hit: &[usize], deed: Deed) -> Result<u64, String> {
        // Whoever else has the broker is waited for before the clock is read.
        let mut broker = self.broker();
        let at_ns = self.clock.now_ns();
        hit.iter().try_for_each(|index| broker.act(*index, deed)).map_err(words)?;
        Ok(at_ns)
    }

    fn end(&self, deed: Deed, hit: &[usize], pids: &[u32]) -> Effect {
        let at_ns = self.each(hit, deed)?;
        self.gone(pids)?;
        Ok((at_ns, String::new()))
    }

    fn gone(&self, pids: &[u32]) -> Result<(), String> {
        self.wait_for("the process is gone", SEEN, || Ok(pids.iter().all(|pid| process::is_gone(*pid))))
    }

    fn lose_power(&self, hit: &[usize], pids: &[u32]) -> Effect {
        let (at_ns, lost) = {
            let mut broker = self.broker();
            (self.clock.now_ns(), broker.lose_power(hit).map_err(words)?)
        };
        self.gone(pids)?;
        let (bytes, files) = (lost.bytes(), lost.files.len());
        let text = format!("simulated power loss: {bytes} bytes that no sync had covered cut off {files} files");
        Ok((at_ns, text))
    }

    fn on_the_wire(&self, plan: &FaultPlan, hit: &[usize], seed: u64) -> Effect {
        let condition = condition(plan, seed)?;
        let flipped = |broker: &dyn Broker| -> u64 {
            hit.iter().filter_map(|index| broker.proxy(*index)).map(|proxy| proxy.counters().flipped).sum()
        };
        let before = flipped(&**self.broker());
        let (at_ns, connections) = {
            let broker = self.broker();
            let proxies = hit.iter().map(|index| broker.proxy(*index).ok_or(STRAIGHT));
            self.apply(&proxies.collect::<Result<Vec<_>, _>>()?, condition)?
        };
        match plan.kind {
            FaultKind::NetReset if connections == 0 => Err("no connection was there to be reset".into()),
            FaultKind::NetBitflip => {
                self.wait_for("a message is damaged", SEEN, || Ok(flipped(&**self.broker()) > before))?;
                Ok((self.clock.now_ns(), format!("{connections} connections")))
            }
            _ => Ok((at_ns, format!("{connections} connections hit"))),
        }
    }

    fn partition(&self, hit: &[usize]) -> Effect {
        let broker = self.broker();
        let links: Vec<&Proxy> = hit.iter().flat_map(|index| broker.links(*index)).collect();
        if links.is_empty() {
            return Err(LINKED.into());
        }
        // Silence, as behind a cut cable: nobody is told.
        let (at_ns, connections) = self.apply(&links, Condition::Stall { direction: Direction::Both })?;
        if connections == 0 {
            return Err("the nodes had no connection through the links that were cut".into());
        }
        Ok((at_ns, format!("{connections} connections between nodes cut, clients' let through")))
    }

    /// When all of them were under the condition, and how many connections that met.
    fn apply(&self, proxies: &[&Proxy], condition: Condition) -> Result<(u64, u64), String> {
        let (mut at_ns, mut connections) = (0, 0);
        for proxy in proxies {
            let applied = proxy.apply(condition).map_err(|error| error.to_string())?;
            at_ns = at_ns.max(self.clock.at(applied.effective));
            connections += applied.connections;
        }
        Ok((at_ns, connections))
    }

    fn fault_disk(&self, hit: &[usize], fault: DiskFault) -> Effect {
        {
            let mut broker = self.broker();
            for index in hit {
                // Kafka ends when its last folder takes no more, and so does a Redis that is to sync each write.
                broker.may_end(*index, matches!(fault, DiskFault::Full { .. }));
                broker.set_disk(*index, fault).map_err(words)?;
            }
        }
        let arrived = || {
            let broker = self.broker();
            let seen = hit.iter().map(|index| broker.disk(*index).map(|seen| seen.arrived));
            seen.collect::<Result<Vec<_>, _>>().map(|all| all.iter().all(|arrived| *arrived)).map_err(words)
        };
        // Told by the first call that meets it, before that one is held up.
        self.wait_for("the broker writes to its disk", SEEN, arrived)?;
        Ok((self.clock.now_ns(), String::new()))
    }

    fn limit_memory(&mut self, number: usize, plan: &FaultPlan) -> Effect {
        let cluster = self.cluster.as_mut().ok_or("the system cannot be asked")?;
        let room = plan.room.map_or(0, |room| room.0).to_string();
        let at_ns = self.clock.now_ns();
        let before = cluster.set(MEMORY, &room).map_err(|error| error.to_string())?;
        for (owner, remedy) in &mut self.owed {
            if let Remedy::Set(MEMORY, value) = remedy
                && *owner == number
            {
                *value = before.clone();
            }
        }
        // Set to what it is: what stood there before is what took effect.
        let stands = cluster.set(MEMORY, &room).map_err(|error| error.to_string())?;
        if stands != room {
            return Err(format!("{MEMORY} was set to {room} and reads {stands}"));
        }
        Ok((at_ns, format!("{MEMORY} {before} before, {room} bytes now; the policy as it was")))
    }
}

fn condition(plan: &FaultPlan, seed: u64) -> Result<Condition, String> {
    let direction = Direction::Both;
    let span = |span: Option<Span>| Duration::from_nanos(span.unwrap_or(Span(0)).nanos());
    Ok(match plan.kind {
        FaultKind::NetLatency => {
            Condition::Latency { delay: span(plan.delay), jitter: span(plan.jitter), direction, seed }
        }
        FaultKind::NetBandwidth => {
            Condition::Bandwidth { bytes_per_s: plan.bandwidth.map_or(0, |bytes| bytes.0), direction }
        }
        FaultKind::NetStall => Condition::Stall { direction },
        FaultKind::NetReset => Condition::Reset { after_bytes: None },
        FaultKind::NetRefuse => Condition::Refuse,
        FaultKind::NetBitflip => {
            let every = u64::from(plan.one_in.unwrap_or(1));
            Condition::BitFlip { every, seed, direction: Direction::ToUpstream }
        }
        other => return Err(format!("{} is nothing that happens on the wire", other.name())),
    })
}
