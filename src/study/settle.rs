//! Quiet between cells: what the broker before left unwritten must not be paid for by the next one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Unwritten pages below this do not disturb, KiB.
const QUIET_KIB: u64 = 32 * 1024;
const LONGEST: Duration = Duration::from_secs(20);

/// Asks the kernel to write everything out and waits until it nearly has, 20 s at most. True if it became quiet.
pub fn settle(interrupted: &AtomicBool) -> bool {
    // A thread of its own: sync can take long on a slow disk, and nobody may hang on it.
    let writing = std::thread::spawn(rustix::fs::sync);
    let deadline = Instant::now() + LONGEST;
    while Instant::now() < deadline && !interrupted.load(Relaxed) {
        if writing.is_finished() && dirty_kib().is_none_or(|dirty| dirty < QUIET_KIB) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// `Dirty` and `Writeback` of /proc/meminfo; `None` where there is no such file.
fn dirty_kib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().trim_end_matches(" kB").parse().ok()
    };
    Some(field("Dirty:")? + field("Writeback:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_the_user_wants_it_to() {
        let start = Instant::now();
        settle(&AtomicBool::new(true));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
