//! Known answers, and simulations whose truth is known.

use super::*;

const LIMIT: f64 = 1.05;

fn above(ratios: &[f64]) -> Result<bool, Undecided> {
    decide_one(GeometricMean::of(ratios), Side::Above, LIMIT)
}

#[test]
fn known_answer() {
    // logs: ln 2 ± d with d = 0.1, 0, −0.1: mean ln 2, s = 0.1, error 0.1/√3, t(0.975, 2) =
    // 4.302653.
    let ratios: Vec<f64> = [0.1, 0.0, -0.1].iter().map(|d: &f64| 2.0 * d.exp()).collect();
    let mean = GeometricMean::of(&ratios).unwrap();
    let half = 4.302_653 * 0.1 / 3f64.sqrt();
    let [low, high] = mean.interval().unwrap();
    assert!((mean.value() - 2.0).abs() < 1e-9);
    assert!(
        (low - 2.0 * (-half).exp()).abs() < 1e-5 && (high - 2.0 * half.exp()).abs() < 1e-5,
        "{low} {high}"
    );
}

/// Two runs of three blocks with equal spreads have 4 degrees of freedom: t(0.975, 4) = 2.776445.
#[test]
fn known_answer_of_two_runs() {
    let run = |center: f64| {
        let blocks: Vec<f64> = [0.1, 0.0, -0.1].iter().map(|d: &f64| center * d.exp()).collect();
        GeometricMean::of(&blocks).unwrap()
    };
    let ratio = run(2.0).over(&run(1.0));
    let half = 2.776_445 * 0.1 * (2.0f64 / 3.0).sqrt();
    let [low, high] = ratio.interval().unwrap();
    assert!((ratio.value() - 2.0).abs() < 1e-9 && ratio.blocks() == 3);
    assert!(
        (low - 2.0 * (-half).exp()).abs() < 1e-4 && (high - 2.0 * half.exp()).abs() < 1e-4,
        "{low} {high}"
    );
    let back = run(1.0).over(&run(2.0)).interval().unwrap();
    assert!((back[0] - 1.0 / high).abs() < 1e-9 && (back[1] - 1.0 / low).abs() < 1e-9);
    // One whose blocks all agree adds no error, and no freedom.
    let calm = run(2.0).over(&GeometricMean::of(&[1.0; 9]).unwrap());
    let alone = run(2.0).interval().unwrap();
    assert!((calm.interval().unwrap()[0] - alone[0]).abs() < 1e-3, "{calm:?}");
    let single = run(2.0).over(&GeometricMean::of(&[1.0]).unwrap());
    assert_eq!(single.interval(), None, "one block has no spread");
    assert_eq!(decide_one(Some(single), Side::Above, LIMIT), Err(Undecided::FewBlocks));
}

#[test]
fn p_values_and_interval_agree() {
    for scale in [0.8, 0.94, 1.0, 1.04, 1.2, 1.5] {
        let mean = GeometricMean::of(&[scale, scale * 1.03, scale * 0.98, scale * 1.01]).unwrap();
        let [low, high] = mean.interval().unwrap();
        assert_eq!(mean.p(Side::Above, LIMIT).unwrap() < ALPHA / 2.0, low > LIMIT, "{scale}");
        assert_eq!(mean.p(Side::Below, 0.95).unwrap() < ALPHA / 2.0, high < 0.95, "{scale}");
    }
}

#[test]
fn every_decision() {
    assert_eq!(above(&[2.0, 2.1, 1.9]), Ok(true));
    assert_eq!(above(&[0.5, 0.52, 0.48]), Ok(false));
    assert_eq!(above(&[1.0, 1.005, 0.995]), Ok(false), "refuted is not the same as slower");
    assert_eq!(above(&[1.04, 1.05, 1.045, 1.055]), Err(Undecided::WithinSpread));
    assert_eq!(above(&[5.0, 5.0]), Err(Undecided::FewBlocks));
    assert_eq!(above(&[]), Err(Undecided::NoPair));
    let fast = GeometricMean::of(&[2.0, 2.1, 1.9]);
    assert_eq!(decide_one(fast, Side::Below, LIMIT), Ok(false));
    assert_eq!(decide_one(fast, Side::Below, 3.0), Ok(true));
}

/// The more claims to choose from, the stricter; one that has no ratio counts among them.
#[test]
fn a_choice_among_many_claims_is_stricter_than_one() {
    let near = GeometricMean::of(&[1.09, 1.15, 1.21]);
    assert_eq!(decide_one(near, Side::Above, LIMIT), Ok(true));
    let many = [vec![vec![vec![near]]], vec![vec![vec![None]]; 5]].concat();
    assert_eq!(decide(&many, Side::Above, LIMIT)[0], [Err(Undecided::WithinSpread)]);
    assert_eq!(decide(&many, Side::Above, LIMIT)[1], [Err(Undecided::NoPair)]);
}

