//! What was published, once more. SQS deletes what was acknowledged, so on a standard topic nothing
//! comes again; a FIFO topic with an `ArchivePolicy` sends what it keeps to any subscription that
//! asks for it by a `ReplayPolicy`.
//!
//! No emulator plays the archive: there this says that it cannot, and only the policies are tested.

use super::audit;
use crate::driver::capability::{Replay, ReplayFrom};
use crate::driver::sns::clients::{cannot, refused, timed_out};
use crate::driver::sns::driver::SnsDriver;
use crate::driver::sns::resources::QueuePlace;
use crate::driver::sns::words::Asked;
use crate::driver::{DriverError, Subscriber, packing};
use jiff::Timestamp;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const GONE: &str =
    "SQS deletes what was acknowledged; a FIFO topic with an `ArchivePolicy` can send it again";
const NOT_EMULATED: &str = "no emulator plays the archive of a FIFO topic";
/// What the topic tells of its archive.
const OLDEST: &str = "BeginningArchiveTime";

/// How long AWS may take to send an archive again, and how often it is asked whether it has.
const REPLAY: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);

/// The policy of a subscription that gets what was published since a moment.
fn since(start: &str) -> String {
    json!({"PointType": "Timestamp", "StartingPoint": start}).to_string()
}

fn moment(ms: u64) -> Option<String> {
    let stamp = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(stamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

impl SnsDriver {
    /// The policy that sends everything again from there; `None` where nothing is archived.
    fn policy(&self, from: ReplayFrom, action: &str) -> Result<Option<String>, DriverError> {
        if !self.settings.archived {
            return Ok(None);
        }
        if self.clients.emulated() {
            return Err(cannot(action, NOT_EMULATED));
        }
        let start = match from {
            ReplayFrom::Time(ms) => moment(ms),
            ReplayFrom::Beginning => {
                audit::topic_attributes(self, &self.resources.topic()?)?.remove(OLDEST)
            }
        };
        let start = start.ok_or_else(|| refused(action, "the topic does not tell since when"))?;
        Ok(Some(since(&start)))
    }

    /// Waits until everything that is archived has been sent to a queue again.
    fn await_replay(&self, place: &QueuePlace) -> Result<(), DriverError> {
        let clock = self.clients.clock;
        let arn = place.subscription_arn.as_deref().unwrap_or_default();
        let (control, deadline_ns) =
            (self.resources.control()?, clock.now_ns() + REPLAY.as_nanos() as u64);
        loop {
            let call = control.sns.get_subscription_attributes().subscription_arn(arn).send();
            let asked = Asked::new("look at the replay", "sns:GetSubscriptionAttributes");
            let told = control.ask(asked, call)?.attributes.unwrap_or_default();
            match told.get("ReplayStatus").map(String::as_str).unwrap_or_default() {
                status if status.contains("ompleted") => return Ok(()),
                status if status.contains("ailed") => {
                    return Err(refused("send the archive again", status));
                }
                _ if clock.now_ns() > deadline_ns => {
                    return Err(timed_out("sending the archive again", REPLAY));
                }
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    fn consumer_of(&self, place: &QueuePlace) -> Result<Box<dyn Subscriber>, DriverError> {
        packing::unpacking(&self.cell, Box::new(self.consumer(place)?))
    }
}

impl Replay for SnsDriver {
    fn join_late(&self, subscription: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        let policy = self.policy(ReplayFrom::Beginning, "begin before its subscription")?;
        let name = self.resources.names().queue(subscription);
        let place = self.resources.subscribed(&name, policy.as_deref())?;
        if policy.is_some() {
            self.await_replay(&place)?;
        }
        self.consumer_of(&place)
    }

    fn rewind(&self, subscription: u16) -> Result<(), DriverError> {
        let policy = self.policy(ReplayFrom::Beginning, "go back")?;
        let policy = policy.ok_or_else(|| cannot("go back", GONE))?;
        let place = self.resources.queue(subscription)?;
        let arn = place.subscription_arn.as_deref().unwrap_or_default();
        let control = self.resources.control()?;
        let call = control.sns.set_subscription_attributes().subscription_arn(arn);
        let call = call.attribute_name("ReplayPolicy").attribute_value(policy).send();
        control.ask(Asked::new("go back", "sns:SetSubscriptionAttributes"), call)?;
        self.await_replay(&place)
    }

    /// Through a queue that comes and goes; without an archive what is left in all queues, which
    /// carries no time.
    fn read_from(
        &self,
        from: ReplayFrom,
        deadline_ns: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), DriverError> {
        let Some(policy) = self.policy(from, "read what was published")? else {
            if from != ReplayFrom::Beginning {
                return Err(cannot("read from a moment on", GONE));
            }
            let queues = self.resources.known_queues();
            return queues
                .iter()
                .try_for_each(|place| audit::drain(self, place, deadline_ns, sink));
        };
        static READERS: AtomicU32 = AtomicU32::new(0);
        let name = self.resources.names().reader(READERS.fetch_add(1, Relaxed));
        let place = self.resources.subscribed(&name, Some(&policy))?;
        let read = self.await_replay(&place);
        let read = read.and_then(|()| audit::drain(self, &place, deadline_ns, sink));
        let deleted = self.resources.delete_queue(&name);
        read.and(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::clients::{Clients, tests::target};
    use super::super::super::resources::Resources;
    use super::super::super::settings::{SnsSettings, tests::cell};
    use super::*;

    fn driver(topic: &[(&str, &str)]) -> SnsDriver {
        let cell = cell(topic, &[]);
        let settings = SnsSettings::of(&cell);
        let clients = Clients::new(&target("127.0.0.1:1")).unwrap();
        let resources = Resources::new(&clients, &settings, "bb-abc123-sns-0");
        SnsDriver { cell, settings, clients, resources }
    }

    #[test]
    fn a_policy_names_the_moment_as_aws_reads_it() {
        let start = moment(1_700_000_000_123).unwrap();
        assert_eq!(start, "2023-11-14T22:13:20.123Z");
        let policy: serde_json::Value = serde_json::from_str(&since(&start)).unwrap();
        assert_eq!(policy["PointType"], "Timestamp");
        assert_eq!(policy["StartingPoint"], "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn what_was_acknowledged_is_gone_without_an_archive() {
        let standard = driver(&[]);
        let gone = standard.rewind(0).unwrap_err().to_string();
        assert!(gone.contains("ArchivePolicy"), "{gone}");
        let late = standard.read_from(ReplayFrom::Time(1), 0, &mut |_| ()).unwrap_err();
        assert!(matches!(late, DriverError::Cannot { .. }), "{late}");
        assert!(standard.read_from(ReplayFrom::Beginning, 0, &mut |_| ()).is_ok(), "no queue yet");
    }

    #[test]
    fn an_emulator_is_not_asked_for_an_archive() {
        let archive = "{\"MessageRetentionPeriod\":\"1\"}";
        let archived = driver(&[("FifoTopic", "true"), ("ArchivePolicy", archive)]);
        let error = archived.rewind(0).unwrap_err().to_string();
        assert!(error.contains("no emulator"), "{error}");
    }
}
