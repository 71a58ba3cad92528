//! What is refused before anything is started, because of the machine or of whose brokers they are.

use super::Study;
use crate::environment::EnvironmentError;
use crate::model::Software;
use crate::scenario::{Cell, FaultPlan, Model, Scenario, SystemConfig};
use crate::schedule::{Shard, Share};

/// Nothing is broken that we did not start.
pub fn faults_of_others(study: &Study<'_>) -> Result<(), EnvironmentError> {
    let cells = study.scenario.cells();
    let mut kinds = cells.iter().flat_map(|cell| &cell.faults).map(FaultPlan::kind);
    match kinds.find(|kind| !kind.is_ours()) {
        Some(kind) if study.environment.name() == "external" => {
            Err(EnvironmentError::Refused(format!(
                "`{}` is not done to brokers that brokerbench did not start: use `--env native`",
                kind.name()
            )))
        }
        _ => Ok(()),
    }
}

/// What is started here fits on one machine.
pub fn clusters_of_others(scenario: &Scenario) -> Result<(), EnvironmentError> {
    let unfit = |(label, config): &(String, SystemConfig)| {
        config.only_elsewhere().map(|why| format!("`systems.{label}` has {why}"))
    };
    let unfit: Vec<String> = scenario.systems.iter().filter_map(unfit).collect();
    if unfit.is_empty() {
        return Ok(());
    }
    let remedy = "change that, or name brokers that run already (--kafka, --redis, --targets)";
    Err(EnvironmentError::refused(unfit.join("\n"), remedy))
}

/// Threads that never sleep take the core of a broker where there are not enough: then they would
/// be measured. A broker that somebody else runs may have cores elsewhere.
pub fn to_spin_on(
    cores: u64,
    scenario: &Scenario,
    with_brokers: bool,
) -> Result<(), EnvironmentError> {
    for cell in scenario.cells() {
        let (spinning, brokers) = (cell.load.spinning(), u64::from(cell.config.nodes));
        let needed = spinning + if with_brokers { brokers } else { 0 };
        if spinning > 0 && needed > cores {
            return Err(EnvironmentError::Refused(format!(
                "`load.pacer: spin` takes {spinning} cores for producers and consumers of `{}` \
                 beside {brokers} of its brokers, {needed} in all, and this machine has {cores}: \
                 write `load.pacer: sleep`, or use fewer producers and consumers",
                cell.label
            )));
        }
    }
    Ok(())
}

/// What a client of librdkafka opens besides a socket to each broker and one to find them by.
const OF_A_KAFKA_CLIENT: u64 = 8;
/// What this process opens besides its clients, and a broker besides its partitions.
const OF_A_PROCESS: u64 = 300;
/// The segment of a partition that is written to, and the next one; indices are mapped, and closed.
const OF_A_PARTITION: u64 = 2;

/// Connections that could not be opened would end a run in the middle. Brokers that we start have
/// our own limit.
pub fn too_many_files(
    limit: Option<u64>,
    scenario: &Scenario,
    with_brokers: bool,
) -> Result<(), EnvironmentError> {
    let Some(limit) = limit else { return Ok(()) };
    for cell in scenario.cells() {
        let (clients, broker) = open_files_of(&cell);
        let needed = clients.max(if with_brokers { broker } else { 0 });
        if needed > limit {
            return Err(EnvironmentError::Refused(format!(
                "`{}` at {} needs about {needed} open files, and a process may have {limit} here: \
                 raise the limit (`ulimit -n {needed}`, or LimitNOFILE), or use fewer connections, \
                 subscriptions or partitions",
                cell.label, cell.point
            )));
        }
    }
    Ok(())
}

/// By the clients of a cell, and by each of its brokers.
fn open_files_of(cell: &Cell) -> (u64, u64) {
    let load = &cell.load;
    let publishing = u64::from(load.producers) * u64::from(load.connections);
    let consuming = u64::from(load.subscriptions) * u64::from(load.consumers);
    // On a Redis Cluster a client has at most one socket for each of its streams.
    let streams = cell.config.cluster.map_or(1, |_| cell.config.partitions());
    let clients = (publishing + consuming) * u64::from(streams);
    match cell.config.system.software() {
        Software::Redis | Software::Sns | Software::Fake => {
            (clients + OF_A_PROCESS, clients + OF_A_PROCESS)
        }
        Software::Kafka => {
            let nodes = u64::from(cell.config.nodes);
            let each = nodes + 1 + OF_A_KAFKA_CLIENT;
            let copies = u64::from(cell.config.topic.replicas);
            let partitions = u64::from(cell.config.partitions()) * copies / nodes.max(1);
            let broker = 2 * clients + partitions * OF_A_PARTITION + OF_A_PROCESS;
            (clients * each + OF_A_PROCESS, broker)
        }
    }
}

/// Several processes run plain load at a fixed rate together, on brokers that all of them reach.
pub fn shards(study: &Study<'_>) -> Result<(), EnvironmentError> {
    let Some(part) = &study.part else { return Ok(()) };
    if study.environment.name() != "external" {
        return Err(EnvironmentError::refused(
            "shards on several machines load brokers that run already",
            "name them by --kafka, --redis or --targets",
        ));
    }
    can_shard(study.scenario, part.shard.count)
}

/// Whether so many shards can run it together.
pub fn can_shard(scenario: &Scenario, count: u16) -> Result<(), EnvironmentError> {
    let shard = Shard { index: 0, count };
    scenario.cells().iter().try_for_each(|cell| of_shards(cell, shard))
}

