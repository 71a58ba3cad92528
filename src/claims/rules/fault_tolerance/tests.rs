//! Verdicts on lost nodes, from cells made by hand.

use super::*;
use crate::claims::data::{Documented, load};
use crate::claims::rules::testing::{cannot, judge_with, measured, rule, rule_with};
use crate::result::{Decision, Survives};

/// Of an only node that is killed and comes back.
fn killed(lost: [f64; 3]) -> Vec<ComparedCell> {
    const KILLED: &str = "fault=kill,target=node,copies=1";
    let mut cells = vec![cannot("redis-pubsub", LOST, KILLED, "a reply is no acknowledgement")];
    for (label, lost) in ["kafka", "redis-streams", "redis-lists"].into_iter().zip(lost) {
        cells.push(measured(label, LOST, KILLED, &[lost]));
        cells.push(measured(label, ACKED, KILLED, &[50_000.0]));
    }
    cells.push(measured("redis-streams-aof-always", LOST, KILLED, &[0.0]));
    cells
}

fn gone(copies: u16, label: &str, lost: &[f64]) -> Vec<ComparedCell> {
    let point = format!("fault=kill,target=leader,copies={copies},for=never");
    let acked: Vec<f64> = lost.iter().map(|_| 60_000.0).collect();
    let mut cells =
        vec![measured(label, LOST, &point, lost), measured(label, "fault.acked", &point, &acked)];
    // Ten faults a block.
    cells.iter_mut().for_each(|cell| cell.n = 10 * lost.len() as u64);
    cells
}

fn documents() -> Vec<Documented> {
    load().unwrap().rows().find(|row| row.id == "fault-tolerance").unwrap().documented.clone()
}

fn judge(rule: &super::super::Rule, cells: &[ComparedCell]) -> Judgement {
    judge_with(rule, cells, &documents())
}

fn verdict(cells: &[ComparedCell]) -> String {
    judge(&rule("fault-tolerance"), cells).verdict()
}

#[test]
fn with_one_node_the_facts_stand_and_nothing_is_judged() {
    let judged = judge(&rule("fault-tolerance"), &killed([0.0, 12_345.0, 7.0]));
    assert_eq!(judged.verdict(), "? open: one node");
    let because = judged.because();
    for said in [
        "kafka 0 of 50,000",
        "redis-streams 12,345 of 50,000",
        "redis-streams-aof-always 0",
        "no verdict (one node)",
        "(by default, documented): kafka 9 s, redis-streams 30 s",
    ] {
        assert!(because.contains(said), "{said}: {because}");
    }
    assert_eq!(verdict(&[]), "not measured");
}

#[test]
fn a_node_that_comes_back_or_all_of_them_decide_nothing() {
    for point in [
        "fault=kill,target=leader,copies=3",
        "fault=kill,target=all,copies=3,for=never",
        "fault=pause,target=leader,copies=3,for=never",
    ] {
        let mut cells = killed([0.0, 9.0, 7.0]);
        cells.extend(
            gone(3, "kafka-3", &[5.0])
                .into_iter()
                .map(|cell| ComparedCell { cell: point.into(), ..cell }),
        );
        assert_eq!(verdict(&cells), "? open: one node", "{point}");
    }
}

#[test]
fn stock_settings_and_copies_are_judged_apart() {
    let cells = |stock: f64, copied: f64, streams: &[f64]| {
        let cells = [
            gone(1, "kafka-3-stock", &[stock, 0.0, stock]),
            gone(3, "kafka-3", &[copied, 0.0, 0.0]),
        ];
        [cells.concat(), gone(3, "redis-streams-3", streams), killed([0.0, 9.0, 7.0])].concat()
    };
    // As Kafka comes it loses its partitions; with copies it loses nothing, where Redis does.
    assert_eq!(
        verdict(&cells(20_000.0, 0.0, &[0.0, 3.0, 0.0])),
        "◐ right for redis-pubsub, redis-streams with copies · wrong at stock settings · \
         open for redis-lists with copies \
         (no node of redis-lists was lost for good with copies)"
    );
    assert_eq!(
        verdict(&cells(20_000.0, 0.0, &[0.0, 0.0, 0.0])),
        "◐ right for redis-pubsub with copies · wrong for redis-pubsub, redis-lists at stock \
         settings; redis-streams · open for redis-lists with copies (no node of \
         redis-lists was lost for good with copies)"
    );
    // Were it to lose nothing as it comes, the claim would be true of every primitive that
    // stands alone.
    assert_eq!(
        verdict(&cells(0.0, 1.0, &[3.0, 0.0, 0.0])),
        "◐ right at stock settings · wrong with copies"
    );
    assert_eq!(verdict(&cells(1.0, 1.0, &[3.0, 0.0, 0.0])), "✗ wrong", "one message in one block");
    let judged = judge(&rule("fault-tolerance"), &cells(20_000.0, 0.0, &[0.0, 3.0, 0.0]));
    let because = judged.because();
    for said in [
        "at stock settings: kafka-3-stock 0 to 20,000 of 60,000, redis-pubsub all (documented)",
        "with copies: kafka-3 0 of 60,000 (none in 30 faults: at 95 % confidence below 10 % \
        cost any)",
        "redis-streams-3 0 to 3 of 60,000",
    ] {
        assert!(because.contains(said), "{said}: {because}");
    }
}

