//! What an acknowledgement of Kafka's promises, by the settings that are told.

use super::admin::{Entries, REPLICAS};
use super::settings::{ClientSettings, read};
use crate::result::Survives;

/// `flush.messages` where nobody has set it.
const NEVER: u64 = i64::MAX as u64;

/// What an acknowledged message survives, by Kafka's documentation and what is told of the topic,
/// in which the broker's own settings are contained. What is not told counts as the least.
///
/// Kafka does not sync per write unless told to: an acknowledgement means the page cache of whoever
/// confirmed. A killed process loses nothing of that, a machine without power everything.
pub fn survives(topic: &Entries, settings: &ClientSettings, shared: bool) -> Survives {
    let told = |name: &str| topic.get(name)?.trim().parse::<u64>().ok();
    let (min_insync, flush) = (told("min.insync.replicas"), told("flush.messages"));
    let replicas = told(REPLICAS).and_then(|copies| u16::try_from(copies).ok());
    let (confirmed, acks) = match settings.acks.as_str() {
        "0" => ("nobody: the broker does not answer", "0"),
        "-1" => ("all in-sync replicas", "all"),
        _ => ("the leader", "1"),
    };
    // With copies, a killed leader is replaced by one that may not have what only the leader
    // confirmed.
    let process_kill = acks == "all" || (acks == "1" && replicas == Some(1));
    let copies = replicas.unwrap_or(1);
    let synced = if flush == Some(1) { "synced to disk" } else { "in the page cache" };
    let consumer = if shared {
        "each record acknowledged after processing, with the next fetch".to_owned()
    } else if read(&settings.consumer, "enable.auto.commit") == "true" {
        let every = read(&settings.consumer, "auto.commit.interval.ms");
        format!("offsets stored after processing, committed every {every} ms")
    } else {
        "offsets never committed".to_owned()
    };
    let words = |value: Option<u64>| match value {
        None => "not told".to_owned(),
        Some(NEVER) => "unset".to_owned(),
        Some(value) => value.to_string(),
    };
    Survives {
        process_kill,
        power_loss: acks != "0" && flush == Some(1) && process_kill,
        node_loss: acks == "all" && copies >= 3 && min_insync >= Some(2),
        nearly: false,
        copies,
        because: format!(
            "acks={acks}: confirmed by {confirmed}, {synced}; replicas={}, min.insync.replicas={}, \
             flush.messages={}; consumer: {consumer}",
            words(replicas.map(u64::from)),
            words(min_insync),
            words(flush),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cell;
    use super::*;

    /// With `topic` told; the scenario asks for the most there is.
    fn class(client: &[(&str, &str)], topic: &[(&str, &str)]) -> (Survives, bool, bool, bool) {
        let mut cell = cell();
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
        };
        cell.config.client = owned(client);
        cell.config.topic.replicas = 3;
        cell.config.topic.config = owned(&[("flush.messages", "1"), ("min.insync.replicas", "2")]);
        let settings =
            ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Default::default()).unwrap();
        let found = survives(&owned(topic), &settings, false);
        let Survives { process_kill, power_loss, node_loss, .. } = found;
        (found, process_kill, power_loss, node_loss)
    }

    #[test]
    fn classes_by_what_is_told() {
        let of = |client: &[(&str, &str)], topic: &[(&str, &str)]| {
            let (_, process_kill, power_loss, node_loss) = class(client, topic);
            (process_kill, power_loss, node_loss)
        };
        let (one, three) = (("replicas", "1"), ("replicas", "3"));
        let (two, each) = (("min.insync.replicas", "2"), ("flush.messages", "1"));
        assert_eq!(of(&[], &[one]), (true, false, false));
        assert_eq!(of(&[("acks", "0")], &[one, each]), (false, false, false));
        assert_eq!(of(&[("acks", "1")], &[one]), (true, false, false));
        assert_eq!(of(&[("acks", "1")], &[three, two]), (false, false, false));
        assert_eq!(of(&[], &[one, each]), (true, true, false));
        assert_eq!(of(&[], &[one, ("flush.messages", "100")]), (true, false, false));
        assert_eq!(of(&[], &[three]), (true, false, false));
        assert_eq!(of(&[], &[three, two]), (true, false, true));
    }

    #[test]
    fn what_is_not_told_counts_as_the_least() {
        let (survives, process_kill, power_loss, node_loss) = class(&[("acks", "1")], &[]);
        assert!(!process_kill && !power_loss && !node_loss && survives.copies == 1);
        let words = "replicas=not told, min.insync.replicas=not told, flush.messages=not told";
        assert!(survives.because.contains(words), "{survives:?}");
        let (stock, ..) = class(&[], &[("flush.messages", "9223372036854775807")]);
        assert!(stock.because.contains("flush.messages=unset"), "{stock:?}");
    }
}
