//! What a service of AWS allows, known before anything is sent: what no setting of ours would
//! change is refused here, with what to write instead. Limits by AWS's documentation, in November
//! 2026; `docs/aws.md` names the pages.

use super::cell::{Cell, Message};
use super::fault::FaultPlan;
use super::load::Load;
use super::system::{ClusterType, SystemConfig};
use crate::model::{MessageStore, Service, System};
use crate::units::{Bytes, Span};
use crate::yaml::Problem;

/// Of a topic on MSK Serverless.
const SERVERLESS_LARGEST: Bytes = Bytes(8 << 20);
/// What a record carries beside its message.
const RECORD_OVERHEAD: u64 = 128;
/// Connections that one broker of MSK holds, logged in by IAM.
const MSK_CONNECTIONS: u32 = 3000;
/// New ones that it takes in a second; clients are made more slowly than that.
const MSK_NEW_PER_S: u32 = 100;
/// Written to one primary of MemoryDB in a second, at most.
const MEMORYDB_BYTES_PER_S: f64 = 100e6;
/// After which MemoryDB cuts a connection that logged in by IAM and has not signed in again: a
/// subscriber of Pub/Sub cannot.
const MEMORYDB_SESSION: Span = Span::from_secs(12 * 3600);

pub(super) fn check(
    label: &str,
    config: &SystemConfig,
    load: &Load,
    message: &Message,
    faults: &[FaultPlan],
) -> Result<(), Problem> {
    let Some(service) = config.system.service() else { return Ok(()) };
    if let Some(index) = faults.iter().position(|plan| !plan.kind().is_ours()) {
        let what = format!("{label} runs at AWS, whose machines are not ours to break");
        let remedy = "leave the label out, or write `kind: slow-consumer` or `consumer-kill`";
        return Err(Problem::new(["faults", &index.to_string(), "kind"], what, remedy));
    }
    if service == Service::Memorydb && config.cluster.is_none() {
        let what = "MemoryDB is always a cluster, also of one shard";
        let remedy = "write `nodes: {shards: 1, replicas: 1}` as it was made, or remove the key";
        return Err(Problem::new(["systems", label, "nodes"], what, remedy));
    }
    if service != Service::Msk {
        return Ok(());
    }
    msk_topic(label, config, message)?;
    let wanted = connections(load);
    if wanted > MSK_CONNECTIONS {
        let what = format!(
            "{wanted} connections to each broker: one of MSK takes {MSK_CONNECTIONS} that log in \
             by IAM"
        );
        let remedy = "lower it, or `producers`, `subscriptions` or `consumers`";
        return Err(Problem::new(["load", "connections"], what, remedy));
    }
    Ok(())
}

/// What a cluster of its type lets a topic be.
fn msk_topic(label: &str, config: &SystemConfig, message: &Message) -> Result<(), Problem> {
    let topic = |key: &[&str], what: String, remedy: &str| {
        let path = ["systems", label, "topic"].into_iter().chain(key.iter().copied());
        Err(Problem::new(path, what, remedy))
    };
    let set = |key: &str| config.topic.config.get(key).map(String::as_str);
    let fixed = match config.cluster_type {
        None | Some(ClusterType::Standard) => return Ok(()),
        Some(ClusterType::Express) => "on Express brokers",
        Some(ClusterType::Serverless) => "on MSK Serverless",
    };
    if config.topic.replicas != 3 && config.existing().is_none() {
        let what = format!("{fixed} a partition has three copies, no more and no fewer");
        return topic(&["replicas"], what, "write `replicas: 3`, or remove the key");
    }
    if set("min.insync.replicas").is_some_and(|copies| copies != "2") {
        let what = format!("{fixed} it is 2");
        return topic(&["config", "min.insync.replicas"], what, "remove the key");
    }
    if config.cluster_type != Some(ClusterType::Serverless) {
        return Ok(());
    }
    if set("segment.bytes").or(set("segment.ms")).is_some() {
        let key = if set("segment.bytes").is_some() { "segment.bytes" } else { "segment.ms" };
        let what = format!("{fixed} nobody sets the size or the age of a segment");
        return topic(&["config", key], what, "remove the key");
    }
    let raised = set("max.message.bytes").and_then(|bytes| bytes.parse::<u64>().ok());
    if raised.is_some_and(|bytes| bytes > SERVERLESS_LARGEST.0) {
        let what = format!("{fixed} the largest message is {SERVERLESS_LARGEST}");
        return topic(&["config", "max.message.bytes"], what, "write `8388608` or less");
    }
    if message.size.0 + RECORD_OVERHEAD > SERVERLESS_LARGEST.0 {
        let what = format!("{label}: {fixed} the largest message is {SERVERLESS_LARGEST}");
        return Err(Problem::new(["message", "size"], what, "lower it, or leave the label out"));
    }
    Ok(())
}

/// That the load opens to each broker, at least.
fn connections(load: &Load) -> u32 {
    u32::from(load.producers) * u32::from(load.connections)
        + u32::from(load.subscriptions) * u32::from(load.consumers)
}

