//! Tests only: shards as they lie on disk, each of which received what another one sent.

use super::*;
use crate::record::{Books, Consumed, Produced};
use crate::result::shard::{ShardClock, ShardPart, seal};
use crate::result::{Censored, Counts, Distribution, Summary, summarize, testing};
use crate::schedule::{Placement, Shard};
use std::fs;

const RUN: &str = "night-7";
/// Of one shard, warm-up included, and in the window.
const SENT: u64 = 14_000;
const IN_WINDOW: u64 = 10_000;

fn set(until: u64) -> crate::record::SeqSet {
    let mut set = crate::record::SeqSet::new();
    set.insert_run(0, until);
    set
}

/// What shard `index` sent, and what it received: everything of the next one.
fn books(index: u16, count: u16) -> Books {
    let produced = Produced { sent: SENT, acked: set(SENT), ..Produced::default() };
    let mut consumed = Consumed::default();
    (0..SENT).for_each(|number| {
        consumed.note(((index + 1) % count, 0), number);
    });
    Books {
        produced: [((index, 0), produced)].into(),
        consumed: vec![consumed],
        acknowledges: true,
        ..Books::default()
    }
}

fn part(shard: Shard) -> ShardPart {
    ShardPart {
        shard,
        placement: Placement::Paired,
        producers: 1,
        planned: Some(SENT),
        backpressured: 1,
        sent: SENT,
        unanswered: 0,
        window_delivered: IN_WINDOW,
        waited_ns: 5_000_000_000,
        settled: None,
        clock: ShardClock { host: format!("host-{}", shard.index), ..ShardClock::default() },
        cut_off: BTreeMap::new(),
        toll: BTreeMap::new(),
    }
}

/// A shard that has come to its end, unless it is not to be sealed.
fn shard(
    results: &Path,
    shard: Shard,
    change: impl FnOnce(&mut Manifest, &mut CellOutput),
    sealed: bool,
) -> PathBuf {
    let folder = RunFolder::create_shard(results, RUN, shard).unwrap();
    let sharded =
        Sharded { run_id: RUN.into(), count: shard.count, shard: Some(shard), parts: Vec::new() };
    let mut manifest = Manifest {
        sharded: Some(sharded),
        warnings: vec!["the brokers ran already".into()],
        ..testing::manifest(&folder, "latency", 1)
    };
    let mut output = testing::cell("kafka", "base", 1);
    output.record.shard = Some(part(shard));
    output.record.counts = Counts::default();
    output.books = Some(books(shard.index, shard.count));
    change(&mut manifest, &mut output);
    folder.write_manifest(&manifest).unwrap();
    folder.write_cell(&output).unwrap();
    if sealed {
        seal(&folder).unwrap();
    }
    folder.path().to_owned()
}

/// `count` shards, changed by `change`.
fn shards(
    results: &Path,
    count: u16,
    mut change: impl FnMut(u16, &mut Manifest, &mut CellOutput),
) -> Vec<PathBuf> {
    let all = Shard { index: 0, count }.all();
    all.map(|one| shard(results, one, |m, output| change(one.index, m, output), true)).collect()
}

fn try_merge(paths: &[PathBuf], results: &Path, force: bool) -> Result<Summary, String> {
    let what =
        Merge { paths, results_dir: results, force, command_line: vec!["brokerbench".into()] };
    let finished = merge(what).map_err(|error| error.to_string())?;
    Ok(summarize(&finished.folder).unwrap())
}

#[test]
fn what_one_shard_sent_and_another_received_is_whole_again() {
    let dir = tempfile::tempdir().unwrap();
    let paths = shards(dir.path(), 4, |_, _, _| ());
    let together = paths[0].parent().unwrap().to_owned();
    let summary = try_merge(&[together], dir.path(), false).unwrap();
    let cell = &summary.cells[0];
    assert!(cell.valid, "{:?}", cell.invalid_because);
    let counts = &cell.counts;
    let all = Some(4 * SENT);
    assert_eq!([counts.planned, counts.sent, counts.acked, counts.delivered], [all; 4]);
    let none = [counts.lost, counts.undelivered, counts.duplicate, counts.foreign];
    assert_eq!((none, counts.backpressured), ([Some(0); 4], Some(4)));
    assert_eq!(cell.latency.publish.as_ref().unwrap().count, 4 * IN_WINDOW);
    assert_eq!(cell.rates.acked_per_s, Some(4.0 * IN_WINDOW as f64 / 10.0));
    let alone = testing::cell("kafka", "base", 1).merged(crate::model::Latency::Publish);
    let alone = Distribution::of(&alone, Censored::default()).quantiles();
    assert_eq!(cell.latency.publish.as_ref().unwrap().p99_ns, alone.p99_ns, "of four equal ones");
    let runs = RunFolder::latest(dir.path()).unwrap();
    let manifest = runs.read_manifest().unwrap();
    let sharded = manifest.sharded.unwrap();
    assert_eq!((sharded.shard, sharded.parts.len()), (None, 4));
    assert_eq!(manifest.warnings, ["the brokers ran already"], "said by all, told once");
    let rows = runs.read_cells(&runs.read_manifest().unwrap()).unwrap()[0].windows().unwrap();
    assert_eq!((rows.len(), rows[5].sent_messages), (15, 4000));
    assert_eq!(rows[5].client_cpu_percent, Some(50.0), "of a core, over four machines");
}

