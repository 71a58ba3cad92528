//! The rows of a cell's time series: what was counted in each second. What was timed in it, and
//! what it cost, is the [`Telemetry`](super::collect::Telemetry)'s to add.

use super::progress::Phase;
use crate::record::{Flow, PerSecond, SECOND_NS};
use crate::result::WindowRow;
use crate::scenario::{Cell, Model};

/// From when to when something lasted, ns since the run's epoch.
pub type Window = Option<(u64, u64)>;

/// What the rows of a cell have in common.
#[derive(Clone, Copy, Debug)]
pub struct RowTerms {
    /// Of the load.
    start_ns: u64,
    open: bool,
    pub mean_bytes: f64,
    subscriptions: u64,
}

impl RowTerms {
    pub fn of(cell: &Cell, start_ns: u64) -> Self {
        Self {
            start_ns,
            open: cell.load.model == Model::Open,
            mean_bytes: cell.message.mean_bytes(),
            subscriptions: cell.load.subscriptions.into(),
        }
    }

    /// The second in which the load began.
    pub fn first(&self) -> u64 {
        self.start_ns / SECOND_NS
    }

    /// One second, with what is known of it so far.
    pub fn row(&self, flow: &Flow<PerSecond>, window: Window, second: u64) -> WindowRow {
        let backlog = flow.backlog_before(second as usize + 1, self.subscriptions);
        self.counted(flow, window, second, backlog)
    }

    /// All of them, once everything is counted.
    pub fn all(self, flow: &Flow<PerSecond>, window: Window) -> impl Iterator<Item = WindowRow> {
        let (first, mut acked, mut consumed) = (self.first(), 0, 0);
        (first..flow.seconds() as u64).map(move |second| {
            acked += flow.acked.get(second as usize) * self.subscriptions;
            consumed += flow.consumed.get(second as usize);
            self.counted(flow, window, second, u64::saturating_sub(acked, consumed))
        })
    }

    fn counted(
        &self,
        flow: &Flow<PerSecond>,
        window: Window,
        second: u64,
        backlog_messages: u64,
    ) -> WindowRow {
        let at = second * SECOND_NS;
        let bytes = |messages: u64| (messages as f64 * self.mean_bytes).round() as u64;
        let of = |kind: &PerSecond| kind.get(second as usize);
        let offered = self.open.then(|| of(&flow.offered));
        WindowRow {
            second: second.saturating_sub(self.first()) as u32,
            phase: Phase::of(window, at, at + SECOND_NS).name().into(),
            start_ns: at,
            offered_messages: offered,
            sent_messages: of(&flow.sent),
            acked_messages: of(&flow.acked),
            consumed_messages: of(&flow.consumed),
            offered_bytes: offered.map(bytes),
            sent_bytes: bytes(of(&flow.sent)),
            acked_bytes: bytes(of(&flow.acked)),
            consumed_bytes: bytes(of(&flow.consumed)),
            backlog_messages,
            ..WindowRow::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::record::Tally;
    use crate::scenario::Load;
    use crate::units::Rate;

    #[test]
    fn a_row_as_it_comes_is_the_row_in_the_end() {
        let load = Load { subscriptions: 2, ..Load::open(Rate::per_second(10)) };
        let cell = Cell::plain(System::Fake, load);
        let terms = RowTerms::of(&cell, 3 * SECOND_NS + SECOND_NS / 2);
        let (mut thread, mut flow) = (Flow::<Tally>::default(), Flow::<PerSecond>::default());
        for (second, acked) in [(3, 5), (4, 10), (5, 10)] {
            thread.offered.add(second * SECOND_NS, 10);
            thread.acked.add(second * SECOND_NS, acked);
            thread.consumed.add(second * SECOND_NS, 9);
        }
        flow.add(thread.take());
        let window = Some((4 * SECOND_NS, 5 * SECOND_NS));
        let all: Vec<WindowRow> = terms.all(&flow, window).collect();
        assert!(all.iter().eq(&[3, 4, 5].map(|second| terms.row(&flow, window, second))));
        let told: Vec<_> = all
            .iter()
            .map(|row| (row.second, row.phase.as_str(), row.acked_bytes, row.backlog_messages))
            .collect();
        assert_eq!(
            told,
            [(0, "warm-up", 5 * 1024, 1), (1, "measure", 10_240, 12), (2, "drain", 10_240, 23)]
        );
    }
}
