//! A producer through aws-sdk-sns: each connection publishes one batch after the other, of what has
//! gathered since; so order is kept within a connection.
//!
//! The SDK's runtime has a thread of its own: tokio's timers know milliseconds, and the pacing
//! thread must wake to the microsecond.

use super::calls::CallLog;
use super::text_of;
use crate::clock::Clock;
use crate::driver::mailbox::Mailbox;
use crate::driver::sns::clients::{Clients, Patience, refused, runtime};
use crate::driver::sns::settings::SnsSettings;
use crate::driver::sns::words::{Asked, chain};
use crate::driver::{Completion, DriverError, Outcome, Outgoing, Publisher, Submitted};
use aws_sdk_sns::operation::publish_batch::{PublishBatchError, PublishBatchOutput};
use aws_sdk_sns::types::PublishBatchRequestEntry;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::operation::BuildError;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

pub const PUBLISH: Asked = Asked::new("publish", "sns:Publish");

struct WaitingMessage {
    slot: u32,
    partition: u16,
    text: String,
}

/// How a message ended, and why where it did not well.
type MessageEnd = (Completion, Option<String>);

pub struct SnsPublisher {
    /// By connection: what was submitted and not yet handed over, and the way to its thread.
    lanes: Vec<(Vec<WaitingMessage>, UnboundedSender<Vec<WaitingMessage>>)>,
    partitions: u16,
    mailbox: Arc<Mailbox<MessageEnd>>,
    logs: Vec<CallLog>,
    failures: BTreeMap<String, u64>,
    /// Ends the thread when it is dropped, with everything under way.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
}

/// Where a producer publishes, and how.
pub struct PublishPlan<'a> {
    pub clients: &'a Clients,
    pub settings: &'a SnsSettings,
    pub topic: String,
    pub connections: u16,
    pub partitions: u16,
    pub patience: Patience,
}

impl SnsPublisher {
    pub fn connect(plan: &PublishPlan<'_>) -> Result<Self, DriverError> {
        // Every message of a FIFO topic has a mark of its own, whoever publishes to it.
        static PUBLISHERS: AtomicU64 = AtomicU64::new(0);
        let publisher = PUBLISHERS.fetch_add(1, Relaxed);
        let (runtime, mailbox) = (runtime()?, Arc::new(Mailbox::default()));
        let (mut lanes, mut logs, mut carriers) = (vec![], vec![], vec![]);
        for connection in 0..plan.connections.max(1) {
            let (sender, receiver) = unbounded_channel();
            let log = CallLog::default();
            carriers.push((
                Carrier {
                    client: plan.clients.sns(plan.patience, &log),
                    topic: plan.topic.clone(),
                    settings: plan.settings.clone(),
                    mark: format!("{}-{publisher}-{connection}", std::process::id()),
                    sent: 0,
                    log: log.clone(),
                    mailbox: Arc::clone(&mailbox),
                    clock: plan.clients.clock,
                },
                receiver,
            ));
            lanes.push((vec![], sender));
            logs.push(log);
        }
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                for (carrier, receiver) in carriers {
                    tokio::spawn(carrier.run(receiver));
                }
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("aws-sdk-sns".into()).spawn(run);
        let thread = thread.map_err(|cause| refused("starting a thread", cause.to_string()))?;
        Ok(Self {
            lanes,
            partitions: plan.partitions,
            mailbox,
            logs,
            failures: BTreeMap::new(),
            stop: Some(stop),
            thread: Some(thread),
            clock: plan.clients.clock,
        })
    }
}

impl Publisher for SnsPublisher {
    /// Takes every message: how many are on their way is the caller's to limit.
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        let Outgoing { slot, connection, partition, payload, .. } = message;
        let lane = self.lanes.get_mut(connection as usize).filter(|_| partition < self.partitions);
        let Some((collected, _)) = lane else {
            let what = format!("no connection {connection} or no message group {partition}");
            return Err(refused("submit", what));
        };
        collected.push(WaitingMessage { slot, partition, text: text_of(payload) });
        Ok(Submitted::Taken)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        for (collected, sender) in &mut self.lanes {
            if !collected.is_empty() && sender.send(std::mem::take(collected)).is_err() {
                return Err(refused(PUBLISH.action, "the thread of the SDK has ended"));
            }
        }
        Ok(())
    }

    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        for (completion, failure) in self.mailbox.take(self.clock.until(until_ns)) {
            if let Some(failure) = failure {
                *self.failures.entry(failure).or_default() += 1;
            }
            completions.push(completion);
        }
        Ok(())
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.clone()
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for (reason, count) in self.logs.iter().flat_map(CallLog::retries) {
            *all.entry(reason).or_default() += count;
        }
        all
    }
}

