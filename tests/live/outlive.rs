//! What goes wrong with one cell is a result, and the end of nothing else. The scenarios are those
//! of users, shortened. Needs redis-server: `cargo test --test live outlive:: -- --ignored
//! --test-threads 1`

use crate::support::program::{Ended, MACHINE, run, send, start};
use crate::support::redis::RedisServer;
use brokerbench::result::{CellOutcome, CellSummary};
use rustix::process::Signal;
use std::time::Duration;

fn scenario(rest: &str) -> String {
    format!("schema: 1\nname: outlive\nquestion: What becomes of the others?\n{rest}")
}

fn cell<'a>(cells: &'a [CellSummary], label: &str) -> &'a CellSummary {
    cells.iter().find(|cell| cell.label == label).unwrap_or_else(|| panic!("no {label}"))
}

/// It was measured, if not on a machine that is fit for it.
fn measured(cell: &CellSummary) {
    let ours = cell.invalid_because.iter();
    let ours: Vec<_> =
        ours.filter(|why| !MACHINE.iter().any(|gate| why.starts_with(gate))).collect();
    assert!(ours.is_empty(), "{cell:#?}");
    assert!(cell.counts.delivered > Some(0), "{cell:#?}");
}

fn told(ended: &Ended, cell: &CellSummary, words: &str) {
    let because = cell.outcome_because.join("; ");
    assert!(because.contains(words), "`{words}` is missing in {because}: {cell:#?}");
    assert!(ended.stdout.contains(words), "`{words}` is missing in: {}", ended.stdout);
}

/// Redis closes the connection of a subscriber whose output buffer passes its limit: it subscribes
/// again, as applications do, and what it missed is lost.
#[test]
#[ignore = "needs redis-server"]
fn a_subscriber_that_is_cut_off_is_a_result_and_the_next_system_is_measured() {
    let text = scenario(
        "systems:\n  redis-pubsub: {broker: {save: \"\", appendonly: \"no\"}}\n  redis-streams: \
         {broker: {save: \"\", appendonly: \"no\"}, maxlen: 50000}\n\
         load: {model: open, rate: 5k/s, work: 1ms, warm-up: 1s, warm-up-limit: 2s, duration: \
         12s, drain: 3s, broker-warm-up: 0s, floor: false}\n\
         message: {size: 10KiB, payload: random}\n",
    );
    let ended = run(&text, &["-v"], &[]);
    assert!(matches!(ended.code, Some(0 | 13)), "{}", ended.stderr);
    let summary = ended.summary();
    let cut = cell(&summary.cells, "redis-pubsub");
    assert_eq!(cut.outcome, CellOutcome::Violated, "{cut:#?}");
    assert!(cut.outcome_because[0].starts_with("left-alone: consumer: "), "{cut:#?}");
    assert!(cut.counts.lost > Some(0), "{cut:#?}");
    assert!(cut.retries["consume: connection made again"] >= 1, "{cut:#?}");
    measured(cut);
    measured(cell(&summary.cells, "redis-streams"));
    told(&ended, cut, "clients cut off by `client-output-buffer-limit`");
}

/// The very command that would free memory is refused for want of it. What is there is far above
/// the limit, and not at its edge, where what was just freed would be enough.
#[test]
#[ignore = "needs redis-server"]
fn a_consumer_that_is_refused_is_a_result_and_the_next_system_is_measured() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let address = format!("redis://127.0.0.1:{}", server.port);
    let text = scenario(
        "systems:\n  redis-lists: {consume: {mode: reliable, batch: 1}}\n  \
         redis-streams: {maxlen: 5000}\n\
         load: {model: open, rate: 20k/s, work: 1ms, warm-up: 1s, warm-up-limit: 2s, duration: \
         8s, drain: 2s, broker-warm-up: 0s, floor: false}\nrepeat-spoilt: 0\n\
         message: {size: 1KiB, payload: text}\n",
    );
    let mut running = start(&text, &["--redis", &address, "-v"], &[]);
    running.await_words("redis-lists base block 1\n");
    std::thread::sleep(Duration::from_secs(4));
    server.command("CONFIG SET maxmemory 16mb");
    let ended = running.end();
    assert!(matches!(ended.code, Some(0 | 13)), "{}", ended.stderr);
    let summary = ended.summary();
    let refused = cell(&summary.cells, "redis-lists");
    told(&ended, refused, "consumer: consuming refused: OOM command not allowed");
    assert_ne!(refused.outcome, CellOutcome::Ok, "{refused:#?}");
    measured(cell(&summary.cells, "redis-streams"));
}

