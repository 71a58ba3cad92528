//! What the kills of one cell showed, as observations: over all kills at the empty point, and each for itself.

use super::load::Loss;
use crate::fault::disk::Lost;
use crate::result::Observation;
use crate::stats::chance_of_unseen;

const NO_PROMISE: &str = "the reply promises nothing: there is no acknowledged message that could be lost";
const PAGE_CACHE: &str = "SIGKILL leaves what the kernel holds; a loss of power does not";
const SIMULATED: &str = "simulated power loss: of each file what was synced is left, and nothing else";

/// One kill and the recovery from it. Errors say why a figure is not known.
#[derive(Clone, Debug)]
pub struct Fault {
    pub number: u16,
    /// When all processes were seen gone, ns.
    pub killed_ns: u64,
    /// From then to the start of the new process.
    pub down_ns: u64,
    /// From then to the first acknowledgement on a fresh connection.
    pub rto_publish_ns: Result<u64, String>,
    pub loss: Result<Loss, String>,
    /// What the simulated loss of power took from the files; `None` for a mere kill.
    pub cut: Option<Lost>,
}

impl Fault {
    /// How far back the loss reaches: from the kill to the first lost message's acknowledgement.
    fn rpo_time_ns(&self, loss: &Loss) -> u64 {
        loss.first_lost_ns.map_or(0, |first| self.killed_ns.saturating_sub(first))
    }
}

pub fn observations(faults: &[Fault], acknowledges: bool) -> Vec<Observation> {
    let mut all = of(faults, "", acknowledges);
    if faults.len() > 1 {
        for fault in faults {
            all.extend(of(std::slice::from_ref(fault), &format!("kill={}", fault.number), acknowledges));
        }
    }
    all
}

/// The figures of some kills together: messages summed, times as the median, what reaches back furthest.
fn of(faults: &[Fault], point: &str, acknowledges: bool) -> Vec<Observation> {
    if faults.is_empty() {
        return Vec::new();
    }
    let kills = faults.len() as u64;
    let first_error = |why: Option<&String>| why.cloned().unwrap_or_default();
    let mut all = vec![median(faults.iter().map(|fault| fault.down_ns), "down_time", point)];
    all.push(match faults.iter().find_map(|fault| fault.rto_publish_ns.as_ref().err()) {
        Some(why) => Observation::not_measured("rto_publish", point, "ns", why),
        None => {
            median(faults.iter().filter_map(|fault| fault.rto_publish_ns.as_ref().ok().copied()), "rto_publish", point)
        }
    });
    let cut: Vec<&Lost> = faults.iter().filter_map(|fault| fault.cut.as_ref()).collect();
    if !cut.is_empty() {
        let (bytes, files) =
            (cut.iter().map(|lost| lost.bytes()).sum::<u64>(), cut.iter().map(|lost| lost.files.len()));
        let text = match files.sum::<usize>() {
            1 => format!("from 1 file; {SIMULATED}"),
            files => format!("from {files} files; {SIMULATED}"),
        };
        all.push(Observation::measured("cut_off", point, bytes as f64, "B", kills).with_text(text));
    }
    if !acknowledges {
        let metrics = [("acked", "msg"), ("rpo", "msg"), ("rpo_time", "ns"), ("survivors", "share")];
        all.extend(metrics.map(|(metric, unit)| Observation::cannot(metric, point, unit, NO_PROMISE)));
        return all;
    }
    let known: Vec<(&Fault, &Loss)> =
        faults.iter().filter_map(|fault| Some((fault, fault.loss.as_ref().ok()?))).collect();
    let words = if faults.iter().any(|fault| fault.cut.is_some()) { SIMULATED } else { PAGE_CACHE };
    let sum = |count: fn(&Loss) -> u64| known.iter().map(|(_, loss)| count(loss)).sum::<u64>();
    let (acked, lost) = (sum(|loss| loss.acked), sum(|loss| loss.lost));
    if known.len() < faults.len() || acked == 0 {
        let why = first_error(faults.iter().find_map(|fault| fault.loss.as_ref().err()));
        let why = if why.is_empty() { "nothing was acknowledged before the kill".to_owned() } else { why };
        let metrics = [("acked", "msg"), ("rpo", "msg"), ("rpo_time", "ns"), ("survivors", "share")];
        all.extend(metrics.map(|(metric, unit)| Observation::not_measured(metric, point, unit, why.as_str())));
        return all;
    }
    let unanswered = sum(|loss| loss.unanswered);
    let answered = format!(
        "of {} sent; {unanswered} without an answer, {} of these kept",
        sum(|loss| loss.sent),
        sum(|loss| loss.unanswered_kept)
    );
    let reach = known.iter().map(|(fault, loss)| fault.rpo_time_ns(loss)).max().unwrap_or(0);
    let share = (acked - lost) as f64 / acked as f64;
    all.extend([
        Observation::measured("acked", point, acked as f64, "msg", acked).with_text(answered),
        Observation::measured("rpo", point, lost as f64, "msg", kills).with_text(caveat(lost, &known, words)),
        Observation::measured("rpo_time", point, reach as f64, "ns", kills),
        Observation::measured("survivors", point, share, "share", acked),
    ]);
    all
}

