//! Consumers that die in the middle of a batch, one a flow: what is lost, what comes twice, and
//! when another one has it.
//!
//! Each dies at a moment of its flow, and with a share of its batch done, that follow from the
//! seed: what comes again is what was done and not yet acknowledged, not a constant of ours.

use super::flow::Flow;
use crate::engine::CellRunError;
use crate::experiment::ExperimentContext;
use crate::model::{Aggregate, Metric, metric};
use crate::random::SplitMix64;
use crate::result::Observation;
use crate::scenario::Poison;
use itertools::Itertools;

/// Messages that the consumer has in hand when it is killed.
const IN_HAND: usize = 64;
/// Apart from whatever else is drawn from the seed.
const STREAM: u64 = 0x6B69_6C6C << 32;

/// When a consumer dies, and how much of its batch it has done: shares, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Death {
    at: f64,
    done: f64,
}

impl Death {
    /// Away from the edges of the flow.
    fn of(seed: u64, block: u32, kill: u32) -> Self {
        let stream = STREAM ^ (u64::from(block) << 16) ^ u64::from(kill);
        let mut random = SplitMix64::stream(seed, stream);
        Self { at: 0.25 + 0.5 * random.unit(), done: random.unit() }
    }
}

/// What one death came to.
#[derive(Clone, Copy, Debug, Default)]
struct Aftermath {
    acked: u64,
    lost: u64,
    again: u64,
    /// Until the successor has its first message.
    gap_ns: Option<u64>,
    /// Until it has all that the dead one had in hand.
    takeover_ns: Option<u64>,
    taken_over_by: &'static str,
    comes_again: &'static str,
}

/// The flows in which a consumer dies; their numbers begin with `first`. Nothing where the user
/// interrupted.
pub fn observe(
    context: &ExperimentContext<'_>,
    keys: &Poison,
    first: u64,
) -> Result<Vec<Observation>, CellRunError> {
    let (mut deaths, mut policy) = (Vec::new(), String::new());
    for kill in 0..keys.kills {
        if context.interrupted() {
            break;
        }
        let (part, number) = (format!("crash{kill}"), first + u64::from(kill));
        let flow = Flow::open(context, keys, &part, number, None)?;
        let death = Death::of(context.cell.seed, context.block, kill);
        deaths.extend(crashed(&flow, keys, death)?);
        policy = flow.acknowledge().to_string();
    }
    Ok(observations(&deaths, &policy))
}

/// Kills the flow's consumer and lets another take its place.
fn crashed(
    flow: &Flow<'_>,
    keys: &Poison,
    death: Death,
) -> Result<Option<Aftermath>, CellRunError> {
    let place = flow.place()?;
    let mut victim = flow.worker(&place, 0)?;
    let mut died_ns = 0;
    let (sender, log) = flow.under_load(keys.crash, &place, |consumer, start_ns| {
        let until_ns = start_ns + (keys.crash.nanos() as f64 * death.at) as u64;
        consumer.work_until(victim.as_mut(), until_ns)?;
        let mut tasks = consumer.fill_hands(victim.as_mut(), IN_HAND)?;
        let unacked = tasks.split_off((tasks.len() as f64 * death.done) as usize);
        consumer.log.work(victim.as_mut(), &tasks);
        consumer.log.unacked = unacked.iter().map(|task| task.envelope.sequence).collect();
        victim.kill();
        died_ns = flow.clock.now_ns();
        consumer.log.first_ns = None;
        if let Ok(work) = &place {
            work.take_over(0)?;
        }
        let mut successor = flow.worker(&place, 1)?;
        let over = consumer.work_off(successor.as_mut());
        over.and(successor.close())
    })?;
    flow.clean_up(&place);
    let (acked, since) = (sender.acked.len(), |ns: u64| ns.saturating_sub(died_ns));
    let (taken_over_by, comes_again) = match &place {
        Ok(work) => (work.responsibilities().takes_over, work.responsibilities().comes_again),
        Err(_) => (
            "nobody: what is published while nobody subscribes, or lies with the dead, is gone",
            "nothing",
        ),
    };
    Ok((!flow.interrupted()).then(|| Aftermath {
        acked,
        lost: acked.saturating_sub(log.processed.len()),
        again: log.again,
        gap_ns: log.first_ns.map(since),
        takeover_ns: log.redelivered_ns.map(since),
        taken_over_by,
        comes_again,
    }))
}

