//! Which fault took the acknowledged messages that the broker no longer has, and how far back: RPO.
//!
//! A lost message belongs to the fault during which it was acknowledged, from taking effect until
//! healed and every copy in sync again: that is what a cut-off primary does, which goes on
//! acknowledging what it will have to forget. Acknowledged outside of any fault, it belongs to the
//! next one, which found it not yet safe; after the last one, to that. Only faults that can take
//! what is stored come into question, as long as there is one. RPO in time is the width of the
//! acknowledged time that is gone: from the first lost acknowledgement to the fault, or to the last
//! lost one where that came later.
//!
//! The durable RTO is when acknowledgements held again: the first one after the last that this
//! fault took, of the slowest lane. Where it took none that was given after it took effect, every
//! acknowledgement since then held, and it is the RTO. What a later fault takes is that one's.

use crate::engine::fault_timeline::say;
use crate::model::{FaultKind, Told};
use crate::record::{SECOND_NS, SequenceKey};
use crate::result::Fault;
use std::collections::BTreeMap;

/// A message: its lane and its number in it.
type Numbered = (SequenceKey, u64);

const NOT_DURABLE: &str =
    "no acknowledgement that held before the next fault or the end of the load";

/// What the kernel writes back by itself once it is older: Linux as it comes
/// (`vm.dirty_expire_centisecs`). A simulated power loss leaves that out, which is the most that
/// can be lost; with it, the least.
const WRITTEN_BACK_NS: u64 = 30 * SECOND_NS;

/// Lost messages by fault. Bounded by the number of faults, however many are lost.
pub struct Losses {
    /// In order of taking effect.
    spans: Vec<LossWindow>,
    /// Lost without any hint when they were acknowledged.
    unplaced: u64,
}

struct LossWindow {
    index: usize,
    effect: u64,
    over: u64,
    messages: u64,
    /// Acknowledged too late to be written back.
    recent: u64,
    first: u64,
    last: u64,
    /// Of each lane the last that was acknowledged after the fault took effect.
    late: BTreeMap<SequenceKey, u64>,
}

fn spares_what_is_stored(fault: &Fault) -> bool {
    fault.fault_kind().is_some_and(FaultKind::spares_what_is_stored)
}

impl Losses {
    pub fn new(faults: &[Fault]) -> Self {
        let blamed = faults
            .iter()
            .any(|fault| fault.took_effect_at_ns.is_some() && !spares_what_is_stored(fault));
        let span = |(index, fault): (usize, &Fault)| {
            let effect = fault.took_effect_at_ns?;
            if blamed && spares_what_is_stored(fault) {
                return None;
            }
            let whole = fault.redundancy_ns.map_or(0, |ns| effect.saturating_add(ns));
            let over = fault.healed_at_ns.map_or(u64::MAX, |healed| healed.max(whole));
            Some(LossWindow {
                index,
                effect,
                over,
                messages: 0,
                recent: 0,
                first: u64::MAX,
                last: 0,
                late: BTreeMap::new(),
            })
        };
        let mut spans: Vec<LossWindow> = faults.iter().enumerate().filter_map(span).collect();
        spans.sort_by_key(|span| span.effect);
        Self { spans, unplaced: 0 }
    }

    /// One lost message, and when it was acknowledged; those of a lane in order.
    pub fn add(&mut self, (lane, sequence): Numbered, acked_ns: Option<u64>) {
        let Some(at) = acked_ns else {
            self.unplaced += 1;
            return;
        };
        let next = self.spans.partition_point(|span| span.effect <= at);
        let during = self.spans[..next].iter().rposition(|span| at <= span.over);
        let whose = during.or((next < self.spans.len()).then_some(next)).or(next.checked_sub(1));
        if let Some(span) = whose.and_then(|index| self.spans.get_mut(index)) {
            span.messages += 1;
            span.recent += u64::from(at + WRITTEN_BACK_NS > span.effect);
            span.first = span.first.min(at);
            span.last = span.last.max(at);
            if at > span.effect {
                span.late.insert(lane, sequence);
            }
        }
    }

