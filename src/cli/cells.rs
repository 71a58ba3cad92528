//! Every cell of a run at length, for `-v`: its figures, why it is what it is, and what was found
//! before the first block.

use super::ending::one_line;
use crate::model::Told;
use crate::report as rendering;
use crate::result::{CellSummary, Fault, Manifest, Quantiles, Summary, TriedSetting, words};
use crate::sanitize;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

/// Cell by cell.
pub fn text(manifest: &Manifest, summary: &Summary, width: u16) -> String {
    let mut text = plain_table(summary, width);
    text += &rendering::observations(summary, width);
    for cell in &summary.cells {
        let name = format!("{} {} block {}", cell.label, cell.cell, cell.block);
        if let Some(reason) = cell.cannot() {
            text += &one_line(format!("cannot: {name}: {reason}"));
        }
        for reason in &cell.invalid_because {
            text += &one_line(format!("invalid: {name}: {reason}"));
        }
        for reason in &cell.repeated_because {
            text += &one_line(format!("spoilt and repeated: {name}: {reason}"));
        }
        let told =
            |(word, because): (String, String)| one_line(format!("{word}: {name}: {because}"));
        text += &rendering::outcome(cell).map_or_else(String::new, told);
        for (reason, count) in &cell.failures {
            let count = words::grouped(*count);
            text += &one_line(format!("failed: {name}: {reason} ×{count}"));
        }
        for fault in &cell.faults {
            text += &one_line(format!("fault: {name}: {}", fault_text(fault)));
        }
        text += &rendering::judged(cell).map_or_else(String::new, told);
    }
    for (point, found) in &manifest.rates_found {
        let rate = found.rate.map_or_else(String::new, |rate| format!("{rate}, "));
        text += &one_line(format!("{point}: {rate}{}", found.because));
    }
    for (label, points) in &manifest.settings_found {
        for (point, found) in points {
            let carried = |tried: &TriedSetting| {
                let rate = tried.goodput_per_s;
                let rate = rate.map_or("spoilt".into(), |rate| words::grouped(rate as u64));
                format!("{}: {rate}/s", tried.setting)
            };
            let tried = found.tried.iter().map(carried).collect::<Vec<_>>().join("; ");
            let setting = found.setting.as_deref().unwrap_or("none");
            text += &one_line(format!("{label} {point}: measured with {setting}; tried {tried}"));
        }
    }
    for (label, cold) in &manifest.cold_start {
        let publish =
            |ns: Option<u64>| ns.map_or("not measured".into(), |ns| words::time(ns as f64));
        text += &one_line(format!(
            "cold start: {label} answered after {}; publish p50 {} and p99 {} in its first 5 s; \
            warmed {} before measuring",
            words::time(cold.ready_ns as f64),
            publish(cold.publish_p50_ns),
            publish(cold.publish_p99_ns),
            words::time(cold.warmed_ns as f64),
        ));
    }
    text
}

/// Its head, and what stands in it of a cell.
type Column = (&'static str, fn(&CellSummary) -> String);

/// Of plain load. Names come first.
const COLUMNS: [Column; 16] = [
    ("system", |cell| cell.label.clone()),
    ("cell", |cell| cell.cell.clone()),
    ("block", |cell| cell.block.to_string()),
    ("outcome", |cell| match cell.valid {
        _ if cell.cannot().is_some() => "cannot".to_owned(),
        false => "invalid".to_owned(),
        true => words::name(&cell.outcome),
    }),
    ("goodput/s", |cell| {
        cell.rates.goodput_per_s.map_or("-".into(), |rate| words::grouped(rate as u64))
    }),
    ("publish p50", |cell| time(cell.latency.publish.as_ref(), "p50")),
    ("p99", |cell| time(cell.latency.publish.as_ref(), "p99")),
    ("end-to-end p50", |cell| time(cell.latency.end_to_end.as_ref(), "p50")),
    ("p99", |cell| time(cell.latency.end_to_end.as_ref(), "p99")),
    ("failed", |cell| count(cell.counts.failed)),
    ("lost", |cell| count(cell.counts.lost)),
    ("dup", |cell| count(cell.counts.duplicate)),
    ("reord", |cell| count(cell.counts.reordered)),
    ("CPU/msg", |cell| cpu(cell.resources.client_cpu_ns_per_message) + heavy(cell)),
    ("broker's", |cell| cpu(cell.resources.broker_cpu_ns_per_message)),
    ("of machine", |cell| {
        cell.resources.client_share.map_or("-".into(), |share| format!("{:.0} %", share * 100.0))
    }),
];

fn cpu(ns: Option<f64>) -> String {
    ns.map_or("-".into(), words::time)
}

/// Marks a load generator that took more CPU than the broker.
fn heavy(cell: &CellSummary) -> &'static str {
    if cell.resources.client_heavy() { rendering::CLIENT } else { "" }
}

