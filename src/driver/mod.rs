//! The seam between the engine and the systems: what every driver can do, and the one place where drivers are listed.
//!
//! A driver returns stamps and outcomes. It never records a latency, never paces, and never blocks longer than it was
//! told to. What it tries again, it counts: on its own account only where `load.deadline` is set, else as its client
//! library does.

pub mod cache;
pub mod cluster;
pub mod codec;
pub mod fake;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod kafka;
mod large;
mod patience;
mod redis;
pub mod replay;
pub mod requests;
pub mod stall;
pub mod work;

pub use large::{Comparison, LargeClient, LargeMessages, Refusal, Times, Trip, Who};

use crate::access::Access;
use crate::clock::Clock;
use crate::model::{Software, System};
use crate::result::{Description, Fault, Survives};
use crate::scenario::Cell;
use crate::units::Span;
use replay::Replay;
use requests::Counted;
use stall::Stalled;
use std::collections::BTreeMap;
use std::time::Duration;

/// A broker's fault or a refusal, in words for the user.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DriverError {
    /// The broker cannot be reached or went away.
    #[error("{system}: connection lost to {address}: {cause}")]
    Disconnected { system: System, address: String, cause: String },
    /// The broker or the client library refused what was asked.
    #[error("{system}: {action} refused: {cause}")]
    Refused { system: System, action: String, cause: String },
    /// Nothing came in time.
    #[error("{system}: {action} got no answer within {seconds} s")]
    TimedOut { system: System, action: String, seconds: u64 },
    /// A reply that the protocol does not allow.
    #[error("{system}: unreadable reply: {cause}")]
    Protocol { system: System, cause: String },
    /// The system has no such operation by its nature.
    #[error("{system} cannot {action}: {because}")]
    Cannot { system: System, action: String, because: String },
}

impl DriverError {
    /// Of a driver that lacks a whole capability.
    fn without(action: &str) -> Self {
        Self::Cannot { system: System::Fake, action: action.into(), because: "this driver has no way to do it".into() }
    }
}

/// One message on its way out. `payload` is the whole message, envelope included.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Comes back in the [`Completion`]; at most `in_flight` slots exist per producer.
    pub slot: u32,
    /// Which of the producer's connections, `0..load.connections`.
    pub connection: u16,
    /// Which partition, channel, stream or list, `0..config.streams()`.
    pub stream: u16,
    pub payload: &'a [u8],
}

/// Whether the client library took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    Taken,
    /// Its queue or socket is full: back-pressure. Submit the same message again after [`Publisher::wait`].
    Full,
}

/// How a message ended at its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged by the system (for Pub/Sub: replied to, which promises nothing).
    Acked,
    /// Refused; the system says that it does not hold it.
    Failed,
    /// Unknown: a time-out or a lost connection. Neither lost nor stored until the audit says so.
    Indeterminate,
}

/// The end of one message at its producer.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub slot: u32,
    pub outcome: Outcome,
    /// Read inside the delivery callback (Kafka) or when the reply is parsed (Redis), ns since the run's epoch.
    pub at_ns: u64,
}

