//! Requests to one queue: messages fetched by a long poll, deleted or made visible again in
//! batches. Whoever asks decides when; nothing here waits by itself.

use super::calls::CallLog;
use crate::driver::sns::settings::MOST_ENTRIES;
use crate::driver::sns::words::Asked;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::change_message_visibility_batch::ChangeMessageVisibilityBatchError;
use aws_sdk_sqs::operation::delete_message_batch::DeleteMessageBatchError;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageError;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub const RECEIVE: Asked = Asked::new("receive", "sqs:ReceiveMessage");
pub const DELETE: Asked = Asked::new("delete what was processed", "sqs:DeleteMessage");
pub const RELEASE: Asked = Asked::new("hand messages back", "sqs:ChangeMessageVisibility");

pub type Failure<E> = SdkError<E, HttpResponse>;
/// A fetch that is under way.
pub type Fetch =
    Pin<Box<dyn Future<Output = Result<Vec<Message>, Failure<ReceiveMessageError>>> + Send>>;

/// How many requests were sent, by what they are for.
#[derive(Debug, Default)]
pub struct RequestCounts {
    pub fetch: AtomicU64,
    pub acknowledge: AtomicU64,
}

/// How messages are fetched.
#[derive(Clone, Debug)]
pub struct Polling {
    pub url: String,
    pub most: i32,
    pub wait_s: i32,
    /// For how long they stay hidden from others; `None`: as the queue has it.
    pub visibility_s: Option<i32>,
    /// Whether to ask how often each was received before.
    pub counted: bool,
}

/// One queue, asked through one client.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    pub polling: Polling,
    pub log: CallLog,
    pub counts: Arc<RequestCounts>,
}

impl Queue {
    /// `log` is that of `client`.
    pub fn new(client: Client, polling: Polling, log: CallLog) -> Self {
        Self { client, polling, log, counts: Arc::default() }
    }

    pub fn fetch(&self) -> Fetch {
        self.log.begin();
        self.counts.fetch.fetch_add(1, Relaxed);
        let Polling { url, most, wait_s, visibility_s, counted } = &self.polling;
        let mut call = self.client.receive_message().queue_url(url);
        call = call.max_number_of_messages(*most).wait_time_seconds(*wait_s);
        call = call.set_visibility_timeout(*visibility_s);
        if *counted {
            let name = MessageSystemAttributeName::ApproximateReceiveCount;
            call = call.message_system_attribute_names(name);
        }
        let answer = call.send();
        Box::pin(async move { answer.await.map(|output| output.messages.unwrap_or_default()) })
    }

    /// Deletes messages by their receipts, one batch after the other: that is the acknowledgement.
    pub async fn delete(
        &self,
        receipts: Vec<String>,
    ) -> Result<(), Failure<DeleteMessageBatchError>> {
        for batch in receipts.chunks(MOST_ENTRIES as usize) {
            let entry = |(id, receipt): (usize, &String)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(id.to_string());
                entry.receipt_handle(receipt).build()
            };
            let entries = batch.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
            self.log.begin();
            self.counts.acknowledge.fetch_add(1, Relaxed);
            let call = self.client.delete_message_batch().queue_url(&self.polling.url);
            let output = call.set_entries(Some(entries)).send().await?;
            for refusal in output.failed() {
                // It comes again when its time is over.
                self.log.note(format!("not deleted: {}", refusal.code()));
            }
        }
        Ok(())
    }

    /// Makes messages visible to everybody at once, by their receipts.
    pub async fn release(
        &self,
        receipts: Vec<String>,
    ) -> Result<(), Failure<ChangeMessageVisibilityBatchError>> {
        for batch in receipts.chunks(MOST_ENTRIES as usize) {
            let entry = |(id, receipt): (usize, &String)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string());
                entry.receipt_handle(receipt).visibility_timeout(0).build()
            };
            let entries = batch.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
            self.log.begin();
            let call = self.client.change_message_visibility_batch();
            call.queue_url(&self.polling.url).set_entries(Some(entries)).send().await?;
        }
        Ok(())
    }
}

/// How often a message was handed out, this time included.
pub fn attempt(message: &Message) -> u32 {
    let name = MessageSystemAttributeName::ApproximateReceiveCount;
    let told = message.attributes().and_then(|told| told.get(&name)?.parse().ok());
    told.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_by_sqs() {
        let name = MessageSystemAttributeName::ApproximateReceiveCount;
        assert_eq!(attempt(&Message::builder().attributes(name, "3").build()), 3);
        assert_eq!(attempt(&Message::builder().build()), 1);
    }
}
