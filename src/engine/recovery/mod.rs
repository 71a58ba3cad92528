//! From what was seen of the load to the recovery from each fault: pure functions, no clock, no
//! broker.
//!
//! Every time counts from the moment the fault took effect; the part that the scenario prescribes
//! stands beside it as `scripted_ns`. The silence that a fault causes begins before it, with it or
//! within a second after it, or later, while it is in force, and then lasts longer than that; where
//! several do, the last one counts. What was silent no longer than [`SILENCE_NS`] was never
//! interrupted: it has a bound and no time. What cannot be known is `None`, with the reason in the
//! fault's words.

mod losses;
pub mod snapshots;
mod span;

use super::fault_timeline::say;
use crate::model::Told;
use crate::record::{
    AckTimes, AckTrace, Books, PerTenth, SILENCE_NS, SequenceKey, Silence, Silences, common,
};
use crate::result::{Fault, PartitionRecovery};
use losses::Losses;
use span::{FaultSpan, NotSeen, Recovered};
use std::collections::BTreeMap;

/// Messages a second of a partition below which [`SILENCE_NS`] between two of them is nothing
/// unusual.
const FEWEST_PER_S: f64 = 100.0;

/// What the threads of a cell with faults saw.
#[derive(Default)]
pub struct FaultObservations {
    traces: BTreeMap<SequenceKey, AckTrace>,
    acks: PerTenth,
    /// By subscription, of each of its consumers, by partition.
    deliveries: BTreeMap<u16, Vec<Vec<Silences>>>,
}

impl FaultObservations {
    pub fn add_producer(&mut self, producer: u16, tenths: &PerTenth, traces: Vec<AckTrace>) {
        self.acks.merge(tenths);
        self.traces
            .extend(traces.into_iter().zip(0..).map(|(trace, lane)| ((producer, lane), trace)));
    }

    pub fn add_consumer(&mut self, subscription: u16, gaps: Vec<Silences>) {
        self.deliveries.entry(subscription).or_default().push(gaps);
    }

    /// Fills in what each fault cost. `load_end_ns` is when the last message was due; `partitions`
    /// is how many partitions, channels, streams or lists a lane's number stands for.
    pub fn judge(
        self,
        faults: &mut [Fault],
        books: &Books,
        rate_per_s: Option<f64>,
        load_end_ns: u64,
        partitions: u16,
    ) {
        if faults.is_empty() {
            return;
        }
        let partition_of = |lane: u16| lane % partitions.max(1);
        let publish = (0..partitions).map(|partition| {
            let of = self.traces.iter().filter(|((_, lane), _)| partition_of(*lane) == partition);
            Listened::to(of.map(|(_, trace)| trace.gaps()), load_end_ns)
        });
        let deliver = self.deliveries.values().map(|consumers| {
            let partition = |partition: u16| {
                consumers.iter().filter_map(move |gaps| gaps.get(usize::from(partition)))
            };
            (0..partitions).map(|number| Listened::to(partition(number), load_end_ns)).collect()
        });
        let evidence = RecoveryEvidence {
            publish: publish.collect(),
            deliver: deliver.collect(),
            acks: self.acks,
            rate_per_s,
            load_end_ns,
        };
        recover(faults, &evidence);
        // Without acknowledgements nothing was promised, without an audit nothing is known to be
        // gone.
        if books.acknowledges && books.audit.is_some() {
            let times: BTreeMap<SequenceKey, AckTimes> =
                self.traces.into_iter().map(|(key, trace)| (key, trace.into_times())).collect();
            let mut losses = Losses::new(faults);
            for (key, sequence) in books.broker_lost() {
                let acked_ns = times.get(&key).and_then(|times| times.of(sequence));
                losses.add((key, sequence), acked_ns);
            }
            losses.attribute(faults, load_end_ns, |(key, sequence)| {
                times.get(&key)?.of(books.acked_after(key, sequence)?)
            });
        }
    }
}