fn of_shards(cell: &Cell, shard: Shard) -> Result<(), EnvironmentError> {
    let load = &cell.load;
    let alone = [
        (cell.experiment.is_some(), "`experiment`", "write a plain `load`"),
        (!cell.faults.is_empty(), "`faults`", "remove them"),
        (load.half_of.is_some(), "a rate that the run finds", "write `load.rate: 10k/s`"),
        (load.model == Model::Closed, "`load.model: closed`", "write `open`, and a rate"),
        (!load.best_of.is_empty(), "`load.best-of`", "write one setting"),
        (!load.stages.is_empty(), "`load.stages`", "write `load.duration` and one rate"),
        (cell.config.transaction.is_some(), "`transaction`", "remove it"),
        // What the shards say to each other goes through clients that outlive nothing.
        (load.deadline.is_some(), "`load.deadline`", "remove it"),
        // Where it ended is known to the first shard alone.
        (cell.config.existing().is_some(), "what is there already", "leave its name out"),
        (cell.config.system.software() == Software::Sns, "SNS", "leave its label out"),
    ];
    if let Some((_, what, remedy)) = alone.into_iter().find(|(found, ..)| *found) {
        let label = &cell.label;
        let what = format!("`{label}`: {what} is for one process, and this is one of several");
        return Err(EnvironmentError::refused(what, remedy));
    }
    let share = Share { shard, placement: load.placement, clients: load.clients() };
    match share.idle() {
        Some(idle) => Err(EnvironmentError::refused(
            format!("`{}`: shard {idle} would have neither producer nor consumer", cell.label),
            "raise `load.producers` or `load.consumers`, or start fewer shards",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, from_text};

    #[test]
    fn clusters_that_do_not_fit_here_are_for_brokers_that_run_already() {
        let with = |systems: &str| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\n\
                 load: {{model: open, rate: 1k/s}}\n"
            );
            let scenario = from_text("t.yaml", &text, &Overrides::default()).unwrap();
            clusters_of_others(&scenario).map_err(|error| error.to_string())
        };
        with("{kafka: {nodes: 3, topic: {replicas: 3}}, redis-lists: {}}").unwrap();
        let both = "{kafka: {nodes: 5}, two: {system: kafka, topic: {replicas: 3}}}";
        let refused = with(both).unwrap_err();
        for words in ["`systems.kafka` has `nodes: 5`", "`systems.two` has", "--kafka"] {
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn what_could_not_be_opened_is_told_before_anything_is_started() {
        let scenario = |system: &str, load: &str| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: {system}\n\
                 load: {{model: open, rate: 1k/s, {load}}}\n"
            );
            from_text("t.yaml", &text, &Overrides::default()).unwrap()
        };
        let many = scenario("[redis-lists]", "connections: 400");
        assert!(too_many_files(Some(1024), &many, true).is_ok());
        assert!(too_many_files(None, &many, true).is_ok(), "no limit at all");
        let error = too_many_files(Some(512), &many, true).unwrap_err().to_string();
        assert!(error.contains("about 701 open files") && error.contains("ulimit -n"), "{error}");
        let kafka = scenario("{kafka: {topic: {partitions: 5000}}}", "duration: 20s");
        assert!(too_many_files(Some(4096), &kafka, true).is_err(), "its broker needs them");
        assert!(too_many_files(Some(4096), &kafka, false).is_ok(), "it has them already");
    }

    #[test]
    fn shards_have_plain_load_and_something_to_do() {
        let refused = |load: &str, count: u16| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-lists]\nload: {{{load}}}\n"
            );
            let scenario = from_text("t.yaml", &text, &Overrides::default()).unwrap();
            let shard = Shard { index: 0, count };
            of_shards(&scenario.cells()[0], shard).err().map(|error| error.to_string())
        };
        let open = "model: open, rate: 1k/s, producers: 4, consumers: 2";
        assert_eq!(refused(open, 4), None);
        let idle = refused(open, 5).unwrap();
        assert!(idle.contains("shard 4/5 would have neither"), "{idle}");
        let closed = refused("model: closed, producers: 4", 4).unwrap();
        assert!(closed.contains("`load.model: closed` is for one process"), "{closed}");
        let outlives = refused(&format!("{open}, deadline: 30s"), 2).unwrap();
        assert!(outlives.contains("`load.deadline` is for one process"), "{outlives}");
        let half = refused("model: open, rate: half-capacity", 1).unwrap();
        assert!(half.contains("a rate that the run finds"), "{half}");
    }

    #[test]
    fn threads_that_never_sleep_need_cores_beside_the_brokers() {
        let spinning = |consumers: u16| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: [redis-lists]\n\
                 load: {{model: open, rate: 1k/s, pacer: spin, consumers: {consumers}}}\n"
            );
            from_text("t.yaml", &text, &Overrides::default()).unwrap()
        };
        assert!(to_spin_on(3, &spinning(1), true).is_ok());
        let refused = to_spin_on(2, &spinning(1), true).unwrap_err().to_string();
        assert!(refused.contains("3 in all") && refused.contains("pacer: sleep"), "{refused}");
        assert!(to_spin_on(2, &spinning(1), false).is_ok(), "the broker is elsewhere");
        assert!(to_spin_on(4, &spinning(3), true).is_err());
    }
}
