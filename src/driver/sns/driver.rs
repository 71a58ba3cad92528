//! A cell's topic and its queues: what [`Driver`] asks, handed to whoever does it.

use super::capability::{audit, large, work};
use super::clients::{Clients, Patience, cannot, refused, timed_out};
use super::load::publisher::{PUBLISH, PublishPlan, SnsPublisher};
use super::load::queue::Polling;
use super::load::subscriber::SnsSubscriber;
use super::load::text_len;
use super::resources::{QueuePlace, Resources};
use super::settings::SnsSettings;
use super::words;
use crate::driver::capability::{
    CacheClient, HeldForConsumer, Replay, Requests, WatchedSubscriber,
};
use crate::driver::packing::{self, Unpacking};
use crate::driver::work::{WorkQueue, WorkTerms};
use crate::driver::{
    Audit, Driver, DriverError, Incoming, LargeClient, LargeMessages, Outcome, Outgoing, Publisher,
    Subscriber, Target,
};
use crate::model::System;
use crate::result::{Description, Survives};
use crate::scenario::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one probe message may take, published and received.
const PROBE: Duration = Duration::from_secs(5);
/// A subscription takes effect some time after it was made: so often another message tries it.
const PROBES: usize = 4;
/// After the last probe message that came, until none is on its way any more.
const QUIET: Duration = Duration::from_secs(1);
/// Attributes that tell who the account is, or are long and were set by us.
const NOT_SHOWN: [&str; 5] = ["Owner", "Policy", "TopicArn", "QueueArn", "EffectiveDeliveryPolicy"];

pub fn open(cell: &Cell, target: Target) -> Result<Box<dyn Driver>, DriverError> {
    let (settings, clients) = (SnsSettings::of(cell), Clients::new(&target)?);
    let resources = Resources::new(&clients, &settings, &target.name);
    Ok(Box::new(SnsDriver { cell: cell.clone(), settings, clients, resources }))
}

/// What speaks to both, with its versions.
pub fn client_version() -> Option<String> {
    Some(sdk_version())
}

fn sdk_version() -> String {
    let (sns, sqs) = (aws_sdk_sns::meta::PKG_VERSION, aws_sdk_sqs::meta::PKG_VERSION);
    format!("aws-sdk-sns {sns}, aws-sdk-sqs {sqs}")
}

pub struct SnsDriver {
    pub(super) cell: Cell,
    pub(super) settings: SnsSettings,
    pub(super) clients: Clients,
    pub(super) resources: Resources,
}

impl SnsDriver {
    pub(super) fn polling(&self, place: &QueuePlace) -> Polling {
        Polling {
            url: place.url.clone(),
            most: self.settings.receive,
            wait_s: self.settings.wait_s,
            visibility_s: None,
            counted: false,
        }
    }

    fn plain_publisher(
        &self,
        connections: u16,
        patience: Patience,
    ) -> Result<SnsPublisher, DriverError> {
        SnsPublisher::connect(&PublishPlan {
            clients: &self.clients,
            settings: &self.settings,
            topic: self.resources.topic()?,
            connections,
            partitions: self.cell.config.partitions(),
            patience,
        })
    }

    /// A consumer of a queue, which outlives a service that is away as long as a producer does.
    pub(super) fn consumer(&self, place: &QueuePlace) -> Result<SnsSubscriber, DriverError> {
        let patience = self.cell.load.deadline.map_or(Patience::USUAL, Patience::outliving);
        SnsSubscriber::connect(&self.clients, self.polling(place), patience)
    }

