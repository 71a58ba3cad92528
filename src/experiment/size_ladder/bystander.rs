//! A stream of small messages beside the large one: what everyone else feels of it.
//!
//! Open loop: each message is planned, and late is late, whoever is to blame. A message that never
//! arrives counts as having taken until the end.

use crate::engine::{CellRunError, OnDrop, SendPlan};
use crate::experiment::ExperimentContext;
use crate::experiment::receiver::Received;
use crate::experiment::sender::{ExperimentSender, SendProgress};
use crate::schedule::Schedule;
use crate::units::{Bytes, Rate};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

const RATE: Rate = Rate::per_second(200);
const SIZE: Bytes = Bytes(1024);
/// How long the receiver waits before it looks whether it is to stop.
const LOOK_NS: u64 = 50_000_000;
/// How long after the last message was sent one may still arrive.
const DRAIN_NS: u64 = 2_000_000_000;
/// Far more than can be unanswered: late is late, and never held back.
const IN_FLIGHT: u32 = 1 << 16;

/// One message: when it was due, and how long it took from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BystanderSample {
    pub planned_ns: u64,
    pub latency_ns: u64,
    /// It did not arrive: the latency is "at least".
    pub missing: bool,
}

/// What `large` returns, and every small message that was due meanwhile. A stream that broke off
/// left its last ones missing.
pub fn beside<T>(
    context: &mut ExperimentContext<'_>,
    large: impl FnOnce(&mut ExperimentContext<'_>) -> T,
) -> Result<(T, Vec<BystanderSample>), CellRunError> {
    let (clock, run) = (context.clock(), context.run);
    let driver = context.prepared(context.cell, "beside")?;
    let mut subscriber = driver.subscriber(0, 0)?;
    let mut cell = context.cell.clone();
    (cell.message.size, cell.load.in_flight) = (SIZE, IN_FLIGHT);
    let mut sender = ExperimentSender::new(driver.as_ref(), &cell, run, clock)?;
    let (progress, mut tally) = (SendProgress::default(), Received::new(&cell, run));
    let start_ns = clock.now_ns();
    let plan = SendPlan {
        schedule: Some(Schedule::centred(RATE)),
        start_ns,
        messages: u64::MAX,
        send_until_ns: u64::MAX,
        answers_ns: DRAIN_NS / 10,
    };
    let (found, broke_off_ns) = thread::scope(|scope| {
        // However the scope is left.
        let stop = OnDrop(|| progress.stop.store(true, Relaxed));
        let sending = scope.spawn(|| {
            let broke_off = sender.run(plan, &progress).is_err() && !progress.stop.load(Relaxed);
            if broke_off { clock.now_ns() } else { 0 }
        });
        scope.spawn(|| {
            let all =
                tally.receive_until(subscriber.as_mut(), clock, LOOK_NS, u64::MAX, &progress.stop);
            let deadline_ns = clock.now_ns() + DRAIN_NS;
            let rest = |()| {
                tally.receive_while(subscriber.as_mut(), clock, 5 * LOOK_NS, deadline_ns, |_| false)
            };
            // What came until the connection broke off has come.
            let _ = all.and_then(rest).and_then(|()| subscriber.close());
        });
        let found = large(context);
        drop(stop);
        (found, sending.join().unwrap_or(0))
    });
    let planned = Schedule::centred(RATE).map(|due_ns| start_ns + due_ns).zip(0..);
    let planned =
        planned.take_while(|(due_ns, number)| *number < sender.sent() || *due_ns <= broke_off_ns);
    let samples = match_up(planned, &tally.wake_ups, clock.now_ns());
    // What is left of it is the broker's, which is about to be stopped.
    let _ = driver.clean_up();
    Ok((found, samples))
}

/// Messages by when they were due and their numbers, with how long each took, by number.
fn match_up(
    planned: impl Iterator<Item = (u64, u64)>,
    wake_ups: &[(u64, u64)],
    now_ns: u64,
) -> Vec<BystanderSample> {
    let took: HashMap<u64, u64> = wake_ups.iter().copied().collect();
    let sample = |(planned_ns, number)| {
        let arrived = took.get(&number).copied();
        let latency_ns = arrived.unwrap_or_else(|| now_ns.saturating_sub(planned_ns));
        BystanderSample { planned_ns, latency_ns, missing: arrived.is_none() }
    };
    planned.map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_arrived_took_as_long_as_it_did_and_who_never_came_took_until_now() {
        let planned = [100, 200, 300].into_iter().zip(0..);
        let samples = match_up(planned, &[(2, 50), (0, 10), (9, 1)], 1000);
        let sample =
            |planned_ns, latency_ns, missing| BystanderSample { planned_ns, latency_ns, missing };
        assert_eq!(
            samples,
            [sample(100, 10, false), sample(200, 800, true), sample(300, 50, false)]
        );
    }
}
