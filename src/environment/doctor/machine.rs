//! What the machine itself does to a measurement: room, clock, and who else has a say in its
//! processors.
//!
//! Reads what the kernel tells; where it tells nothing (another system, a container) the finding
//! says so and passes.

use super::{Diagnosis, Level, Part, Question, measurement, question};
use crate::environment::install::{Tool, distribution, install};
use crate::environment::memory::group_memory;
use crate::environment::program::{find, read};
use crate::environment::storage::{probed, storage};
use crate::environment::{machine, memory_available};
use crate::result::{Build, words};
use crate::{clock, driver};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const GIB: u64 = 1 << 30;
/// A cell that lost more of its time to other guests is invalid (`engine::gates`).
const STEAL_SHARE: f64 = 0.05;
const STEAL_WINDOW: Duration = Duration::from_secs(1);
/// Redis reserves as many for 10,000 clients, its default.
const FILES: u64 = 10_032;

pub fn questions() -> Vec<Question> {
    vec![
        question(Part::Machine, "versions", versions),
        question(Part::Machine, "cores", cores),
        question(Part::Machine, "memory", memory),
        question(Part::Machine, "temporary space", temporary_space),
        measurement(Part::Machine, "synced writes", synced_writes),
        question(Part::Machine, "open files", open_files),
        question(Part::Machine, "governor", || governor(Path::new("/sys/devices/system/cpu"))),
        measurement(Part::Machine, "steal", steal),
        measurement(Part::Machine, "clock", clock_source),
    ]
}

fn versions() -> Diagnosis {
    let uname = rustix::system::uname();
    Diagnosis::ok(format!(
        "brokerbench {}, {}; {}; {} {} {}, {}",
        env!("CARGO_PKG_VERSION"),
        Build::this(),
        driver::client_versions().join("; "),
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        distribution()
    ))
}

fn cores() -> Diagnosis {
    // Respects CPU sets and control-group quotas.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Diagnosis::warn_unless(
        cores >= 2,
        format!("{cores} usable"),
        "with one core, harness and broker take turns, and latencies say so: use a machine with \
        two or more",
    )
}

fn memory() -> Diagnosis {
    let Some(usable) = memory_available() else {
        return Diagnosis::ok("not told by this system");
    };
    let level = match usable {
        enough if enough >= 3 * GIB => Level::Ok,
        some if some >= 3 * GIB / 2 => Level::Warn,
        _ => Level::Fail,
    };
    let bound = if group_memory().is_some() { ", bounded by a control group" } else { "" };
    Diagnosis::new(
        level,
        format!("{:.1} GiB available{bound}", usable as f64 / GIB as f64),
        "Kafka takes 1 GiB of heap and as much again for itself and the page cache: free 3 GiB",
    )
}

fn temporary_space() -> Diagnosis {
    const ELSEWHERE: &str = "point TMPDIR to a folder on a local disk";
    let directory = std::env::temp_dir();
    let shown = directory.display();
    let stat = match rustix::fs::statvfs(&directory) {
        Ok(stat) => stat,
        Err(error) => {
            return Diagnosis::new(
                Level::Fail,
                format!("{shown} cannot be read ({error})"),
                ELSEWHERE,
            );
        }
    };
    if rustix::fs::access(&directory, rustix::fs::Access::WRITE_OK).is_err() {
        return Diagnosis::new(Level::Fail, format!("{shown} cannot be written to"), ELSEWHERE);
    }
    let free = stat.f_bavail * stat.f_frsize;
    let found = format!("{:.0} GiB free in {shown}", free as f64 / GIB as f64);
    if storage(&directory).is_some_and(|storage| storage.in_memory) {
        return Diagnosis::new(
            Level::Warn,
            format!("{found}, which is in memory"),
            format!("brokers would write to memory instead of a disk: {ELSEWHERE}"),
        );
    }
    let level = match free {
        enough if enough >= 10 * GIB => Level::Ok,
        some if some >= 2 * GIB => Level::Warn,
        _ => Level::Fail,
    };
    Diagnosis::new(
        level,
        found,
        "a fast run writes about 10 GiB: free some, or point TMPDIR to a larger local disk",
    )
}

/// What every message costs that waits for the disk.
fn synced_writes() -> Diagnosis {
    match probed(&std::env::temp_dir()) {
        Some(storage) => Diagnosis::ok(words::storage(&storage)),
        None => Diagnosis::ok("not told by this system"),
    }
}

fn open_files() -> Diagnosis {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files_of(limit.current, limit.maximum)
}

