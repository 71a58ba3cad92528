//! The messages of the window that are in no histogram, and how long each of them waited at least.

use super::collect::Telemetry;
use super::totals::Totals;
use crate::model::Latency;
use crate::record::SECOND_NS;
use crate::result::Censored;
use std::collections::BTreeMap;

/// Until when the end of a message was waited for; ns since the run's epoch.
#[derive(Debug, Default)]
pub struct Deadlines {
    /// The producers' answers, at least: that of the first to give up.
    answered_ns: Option<u64>,
    /// From a producer's last message to the end of its wait, at least.
    after_sending_ns: Option<u64>,
    /// The consumers' deliveries.
    collected_ns: u64,
}

impl Deadlines {
    /// Until when deliveries were waited for; those of producers are taken in one by one.
    pub fn of_consumers(collected_ns: u64) -> Self {
        Self { collected_ns, ..Self::default() }
    }

    /// Takes in when a producer sent its last message, and until when it waited for answers.
    pub fn producer(&mut self, waited: Option<(u64, u64)>) {
        let Some((sent_ns, until_ns)) = waited else { return };
        let least = |known: Option<u64>, ns: u64| known.map_or(ns, |known| known.min(ns));
        self.answered_ns = Some(least(self.answered_ns, until_ns));
        let waited_ns = until_ns.saturating_sub(sent_ns);
        self.after_sending_ns = Some(least(self.after_sending_ns, waited_ns));
    }

    /// Of every latency what was planned (of the service time: sent) in the window, not aborted on
    /// purpose, and not recorded.
    pub fn censored(
        &self,
        totals: &Totals,
        telemetry: &Telemetry,
        delivers: bool,
    ) -> BTreeMap<Latency, Censored> {
        // Nothing was planned after it: the end of the window, where it ends by the clock.
        let planned_by_ns = telemetry.flow.offered.len() as u64 * SECOND_NS;
        let of = |latency: Latency| {
            let (owed, until_ns) = match latency {
                Latency::Service => (totals.window_sent, self.after_sending_ns),
                Latency::EndToEnd if !delivers => (0, None),
                Latency::EndToEnd => (totals.window_planned, Some(self.collected_ns)),
                Latency::Publish | Latency::ScheduleLag => {
                    (totals.window_planned, self.answered_ns)
                }
            };
            let from_ns = if latency.planned() { planned_by_ns } else { 0 };
            let at_least_ns = until_ns.unwrap_or(0).saturating_sub(from_ns);
            // The lag of those that were aborted is recorded too, when they are sent.
            let lagged = latency == Latency::ScheduleLag;
            let aborted = if lagged { 0 } else { totals.window_aborted };
            let count = owed.saturating_sub(aborted + telemetry.measured(latency).len());
            (count > 0).then_some(Censored { count, at_least_ns })
        };
        Latency::ALL.into_iter().filter_map(|latency| Some((latency, of(latency)?))).collect()
    }

