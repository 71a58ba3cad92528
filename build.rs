//! Lists the scenarios that the program carries, and compiles the library that is loaded into
//! brokers to fault their disks (`src/fault/disk`). Tells the program the commit of its sources.

use std::error::Error;
use std::path::{Path, PathBuf};

const SCENARIOS: &str = "scenarios";
const SOURCE: &str = "preload/shim.c";
/// The commit of sources that lie in no git tree: for archives and images.
const COMMIT: &str = "SOURCE_COMMIT";
/// What is compiled or built in.
const COMPILED: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "src",
    "scenarios",
    "preload",
    "assets",
    "scripts/kafka",
    "docker-compose.yml",
    "docker-compose.published.yml",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={SCENARIOS}");
    let mut scenarios = Vec::new();
    list(Path::new(SCENARIOS), "", &mut scenarios)?;
    scenarios.sort();
    // Beside the manifest, wherever that lies when the program is compiled:
    // the folder may be moved.
    let beside = r#"concat!(env!("CARGO_MANIFEST_DIR"), "/", "#;
    let entry = |(name, path): &(String, PathBuf)| {
        format!("({name:?}, include_str!({beside}{path:?}))),\n")
    };
    let entries: String = scenarios.iter().map(entry).collect();
    std::fs::write(out.join("scenarios.rs"), format!("&[{entries}]"))?;
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rustc-env=BROKERBENCH_COMMIT={}", commit()?);
    if std::env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        shim(&out.join("shim.so"))
    } else {
        Ok(())
    }
}

/// The commit, ending in `-dirty` where what is compiled differs from it; empty where nobody tells.
/// Of a debug build it is empty too: to keep it true would compile all of it anew after each
/// commit, and what is published was measured by a release.
fn commit() -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={COMMIT}");
    if let Ok(told) = std::env::var(COMMIT).map(|told| told.trim().to_owned())
        && !told.is_empty()
    {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        return match told.chars().all(plain) {
            true => Ok(told),
            false => Err(format!("{COMMIT} is no name of a commit: {told:?}").into()),
        };
    }
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // An archive that was unpacked inside of another project's tree is not of its commits.
    let ours = || git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let head = || git(&["rev-parse", "--verify", "HEAD"]).filter(|_| ours());
    let Some(head) = release.then(head).flatten() else { return Ok(String::new()) };
    // The log has one line for each commit and checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    let watched = COMPILED.into_iter().map(PathBuf::from).chain(log.map(PathBuf::from));
    for path in watched.filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let status = git(&[&["status", "--porcelain", "--"], &COMPILED[..]].concat());
    let clean = status.is_some_and(|status| status.is_empty());
    Ok(if clean { head } else { format!("{head}-dirty") })
}

/// What git prints; `None` where it fails or is not there.
fn git(args: &[&str]) -> Option<String> {
    let output = std::process::Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Every scenario below a folder with its name, such as `faults/bitflip`.
fn list(
    folder: &Path,
    prefix: &str,
    found: &mut Vec<(String, PathBuf)>,
) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            list(&path, &format!("{prefix}{stem}/"), found)?;
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push((format!("{prefix}{stem}"), path));
        }
    }
    Ok(())
}

/// Linked to no C library, so that one file serves brokers of any.
fn shim(shim: &Path) -> Result<(), Box<dyn Error>> {
    let status = cc::Build::new()
        .warnings(true)
        .extra_warnings(true)
        // Optimised in every profile: it stands in the broker's way, not in ours.
        .opt_level(2)
        .debug(false)
        .pic(true)
        .try_get_compiler()?
        .to_command()
        .args([
            "-shared",
            "-nostdlib",
            "-std=gnu11",
            "-fvisibility=default",
            "-U_FORTIFY_SOURCE",
            "-fno-builtin",
        ])
        .args(["-fno-stack-protector", SOURCE, "-o"])
        .arg(shim)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the C compiler could not build {SOURCE}: {status}").into())
    }
}
