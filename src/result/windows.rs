//! `windows.csv`: a row for each second of a cell, written and read one by one; and what becomes of
//! the rows of a load that lasted for hours.

use super::error::ResultError;
use super::raw::WindowRow;
use std::io::Read;
use std::path::Path;

/// So many rows are drawn one by one: an hour. Beyond it each stands for several seconds.
const DRAWN: usize = 3600;

pub fn parse_windows(text: &[u8], path: &Path) -> Result<Vec<WindowRow>, ResultError> {
    read_rows(text).collect::<Result<_, _>>().map_err(|error| ResultError::corrupt(path, error))
}

/// The rows that are whole: of a table whose end may be missing.
pub(super) fn parse_whole(text: &[u8], path: &Path) -> Result<Vec<WindowRow>, ResultError> {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    parse_windows(&text[..end], path)
}

pub(super) fn read_rows(table: impl Read) -> impl Iterator<Item = Result<WindowRow, csv::Error>> {
    csv::Reader::from_reader(table).into_deserialize()
}

/// Lines of the table, with its head or without.
pub(super) fn csv_lines<'a>(
    rows: impl IntoIterator<Item = &'a WindowRow>,
    head: bool,
    path: &Path,
) -> Result<Vec<u8>, ResultError> {
    let mut writer = csv::WriterBuilder::new().has_headers(head).from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| ResultError::corrupt(path, error))?;
    }
    writer.into_inner().map_err(|error| ResultError::corrupt(path, error))
}

/// Rows of what was counted, each with what was timed in its second where that is known. Both in
/// order of time.
pub fn with_measured(
    counted: impl Iterator<Item = WindowRow>,
    timed: impl Iterator<Item = WindowRow>,
) -> impl Iterator<Item = WindowRow> {
    let mut timed = timed.peekable();
    counted.map(move |row| {
        while let Some(known) = timed.next_if(|known| known.start_ns <= row.start_ns) {
            if known.start_ns == row.start_ns {
                return row.timed_as(&known);
            }
        }
        row
    })
}

impl WindowRow {
    fn timed_as(self, known: &Self) -> Self {
        Self {
            publish_p50_ns: known.publish_p50_ns,
            publish_p99_ns: known.publish_p99_ns,
            end_to_end_p50_ns: known.end_to_end_p50_ns,
            end_to_end_p99_ns: known.end_to_end_p99_ns,
            schedule_lag_p99_ns: known.schedule_lag_p99_ns,
            client_cpu_percent: known.client_cpu_percent,
            broker_cpu_percent: known.broker_cpu_percent,
            broker_rss_bytes: known.broker_rss_bytes,
            ..self
        }
    }

    /// Several seconds in one row: as many messages a second as in their mean, the longest of their
    /// latencies, the backlog at their end.
    fn of_several(rows: &[Self]) -> Self {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Self::default();
        };
        let mean = |of: fn(&Self) -> u64| rows.iter().map(of).sum::<u64>() / rows.len() as u64;
        let most = |of: fn(&Self) -> Option<u64>| rows.iter().filter_map(of).max();
        let level = |of: fn(&Self) -> Option<f64>| {
            let known: Vec<f64> = rows.iter().filter_map(of).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        Self {
            second: first.second,
            phase: first.phase.clone(),
            start_ns: first.start_ns,
            offered_messages: first
                .offered_messages
                .map(|_| mean(|row| row.offered_messages.unwrap_or(0))),
            sent_messages: mean(|row| row.sent_messages),
            acked_messages: mean(|row| row.acked_messages),
            consumed_messages: mean(|row| row.consumed_messages),
            offered_bytes: first.offered_bytes.map(|_| mean(|row| row.offered_bytes.unwrap_or(0))),
            sent_bytes: mean(|row| row.sent_bytes),
            acked_bytes: mean(|row| row.acked_bytes),
            consumed_bytes: mean(|row| row.consumed_bytes),
            backlog_messages: last.backlog_messages,
            publish_p50_ns: most(|row| row.publish_p50_ns),
            publish_p99_ns: most(|row| row.publish_p99_ns),
            end_to_end_p50_ns: most(|row| row.end_to_end_p50_ns),
            end_to_end_p99_ns: most(|row| row.end_to_end_p99_ns),
            schedule_lag_p99_ns: most(|row| row.schedule_lag_p99_ns),
            client_cpu_percent: level(|row| row.client_cpu_percent),
            broker_cpu_percent: level(|row| row.broker_cpu_percent),
            broker_rss_bytes: most(|row| row.broker_rss_bytes),
        }
    }
}

/// As many rows as can be drawn, each of one phase.
pub fn drawn(rows: Vec<WindowRow>) -> Vec<WindowRow> {
    let each = rows.len().div_ceil(DRAWN);
    if each <= 1 {
        return rows;
    }
    let phases = rows.chunk_by(|a, b| a.phase == b.phase);
    phases.flat_map(|phase| phase.chunks(each)).map(WindowRow::of_several).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(second: u32, sent: u64) -> WindowRow {
        WindowRow {
            second,
            phase: if second < 4 { "warm-up" } else { "measure" }.into(),
            start_ns: u64::from(second) * 1_000_000_000,
            sent_messages: sent,
            ..WindowRow::default()
        }
    }

    #[test]
    fn what_was_timed_joins_what_was_counted_by_its_second() {
        let timed =
            |second: u32| WindowRow { publish_p99_ns: Some(second.into()), ..row(second, 9) };
        let counted = (1..5).map(|second| row(second, 7));
        let all = with_measured(counted, [0, 2, 4, 6].map(timed).into_iter());
        let told: Vec<_> =
            all.map(|row| (row.second, row.sent_messages, row.publish_p99_ns)).collect();
        assert_eq!(told, [(1, 7, None), (2, 7, Some(2)), (3, 7, None), (4, 7, Some(4))]);
    }

    #[test]
    fn a_table_that_is_cut_off_ends_with_its_last_whole_row() {
        let (path, rows) = (Path::new("windows.csv"), [row(0, 1), row(1, 2)]);
        let mut text = csv_lines(&rows[..1], true, path).unwrap();
        text.extend(csv_lines(&rows[1..], false, path).unwrap());
        assert_eq!(parse_windows(&text, path).unwrap(), rows, "row by row");
        for cut in 1..=5 {
            let cut = &text[..text.len() - cut];
            assert_eq!(parse_whole(cut, path).unwrap(), rows[..1]);
        }
        assert!(parse_whole(b"second,ph", path).unwrap().is_empty());
    }

    #[test]
    fn three_days_are_drawn_in_an_hours_rows_and_no_tail_is_lost() {
        let short: Vec<WindowRow> = (0..3600).map(|second| row(second, 1)).collect();
        assert_eq!(drawn(short.clone()), short);
        let mut long: Vec<WindowRow> = (0..3 * 86_400).map(|second| row(second, 50)).collect();
        long[200_000].publish_p99_ns = Some(7);
        let few = drawn(long);
        assert!((3500..=3602).contains(&few.len()), "{}", few.len());
        assert!(few.iter().all(|row| row.sent_messages == 50));
        assert_eq!((few[0].phase.as_str(), few[1].phase.as_str()), ("warm-up", "measure"));
        assert_eq!(few.iter().filter_map(|row| row.publish_p99_ns).collect::<Vec<_>>(), [7]);
    }
}
