//! Workers against a scripted server: what they ask, in which order, and what they hand out.

use super::super::super::load::resilient::testing::{Act, Asked, Scripted, reply};
use super::super::super::tests::{cell, target};
use crate::driver::open;
use crate::driver::work::{AcknowledgePolicy, WorkEvent, WorkTerms, Worker};
use crate::model::System;
use crate::scenario::ConsumeMode;
use crate::units::Span;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Tasks as (number, attempt, payload), and the numbers of what was set aside.
fn take(worker: &mut dyn Worker, until_ns: u64) -> (Vec<(u64, u32, String)>, Vec<u64>) {
    let (mut tasks, mut buried) = (vec![], vec![]);
    let mut sink = |event: WorkEvent<'_>| match event {
        WorkEvent::Task { id, attempt, payload, .. } => {
            tasks.push((id, attempt, String::from_utf8_lossy(payload).into_owned()));
        }
        WorkEvent::DeadLettered { id, .. } => buried.push(id),
    };
    worker.take(10, until_ns, &mut sink).unwrap();
    (tasks, buried)
}

/// Every batch is acknowledged.
fn terms(pause_ms: u64) -> WorkTerms {
    WorkTerms {
        pause: Span::from_millis(pause_ms),
        tries: 3,
        acknowledge: AcknowledgePolicy::EveryBatch,
    }
}

fn commands(server: &Scripted) -> Vec<String> {
    let words = |text: &str| text.split(['\n', ' ']).next().unwrap_or_default().to_owned();
    server.log().iter().map(|(_, text)| words(text)).collect()
}

#[test]
fn a_stream_worker_claims_what_is_idle_counts_its_tries_and_buries_in_one_step() {
    let entry = |id: &str| format!("*2\r\n$3\r\n{id}\r\n*2\r\n$1\r\nd\r\n$3\r\n{id}\r\n");
    let claims = AtomicUsize::new(0);
    let server = Scripted::start(move |asked: &Asked| match asked.words[0].as_slice() {
        b"XGROUP" => reply("+OK\r\n"),
        b"XAUTOCLAIM" if claims.fetch_add(1, Relaxed) == 0 => {
            assert_eq!(asked.text(), "XAUTOCLAIM test-0 work c0 20 0-0 COUNT 10");
            reply(&format!("*3\r\n$3\r\n0-7\r\n*1\r\n{}*0\r\n", entry("1-0")))
        }
        b"XAUTOCLAIM" => {
            assert_eq!(asked.text(), "XAUTOCLAIM test-0 work c0 20 0-7 COUNT 10");
            reply("*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n")
        }
        b"XPENDING" => reply("*1\r\n*4\r\n$3\r\n1-0\r\n$2\r\nc0\r\n:5\r\n:3\r\n"),
        b"XREADGROUP" if asked.number < 5 => {
            assert_eq!(asked.text(), "XREADGROUP GROUP work c0 COUNT 10 STREAMS test-0 >");
            reply(&format!("*1\r\n*2\r\n$6\r\ntest-0\r\n*1\r\n{}", entry("2-0")))
        }
        b"XREADGROUP" => reply("*-1\r\n"),
        b"XACK" => {
            assert_eq!(asked.text(), "XACK test-0 work 2-0");
            reply(":1\r\n")
        }
        b"EVAL" => {
            assert!(asked.text().ends_with("2 test-0 test-0-dead work 1-0"));
            reply(":1\r\n")
        }
        other => panic!("{}", other.escape_ascii()),
    });
    let mut cell = cell(System::RedisStreams);
    cell.config.keys = 1;
    let target = target(vec![server.address.clone()]);
    let (clock, driver) = (target.clock, open(&cell, target).unwrap());
    let work = driver.work(terms(20)).unwrap();
    let mut worker = work.worker(0).unwrap();
    let (tasks, buried) = take(worker.as_mut(), clock.now_ns() + 1_000_000_000);
    assert_eq!((tasks, buried), (vec![(1, 3, "1-0".into()), (2, 1, "2-0".into())], vec![]));
    worker.dead_letter(1);
    worker.done(2);
    std::thread::sleep(std::time::Duration::from_millis(10));
    assert_eq!(take(worker.as_mut(), clock.now_ns()), (vec![], vec![1]));
    worker.close().unwrap();
    let asked = [
        "XGROUP",
        "XAUTOCLAIM",
        "XPENDING",
        "XREADGROUP",
        "EVAL",
        "XACK",
        "XAUTOCLAIM",
        "XREADGROUP",
    ];
    assert_eq!(commands(&server), asked);
}

#[test]
fn a_list_worker_removes_what_is_done_and_keeps_what_fails_on_its_desk() {
    let server = Scripted::start(|asked: &Asked| match asked.text().as_str() {
        "LMOVE test-0 test-0-work-0 RIGHT LEFT" if asked.number == 0 => reply("$1\r\na\r\n"),
        "LMOVE test-0 test-0-work-0 RIGHT LEFT" if asked.number < 3 => reply("$1\r\nb\r\n"),
        "LMOVE test-0 test-0-work-0 RIGHT LEFT" => reply("$-1\r\n"),
        "LREM test-0-work-0 -1 a" => reply(":1\r\n"),
        text if text.ends_with("2 test-0-work-0 test-0-dead b") => reply(":1\r\n"),
        _ => Act::HangUp,
    });
    let mut cell = cell(System::RedisLists);
    (cell.config.keys, cell.config.consume.mode) = (1, ConsumeMode::Reliable);
    let target = target(vec![server.address.clone()]);
    let (clock, driver) = (target.clock, open(&cell, target).unwrap());
    let work = driver.work(terms(1)).unwrap();
    let mut worker = work.worker(0).unwrap();
    let none = Vec::<u64>::new();
    assert_eq!(take(worker.as_mut(), clock.now_ns()), (vec![(1, 1, "a".into())], none.clone()));
    worker.done(1);
    let (tasks, _) = take(worker.as_mut(), clock.now_ns());
    assert_eq!(tasks, [(2, 1, "b".into())]);
    worker.retry(2);
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(take(worker.as_mut(), clock.now_ns()), (vec![(2, 2, "b".into())], none));
    worker.dead_letter(2);
    assert_eq!(take(worker.as_mut(), clock.now_ns()), (vec![], vec![2]));
    worker.close().unwrap();
    let asked = ["LMOVE", "LREM", "LMOVE", "LMOVE", "LMOVE", "EVAL", "LMOVE"];
    assert_eq!(commands(&server), asked);
}
