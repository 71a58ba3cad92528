//! The trampoline between janitor and broker: asks the kernel to kill this process when the janitor
//! ends, then becomes the broker, under the same process id.
//!
//! It runs in the forked child, where the janitor may already have died unnoticed; hence the look
//! at the parent *after* the request.

use crate::fault::disk::{PRELOAD, SHIM};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `__exec <pid of the janitor> <program> <arguments…>`; returns only when it failed, with a line
/// on stderr (the log).
pub fn run(mut args: impl Iterator<Item = OsString>) -> u8 {
    let janitor = args.next().and_then(|pid| pid.to_str()?.parse::<i32>().ok());
    let Some(program) = args.next() else { return 2 };
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        eprintln!("brokerbench: cannot tie {} to the janitor: {error}", program.display());
        return 126;
    }
    if rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get()) != janitor {
        return 126;
    }
    let mut command = Command::new(&program);
    if let Some(mut libraries) = std::env::var_os(SHIM) {
        // Only now: loaded into this process, the library would say that it was loaded into the
        // broker.
        if let Some(others) = std::env::var_os(PRELOAD) {
            libraries.push(":");
            libraries.push(others);
        }
        command.env(PRELOAD, libraries).env_remove(SHIM);
    }
    let error = command.args(args).exec();
    eprintln!("brokerbench: cannot run {}: {error}", program.display());
    127
}
