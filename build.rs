//! Compiles the library that is loaded into brokers to fault their disks; the program carries it (`src/fault/disk`).
//!
//! On Linux only. It is linked to no C library, so that one file serves brokers of any.

use std::error::Error;
use std::path::Path;

const SOURCE: &str = "preload/shim.c";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    if std::env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(());
    }
    let shim = Path::new(&std::env::var("OUT_DIR")?).join("shim.so");
    let status = cc::Build::new()
        .warnings(true)
        .extra_warnings(true)
        // Optimised in every profile: it stands in the broker's way, not in ours.
        .opt_level(2)
        .debug(false)
        .pic(true)
        .try_get_compiler()?
        .to_command()
        .args(["-shared", "-nostdlib", "-std=gnu11", "-fvisibility=default", "-U_FORTIFY_SOURCE", "-fno-builtin"])
        .args(["-fno-stack-protector", SOURCE, "-o"])
        .arg(&shim)
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("the C compiler could not build {SOURCE}: {status}").into()) }
}