/// What all of the lanes or consumers of one partition heard together.
#[derive(Clone, Debug, Default)]
struct Listened {
    silences: Vec<Silence>,
    heard: bool,
    complete: bool,
}

impl Listened {
    fn to<'a>(gaps: impl Iterator<Item = &'a Silences>, end_ns: u64) -> Self {
        let mut all = Self { complete: true, ..Self::default() };
        // Who never heard anything has no share in the partition.
        for gaps in gaps.filter(|gaps| gaps.heard()) {
            let silences = gaps.until(end_ns);
            all.silences = if all.heard { common(&all.silences, &silences) } else { silences };
            all.heard = true;
            all.complete &= gaps.complete();
        }
        all
    }
}

struct RecoveryEvidence {
    /// By partition.
    publish: Vec<Listened>,
    /// By subscription and partition.
    deliver: Vec<Vec<Listened>>,
    acks: PerTenth,
    /// Offered over all partitions; `None` in the closed model.
    rate_per_s: Option<f64>,
    load_end_ns: u64,
}

/// Fills in the times of recovery and the unavailability of every fault that took effect.
fn recover(faults: &mut [Fault], seen: &RecoveryEvidence) {
    let effects: Vec<u64> = faults.iter().filter_map(|fault| fault.took_effect_at_ns).collect();
    for fault in faults {
        let Some(effect) = fault.took_effect_at_ns else { continue };
        let next = effects.iter().copied().filter(|other| *other > effect).min();
        // For good, until healed, or until every copy was in sync again.
        let whole = fault.redundancy_ns.map_or(0, |ns| effect.saturating_add(ns));
        let over = fault.healed_at_ns.map_or(u64::MAX, |healed| healed.max(whole));
        let sparse =
            seen.rate_per_s.is_some_and(|rate| rate < FEWEST_PER_S * seen.publish.len() as f64);
        let span = FaultSpan { effect, over, next, load_end: seen.load_end_ns, sparse };
        let mut words = Vec::new();
        let publish = span.rto_of_all(&seen.publish, "acknowledgement", &mut words);
        let mut deliver = vec![None; seen.publish.len()];
        for subscription in &seen.deliver {
            let found = span.rto_of_all(subscription, "delivery", &mut words);
            // The later of two, of which one may not exist.
            deliver.iter_mut().zip(found).for_each(|(latest, rto)| *latest = (*latest).max(rto));
        }
        // That of the slowest partition.
        let slowest = publish.iter().copied().max().flatten();
        (fault.rto_publish_ns, fault.rto_publish_at_most_ns) = written(slowest);
        (fault.rto_deliver_ns, fault.rto_deliver_at_most_ns) =
            written(deliver.iter().copied().max().flatten());
        // Nothing is at 90 % of its rate before every partition is back; without acknowledgements
        // no partition has a time.
        let interrupted_ns = fault.rto_publish_ns.unwrap_or(0);
        let found = match slowest {
            Some(Err(NotSeen)) => None,
            _ => span.rto_90(&seen.acks, seen.rate_per_s, effect + interrupted_ns),
        };
        // The tenth of the fault itself carried the rate, and so did those after it.
        let told = found.map(|ns| match ns.max(interrupted_ns) {
            0..=SILENCE_NS if interrupted_ns == 0 => Ok(Told::AtMost(SILENCE_NS)),
            ns => Ok(Told::Value(ns)),
        });
        (fault.rto_90_ns, fault.rto_90_at_most_ns) = written(told);
        if told.is_none() {
            words.push(
                "no second at 90 % of the rate before the next fault or the end of the load".into(),
            );
        }
        let partitions = publish.into_iter().zip(deliver).zip(0..);
        fault.partitions = partitions
            .filter(|((publish, deliver), _)| publish.is_some() || deliver.is_some())
            .map(|((publish, deliver), partition)| {
                let (rto_publish_ns, rto_publish_at_most_ns) = written(publish);
                let (rto_deliver_ns, rto_deliver_at_most_ns) = written(deliver);
                PartitionRecovery {
                    partition,
                    rto_publish_ns,
                    rto_publish_at_most_ns,
                    rto_deliver_ns,
                    rto_deliver_at_most_ns,
                }
            })
            .collect();
        // From when it answered; whoever was never interrupted never had to come back.
        if let (Some(restart), Some(healed)) = (&mut fault.restart, fault.healed_at_ns) {
            let back = fault.rto_publish_ns.map(|ns| effect.saturating_add(ns));
            restart.reconnect_ns = back.map(|back| back.saturating_sub(healed));
        }
        fault.unavailable = span.unavailable(&seen.publish);
        words.iter().for_each(|words| say(&mut fault.text, words));
    }
}