/// What the number of lost messages can and cannot say.
fn caveat(lost: u64, known: &[(&Fault, &Loss)], words: &str) -> String {
    let kills = known.len();
    if lost > 0 {
        let hit = known.iter().filter(|(_, loss)| loss.lost > 0).count();
        return format!("lost in {hit} of {kills} kills; {words}");
    }
    let bound = chance_of_unseen(kills as u64);
    let kills = if kills == 1 { "1 kill".to_owned() } else { format!("{kills} kills") };
    format!("none in {kills}: a kill loses with a chance below {:.0} % (95 % confidence); {words}", bound * 100.0)
}

fn median(values: impl Iterator<Item = u64>, metric: &str, point: &str) -> Observation {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let (Some(least), Some(most)) = (values.first(), values.last()) else {
        return Observation::not_measured(metric, point, "ns", "no kill was completed");
    };
    let middle = values.len() / 2;
    let value = if values.len() % 2 == 1 { values[middle] } else { values[middle - 1].midpoint(values[middle]) };
    let found = Observation::measured(metric, point, value as f64, "ns", values.len() as u64);
    if values.len() < 2 {
        return found;
    }
    found.with_text(format!("median; {:.3} to {:.3} s", *least as f64 / 1e9, *most as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::disk::Cut;
    use crate::result::Kind;

    fn fault(number: u16, lost: u64, rto_ms: u64) -> Fault {
        let first_lost_ns = (lost > 0).then_some(4_000_000_000);
        let loss = Loss { sent: 110, acked: 100, lost, first_lost_ns, unanswered: 10, unanswered_kept: 4 };
        let rto_publish_ns = Ok(rto_ms * 1_000_000);
        Fault { number, killed_ns: 5_000_000_000, down_ns: 0, rto_publish_ns, loss: Ok(loss), cut: None }
    }

    fn value(all: &[Observation], metric: &str, point: &str) -> Option<f64> {
        all.iter().find(|found| found.metric == metric && found.point == point).unwrap().value
    }

    #[test]
    fn kills_are_summed_and_shown_each() {
        let all = observations(&[fault(1, 0, 10), fault(2, 25, 30), fault(3, 0, 20)], true);
        assert_eq!(value(&all, "acked", ""), Some(300.0));
        assert_eq!(value(&all, "rpo", ""), Some(25.0));
        assert_eq!(value(&all, "rpo_time", ""), Some(1e9));
        assert_eq!(value(&all, "rto_publish", ""), Some(20e6));
        assert_eq!(value(&all, "survivors", "kill=2"), Some(0.75));
        assert_eq!(value(&all, "rpo_time", "kill=1"), Some(0.0));
        assert!(all.iter().any(|found| found.text.contains("1 of 3 kills")), "{all:#?}");
        let one = observations(&[fault(1, 0, 10)], true);
        assert!(one.iter().all(|found| found.point.is_empty()));
        assert!(
            one.iter().any(|found| found.text.contains("none in 1 kill: a kill loses with a chance below 95 %")),
            "{one:#?}"
        );
    }

    #[test]
    fn a_loss_of_power_says_that_it_is_simulated_and_what_it_took() {
        let files = vec![Cut { path: "data/a.log".into(), from: 500, to: 200 }];
        let cut = Some(Lost { files });
        let all = observations(&[Fault { cut, ..fault(1, 25, 10) }], true);
        assert_eq!(value(&all, "cut_off", ""), Some(300.0));
        let text = |metric: &str| all.iter().find(|found| found.metric == metric).unwrap().text.clone();
        assert!(text("rpo").contains("simulated") && text("cut_off").contains("1 file; simulated"), "{all:#?}");
        assert!(observations(&[fault(1, 25, 10)], true).iter().all(|found| !found.text.contains("simulated")));
    }

    #[test]
    fn without_a_promise_nothing_can_be_lost() {
        let all = observations(&[fault(1, 0, 10)], false);
        for metric in ["acked", "rpo", "rpo_time", "survivors"] {
            assert!(all.iter().any(|found| found.metric == metric && found.kind == Kind::Cannot), "{metric}");
        }
        assert_eq!(value(&all, "rto_publish", ""), Some(10e6));
    }

    #[test]
    fn a_broker_that_stays_away_is_a_finding() {
        let gone =
            Fault { rto_publish_ns: Err("did not start".into()), loss: Err("did not start".into()), ..fault(2, 0, 1) };
        let all = observations(&[fault(1, 0, 10), gone], true);
        for metric in ["rto_publish", "rpo", "survivors"] {
            let found = all.iter().find(|found| found.metric == metric && found.point.is_empty()).unwrap();
            assert_eq!((found.value, found.text.as_str()), (None, "did not start"));
        }
        assert_eq!(value(&all, "rpo", "kill=1"), Some(0.0));
        assert!(observations(&[], true).is_empty());
    }
}
