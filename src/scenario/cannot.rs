//! What a system cannot do under plain load by its nature: such a cell is told as `cannot`, with the reason, and never
//! run.
//!
//! Only what no setting of ours would change stands here. Workarounds in which the application does the work (a
//! producer that writes one list per reader) are not the system's doing and are not measured as if they were.

use super::cell::Cell;
use super::load::Load;
use super::system::SystemConfig;
use crate::model::System;

impl Cell {
    /// Why this system cannot run this cell; `None` when it can. Experiments answer for themselves.
    pub fn cannot(&self) -> Option<&'static str> {
        if self.experiment.is_some() { None } else { cannot(&self.config, &self.load) }
    }
}

fn cannot(config: &SystemConfig, load: &Load) -> Option<&'static str> {
    let synced = config.broker.get("appendonly").is_some_and(|value| value == "yes");
    match config.system {
        System::RedisLists if load.subscriptions > 1 => {
            Some("a list element goes to one consumer; the producer would have to write one list per reader")
        }
        System::RedisPubsub if load.consumers > 1 => {
            Some("every subscriber receives everything; consumers that share would each do all of the work")
        }
        System::RedisPubsub if synced => {
            Some("Pub/Sub keeps nothing that an append-only file could hold; no reply of it outlives the broker")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, from_text};

    fn reasons(load: &str, systems: &str) -> Vec<(String, bool)> {
        let text = format!("schema: 1\nname: t\nquestion: Q?\nsystems: {systems}\nload: {{model: closed, {load}}}\n");
        let cells = from_text("t.yaml", &text, &Overrides::default()).unwrap().cells();
        cells.iter().map(|cell| (cell.label.clone(), cell.cannot().is_some())).collect()
    }

    fn unable(load: &str, systems: &str) -> Vec<String> {
        reasons(load, systems).into_iter().filter_map(|(label, cannot)| cannot.then_some(label)).collect()
    }

    const ALL: &str = "[kafka, redis-pubsub, redis-streams, redis-lists]";

    #[test]
    fn a_list_has_no_second_reader_and_pubsub_shares_nothing() {
        assert_eq!(unable("subscriptions: 1", ALL), Vec::<String>::new());
        assert_eq!(unable("subscriptions: 2", ALL), ["redis-lists"]);
        assert_eq!(unable("consumers: 2", ALL), ["redis-pubsub"]);
    }

    #[test]
    fn pubsub_has_nothing_to_sync() {
        let synced = "{redis-pubsub: {broker: {appendonly: 'yes'}}, redis-lists: {broker: {appendonly: 'yes'}}}";
        assert_eq!(unable("subscriptions: 1", synced), ["redis-pubsub"]);
    }
}