/// As the value and the bound of a fault's fields.
fn written(rto: Recovered) -> (Option<u64>, Option<u64>) {
    let told = rto.and_then(Result::ok);
    (told.and_then(Told::value), told.and_then(Told::at_most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NEVER;

    const MS: u64 = 1_000_000;

    fn silence(from_ms: u64, to_ms: u64) -> Silence {
        Silence { from_ns: from_ms * MS, to_ns: if to_ms == 0 { NEVER } else { to_ms * MS } }
    }

    fn partition(silences: &[(u64, u64)]) -> Listened {
        let silences = silences.iter().map(|(from, to)| silence(*from, *to)).collect();
        Listened { silences, heard: true, complete: true }
    }

    /// A load of 1000/s from 0 to 30 s, with nothing acknowledged in the given times; in the tenth
    /// after each, all of it.
    fn acks(outages_ms: &[(u64, u64)]) -> PerTenth {
        let mut tenths = PerTenth::new(0);
        for ms in 0..30_000 {
            let held = outages_ms.iter().find(|(from, to)| (*from..*to).contains(&ms));
            tenths.add(held.map_or(ms, |(_, to)| *to) * MS);
        }
        tenths
    }

    fn evidence(publish: Vec<Listened>, outages_ms: &[(u64, u64)]) -> RecoveryEvidence {
        let deliver = vec![publish.clone()];
        RecoveryEvidence {
            publish,
            deliver,
            acks: acks(outages_ms),
            rate_per_s: Some(1000.0),
            load_end_ns: 30_000 * MS,
        }
    }

    fn at(effect_ms: u64) -> Fault {
        lasting(effect_ms, 500)
    }

    fn lasting(effect_ms: u64, ms: u64) -> Fault {
        Fault {
            took_effect_at_ns: Some(effect_ms * MS),
            healed_at_ns: Some((effect_ms + ms) * MS),
            scripted_ns: Some(ms * MS),
            ..Fault::default()
        }
    }

    fn recovered(effects_ms: &[u64], seen: &RecoveryEvidence) -> Vec<Fault> {
        let mut faults: Vec<Fault> = effects_ms.iter().map(|ms| at(*ms)).collect();
        recover(&mut faults, seen);
        faults
    }

    #[test]
    fn the_slowest_stream_decides_and_each_has_its_own_time() {
        let partitions = vec![
            partition(&[(9_990, 12_000)]),
            partition(&[]),
            partition(&[(2_000, 2_200), (10_200, 13_000)]),
        ];
        let mut seen = evidence(partitions, &[(10_000, 13_000)]);
        seen.deliver[0][1] = partition(&[(10_000, 10_900)]);
        let fault = recovered(&[10_000], &seen).remove(0);
        assert_eq!(
            (fault.rto_publish_ns, fault.rto_deliver_ns),
            (Some(3_000 * MS), Some(3_000 * MS))
        );
        assert_eq!(fault.rto_90_ns, Some(3_000 * MS));
        assert_eq!(fault.unscripted(fault.rto_publish_ns, 1), Some(2_500 * MS));
        let found: Vec<_> =
            fault.partitions.iter().map(|s| (s.rto_publish_ns, s.rto_deliver_ns)).collect();
        let ms = |ms: u64| Some(ms * MS);
        assert_eq!(found, [(ms(2_000), ms(2_000)), (None, ms(900)), (ms(3_000), ms(3_000))]);
        assert_eq!(fault.partitions[1].rto_publish_at_most_ns, ms(100));
        let named: Vec<_> =
            fault.unavailable.iter().map(|u| (u.partition, u.from_ns / MS)).collect();
        assert_eq!(named, [(0, 9_990), (2, 10_200)], "what was over before is not this fault's");
        assert!(
            fault.text.contains("1 of 3 streams never without acknowledgement"),
            "{}",
            fault.text
        );
    }

    #[test]
    fn what_never_came_back_is_unknown_with_its_reason() {
        let partitions = vec![partition(&[(10_000, 11_000)]), partition(&[(10_000, 0)])];
        let fault = recovered(&[10_000], &evidence(partitions, &[(10_000, 30_000)])).remove(0);
        assert_eq!((fault.rto_publish_ns, fault.rto_90_ns), (None, None));
        assert_eq!(fault.partitions[0].rto_publish_ns, Some(1_000 * MS));
        assert!(
            fault.text.contains("stream 1: no acknowledgement any more until the end"),
            "{}",
            fault.text
        );
        assert_eq!(fault.unavailable[1].to_ns, None);
        let unkept = Listened { complete: false, ..partition(&[]) };
        let fault = recovered(&[10_000], &evidence(vec![unkept], &[])).remove(0);
        assert!(
            fault.rto_publish_ns.is_none() && fault.text.contains("than are kept"),
            "{}",
            fault.text
        );
    }

    #[test]
    fn a_recovery_belongs_to_its_own_fault() {
        let partitions = vec![partition(&[(10_000, 12_000), (20_100, 21_000)])];
        let seen = evidence(partitions, &[(10_000, 12_000), (20_100, 21_000)]);
        let faults = recovered(&[10_000, 20_000], &seen);
        let found: Vec<_> = faults.iter().map(|fault| fault.rto_publish_ns.unwrap() / MS).collect();
        assert_eq!(found, [2_000, 1_000]);
        assert_eq!(faults.iter().map(|fault| fault.unavailable.len()).collect::<Vec<_>>(), [1, 1]);
        let faults = recovered(&[10_000, 11_000], &seen);
        assert_eq!(faults[0].rto_publish_ns, None);
        assert!(faults[0].text.contains("before the next fault"), "{}", faults[0].text);
        assert_eq!(faults[1].rto_publish_ns, Some(1_000 * MS));
    }

    #[test]
    fn a_hiccup_before_the_outage_is_not_the_recovery_and_a_later_one_is_not_the_fault() {
        let partitions = vec![partition(&[(9_950, 10_070), (10_090, 14_000), (18_000, 19_000)])];
        let fault =
            recovered(&[10_000], &evidence(partitions, &[(10_090, 14_000), (18_000, 19_000)]))
                .remove(0);
        assert_eq!(fault.rto_publish_ns, Some(4_000 * MS));
        assert_eq!(fault.rto_90_ns, Some(4_000 * MS));
        assert_eq!(fault.unavailable.len(), 3);
    }

    /// A disk that fills up, a primary that notices after a while that its replicas are gone.
    #[test]
    fn an_outage_that_begins_late_in_its_fault_is_its_own() {
        let late = [(14_000, 22_000), (27_000, 29_000)];
        let seen = evidence(
            vec![partition(&[(12_000, 12_300), late[0], late[1]]), partition(&[(15_000, 15_400)])],
            &late,
        );
        let mut faults = [lasting(10_000, 10_000)];
        recover(&mut faults, &seen);
        let [fault] = faults;
        assert_eq!(
            (fault.rto_publish_ns, fault.rto_deliver_ns),
            (Some(12_000 * MS), Some(12_000 * MS))
        );
        assert_eq!(
            fault.rto_90_ns,
            Some(12_000 * MS),
            "the good seconds before it are no recovery"
        );
        assert_eq!(
            (fault.partitions[1].rto_publish_ns, fault.partitions[1].rto_publish_at_most_ns),
            (None, Some(400 * MS)),
            "a short pause is the load's"
        );
        let words = "1 of 2 streams went on, without acknowledgement for 400 ms at most";
        assert!(
            fault.text.contains(words) && !fault.text.contains("never without"),
            "{}",
            fault.text
        );
        // Over when every copy is in sync again, not when the script ends.
        let mut faults = [Fault { redundancy_ns: Some(17_500 * MS), ..lasting(10_000, 10_000) }];
        recover(&mut faults, &seen);
        assert_eq!(faults[0].rto_publish_ns, Some(19_000 * MS));
    }

    #[test]
    fn streams_of_few_messages_tell_no_outage_from_a_pause() {
        let slow = RecoveryEvidence {
            rate_per_s: Some(199.0),
            ..evidence(vec![partition(&[]), partition(&[])], &[])
        };
        let fault = recovered(&[10_000], &slow).remove(0);
        assert_eq!((fault.rto_publish_ns, fault.rto_90_ns), (None, None));
        assert!(fault.text.contains("stream 1: under 100 messages a second"), "{}", fault.text);
    }

    #[test]
    fn a_load_that_ends_a_little_early_is_no_outage() {
        let mut faults = [Fault { healed_at_ns: None, ..at(10_000) }];
        recover(
            &mut faults,
            &evidence(vec![partition(&[(10_000, 11_000), (29_700, 0)])], &[(10_000, 11_000)]),
        );
        assert_eq!(faults[0].rto_publish_ns, Some(1_000 * MS));
    }

    #[test]
    fn ninety_per_cent_must_last_and_a_burst_does_not_stand_for_it() {
        // Back at 12 s for half a second with everything that had waited, gone again until 15 s.
        let flapping = [(10_000, 12_000), (12_500, 15_000)];
        let partitions = vec![partition(&flapping)];
        let fault = recovered(&[10_000], &evidence(partitions.clone(), &flapping)).remove(0);
        assert_eq!((fault.rto_publish_ns, fault.rto_90_ns), (Some(2_000 * MS), Some(5_000 * MS)));
        let closed = RecoveryEvidence { rate_per_s: None, ..evidence(partitions, &flapping) };
        assert_eq!(
            recovered(&[10_000], &closed)[0].rto_90_ns,
            Some(5_000 * MS),
            "measured before the fault"
        );
        let untouched = recovered(&[10_000], &evidence(vec![partition(&[])], &[])).remove(0);
        assert_eq!(
            [untouched.rto_publish(), untouched.rto_deliver(), untouched.rto_90()],
            [Some(Told::AtMost(SILENCE_NS)); 3]
        );
        assert_eq!((untouched.rto_publish_ns, untouched.rto_90_ns), (None, None));
    }

    #[test]
    fn what_was_not_applied_is_left_alone() {
        let mut faults = [Fault { not_applied: Some("no such node".into()), ..Fault::default() }];
        recover(&mut faults, &evidence(vec![partition(&[])], &[]));
        assert_eq!(
            faults[0],
            Fault { not_applied: Some("no such node".into()), ..Fault::default() }
        );
    }

    #[test]
    fn lanes_of_a_stream_are_heard_together() {
        let mut one = Silences::new(0);
        let mut other = Silences::new(0);
        (0..100).for_each(|n| {
            one.note(n * 50 * MS);
        });
        (0..300).filter(|n| !(60..90).contains(n)).for_each(|n| {
            other.note(n * 50 * MS);
        });
        let silent = Silences::new(0);
        let heard = Listened::to([&one, &other, &silent].into_iter(), 15_000 * MS);
        assert!(
            heard.heard && heard.silences.is_empty(),
            "the one speaks while the other is silent: {heard:?}"
        );
        let heard = Listened::to([&other, &silent].into_iter(), 15_000 * MS);
        assert_eq!(heard.silences, [silence(59 * 50, 90 * 50)]);
        assert!(!Listened::to([&silent].into_iter(), 15_000 * MS).heard);
    }
}
