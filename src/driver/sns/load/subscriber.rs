//! A consumer through aws-sdk-sqs: one long poll after the other, and beside it, over a second
//! connection, the deletion of what was handed out before.
//!
//! The consumer's thread drives the SDK's runtime itself, inside `receive` alone: who does not ask
//! does not read. A long poll is never abandoned for want of time (dropping one hides what it takes
//! until its visibility time-out): it stays under way, and the next call takes its answer up.

use super::payload_of;
use super::queue::{DELETE, Failure, Fetch, Polling, Queue, RECEIVE, RELEASE, RequestCounts};
use crate::driver::capability::{Requests, WatchedSubscriber};
use crate::driver::sns::clients::{Clients, Patience, refused, runtime, timed_out};
use crate::driver::sns::load::calls::CallLog;
use crate::driver::{DriverError, Incoming, Subscriber};
use aws_sdk_sqs::operation::delete_message_batch::DeleteMessageBatchError;
use aws_sdk_sqs::types::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long it may take to acknowledge what is left and leave.
const CLOSE: Duration = Duration::from_secs(3);

type Deletion = JoinHandle<Result<(), Failure<DeleteMessageBatchError>>>;

pub struct SnsSubscriber {
    runtime: Runtime,
    clients: Clients,
    fetching: Queue,
    deleting: Queue,
    under_way: Option<Fetch>,
    deletion: Option<Deletion>,
    /// Receipts of what was handed out and is not being deleted yet.
    handed_out: Vec<String>,
    buffer: Vec<u8>,
}

impl SnsSubscriber {
    pub fn connect(
        clients: &Clients,
        polling: Polling,
        patience: Patience,
    ) -> Result<Self, DriverError> {
        let queue = || {
            let log = CallLog::default();
            Queue::new(clients.sqs(patience, &log), polling.clone(), log)
        };
        Ok(Self {
            runtime: runtime()?,
            clients: clients.clone(),
            fetching: queue(),
            deleting: queue(),
            under_way: None,
            deletion: None,
            handed_out: vec![],
            buffer: vec![],
        })
    }

    /// With its requests counted. A request that the SDK sends again is one.
    pub fn watched(self) -> WatchedSubscriber<Requests> {
        let (fetches, deletions) = (self.fetching.counts.clone(), self.deleting.counts.clone());
        let count =
            |of: &Arc<RequestCounts>| (of.fetch.load(Relaxed), of.acknowledge.load(Relaxed));
        let ask = move || {
            let ((fetch, _), (_, acknowledge)) = (count(&fetches), count(&deletions));
            Ok(Requests { fetch, acknowledge, ..Requests::default() })
        };
        WatchedSubscriber { subscriber: Box::new(self), ask: Box::new(ask) }
    }

    /// Begins to delete what was handed out, unless the deletion before is still under way.
    fn acknowledge(&mut self) -> Result<(), DriverError> {
        if self.deletion.as_ref().is_some_and(|deletion| !deletion.is_finished()) {
            return Ok(());
        }
        self.end_deletion()?;
        if !self.handed_out.is_empty() {
            let (queue, receipts) = (self.deleting.clone(), std::mem::take(&mut self.handed_out));
            let deletion = async move { queue.delete(receipts).await };
            self.deletion = Some(self.runtime.spawn(deletion));
        }
        Ok(())
    }

    /// Waits for the deletion that is under way.
    fn end_deletion(&mut self) -> Result<(), DriverError> {
        let Some(deletion) = self.deletion.take() else { return Ok(()) };
        match self.runtime.block_on(async { timeout(CLOSE, deletion).await }) {
            Ok(Ok(ended)) => ended.map_err(|error| self.clients.failed(DELETE, &error)),
            Ok(Err(error)) => Err(refused(DELETE.action, error.to_string())),
            Err(_) => Err(timed_out(DELETE.action, CLOSE)),
        }
    }

    /// What the long poll that is under way brings, if it comes in time.
    fn answer(&mut self, limit: Duration) -> Result<Option<Vec<Message>>, DriverError> {
        let Some(under_way) = &mut self.under_way else { return Ok(None) };
        // In an `async` block: the timer wants a runtime around it.
        let answered = self.runtime.block_on(async { timeout(limit, under_way).await });
        let Ok(answer) = answered else { return Ok(None) };
        self.under_way = None;
        answer.map(Some).map_err(|error| self.clients.failed(RECEIVE, &error))
    }
}

impl Subscriber for SnsSubscriber {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        let clock = self.clients.clock;
        loop {
            self.acknowledge()?;
            if self.under_way.is_none() {
                self.under_way = Some(self.fetching.fetch());
            }
            let Some(messages) = self.answer(clock.until(until_ns))? else { return Ok(()) };
            let received_ns = clock.now_ns();
            let any = !messages.is_empty();
            for message in messages {
                let text = message.body().unwrap_or_default();
                sink(Incoming { payload: payload_of(text, &mut self.buffer), received_ns });
                self.handed_out.extend(message.receipt_handle);
            }
            if any || clock.until(until_ns).is_zero() {
                return Ok(());
            }
        }
    }

    fn close(&mut self) -> Result<(), DriverError> {
        // What came too late for anybody is for others at once.
        let late = self.answer(Duration::ZERO).ok().flatten().unwrap_or_default();
        self.under_way = None;
        let late: Vec<String> =
            late.into_iter().filter_map(|message| message.receipt_handle).collect();
        self.end_deletion()?;
        self.acknowledge()?;
        self.end_deletion()?;
        let release = self.deleting.release(late);
        match self.runtime.block_on(async { timeout(CLOSE, release).await }) {
            Ok(released) => released.map_err(|error| self.clients.failed(RELEASE, &error)),
            Err(_) => Err(timed_out(RELEASE.action, CLOSE)),
        }
    }

    fn retries(&self) -> BTreeMap<String, u64> {
        let mut all = self.fetching.log.retries();
        for (reason, count) in self.deleting.log.retries() {
            *all.entry(reason).or_default() += count;
        }
        all
    }
}
