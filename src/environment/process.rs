//! What processes and the machine use, as the kernel tells; `None` where it does not.
//!
//! Of the machine it counts in ticks of 10 ms: fine for windows of seconds, useless for messages.

use std::fs;

/// What one process has used since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads, those that have ended included, to the nanosecond;
    /// and of those children that it has waited for (Redis's background saves), in ticks.
    pub cpu_ns: u64,
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
}

/// What all processors together have done since boot. Stolen time was given to another guest of the
/// same host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineTimes {
    pub busy_ns: u64,
    pub idle_ns: u64,
    pub steal_ns: u64,
}

/// What became dirty in the page cache and what was written from it, since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCache {
    pub dirtied_bytes: u64,
    pub written_bytes: u64,
}

/// Of any process of this machine.
pub fn usage(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse_usage(&stat(pid)?, &status, ns_per_tick(), cpu_clock(pid))
}

/// The CPU clock of a process: see clock_getcpuclockid(3).
#[cfg(target_os = "linux")]
fn cpu_clock(pid: u32) -> Option<u64> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).ok()?);
    let time = nix::time::clock_getcpuclockid(pid).ok()?.now().ok()?;
    Some(u64::try_from(time.tv_sec()).ok()? * 1_000_000_000 + u64::try_from(time.tv_nsec()).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn cpu_clock(_: u32) -> Option<u64> {
    None
}

/// Of this process, without its children, with the CPU time to the nanosecond.
pub fn own_usage() -> Option<Usage> {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu_ns =
        u64::try_from(cpu.tv_sec).ok()? * 1_000_000_000 + u64::try_from(cpu.tv_nsec).ok()?;
    Some(Usage { cpu_ns, ..usage(std::process::id())? })
}

/// Starts the peak of a process anew, at what it holds now. False where the kernel does not let us.
pub fn reset_peak(pid: u32) -> bool {
    // See proc_pid_clear_refs(5).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok()
}

/// When a process started, in clock ticks since boot: with its id, the name of a process that is
/// never reused.
pub fn start_time(pid: u32) -> Option<u64> {
    after_name(&stat(pid)?)?.split(' ').nth(19)?.parse().ok()
}

/// For how long a process has been there, to a tick; what it began in is counted as whole.
#[cfg(target_os = "linux")]
pub fn age(pid: u32) -> Option<std::time::Duration> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = u64::try_from(now.tv_sec).ok()? * 1_000_000_000 + u64::try_from(now.tv_nsec).ok()?;
    Some(std::time::Duration::from_nanos(now.saturating_sub(start_time(pid)? * ns_per_tick())))
}

#[cfg(not(target_os = "linux"))]
pub fn age(_: u32) -> Option<std::time::Duration> {
    None
}

/// Whether the process of that id that started then is there, and does not only wait to be reaped.
pub fn lives(pid: u32, started: u64) -> bool {
    !is_gone(pid) && start_time(pid) == Some(started)
}

/// What a process is doing: the letter of proc_pid_stat(5), such as `T` of a stopped one; `None`
/// where there is none.
fn state(pid: u32) -> Option<char> {
    after_name(&stat(pid)?)?.chars().next()
}

/// Whether it is gone: no such process, or one that only waits to be reaped.
pub fn is_gone(pid: u32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

/// Whether it is there and not stopped.
pub fn runs(pid: u32) -> bool {
    !is_gone(pid) && !matches!(state(pid), Some('T' | 't'))
}

fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// The fields of proc_pid_stat(5) from the third on, which is the state. The second is the
/// program's name, which may hold spaces and brackets: what follows its last bracket.
fn after_name(stat: &str) -> Option<&str> {
    Some(stat.rsplit_once(") ")?.1)
}

/// Whether every thread of a process is stopped (by SIGSTOP, say).
pub fn is_stopped(pid: u32) -> std::io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        if !after_name(&stat).is_some_and(|rest| rest.starts_with(['T', 't'])) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub fn machine() -> Option<MachineTimes> {
    parse_machine(&fs::read_to_string("/proc/stat").ok()?, ns_per_tick())
}

pub fn page_cache() -> Option<PageCache> {
    parse_page_cache(&fs::read_to_string("/proc/vmstat").ok()?, rustix::param::page_size() as u64)
}

fn parse_page_cache(vmstat: &str, page: u64) -> Option<PageCache> {
    let bytes = |name: &str| {
        let mut lines = vmstat.lines().filter_map(|line| line.split_once(' '));
        Some(lines.find(|(key, _)| *key == name)?.1.trim().parse::<u64>().ok()? * page)
    };
    Some(PageCache { dirtied_bytes: bytes("nr_dirtied")?, written_bytes: bytes("nr_written")? })
}

fn ns_per_tick() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// `clock`: the process's CPU clock; without it, ticks are all there is.
fn parse_usage(stat: &str, status: &str, ns_per_tick: u64, clock: Option<u64>) -> Option<Usage> {
    let fields = after_name(stat)?.split(' ');
    // utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5).
    let ticks: Vec<u64> = fields.skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    let &[user, system, children_user, children_system] = ticks.as_slice() else { return None };
    let own_ns = clock.unwrap_or((user + system) * ns_per_tick);
    let kib = |key: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(key))?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    };
    // A zombie has no memory left: its lines are missing.
    Some(Usage {
        cpu_ns: own_ns + (children_user + children_system) * ns_per_tick,
        rss_bytes: kib("VmRSS:").unwrap_or(0) * 1024,
        peak_rss_bytes: kib("VmHWM:").unwrap_or(0) * 1024,
    })
}