/// One producer. Used by exactly one thread, which also paces.
pub trait Publisher: Send {
    /// Hands over one message without blocking.
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError>;
    /// Writes out what `submit` has collected. Called after the last due message of each wake.
    fn flush(&mut self) -> Result<(), DriverError>;
    /// Returns at `until_ns` or earlier when completions came in, which it appends. Never returns later by design:
    /// precision is that of the kernel's timers. With `until_ns` in the past it only collects what is there.
    fn wait(&mut self, until_ns: u64, completions: &mut Vec<Completion>) -> Result<(), DriverError>;
    /// Reasons of failed and indeterminate messages so far, with their counts.
    fn failures(&self) -> BTreeMap<String, u64>;
    /// What was tried again so far, by its reason: messages sent again (or, where the client library does it and tells
    /// no more, requests), refusals that may pass, connections made anew. Empty for a driver that tries nothing again.
    fn retries(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// One delivered message, borrowed from the driver's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub payload: &'a [u8],
    /// Read when the consumer API yields the record, before decoding; ns since the run's epoch.
    pub received_ns: u64,
}

/// One consumer of one subscription. Used by exactly one thread.
pub trait Subscriber: Send {
    /// Hands every message that is there to `sink`, waiting until `until_ns` for the first.
    ///
    /// Acknowledges (offset, XACK, removal from the processing list) what *earlier* calls handed out: the caller
    /// has processed it by then.
    fn receive(&mut self, until_ns: u64, sink: &mut dyn FnMut(Incoming<'_>)) -> Result<(), DriverError>;
    /// Ends as a killed process does: its connection closes, and nothing is acknowledged any more.
    fn abandon(self: Box<Self>);
    /// Acknowledges what is left and leaves. Bounded by a few seconds.
    fn close(&mut self) -> Result<(), DriverError>;
    /// What was tried again so far, by its reason, as for [`Publisher::retries`].
    fn retries(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// What an audit read found, besides the messages it handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// The system keeps what was delivered: all acknowledged messages should have been seen, save what `trimmed` says.
    Retains {
        /// The broker dropped the oldest entries by a limit that the scenario set (`MAXLEN`).
        trimmed: bool,
    },
    /// The system gives messages up when they are taken: only undelivered ones should have been seen.
    Remainder,
    /// The system keeps nothing that could be read.
    Nothing,
}

/// One system, ready for one cell on running brokers. Dropping it closes every connection it still holds.
pub trait Driver: Send + Sync {
    /// Makes the topic, stream or list of this cell, under a name no other cell uses, and proves it by one message
    /// produced and consumed.
    fn prepare(&self) -> Result<(), DriverError>;
    /// Connects producer `producer`. Ready to send on return.
    fn publisher(&self, producer: u16) -> Result<Box<dyn Publisher>, DriverError>;
    /// Connects somebody who is none of the load's producers, by one fresh connection and one attempt: it takes little
    /// longer than `limit`, whatever the system does.
    fn probe_publisher(&self, _limit: Duration) -> Result<Box<dyn Publisher>, DriverError> {
        self.publisher(u16::MAX)
    }
    /// Connects consumer `consumer` of subscription `subscription`. It receives everything published after this
    /// returns (for a shared subscription: once all its consumers have returned).
    fn subscriber(&self, subscription: u16, consumer: u16) -> Result<Box<dyn Subscriber>, DriverError>;
    /// Reads back what the broker still holds, without taking it away.
    fn audit(&self, deadline_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError>;
    /// What the last audit could not read because nobody serves it any more, in words: gone for every client.
    fn unreadable(&self) -> Vec<String> {
        Vec::new()
    }
    /// A way for messages of any size, on the cell's own topic, stream, list or channel.
    fn large(&self, _: LargeClient) -> Result<Box<dyn LargeMessages>, DriverError> {
        Err(DriverError::Cannot {
            system: System::Fake,
            action: "carry large messages".into(),
            because: "its messages are numbers".into(),
        })
    }
    /// What an acknowledged message survives, by the system's own documentation and this cell's settings.
    fn survives(&self) -> Survives;
    /// Whether the reply to a publish is an acknowledgement; false for Pub/Sub and Kafka's `acks=0`.
    fn acknowledges(&self) -> bool;
    /// Versions and effective settings, read back from broker and client.
    fn describe(&self) -> Result<Description, DriverError>;
    /// Deletes what `prepare` made. Bounded by a few seconds.
    fn clean_up(&self) -> Result<(), DriverError>;

    /// As [`Driver::subscriber`], with its requests counted; to be the only consumer of its broker while it counts.
    fn counted(&self, _subscription: u16, _consumer: u16) -> Result<Box<dyn Counted>, DriverError> {
        Err(DriverError::without("count requests"))
    }
    /// A consumer that has subscribed and asked, and from then on does not read its socket.
    fn stalled(&self, _subscription: u16) -> Result<Box<dyn Stalled>, DriverError> {
        Err(DriverError::without("stall a consumer"))
    }
    /// Ways to read what was published before, for systems that keep it.
    fn replay(&self) -> Result<&dyn Replay, DriverError> {
        Err(DriverError::without("read again"))
    }
    /// Messages as work that may fail and is tried again after `pause`. Makes what it needs; after [`Driver::prepare`].
    fn work(&self, _pause: Span) -> Result<Box<dyn work::Work + '_>, DriverError> {
        Err(DriverError::without("hand out work"))
    }
    /// Faults that the driver itself played: the fake broker's outages, whose truth is known.
    fn played(&self) -> Vec<Fault> {
        Vec::new()
    }
    /// The system seen from outside, for fault injection.
    fn cluster(&self) -> Result<Box<dyn cluster::Cluster>, DriverError> {
        Err(DriverError::without("look at the cluster"))
    }
    /// A client of the system's values by key.
    fn cache(&self) -> Result<Box<dyn cache::Cache>, DriverError> {
        Err(DriverError::without("keep values by key"))
    }
}

/// Where a cell's brokers listen, and how its topic is to be named.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port` of each broker that takes messages, as clients are to reach it; for Redis the first is the primary,
    /// unless there are sentinels to ask.
    pub addresses: Vec<String>,
    /// Who tells where the primary is, and ways beside the clients' own.
    pub paths: Paths,
    /// Unique per cell and block, `[a-z0-9-]`: names the topic, channel, stream or list.
    pub name: String,
    pub clock: Clock,
}

/// How to find and to reach the nodes of a broker besides by the addresses that clients start from. Empty for one node of
/// our own without a fault proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// `host:port` of each Sentinel; they know the primary by the name [`Paths::PRIMARY`].
    pub sentinels: Vec<String>,
    /// From the address that a Sentinel tells to the one that clients are to connect to, where the two differ: nodes
    /// reach each other past the clients' fault proxy.
    pub told: BTreeMap<String, String>,
    /// From the address that clients connect to, to where the node itself listens, where a fault proxy stands between:
    /// for questions that must be answered while the clients are cut off. Never for the load.
    pub direct: BTreeMap<String, String>,
    /// Whom clients may connect to, and with which TLS and login.
    pub access: Access,
}

impl Paths {
    /// What the Sentinels that we start call the set of nodes that they watch.
    pub const PRIMARY: &str = "brokerbench";