/// Points that must all hold cost nothing; conditions that may be chosen from do.
#[test]
fn points_need_no_correction_and_conditions_do() {
    let near = GeometricMean::of(&[1.09, 1.15, 1.21]);
    let points = vec![vec![vec![near; 18]]];
    assert_eq!(decide(&points, Side::Above, LIMIT), [[Ok(true)]]);
    let conditions = vec![vec![vec![near]; 18]];
    assert_eq!(decide(&conditions, Side::Above, LIMIT), [[Ok(true); 18]]);
    let slow = GeometricMean::of(&[0.5, 0.51, 0.49]);
    let conditions = vec![[vec![vec![near]; 17], vec![vec![slow]]].concat()];
    let decided = &decide(&conditions, Side::Above, LIMIT)[0];
    assert_eq!((decided[0], decided[17]), (Err(Undecided::WithinSpread), Ok(false)));
    let fast = GeometricMean::of(&[2.0, 2.1, 1.9]);
    let mixed = vec![vec![vec![fast], vec![slow], vec![fast, slow]]];
    assert_eq!(
        decide(&mixed, Side::Above, LIMIT)[0],
        [Ok(true), Ok(false), Err(Undecided::WithinSpread)]
    );
}

#[test]
fn what_equal_systems_differ_by_is_no_difference() {
    let mean = |values: &[f64]| GeometricMean::of(values).unwrap();
    assert_eq!(margin(&[]), None);
    assert_eq!(margin(&[mean(&[1.0, 1.001, 0.999])]), Some(1.05), "5 % at least");
    let wide = margin(&[mean(&[1.0, 1.001, 0.999]), mean(&[0.9, 1.0, 1.1])]).unwrap();
    let [low, high] = mean(&[0.9, 1.0, 1.1]).interval().unwrap();
    assert!((wide * wide - high / low).abs() < 1e-9 && wide > 1.2, "the widest counts: {wide}");
    let decide =
        |values: &[f64], side| decide_one(Some(mean(values).with_margin(Some(1.5))), side, 0.95);
    let near = [0.8, 0.81, 0.79];
    assert_eq!(decide_one(Some(mean(&near)), Side::Below, 0.95), Ok(true));
    assert_eq!(decide(&near, Side::Below), Err(Undecided::WithinSpread));
    assert_eq!(decide(&[0.6, 0.61, 0.59], Side::Below), Ok(true));
    assert_eq!(decide(&[1.2, 1.21, 1.19], Side::Below), Ok(false), "no harder to refute");
    assert_eq!(decide(&near, Side::Above), Err(Undecided::WithinSpread));
}

#[test]
fn what_has_no_logarithm_has_no_mean() {
    assert!(
        [&[][..], &[1.0, 0.0], &[f64::INFINITY]]
            .iter()
            .all(|values| GeometricMean::of(values).is_none())
    );
}

#[test]
fn holm_known_answer() {
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
    let expected = [0.03, 0.06, 0.06, 0.02];
    assert!(adjusted.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-12), "{adjusted:?}");
    assert_eq!(holm(&[]), Vec::<f64>::new());
}

/// Seeded noise: sums of twelve uniform numbers are normal enough.
struct Noise(u64);
impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// Blocks of a comparison whose true ratio is `truth`: 5 % drift between blocks, which pairing
/// removes, and 3 % spread from run to run, which it cannot.
fn simulate(noise: &mut Noise, blocks: usize, truth: f64) -> GeometricMean {
    let ratios = (0..blocks).map(|_| {
        let drift = 0.05 * noise.normal();
        let a = truth * (drift + 0.03 * noise.normal()).exp();
        a / (drift + 0.03 * noise.normal()).exp()
    });
    GeometricMean::of(&ratios.collect::<Vec<_>>()).unwrap()
}

/// At a true ratio of exactly the limit a false `shown` comes in 5 % of the studies: one-sided.
#[test]
fn one_at_its_limit_is_rarely_said_to_be_beyond_it() {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    const TRIALS: usize = 2_000;
    for blocks in [3, 5, 10] {
        let (mut wrong, mut covered) = (0, 0);
        for _ in 0..TRIALS {
            let ratio = simulate(&mut noise, blocks, LIMIT);
            let [low, high] = ratio.interval().unwrap();
            covered += usize::from(low <= LIMIT && LIMIT <= high);
            wrong += usize::from(decide_one(Some(ratio), Side::Above, LIMIT) == Ok(true));
        }
        assert!(wrong * 1000 <= TRIALS * 65, "{wrong} of {TRIALS} at {blocks} blocks");
        assert!(covered * 1000 >= TRIALS * 935, "{covered} of {TRIALS} at {blocks} blocks");
    }
}

