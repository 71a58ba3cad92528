//! What a cell needs at AWS: a topic, a queue for each subscription with a policy that lets this
//! topic alone write to it, and what experiments add. Everything is named and tagged by the cell,
//! and only what was made here is deleted.

use super::clients::{Clients, Control, Patience, refused};
use super::names::{CellNames, last, queue_arn};
use super::settings::SnsSettings;
use super::words::Asked;
use crate::driver::DriverError;
use aws_sdk_sns::types::Tag;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The tag of everything that a run makes; its value is the cell.
pub const TAG: &str = "brokerbench";

/// A queue that was made, and its subscription, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    pub url: String,
    pub arn: String,
    pub subscription_arn: Option<String>,
}

#[derive(Debug, Default)]
struct Made {
    topic_arn: Option<String>,
    /// By name.
    queues: BTreeMap<String, QueuePlace>,
}

pub struct Resources {
    clients: Clients,
    settings: SnsSettings,
    names: CellNames,
    made: Mutex<Made>,
}

impl Resources {
    pub fn new(clients: &Clients, settings: &SnsSettings, name: &str) -> Self {
        let names = CellNames::new(name, settings.fifo);
        let (clients, settings) = (clients.clone(), settings.clone());
        Self { clients, settings, names, made: Mutex::default() }
    }

