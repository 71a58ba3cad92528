//! The figures of faults, and the one way in which they are put together: over the injections of a
//! block, and then by the same rule over the blocks. Losses are summed, times are the median, what
//! reaches back is the most.
//!
//! What was never interrupted has a bound and no time, and so has what came back only once the
//! fault was taken back, where another copy could have taken over: the time is then our script's.
//! How many injections were of either sort is told beside it.
//!
//! What one injection of a block does not tell, the block does not: a recovery that was never seen
//! is no time at all.

use super::Fault;
use super::words::grouped;
use crate::model::{FaultKind, Metric, Told, metric};
use itertools::Itertools;

pub struct FaultFigure {
    /// The registry says how its values are put together.
    pub metric: &'static Metric,
    /// As the head of a column.
    pub head: &'static str,
    /// Has no meaning where nothing is acknowledged.
    pub acknowledged: bool,
    pub of: fn(&Fault) -> Option<Told>,
}

macro_rules! figures {
    ($($id:ident $metric:ident $head:literal $acknowledged:literal $of:expr;)*) => {
        $(pub const $id: FaultFigure = FaultFigure {
            metric: metric::$metric,
            head: $head,
            acknowledged: $acknowledged,
            of: $of,
        };)*
        pub const FAULT_FIGURES: &[FaultFigure] = &[$($id),*];
    };
}

macro_rules! value {
    ($field:ident) => {
        |fault| fault.$field.map(Told::Value)
    };
}

macro_rules! recovery {
    ($told:expr) => {
        |fault| $told(fault).map(|told| fault.censored(told))
    };
}

figures! {
    RPO FAULT_GONE "gone from the broker (RPO)" true value!(rpo_messages);
    RPO_TIME FAULT_RPO_TIME "gone over the last" true value!(rpo_ns);
    RTO_PUBLISH FAULT_RTO_PUBLISH "taken again after (RTO)" true recovery!(Fault::rto_publish);
    RTO_DURABLE FAULT_RTO_DURABLE "durably after" true recovery!(Fault::rto_durable);
    RTO_DELIVER FAULT_RTO_DELIVER "delivered again after" false recovery!(Fault::rto_deliver);
    RTO_90 FAULT_RTO_90 "90 % of the rate after" true recovery!(Fault::rto_90);
    SCRIPTED FAULT_SCRIPTED "of it by the script" false value!(scripted_ns);
    REDUNDANCY FAULT_REDUNDANCY "all copies after" false value!(redundancy_ns);
    PROBE FAULT_PROBE "new client after" false recovery!(Fault::rto_probe);
}

macro_rules! part {
    ($field:ident) => {
        |fault| fault.restart?.$field.map(Told::Value)
    };
}

const fn part(metric: &'static Metric, of: fn(&Fault) -> Option<Told>) -> FaultFigure {
    FaultFigure { metric, head: "", acknowledged: false, of }
}

/// Of a restart: the data, then the parts in the order of [`super::restart::PARTS`].
pub const RESTART_FIGURES: [FaultFigure; 5] = [
    part(metric::FAULT_DATA, part!(data_bytes)),
    part(metric::FAULT_START, part!(start_ns)),
    part(metric::FAULT_LOAD, part!(load_ns)),
    part(metric::FAULT_FENCING, part!(fencing_ns)),
    part(metric::FAULT_RECONNECT, part!(reconnect_ns)),
];

/// The head of the column in which they stand.
pub const PARTS_HEAD: &str = "of which";

impl FaultFigure {
    /// Of the injections of one block that took effect.
    pub fn of_block(&self, struck: &[&Fault]) -> Option<Told<f64>> {
        let told: Option<Vec<_>> = struck.iter().map(|fault| self.told(fault)).collect();
        self.metric.over_blocks.of_told(&told?)
    }

    pub fn told(&self, fault: &Fault) -> Option<Told<f64>> {
        Some((self.of)(fault)?.map(|value| value as f64))
    }

    /// Of some blocks that had any; `None` where one of them does not tell.
    pub fn over_blocks(&self, blocks: &[Vec<&Fault>]) -> Option<Told<f64>> {
        let told: Option<Vec<_>> = blocks.iter().map(|struck| self.of_block(struck)).collect();
        self.metric.over_blocks.of_told(&told?)
    }

    /// `interrupted by 1 of 3 faults`, `only once healed in 9 of 10 faults`; empty where all have a
    /// time.
    pub fn bounds_in_words(&self, struck: &[&Fault]) -> String {
        let told = struck.iter().filter_map(|fault| (self.of)(fault)).collect::<Vec<_>>();
        let of = faults(struck.len());
        let never = told.iter().filter(|told| told.at_most().is_some()).count();
        let healed = told.iter().filter(|told| told.at_least().is_some()).count();
        let never = (never > 0).then(|| format!("interrupted by {} of {of}", told.len() - never));
        let healed = (healed > 0).then(|| format!("only once healed in {healed} of {of}"));
        never.into_iter().chain(healed).join("; ")
    }
}