    /// Writes into each fault that took effect what it cost. `next_acked` tells when the next
    /// message of a lane was acknowledged.
    pub fn attribute(
        self,
        faults: &mut [Fault],
        load_end_ns: u64,
        next_acked: impl Fn(Numbered) -> Option<u64>,
    ) {
        let effects: Vec<u64> = faults.iter().filter_map(|fault| fault.took_effect_at_ns).collect();
        for fault in faults.iter_mut().filter(|fault| fault.took_effect_at_ns.is_some()) {
            (fault.rpo_messages, fault.rpo_ns) =
                if self.unplaced == 0 { (Some(0), Some(0)) } else { (None, None) };
            // As long as nothing shows that an acknowledgement after it did not hold.
            let held = fault.rto_publish().filter(|_| self.unplaced == 0);
            fault.rto_durable_ns = held.and_then(Told::value);
            fault.rto_durable_at_most_ns = held.and_then(Told::at_most);
        }
        for span in &self.spans {
            let Some(fault) = faults.get_mut(span.index) else { continue };
            // What cannot be placed leaves every fault's share unknown.
            fault.rpo_messages = (self.unplaced == 0).then_some(span.messages);
            fault.rpo_least_messages = fault
                .rpo_messages
                .filter(|_| fault.fault_kind() == Some(FaultKind::PowerLoss))
                .map(|_| span.recent);
            fault.rpo_ns = fault.rpo_messages.map(|lost| match lost {
                0 => 0,
                _ => span.last.max(span.effect) - span.first,
            });
            if span.late.is_empty() || self.unplaced > 0 {
                continue;
            }
            let lanes = span.late.iter().map(|(lane, last)| next_acked((*lane, *last)));
            let end = effects.iter().copied().filter(|other| *other > span.effect).min();
            let held = lanes.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
            let held = held.filter(|at| *at <= end.unwrap_or(load_end_ns));
            let seen = fault.rto_publish();
            if held.is_none() && seen.is_some() {
                say(&mut fault.text, NOT_DURABLE);
            }
            // Whoever is back sooner than can be seen still has a bound.
            let told = seen.zip(held).map(|(back, at)| match at.saturating_sub(span.effect) {
                ns if back.at_most().is_some_and(|bound| ns <= bound) => back,
                ns => Told::Value(ns.max(back.value().unwrap_or(0))),
            });
            fault.rto_durable_ns = told.and_then(Told::value);
            fault.rto_durable_at_most_ns = told.and_then(Told::at_most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(effect: u64, healed: Option<u64>, redundancy: Option<u64>) -> Fault {
        Fault {
            took_effect_at_ns: Some(effect),
            healed_at_ns: healed,
            redundancy_ns: redundancy,
            ..Fault::default()
        }
    }

    const END: u64 = 100 * SECOND_NS;

    /// Each message has its acknowledgement's time as its number.
    fn attribute(faults: &mut [Fault], lost: impl IntoIterator<Item = u64>) {
        let mut losses = Losses::new(faults);
        lost.into_iter().for_each(|at| losses.add(((0, 0), at), Some(at)));
        losses.attribute(faults, END, |(_, last)| Some(last + 10));
    }

    fn attributed(
        mut faults: Vec<Fault>,
        lost: impl IntoIterator<Item = u64>,
    ) -> Vec<(Option<u64>, Option<u64>)> {
        attribute(&mut faults, lost);
        faults.iter().map(|fault| (fault.rpo_messages, fault.rpo_ns)).collect()
    }

    #[test]
    fn a_crash_takes_what_was_acknowledged_shortly_before() {
        let faults = vec![fault(1000, Some(1200), None), fault(2000, Some(2200), None)];
        // The last one's reply was still under way when the process was gone.
        let found = attributed(faults.clone(), [900, 950, 1003, 1500, 1990]);
        assert_eq!(found, [(Some(3), Some(103)), (Some(2), Some(500))]);
        assert_eq!(
            attributed(faults, [2500]),
            [(Some(0), Some(0)), (Some(1), Some(0))],
            "after the last: the last"
        );
    }

    #[test]
    fn a_cut_off_primary_loses_what_it_acknowledged_until_all_were_in_sync() {
        let faults = vec![fault(1000, Some(2000), Some(3000)), fault(6000, Some(7000), None)];
        let found = attributed(faults, [1500, 2500, 3900, 5000]);
        assert_eq!(found, [(Some(3), Some(2400)), (Some(1), Some(1000))]);
    }

    /// What it acknowledges until the cut heals is thrown away: that it was never interrupted says
    /// nothing.
    #[test]
    fn back_is_who_keeps_what_it_acknowledges() {
        let cut = |rto: Option<u64>, bound: Option<u64>| Fault {
            rto_publish_ns: rto,
            rto_publish_at_most_ns: bound,
            ..fault(1000, Some(2000), Some(3000))
        };
        let durable = |fault: Fault, lost: &[u64]| {
            let mut faults = [fault];
            attribute(&mut faults, lost.iter().copied());
            let [fault] = faults;
            (fault.rto_durable(), fault.text.contains("that held"))
        };
        let never = || cut(None, Some(100));
        assert_eq!(durable(never(), &[1200, 1900, 2990]), (Some(Told::Value(2000)), false));
        assert_eq!(durable(never(), &[900, 990]), (Some(Told::AtMost(100)), false));
        assert_eq!(durable(never(), &[1003]), (Some(Told::AtMost(100)), false));
        assert_eq!(durable(cut(Some(500), None), &[900, 1003]), (Some(Told::Value(500)), false));
        assert_eq!(durable(cut(Some(500), None), &[1900]), (Some(Told::Value(910)), false));
        assert_eq!(durable(fault(1000, None, None), &[1900]), (None, false), "it never came back");
        assert_eq!(durable(never(), &[END - 5]), (None, true));
        // The next fault takes what this one had left.
        let mut two =
            [cut(Some(50), None), Fault { kind: "kill".into(), ..fault(9000, Some(9100), None) }];
        two[1].rto_publish_ns = Some(100);
        attribute(&mut two, [1500, 8000, 9001]);
        assert_eq!(two.map(|fault| fault.rto_durable_ns), [Some(510), Some(100)]);
    }

    #[test]
    fn a_fault_for_good_goes_on_to_the_end_and_one_that_failed_has_no_share() {
        let failed = Fault { not_applied: Some("no".into()), ..Fault::default() };
        let found = attributed(vec![failed, fault(1000, None, None)], [900, 9000]);
        assert_eq!(found, [(None, None), (Some(2), Some(8100))]);
    }

    #[test]
    fn who_cannot_take_what_is_stored_is_not_blamed_for_it() {
        let slow = Fault { kind: "slow-consumer".into(), ..fault(1000, Some(3000), None) };
        let kill = Fault { kind: "kill".into(), ..fault(5000, Some(5100), None) };
        let found = attributed(vec![slow.clone(), kill], [900, 2000, 4900]);
        assert_eq!(found, [(Some(0), Some(0)), (Some(3), Some(4100))]);
        // Somebody lost them, and nobody else is there.
        assert_eq!(attributed(vec![slow], [900]), [(Some(1), Some(100))]);
    }

    #[test]
    fn a_kernel_that_writes_back_saves_what_is_older() {
        let struck = |kind: &str| {
            let mut faults = vec![Fault { kind: kind.into(), ..fault(40 * SECOND_NS, None, None) }];
            attribute(&mut faults, [9, 10, 11, 39, 41].map(|second| second * SECOND_NS));
            (faults[0].rpo_messages, faults[0].rpo_least_messages)
        };
        assert_eq!(struck("power-loss"), (Some(5), Some(3)));
        assert_eq!(
            struck("kill"),
            (Some(5), None),
            "a killed process loses nothing that the kernel has"
        );
    }

    #[test]
    fn what_has_no_time_leaves_every_share_unknown() {
        let mut faults = vec![fault(1000, None, None)];
        let mut losses = Losses::new(&faults);
        losses.add(((0, 0), 5), None);
        losses.attribute(&mut faults, END, |_| None);
        assert_eq!((faults[0].rpo_messages, faults[0].rpo_ns), (None, None));
    }
}
