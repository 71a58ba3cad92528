//! The injector on processes of no importance: it must prove what it does,
//! and leave nothing undone.

use super::*;
use crate::environment::PeerLink;
use crate::fault::disk::{DiskEffects, Lost};
use crate::fault::proxy::Proxy;
use crate::scenario::{FaultAction, Lasts};
use crate::units::{Bytes, Rate, Span};
use std::process::{Child, Command, Stdio};

/// Two nodes that are `sleep`, and what was done to them.
struct Sleepers {
    children: Vec<Option<Child>>,
    deeds: Vec<(usize, NodeAction)>,
    /// Says that it did, and does nothing.
    lies: bool,
    fails_to_start: bool,
    /// How long a process takes from the deed that ends it until it is gone.
    lingers: Duration,
    /// Whose end is no death.
    may_end: Vec<usize>,
    /// Nobody may touch their disks.
    no_disk: bool,
    /// As those of an engine of another kernel.
    unseen: bool,
}

impl Sleepers {
    fn new() -> Self {
        let children = vec![Some(sleep()), Some(sleep())];
        Self {
            children,
            deeds: Vec::new(),
            lies: false,
            fails_to_start: false,
            lingers: Duration::ZERO,
            may_end: Vec::new(),
            no_disk: false,
            unseen: false,
        }
    }

    fn pid(&self, index: usize) -> u32 {
        self.children[index].as_ref().map_or(0, Child::id)
    }
}