/// A stream that is evicted takes its group along.
#[test]
#[ignore = "needs redis-server"]
fn a_stream_that_is_evicted_is_a_result() {
    let text = scenario(
        "systems: {redis-streams: {broker: {save: \"\", appendonly: \"no\", maxmemory: 8mb, \
         maxmemory-policy: allkeys-random}, maxlen: none}}\n\
         load: {model: open, rate: 5k/s, warm-up: 1s, warm-up-limit: 1s, duration: 5s, drain: \
         2s, broker-warm-up: 0s, floor: false}\nmessage: {size: 1KiB}\n",
    );
    let ended = run(&text, &["-v"], &[]);
    let summary = ended.summary();
    let evicted = cell(&summary.cells, "redis-streams");
    told(&ended, evicted, "keys evicted by `maxmemory-policy`");
    assert!(evicted.retries.keys().any(|why| why.contains("NOGROUP")), "{evicted:#?}");
    measured(evicted);
}

/// A connection that the server closes for being idle is made again and counted, and harms nobody.
#[test]
#[ignore = "needs redis-server"]
fn a_connection_that_was_idle_too_long_is_made_again() {
    let server = RedisServer::start(&["--timeout", "1"]);
    let address = format!("redis://127.0.0.1:{}", server.port);
    let text = scenario(
        "systems: [redis-lists]\nload: {model: open, rate: 0.3/s, warm-up: 1s, warm-up-limit: 1s, \
         duration: 14s, drain: 2s, floor: false}\nmessage: {size: 100B}\n",
    );
    let ended = run(&text, &["--redis", &address], &[]);
    let summary = ended.measured();
    let idle = &summary.cells[0];
    assert!(idle.retries["publish: the server closed the connection"] >= 2, "{idle:#?}");
    assert_eq!(idle.counts.acked, idle.counts.sent, "{idle:#?}");
    assert_eq!(idle.counts.delivered, idle.counts.sent, "{idle:#?}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_broker_that_is_gone_ends_its_own_label_alone() {
    let text = scenario(
        "systems: [redis-lists, redis-streams]\nblocks: 2\nload: {model: open, rate: 500/s, \
         warm-up: 1s, warm-up-limit: 2s, duration: 5s, floor: false}\nmessage: {size: 100B}\n",
    );
    let mut running = start(&text, &[], &[]);
    running.await_words("redis-lists base block 1\n");
    std::thread::sleep(Duration::from_secs(2));
    send(running.broker("redis-server"), Signal::KILL);
    let ended = running.end().with(13, &["died", "SIGKILL"]);
    let summary = ended.summary();
    assert_eq!(summary.cells.len(), 4, "those that were not run are there too: {summary:#?}");
    for cell in &summary.cells {
        if cell.label == "redis-streams" {
            measured(cell);
        } else {
            let why = cell.invalid_because.join("; ");
            assert!(why.contains("died"), "{cell:#?}");
        }
    }
}

/// What a server refuses before any load, here for want of memory, is a result of that cell.
#[test]
#[ignore = "needs real brokers"]
fn a_cell_that_could_not_begin_is_kept_with_its_reason() {
    let text = scenario(
        "systems: {redis-lists: {}, full: {system: redis-streams, broker: {maxmemory: 500kb, \
         maxmemory-policy: noeviction}}}\nload: {model: open, rate: 500/s, warm-up: 1s, \
         warm-up-limit: 2s, duration: 3s, broker-warm-up: 0s, floor: false}\n\
         message: {size: 100B}\n",
    );
    let ended = run(&text, &["-v"], &[]).with(13, &["OOM command not allowed"]);
    let summary = ended.summary();
    measured(cell(&summary.cells, "redis-lists"));
    let full = cell(&summary.cells, "full");
    assert!(full.valid && full.outcome == CellOutcome::Stalled, "{full:#?}");
    told(&ended, full, "begun: ");
}