impl Drop for SnsPublisher {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection, on the runtime's thread.
struct Carrier {
    client: aws_sdk_sns::Client,
    topic: String,
    settings: SnsSettings,
    /// What the marks of its messages begin with.
    mark: String,
    sent: u64,
    log: CallLog,
    mailbox: Arc<Mailbox<MessageEnd>>,
    clock: Clock,
}

impl Carrier {
    async fn run(mut self, mut handed_over: UnboundedReceiver<Vec<WaitingMessage>>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Some(more) = handed_over.recv().await else { return };
                waiting.extend(more);
            }
            while let Ok(more) = handed_over.try_recv() {
                waiting.extend(more);
            }
            let batch = next_batch(&mut waiting, self.settings.publish, self.settings.most_bytes);
            self.publish(batch).await;
        }
    }

    async fn publish(&mut self, batch: Vec<WaitingMessage>) {
        let slots: Vec<u32> = batch.iter().map(|message| message.slot).collect();
        self.log.begin();
        let entries = batch.into_iter().enumerate().map(|(id, message)| self.entry(id, message));
        let answer = match entries.collect::<Result<Vec<_>, BuildError>>() {
            Ok(entries) => {
                let call = self.client.publish_batch().topic_arn(&self.topic);
                call.set_publish_batch_request_entries(Some(entries)).send().await
            }
            Err(error) => Err(SdkError::construction_failure(error)),
        };
        let at_ns = self.clock.now_ns();
        let ends = ends_of(&slots, at_ns, &answer, self.log.in_doubt());
        self.mailbox.put(ends);
    }

    fn entry(
        &mut self,
        id: usize,
        message: WaitingMessage,
    ) -> Result<PublishBatchRequestEntry, BuildError> {
        let entry = PublishBatchRequestEntry::builder().id(id.to_string()).message(message.text);
        if !self.settings.fifo {
            return entry.build();
        }
        self.sent += 1;
        let mark = format!("{}-{}", self.mark, self.sent);
        entry.message_group_id(group(message.partition)).message_deduplication_id(mark).build()
    }
}

/// The message group of a partition: order is kept within it.
pub fn group(partition: u16) -> String {
    format!("g{partition}")
}

/// The oldest messages that one request may carry; one that is too large goes alone, and is refused
/// by whoever has the limit.
fn next_batch(
    waiting: &mut VecDeque<WaitingMessage>,
    most: usize,
    most_bytes: usize,
) -> Vec<WaitingMessage> {
    let (mut batch, mut bytes) = (vec![], 0);
    while batch.len() < most
        && let Some(message) = waiting
            .pop_front_if(|message| batch.is_empty() || bytes + message.text.len() <= most_bytes)
    {
        bytes += message.text.len();
        batch.push(message);
    }
    batch
}

/// How each message of a batch ended.
fn ends_of(
    slots: &[u32],
    at_ns: u64,
    answer: &Result<PublishBatchOutput, SdkError<PublishBatchError, HttpResponse>>,
    doubt: bool,
) -> Vec<MessageEnd> {
    let end = |slot: u32, outcome, why| (Completion { slot, outcome, at_ns }, why);
    let output = match answer {
        Ok(output) => output,
        Err(error) => {
            let (outcome, why) = failed(error, doubt);
            return slots.iter().map(|slot| end(*slot, outcome, Some(why.clone()))).collect();
        }
    };
    // What AWS says nothing of is in doubt.
    let silent = || Some("the answer does not tell of this message".to_owned());
    let mut ends: Vec<MessageEnd> =
        slots.iter().map(|slot| end(*slot, Outcome::Indeterminate, silent())).collect();
    for taken in output.successful() {
        if let Some(at) = place(taken.id().unwrap_or_default(), slots.len()) {
            ends[at] = end(slots[at], Outcome::Acked, None);
        }
    }
    for refusal in output.failed() {
        if let Some(at) = place(refusal.id(), slots.len()) {
            ends[at] = end(slots[at], Outcome::Failed, Some(refusal.code().to_owned()));
        }
    }
    ends
}

