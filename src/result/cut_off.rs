//! A cell that has a journal and no books: the process that measured it was killed, or is still at
//! work. What its seconds hold is counted; what only the books could say is not known.

use super::raw::{CellRecord, WindowRow};
use super::summary::Counts;
use crate::record::SECOND_NS;

/// Its record, made from what it began with and the rows on disk; `None` where no second of the
/// window is among them.
pub fn cut_off(started: &CellRecord, rows: &[WindowRow]) -> Option<CellRecord> {
    let measured = || rows.iter().filter(|row| row.phase == "measure");
    let (first, last) = (measured().next()?, measured().next_back()?);
    let sum = |of: fn(&WindowRow) -> u64| rows.iter().map(of).sum::<u64>();
    let in_window = |of: fn(&WindowRow) -> u64| measured().map(of).sum::<u64>();
    let offered = |row: &WindowRow| row.offered_messages.unwrap_or(0);
    Some(CellRecord {
        window_start_ns: Some(first.start_ns),
        window_end_ns: Some(last.start_ns + SECOND_NS),
        warm_up_ns: first.start_ns.saturating_sub(rows.first().map_or(0, |row| row.start_ns)),
        counts: Counts {
            planned: started.open_loop.then(|| sum(offered)),
            sent: Some(sum(|row| row.sent_messages)),
            // Of a system whose reply promises nothing it stays without.
            acked: started.counts.acked.map(|_| sum(|row| row.acked_messages)),
            ..Counts::default()
        },
        window_planned: started.open_loop.then(|| in_window(offered)),
        window_sent: in_window(|row| row.sent_messages),
        window_acked: in_window(|row| row.acked_messages),
        window_consumed: in_window(|row| row.consumed_messages),
        interrupted: true,
        error: Some(
            "its process was killed, or is still at work: the books of this cell are not closed"
                .to_owned(),
        ),
        ..started.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::cell;
    use super::*;

    #[test]
    fn what_is_on_disk_is_counted_and_the_rest_is_not_known() {
        let output = cell("kafka", "base", 1);
        let started = CellRecord { window_start_ns: None, ..output.record };
        assert_eq!(cut_off(&started, &output.windows[..4]), None, "four seconds of warm-up");
        let found = cut_off(&started, &output.windows[..9]).unwrap();
        let window = (found.window_start_ns, found.window_end_ns);
        assert_eq!(window, (Some(4_000_000_000), Some(9_000_000_000)));
        assert_eq!((found.window_planned, found.window_sent), (Some(5_000), 5_000));
        assert_eq!((found.counts.planned, found.counts.sent), (Some(9_000), Some(9_000)));
        assert_eq!((found.counts.delivered, found.counts.lost), (None, None));
        assert_eq!(found.warm_up_ns, 4_000_000_000);
        let mut silent = started;
        silent.counts.acked = None;
        assert_eq!(cut_off(&silent, &output.windows).unwrap().counts.acked, None);
    }
}
