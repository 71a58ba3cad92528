//! What a queue still holds, and what it says of itself.
//!
//! SQS lets nobody look: whoever reads a message takes it. So an audit takes what is left, once
//! nobody else will: the queue is deleted next.

use crate::driver::DriverError;
use crate::driver::sns::clients::{Control, Patience, timed_out};
use crate::driver::sns::driver::SnsDriver;
use crate::driver::sns::load::calls::CallLog;
use crate::driver::sns::load::payload_of;
use crate::driver::sns::load::queue::{DELETE, Polling, Queue, RECEIVE};
use crate::driver::sns::resources::QueuePlace;
use crate::driver::sns::settings::MOST_ENTRIES;
use crate::driver::sns::words::Asked;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one look waits for a message: a wait asks every server that may have one.
const LOOK_S: i32 = 2;
/// For how long what is taken stays with the audit, s.
const HOLD_S: i32 = 120;
/// Counts of SQS settle within a minute: after that without a message, nothing more comes.
const SETTLED_NS: u64 = 60_000_000_000;

/// How many messages a queue has, as far as SQS knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub visible: u64,
    /// Handed out, and neither deleted nor visible again.
    pub hidden: u64,
    pub delayed: u64,
}

impl Depth {
    pub fn all(self) -> u64 {
        self.visible + self.hidden + self.delayed
    }
}

pub fn depth(control: &Control, url: &str) -> Result<Depth, DriverError> {
    let names = [
        Name::ApproximateNumberOfMessages,
        Name::ApproximateNumberOfMessagesNotVisible,
        Name::ApproximateNumberOfMessagesDelayed,
    ];
    let told = attributes(control, url, names.to_vec())?;
    let of = |name: &Name| told.get(name.as_str()).and_then(|n| n.parse().ok()).unwrap_or(0);
    let [visible, hidden, delayed] = [of(&names[0]), of(&names[1]), of(&names[2])];
    Ok(Depth { visible, hidden, delayed })
}

fn attributes(
    control: &Control,
    url: &str,
    names: Vec<Name>,
) -> Result<BTreeMap<String, String>, DriverError> {
    let call = control.sqs.get_queue_attributes().queue_url(url);
    let call = call.set_attribute_names(Some(names)).send();
    let asked = Asked::new("read the attributes of a queue", "sqs:GetQueueAttributes");
    let told = control.ask(asked, call)?.attributes.unwrap_or_default();
    Ok(told.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect())
}

pub fn queue_attributes(
    driver: &SnsDriver,
    place: &QueuePlace,
) -> Result<BTreeMap<String, String>, DriverError> {
    attributes(&driver.resources.control()?, &place.url, vec![Name::All])
}

pub fn topic_attributes(
    driver: &SnsDriver,
    topic: &str,
) -> Result<BTreeMap<String, String>, DriverError> {
    let control = driver.resources.control()?;
    let call = control.sns.get_topic_attributes().topic_arn(topic).send();
    let asked = Asked::new("read the attributes of the topic", "sns:GetTopicAttributes");
    Ok(control.ask(asked, call)?.attributes.unwrap_or_default().into_iter().collect())
}

/// Takes every message that a queue holds; waits for those that are hidden, since whoever had them
/// is gone.
pub fn drain(
    driver: &SnsDriver,
    place: &QueuePlace,
    deadline_ns: u64,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), DriverError> {
    let (clients, clock) = (&driver.clients, driver.clients.clock);
    let (control, log) = (driver.resources.control()?, CallLog::default());
    let polling = Polling {
        most: MOST_ENTRIES as i32,
        wait_s: LOOK_S,
        visibility_s: Some(HOLD_S),
        ..driver.polling(place)
    };
    // Of the runtime that `control` drives.
    let queue = Queue::new(clients.sqs(Patience::USUAL, &log), polling, log);
    let (mut buffer, mut last_ns) = (vec![], clock.now_ns());
    loop {
        let messages = control.ask(RECEIVE, queue.fetch())?;
        let now_ns = clock.now_ns();
        if messages.is_empty() {
            let left = depth(&control, &place.url)?;
            if left == Depth::default() || now_ns > last_ns + SETTLED_NS {
                return Ok(());
            }
            if now_ns > deadline_ns {
                return Err(timed_out("reading back what is left", waited(last_ns, now_ns)));
            }
            continue;
        }
        last_ns = now_ns;
        let mut receipts = vec![];
        for message in messages {
            sink(payload_of(message.body().unwrap_or_default(), &mut buffer));
            receipts.extend(message.receipt_handle);
        }
        // At once: the next message of a group comes only after it.
        control.ask(DELETE, queue.delete(receipts))?;
    }
}

fn waited(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_nanos(to_ns.saturating_sub(from_ns))
}
