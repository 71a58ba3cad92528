//! What a scenario may ask of a Redis Cluster and of sharded channels: as many nodes as one machine
//! can hold, and what the client has a way to do with more than one primary.

use super::fault::{FaultPlan, Heal};
use super::fault_check::Misfit;
use super::system::{ClientLibrary, SystemConfig};
use crate::model::{FaultKind, FaultTarget};
use crate::yaml::Problem;

const MOST_SHARDS: u16 = 6;
const MOST_REPLICAS: u16 = 2;
const MOST_NODES: u16 = 12;

pub(super) fn cluster(label: &str, config: &SystemConfig) -> Result<(), Problem> {
    let refuse = |key: &str, what: &str, remedy: &str| {
        Err(Problem::new(["systems", label].into_iter().chain(key.split('.')), what, remedy))
    };
    if config.sharded && config.library() == ClientLibrary::RedisRs {
        let what = "here it subscribes to channels that are not sharded";
        return refuse("client.library", what, "write `direct`, or remove `sharded`");
    }
    let Some(shards) = config.cluster else { return Ok(()) };
    // What runs elsewhere is as large as it is.
    let here = config.system.service().is_none();
    match () {
        () if shards.shards == 0 || here && shards.shards > MOST_SHARDS => {
            let what = format!("out of range, it is 1 to {MOST_SHARDS}");
            return refuse("nodes.shards", &what, "write `shards: 3`");
        }
        () if here && shards.replicas > MOST_REPLICAS => {
            let what = format!("out of range, it is 0 to {MOST_REPLICAS}");
            return refuse("nodes.replicas", &what, "write `replicas: 1`");
        }
        () if here && shards.nodes() > MOST_NODES => {
            let what = format!("{} nodes in all, more than {MOST_NODES}", shards.nodes());
            return refuse("nodes.replicas", &what, "lower it, or the shards");
        }
        () => {}
    }
    if !config.sentinel.is_empty() {
        let what = "a Cluster promotes replicas by itself, without Sentinels";
        let remedy = "remove it; `broker: {cluster-node-timeout: 1000}` says when a node is down";
        return refuse("sentinel", what, remedy);
    }
    if config.library() == ClientLibrary::RedisRs {
        let what = "here it is connected to one server";
        return refuse("client.library", what, "write `direct`, or remove the key");
    }
    Ok(())
}

