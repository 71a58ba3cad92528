//! What this machine lacks for measuring, and what to do about it. Pure data: printing is the command line's.
//!
//! A check never installs, starts or changes anything, and takes seconds at most.

use super::native::{KAFKA_PORT, REDIS_PORT, find_java, find_redis, free_ports, installed_kafka, pinned_port};
use super::program;
use crate::clock;
use serde::Serialize;
use std::fs;
use std::time::Duration;

const GIB: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Ok,
    /// It works, at a price that the remedy names.
    Warn,
    /// Something cannot be measured here.
    Fail,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub level: Level,
    pub found: String,
    pub remedy: Option<String>,
}

/// Every check, in the order in which a reader would fix them.
pub fn checks() -> Vec<Check> {
    vec![java(), kafka(), redis(), ports(), cores(), memory(), temporary_space(), clock_source(), docker()]
}

fn check(name: &'static str, level: Level, found: impl Into<String>, remedy: &str) -> Check {
    let remedy = (level != Level::Ok).then(|| remedy.to_owned());
    Check { name, level, found: found.into(), remedy }
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    check(name, Level::Ok, found, "")
}

/// The environment's own errors already hold the remedy.
fn fail(name: &'static str, error: &super::EnvironmentError) -> Check {
    Check { name, level: Level::Fail, found: error.to_string(), remedy: None }
}

fn java() -> Check {
    match find_java() {
        Ok(java) => ok("java", format!("{} ({})", java.version, java.program.display())),
        Err(error) => fail("java", &error),
    }
}

fn kafka() -> Check {
    const NAME: &str = "kafka";
    match (installed_kafka(), program::find("mvn")) {
        (Err(error), _) => fail(NAME, &error),
        (Ok(Some(jars)), _) => match jars.warning() {
            None => ok(NAME, jars.version),
            Some(warning) => check(NAME, Level::Warn, warning, "unset KAFKA_HOME to have Maven fetch the current one"),
        },
        (Ok(None), Some(maven)) => ok(NAME, format!("not yet here; {} will fetch it once (43 MB)", maven.display())),
        (Ok(None), None) => check(
            NAME,
            Level::Fail,
            "neither Kafka nor Maven (`mvn`), which would fetch it",
            "install Maven (Debian, Ubuntu: `apt-get install maven`), or set KAFKA_HOME to an unpacked Kafka",
        ),
    }
}

fn redis() -> Check {
    const NAME: &str = "redis";
    match find_redis() {
        Err(error) => fail(NAME, &error),
        Ok(server) => match server.warning() {
            None => ok(NAME, format!("{} {} ({})", server.product, server.version, server.program.display())),
            Some(warning) => check(NAME, Level::Warn, warning, "`scripts/lib/fetch-redis8.sh` fetches a current one"),
        },
    }
}

fn ports() -> Check {
    let pinned = [KAFKA_PORT, REDIS_PORT].map(pinned_port);
    match pinned.into_iter().collect::<Result<Vec<_>, _>>().and_then(|_| free_ports::<3>()) {
        Ok(_) => ok("ports", "free ports on 127.0.0.1"),
        Err(error) => fail("ports", &error),
    }
}

fn cores() -> Check {
    // Respects CPU sets and control-group quotas.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let level = if cores >= 2 { Level::Ok } else { Level::Warn };
    let found = format!("{cores} usable");
    check(
        "cores",
        level,
        found,
        "with one core, harness and broker take turns: latencies will say so; use a machine with two or more",
    )
}

fn memory() -> Check {
    const NAME: &str = "memory";
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text, "MemAvailable:"));
    let limit = control_group_limit();
    let usable = match (available, limit) {
        (Some(available), Some(limit)) => available.min(limit),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return ok(NAME, "unknown"),
    };
    let level = match usable {
        enough if enough >= 3 * GIB => Level::Ok,
        some if some >= 3 * GIB / 2 => Level::Warn,
        _ => Level::Fail,
    };
    let bound = if limit.is_some() { ", bounded by a control group" } else { "" };
    let found = format!("{:.1} GiB available{bound}", usable as f64 / GIB as f64);
    check(NAME, level, found, "Kafka takes 1 GiB of heap and as much again for itself and the page cache: free 3 GiB")
}

fn meminfo(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(value.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// What is left below `memory.max` of this process's control group (version 2); `None` where there is no limit.
fn control_group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let read = |file: &str| {
        let text = fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(read("memory.max")?.saturating_sub(read("memory.current").unwrap_or(0)))
}

fn temporary_space() -> Check {
    const NAME: &str = "temporary space";
    let directory = std::env::temp_dir();
    let shown = directory.display();
    let Ok(stat) = rustix::fs::statvfs(&directory) else {
        return check(NAME, Level::Fail, format!("{shown} cannot be read"), "point TMPDIR to a folder on a local disk");
    };
    let free = stat.f_bavail * stat.f_frsize;
    let found = format!("{:.0} GiB free in {shown}", free as f64 / GIB as f64);
    if in_memory(&directory) {
        let found = format!("{found}, which is in memory");
        return check(
            NAME,
            Level::Warn,
            found,
            "brokers would write to memory instead of a disk: point TMPDIR to a folder on a local disk",
        );
    }
    let level = match free {
        enough if enough >= 10 * GIB => Level::Ok,
        some if some >= 2 * GIB => Level::Warn,
        _ => Level::Fail,
    };
    check(NAME, level, found, "a fast run writes about 10 GiB: free some, or point TMPDIR to a larger local disk")
}

#[cfg(target_os = "linux")]
fn in_memory(directory: &std::path::Path) -> bool {
    // TMPFS_MAGIC of statfs(2).
    rustix::fs::statfs(directory).is_ok_and(|stat| stat.f_type == 0x0102_1994)
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_: &std::path::Path) -> bool {
    false
}

fn clock_source() -> Check {
    let (source, cost) = (clock::source(), clock::cost_ns());
    // A clock that has to enter the kernel costs hundreds of nanoseconds for each stamp.
    let level = if cost <= 200 { Level::Ok } else { Level::Warn };
    let found = format!("{source}, {cost} ns a reading");
    check(
        "clock",
        level,
        found,
        "reading this clock is slow and adds to every stamp; a kernel with `tsc` or `kvm-clock` does better",
    )
}

/// For information: the native environment needs no container engine.
fn docker() -> Check {
    let server = program::find("docker").and_then(|docker| {
        let answer =
            program::output(&docker, &["version", "--format", "{{.Server.Version}}"], Duration::from_secs(5)).ok()?;
        let version = answer.trim();
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("engine {version}"))
    });
    ok("docker", server.unwrap_or_else(|| "no engine answers (not needed for the native environment)".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_a_remedy_and_what_is_right_without() {
        for check in checks() {
            assert!(!check.found.is_empty(), "{check:?}");
            assert!(check.level != Level::Ok || check.remedy.is_none(), "{check:?}");
            assert!(check.level != Level::Warn || check.remedy.is_some(), "{check:?}");
        }
    }

    #[test]
    fn memory_is_read_in_its_unit() {
        assert_eq!(meminfo("MemTotal: 10 kB\nMemAvailable:    2048 kB\n", "MemAvailable:"), Some(2 << 20));
        assert_eq!(meminfo("", "MemAvailable:"), None);
    }
}
