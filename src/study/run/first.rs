//! The manifest as it stands before anything has run, and what the machine is. Nothing here changes anything.

use super::Study;
use crate::clock;
use crate::result::{Host, Manifest, RunFolder, SCHEMA, Status};
use std::collections::BTreeMap;

/// The manifest as it stands before anything has run: a run that is killed is an interrupted one.
pub fn manifest(study: &Study<'_>, folder: &RunFolder) -> Manifest {
    let scenario = study.scenario;
    Manifest {
        schema: SCHEMA,
        run: folder.name().to_owned(),
        status: Status::Interrupted,
        exit_code: 130,
        started_at: folder.epoch().to_string(),
        finished_at: None,
        command_line: study.command_line.clone(),
        brokerbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: scenario.info(),
        profile: scenario.profile.clone(),
        environment: study.environment.name().to_owned(),
        environment_because: study.environment_because.clone(),
        network_path: study.environment.network_path(),
        seed: scenario.seed,
        order: Vec::new(),
        blocks: scenario.blocks,
        host: host(),
        systems: BTreeMap::new(),
        selfcheck: study.selfcheck.clone(),
        cold_start: BTreeMap::new(),
        rates_found: BTreeMap::new(),
        warnings: scenario.warnings(),
        provided: BTreeMap::new(),
    }
}

fn host() -> Host {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let value = text.lines().find(|line| line.starts_with(name))?.split_once(':')?.1;
        Some(value.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let uname = rustix::system::uname();
    Host {
        name: uname.nodename().to_string_lossy().into_owned(),
        kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        memory_bytes: memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024,
        clock_source: clock::source(),
        clock_cost_ns: clock::cost_ns(),
    }
}
