//! The janitor without brokers: whoever dies, however it dies, nothing is left.

use crate::support::harness::{Harness, PART, exe};
use brokerbench::environment::{Janitor, Launch, ProcessState, Signal};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Whatever has not happened by then never will.
const LIMIT: Duration = Duration::from_secs(60);

fn launch(janitor: &Janitor, argv: &[&str]) -> u32 {
    launch_in(janitor, janitor.folder(), argv)
}

fn launch_in(janitor: &Janitor, folder: &Path, argv: &[&str]) -> u32 {
    let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
    janitor
        .spawn(Launch { argv, env: BTreeMap::new(), cwd: folder.into(), log: folder.join("log") })
        .unwrap()
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).unwrap(), signal)
        .unwrap();
}

fn exists(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The janitor's own id: the parent of what it started.
fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Not a test of its own: the part of the harness that is about to die. One process runs, one has a
/// child, one is paused, and there is data.
#[test]
#[ignore = "played in another process"]
fn the_part_of_the_harness() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let janitor = Janitor::start(&exe()).unwrap();
    let running = launch(&janitor, &["sleep", "1000"]);
    launch(&janitor, &["sh", "-c", "sleep 1000 & sleep 1000"]);
    let paused = launch(&janitor, &["sleep", "1000"]);
    janitor.signal(paused, Signal::Stop).unwrap();
    std::fs::create_dir(janitor.folder().join("data")).unwrap();
    std::fs::write(janitor.folder().join("data/file"), "data").unwrap();
    println!("\nready {running}");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn nothing_is_left_of_a_killed_harness() {
    let mut harness = Harness::start(module_path!());
    harness.await_line("ready ");
    harness.kill();
    harness.clean_within(LIMIT);
}

#[test]
fn nothing_is_left_of_a_harness_killed_at_any_moment_of_its_start() {
    for moment in 0..20 {
        let mut harness = Harness::start(module_path!());
        std::thread::sleep(Duration::from_millis(moment * 2));
        harness.kill();
        harness.clean_within(LIMIT);
    }
}

#[test]
fn what_a_janitor_leaves_that_was_killed_with_its_harness_is_swept_by_the_next() {
    let mut harness = Harness::start(module_path!());
    let running: u32 = harness.await_line("ready ").parse().unwrap();
    // The janitor first, so that it has no chance to clean up.
    kill(parent(running), rustix::process::Signal::KILL);
    harness.kill();
    eventually("the broker dies with its janitor", || !exists(running));
    assert!(harness.temporary.path().read_dir().unwrap().next().is_some(), "the folder is there");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut next = std::process::Command::new(exe())
        .arg("__janitor")
        .env("TMPDIR", harness.temporary.path())
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(&ours), &mut String::new()).unwrap();
    drop(ours);
    assert!(next.wait().unwrap().success());
    harness.clean_within(LIMIT);
}

#[test]
fn brokers_die_with_a_killed_janitor_and_the_harness_hears_of_it() {
    let janitor = Janitor::start(&exe()).unwrap();
    let pid = launch(&janitor, &["sleep", "1000"]);
    kill(parent(pid), rustix::process::Signal::KILL);
    eventually("the broker dies with its janitor", || !exists(pid));
    assert!(!janitor.is_alive());
    let error = janitor.status(pid).unwrap_err().to_string();
    assert!(error.contains("janitor"), "{error}");
    let folder = janitor.folder().to_owned();
    drop(janitor);
    assert!(!folder.exists());
}

#[test]
fn the_signals_of_a_terminal_do_not_end_it() {
    let janitor = Janitor::start(&exe()).unwrap();
    let pid = launch(&janitor, &["sleep", "1000"]);
    for signal in
        [rustix::process::Signal::INT, rustix::process::Signal::TERM, rustix::process::Signal::HUP]
    {
        kill(parent(pid), signal);
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(janitor.is_alive());
    assert_eq!(janitor.status(pid).unwrap(), ProcessState::Running);
    // The broker itself has them at their defaults.
    janitor.signal(pid, Signal::Term).unwrap();
    let end = janitor.wait(pid, Instant::now() + LIMIT).unwrap().unwrap();
    assert!(!end.success && end.how.contains("15"), "{end:?}");
}

#[test]
fn it_pauses_goes_on_and_tells_how_a_process_ended() {
    let janitor = Janitor::start(&exe()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &janitor.folder().metadata().unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
    let state = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let pid = launch(&janitor, &["sleep", "1000"]);
    janitor.signal(pid, Signal::Stop).unwrap();
    eventually("it is paused", || state(pid).contains(") T "));
    assert_eq!(janitor.status(pid).unwrap(), ProcessState::Running);
    janitor.signal(pid, Signal::Cont).unwrap();
    eventually("it goes on", || state(pid).contains(") S "));
    janitor.kill(pid).unwrap();
    assert!(!exists(pid));
    janitor.signal(pid, Signal::Kill).unwrap();

    let failing = launch(&janitor, &["sh", "-c", "echo the last words; exit 3"]);
    let end = janitor.wait(failing, Instant::now() + LIMIT).unwrap().unwrap();
    assert!(end.how.contains('3'), "{end:?}");
    let absent = launch(&janitor, &["/no/such/program"]);
    assert!(!janitor.wait(absent, Instant::now() + LIMIT).unwrap().unwrap().success);
    let log = std::fs::read_to_string(janitor.folder().join("log")).unwrap();
    assert!(log.contains("the last words") && log.contains("cannot run /no/such/program"), "{log}");
    assert!(janitor.status(1).is_err(), "a process that is not its own");
}

#[test]
fn a_broker_that_ends_takes_its_own_children_along() {
    let janitor = Janitor::start(&exe()).unwrap();
    let pid = launch(&janitor, &["sh", "-c", "sleep 1000 & echo $!"]);
    janitor.wait(pid, Instant::now() + LIMIT).unwrap().unwrap();
    let log = std::fs::read_to_string(janitor.folder().join("log")).unwrap();
    let grandchild: u32 = log.trim().parse().unwrap();
    eventually("the child of the ended process is gone", || !exists(grandchild));
}

/// As a broker's start that fails half way leaves them: nobody knows their ids.
#[test]
fn what_was_started_in_a_folder_goes_with_it() {
    let janitor = Janitor::start(&exe()).unwrap();
    let (home, node) = (janitor.folder().join("broker"), janitor.folder().join("broker/node"));
    std::fs::create_dir_all(&node).unwrap();
    let inside = [
        launch_in(&janitor, &home, &["sleep", "1000"]),
        launch_in(&janitor, &node, &["sleep", "1000"]),
    ];
    janitor.signal(inside[1], Signal::Stop).unwrap();
    let elsewhere = launch(&janitor, &["sleep", "1000"]);
    assert!(janitor.remove(janitor.folder()).is_err() && inside.iter().all(|pid| exists(*pid)));
    janitor.remove(&home).unwrap();
    assert!(!home.exists() && !inside.iter().any(|pid| exists(*pid)));
    assert_eq!(janitor.status(elsewhere).unwrap(), ProcessState::Running);
    janitor.remove(&home).unwrap();
}
