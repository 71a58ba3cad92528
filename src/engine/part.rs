//! A shard's part of a cell. What it counted says something together with what the others counted
//! only, so none of it stands in its record as if it were the cell's: [`merge`](super::merge) puts
//! the parts together. Of its gates those remain that look at this machine alone.

use super::collect::{Seconds, Telemetry};
use super::comeback::Reasons;
use super::control::Context;
use super::rows::Window;
use super::totals::Totals;
use crate::model::Latency;
use crate::record::Books;
use crate::result::shard::{ShardClock, ShardPart};
use crate::result::{Blame, CellOutcome, CellOutput, CellRecord, Counts, ResultError};

/// The gate that looks at the books.
const BOOKS: &str = "books-balance";

/// What is known of the part beside its record.
pub fn part(
    of: Context<'_>,
    totals: &Totals,
    telemetry: &Telemetry,
    waited_ns: u64,
    clock: Option<ShardClock>,
    (cut_off, toll): (Reasons, Reasons),
) -> Option<ShardPart> {
    let share = of.share;
    (!share.is_whole()).then(|| ShardPart {
        shard: share.shard,
        placement: share.placement,
        producers: share.producers().count() as u16,
        planned: totals.planned.or_else(|| open_and_idle(of)),
        backpressured: totals.backpressured,
        sent: telemetry.flow.sent.total(),
        unanswered: totals.unanswered,
        window_delivered: totals.window_delivered,
        waited_ns,
        settled: telemetry.settled,
        clock: clock.unwrap_or_default(),
        cut_off,
        toll,
    })
}

/// Who has no producer plans nothing.
fn open_and_idle(of: Context<'_>) -> Option<u64> {
    of.cell.load.rate.map(|_| 0)
}

/// What a process leaves of a cell; without, where it is a shard, what is the whole cell's to say.
pub fn parted(
    mut record: CellRecord,
    window: Window,
    mut telemetry: Telemetry,
    books: Books,
) -> Result<CellOutput, ResultError> {
    let books = record.shard.is_some().then_some(books);
    if books.is_some() {
        unsaid(&mut record);
    }
    let (events, broker_log) = (std::mem::take(&mut telemetry.events), String::new());
    let Seconds { rows: windows, intervals, journaled } = telemetry.finish(window)?;
    Ok(CellOutput { record, windows, events, intervals, broker_log, journaled, books })
}

fn unsaid(record: &mut CellRecord) {
    record.gates.retain(|gate| gate.blames == Blame::Harness && gate.name != BOOKS);
    (record.outcome, record.outcome_because) = (CellOutcome::Ok, Vec::new());
    (record.counts, record.subscriptions_counts) = (Counts::default(), Vec::new());
    record.examples.clear();
    record.observations.clear();
    record.censored.remove(&Latency::EndToEnd);
}
