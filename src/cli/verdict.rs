//! What a run says of the faults that it injected and of the guarantee that it was held to: one line each.

use super::results::cannot;
use crate::result::{CellSummary, Fault, Judged, words};

/// How a cell was judged, where there is something to say about it.
pub fn of(cell: &CellSummary, name: &str) -> Option<String> {
    let because = cell.judged_because.join("; ");
    let word = match cell.judged {
        None | Some(Judged::Pass) if because.is_empty() => return None,
        // Said already.
        Some(Judged::Cannot) if cannot(cell).is_some() => return None,
        None => "found",
        Some(Judged::Pass) => "pass",
        Some(Judged::Fail) => "FAIL",
        Some(Judged::Inconclusive) => "inconclusive",
        Some(Judged::Cannot) => "cannot",
    };
    Some(format!("{word}: {name}: {because}"))
}

/// A fault and the recovery from it.
pub fn fault(fault: &Fault) -> String {
    let what = match &fault.node[..] {
        "" => format!("{} of {}", fault.kind, fault.target),
        node => format!("{} of {} ({node})", fault.kind, fault.target),
    };
    if let Some(why) = &fault.not_applied {
        return format!("{what} NOT APPLIED: {why}");
    }
    let time = |ns: u64| words::time(ns as f64);
    let times = [
        ("publish back after", fault.rto_publish_ns),
        ("delivery", fault.rto_deliver_ns),
        ("90 % of the rate", fault.rto_90_ns),
        ("a new client", fault.probe_rto_ns),
        ("every copy", fault.redundancy_ns),
    ];
    let mut said: Vec<String> =
        times.iter().map(|(name, ns)| format!("{name} {}", ns.map_or("unknown".into(), time))).collect();
    said.extend(fault.scripted_ns.map(|ns| format!("of it scripted {}", time(ns))));
    said.push(match (fault.rpo_messages, fault.rpo_ns) {
        (Some(0), _) => "nothing acknowledged lost".to_owned(),
        (Some(lost), Some(ns)) => {
            let least = fault.rpo_least_messages.map_or_else(String::new, |least| {
                format!(" ({} where the kernel had written back what was older than 30 s)", words::grouped(least))
            });
            format!("LOST {} acknowledged messages{least}, {} of them", words::grouped(lost), time(ns))
        }
        _ => "loss unknown".to_owned(),
    });
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
            fault(&known),
            "kill of leader (node-2): publish back after 7.12 s; delivery 7.30 s; 90 % of the rate unknown; \
             a new client unknown; every copy unknown; of it scripted 2.00 s; \
             LOST 1,234 acknowledged messages, 250 ms of them; exit status 9"
        );
        let least = fault(&Fault { kind: "power-loss".into(), rpo_least_messages: Some(1000), ..known.clone() });
        assert!(
            least.contains(
                "LOST 1,234 acknowledged messages (1,000 where the kernel had written back what was older than"
            ),
            "{least}"
        );
        let failed = Fault { not_applied: Some("no such process".into()), ..known };
        assert_eq!(fault(&failed), "kill of leader (node-2) NOT APPLIED: no such process");
    }
}