fn time(latency: Option<&Quantiles>, name: &str) -> String {
    let value = latency.and_then(|latency| latency.value(name));
    value.map_or("-".into(), |value| value.words(words::time))
}

fn count(messages: Option<u64>) -> String {
    messages.map_or("-".into(), words::grouped)
}

/// The cells of plain load; empty where there are none.
fn plain_table(summary: &Summary, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(COLUMNS.map(|(head, _)| head));
    for cell in summary.cells.iter().filter(|cell| cell.experiment.is_none()) {
        table.add_row(COLUMNS.map(|(_, text)| sanitize::line(&text(cell))));
    }
    if table.row_count() == 0 {
        return String::new();
    }
    // Names are for the eye and for grep: only headings may break.
    for column in table.column_iter_mut().take(4) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let heavy = summary.cells.iter().any(|cell| !heavy(cell).is_empty());
    let note = heavy.then(|| format!("{} {}\n", rendering::CLIENT, rendering::CLIENT_HEAVY));
    format!("{table}\n{}", note.unwrap_or_default())
}

/// A fault and the recovery from it.
fn fault_text(fault: &Fault) -> String {
    let what = match &fault.node[..] {
        "" => format!("{} of {}", fault.kind, fault.target),
        node => format!("{} of {} ({node})", fault.kind, fault.target),
    };
    if let Some(why) = &fault.not_applied {
        return format!("{what} NOT APPLIED: {why}");
    }
    let time = |ns: u64| words::time(ns as f64);
    let times = [
        ("publish back after", fault.rto_publish()),
        ("durably", fault.rto_durable()),
        ("delivery", fault.rto_deliver()),
        ("90 % of the rate", fault.rto_90()),
        ("a new client", fault.rto_probe()),
        ("every copy", fault.redundancy_ns.map(Told::Value)),
    ];
    let back = |(name, one): (&str, Option<Told>)| match one {
        None => format!("{name} unknown"),
        Some(Told::Value(ns)) => format!("{name} {}", time(ns)),
        Some(bound) => {
            let what = name.trim_end_matches(" back after");
            format!("{what} {}", words::told(bound.map(|ns| ns as f64), words::time))
        }
    };
    let mut said: Vec<String> = times.into_iter().map(back).collect();
    said.extend(fault.scripted_ns.map(|ns| format!("of it scripted {}", time(ns))));
    said.extend(fault.restart.map(|restart| format!("restart: {}", restart.in_words())));
    said.push(match (fault.rpo_messages, fault.rpo_ns) {
        (Some(0), _) => "nothing acknowledged is gone from the broker".to_owned(),
        (Some(lost), Some(ns)) => {
            let least = fault.rpo_least_messages.map_or_else(String::new, |least| {
                format!(
                    " ({} where the kernel had written back what was older than 30 s)",
                    words::grouped(least)
                )
            });
            format!(
                "GONE FROM THE BROKER: {} acknowledged messages{least}, {} of them",
                words::grouped(lost),
                time(ns)
            )
        }
        _ => "what is gone unknown".to_owned(),
    });
    said.extend(fault.too_early.as_ref().map(|why| format!("says nothing of `save`: {why}")));
    said.extend((!fault.text.is_empty()).then(|| fault.text.clone()));
    said.extend(fault.not_healed.as_ref().map(|why| format!("NOT HEALED: {why}")));
    format!("{what}: {}", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_one_line() {
        let known = Fault {
            kind: "kill".into(),
            target: "leader".into(),
            node: "node-2".into(),
            took_effect_at_ns: Some(1),
            scripted_ns: Some(2_000_000_000),
            rto_publish_ns: Some(7_120_000_000),
            rto_deliver_ns: Some(7_300_000_000),
            rpo_messages: Some(1234),
            rpo_ns: Some(250_000_000),
            text: "exit status 9".into(),
            ..Fault::default()
        };
        assert_eq!(
            fault_text(&known),
            "kill of leader (node-2): publish back after 7.12 s; durably unknown; \
             delivery 7.30 s; 90 % of the rate unknown; a new client unknown; every copy unknown; \
             of it scripted 2.00 s; \
             GONE FROM THE BROKER: 1,234 acknowledged messages, 250 ms of them; exit status 9"
        );
        let least = fault_text(&Fault {
            kind: "power-loss".into(),
            rpo_least_messages: Some(1000),
            ..known.clone()
        });
        assert!(
            least.contains(
                "GONE FROM THE BROKER: 1,234 acknowledged messages (1,000 where the kernel had \
                 written back what was older than"
            ),
            "{least}"
        );
        let failed = Fault { not_applied: Some("no such process".into()), ..known };
        assert_eq!(fault_text(&failed), "kill of leader (node-2) NOT APPLIED: no such process");
    }
}
