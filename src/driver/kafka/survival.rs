//! What an acknowledged message survives on Kafka, by its documentation and the cell's settings.
//!
//! Kafka does not sync per write unless told to: an acknowledgement means the page cache of whoever confirmed. A
//! killed process loses nothing of that, a machine without power everything.

use super::settings::{ClientSettings, read};
use crate::result::Survives;
use crate::scenario::SystemConfig;

pub fn survives(config: &SystemConfig, settings: &ClientSettings) -> Survives {
    let setting = |topic: &str, broker: &str| {
        let value = config.topic.config.get(topic).or_else(|| config.broker.get(broker));
        value.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let min_insync = setting("min.insync.replicas", "min.insync.replicas").unwrap_or(1);
    let flush = setting("flush.messages", "log.flush.interval.messages");
    let copies = config.topic.replicas;
    let (confirmed, acks) = match settings.acks.as_str() {
        "0" => ("nobody: the broker does not answer", "0"),
        "-1" => ("all in-sync replicas", "all"),
        _ => ("the leader", "1"),
    };
    // With copies, a killed leader is replaced by one that may not have what only the leader confirmed.
    let process_kill = acks == "all" || (acks == "1" && copies == 1);
    let synced = if flush == Some(1) { "synced to disk" } else { "in the page cache" };
    let consumer = if read(&settings.consumer, "enable.auto.commit") == "true" {
        let every = read(&settings.consumer, "auto.commit.interval.ms");
        format!("offsets stored after processing, committed every {every} ms")
    } else {
        "offsets never committed".to_owned()
    };
    Survives {
        process_kill,
        power_loss: acks != "0" && flush == Some(1) && process_kill,
        node_loss: acks == "all" && copies >= 3 && min_insync >= 2,
        copies,
        because: format!(
            "acks={acks}: confirmed by {confirmed}, {synced}; replicas={copies}, min.insync.replicas={min_insync}, \
             flush.messages={}; consumer: {consumer}",
            flush.map_or_else(|| "unset".to_owned(), |messages| messages.to_string()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cell;
    use super::*;

    fn class(client: &[(&str, &str)], replicas: u16, topic: &[(&str, &str)]) -> (bool, bool, bool) {
        let mut cell = cell();
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        cell.config.client = owned(client);
        cell.config.topic.replicas = replicas;
        cell.config.topic.config = owned(topic);
        let settings = ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Default::default()).unwrap();
        let Survives { process_kill, power_loss, node_loss, .. } = survives(&cell.config, &settings);
        (process_kill, power_loss, node_loss)
    }

    #[test]
    fn classes_by_settings() {
        let two = [("min.insync.replicas", "2")];
        assert_eq!(class(&[], 1, &[]), (true, false, false));
        assert_eq!(class(&[("acks", "0")], 1, &[("flush.messages", "1")]), (false, false, false));
        assert_eq!(class(&[("acks", "1")], 1, &[]), (true, false, false));
        assert_eq!(class(&[("acks", "1")], 3, &two), (false, false, false));
        assert_eq!(class(&[], 1, &[("flush.messages", "1")]), (true, true, false));
        assert_eq!(class(&[], 1, &[("flush.messages", "100")]), (true, false, false));
        assert_eq!(class(&[], 3, &[]), (true, false, false));
        assert_eq!(class(&[], 3, &two), (true, false, true));
    }
}