fn faults(count: usize) -> String {
    if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") }
}

/// What a number of messages that are gone can and cannot say: losses come in clusters, so faults
/// are what is counted.
pub fn caveat(struck: &[&Fault]) -> String {
    let faults = faults(struck.len());
    let simulated = if struck.iter().any(|fault| fault.fault_kind() == Some(FaultKind::PowerLoss)) {
        "; simulated power loss"
    } else {
        ""
    };
    let hit = struck.iter().filter(|fault| fault.rpo_messages.is_some_and(|lost| lost > 0)).count();
    if hit == 0 {
        return format!("none in {faults}{simulated}");
    }
    let least = struck.iter().map(|fault| fault.rpo_least_messages).sum::<Option<u64>>();
    let least = least.map_or_else(String::new, |least| {
        format!(
            ", {} of them where the kernel had written back what was older than 30 s",
            grouped(least)
        )
    });
    format!("gone in {hit} of {faults}{simulated}{least}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(lost: u64, rto_ns: Option<u64>) -> Fault {
        let rpo_ns = Some(lost * 1000);
        Fault { rpo_messages: Some(lost), rpo_ns, rto_publish_ns: rto_ns, ..Fault::default() }
    }

    #[test]
    fn losses_are_summed_times_are_the_median_and_the_furthest_reach_counts() {
        let all = [fault(7, Some(30)), fault(0, Some(10)), fault(5, Some(20)), fault(0, Some(80))];
        let blocks = [vec![&all[0], &all[1], &all[2]], vec![&all[3]]];
        assert_eq!(
            [RPO, RPO_TIME, RTO_PUBLISH].map(|figure| figure.over_blocks(&blocks)),
            [12.0, 7000.0, 50.0].map(|value| Some(Told::Value(value)))
        );
        assert_eq!(caveat(&blocks.concat()), "gone in 2 of 4 faults");
    }

    #[test]
    fn what_was_never_interrupted_is_no_time() {
        let never = Fault { rto_publish_at_most_ns: Some(100_000_000), ..fault(0, None) };
        let slow = fault(0, Some(12_000_000_000));
        let of_earlier = fault(0, Some(100_000_000));
        let all = [&never, &of_earlier, &slow];
        assert_eq!(RTO_PUBLISH.of_block(&all), Some(Told::AtMost(1e8)));
        assert_eq!(RTO_PUBLISH.bounds_in_words(&all), "interrupted by 1 of 3 faults");
        let blocks = [vec![&never], vec![&slow], vec![&slow]];
        assert_eq!(RTO_PUBLISH.over_blocks(&blocks), Some(Told::Value(12e9)));
        assert_eq!(RTO_PUBLISH.bounds_in_words(&[&slow]), "");
    }

    #[test]
    fn what_came_back_only_with_the_end_of_the_fault_is_no_time_where_others_could_take_over() {
        let cut = |rto_ns| Fault {
            scripted_ns: Some(8_000_000_000),
            redundant: true,
            ..fault(0, Some(rto_ns))
        };
        let (own, late, later) = (cut(3_000_000_000), cut(8_040_000_000), cut(8_330_000_000));
        assert_eq!(RTO_PUBLISH.of_block(&[&late, &own, &later]), Some(Told::AtLeast(8e9)));
        assert_eq!(RTO_PUBLISH.of_block(&[&own, &late, &own]), Some(Told::Value(3e9)));
        assert_eq!(
            RTO_PUBLISH.bounds_in_words(&[&late, &own, &later]),
            "only once healed in 2 of 3 faults"
        );
        let alone = Fault { redundant: false, ..late };
        assert_eq!(RTO_PUBLISH.of_block(&[&alone]), Some(Told::Value(8.04e9)));
    }

    #[test]
    fn what_one_does_not_tell_all_do_not() {
        let all = [fault(0, Some(30)), fault(0, None)];
        let blocks = [vec![&all[0]], vec![&all[1]]];
        assert_eq!(
            (RTO_PUBLISH.over_blocks(&blocks), RPO.over_blocks(&blocks)),
            (None, Some(Told::Value(0.0)))
        );
        assert_eq!((RPO.over_blocks(&[]), RPO.of_block(&[])), (None, None));
        assert_eq!(caveat(&[&all[0]]), "none in 1 fault");
    }
}
