//! The library at work in a small program, `dd`: what it syncs is noted, and its writes are slowed
//! down and refused.

use super::*;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Disk {
    folder: tempfile::TempDir,
    preload: Preload,
}

impl Disk {
    /// With files that are there before the broker is: `settled`, of 100 bytes.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("settled"), [1; 100]).unwrap();
        let preload = Preload::prepare(&folder.path().join("preload"), &data).unwrap();
        Self { folder, preload }
    }

    /// Whether `dd` wrote so many thousand bytes to a file of the data folder.
    fn dd(&self, file: &str, thousands: u32, how: &[&str]) -> bool {
        let to = format!("of={}", self.folder.path().join("data").join(file).display());
        let mut environment = self.preload.environment();
        let library = environment.remove(SHIM).unwrap();
        Command::new("dd")
            .args(["if=/dev/zero", "bs=1000", &format!("count={thousands}"), &to])
            .args(how)
            .envs(environment)
            .env("LD_PRELOAD", library)
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn length(&self, file: &str) -> u64 {
        fs::metadata(self.folder.path().join("data").join(file)).unwrap().len()
    }
}

const SYNC: &str = "conv=fsync,notrunc";
const APPEND: [&str; 2] = ["oflag=append", "conv=notrunc"];

#[test]
fn what_was_not_synced_is_lost_and_nothing_else() {
    let mut disk = Disk::new();
    assert!(disk.preload.verify("dd").unwrap_err().to_string().contains("not loaded into dd"));
    assert!(disk.dd("synced", 3, &[SYNC]) && disk.dd("log", 3, &["conv=fdatasync,notrunc"]));
    assert!(
        disk.dd("log", 2, &APPEND) && disk.dd("never", 4, &[]) && disk.dd("0.timeindex", 1, &[])
    );
    assert!(disk.dd("settled", 1, &APPEND));
    disk.preload.verify("dd").unwrap();
    assert_eq!(disk.preload.seen().unwrap().syncs, 2);

    let lost = disk.preload.lose().unwrap();
    let cuts = lost
        .files
        .iter()
        .map(|cut| (cut.path.file_name().unwrap().to_str().unwrap(), cut.from, cut.to));
    let expected = [("log", 5000, 3000), ("never", 4000, 0), ("settled", 1100, 100)];
    assert_eq!(cuts.collect::<Vec<_>>(), expected);
    assert_eq!(lost.bytes(), 7000);
    for (file, length) in
        [("log", 3000), ("never", 0), ("settled", 100), ("synced", 3000), ("0.timeindex", 1000)]
    {
        assert_eq!(disk.length(file), length, "{file}");
    }
    // What is left is on disk.
    assert!(disk.preload.lose().unwrap().files.is_empty());
}

#[test]
fn a_file_that_was_replaced_or_cut_short_keeps_no_credit() {
    let disk = Disk::new();
    let path = disk.folder.path().join("data/log");
    for _ in 0..5 {
        assert!(disk.dd("log", 3, &[SYNC]));
        fs::remove_file(&path).unwrap();
        // Births are as fine as the kernel's tick.
        std::thread::sleep(Duration::from_millis(20));
        assert!(disk.dd("log", 2, &[]));
        assert_eq!(disk.preload.at_risk().unwrap().bytes(), 2000);
        fs::remove_file(&path).unwrap();
    }
    assert!(disk.dd("log", 3, &[SYNC]));
    // Cuts at 1000 and writes on.
    assert!(disk.dd("log", 2, &["seek=1"]));
    assert_eq!(disk.preload.at_risk().unwrap().bytes(), 2000);
}

#[test]
fn a_full_disk_takes_what_fits_and_refuses_the_rest_until_it_is_healed() {
    let disk = Disk::new();
    disk.preload.set(DiskFault::Full { room: 1500 }).unwrap();
    assert!(!disk.preload.seen().unwrap().arrived);
    assert!(!disk.dd("log", 3, &[]));
    assert_eq!(disk.length("log"), 1500);
    let seen = disk.preload.seen().unwrap();
    assert!(seen.arrived && seen.refused > 0, "{seen:?}");
    // Not of the data folder.
    assert!(disk.dd("../outside", 3, &[]));
    disk.preload.set(DiskFault::None).unwrap();
    assert!(disk.dd("log", 3, &[]));
    assert_eq!(disk.length("log"), 3000);
}

#[test]
fn a_slow_disk_delays_syncs() {
    let disk = Disk::new();
    let took = |fault| {
        disk.preload.set(fault).unwrap();
        let begun = Instant::now();
        assert!(disk.dd("log", 2, &[SYNC]));
        begun.elapsed()
    };
    let sync = Duration::from_millis(300);
    assert!(took(DiskFault::Slow { sync }) >= sync);
    assert_eq!(disk.preload.seen().unwrap().delayed, 1);
    took(DiskFault::None);
    assert_eq!(
        disk.preload.seen().unwrap(),
        DiskEffects { arrived: true, delayed: 1, syncs: 2, refused: 0 }
    );
}
