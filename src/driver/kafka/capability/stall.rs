//! A Kafka consumer that does not read its socket.
//!
//! librdkafka cannot play it: its threads read ahead, up to `queued.max.messages.kbytes`, whatever the application does.
//! So a consumer on a bare socket ([`SocketConsumer`]) asks once, at the end of the log, and leaves the answer lying.

use super::socket_consumer::SocketConsumer;
use crate::driver::capability::{HeldForConsumer, StalledSubscriber};
use crate::driver::kafka::driver::KafkaDriver;
use crate::driver::kafka::error::{lost, refused};
use crate::driver::kafka::load::client_log::{ClientLog, Quiet};
use crate::driver::kafka::settings::ClientSettings;
use crate::driver::{DriverError, Subscriber};
use crate::model::{Codec, System};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

struct KafkaStalled {
    consumer: SocketConsumer,
    log: Log,
}

/// The topic, asked for its ends over another connection.
struct Log {
    client: BaseConsumer<Quiet>,
    driver: (String, u16, ClientSettings, ClientLog),
    /// Where each partition ended when the consumer stalled.
    begin: Vec<i64>,
    message_bytes: u64,
}

impl Log {
    fn ends(&self) -> Result<Vec<i64>, DriverError> {
        let (topic, partitions, settings, log) = &self.driver;
        let end = |partition: u16| {
            let marks = self.client.fetch_watermarks(topic, partition.into(), ANSWER);
            marks.map(|(_, end)| end).map_err(|error| lost(settings, log.explain(error)))
        };
        (0..*partitions).map(end).collect()
    }
}

pub fn start(driver: &KafkaDriver) -> Result<Box<dyn StalledSubscriber>, DriverError> {
    let (cell, target) = (&driver.cell, &driver.target);
    let cannot = |because: &str| DriverError::Cannot {
        system: System::Kafka,
        action: "stall on a bare socket".into(),
        because: because.into(),
    };
    if cell.config.nodes != 1 || target.addresses.len() != 1 {
        return Err(cannot("the bare consumer knows one broker, which leads every partition"));
    }
    if cell.message.codec != Codec::None {
        return Err(cannot("the bare consumer does not decompress; set message.codec: none"));
    }
    let client = driver
        .settings
        .reader(&format!("{}-ends", target.name))
        .create_with_context(Quiet(driver.log.clone()))
        .map_err(|error| refused("make a consumer", error))?;
    let names = (target.name.clone(), cell.config.topic.partitions, driver.settings.clone(), driver.log.clone());
    let mut log = Log { client, driver: names, begin: Vec::new(), message_bytes: cell.message.size.0 };
    log.begin = log.ends()?;
    let mut consumer =
        SocketConsumer::connect(&target.addresses[0], &target.access, &target.name, log.begin.clone(), target.clock)?;
    consumer.request(Duration::from_secs(600))?;
    Ok(Box::new(KafkaStalled { consumer, log }))
}

impl StalledSubscriber for KafkaStalled {
    fn held(&mut self) -> Result<HeldForConsumer, DriverError> {
        let ends = self.log.ends()?;
        let records: i64 = ends.iter().zip(&self.log.begin).map(|(end, begin)| end - begin).sum();
        Ok(HeldForConsumer { bytes: records.max(0) as u64 * self.log.message_bytes, place: "the topic's log" })
    }

    fn resume(self: Box<Self>) -> Box<dyn Subscriber> {
        Box::new(self.consumer)
    }
}
