//! The file system under the data of brokers that we start, and what a synced append costs there.

use super::program::read;
use crate::driver::{DataFolder, FolderOwner};
use crate::result::{Storage, SyncCost, files};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const APPENDS: usize = 200;
const BYTES: [u8; 4096] = [0x5a; 4096];
/// Most bytes of Kafka's `meta.properties`, which is a few lines.
const PROPERTIES: u64 = 64 << 10;
const LIMIT: Duration = Duration::from_secs(1);

/// `None` where the kernel does not tell.
pub fn storage(folder: &Path) -> Option<Storage> {
    let mounts = read("/proc/self/mountinfo")?;
    mounted(&mounts, &folder.canonicalize().ok()?)
}

/// The same, with the cost of a synced append: takes a second at most.
pub fn probed(folder: &Path) -> Option<Storage> {
    let fdatasync = sync_cost(folder).ok();
    storage(folder).map(|storage| Storage { fdatasync, ..storage })
}

/// `mounts` as in proc_pid_mountinfo(5). Of two mounts at one place, the later covers the earlier.
pub fn mounted(mounts: &str, folder: &Path) -> Option<Storage> {
    let all = mounts.lines().filter_map(|line| {
        let (mount, origin) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let (point, options) = (PathBuf::from(plain(mount.next()?)), mount.next()?);
        let mut origin = origin.split(' ');
        let (file_system, device) = (origin.next()?, plain(origin.next()?));
        if !folder.starts_with(&point) {
            return None;
        }
        // Those of the file system as a whole follow; where its layers lie is no option.
        let more = origin.next().unwrap_or_default().split(',');
        let more = more.filter(|option| !option.contains('/') && !option.is_empty());
        let mut told: Vec<&str> = options.split(',').collect();
        told.extend(more.filter(|option| !options.split(',').any(|known| known == *option)));
        let in_memory = ["tmpfs", "ramfs", "rootfs"].contains(&file_system)
            || ["/dev/ram", "/dev/zram"].iter().any(|memory| device.starts_with(memory));
        let (file_system, options) = (file_system.to_owned(), told.join(","));
        let found = Storage { file_system, options, device, in_memory, fdatasync: None };
        Some((point.components().count(), found))
    });
    all.max_by_key(|(depth, _)| *depth).map(|(_, found)| found)
}

/// Spaces and the like stand as octal numbers.
fn plain(word: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(word.to_owned(), |word, (code, text)| word.replace(code, text))
}

/// Under the data of a broker that ran already, where it tells the folder and the folder is one of
/// this machine: the process that keeps it runs here, or its cluster's name stands in it. Nothing
/// is written there.
pub fn of_running(data: &DataFolder) -> Option<Storage> {
    let DataFolder { folder, of } = data;
    let here = match of {
        FolderOwner::Process(pid) => {
            let name = read(format!("/proc/{pid}/comm"))?;
            ["redis", "valkey", "keydb"].iter().any(|known| name.starts_with(known))
        }
        FolderOwner::Cluster(cluster) => {
            let told = files::read_within(&folder.join("meta.properties"), PROPERTIES).ok()?;
            let own = format!("cluster.id={cluster}");
            let told = String::from_utf8_lossy(&told);
            !cluster.is_empty() && told.lines().any(|line| line.trim() == own)
        }
    };
    storage(folder).filter(|_| here)
}

/// Of appends to a file of no name, which is gone afterwards.
pub fn sync_cost(folder: &Path) -> io::Result<SyncCost> {
    let mut file = tempfile::tempfile_in(folder)?;
    let begun = Instant::now();
    let mut times = Vec::with_capacity(APPENDS);
    while times.len() < APPENDS && (times.is_empty() || begun.elapsed() < LIMIT) {
        let before = Instant::now();
        file.write_all(&BYTES)?;
        file.sync_data()?;
        times.push(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Ok(SyncCost { appends: times.len() as u32, p50_ns: at(0.5), p99_ns: at(0.99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro,data=writeback
23 22 0:20 / /tmp rw,nosuid shared:2 - tmpfs tmpfs rw,size=100k
24 23 8:1 / /tmp/a\\040disk rw,noatime - xfs /dev/sda1 rw
25 22 0:30 / /layers rw - overlay overlay rw,lowerdir=/l/1:/l/2,upperdir=/u,index=off
26 22 252:0 / /zram rw - ext4 /dev/zram0 rw
";

    #[test]
    fn the_nearest_mount_holds_a_folder() {
        let of = |folder: &str| mounted(MOUNTS, Path::new(folder)).unwrap();
        let root = of("/var/data");
        assert_eq!((root.file_system.as_str(), root.device.as_str()), ("ext4", "/dev/vda1"));
        assert_eq!(root.options, "rw,relatime,errors=remount-ro,data=writeback");
        assert!(!root.in_memory && of("/tmp/x").in_memory && of("/zram").in_memory);
        assert!(!of("/tmpfs").in_memory, "a name that only begins alike");
        assert_eq!(of("/tmp/a disk/kafka").device, "/dev/sda1");
        assert_eq!(of("/layers/x").options, "rw,index=off");
        assert_eq!(mounted("nonsense\n", Path::new("/")), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_of_this_machine_shows_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let of = |of: FolderOwner| of_running(&DataFolder { folder: folder.path().into(), of });
        let cluster = || FolderOwner::Cluster("abc".into());
        assert_eq!(of(cluster()), None, "a folder of the same name");
        std::fs::write(folder.path().join("meta.properties"), "version=1\ncluster.id=abc\n")
            .unwrap();
        assert!(of(cluster()).is_some());
        assert_eq!(of(FolderOwner::Cluster("ab".into())), None, "another cluster's");
        assert_eq!(of(FolderOwner::Cluster(String::new())), None);
        assert_eq!(of(FolderOwner::Process(std::process::id())), None, "not a Redis");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_synced_append_costs_something_and_memory_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let found = probed(folder.path()).unwrap();
        let cost = found.fdatasync.unwrap();
        assert!(cost.appends > 0 && cost.p50_ns > 0 && cost.p50_ns <= cost.p99_ns, "{cost:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
        if let Some(memory) = storage(Path::new("/dev/shm")) {
            assert!(memory.in_memory, "{memory:?}");
        }
    }
}