#[test]
fn a_changed_limit_changes_the_verdict() {
    let cells = [
        gone(1, "kafka-3-stock", &[5.0; 3]),
        gone(3, "kafka-3", &[1.0; 3]),
        gone(3, "redis-streams-3", &[30.0; 3]),
    ]
    .concat();
    assert_eq!(verdict(&cells), "✗ wrong");
    let with = |kafka: u32, primitive: u32| {
        let changed =
            format!("kafka-lost-at-most: {kafka}, primitive-lost-above: {primitive}, undecided");
        let rule = rule_with(
            "fault-tolerance",
            "kafka-lost-at-most: 0, primitive-lost-above: 0, undecided",
            &changed,
        );
        judge(&rule, &cells).verdict()
    };
    assert_eq!(
        with(1, 0),
        "◐ right for redis-pubsub, redis-streams with copies · wrong at stock settings · \
         open for redis-lists with copies \
         (no node of redis-lists was lost for good with copies)"
    );
    assert_eq!(
        with(1, 30),
        "◐ right for redis-pubsub with copies · wrong for redis-pubsub, redis-lists at stock \
         settings; redis-streams · open for redis-lists with copies (no node of \
         redis-lists was lost for good with copies)"
    );
    let word = rule_with("fault-tolerance", "undecided: one node", "undecided: nobody died");
    assert_eq!(judge(&word, &killed([0.0, 9.0, 7.0])).verdict(), "? open: nobody died");
}

#[test]
fn what_is_missing_is_named_and_detection_is_read_back() {
    let mut cells = gone(3, "kafka-3", &[0.0; 3]);
    cells.push(measured("kafka-3", DETECTION, "base", &[9000.0]));
    let judged = judge(&rule("fault-tolerance"), &cells);
    assert!(judged.because().contains("(as read back): kafka-3 9 s"), "{}", judged.because());
    let lists = judged
        .findings
        .iter()
        .find(|found| found.primitive == "redis-lists" && found.condition == "with copies");
    assert_eq!(lists.unwrap().missing, "no node of redis-lists was lost for good with copies");
    let unknown = cannot(
        "redis-lists-3",
        LOST,
        "fault=kill,target=leader,copies=3,for=never",
        "its replies promise nothing",
    );
    assert_eq!(any_above(&[&unknown], 0.0, 0.1), Ok(true));
}

#[test]
fn that_nothing_is_ever_lost_takes_29_faults() {
    let cells = |kafka: u64, redis: u64, lost: f64| {
        let with = |cells: Vec<ComparedCell>, n: u64| {
            cells.into_iter().map(move |cell| ComparedCell { n, ..cell })
        };
        with(gone(3, "kafka-3", &[0.0]), kafka)
            .chain(with(gone(3, "redis-streams-3", &[lost]), redis))
            .collect::<Vec<_>>()
    };
    let of = |cells: &[ComparedCell]| {
        let judged = judge(&rule("fault-tolerance"), cells);
        let found = judged
            .findings
            .into_iter()
            .find(|found| found.primitive == "redis-streams" && found.condition == "with copies");
        found.map(|found| (found.decision, found.missing)).unwrap()
    };
    let open = |faults: &str| (Decision::Open, format!("not refuted in {faults}"));
    assert_eq!(of(&cells(1, 1, 9.0)), open("1 fault"), "Redis loses, and Kafka may");
    assert_eq!(of(&cells(28, 28, 9.0)), open("28 faults"));
    assert_eq!(of(&cells(29, 1, 9.0)), (Decision::Right, String::new()));
    assert_eq!(of(&cells(29, 10, 0.0)), open("10 faults"), "Redis lost nothing yet");
    assert_eq!(of(&cells(1, 29, 0.0)), (Decision::Wrong, String::new()));
}

#[test]
fn both_sides_are_held_to_the_same_faults_and_promises() {
    let confirmed = |mut cells: Vec<ComparedCell>| {
        let class = Survives { node_loss: true, copies: 2, ..Survives::default() };
        cells.iter_mut().for_each(|cell| cell.survives = Some(class.clone()));
        cells
    };
    // What only one of them met decides nothing.
    let elsewhere = gone(3, "kafka-3", &[7.0]).into_iter().map(|cell| ComparedCell {
        cell: "fault=power-loss,target=leader,copies=3,for=never".into(),
        ..cell
    });
    let cells: Vec<ComparedCell> = [
        confirmed(gone(3, "kafka-3", &[0.0; 3])),
        confirmed(elsewhere.collect()),
        gone(3, "redis-streams-3", &[4.0; 3]),
        confirmed(gone(3, "redis-streams-3-wait", &[0.0; 3])),
    ]
    .concat();
    let judged = judge(&rule("fault-tolerance"), &cells);
    let of = |condition: &str| {
        let mut found = judged.findings.iter();
        found.find(|found| found.primitive == "redis-streams" && found.condition == condition)
    };
    assert_eq!(of("with copies").unwrap().decision, Decision::Right);
    assert_eq!(of("with copies that confirm").unwrap().decision, Decision::Wrong);
    let told = judged.because();
    assert!(told.contains("with copies that confirm: kafka-3 0"), "{told}");
    // Where they met none in common nothing is known, whatever documents say of either.
    let apart =
        [confirmed(gone(3, "kafka-3", &[0.0])), gone(3, "redis-streams-3", &[4.0])].concat();
    let apart: Vec<ComparedCell> = apart
        .into_iter()
        .map(|mut cell| {
            if cell.system != "kafka" {
                cell.cell = cell.cell.replace("target=leader", "target=node");
            }
            cell
        })
        .collect();
    let judged = judge(&rule("fault-tolerance"), &apart);
    let found = judged
        .findings
        .iter()
        .find(|found| found.primitive == "redis-streams" && found.condition == "with copies");
    let found = found.unwrap();
    assert_eq!(
        (found.decision, found.missing.as_str()),
        (Decision::Open, "no fault that both met")
    );
    let without = judge(&rule("fault-tolerance"), &confirmed(gone(3, "kafka-3", &[0.0; 3])));
    assert!(!without.findings.iter().any(|found| found.condition.contains("confirm")));
}
