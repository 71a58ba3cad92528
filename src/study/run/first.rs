//! What is known before anything has run: the manifest, the machine, and what its fault proxy
//! costs.

use super::{RunPart, Study};
use crate::clock;
use crate::environment::memory_total;
use crate::fault::proxy::{Cost, cost};
use crate::result::{Build, EMULATED, Host, Manifest, RunFolder, SCHEMA, Status, words};
use crate::scenario::{Scenario, SystemConfig};

/// Round trips, and bytes in each direction.
const PINGS: usize = 5_000;
const BULK: u64 = 256 << 20;

/// The manifest as it stands before anything has run: a run that is killed is an interrupted one.
pub fn manifest(study: &Study<'_>, folder: &RunFolder) -> Manifest {
    let scenario = study.scenario;
    let emulates = |(_, of): &(_, SystemConfig)| study.environment.emulates(of.system);
    let emulated = scenario.systems.iter().any(emulates);
    let environment = if emulated { EMULATED } else { study.environment.name() };
    let note = "something else answers in place of the service: what it shows is how the harness \
                works, no figure of AWS, and it enters no comparison";
    let warnings = scenario.warnings().into_iter().chain(emulated.then(|| note.to_owned()));
    Manifest {
        schema: SCHEMA,
        run: folder.name().to_owned(),
        status: Status::Interrupted,
        exit_code: 130,
        started_at: folder.epoch().to_string(),
        command_line: study.command_line.clone(),
        tags: study.tags.clone(),
        brokerbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        build: Some(Build::this().clone()),
        scenario: scenario.info(),
        profile: scenario.profile.clone(),
        environment: environment.to_owned(),
        environment_because: study.environment_because.clone(),
        network_path: study.environment.network_path(),
        seed: scenario.seed,
        blocks: scenario.blocks,
        host: host(),
        selfcheck: study.selfcheck.clone(),
        warnings: warnings.collect(),
        sharded: study.part.as_ref().map(RunPart::info),
        ..Manifest::default()
    }
}

fn host() -> Host {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find(|line| line.starts_with("model name"));
    let cpu =
        model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    let uname = rustix::system::uname();
    Host {
        name: uname.nodename().to_string_lossy().into_owned(),
        kernel: format!(
            "{} {}",
            uname.sysname().to_string_lossy(),
            uname.release().to_string_lossy()
        ),
        cpu: cpu.to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        memory_bytes: memory_total().unwrap_or(0),
        clock_source: clock::source(),
        clock_cost_ns: clock::cost_ns(),
    }
}

/// What the fault proxy adds to every figure of the labels that go through it, measured by itself;
/// `None` where no client does.
pub fn proxy_cost(scenario: &Scenario) -> Option<String> {
    let labels = scenario
        .systems
        .iter()
        .filter(|(_, config)| config.proxied)
        .map(|(label, _)| label.as_str());
    let labels = labels.collect::<Vec<_>>().join(", ");
    let words = |found: Cost| told(&labels, &found);
    (!labels.is_empty()).then(|| {
        cost(PINGS, BULK).map_or_else(
            |error| format!("{labels}: clients go through the fault proxy; {error}"),
            words,
        )
    })
}

fn told(labels: &str, cost: &Cost) -> String {
    let time = |ns: u64| words::time(ns as f64);
    let rate = |bytes_per_s: f64| format!("{:.0} MB/s", bytes_per_s / 1e6);
    format!(
        "{labels}: clients go through the fault proxy, which adds {} to a round trip at the median \
         and {} at p99, and carries {} each way where loopback carries {}",
        time(cost.added_p50_ns()),
        time(cost.added_p99_ns()),
        rate(cost.proxied.bytes_per_s),
        rate(cost.direct.bytes_per_s),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::proxy::Leg;

    #[test]
    fn both_ways_stand_side_by_side() {
        let leg = |p50_ns, p99_ns, bytes_per_s| Leg { pings: 10, p50_ns, p99_ns, bytes_per_s };
        let found = Cost { direct: leg(10_000, 30_000, 3e9), proxied: leg(25_000, 90_000, 9e8) };
        assert_eq!(
            told("kafka, redis-lists", &found),
            "kafka, redis-lists: clients go through the fault proxy, which adds 15.0 µs to a round \
             trip at the median and 60.0 µs at p99, and carries 900 MB/s each way where loopback \
             carries 3000 MB/s"
        );
    }

    #[test]
    fn only_those_who_go_through_it_are_told() {
        let with = |faults: &str| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-streams]\nmessage: \
                 {{size: 100B}}\n{faults}load: \
                 {{model: open, rate: 1k/s, duration: 20s, in-flight: 65536}}\n"
            );
            proxy_cost(
                &crate::scenario::from_text("t", &text, &crate::scenario::Overrides::default())
                    .unwrap(),
            )
        };
        assert_eq!(with(""), None);
        assert!(with("faults: [{kind: net-stall, at: 1s, for: 1s}]\n").unwrap().contains("adds"));
    }
}