#[test]
fn order_of_paths_is_no_matter_and_a_shard_alone_is_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = shards(dir.path(), 3, |_, _, _| ());
    paths.reverse();
    assert!(try_merge(&paths, dir.path(), false).is_ok());
    let one = RunFolder::open(&paths[0]).unwrap();
    let error = summarize(&one).unwrap_err().to_string();
    assert!(error.contains("one of 3 shards") && error.contains("brokerbench merge"), "{error}");
    let whole = testing::latency_run(dir.path());
    let error = try_merge(&[whole.path().to_owned()], dir.path(), false).unwrap_err();
    assert!(error.contains("no shard of one"), "{error}");
    let error = try_merge(&[dir.path().join("nowhere")], dir.path(), false).unwrap_err();
    assert!(error.contains("nowhere") && error.contains("neither a shard"), "{error}");
}

/// What the merge of three shards says, the last of which is changed.
fn refused(change: impl Fn(&mut Manifest, &mut CellOutput)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let paths = shards(dir.path(), 3, |index, manifest, output| {
        if index == 2 {
            change(manifest, output);
        }
    });
    try_merge(&paths, dir.path(), false).unwrap_err()
}

#[test]
fn who_ran_something_else_is_named() {
    let seed = refused(|manifest, _| manifest.seed = 9);
    assert!(seed.contains("shard-2-of-3: shard 2/3 is at the seed 9"), "{seed}");
    let version = refused(|manifest, _| manifest.brokerbench_version = "9.9".into());
    assert!(version.contains("shard 2/3 is by brokerbench 9.9"), "{version}");
    let foreign = refused(|manifest, _| {
        manifest.sharded.as_mut().unwrap().run_id = "other".into();
    });
    assert!(foreign.contains("shard 2/3 is of run `other`, not `night-7`"), "{foreign}");
    let scenario = refused(|manifest, _| {
        let row = |value: &str| crate::result::Origin {
            key: "load.rate".into(),
            value: value.into(),
            origin: "--set".into(),
        };
        manifest.scenario.resolved = vec![row("2k/s")];
    });
    assert!(scenario.contains("`load.rate` is 2k/s, of the others unset"), "{scenario}");
    let ended = refused(|manifest, _| manifest.status = Status::Invalid);
    assert!(ended.contains("shard 2/3 (on ) ended invalid"), "{ended}");
    let window = refused(|_, output| output.record.window_start_ns = Some(5_000_000_000));
    assert!(window.contains("shard-2-of-3") && window.contains("another time"), "{window}");
}

#[test]
fn who_is_missing_doubled_unfinished_or_edited_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let paths = shards(dir.path(), 3, |_, _, _| ());
    let missing = try_merge(&paths[..2], dir.path(), false).unwrap_err();
    assert!(missing.contains("shard 2/3 is missing; --force"), "{missing}");
    let twice = [&paths[..], &paths[1..2]].concat();
    let twice = try_merge(&twice, dir.path(), false).unwrap_err();
    assert!(twice.contains("shard 1/3 is there twice"), "{twice}");
    let log = paths[1].join("cells/kafka/base/block-1/latency.hlog");
    let mut text = fs::read(&log).unwrap();
    text.pop();
    text.push(b' ');
    fs::write(&log, text).unwrap();
    for force in [false, true] {
        let edited = try_merge(&paths, dir.path(), force).unwrap_err();
        assert!(edited.contains("shard-1-of-3/cells/kafka/base/block-1/latency.hlog"), "{edited}");
    }

    let dir = tempfile::tempdir().unwrap();
    let of = |index| Shard { index, count: 2 };
    let done = shard(dir.path(), of(0), |_, _| (), true);
    let open = shard(dir.path(), of(1), |_, _| (), false);
    let unfinished = try_merge(&[done, open], dir.path(), false).unwrap_err();
    assert!(unfinished.contains("shard 1/2 (on ) has not finished"), "{unfinished}");
}

#[test]
fn what_is_forced_is_marked_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let paths = shards(dir.path(), 3, |_, _, _| ());
    let summary = try_merge(&paths[..2], dir.path(), true).unwrap();
    let cell = &summary.cells[0];
    assert!(!cell.valid);
    let because = cell.invalid_because.join(" ");
    assert!(because.contains("shards-complete: shard 2/3 is missing"), "{because}");
    // Shard 0 has what shard 1 sent, shard 1 what nobody here sent.
    assert_eq!((cell.counts.delivered, cell.counts.foreign), (Some(SENT), Some(SENT)));
    let again = summarize(&RunFolder::latest(dir.path()).unwrap()).unwrap();
    assert!(!again.cells[0].valid);
}

#[test]
fn across_hosts_a_latency_is_told_only_where_clocks_are_known() {
    let told = |bound_ns: u64| {
        let dir = tempfile::tempdir().unwrap();
        let paths = shards(dir.path(), 2, |_, _, output| {
            let part = output.record.shard.as_mut().unwrap();
            (part.placement, part.clock.bound_ns) = (Placement::Apart, bound_ns);
        });
        let summary = try_merge(&paths, dir.path(), false).unwrap();
        let manifest = RunFolder::latest(dir.path()).unwrap().read_manifest().unwrap();
        (summary.cells[0].latency.end_to_end.clone(), manifest.warnings.join("\n"))
    };
    let (known, _) = told(1_000);
    assert_eq!(known.unwrap().count, 2 * IN_WINDOW);
    let (none, why) = told(2_000_000);
    assert_eq!(none, None);
    assert!(why.contains("agree within 4.00 ms only"), "{why}");
}

#[test]
fn waiting_ends_once_all_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let of = |index| Shard { index, count: 2 };
    let done = shard(dir.path(), of(0), |_, _| (), true);
    let together = [done.parent().unwrap().to_owned()];
    let (never, began) = (AtomicBool::new(false), Instant::now());
    await_shards(&together, Duration::from_millis(700), &never);
    assert!(began.elapsed() >= Duration::from_millis(700));
    shard(dir.path(), of(1), |_, _| (), true);
    await_shards(&together, Duration::from_secs(600), &never);
}