    pub fn names(&self) -> &CellNames {
        &self.names
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn control(&self) -> Result<Control, DriverError> {
        self.clients.control(Patience::USUAL)
    }

    /// The topic that was made.
    pub fn known_topic(&self) -> Option<String> {
        self.made().topic_arn.clone()
    }

    /// The queues that were made, dead letters aside.
    pub fn known_queues(&self) -> Vec<QueuePlace> {
        let dead = self.names.dead_letters();
        let made = self.made();
        let queues = made.queues.iter().filter(|(name, _)| **name != dead);
        queues.map(|(_, place)| place.clone()).collect()
    }

    /// The topic, made where it is not yet.
    pub fn topic(&self) -> Result<String, DriverError> {
        if let Some(arn) = self.known_topic() {
            return Ok(arn);
        }
        let control = self.control()?;
        let (key, base) = (TAG, self.names.base());
        let tag = Tag::builder().key(key).value(base).build();
        let tag = tag.map_err(|error| refused("tag the topic", error.to_string()))?;
        let attributes: HashMap<String, String> =
            self.settings.topic.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let call = control.sns.create_topic().name(self.names.topic()).tags(tag);
        let call = call.set_attributes(Some(attributes)).send();
        let made = control.ask(Asked::new("make the topic", "sns:CreateTopic"), call)?;
        let arn = made.topic_arn.ok_or_else(|| refused("make the topic", "it has no ARN"))?;
        self.made().topic_arn = Some(arn.clone());
        Ok(arn)
    }

    /// The queue of a subscription, made and subscribed where it is not yet.
    pub fn queue(&self, subscription: u16) -> Result<QueuePlace, DriverError> {
        self.subscribed(&self.names.queue(subscription), None)
    }

    /// A queue of this name, made and subscribed where it is not yet; with `replay`, what the
    /// topic's archive holds comes first.
    pub fn subscribed(&self, name: &str, replay: Option<&str>) -> Result<QueuePlace, DriverError> {
        let made = self.made().queues.get(name).cloned();
        if let Some(made) = made.filter(|made| made.subscription_arn.is_some()) {
            return Ok(made);
        }
        let topic = self.topic()?;
        let mut place = self.make_queue(name, &topic)?;
        let control = self.control()?;
        let mut call = control.sns.subscribe().topic_arn(topic).protocol("sqs");
        // Without it the message comes wrapped in JSON, a kilobyte more, to be parsed twice.
        call = call.attributes("RawMessageDelivery", "true");
        if let Some(policy) = replay {
            call = call.attributes("ReplayPolicy", policy);
        }
        let call = call.endpoint(&place.arn).return_subscription_arn(true).send();
        let made = control.ask(Asked::new("subscribe the queue", "sns:Subscribe"), call)?;
        place.subscription_arn = made.subscription_arn;
        self.made().queues.insert(name.to_owned(), place.clone());
        Ok(place)
    }

    /// The queue of dead letters, which nothing but SQS itself writes to.
    pub fn dead_letters(&self) -> Result<QueuePlace, DriverError> {
        let name = self.names.dead_letters();
        if let Some(made) = self.made().queues.get(&name) {
            return Ok(made.clone());
        }
        let topic = self.topic()?;
        let place = self.make_queue(&name, &topic)?;
        self.made().queues.insert(name, place.clone());
        Ok(place)
    }

    fn make_queue(&self, name: &str, topic: &str) -> Result<QueuePlace, DriverError> {
        let no_arn = || refused("make a queue", format!("`{topic}` is no ARN of a topic"));
        let arn = queue_arn(topic, name).ok_or_else(no_arn)?;
        let control = self.control()?;
        let call = control.sqs.create_queue().queue_name(name).tags(TAG, self.names.base());
        let call = call.set_attributes(Some(self.attributes(&arn, topic))).send();
        let made = control.ask(Asked::new("make a queue", "sqs:CreateQueue"), call)?;
        let url = made.queue_url.ok_or_else(|| refused("make a queue", "it has no address"))?;
        let place = QueuePlace { url, arn, subscription_arn: None };
        // Noted at once: a subscription that fails must not leave it behind.
        self.made().queues.insert(name.to_owned(), place.clone());
        Ok(place)
    }

    fn attributes(&self, arn: &str, topic: &str) -> HashMap<QueueAttributeName, String> {
        let SnsSettings { fifo, by_group, visibility_s, .. } = self.settings;
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
            }],
        });
        let mut attributes = HashMap::from([(QueueAttributeName::Policy, policy.to_string())]);
        if let Some(seconds) = visibility_s {
            attributes.insert(QueueAttributeName::VisibilityTimeout, seconds.to_string());
        }
        if fifo {
            attributes.insert(QueueAttributeName::FifoQueue, "true".into());
        }
        if fifo && by_group {
            attributes.insert(QueueAttributeName::DeduplicationScope, "messageGroup".into());
            attributes.insert(QueueAttributeName::FifoThroughputLimit, "perMessageGroupId".into());
        }
        attributes
    }

    /// Deletes one queue and its subscription.
    pub fn delete_queue(&self, name: &str) -> Result<(), DriverError> {
        let Some(place) = self.made().queues.remove(name) else { return Ok(()) };
        let control = self.control()?;
        if let Some(arn) = place.subscription_arn {
            let call = control.sns.unsubscribe().subscription_arn(arn).send();
            control.ask(Asked::new("end the subscription", "sns:Unsubscribe"), call)?;
        }
        delete_queue(&control, &place.url)
    }

    /// Deletes all that was made, the topic first: its subscriptions go with it. What cannot be
    /// deleted is told once everything was tried.
    pub fn delete_all(&self) -> Result<(), DriverError> {
        let made = std::mem::take(&mut *self.made());
        if made.topic_arn.is_none() && made.queues.is_empty() {
            return Ok(());
        }
        let control = self.control()?;
        let mut ends = vec![];
        ends.extend(made.topic_arn.map(|arn| delete_topic(&control, &arn)));
        ends.extend(made.queues.values().map(|place| delete_queue(&control, &place.url)));
        ends.into_iter().collect()
    }
}

fn delete_topic(control: &Control, arn: &str) -> Result<(), DriverError> {
    let call = control.sns.delete_topic().topic_arn(arn).send();
    control.ask(Asked::new("delete the topic", "sns:DeleteTopic"), call).map(drop)
}

fn delete_queue(control: &Control, url: &str) -> Result<(), DriverError> {
    let call = control.sqs.delete_queue().queue_url(url).send();
    control.ask(Asked::new("delete a queue", "sqs:DeleteQueue"), call).map(drop)
}

