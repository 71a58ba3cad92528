//! A shard's part of a cell. What it counted says something together with what the others counted
//! only, so none of it stands in its record as if it were the cell's: [`merge`](super::merge) puts
//! the parts together. Of its gates those remain that look at this machine alone.

use super::control::Context;
use super::totals::Totals;
use crate::model::Latency;
use crate::record::Books;
use crate::result::shard::{ShardClock, ShardPart};
use crate::result::{Blame, CellOutcome, CellOutput, Counts};

/// The gate that looks at the books.
const BOOKS: &str = "books-balance";

/// What is known of the part beside its record.
pub fn part(
    of: Context<'_>,
    totals: &Totals,
    settled: Option<bool>,
    waited_ns: u64,
    clock: Option<ShardClock>,
) -> Option<ShardPart> {
    let share = of.share;
    (!share.is_whole()).then(|| ShardPart {
        shard: share.shard,
        placement: share.placement,
        producers: share.producers().count() as u16,
        planned: totals.planned.or_else(|| open_and_idle(of)),
        backpressured: totals.backpressured,
        sent: totals.sent.total(),
        unanswered: totals.unanswered,
        window_delivered: totals.window_delivered,
        waited_ns,
        settled,
        clock: clock.unwrap_or_default(),
    })
}

/// Who has no producer plans nothing.
fn open_and_idle(of: Context<'_>) -> Option<u64> {
    of.cell.load.rate.map(|_| 0)
}

/// Takes out of a shard's output what is the whole cell's to say.
pub fn parted(mut output: CellOutput, books: Books) -> CellOutput {
    let record = &mut output.record;
    if record.shard.is_none() {
        return output;
    }
    record.gates.retain(|gate| gate.blames == Blame::Harness && gate.name != BOOKS);
    (record.outcome, record.outcome_because) = (CellOutcome::Ok, Vec::new());
    (record.counts, record.subscriptions_counts) = (Counts::default(), Vec::new());
    record.examples.clear();
    record.observations.clear();
    record.censored.remove(&Latency::EndToEnd);
    output.books = Some(books);
    output
}
