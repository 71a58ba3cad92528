//! What the blocks of a cell come to.

use crate::claims::cells::recompute;
use crate::claims::rules::testing::measured;
use crate::model::metric;

#[test]
fn a_block_that_is_known_from_below_only_is_not_left_out() {
    let mut cell = measured("kafka", "end_to_end.p99", "base", &[1e6, 1e6, 1e6]);
    cell.unit = "ns".into();
    (cell.per_block[2].value, cell.per_block[2].at_least) = (None, Some(8e6));
    let found = recompute(cell);
    assert_eq!((found.value, found.interval, found.blocks), (None, None, 3));
    let least = found.at_least.unwrap();
    assert!((least - 2e6).abs() < 1.0, "the mean of 1, 1 and more than 8 is more than {least}");
    let mut again = found.clone();
    again.per_block[2].value = again.per_block[2].at_least.take();
    assert_eq!(recompute(again).at_least, None, "nothing of it is kept");
}

#[test]
fn a_large_floor_is_told_beside_its_value_and_one_above_it_is_not_credible() {
    let with = |share: f64| {
        let mut cell = measured("redis-lists", "end_to_end.p50", "base", &[1e5, 2e5, 1e5]);
        cell.per_block.iter_mut().for_each(|block| block.floor = block.value.map(|ns| ns * share));
        recompute(cell).text
    };
    assert!(!with(0.4).contains("floor"), "{}", with(0.4));
    assert!(with(0.6).contains("the instrument's floor is 60 % of it"), "{}", with(0.6));
    assert!(with(1.2).contains("120 % of it: the broker adds nothing"), "{}", with(1.2));
}

#[test]
fn n_says_what_it_counts() {
    let unit = |name: &str| measured("kafka", name, "base", &[1.0]).n_unit;
    assert_eq!(unit("goodput"), "messages");
    assert_eq!(unit("end_to_end.p99"), "messages");
    assert_eq!(unit(metric::FAULT_RTO_PUBLISH.name), "faults");
    assert_eq!(unit("capacity.low"), "probes");
    assert_eq!(unit("utilisation"), "probes");
    assert_eq!(unit("crash.takeover"), "crashes");
    assert_eq!(unit("largest_intact"), "tries");
    assert_eq!(unit("of.another.version"), "");
}
