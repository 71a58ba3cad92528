//! What the clients of a cell are set to.

use super::super::tests::cell;
use super::*;

fn settings(client: &[(&str, &str)]) -> Result<ClientSettings, DriverError> {
    let mut cell = cell();
    cell.config.client = client.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Access::default())
}

#[test]
fn defaults_are_stated_and_overridden_last() {
    let stock = settings(&[]).unwrap();
    let effective = stock.effective();
    assert_eq!(stock.acks, "-1");
    assert_eq!(effective["producer.acks"], "-1");
    assert_eq!(effective["producer.linger.ms"], "5");
    assert_eq!(effective["consumer.fetch.queue.backoff.ms"], "5");
    assert_eq!(effective["consumer.isolation.level"], "read_uncommitted");

    let tuned =
        settings(&[("acks", "1"), ("linger.ms", "0"), ("fetch.queue.backoff.ms", "50")]).unwrap();
    let effective = tuned.effective();
    assert_eq!(tuned.acks, "1");
    assert_eq!(effective["producer.linger.ms"], "0");
    assert_eq!(effective["consumer.fetch.queue.backoff.ms"], "50");
    assert_eq!(settings(&[("request.required.acks", "0")]).unwrap().acks, "0");
}

#[test]
fn as_it_comes_the_library_has_its_own_defaults() {
    let mut cell = cell();
    cell.config.stock = true;
    let stock = ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Access::default()).unwrap();
    let effective = stock.effective();
    for (key, value) in [
        ("producer.max.in.flight.requests.per.connection", "1000000"),
        ("producer.batch.num.messages", "10000"),
        ("producer.message.max.bytes", "1000000"),
        ("consumer.fetch.queue.backoff.ms", "1000"),
        ("consumer.isolation.level", "read_committed"),
        ("consumer.enable.auto.offset.store", "false"),
    ] {
        assert_eq!(effective[key], value, "{key}");
    }
}

#[test]
fn a_deadline_is_the_time_of_a_message_unless_the_scenario_says_otherwise() {
    let with = |client: &[(&str, &str)]| {
        let mut cell = cell();
        cell.load.deadline = Some(Span::from_secs(30));
        cell.config.client = client.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Access::default()).unwrap()
    };
    let stock = settings(&[]).unwrap();
    assert_eq!(
        (stock.patient, stock.effective()["producer.message.timeout.ms"].as_str()),
        (false, "300000")
    );
    let patient = with(&[]);
    assert_eq!(
        (patient.patient, patient.effective()["producer.message.timeout.ms"].as_str()),
        (true, "30000")
    );
    for (settings, silence) in [(&stock, "60000"), (&patient, "10000")] {
        let effective = settings.effective();
        for side in ["producer", "consumer"] {
            assert_eq!(effective[&format!("{side}.socket.timeout.ms")], silence);
            assert_eq!(effective[&format!("{side}.reconnect.backoff.ms")], "10");
            assert_eq!(effective[&format!("{side}.reconnect.backoff.max.ms")], "40");
        }
    }
    let idempotent =
        |settings: &ClientSettings| read(&settings.producer, "enable.idempotence") == "true";
    assert!(!idempotent(&patient) && idempotent(&with(&[("enable.idempotence", "true")])));
    for key in ["message.timeout.ms", "delivery.timeout.ms"] {
        assert_eq!(
            with(&[(key, "7000")]).effective()["producer.message.timeout.ms"],
            "7000",
            "{key}"
        );
    }
}

#[test]
fn transactions_are_read_once_committed_and_outlast_their_messages() {
    let with = |deadline: Option<u64>, client: &[(&str, &str)]| {
        let mut cell = cell();
        let (messages, within) = (100, Span::from_millis(100));
        let plan = crate::scenario::Transaction { messages, within, abort: 0.0 };
        cell.config.transaction = Some(plan);
        cell.load.deadline = deadline.map(Span::from_secs);
        cell.config.client = client.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        ClientSettings::new(&cell, &["127.0.0.1:9092".into()], &Access::default()).unwrap()
    };
    let plain = settings(&[]).unwrap();
    let brief = with(None, &[]);
    assert!(brief.transactions && !plain.transactions);
    let effective = brief.effective();
    assert_eq!(effective["consumer.isolation.level"], "read_committed");
    assert_eq!(effective["producer.enable.idempotence"], "true");
    assert_eq!(read(&brief.reader_of_all("t"), ISOLATION), "read_uncommitted");
    assert_eq!(brief.patience(), Duration::from_secs(60));
    let long = with(Some(90), &[]);
    assert_eq!(long.effective()["producer.message.timeout.ms"], "90000");
    assert_eq!(long.patience(), Duration::from_secs(90));
    // An id that a user's rules let in; nobody else of the run has the rest of it.
    let named = with(None, &[(TRANSACTIONAL, "orders")]);
    let id = |settings: &ClientSettings| read(&settings.transactional("cell-0-1"), TRANSACTIONAL);
    assert_eq!([id(&brief), id(&named)], ["cell-0-1", "orders-cell-0-1"]);
    assert_eq!(named.producer.get(TRANSACTIONAL), None, "probes are in no transaction");
}

/// What is set under both names is decided by the order of a hash map:
/// often enough to see each.
#[test]
fn a_setting_counts_under_either_name() {
    for (key, alias) in [
        ("acks", "request.required.acks"),
        ("message.timeout.ms", "delivery.timeout.ms"),
        ("max.in.flight.requests.per.connection", "max.in.flight"),
    ] {
        for name in [key, alias].repeat(20) {
            let effective = settings(&[(name, "1")]).unwrap().effective();
            assert_eq!(effective[&format!("producer.{key}")], "1", "{name}");
        }
        let error = settings(&[(key, "1"), (alias, "1")]).err().unwrap().to_string();
        assert!(
            error.contains(&format!("`{alias}`")) && error.contains(&format!("`{key}`")),
            "{error}"
        );
    }
}

#[test]
fn whom_quotas_know_and_the_level_are_told() {
    let effective = settings(&[("client.id", "orders"), ("compression.level", "3")]).unwrap();
    let effective = effective.effective();
    assert_eq!(effective["producer.client.id"], "orders");
    assert_eq!(effective["consumer.client.id"], "orders");
    assert_eq!(effective["producer.compression.level"], "3");
}

#[test]
fn static_members_of_a_group_differ_and_readers_are_none() {
    let settings = settings(&[(INSTANCE, "orders"), ("group.protocol", "consumer")]).unwrap();
    for (consumer, name) in [(0, "orders-0"), (3, "orders-3")] {
        let member = settings.numbered_member("g", consumer);
        assert_eq!((member.get(INSTANCE), member.get("group.id")), (Some(name), Some("g")));
    }
    assert_eq!(settings.member("g").get(INSTANCE), None);
    assert_eq!(settings.reader("g").get(INSTANCE), None);
    assert_eq!(settings.effective()["consumer.group.protocol"], "consumer");
}

#[test]
fn unknown_unfit_and_reserved_keys_are_named() {
    for (key, value, words) in [
        ("linger.mss", "5", "linger.mss"),
        ("acks", "many", "acks"),
        ("group.id", "mine", "brokerbench sets this"),
    ] {
        let error =
            settings(&[(key, value)]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(words) && error.contains(key), "{key}: {error}");
    }
}

#[test]
fn no_secret_is_shown() {
    let effective = settings(&[("sasl.password", "hunter2"), ("ssl.key.password", "hunter2")])
        .unwrap()
        .effective();
    assert_eq!(effective["producer.sasl.password"], "***");
    assert!(!format!("{effective:?}").contains("hunter2"));
}
