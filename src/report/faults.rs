//! The faults of a run as a table for its page: one line per injection, in every block, with what each cost.

use super::chart::canvas::DataTable;
use super::fault_cost::range;
use crate::result::words::{copies, grouped, significant};
use crate::result::{CellRecord, CellSummary, Fault, Judged, StoredCell, Summary};

const HEAD: [&str; 26] = [
    "Label",
    "Matrix point",
    "Block",
    "Fault",
    "Target",
    "Node",
    "Planned",
    "Took effect",
    "Healed",
    "RTO-publish",
    "RTO-deliver",
    "RTO-90 %",
    "Scripted",
    "RTO-publish without",
    "RTO-deliver without",
    "RTO-90 % without",
    "Unavailable",
    "RPO, messages",
    "RPO",
    "Redundant again",
    "Probe",
    "Retries",
    "Not applied, not healed",
    "Verdict",
    "Guarantee",
    "Seen",
];
/// Silences that a line has room for.
const NAMED: usize = 6;

/// Empty without faults.
pub fn table(cells: &[StoredCell], summary: &Summary, guarantee: &str) -> DataTable {
    let mut rows = Vec::new();
    for StoredCell { record, .. } in cells {
        let same =
            |cell: &&CellSummary| (&cell.label, &cell.cell, cell.block) == (&record.label, &record.cell, record.block);
        let verdict = summary.cells.iter().find(same).map_or("–", verdict);
        rows.extend(record.faults.iter().map(|fault| row(record, fault, verdict, guarantee)));
    }
    DataTable { head: HEAD.map(str::to_owned).into(), rows }
}

fn verdict(cell: &CellSummary) -> &'static str {
    match cell.judged {
        _ if !cell.valid => "INVALID",
        Some(Judged::Pass) => "PASS",
        Some(Judged::Fail) => "FAIL",
        Some(Judged::Inconclusive) => "INCONCLUSIVE",
        Some(Judged::Cannot) => "CANNOT",
        None => "–",
    }
}

fn row(record: &CellRecord, fault: &Fault, verdict: &str, guarantee: &str) -> Vec<String> {
    let start = record.window_start_ns.unwrap_or(0);
    let at = |ns: Option<u64>| ns.map_or_else(none, |ns| significant((ns as f64 - start as f64) / 1e9));
    let long = |ns: Option<u64>| ns.map_or_else(none, |ns| significant(ns as f64 / 1e9));
    let healed = if fault.for_good() { "never".to_owned() } else { at(fault.healed_at_ns) };
    let rto = [fault.rto_publish_ns, fault.rto_deliver_ns, fault.rto_90_ns];
    let text = |text: &str| if text.is_empty() { none() } else { text.to_owned() };
    let mut row = vec![record.label.clone(), record.cell.clone(), record.block.to_string()];
    row.extend([&fault.kind, &fault.target, &fault.node].map(|name| text(name)));
    row.extend([at(fault.planned_at_ns), at(fault.took_effect_at_ns), healed]);
    row.extend(rto.map(long));
    row.push(long(fault.scripted_ns));
    let copies = copies(&record.system, &record.survives, record.nodes);
    row.extend(rto.map(|ns| long(fault.unscripted(ns, copies))));
    row.push(unavailable(fault, start));
    row.push(fault.rpo_messages.map_or_else(none, |most| range(fault.rpo_least_messages.unwrap_or(most), most)));
    row.extend([fault.rpo_ns, fault.redundancy_ns, fault.probe_rto_ns].map(long));
    row.push(retries(record));
    let failed: Vec<&str> = [&fault.not_applied, &fault.not_healed].into_iter().flatten().map(String::as_str).collect();
    row.push(text(&failed.join("; ")));
    row.extend([verdict.to_owned(), guarantee.to_owned(), text(&fault.text)]);
    row
}

/// `stream 0: 5.02 to 13.9; stream 2: 5.02 to the end`.
fn unavailable(fault: &Fault, start: u64) -> String {
    let second = |ns: u64| significant((ns as f64 - start as f64) / 1e9);
    let told = fault.unavailable.iter().take(NAMED).map(|silence| {
        let to = silence.to_ns.map_or_else(|| "the end".to_owned(), second);
        format!("stream {}: {} to {to}", silence.stream, second(silence.from_ns))
    });
    let more = fault.unavailable.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("… {more} more"));
    let all: Vec<String> = told.chain(more).collect();
    if all.is_empty() { none() } else { all.join("; ") }
}

/// Of the whole cell: what is tried again is seldom one fault's alone.
fn retries(record: &CellRecord) -> String {
    let all: Vec<String> =
        record.retries.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count))).collect();
    if all.is_empty() { "0".to_owned() } else { all.join("; ") }
}

fn none() -> String {
    "–".to_owned()
}