    /// Where clients are to connect, when a Sentinel told this address.
    pub fn client(&self, told: &str) -> String {
        self.told.get(told).map_or(told, String::as_str).to_owned()
    }

    /// Where the node behind an address of clients listens itself.
    pub fn direct(&self, client: &str) -> String {
        self.direct.get(client).map_or(client, String::as_str).to_owned()
    }
}

/// What speaks to the systems, with its versions.
pub fn client_versions() -> [String; 2] {
    [kafka::client_version(), redis::client_version()]
}

/// Opens the driver for a cell.
pub fn open(cell: &Cell, target: Target) -> Result<Box<dyn Driver>, DriverError> {
    let mut cell = cell.clone();
    if !target.paths.access.is_ours() {
        // Nobody gave these settings to a broker that ran before: nothing may be concluded from them.
        cell.config.broker.clear();
    }
    match cell.config.system.software() {
        Software::Kafka => kafka::open(&cell, target),
        Software::Redis => redis::open(&cell, target),
        Software::Fake => Err(DriverError::Refused {
            system: System::Fake,
            action: "open".into(),
            cause: "the fake broker serves the self-check only".into(),
        }),
    }
}

/// Whether a broker answers at `address` (`host:port`), behind TLS and logged in to where `access` says so, and to which
/// addresses it sends clients: to be judged before anything else connects there. The error is a cause and a remedy in
/// words, without the address.
pub fn knock(software: Software, address: &str, access: &Access) -> Result<Vec<String>, String> {
    match software {
        Software::Kafka => kafka::knock(address, access),
        Software::Redis => redis::knock(address, access).map(|()| Vec::new()),
        Software::Fake => Err("the fake broker has no address".into()),
    }
}

/// A stand-in for a broker on loopback that answers at once: shows what the driver's own path costs (instrument
/// floor). Stops when dropped.
pub trait Reflector: Send {
    fn addresses(&self) -> Vec<String>;
}

/// Starts the reflector for a system.
pub fn reflector(system: System) -> Result<Box<dyn Reflector>, DriverError> {
    match system.software() {
        Software::Kafka => kafka::reflector(),
        Software::Redis => redis::reflector(),
        Software::Fake => Err(DriverError::Refused {
            system,
            action: "reflect".into(),
            cause: "the fake broker needs no reflector".into(),
        }),
    }
}
