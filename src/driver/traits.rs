//! Driver, publisher and subscriber: what every system's driver can do for the load.
//!
//! A driver returns stamps and outcomes. It never records a latency, never paces, and never blocks
//! longer than it was told to. What it tries again, it counts: on its own account only where
//! `load.deadline` is set, else as its client library does.
//! What a driver may offer besides is in [`capability`](super::capability).

use super::capability::{
    Board, CacheClient, ClusterView, HeldForConsumer, Replay, Requests, WatchedSubscriber,
};
use super::work::{WorkQueue, WorkTerms};
use super::{DriverError, LargeClient, LargeMessages};
use crate::model::System;
use crate::result::{Description, Fault, Survives};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// One message on its way out. `payload` is the whole message, envelope included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// Comes back in the [`Completion`]; at most `in_flight` slots exist per producer.
    pub slot: u32,
    /// Which of the producer's connections, `0..load.connections`.
    pub connection: u16,
    /// Which partition, channel, stream or list, `0..config.partitions()`.
    pub partition: u16,
    /// Empty where messages have none. Only Kafka sends it along: elsewhere its use is to decide
    /// the partition.
    pub key: &'a [u8],
    pub payload: &'a [u8],
}

/// Whether the client library took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    Taken,
    /// Its queue or socket is full: back-pressure.
    /// Submit the same message again after [`Publisher::wait`].
    Full,
}

/// How a message ended at its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged by the system (for Pub/Sub: replied to, which promises nothing).
    Acked,
    /// Refused; the system says that it does not hold it.
    Failed,
    /// Of a transaction that was aborted on purpose: no consumer may see it.
    Aborted,
    /// Unknown: a time-out or a lost connection. Neither lost nor stored until the audit says so.
    Indeterminate,
}

/// The end of one message at its producer.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub slot: u32,
    pub outcome: Outcome,
    /// Read inside the delivery callback (Kafka) or when the reply is parsed (Redis), ns since the
    /// run's epoch.
    pub at_ns: u64,
}

