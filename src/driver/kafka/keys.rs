//! Names of librdkafka's settings: which are ours alone, which have a second name, which the results tell.

/// What the driver's own accounting depends on.
pub const RESERVED: &[&str] = &[
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "auto.offset.reset",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "transactional.id",
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
    "enable.idempotence",
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