fn sleep() -> Child {
    Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap()
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Broker for Sleepers {
    fn software(&self) -> Software {
        Software::Redis
    }
    fn addresses(&self) -> Vec<String> {
        Vec::new()
    }
    fn pids(&self) -> Vec<u32> {
        (0..2).map(|index| self.pid(index)).collect()
    }
    fn check(&mut self) -> Result<(), EnvironmentError> {
        for (index, child) in self.children.iter_mut().enumerate() {
            let ended = child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
            if ended && !self.may_end.contains(&index) {
                let what = format!("node {}", index + 1);
                return Err(EnvironmentError::Died {
                    what,
                    cause: String::new(),
                    log_tail: String::new(),
                });
            }
            child.take_if(|_| ended);
        }
        Ok(())
    }
    fn faultable(&mut self) -> Option<&mut dyn FaultableBroker> {
        Some(self)
    }
    fn stop(self: Box<Self>) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

impl FaultableBroker for Sleepers {
    fn may_end(&mut self, node: usize, may: bool) {
        self.may_end.retain(|index| *index != node);
        self.may_end.extend(may.then_some(node));
    }
    /// These end of a full disk.
    fn set_disk(&mut self, node: usize, fault: DiskFault) -> Result<(), EnvironmentError> {
        self.disk(node)?;
        if let (DiskFault::Full { .. }, Some(child)) = (fault, &mut self.children[node]) {
            child.kill().unwrap();
        }
        Ok(())
    }
    fn disk(&self, _: usize) -> Result<DiskEffects, EnvironmentError> {
        if self.no_disk {
            return Err(EnvironmentError::refused("its files belong to somebody else", "be root"));
        }
        Ok(DiskEffects { arrived: true, refused: 1, ..DiskEffects::default() })
    }
    fn restart(&mut self) -> Result<(), EnvironmentError> {
        unreachable!("only Kafka's nodes are restarted together")
    }
    /// Nothing stands between these nodes and their clients, or each other.
    fn proxy(&self, _: usize) -> Option<&Proxy> {
        None
    }
    fn links(&self, _: usize) -> Vec<PeerLink<'_>> {
        Vec::new()
    }
    fn nodes(&self) -> Vec<NodeInfo> {
        let node = |index: usize| NodeInfo {
            name: format!("node {}", index + 1),
            role: crate::environment::NodeRole::Data,
            address: format!("127.0.0.1:{index}"),
            advertised: format!("127.0.0.1:{index}"),
            pid: if self.unseen { 0 } else { self.pid(index) },
            down: self.children[index].is_none(),
            restart: None,
        };
        (0..2).map(node).collect()
    }
    fn act(&mut self, index: usize, deed: NodeAction) -> Result<(), EnvironmentError> {
        self.deeds.push((index, deed));
        if self.lies {
            return Ok(());
        }
        let signal = |signal| {
            let pid = rustix::process::Pid::from_raw(self.pid(index) as i32).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
        };
        match deed {
            NodeAction::Pause => signal(rustix::process::Signal::STOP),
            NodeAction::Resume => signal(rustix::process::Signal::CONT),
            NodeAction::Start if self.fails_to_start => {
                self.fails_to_start = false;
                return Err(EnvironmentError::Refused("no room".into()));
            }
            NodeAction::Start => self.children[index] = Some(sleep()),
            NodeAction::Kill | NodeAction::Stop => {
                std::thread::sleep(self.lingers);
                let mut child = self.children[index].take().unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        Ok(())
    }
    fn lose_power(&mut self, nodes: &[usize]) -> Result<Lost, EnvironmentError> {
        nodes.iter().try_for_each(|index| self.act(*index, NodeAction::Kill))?;
        Ok(Lost { files: Vec::new() })
    }
}

const FULL: FaultAction = FaultAction::DiskFull { room: Bytes(1) };

fn plan(action: FaultAction, target: FaultTarget) -> FaultPlan {
    FaultPlan {
        target,
        lasts: Some(Lasts::For(Span::from_secs(1))),
        ..FaultPlan::new(action, Span(0))
    }
}

static ON: AtomicBool = AtomicBool::new(false);

#[test]
fn a_kill_is_proven_by_the_process_and_taken_back_by_a_start() {
    let (mut sleepers, clock) = (Sleepers::new(), Clock::start());
    let pids = sleepers.pids();
    {
        let shared: Shared<'_> = Mutex::new(&mut sleepers);
        let consumers = Consumers::default();
        let mut injector = Injector::new(&shared, None, &consumers, clock, 1, &ON);
        let applied = injector.inject(0, &plan(FaultAction::Kill, FaultTarget::All)).unwrap();
        assert_eq!(applied.node, "node 1, node 2");
        assert!(pids.iter().all(|pid| is_gone(*pid)) && applied.at_ns <= clock.now_ns());
        let (healed_ns, _) = injector.revert(0).unwrap();
        assert!(healed_ns >= applied.at_ns);
    }
    assert!(sleepers.pids().iter().all(|pid| runs(*pid) && !pids.contains(pid)));
    assert_eq!(
        sleepers.deeds.iter().filter(|(_, deed)| *deed == NodeAction::Start).count(),
        2,
        "healed once"
    );
}

#[test]
fn it_counts_from_the_deed_and_not_from_its_proof() {
    for kind in [FaultAction::Kill, FaultAction::Stop, FaultAction::PowerLoss] {
        let mut sleepers = Sleepers::new();
        sleepers.lingers = Duration::from_millis(300);
        let shared: Shared<'_> = Mutex::new(&mut sleepers);
        let (consumers, clock) = (Consumers::default(), Clock::start());
        let mut injector = Injector::new(&shared, None, &consumers, clock, 1, &ON);
        let applied = injector.inject(0, &plan(kind, FaultTarget::Node)).unwrap();
        assert!(
            applied.at_ns + 300_000_000 <= clock.now_ns(),
            "{}: {applied:?}",
            kind.kind().name()
        );
    }
}

#[test]
fn what_is_down_or_held_already_is_not_hit_again() {
    let mut sleepers = Sleepers::new();
    {
        let shared: Shared<'_> = Mutex::new(&mut sleepers);
        let consumers = Consumers::default();
        let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &ON);
        injector.inject(0, &plan(FaultAction::Pause, FaultTarget::Node)).unwrap();
        let refused = injector.inject(1, &plan(FaultAction::Pause, FaultTarget::All)).unwrap_err();
        assert!(refused.why.contains("not taken back yet"), "{refused:?}");
        injector.revert(0).unwrap();
        injector.inject(2, &plan(FaultAction::Kill, FaultTarget::Node)).unwrap();
        for kind in
            [FaultAction::Kill, FaultAction::Stop, FaultAction::Pause, FaultAction::PowerLoss]
        {
            let refused = injector.inject(3, &plan(kind, FaultTarget::Node)).unwrap_err();
            assert_eq!(
                (refused.node.as_str(), refused.why.as_str()),
                ("node 1", "node 1 is down already")
            );
        }
        injector.revert(2).unwrap();
    }
    let deeds: Vec<NodeAction> = sleepers.deeds.iter().map(|(_, deed)| *deed).collect();
    assert_eq!(deeds, [NodeAction::Pause, NodeAction::Resume, NodeAction::Kill, NodeAction::Start]);
}

#[test]
fn who_ends_of_a_full_disk_is_no_death_and_is_started_again() {
    let mut sleepers = Sleepers::new();
    {
        let shared: Shared<'_> = Mutex::new(&mut sleepers);
        let consumers = Consumers::default();
        let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &ON);
        let full = plan(FULL, FaultTarget::Node);
        injector.inject(0, &full).unwrap();
        let (_, text) = injector.revert(0).unwrap();
        assert!(
            text.ends_with("the broker ended by itself on node 1 and was started again"),
            "{text}"
        );
        assert_eq!(shared.lock().unwrap().check().err().map(words), None);
        // Without a fault on it, it is one.
        let full = DiskFault::Full { room: 0 };
        shared.lock().unwrap().faultable().unwrap().set_disk(0, full).unwrap();
        let begun = Instant::now();
        while shared.lock().unwrap().check().is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
    }
    assert_eq!(sleepers.deeds, [(0, NodeAction::Start)]);
}

#[test]
fn a_node_whose_process_is_not_shown_is_started_again() {
    let mut sleepers = Sleepers::new();
    sleepers.unseen = true;
    {
        let shared: Shared<'_> = Mutex::new(&mut sleepers);
        let consumers = Consumers::default();
        let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &ON);
        injector.inject(0, &plan(FaultAction::Kill, FaultTarget::Node)).unwrap();
        injector.revert(0).unwrap();
    }
    assert_eq!(sleepers.deeds, [(0, NodeAction::Kill), (0, NodeAction::Start)]);
}