/// One producer. Used by exactly one thread, which also paces.
pub trait Publisher: Send {
    /// Hands over one message without blocking.
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError>;
    /// Writes out what `submit` has collected. Called after the last due message of each wake.
    /// Nothing to do where the client library writes on its own.
    fn flush(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
    /// Returns at `until_ns` or earlier when completions came in, which it appends. Never returns
    /// later by design: precision is that of the kernel's timers. With `until_ns` in the past it
    /// only collects what is there.
    fn wait(&mut self, until_ns: u64, completions: &mut Vec<Completion>)
    -> Result<(), DriverError>;
    /// Reasons of failed and indeterminate messages so far, with their counts.
    fn failures(&self) -> BTreeMap<String, u64>;
    /// What was tried again so far, by its reason: messages sent again (or, where the client
    /// library does it and tells no more, requests), refusals that may pass, connections made anew.
    /// Empty for a driver that tries nothing again.
    fn retries(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// One delivered message, borrowed from the driver's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub payload: &'a [u8],
    /// Read when the client has what it was sent, before any of it is decoded: one stamp for all
    /// that one read brought; ns since the run's epoch.
    pub received_ns: u64,
}

/// One consumer of one subscription. Used by exactly one thread.
pub trait Subscriber: Send {
    /// Hands every message that is there to `sink`, waiting until `until_ns` for the first.
    ///
    /// Acknowledges (offset, XACK, removal from the processing list) what *earlier* calls handed
    /// out: the caller has processed it by then.
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError>;
    /// Ends as a killed process does: its connection closes, and nothing is acknowledged any more.
    fn abandon(self: Box<Self>) {}
    /// Acknowledges what is left and leaves. Bounded by a few seconds.
    fn close(&mut self) -> Result<(), DriverError>;
    /// What was tried again so far, by its reason, as for [`Publisher::retries`].
    fn retries(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// The only consumers of many subscriptions, on one thread, which has one stamp for whatever has
/// come to one of them.
pub trait Crowd: Send {
    /// As [`Subscriber::receive`], of whichever have something, each by its place among them.
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(usize, Incoming<'_>),
    ) -> Result<(), DriverError>;
    /// As [`Subscriber::close`], all of them.
    fn close(&mut self) -> Result<(), DriverError>;
}

/// What an audit read found, besides the messages it handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// The system keeps what was delivered: all acknowledged messages should have been seen, save
    /// what `trimmed` says.
    Retains {
        /// The broker dropped the oldest entries by a limit that the scenario set (`MAXLEN`).
        trimmed: bool,
        /// What could not be read because nobody serves it any more,
        /// in words: gone for every client.
        unreadable: Vec<String>,
    },
    /// The system gives messages up when they are taken:
    /// only undelivered ones should have been seen.
    Remainder,
    /// The system keeps nothing that could be read.
    Nothing,
}

/// One system, ready for one cell on running brokers.
/// Dropping it closes every connection it still holds.
pub trait Driver: Send + Sync {
    /// Whose driver this is: the name in its errors.
    fn system(&self) -> System;
    /// The error of a driver that lacks a whole capability.
    fn without(&self, action: &str) -> DriverError {
        let because = "this driver has no way to do it".into();
        DriverError::Cannot { system: self.system(), action: action.into(), because }
    }
    /// Whether brokers that run already have what this cell needs to find there: nothing is made,
    /// and nothing sent.
    fn look(&self) -> Result<(), DriverError> {
        Ok(())
    }
    /// Makes the topic, stream or list of this cell, under a name no other cell uses, and proves it
    /// by one message produced and consumed.
    fn prepare(&self) -> Result<(), DriverError>;
    /// To which of so many partitions, channels, streams or lists the messages with this key go:
    /// what the system's client decides, and where none does a checksum of the key.
    fn partition_of(&self, key: &[u8], partitions: u16) -> u16 {
        (crc32c::crc32c(key) % u32::from(partitions.max(1))) as u16
    }
    /// Connects producer `producer`. Ready to send on return.
    fn publisher(&self, producer: u16) -> Result<Box<dyn Publisher>, DriverError>;
    /// Connects somebody who is none of the load's producers, by one fresh connection and one
    /// attempt: it takes little longer than `limit`, whatever the system does.
    fn probe_publisher(&self, _limit: Duration) -> Result<Box<dyn Publisher>, DriverError> {
        self.publisher(u16::MAX)
    }
    /// Connects consumer `consumer` of subscription `subscription`. It receives everything
    /// published after this returns (for a shared subscription:
    /// once all its consumers have returned).
    fn subscriber(
        &self,
        subscription: u16,
        consumer: u16,
    ) -> Result<Box<dyn Subscriber>, DriverError>;
    /// Connects a consumer whose place somebody had who was cut off or refused: it begins with what
    /// that one left unacknowledged.
    fn rejoin(&self, subscription: u16, consumer: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        self.subscriber(subscription, consumer)
    }
    /// Connects the only consumers of these subscriptions, for one thread: where
    /// [`crate::scenario::share_threads`] says so. `again`: in the place of those who were cut off,
    /// as [`Self::rejoin`].
    fn crowd(
        &self,
        _subscriptions: Range<u16>,
        _again: bool,
    ) -> Result<Box<dyn Crowd>, DriverError> {
        Err(self.without("serve many subscriptions on one thread"))
    }
    /// Reads back what the broker still holds, without taking it away.
    fn audit(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError>;
    /// A way for messages of any size, on the cell's own topic, stream, list or channel.
    fn large(&self, _: LargeClient) -> Result<Box<dyn LargeMessages>, DriverError> {
        Err(self.without("carry large messages"))
    }
    /// What an acknowledged message survives,
    /// by the system's own documentation and this cell's settings.
    fn survives(&self) -> Survives;
    /// Whether the reply to a publish is an acknowledgement;
    /// false for Pub/Sub and Kafka's `acks=0`.
    fn acknowledges(&self) -> bool;
    /// Versions and effective settings, read back from broker and client.
    fn describe(&self) -> Result<Description, DriverError>;
    /// What the broker counts, since it began, of what it does to clients and messages by itself,
    /// by what that is; empty where it does not tell.
    fn toll(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
    /// Deletes what `prepare` made. Bounded by a few seconds.
    fn clean_up(&self) -> Result<(), DriverError>;

    /// As [`Driver::subscriber`], with its requests counted: sent up to now, from a zero of the
    /// driver's own, so that only differences mean something. To be the only consumer of its broker
    /// while it counts.
    fn counted(
        &self,
        _subscription: u16,
        _consumer: u16,
    ) -> Result<WatchedSubscriber<Requests>, DriverError> {
        Err(self.without("count requests"))
    }
    /// A consumer that has subscribed and asked, does not read its socket until it is told to
    /// receive, and what the broker holds for it. That the broker has cut it off shows as
    /// [`DriverError::Disconnected`], once everything that still came before has been handed out.
    fn stalled(
        &self,
        _subscription: u16,
    ) -> Result<WatchedSubscriber<HeldForConsumer>, DriverError> {
        Err(self.without("stall a consumer"))
    }
    /// Ways to read what was published before, for systems that keep it.
    fn replay(&self) -> Result<&dyn Replay, DriverError> {
        Err(self.without("read again"))
    }
    /// Messages as work that may fail and is tried again. Makes what it needs; after
    /// [`Driver::prepare`].
    fn work(&self, _terms: WorkTerms) -> Result<Box<dyn WorkQueue + '_>, DriverError> {
        Err(self.without("hand out work"))
    }
    /// Faults that the driver itself played: the fake broker's outages, whose truth is known.
    fn played(&self) -> Vec<Fault> {
        Vec::new()
    }
    /// The system seen from outside, for fault injection.
    fn cluster(&self) -> Result<Box<dyn ClusterView>, DriverError> {
        Err(self.without("look at the cluster"))
    }
    /// The board of this name, which is made if no other shard has made it.
    fn board(&self, _name: &str) -> Result<Box<dyn Board>, DriverError> {
        Err(self.without("let shards meet"))
    }
    /// A client of the system's values by key.
    fn cache(&self) -> Result<Box<dyn CacheClient>, DriverError> {
        Err(self.without("keep values by key"))
    }
}