    /// Likewise of the latencies from the plan, of one part of the load, which ended at `end_ns`:
    /// of so many messages that were due in it, so many aborted on purpose.
    pub fn censored_in(
        &self,
        (part, end_ns): (usize, u64),
        (due, aborted): (u64, u64),
        telemetry: &Telemetry,
        delivers: bool,
    ) -> BTreeMap<Latency, Censored> {
        let of = |latency: Latency| {
            let (aborted, until_ns) = match latency {
                Latency::EndToEnd => (aborted, Some(self.collected_ns).filter(|_| delivers)?),
                Latency::Publish => (aborted, self.answered_ns.unwrap_or(0)),
                // Those that were aborted had been sent.
                Latency::ScheduleLag => (0, self.answered_ns.unwrap_or(0)),
                Latency::Service => return None,
            };
            let ended = aborted + telemetry.measured_in(latency, part).len();
            let at_least_ns = until_ns.saturating_sub(end_ns);
            let count = due.saturating_sub(ended);
            (count > 0).then_some(Censored { count, at_least_ns })
        };
        Latency::ALL.into_iter().filter_map(|latency| Some((latency, of(latency)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell_run::CellRun;
    use super::*;
    use crate::clock::Clock;
    use crate::driver::fake::{Behaviour, Fake, Harm};
    use crate::model::System;
    use crate::result::{CellOutcome, CellOutput, rates};
    use crate::scenario::{Cell, Load, Message};
    use crate::units::{Rate, Span};

    /// Two seconds of 2000/s, and half a second to drain.
    fn ran(behaviour: Behaviour) -> CellOutput {
        let clock = Clock::start();
        let load = Load { in_flight: 500, ..Load::open(Rate::per_second(2000)) };
        let load = Load { drain: Span::from_millis(500), ..load.brief(Span::from_secs(2)) };
        let cell = Cell { message: Message::random(100), ..Cell::plain(System::Fake, load) };
        let fake = Fake::new(behaviour, 1, clock);
        CellRun::new(&cell, clock).run(&fake).unwrap()
    }

    fn planned_is_whole(output: &CellOutput) {
        let record = &output.record;
        let planned = record.window_planned.unwrap();
        assert!(planned >= 4000, "{planned}");
        for latency in [Latency::Publish, Latency::EndToEnd, Latency::ScheduleLag] {
            let all = output.merged(latency).len() + record.censored(latency).count;
            assert_eq!(all, planned, "{latency}: nobody leaves the histogram");
        }
        let served =
            output.merged(Latency::Service).len() + record.censored(Latency::Service).count;
        assert_eq!(served, record.window_sent);
    }

    #[test]
    fn what_never_came_back_is_at_least_so_late() {
        let stall = Some((1_000_000_000, 600_000_000_000));
        let output = ran(Behaviour { delay_ns: 1_000_000, stall, ..Behaviour::default() });
        planned_is_whole(&output);
        let record = &output.record;
        assert_eq!(record.outcome, CellOutcome::Overloaded);
        for latency in [Latency::Publish, Latency::EndToEnd] {
            let Censored { count, at_least_ns } = record.censored(latency);
            assert!(count >= 1000, "{latency}: {count}");
            assert!(at_least_ns >= 500_000_000, "the drain at least: {at_least_ns}");
        }
        assert!(record.censored(Latency::ScheduleLag).count > 0, "some were never sent");
        let completed = record.completed_of_planned().unwrap();
        assert!(completed > 0.0 && completed < 0.75, "{completed}");
    }

    #[test]
    fn what_was_refused_or_not_delivered_is_in_the_mass_and_the_reason_is_kept() {
        let tens = (0..20_000u64).step_by(20);
        let harms = tens.flat_map(|n| [(n, Harm::Refuse), (n + 10, Harm::Withhold)]).collect();
        let output = ran(Behaviour { delay_ns: 1_000_000, harms, ..Behaviour::default() });
        planned_is_whole(&output);
        let record = &output.record;
        let share =
            |latency| record.censored(latency).count as f64 / record.window_planned.unwrap() as f64;
        assert!((share(Latency::Publish) - 0.05).abs() < 0.01, "{}", share(Latency::Publish));
        assert!((share(Latency::EndToEnd) - 0.1).abs() < 0.01, "{}", share(Latency::EndToEnd));
        assert!(
            record.outcome_because.iter().any(|why| why.contains("refused by the fake broker ×")),
            "{:?}",
            record.outcome_because
        );
    }

    #[test]
    fn above_capacity_rates_are_those_of_the_clock() {
        // A thousand a second, whatever is offered.
        let output = ran(Behaviour { service_ns: 1_000_000, ..Behaviour::default() });
        planned_is_whole(&output);
        let rows = || output.windows.iter().filter(|row| row.phase == "measure");
        assert_eq!(rows().count(), 2);
        let (acked, consumed) = (
            rows().map(|row| row.acked_messages).sum::<u64>(),
            rows().map(|row| row.consumed_messages).sum::<u64>(),
        );
        let record = &output.record;
        assert_eq!((record.window_acked, record.window_consumed), (acked, consumed));
        let goodput = rates(record).goodput_per_s.unwrap();
        assert!((goodput - acked.min(consumed) as f64 / 2.0).abs() < 1e-6, "{goodput}");
        assert!(goodput <= 1010.0, "no more than it serves: {goodput}");
    }
}