    /// One message to every queue; another where a subscription was not in force yet.
    fn probe(&self) -> Result<(), DriverError> {
        let clock = self.clients.clock;
        let after = |limit: Duration| clock.now_ns() + limit.as_nanos() as u64;
        let queues = (0..self.cell.load.subscriptions).map(|number| self.resources.queue(number));
        let queues = queues.collect::<Result<Vec<_>, _>>()?;
        let consumers = queues.iter().map(|place| Ok((self.consumer(place)?, 0)));
        let mut consumers = consumers.collect::<Result<Vec<_>, DriverError>>()?;
        let mut publisher = self.plain_publisher(1, Patience::USUAL)?;
        for sent in 1..=PROBES {
            self.publish_probe(&mut publisher)?;
            for (consumer, got) in &mut consumers {
                receive_probes(consumer, got, sent, after(PROBE))?;
            }
            if consumers.iter().all(|(_, got)| *got > 0) {
                break;
            }
        }
        if consumers.iter().any(|(_, got)| *got == 0) {
            return Err(timed_out("consuming a probe message", PROBE * PROBES as u32));
        }
        // None may be counted as the load's.
        for (mut consumer, mut got) in consumers {
            if got < PROBES {
                receive_probes(&mut consumer, &mut got, PROBES, after(QUIET))?;
            }
            consumer.close()?;
        }
        Ok(())
    }

    fn publish_probe(&self, publisher: &mut SnsPublisher) -> Result<(), DriverError> {
        let clock = self.clients.clock;
        let payload = b"brokerbench probe";
        publisher.submit(Outgoing { payload, ..Outgoing::default() })?;
        publisher.flush()?;
        let (deadline_ns, mut ends) = (clock.now_ns() + 2 * PROBE.as_nanos() as u64, vec![]);
        while ends.is_empty() && clock.now_ns() < deadline_ns {
            publisher.wait(deadline_ns, &mut ends)?;
        }
        match ends.first().map(|end| end.outcome) {
            Some(Outcome::Acked) => Ok(()),
            Some(_) => {
                let why = publisher.failures().into_keys().next().unwrap_or_default();
                Err(refused("publishing a probe message", words::told(&why, PUBLISH.right)))
            }
            None => Err(timed_out("publishing a probe message", 2 * PROBE)),
        }
    }
}