fn parse_machine(stat: &str, ns_per_tick: u64) -> Option<MachineTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // Guest time, which follows, is already inside user time.
    let &[user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return None;
    };
    Some(MachineTimes {
        busy_ns: (user + nice + system + irq + softirq) * ns_per_tick,
        idle_ns: (idle + iowait) * ns_per_tick,
        steal_ns: steal * ns_per_tick,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 70 30 5 1 20 0 9 0 12345 1 1";
        let status = "Name:\ta) b (c\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let expected = Usage { cpu_ns: 1_060_000_000, rss_bytes: 1 << 20, peak_rss_bytes: 2 << 20 };
        assert_eq!(parse_usage(stat, status, 10_000_000, None), Some(expected));
        let fine = Usage { cpu_ns: 60_000_123, ..expected };
        assert_eq!(parse_usage(stat, status, 10_000_000, Some(123)), Some(fine));
        assert_eq!(parse_usage("", status, 10_000_000, None), None);
        assert_eq!(after_name("42 (a) b (c) T 1 42"), Some("T 1 42"));
        assert_eq!(after_name(""), None);
    }

    #[test]
    fn guest_time_is_counted_once() {
        let stat = "cpu  10 1 5 100 7 2 3 4 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(
            parse_machine(stat, 1),
            Some(MachineTimes { busy_ns: 21, idle_ns: 107, steal_ns: 4 })
        );
        assert_eq!(parse_machine("intr 5", 1), None);
    }

    #[test]
    fn pages_are_counted_in_bytes() {
        let found = parse_page_cache("nr_dirty 3\nnr_dirtied 10\nnr_written 4\n", 4096);
        let expected = PageCache { dirtied_bytes: 40_960, written_bytes: 16_384 };
        assert_eq!(found, Some(expected));
        assert_eq!(parse_page_cache("nr_dirty 3\n", 4096), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn one_that_waits_to_be_reaped_does_not_live() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (pid, started) = (child.id(), start_time(child.id()).unwrap());
        assert!(lives(pid, started) && !lives(pid, started + 1));
        assert!(age(pid).unwrap() < std::time::Duration::from_secs(30) && age(u32::MAX).is_none());
        child.kill().unwrap();
        let begun = std::time::Instant::now();
        while lives(pid, started) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(5));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(start_time(pid), Some(started), "it is not reaped yet");
        child.wait().unwrap();
        assert!(!lives(pid, started));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_peak_starts_anew() {
        // More than all other tests of this process hold together.
        const MUCH: usize = 1 << 30;
        // Whatever begins anew meanwhile does so at what is held.
        let much = std::hint::black_box(vec![1u8; MUCH]);
        assert!(own_usage().unwrap().peak_rss_bytes > MUCH as u64);
        drop(much);
        assert!(reset_peak(std::process::id()) && !reset_peak(u32::MAX));
        assert!(own_usage().unwrap().peak_rss_bytes < MUCH as u64);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_is_seen() {
        let before = own_usage().unwrap();
        let memory = std::hint::black_box(vec![1u8; 8 << 20]);
        let mut sum = 0u64;
        while own_usage().unwrap().cpu_ns < before.cpu_ns + 30_000_000 {
            sum = sum.wrapping_add(memory.iter().map(|b| u64::from(*b)).sum());
        }
        std::hint::black_box(sum);
        let seen = usage(std::process::id()).unwrap();
        assert!(
            seen.cpu_ns >= before.cpu_ns + 30_000_000 && seen.peak_rss_bytes >= 8 << 20,
            "{seen:?}"
        );
        assert!(machine().unwrap().idle_ns > 0);
        assert_eq!(usage(u32::MAX), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_of_another_process_is_finer_than_a_tick_and_keeps_what_threads_took_along() {
        // It took a millisecond to start, and ticks would see none of it.
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let begun = std::time::Instant::now();
        let seen = loop {
            match usage(child.id()).unwrap().cpu_ns {
                // On a busy machine it has not run yet.
                0 if begun.elapsed() < std::time::Duration::from_secs(20) => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                seen => break seen,
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen > 0 && !seen.is_multiple_of(10_000_000), "{seen} ns");
        let before = usage(std::process::id()).unwrap().cpu_ns;
        let spin = || {
            let begun = std::time::Instant::now();
            while begun.elapsed() < std::time::Duration::from_millis(5) {}
            rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_nsec as u64
        };
        let spent = std::thread::spawn(spin).join().unwrap();
        assert!(usage(std::process::id()).unwrap().cpu_ns >= before + spent);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stopped_and_a_killed_process_are_told_apart() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let signal = |signal| {
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
        };
        let stopped = |pid| is_stopped(pid).unwrap_or(false);
        let soon = |what: fn(u32) -> bool| {
            let begun = std::time::Instant::now();
            while !what(pid) {
                assert!(begun.elapsed() < std::time::Duration::from_secs(5));
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        };
        assert!(runs(pid) && !stopped(pid) && !is_gone(pid));
        signal(rustix::process::Signal::STOP);
        soon(stopped);
        assert!(!runs(pid) && !is_gone(pid));
        signal(rustix::process::Signal::KILL);
        // Not reaped yet, and gone all the same.
        soon(is_gone);
        child.wait().unwrap();
        assert!(is_gone(pid) && !stopped(pid) && !runs(pid));
    }
}