/// Counts a death, and medians of times.
fn observations(deaths: &[Aftermath], policy: &str) -> Vec<Observation> {
    let Some(Aftermath { taken_over_by, comes_again, .. }) = deaths.first() else {
        return Vec::new();
    };
    let kills = deaths.len() as u64;
    let acked = deaths.iter().map(|death| death.acked).sum();
    let count = |metric: &Metric, of: fn(&Aftermath) -> u64, words: String| {
        let mut each = deaths.iter().map(of);
        let mean = each.clone().sum::<u64>() as f64 / kills as f64;
        let text = format!("a kill, of {kills}: {}; {policy}; {words}", each.join(", "));
        Observation::measured(metric, "", mean, acked).with_text(text)
    };
    let taken = format!("taken over by {taken_over_by}");
    let mut seen = vec![
        count(metric::CRASH_LOST, |death| death.lost, taken.clone()),
        count(metric::CRASH_DUPLICATED, |death| death.again, format!("comes again: {comes_again}")),
    ];
    let median = |metric: &Metric, of: fn(&Aftermath) -> Option<u64>, words: &str| {
        let all: Vec<f64> = deaths.iter().filter_map(of).map(|ns| ns as f64).collect();
        let measured =
            Observation::measured(metric, "", Aggregate::Median.of(&all)?, all.len() as u64);
        Some(measured.with_text(format!("{words}, median over {} of {kills} kills", all.len())))
    };
    seen.extend(median(
        metric::CRASH_GAP,
        |death| death.gap_ns,
        "until the consumer that is started at once in the dead one's place gets its first message",
    ));
    let takeover = median(
        metric::CRASH_TAKEOVER,
        |death| death.takeover_ns,
        "until every message that the dead one had in hand has come to another",
    );
    seen.push(takeover.unwrap_or_else(|| Observation::cannot(metric::CRASH_TAKEOVER, "", taken)));
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kill halfway through the flow once made "4,033 twice" of every block.
    #[test]
    fn no_two_deaths_are_alike_and_the_seed_decides() {
        let all = |seed| {
            let kill = move |block| (0..5).map(move |kill| Death::of(seed, block, kill));
            (1..=4).flat_map(kill).collect::<Vec<_>>()
        };
        let deaths = all(1);
        assert_eq!(deaths, all(1));
        assert_ne!(deaths, all(2));
        for (at, death) in deaths.iter().enumerate() {
            assert!((0.25..=0.75).contains(&death.at) && (0.0..=1.0).contains(&death.done));
            assert!(!deaths[..at].contains(death));
        }
        let shares: Vec<f64> = deaths.iter().map(|death| death.done).collect();
        assert!(shares.iter().any(|done| *done < 0.3) && shares.iter().any(|done| *done > 0.7));
    }

    #[test]
    fn counts_are_told_a_kill_and_each_stands_beside() {
        let death = |again, takeover_ns| Aftermath {
            acked: 1000,
            again,
            gap_ns: Some(again),
            takeover_ns,
            taken_over_by: "the broker",
            comes_again: "what was not yet committed",
            ..Aftermath::default()
        };
        let deaths = [death(3, Some(70)), death(60, Some(50)), death(12, Some(60))];
        let seen = observations(&deaths, "acknowledged with every batch");
        let value = |at: usize| (seen[at].metric.as_str(), seen[at].value, seen[at].n);
        assert_eq!(value(0), ("crash.lost", Some(0.0), 3000));
        assert_eq!(value(1), ("crash.duplicated", Some(25.0), 3000));
        assert_eq!(
            seen[1].text,
            "a kill, of 3: 3, 60, 12; acknowledged with every batch; \
             comes again: what was not yet committed"
        );
        assert_eq!(value(2), ("crash.gap", Some(12.0), 3));
        assert_eq!(value(3), ("crash.takeover", Some(60.0), 3));
        let gone = observations(&[death(1, None)], "");
        assert_eq!((gone[3].value, gone[3].text.as_str()), (None, "taken over by the broker"));
        assert!(observations(&[], "").is_empty(), "interrupted");
    }
}