#[test]
fn who_may_not_do_it_is_told_once_and_each_time() {
    let mut sleepers = Sleepers::new();
    sleepers.no_disk = true;
    let shared: Shared<'_> = Mutex::new(&mut sleepers);
    let consumers = Consumers::default();
    let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &ON);
    for (number, kind) in
        [FaultAction::DiskSlow { delay: Span(0) }, FULL, FULL].into_iter().enumerate()
    {
        let refused = injector.inject(number, &plan(kind, FaultTarget::Node)).unwrap_err();
        assert!(
            refused.why.contains("somebody else") && !refused.why.contains("not taken back"),
            "{refused:?}"
        );
    }
}

#[test]
fn what_was_not_healed_is_healed_when_the_injector_goes() {
    let mut sleepers = Sleepers::new();
    let pid = sleepers.pid(0);
    let shared: Shared<'_> = Mutex::new(&mut sleepers);
    let consumers = Consumers::default();
    {
        let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &ON);
        injector.inject(0, &plan(FaultAction::Pause, FaultTarget::Node)).unwrap();
        assert!(is_stopped(pid).unwrap());
    }
    assert!(runs(pid));
}

#[test]
fn a_start_that_fails_is_told_and_tried_again_at_the_end() {
    let mut sleepers = Sleepers::new();
    sleepers.fails_to_start = true;
    {
        let shared: Shared<'_> = Mutex::new(&mut sleepers);
        let consumers = Consumers::default();
        let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &ON);
        injector.inject(0, &plan(FaultAction::Kill, FaultTarget::Node)).unwrap();
        assert!(injector.revert(0).unwrap_err().contains("no room"));
    }
    assert!(runs(sleepers.pid(0)));
}

#[test]
fn what_cannot_be_proven_was_not_applied_and_is_taken_back() {
    let mut sleepers = Sleepers::new();
    sleepers.lies = true;
    let interrupted = AtomicBool::new(true);
    {
        let shared: Shared<'_> = Mutex::new(&mut sleepers);
        let consumers = Consumers::default();
        // Interrupted, so that the test need not wait for the proof that never comes.
        let mut injector =
            Injector::new(&shared, None, &consumers, Clock::start(), 1, &interrupted);
        let refused = injector.inject(0, &plan(FaultAction::Pause, FaultTarget::Node)).unwrap_err();
        assert!(refused.why.contains("every thread of the process is stopped"), "{refused:?}");
        assert_eq!(refused.node, "node 1");
        // Nothing stands between these nodes and their clients.
        let refused =
            injector.inject(1, &plan(FaultAction::NetReset, FaultTarget::Node)).unwrap_err();
        assert!(refused.why.contains("straight"), "{refused:?}");
        // Two nodes, and nobody to tell who leads.
        let refused =
            injector.inject(2, &plan(FaultAction::Kill, FaultTarget::Leader)).unwrap_err();
        assert!(refused.why.contains("does not tell who leads"), "{refused:?}");
    }
    assert_eq!(sleepers.deeds.last(), Some(&(0, NodeAction::Resume)));
}

#[test]
fn a_consumer_that_does_not_go_is_not_killed_later() {
    let mut sleepers = Sleepers::new();
    let shared: Shared<'_> = Mutex::new(&mut sleepers);
    let (consumers, interrupted) = (Consumers::default(), AtomicBool::new(true));
    let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &interrupted);
    assert!(injector.inject(0, &plan(FaultAction::ConsumerKill, FaultTarget::Node)).is_err());
    assert!(!consumers.must_go());
}

#[test]
fn our_own_consumers_are_slowed_and_let_go() {
    let mut sleepers = Sleepers::new();
    let shared: Shared<'_> = Mutex::new(&mut sleepers);
    let consumers = Consumers::default();
    let mut injector = Injector::new(&shared, None, &consumers, Clock::start(), 1, &ON);
    let slow = plan(FaultAction::SlowConsumer { rate: Rate::per_second(100) }, FaultTarget::Node);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while consumers.pace_ns() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            consumers.note_felt();
        });
        injector.inject(0, &slow).unwrap();
    });
    assert_eq!(consumers.pace_ns(), 10_000_000);
    injector.revert(0).unwrap();
    assert_eq!(consumers.pace_ns(), 0);
}