/// What will run at a service, but not as its author may expect.
pub(super) fn warnings(cell: &Cell) -> Vec<String> {
    let (load, label) = (&cell.load, &cell.label);
    let new = connections(load);
    let slowly = cell.config.system == System::Msk && new > MSK_NEW_PER_S;
    let slowly = slowly.then(|| {
        format!(
            "{label}: a broker of MSK takes {MSK_NEW_PER_S} new connections a second, so {new} \
             clients are made over {} s",
            new.div_ceil(MSK_NEW_PER_S / 2)
        )
    });
    let stages = load.stages.iter().flat_map(|stage| [stage.from, stage.to]);
    let highest = load.rate.into_iter().chain(stages).map(|rate| rate.per_s()).fold(0.0, f64::max);
    let written = highest * cell.message.mean_bytes();
    let primaries = cell.config.cluster.map_or(1, |cluster| cluster.shards);
    let much = cell.config.system.service() == Some(Service::Memorydb)
        && cell.experiment.is_none()
        && written > MEMORYDB_BYTES_PER_S * f64::from(primaries);
    let much = much.then(|| {
        format!(
            "{label}: {:.0} MB/s are offered at {}, and a primary of MemoryDB takes 100 MB/s, of \
             which there are {primaries}",
            written / 1e6,
            cell.point
        )
    });
    let subscribed = cell.config.system.service() == Some(Service::Memorydb)
        && cell.config.system.store() == MessageStore::Nothing;
    let cut = (subscribed && load.duration > MEMORYDB_SESSION).then(|| {
        format!(
            "{label}: MemoryDB cuts a subscriber that logged in by IAM after {MEMORYDB_SESSION}, \
             and `load.duration` is {}",
            load.duration
        )
    });
    slowly.into_iter().chain(much).chain(cut).collect()
}

#[cfg(test)]
mod tests {
    use crate::scenario::{ClusterType, Overrides, Scenario, from_text};

    fn read(systems: &str, load: &str, more: &str) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {{{systems}}}\nload: {{{load}}}\n{more}"
        );
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    const LOAD: &str = "model: open, rate: 1k/s";

    #[test]
    fn a_topic_on_msk_has_three_copies_and_what_its_cluster_allows() {
        let config = |systems: &str| {
            read(systems, LOAD, "").map(|scenario| scenario.systems[0].1.clone()).unwrap()
        };
        let standard = config("msk: {}");
        assert_eq!((standard.topic.replicas, standard.nodes), (3, 3));
        assert_eq!(standard.cluster_type, Some(ClusterType::Standard));
        assert_eq!(standard.topic.config["min.insync.replicas"], "2");
        assert_eq!(config("msk: {topic: {replicas: 2}}").topic.replicas, 2);
        let express = config("msk: {cluster-type: express}");
        assert!(express.topic.config.is_empty(), "it is AWS's to set");
        for (systems, key) in [
            ("msk: {cluster-type: express, topic: {replicas: 2}}", "replicas: 3"),
            (
                "msk: {cluster-type: express, topic: {config: {min.insync.replicas: 1}}}",
                "min.insync.replicas",
            ),
            (
                "msk: {cluster-type: serverless, topic: {config: {segment.bytes: 1048576}}}",
                "segment",
            ),
            (
                "msk: {cluster-type: serverless, topic: {config: {max.message.bytes: 8388609}}}",
                "8MiB",
            ),
            ("msk: {broker: {num.io.threads: 8}}", "broker"),
            ("msk: {heap: 1GiB}", "heap"),
            ("msk: {nodes: 3}", "nodes"),
            ("kafka: {cluster-type: express}", "cluster-type"),
            ("memorydb-streams: {broker: {appendonly: 'yes'}}", "parameter group"),
            ("memorydb-lists: {wait: 1}", "wait"),
            ("memorydb-lists: {nodes: 3}", "shards: 1"),
            ("memorydb-lists: {server: valkey}", "parameter group"),
            ("memorydb-lists: {consume: {mode: group}}", "pop"),
            ("sns: {topic: {partitions: 2}}", "topic"),
        ] {
            let error = read(systems, LOAD, "").unwrap_err();
            assert!(error.contains(key), "{systems}: {error}");
        }
        let large = read("msk: {cluster-type: serverless}", LOAD, "message: {size: 9MiB}\n");
        assert!(large.unwrap_err().contains("message.size"));
    }

    #[test]
    fn explain_shows_what_is_open_and_what_a_service_makes_slow() {
        let many = "model: closed, producers: 20, connections: 10";
        let scenario = read("msk: {}", many, "").unwrap();
        let explained = scenario.explain();
        assert!(explained.contains("systems.msk.cluster-type") && explained.contains("standard"));
        assert!(!explained.contains("systems.msk.nodes") && !explained.contains("heap"));
        assert!(explained.contains("100 new connections a second"), "{explained}");
        let too_many = "model: closed, producers: 100, connections: 31, in-flight: 1000";
        assert!(read("msk: {}", too_many, "").unwrap_err().contains("3000"));
        assert!(read("kafka: {}", too_many, "").is_ok());
        let much = read("memorydb-lists: {}", "model: open, rate: 200k/s", "").unwrap().explain();
        assert!(much.contains("100 MB/s"), "{much}");
    }

    #[test]
    fn what_runs_at_aws_is_not_broken() {
        let load = "model: open, rate: 1k/s, duration: 60s";
        let kill = "faults: [{kind: kill, at: 5s, for: 5s}]\n";
        let error = read("msk: {}", load, kill).unwrap_err();
        assert!(error.contains("faults[0].kind") && error.contains("not ours"), "{error}");
        read("memorydb-streams: {}", load, "faults: [{kind: consumer-kill, at: 5s}]\n").unwrap();
    }
}
