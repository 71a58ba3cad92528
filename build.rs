//! Lists the scenarios that the program carries, and compiles the library that is loaded into
//! brokers to fault their disks (`src/fault/disk`).

use std::error::Error;
use std::path::{Path, PathBuf};

const SCENARIOS: &str = "scenarios";
const SOURCE: &str = "preload/shim.c";

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
    if std::env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        shim(&out.join("shim.so"))
    } else {
        Ok(())
    }
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
