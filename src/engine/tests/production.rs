//! Load that looks like production, on a broker whose truth is known: several sizes, keys, stages.
//! The books stay exact, and every message is in the stage in which it was due.

use super::*;
use crate::result::CellOutcome;
use crate::scenario::Keys;
use crate::schedule::Stage;
use crate::units::Bytes;

fn measured(cell: &Cell, behaviour: Behaviour) -> CellOutput {
    let clock = Clock::start();
    let fake = Fake::new(Behaviour { keep: true, ..behaviour }, 1, clock);
    CellRun::new(cell, clock).run(&fake).unwrap()
}

#[test]
fn messages_of_many_sizes_are_all_accounted_for() {
    let mut cell = cell(3000, 2, Vec::new());
    (cell.message.size, cell.message.mix) =
        (Bytes(2048), Some("90% 100B + 10% 2KiB".parse().unwrap()));
    let harms = BTreeMap::from([(7, Harm::CorruptDelivery), (900, Harm::StoreCorrupt)]);
    let record = measured(&cell, Behaviour { harms, ..Behaviour::default() }).record;
    let Counts { sent, acked, delivered, corrupt, foreign, reordered, .. } = record.counts;
    assert_eq!((sent, acked, delivered), (Some(3000), Some(3000), Some(2998)));
    assert_eq!((corrupt, foreign, reordered), (Some(2), Some(0), Some(0)));
    assert_eq!(record.message_bytes, 295, "the mean");
    assert!(record.observations.is_empty(), "no keys, no hottest partition");
}

#[test]
fn a_hot_key_has_a_hot_partition_and_each_partition_keeps_its_order() {
    let mut cell = cell(4000, 4, Vec::new());
    cell.message.key = Some(Keys { count: 1000, skew: 0.0, hot: 0.6 });
    let record = measured(&cell, Behaviour::default()).record;
    let Counts { sent, delivered, reordered, .. } = record.counts;
    assert_eq!((sent, delivered, reordered), (Some(4000), Some(4000), Some(0)));
    let [hottest] = &record.observations[..] else { panic!("{:?}", record.observations) };
    let share = hottest.value.unwrap();
    // Six tenths, and a fourth of what the other keys have.
    assert!((share - 0.7).abs() < 0.05, "{hottest:?}");
    assert_eq!((hottest.metric.as_str(), hottest.n), ("hottest_partition", 4000));
    assert!(hottest.text.ends_with("of 4; each would have 25.0 % if even"), "{}", hottest.text);
}

#[test]
fn every_message_of_a_stage_is_in_its_histograms_or_its_mass() {
    let stage = |rate| {
        let rate = Rate::per_second(rate);
        Stage { from: rate, to: rate, length: Span::from_secs(1) }
    };
    let load = Load { in_flight: 20_000, ..Load::open(Rate::per_second(500)) };
    let mut load = load.brief(Span::from_secs(3));
    load.stages = vec![stage(500), stage(1000), stage(4000)];
    let mut cell = Cell { load, ..cell(1, 1, Vec::new()) };
    cell.load.drain = Span::from_secs(3);
    // Two thousand a second, whatever is offered.
    let output = measured(&cell, Behaviour { service_ns: 500_000, ..Behaviour::default() });
    let record = &output.record;
    assert_eq!(record.outcome, CellOutcome::Overloaded, "{:?}", record.outcome_because);
    let planned: Vec<u64> = record.stages.iter().map(|stage| stage.planned).collect();
    assert_eq!(planned.iter().sum::<u64>(), record.window_planned.unwrap());
    for (planned, due) in planned.iter().zip([500, 1000, 4000]) {
        assert!(planned.abs_diff(due) <= 1, "{planned}, not {due}");
    }
    let histogram = |latency: Latency, stage: usize| {
        let mut all = crate::record::new_histogram();
        let own = |one: &&crate::result::Interval| one.metric == latency && one.stage == stage;
        output.intervals.iter().filter(own).for_each(|one| all.add(&one.histogram).unwrap());
        all
    };
    for (stage, number) in record.stages.iter().zip(1..) {
        for latency in [Latency::Publish, Latency::EndToEnd, Latency::ScheduleLag] {
            let censored = stage.censored.get(&latency).map_or(0, |censored| censored.count);
            let recorded = histogram(latency, number).len();
            assert_eq!(recorded + censored, stage.planned, "{latency} of stage {number}");
        }
    }
    // Of the last one half a thousand are waited for in the median, half a millisecond each.
    let last = histogram(Latency::Publish, 3).value_at_quantile(0.5);
    assert!(last >= 200 * MS, "{last}");
    let window = |latency| output.merged(latency).len() + record.censored(latency).count;
    assert_eq!(window(Latency::Publish), record.window_planned.unwrap());
    assert!(record.gates.iter().all(|gate| gate.name != "steady"));
}
