//! The board of a run's shards: a topic of one partition, which everybody reads from its beginning
//! and without a group.
//!
//! The load's own clients, in the load's own settings, but that nothing waits for company and every
//! line is acknowledged.

use crate::driver::capability::Board;
use crate::driver::kafka::admin::Admin;
use crate::driver::kafka::clients::{Clients, assign, refused};
use crate::driver::kafka::driver::KafkaDriver;
use crate::driver::kafka::load::ffi::{Headers, Reader};
use crate::driver::kafka::load::publisher::KafkaPublisher;
use crate::driver::kafka::topics::Topics;
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher};
use crate::scenario::Topic;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// Lines that one read brings at most.
const BATCH: usize = 1000;

pub struct KafkaBoard {
    clients: Clients,
    topic: String,
    publisher: KafkaPublisher,
    reader: Reader,
    completions: Vec<Completion>,
}

impl KafkaBoard {
    pub fn open(driver: &KafkaDriver, name: &str) -> Result<Self, DriverError> {
        let topic = format!("{}-{name}", driver.target.name);
        let replicas = driver.cell.config.topic.replicas;
        let log = Topic { name: None, partitions: 1, replicas, config: BTreeMap::new() };
        driver.admin()?.make_topic_once(&topic, &log)?;
        let mut clients = driver.clients.clone();
        let settings = &mut clients.settings.producer;
        settings.remove("queue.buffering.max.ms").set("linger.ms", "0");
        settings.remove("request.required.acks").set("acks", "all");
        // A line stands for itself, and is nothing but its payload.
        clients.settings.headers = Headers::default();
        let publisher = KafkaPublisher::connect(&clients, &Topics::one(&topic), 1)?;
        let handle = clients.reader(&format!("{topic}-reader"))?;
        assign(&handle, &topic, &[(0, 0)]).map_err(|error| refused("read a board", error))?;
        let (reader, completions) = (Reader::new(handle, BATCH, false), Vec::new());
        Ok(Self { clients, topic, publisher, reader, completions })
    }
}

impl Board for KafkaBoard {
    /// Does not wait for the acknowledgement: that a line was refused shows at the next one.
    fn post(&mut self, line: &str) -> Result<(), DriverError> {
        let payload = line.as_bytes();
        self.publisher.submit(Outgoing { payload, ..Outgoing::default() })?;
        self.publisher.flush()?;
        self.publisher.wait(0, &mut self.completions)?;
        let lost = |completion: Completion| completion.outcome != Outcome::Acked;
        match self.completions.drain(..).any(lost) {
            true => Err(refused("post to a board", format!("{:?}", self.publisher.failures()))),
            false => Ok(()),
        }
    }

    fn read(&mut self, limit: Duration) -> Result<Vec<String>, DriverError> {
        if self.reader.take(limit.as_millis() as i32, BATCH) == 0 {
            while self.reader.handle().consumer().poll(Duration::ZERO).is_some() {}
        }
        let (mut lines, mut error) = (Vec::new(), None);
        self.reader.each(|record| match record.error {
            None => lines.push(String::from_utf8_lossy(record.payload).into_owned()),
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(code) => error = Some(code),
        });
        match error {
            Some(code) => Err(refused("read a board", self.clients.log.explain(code))),
            None => Ok(lines),
        }
    }

    fn remove(self: Box<Self>) -> Result<(), DriverError> {
        Admin::connect(&self.clients, &self.topic, 1)?.delete_topics(&[&self.topic])
    }
}
