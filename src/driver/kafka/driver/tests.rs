//! What an acknowledgement survives, by what is told.

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