/// Where in its batch an entry stood that is called so.
fn place(id: &str, length: usize) -> Option<usize> {
    id.parse().ok().filter(|at| *at < length)
}

/// What a call without an output means for its messages. `doubt`: an attempt may have been taken.
fn failed(error: &SdkError<PublishBatchError, HttpResponse>, doubt: bool) -> (Outcome, String) {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata;
    let why = error.code().map_or_else(|| chain(error), str::to_owned);
    let outcome = match error {
        SdkError::ConstructionFailure(_) => Outcome::Failed,
        _ if doubt => Outcome::Indeterminate,
        // Refused, or never sent.
        SdkError::ServiceError(_) | SdkError::DispatchFailure(_) => Outcome::Failed,
        _ => Outcome::Indeterminate,
    };
    (outcome, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sns::types::{BatchResultErrorEntry, PublishBatchResultEntry};
    use aws_smithy_runtime_api::client::result::ConnectorError;

    fn message(slot: u32, bytes: usize) -> WaitingMessage {
        WaitingMessage { slot, partition: 0, text: "x".repeat(bytes) }
    }

    #[test]
    fn a_request_carries_what_has_gathered_up_to_its_limits() {
        let mut waiting: VecDeque<_> = (0..25).map(|slot| message(slot, 100)).collect();
        let mut sizes = vec![];
        while !waiting.is_empty() {
            sizes.push(next_batch(&mut waiting, 10, 1 << 18).len());
        }
        assert_eq!(sizes, [10, 10, 5]);
        let mut waiting: VecDeque<_> = [100, 200, 701, 300].map(|bytes| message(0, bytes)).into();
        let mut lengths = || -> Vec<usize> {
            next_batch(&mut waiting, 10, 1000).iter().map(|message| message.text.len()).collect()
        };
        assert_eq!((lengths(), lengths()), (vec![100, 200], vec![701]));
        let mut large: VecDeque<_> = [message(7, 2000), message(8, 1)].into();
        assert_eq!(next_batch(&mut large, 10, 1000).len(), 1, "alone, to be refused");
    }

    #[test]
    fn every_message_of_a_batch_has_an_end_of_its_own() {
        let taken = PublishBatchResultEntry::builder().id("0").build();
        let refusal = BatchResultErrorEntry::builder().id("2").code("InternalError");
        let refusal = refusal.sender_fault(false).build().unwrap();
        let stray = PublishBatchResultEntry::builder().id("9").build();
        let output = PublishBatchOutput::builder().successful(taken).successful(stray);
        let output = output.failed(refusal).build();
        let ends = ends_of(&[70, 71, 72], 5, &Ok(output), false);
        let told: Vec<_> =
            ends.iter().map(|(end, why)| (end.slot, end.outcome, why.as_deref())).collect();
        assert_eq!(told[0], (70, Outcome::Acked, None));
        assert_eq!((told[1].0, told[1].1), (71, Outcome::Indeterminate));
        assert_eq!(told[2], (72, Outcome::Failed, Some("InternalError")));
    }

    #[test]
    fn what_may_have_been_taken_is_in_doubt_and_what_was_not_is_refused() {
        let cut = || SdkError::dispatch_failure(ConnectorError::io("cut".into()));
        assert_eq!(failed(&cut(), true).0, Outcome::Indeterminate);
        assert_eq!(failed(&cut(), false).0, Outcome::Failed, "never connected");
        let late = SdkError::timeout_error("late");
        assert_eq!(failed(&late, false).0, Outcome::Indeterminate);
        let made = SdkError::construction_failure("no credentials");
        assert_eq!(failed(&made, true).0, Outcome::Failed);
        let ends = ends_of(&[1, 2], 5, &Err(cut()), true);
        assert!(ends.iter().all(|(end, why)| end.outcome == Outcome::Indeterminate
            && why.as_ref().is_some_and(|why| why.contains("cut"))));
    }
}
