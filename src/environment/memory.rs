//! Memory that we and the brokers that we start may have: the machine's, within the limits of our
//! control group and those around it (versions 1 and 2).

use super::program::read;
use std::path::Path;

/// What can still be allocated without swapping, in bytes.
pub fn memory_available() -> Option<u64> {
    let left = group_memory().map(|group| group.left);
    [memory_info("MemAvailable:"), left].into_iter().flatten().min()
}

/// What there is, in bytes.
pub fn memory_total() -> Option<u64> {
    let limit = group_memory().map(|group| group.limit);
    [memory_info("MemTotal:"), limit].into_iter().flatten().min()
}

/// A field of /proc/meminfo, in bytes.
pub fn memory_info(field: &str) -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The tightest of our control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMemory {
    pub limit: u64,
    /// What is left: the page cache counts as used, and is given up for whoever asks for memory.
    pub left: u64,
}

/// `None` where there is no limit.
pub fn group_memory() -> Option<GroupMemory> {
    within(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup")?)
}

/// What a version of control groups calls its files, and the fields of its `memory.stat`.
struct Names {
    limit: &'static str,
    used: &'static str,
    cache: [&'static str; 2],
}

const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: ["total_active_file", "total_inactive_file"],
};
const V2: Names =
    Names { limit: "memory.max", used: "memory.current", cache: ["active_file", "inactive_file"] };
/// Version 1 has no word for "no limit": it tells the largest number of whole pages.
const UNLIMITED: u64 = 1 << 62;

/// `groups` is /proc/self/cgroup. In a container it may name a group of the host's, which is not
/// there: then what is mounted is the container's own.
fn within(mount: &Path, groups: &str) -> Option<GroupMemory> {
    let tightest = |a: GroupMemory, b: GroupMemory| GroupMemory {
        limit: a.limit.min(b.limit),
        left: a.left.min(b.left),
    };
    let bounds = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let (top, names) = match controllers {
            "" => (mount.to_owned(), V2),
            some if some.split(',').any(|name| name == "memory") => (mount.join("memory"), V1),
            _ => return None,
        };
        let own = top.join(path);
        let around = own.ancestors().take_while(|folder| folder.starts_with(&top));
        around.filter_map(|folder| names.bound(folder)).reduce(tightest)
    });
    bounds.reduce(tightest)
}

impl Names {
    fn bound(&self, folder: &Path) -> Option<GroupMemory> {
        let number = |file: &str| read(folder.join(file))?.trim().parse::<u64>().ok();
        let limit = number(self.limit).filter(|limit| *limit < UNLIMITED)?;
        let stat = read(folder.join("memory.stat")).unwrap_or_default();
        let fields = stat.lines().filter_map(|line| line.split_once(' '));
        let files = fields.filter(|(name, _)| self.cache.contains(name));
        let cache: u64 = files.filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).sum();
        let used = number(self.used).unwrap_or(0).saturating_sub(cache);
        Some(GroupMemory { limit, left: limit.saturating_sub(used) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(folder: &Path, file: &str, text: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
    }

    #[test]
    fn the_page_cache_of_a_control_group_is_free_memory() {
        let top = tempfile::tempdir().unwrap();
        let group = top.path().join("a/b");
        let found = || within(top.path(), "0::/a/b\n").map(|group| (group.limit, group.left));
        assert_eq!(found(), None);
        write(&group, "memory.max", "1000\n");
        write(&group, "memory.current", "900\n");
        assert_eq!(found(), Some((1000, 100)));
        let stat = "anon 200\nfile 700\ninactive_file 400\nactive_file 100\nshmem 200\n";
        write(&group, "memory.stat", stat);
        assert_eq!(found(), Some((1000, 600)));
        // The tightest of those around it counts.
        write(&top.path().join("a"), "memory.max", "max\n");
        assert_eq!(found(), Some((1000, 600)));
        write(&top.path().join("a"), "memory.max", "50\n");
        assert_eq!(found(), Some((50, 50)));
    }

    #[test]
    fn version_one_has_other_names_and_a_container_sees_only_its_own_group() {
        let top = tempfile::tempdir().unwrap();
        let groups = "11:cpu,cpuacct:/c\n9:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n";
        let own = top.path().join("memory");
        let found = || within(top.path(), groups);
        write(&own, "memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(found(), None, "as good as none");
        write(&own, "memory.limit_in_bytes", "1000\n");
        write(&own, "memory.usage_in_bytes", "700\n");
        write(&own, "memory.stat", "inactive_file 1\ntotal_inactive_file 300\n");
        assert_eq!(found(), Some(GroupMemory { limit: 1000, left: 600 }));
        write(&own.join("docker/abc"), "memory.limit_in_bytes", "500\n");
        assert_eq!(found(), Some(GroupMemory { limit: 500, left: 500 }));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn there_is_some() {
        assert!(memory_available().unwrap() > 1 << 20);
        assert!(memory_total() >= memory_available());
    }
}
