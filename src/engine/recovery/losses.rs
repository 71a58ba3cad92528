//! Which fault took the acknowledged messages that the broker no longer has, and how far back: RPO.
//!
//! A lost message belongs to the fault during which it was acknowledged, from taking effect until
//! healed and every copy in sync again: that is what a cut-off primary does, which goes on
//! acknowledging what it will have to forget. Acknowledged outside of any fault, it belongs to the
//! next one, which found it not yet safe; after the last one, to that. Only faults that can take
//! what is stored come into question, as long as there is one. RPO in time is the width of the
//! acknowledged time that is gone: from the first lost acknowledgement to the fault, or to the last
//! lost one where that came later.

use crate::model::FaultKind;
use crate::record::SECOND_NS;
use crate::result::Fault;

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
            })
        };
        let mut spans: Vec<LossWindow> = faults.iter().enumerate().filter_map(span).collect();
        spans.sort_by_key(|span| span.effect);
        Self { spans, unplaced: 0 }
    }

    /// One lost message, and when it was acknowledged.
    pub fn add(&mut self, acked_ns: Option<u64>) {
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
        }
    }

    /// Writes into each fault that took effect what it cost.
    pub fn attribute(self, faults: &mut [Fault]) {
        for fault in faults.iter_mut().filter(|fault| fault.took_effect_at_ns.is_some()) {
            (fault.rpo_messages, fault.rpo_ns) =
                if self.unplaced == 0 { (Some(0), Some(0)) } else { (None, None) };
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

    fn attributed(
        mut faults: Vec<Fault>,
        lost: impl IntoIterator<Item = u64>,
    ) -> Vec<(Option<u64>, Option<u64>)> {
        let mut losses = Losses::new(&faults);
        lost.into_iter().for_each(|at| losses.add(Some(at)));
        losses.attribute(&mut faults);
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
            let mut losses = Losses::new(&faults);
            [9, 10, 11, 39, 41].iter().for_each(|second| losses.add(Some(second * SECOND_NS)));
            losses.attribute(&mut faults);
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
        losses.add(None);
        losses.attribute(&mut faults);
        assert_eq!((faults[0].rpo_messages, faults[0].rpo_ns), (None, None));
    }
}