/// Counts messages until there are `wanted` or the time is over.
fn receive_probes(
    consumer: &mut SnsSubscriber,
    got: &mut usize,
    wanted: usize,
    until_ns: u64,
) -> Result<(), DriverError> {
    while *got < wanted {
        let before = *got;
        consumer.receive(until_ns, &mut |_: Incoming<'_>| *got += 1)?;
        if *got == before {
            return Ok(());
        }
    }
    Ok(())
}

impl Driver for SnsDriver {
    fn system(&self) -> System {
        System::Sns
    }

    fn prepare(&self) -> Result<(), DriverError> {
        self.resources.topic()?;
        self.probe()
    }

    fn publisher(&self, _: u16) -> Result<Box<dyn Publisher>, DriverError> {
        let load = &self.cell.load;
        let patience = Patience::of(load);
        let inner = self.plain_publisher(load.connections, patience)?;
        packing::packing(&self.cell, Box::new(inner))
    }

    fn probe_publisher(&self, limit: Duration) -> Result<Box<dyn Publisher>, DriverError> {
        let inner = self.plain_publisher(1, Patience::once(limit))?;
        packing::packing(&self.cell, Box::new(inner))
    }

    fn subscriber(&self, subscription: u16, _: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        let inner = self.consumer(&self.resources.queue(subscription)?)?;
        packing::unpacking(&self.cell, Box::new(inner))
    }

    fn audit(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        let mut unpacking = Unpacking::of(&self.cell)?;
        let mut sink = |packed: &[u8]| sink(unpacking.unpack(packed));
        for place in self.resources.known_queues() {
            audit::drain(self, &place, deadline_ns, &mut sink)?;
        }
        Ok(Audit::Remainder)
    }

    fn large(&self, client: LargeClient) -> Result<Box<dyn LargeMessages>, DriverError> {
        if client == LargeClient::Second {
            let because = "the first one has no limits of its own";
            return Err(cannot("be asked by a second client", because));
        }
        Ok(Box::new(large::SnsLarge::connect(self)?))
    }

    fn survives(&self) -> Survives {
        let consumer = "consumer: deleted after processing (DeleteMessageBatch), beside the next \
                        ReceiveMessage";
        if self.clients.emulated() {
            let because = format!("an emulator, which promises nothing; {consumer}");
            return Survives { copies: 1, because, ..Survives::default() };
        }
        Survives {
            process_kill: true,
            power_loss: true,
            node_loss: true,
            nearly: false,
            copies: 3,
            because: format!(
                "SNS and SQS answer once several availability zones have the message (AWS's \
                 documentation; settings have no part in it); {consumer}"
            ),
        }
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn describe(&self) -> Result<Description, DriverError> {
        let mut described = Description {
            broker_version: "Amazon SNS and SQS".into(),
            client_version: sdk_version(),
            client_config: BTreeMap::from([
                ("publish".into(), format!("PublishBatch, {} at most", self.settings.publish)),
                ("consume".into(), format!("ReceiveMessage, {} at most", self.settings.receive)),
                ("WaitTimeSeconds".into(), self.settings.wait_s.to_string()),
                ("encoding".into(), "base64: a third larger than the message".into()),
                ("RawMessageDelivery".into(), "true".into()),
            ]),
            ..Description::default()
        };
        if self.clients.emulated() {
            described.broker_version = "an emulator of SNS and SQS".into();
        }
        let Some(topic) = self.resources.known_topic() else { return Ok(described) };
        described.topic_config = audit::topic_attributes(self, &topic)?;
        if let Some(place) = self.resources.known_queues().first() {
            described.broker_config = audit::queue_attributes(self, place)?;
        }
        for shown in [&mut described.topic_config, &mut described.broker_config] {
            shown
                .retain(|key, value| !NOT_SHOWN.contains(&key.as_str()) && !value.contains("arn:"));
        }
        Ok(described)
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        self.resources.delete_all()
    }

    fn counted(
        &self,
        subscription: u16,
        _: u16,
    ) -> Result<WatchedSubscriber<Requests>, DriverError> {
        Ok(self.consumer(&self.resources.queue(subscription)?)?.watched())
    }

    fn stalled(
        &self,
        subscription: u16,
    ) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
        let (place, control) = (self.resources.queue(subscription)?, self.resources.control()?);
        let subscriber = Box::new(self.consumer(&place)?);
        let each = text_len(self.cell.message.size.0);
        let ask = move || -> Result<HeldForConsumer, DriverError> {
            let bytes = audit::depth(&control, &place.url)?.all() * each;
            Ok(HeldForConsumer { bytes, place: "its queue" })
        };
        Ok(WatchedSubscriber { subscriber, ask: Box::new(ask) })
    }

    fn replay(&self) -> Result<&dyn Replay, DriverError> {
        Ok(self)
    }

    fn work(&self, terms: WorkTerms) -> Result<Box<dyn WorkQueue + '_>, DriverError> {
        Ok(Box::new(work::SqsWork::new(self, terms)?))
    }

    fn cache(&self) -> Result<Box<dyn CacheClient>, DriverError> {
        let because = "a message of SNS or SQS has no key under which it could be found again";
        Err(cannot("keep values by key", because))
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients::tests::target;
    use super::super::settings::tests::cell;
    use super::*;

    #[test]
    fn an_emulator_promises_nothing_and_is_called_one() {
        let driver = open(&cell(&[], &[]), target("127.0.0.1:1")).unwrap();
        let survives = driver.survives();
        assert!(!survives.process_kill && !survives.power_loss && !survives.node_loss);
        assert!(survives.because.contains("emulator"), "{survives:?}");
        let described = driver.describe().unwrap();
        assert!(described.broker_version.contains("emulator"), "{described:?}");
        assert!(described.client_version.contains("aws-sdk-sns 1."), "{described:?}");
        assert_eq!(driver.clean_up().map_err(|error| error.to_string()), Ok(()), "nothing made");
    }
}
