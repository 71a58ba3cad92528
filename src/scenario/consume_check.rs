//! Whether a system has the way in which its consumers are to come by their messages, and work for
//! all of them.

use super::cell::{Cell, Message, PayloadKind};
use super::check::{Check, check, refuse};
use super::load::Load;
use super::system::{ConsumeMode, SystemConfig};
use crate::model::{Codec, System};
use crate::yaml::Problem;

/// Kafka's `group.protocol: consumer` tells a member nothing as long as it gets no partition:
/// nobody could tell that it has joined.
pub(super) fn surplus_members(label: &str, config: &SystemConfig, load: &Load) -> Check {
    const KEY: &str = "group.protocol";
    let new = config.client.get(KEY).is_some_and(|name| name == "consumer");
    let (consumers, partitions) = (load.consumers, config.partitions());
    if !new || consumers <= partitions {
        return Ok(());
    }
    let what = format!(
        "a consumer without a partition never hears from its group, and {consumers} share \
         {partitions}"
    );
    let remedy = "raise `topic.partitions`, or lower `load.consumers`";
    Err(Problem::new(["systems", label, "client", KEY], what, remedy))
}

/// A share group is read by a client of our own, which can less than librdkafka.
pub(super) fn mode(label: &str, config: &SystemConfig, load: &Load, message: &Message) -> Check {
    let (mode, system) = (config.consume.mode, config.system);
    let key = format!("systems.{label}.consume.mode");
    let fits = !system.has_key("consume.mode") || mode.fits(system);
    let remedy = match system.base() {
        System::Kafka => "write `group` or `share-group`, or remove it",
        _ => "write `pop` or `reliable`, or remove it",
    };
    check(fits, &key, format_args!("{} has no such way", system.title()), remedy)?;
    if mode != ConsumeMode::ShareGroup {
        return Ok(());
    }
    let because = match () {
        () if config.nodes > 1 => "speaks to one node",
        () if load.deadline.is_some() => "does not come back where a connection is lost",
        () if message.codec != Codec::None => "reads no compressed records",
        () if message.headers > 0 || message.payload == PayloadKind::File => "reads no headers",
        () => return Ok(()),
    };
    let what = format_args!(
        "no client library has share groups here yet, and the harness's own {because}"
    );
    refuse(&key, what, "write `group`, or leave the other out")
}

/// Which consumers of a group have no partition, in words.
pub(super) fn idle(cell: &Cell) -> Option<String> {
    let (label, point, config) = (&cell.label, &cell.point, &cell.config);
    let kafka = config.system.base() == System::Kafka;
    let group = kafka && config.consume.mode == ConsumeMode::Group;
    let (members, shared) = (cell.load.consumers, config.partitions());
    let idle = members.checked_sub(shared).filter(|idle| group && *idle > 0)?;
    Some(format!(
        "{label} at {point}: {idle} of {members} consumers have nothing to do, since each of the \
         partitions ({shared}) goes to one of them; raise `topic.partitions`, or lower \
         `load.consumers`"
    ))
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, from_text};

    #[test]
    fn consumers_without_a_partition_are_told() {
        let idle = |system: &str, consumers: u16| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: {{x: {system}}}\n\
                 load: {{model: open, rate: 1k/s, consumers: {consumers}}}\n"
            );
            let warnings = from_text("t.yaml", &text, &Overrides::default()).unwrap().warnings();
            warnings.into_iter().find(|text| text.contains("nothing to do"))
        };
        let kafka = "{system: kafka, topic: {partitions: 3}}";
        assert_eq!(idle(kafka, 3), None);
        let told = idle(kafka, 8).unwrap();
        assert!(told.contains("5 of 8 consumers") && told.contains("`topic.partitions`"), "{told}");
        assert_eq!(idle("{system: kafka, consume: {mode: share-group}}", 8), None);
        assert_eq!(idle("{system: redis-streams}", 8), None);
    }

    #[test]
    fn both_protocols_of_groups_stand_side_by_side_and_nobody_waits_for_ever() {
        let with = |load: &str| {
            let text = format!(
                "schema: 1\nname: t\nquestion: Q?\nsystems: {{kafka: {{}}, kafka-848: {{system: \
                 kafka, client: {{group.protocol: consumer, group.instance.id: a, client.id: \
                 b}}}}}}\nload: {{model: open, rate: 1k/s, {load}}}\n"
            );
            from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
        };
        assert_eq!(with("consumers: 1").unwrap().cells().len(), 2);
        let error = with("consumers: 2").unwrap_err();
        assert!(error.contains("group.protocol") && error.contains("2 share 1"), "{error}");
        assert!(error.contains("raise `topic.partitions`"), "{error}");
    }
}
