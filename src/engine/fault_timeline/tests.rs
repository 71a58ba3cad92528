//! The timeline on faults of our own consumers, which need no broker: what comes too late, and what
//! must end whatever happens.

use super::super::control::Control;
use super::*;
use crate::clock::Clock;
use crate::driver::fake::{Behaviour, Fake};
use crate::environment::{Broker, EnvironmentError, FaultableBroker};
use crate::model::Software;
use crate::scenario::{Overrides, from_text};
use crate::schedule::Share;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Instant;

const MS: u64 = 1_000_000;

/// A broker without nodes.
#[derive(Default)]
struct Nobody {
    /// Whoever would break it ends in a panic.
    panics: bool,
}

impl Broker for Nobody {
    fn software(&self) -> Software {
        Software::Redis
    }
    fn addresses(&self) -> Vec<String> {
        Vec::new()
    }
    fn check(&mut self) -> Result<(), EnvironmentError> {
        Ok(())
    }
    fn faultable(&mut self) -> Option<&mut dyn FaultableBroker> {
        assert!(!self.panics, "as the test wants it");
        None
    }
    fn stop(self: Box<Self>) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

/// Runs faults in a window of so many milliseconds, with a consumer that takes so many to come back
/// from a kill. `None` where the timeline ended in a panic.
fn log(
    faults: &str,
    window_ms: u64,
    away_ms: u64,
    behaviour: Behaviour,
    broker: Nobody,
) -> Option<FaultLog> {
    let text = format!(
        "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-streams]\nmessage: {{size: 100B}}\n\
         load: {{model: open, rate: 1k/s, duration: 5m}}\nfaults: {faults}\n"
    );
    let cell = from_text("t.yaml", &text, &Overrides::default()).unwrap().cells().remove(0);
    let (clock, control) = (Clock::start(), Control::new(1));
    let fake = Fake::new(behaviour, 1, clock);
    let mut broker = broker;
    let shared: Shared<'_> = Mutex::new(&mut broker);
    let (interrupted, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let now = clock.now_ns();
    control.open_window(now, now + window_ms * MS);
    let (control, driver, interrupted) = (&control, &fake, &interrupted);
    let share = Share::whole(cell.load.clients());
    let of = Context { cell: &cell, share, block: 1, run: 7, clock, driver, control, interrupted };
    let fault_timeline = FaultTimeline { of, broker: &shared, news: channel().0 };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                if control.consumers.must_go() {
                    control.consumers.note_lost(clock.now_ns());
                    thread::sleep(Duration::from_millis(away_ms));
                    control.consumers.note_back(clock.now_ns());
                }
                control.consumers.note_felt();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let log = scope.spawn(|| fault_timeline.run()).join().ok();
        over.store(true, Relaxed);
        log
    })
}

const BOTH: &str = "[{kind: consumer-kill, at: 0s}, {kind: slow-consumer, at: 200ms, for: 100ms}]";

#[test]
fn what_is_due_once_the_load_is_over_is_missed_and_not_injected() {
    let found = log(BOTH, 400, 700, Behaviour::default(), Nobody::default()).unwrap();
    let [kill, slow] = found.faults.as_slice() else { panic!("{found:?}", found = found.faults) };
    assert!(kill.healed_at_ns.is_some(), "{kill:?}");
    assert_eq!(slow.not_applied.as_deref(), Some("the load ended before"), "{slow:?}");
    assert!(slow.took_effect_at_ns.is_none());
}

#[test]
fn what_had_to_wait_for_another_fault_says_so() {
    let found = log(BOTH, 3000, 700, Behaviour::default(), Nobody::default()).unwrap();
    let [kill, slow] = found.faults.as_slice() else { panic!("{found:?}", found = found.faults) };
    assert!(!kill.text.contains("late"), "{kill:?}");
    assert!(slow.text.contains("injected ") && slow.text.ends_with("s late"), "{slow:?}");
    assert!(slow.healed_at_ns.is_some());
}

#[test]
fn a_panic_is_no_end_without_end() {
    // Nobody is ever answered: the watcher of the first fault goes
    // on until it is told that all is over.
    let behaviour = Behaviour { delay_ns: u64::MAX / 4, ..Behaviour::default() };
    let begun = Instant::now();
    let faults =
        "[{kind: slow-consumer, at: 0s, for: 100ms}, {kind: pause, at: 200ms, for: 100ms}]";
    let broker = Nobody { panics: true };
    assert!(log(faults, 400, 0, behaviour, broker).is_none());
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
}