/// Why a fault does not fit a Cluster, or needs one.
pub(super) fn unfit(label: &str, config: &SystemConfig, plan: &FaultPlan) -> Option<Misfit> {
    let leads = matches!(plan.target, FaultTarget::Leader | FaultTarget::Primary);
    let Some(shards) = config.cluster else {
        let what = format!("{label} is no Redis Cluster, and has no slots");
        let remedy = "write `nodes: {shards: 3, replicas: 1}`, or leave the label out";
        return (plan.kind() == FaultKind::Reshard).then_some(("kind", what, remedy));
    };
    let what = match (plan.kind(), plan.target) {
        (FaultKind::Reshard, _) if shards.shards == 1 => {
            let what = format!("{label} has one shard: there is no other for its slots");
            return Some(("kind", what, "write `shards: 3`"));
        }
        (FaultKind::Reshard, _) if !leads => {
            let what = "a slot moves away from whoever serves it: that of the first stream";
            return Some(("target", what.into(), "write `target: leader`"));
        }
        (_, FaultTarget::Replica) => {
            "of the nodes of a Redis Cluster, each of which may become a primary, it names none"
        }
        _ if plan.heal() == Heal::Never && shards.replicas == 0 => {
            let what = format!("{label} has no replicas: what the node has could not be read");
            return Some(("for", what, "write a duration such as `5s`, or `replicas: 1`"));
        }
        _ => return None,
    };
    Some(("target", what.into(), "write `target: leader`, which serves the first stream"))
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Experiment, Overrides, Scenario, Shards, from_text};

    fn read(systems: &str, more: &str) -> Result<Scenario, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: {{{systems}}}\n\
             load: {{model: closed}}\n{more}"
        );
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn shards_are_counted_as_nodes_and_shown_as_they_were_written() {
        let scenario = read("redis-streams: {nodes: {shards: 3, replicas: 1}, keys: 3}", "");
        let scenario = scenario.unwrap();
        let config = &scenario.systems[0].1;
        assert_eq!((config.nodes, config.cluster), (6, Some(Shards { shards: 3, replicas: 1 })));
        let row = |key: &str| {
            let key = format!("systems.redis-streams.{key}");
            let row = scenario.resolved().iter().find(|row| row.key == key);
            row.map(|row| (row.value.clone(), row.origin.clone()))
        };
        assert_eq!(row("nodes.shards"), Some(("3".into(), "file".into())));
        assert_eq!(row("nodes.replicas"), Some(("1".into(), "file".into())));
        assert_eq!((row("nodes"), row("cluster.shards")), (None, None));
        let plain = read("redis-streams: {nodes: 3}", "").unwrap();
        assert_eq!((plain.systems[0].1.nodes, plain.systems[0].1.cluster), (3, None));
    }

    #[test]
    fn what_no_cluster_of_one_machine_can_do_is_refused_with_a_remedy() {
        const CLUSTER: &str = "nodes: {shards: 3, replicas: 1}";
        for (systems, key, remedy) in [
            ("redis-streams: {nodes: {shards: 7}}".to_owned(), "nodes.shards", "shards: 3"),
            ("redis-streams: {nodes: {shards: 0}}".to_owned(), "nodes.shards", "shards: 3"),
            (
                "redis-streams: {nodes: {shards: 1, replicas: 3}}".to_owned(),
                "nodes.replicas",
                "replicas: 1",
            ),
            (
                "redis-streams: {nodes: {shards: 6, replicas: 2}}".to_owned(),
                "nodes.replicas",
                "lower",
            ),
            ("redis-streams: {nodes: {shard: 1}}".to_owned(), "nodes.shard", "shards"),
            ("redis-streams: {nodes: many}".to_owned(), "nodes", "replicas: 1"),
            ("kafka: {nodes: {shards: 3}}".to_owned(), "nodes.shards", "topic.partitions"),
            (
                format!("redis-streams: {{{CLUSTER}, sentinel: {{quorum: 2}}}}"),
                "sentinel",
                "cluster-node-timeout",
            ),
            (
                format!("redis-streams: {{{CLUSTER}, client: {{library: redis-rs}}}}"),
                "client.library",
                "direct",
            ),
            (format!("redis-streams: {{{CLUSTER}, wait: 2}}"), "wait", "lower it"),
        ] {
            let error = read(&systems, "").unwrap_err();
            assert!(error.contains(key) && error.contains(remedy), "{systems}: {error}");
        }
    }

    #[test]
    fn every_experiment_runs_on_a_cluster_too() {
        for kind in Experiment::KINDS {
            let (systems, more) =
                ("redis-lists: {nodes: {shards: 3}}", format!("experiment: {{kind: {kind}}}\n"));
            let refused = read(systems, &more).err();
            let refused = refused.filter(|error| error.contains("nodes"));
            assert_eq!(refused, None, "{kind}");
        }
    }

    #[test]
    fn a_slot_moves_from_whoever_serves_it_and_a_primary_can_be_cut_off() {
        let with = |nodes: &str, fault: &str| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: {{redis-lists: {{nodes: {nodes}}}}}\n\
                 load: {{model: open, rate: 1k/s, duration: 60s}}\nfaults: [{{{fault}, at: 5s}}]\n"
            );
            from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
        };
        const CLUSTER: &str = "{shards: 3, replicas: 1}";
        with(CLUSTER, "kind: reshard, target: leader").unwrap();
        with(CLUSTER, "kind: kill, target: primary, for: never").unwrap();
        with(CLUSTER, "kind: net-partition, target: leader, for: 20s").unwrap();
        for (nodes, fault, words) in [
            ("1", "kind: reshard, target: leader", "no slots"),
            ("{shards: 1}", "kind: reshard, target: leader", "shards: 3"),
            (CLUSTER, "kind: reshard", "target: leader"),
            (CLUSTER, "kind: reshard, target: leader, for: 5s", "every"),
            (CLUSTER, "kind: net-partition, target: node", "target: leader"),
            (CLUSTER, "kind: kill, target: replica", "target: leader"),
            ("{shards: 3}", "kind: kill, target: leader, for: never", "replicas: 1"),
        ] {
            let refused = with(nodes, fault).unwrap_err();
            assert!(refused.contains(words), "{fault} of {nodes}: {refused}");
        }
    }

    #[test]
    fn only_channels_are_sharded_and_only_redis_has_two_servers() {
        let config = |systems: &str| read(systems, "").map(|read| read.systems[0].1.clone());
        assert!(config("redis-pubsub: {sharded: true}").unwrap().sharded);
        assert!(config("redis-streams: {sharded: true}").unwrap_err().contains("sharded"));
        assert!(config("redis-lists: {server: valkey}").unwrap().server.is_some());
        assert!(config("kafka: {server: valkey}").unwrap_err().contains("server"));
        config("redis-lists: {broker: {cluster-node-timeout: 1000}}").unwrap();
        assert!(config("redis-lists: {broker: {cluster-enabled: 'yes'}}").is_err());
    }
}
