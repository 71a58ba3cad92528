//! What a process is doing, as the kernel tells it: the proof that a signal did what it should.

use crate::environment::{self, state};

/// Whether it is gone: no such process, or one that only waits to be reaped.
pub fn is_gone(pid: u32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

/// Whether every thread of it is stopped.
pub fn is_stopped(pid: u32) -> bool {
    environment::is_stopped(pid).unwrap_or(false)
}

/// Whether it is there and not stopped.
pub fn runs(pid: u32) -> bool {
    !is_gone(pid) && !matches!(state(pid), Some('T' | 't'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stopped_and_a_killed_process_are_told_apart() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        let signal = |signal| {
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
        };
        let soon = |what: fn(u32) -> bool| {
            let begun = Instant::now();
            while !what(pid) {
                assert!(begun.elapsed() < Duration::from_secs(5));
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        assert!(runs(pid) && !is_stopped(pid) && !is_gone(pid));
        signal(rustix::process::Signal::STOP);
        soon(is_stopped);
        assert!(!runs(pid) && !is_gone(pid));
        signal(rustix::process::Signal::KILL);
        // Not reaped yet, and gone all the same.
        soon(is_gone);
        child.wait().unwrap();
        assert!(is_gone(pid) && !is_stopped(pid) && !runs(pid));
    }
}