/// Three primitives under three conditions of two points each, all of them at the limit: a false
/// `right` of any of them, wholly or under a condition, in at most 5 % of the studies.
#[test]
fn a_family_at_its_limit_is_rarely_said_to_be_beyond_it() {
    let mut noise = Noise(42);
    const TRIALS: usize = 1_000;
    for points in [1, 2] {
        let mut point = || Some(simulate(&mut noise, 3, LIMIT));
        let mut study = || {
            let mut condition = || (0..points).map(|_| point()).collect::<Points>();
            let mut claim = || (0..3).map(|_| condition()).collect::<Vec<_>>();
            let family: Vec<_> = (0..3).map(|_| claim()).collect();
            decide(&family, Side::Above, LIMIT).concat().contains(&Ok(true))
        };
        let wrong = (0..TRIALS).filter(|_| study()).count();
        assert!(wrong * 1000 <= TRIALS * 65, "{wrong} of {TRIALS} with {points} points");
    }
}

/// Equal systems under the margin that a verdict on speed has, 20 studies: no difference, or one.
#[test]
fn twenty_studies_of_equal_systems_find_at_most_one_difference() {
    let mut noise = Noise(11);
    let different = |ratio: GeometricMean| {
        [(Side::Above, 1.05), (Side::Below, 0.95)]
            .into_iter()
            .any(|(side, limit)| decide_one(Some(ratio), side, limit) == Ok(true))
    };
    let found = (0..20).filter(|_| different(spread(&mut noise, 8, 1.0, P99))).count();
    assert!(found <= 1, "{found} of 20");
    let found = (0..1_000).filter(|_| different(spread(&mut noise, 8, 1.0, P99))).count();
    assert!(found <= 100, "{found} of 1000: two sides at 5 %");
}

#[test]
fn a_real_difference_is_found() {
    let mut noise = Noise(7);
    let found = (0..200)
        .filter(|_| {
            let ratio = simulate(&mut noise, 5, 1.5);
            decide_one(Some(ratio), Side::Above, LIMIT) == Ok(true)
        })
        .count();
    assert!(found > 190, "{found} of 200");
}

/// Measured spreads of the logarithm of a ratio from block to block.
const P50: f64 = 0.12;
const P99: f64 = 0.36;

fn spread(noise: &mut Noise, blocks: usize, truth: f64, sd: f64) -> GeometricMean {
    let ratios = (0..blocks).map(|_| truth * (sd * noise.normal()).exp());
    GeometricMean::of(&ratios.collect::<Vec<_>>()).unwrap()
}

/// With the spreads that were measured: p50 in 8 blocks; p99 takes 26.
#[test]
fn a_system_slowed_by_30_percent_is_found() {
    for (blocks, sd) in [(8, P50), (26, P99)] {
        let mut noise = Noise(30);
        let found = (0..20).filter(|_| {
            let ratio = spread(&mut noise, blocks, 1.3, sd);
            decide_one(Some(ratio), Side::Above, LIMIT) == Ok(true)
        });
        let found = found.count();
        assert!(found >= 18, "{found} of 20 in {blocks} blocks");
    }
}

/// The design of latency in the standard profile: ten rounds, one system twice, whose interval is
/// the margin.
#[test]
fn ten_rounds_and_a_margin_find_30_percent_at_the_median_and_none_between_equals() {
    let mut noise = Noise(1_000);
    let mut study = |truth: f64, sd: f64| {
        let again = margin(&[spread(&mut noise, 10, 1.0, sd)]);
        Some(spread(&mut noise, 10, truth, sd).with_margin(again))
    };
    let slower =
        (0..20).filter(|_| decide_one(study(1.3, P50), Side::Above, LIMIT) == Ok(true)).count();
    assert!(slower >= 18, "{slower} of 20");
    let twice =
        (0..20).filter(|_| decide_one(study(0.5, P99), Side::Below, 0.95) == Ok(true)).count();
    assert!(twice >= 17, "{twice} of 20 of twice the tail");
    for sd in [P50, P99] {
        let different = |ratio| {
            [(Side::Above, LIMIT), (Side::Below, 0.95)]
                .into_iter()
                .any(|(side, limit)| decide_one(ratio, side, limit) == Ok(true))
        };
        let found = (0..1_000).filter(|_| different(study(1.0, sd))).count();
        assert!(found <= 20, "{found} of 1000 studies of equals");
    }
}

/// Three settings of one system, none of which the claim may rest on alone: a false `right` stays
/// below 5 % at the limit, since it takes all of them.
#[test]
fn an_intersection_over_settings_is_rarely_wrong() {
    let mut noise = Noise(77);
    const TRIALS: usize = 1_000;
    let wrong = (0..TRIALS).filter(|_| {
        let mut against = |truth| Some(spread(&mut noise, 10, truth, P50));
        let points = vec![against(0.95), against(0.5), against(0.4)];
        decide(&[vec![points]], Side::Below, 0.95) == [[Ok(true)]]
    });
    let wrong = wrong.count();
    assert!(wrong * 1000 <= TRIALS * 65, "{wrong} of {TRIALS}");
}
