//! Keys of librdkafka's settings: which are ours alone, which have two names, which are read back.

use super::settings::refused;
use crate::driver::DriverError;
use std::collections::BTreeMap;

/// What the driver's own accounting depends on.
const RESERVED: &[&str] = &[
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "auto.offset.reset",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "test.mock.num.brokers",
];

/// What has two names. Whoever sets both leaves it to chance which one counts.
pub const ALIASES: &[(&str, &str)] = &[
    ("acks", "request.required.acks"),
    ("compression.type", "compression.codec"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("retries", "message.send.max.retries"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
];

/// Read back into the results, whoever set them.
pub const PRODUCER: &[&str] = &[
    "acks",
    "linger.ms",
    "batch.num.messages",
    "batch.size",
    "compression.type",
    "partitioner",
    "enable.idempotence",
    "transaction.timeout.ms",
    "max.in.flight.requests.per.connection",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "message.timeout.ms",
    "request.timeout.ms",
    "socket.timeout.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "retries",
    "message.max.bytes",
    "socket.nagle.disable",
];
pub const CONSUMER: &[&str] = &[
    "group.protocol",
    "session.timeout.ms",
    "partition.assignment.strategy",
    "auto.offset.reset",
    "enable.auto.commit",
    "auto.commit.interval.ms",
    "enable.auto.offset.store",
    "isolation.level",
    "check.crcs",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.queue.backoff.ms",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "receive.message.max.bytes",
    "socket.timeout.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "socket.nagle.disable",
];

/// Keys and values that target and scenario give.
pub type ClientKeys<'a> = BTreeMap<&'a str, &'a str>;

/// Refuses keys that are ours alone, and those that are set under both of their names.
pub fn check_keys(client: &ClientKeys<'_>) -> Result<(), DriverError> {
    if let Some(key) = client.keys().find(|key| RESERVED.contains(key)) {
        return Err(refused(key, "brokerbench sets this one itself; remove it from `client`"));
    }
    if let Some((key, alias)) =
        ALIASES.iter().find(|(key, alias)| client.contains_key(key) && client.contains_key(alias))
    {
        return Err(refused(
            alias,
            &format!("it is another name of `{key}`, which is set too; remove one of them"),
        ));
    }
    Ok(())
}