/// Brokers raise their own limit up to the hard one; we live with the soft one. `None`: unlimited.
fn files_of(soft: Option<u64>, hard: Option<u64>) -> Diagnosis {
    let shown =
        |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let enough = |limit: Option<u64>, least: u64| limit.is_none_or(|limit| limit >= least);
    Diagnosis::warn_unless(
        enough(soft, 1024) && enough(hard, FILES),
        format!("{}, hard limit {}", shown(soft), shown(hard)),
        "brokers may run out of connections and segments: `ulimit -n 65536` before the run, as \
        root or by limits.conf(5)",
    )
}

/// `folder` holds a folder per processor.
fn governor(folder: &Path) -> Diagnosis {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found: BTreeSet<String> = entries
        .filter_map(|entry| read(entry.path().join("cpufreq/scaling_governor")))
        .map(|text| text.trim().to_owned())
        .collect();
    if found.is_empty() {
        return Diagnosis::ok(
            "not told here: a virtual machine, whose host decides, or a fixed frequency",
        );
    }
    let steady = found.iter().all(|name| name == "performance");
    let names: Vec<_> = found.into_iter().collect();
    let set = match find("cpupower") {
        Some(_) => String::new(),
        None => format!("; for cpupower, {}", install(Tool::Governor)),
    };
    Diagnosis::warn_unless(
        steady,
        names.join(", "),
        format!(
            "frequencies that follow the load make low rates look slow: `cpupower frequency-set -g \
            performance` as root{set}"
        ),
    )
}

/// Over a second and since the machine's start.
fn steal() -> Diagnosis {
    let Some(first) = machine() else { return Diagnosis::ok("not told by this system") };
    std::thread::sleep(STEAL_WINDOW);
    let last = machine().unwrap_or(first);
    let share = |stolen: u64, busy: u64, idle: u64| {
        stolen as f64 / ((stolen + busy + idle) as f64).max(1.0)
    };
    let now = share(
        last.steal_ns.saturating_sub(first.steal_ns),
        last.busy_ns.saturating_sub(first.busy_ns),
        last.idle_ns.saturating_sub(first.idle_ns),
    );
    stolen(now, share(last.steal_ns, last.busy_ns, last.idle_ns))
}

fn stolen(now: f64, ever: f64) -> Diagnosis {
    Diagnosis::warn_unless(
        now.max(ever) <= STEAL_SHARE,
        format!(
            "{:.1} % of the processors' time now, {:.1} % since the start, taken by other guests",
            now * 100.0,
            ever * 100.0
        ),
        "other machines on this host take its processors, and cells that lose 5 % are invalid: use \
        dedicated cores, or another hour",
    )
}

fn clock_source() -> Diagnosis {
    let (source, cost) = (clock::source(), clock::cost_ns());
    // A clock that has to enter the kernel costs hundreds of nanoseconds for each stamp.
    Diagnosis::warn_unless(
        cost <= 200,
        format!("{source}, {cost} ns a reading"),
        "reading this clock is slow and adds to every stamp; a kernel with `tsc` or `kvm-clock` \
        does better",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_governor_that_follows_the_load_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(governor(folder.path()).level, Level::Ok);
        assert_eq!(governor(&folder.path().join("absent")).level, Level::Ok);
        for (cpu, name) in [("cpu0", "performance\n"), ("cpu1", "performance\n"), ("cpuidle", "")] {
            fs::create_dir_all(folder.path().join(cpu).join("cpufreq")).unwrap();
            if !name.is_empty() {
                fs::write(folder.path().join(cpu).join("cpufreq/scaling_governor"), name).unwrap();
            }
        }
        assert_eq!(governor(folder.path()).level, Level::Ok);
        fs::write(folder.path().join("cpu1/cpufreq/scaling_governor"), "powersave\n").unwrap();
        let found = governor(folder.path());
        assert_eq!((found.level, found.found.as_str()), (Level::Warn, "performance, powersave"));
        assert!(found.remedy.is_some_and(|remedy| remedy.contains("cpupower")));
    }

    #[test]
    fn few_files_are_warned_of() {
        assert_eq!(files_of(Some(1024), Some(1 << 20)).level, Level::Ok);
        assert_eq!(files_of(None, None).level, Level::Ok);
        assert_eq!(files_of(Some(256), Some(1 << 20)).level, Level::Warn);
        assert_eq!(files_of(Some(1024), Some(4096)).level, Level::Warn);
    }

    #[test]
    fn stolen_time_is_warned_of() {
        assert_eq!(stolen(0.0, 0.05).level, Level::Ok);
        assert_eq!(stolen(0.2, 0.01).level, Level::Warn);
        assert_eq!(stolen(0.0, 0.06).level, Level::Warn);
    }
}