/// Deletes what these runs left behind, by what everything of theirs begins with; returns what that
/// was.
///
/// Only what is called after one of these runs *and* carries the tag.
pub fn sweep(clients: &Clients, runs: &BTreeSet<String>) -> Result<Vec<String>, DriverError> {
    let control = clients.control(Patience::USUAL)?;
    let mut deleted = vec![];
    for arn in topics(&control)? {
        if runs.iter().any(|run| last(&arn).starts_with(run)) && topic_is_ours(&control, &arn)? {
            delete_topic(&control, &arn)?;
            deleted.push(last(&arn).to_owned());
        }
    }
    for run in runs {
        let call = control.sqs.list_queues().queue_name_prefix(run).send();
        let found = control.ask(Asked::new("list queues", "sqs:ListQueues"), call)?;
        for url in found.queue_urls() {
            if last(url).starts_with(run) && queue_is_ours(&control, url)? {
                delete_queue(&control, url)?;
                deleted.push(last(url).to_owned());
            }
        }
    }
    deleted.sort_unstable();
    deleted.dedup();
    Ok(deleted)
}

/// The ARNs of all topics of the account; a page has a hundred.
fn topics(control: &Control) -> Result<Vec<String>, DriverError> {
    let (mut arns, mut next) = (vec![], None);
    loop {
        let call = control.sns.list_topics().set_next_token(next.take()).send();
        let page = control.ask(Asked::new("list topics", "sns:ListTopics"), call)?;
        arns.extend(page.topics().iter().filter_map(|topic| topic.topic_arn.clone()));
        match page.next_token {
            Some(token) => next = Some(token),
            None => return Ok(arns),
        }
    }
}

fn topic_is_ours(control: &Control, arn: &str) -> Result<bool, DriverError> {
    let call = control.sns.list_tags_for_resource().resource_arn(arn).send();
    let asked = Asked::new("read the tags of a topic", "sns:ListTagsForResource");
    Ok(control.ask(asked, call)?.tags().iter().any(|tag| tag.key() == TAG))
}

fn queue_is_ours(control: &Control, url: &str) -> Result<bool, DriverError> {
    let call = control.sqs.list_queue_tags().queue_url(url).send();
    let asked = Asked::new("read the tags of a queue", "sqs:ListQueueTags");
    let found = control.ask(asked, call)?;
    Ok(found.tags().is_some_and(|tags| tags.contains_key(TAG)))
}

#[cfg(test)]
mod tests {
    use super::super::clients::tests::target;
    use super::super::settings::tests::cell;
    use super::*;

    fn resources(topic: &[(&str, &str)]) -> Resources {
        let clients = Clients::new(&target("127.0.0.1:1")).unwrap();
        Resources::new(&clients, &SnsSettings::of(&cell(topic, &[])), "bb-abc123-sns-0")
    }

    #[test]
    fn this_topic_alone_may_write_to_its_queues() {
        let of = |topic: &[(&str, &str)]| resources(topic).attributes("arn:queue", "arn:topic");
        let standard = of(&[]);
        let policy: serde_json::Value =
            serde_json::from_str(&standard[&QueueAttributeName::Policy]).unwrap();
        let statement = &policy["Statement"][0];
        assert_eq!(statement["Resource"], "arn:queue");
        assert_eq!(statement["Condition"]["ArnEquals"]["aws:SourceArn"], "arn:topic");
        assert_eq!(statement["Principal"]["Service"], "sns.amazonaws.com");
        assert_eq!(standard.len(), 1, "{standard:?}");
        let fifo = of(&[("FifoTopic", "true"), ("FifoThroughputScope", "MessageGroup")]);
        assert_eq!(fifo[&QueueAttributeName::FifoThroughputLimit], "perMessageGroupId");
        assert_eq!(fifo[&QueueAttributeName::FifoQueue], "true");
    }

    #[test]
    fn who_made_nothing_asks_nobody_to_delete_it() {
        let none = resources(&[]);
        assert_eq!(none.delete_all().map_err(|error| error.to_string()), Ok(()));
        assert!(none.delete_queue("bb-abc123-sns-0-s0").is_ok());
    }
}
