//! The climb itself: each rung in each of its ways, one message at a time,
//! with memory and wire watched.
//!
//! A limit that was met ends its way; what nobody answered does not, since a larger message may
//! pass by other means (a codec's ratio decides what some consumers can unpack). Then the limits
//! themselves are found, by bisection between two rungs.

use super::super::ExperimentContext;
use super::plan::{Limit, SendVariant, kinds, needs, refuse, sent};
use super::search;
use crate::driver::{
    Driver, DriverError, LargeClient, LargeMessages, LargeRefusal, Times, Trip, Who, codec,
};
use crate::engine::{CellRunError, Phase, Progress};
use crate::environment::{memory_available, reset_peak, usage};
use crate::model::{Codec, Software};
use crate::payload::large;
use crate::scenario::{PayloadKind, SizeLadder};
use crate::units::{Bytes, Span};
use std::time::{Duration, Instant};

/// A short message is repeated at most so often.
const MOST_TRIPS: usize = 1000;
/// How long the broker may take to write down why it refused.
const LOG: Duration = Duration::from_millis(100);
const LOG_LINES: usize = 60;
/// What a broker writes when it is about our message.
const TELLING: &[&str] =
    &["ERROR", "Exception", "Error:", "overcoming of output buffer", "query buffer"];

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub kind: SendVariant,
    pub size: Bytes,
    pub sent_bytes: usize,
    /// Tried to find a limit between two rungs, and no rung itself.
    pub searched: bool,
    pub tried: Result<Tried, Untried>,
}

/// Why a size was not tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Untried {
    /// A smaller one was refused already.
    PastLimit(String),
    /// The machine has no room for it, or the broker is gone.
    NoRoom(String),
}

impl Untried {
    pub fn why(&self) -> &str {
        let (Self::PastLimit(why) | Self::NoRoom(why)) = self;
        why
    }
}

impl Attempt {
    pub fn intact(&self) -> bool {
        self.tried.as_ref().is_ok_and(|tried| tried.end.is_ok())
    }

    /// The refusal that a larger message would meet as well.
    pub fn refused(&self) -> Option<&LargeRefusal> {
        self.tried.as_ref().ok()?.end.as_ref().err().filter(|refusal| !refusal.who.is_ours())
    }

    /// Why nothing is known of this size: with more time or memory it may pass.
    pub fn unknown(&self) -> Option<String> {
        match &self.tried {
            Err(Untried::NoRoom(why)) => Some(format!("{} was not tried: {why}", self.size)),
            Ok(Tried { end: Err(refusal), .. }) if refusal.who.is_ours() => {
                Some(format!("{} ended by {refusal}", self.size))
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The median trip, or the refusal that ended the first or a later one.
    pub end: Result<Times, LargeRefusal>,
    pub trips: u64,
    /// Compressing and decompressing around the client, where the client does not.
    pub pack: Duration,
    pub unpack: Duration,
    pub wire_bytes: Option<u64>,
    pub client_peak: Option<u64>,
    pub broker_peak: Option<u64>,
    /// When the message was on its way.
    pub window_ns: (u64, u64),
}

/// Connections of one kind, kept from rung to rung.
struct LadderConnection {
    codec: Codec,
    client: LargeClient,
    /// Before its driver, which it came from.
    messages: Box<dyn LargeMessages>,
    driver: Box<dyn Driver>,
}

struct Climb<'a, 'b> {
    context: &'a mut ExperimentContext<'b>,
    keys: &'a SizeLadder,
    software: Software,
    connections: Vec<LadderConnection>,
    opened: u32,
    limits: Vec<Limit>,
    attempts: Vec<Attempt>,
    /// The broker is gone: nothing more can be tried.
    broken: Option<String>,
}

/// Tries every rung from the smallest up.
pub fn climb(
    context: &mut ExperimentContext<'_>,
    keys: &SizeLadder,
) -> Result<Vec<Attempt>, CellRunError> {
    let software = context.cell.config.system.software();
    let (connections, limits, attempts) = (Vec::new(), Vec::new(), Vec::new());
    let mut climb =
        Climb { context, keys, software, connections, opened: 0, limits, attempts, broken: None };
    let climbed = climb.up().and_then(|()| climb.narrow());
    let broken = climb.broken.is_some();
    climb.connections.into_iter().for_each(|connection| connection.close(broken));
    climbed.map(|()| climb.attempts)
}

impl Climb<'_, '_> {
    fn up(&mut self) -> Result<(), CellRunError> {
        let mut sizes = self.keys.sizes.clone();
        sizes.sort_unstable();
        sizes.dedup();
        for size in sizes {
            // One payload at a time: they are large.
            for payload in [PayloadKind::Text, PayloadKind::Random] {
                let mut content = Vec::new();
                let kinds = kinds(self.keys, self.software, size).into_iter();
                for kind in kinds.filter(|kind| kind.payload == payload) {
                    if self.context.interrupted() {
                        return Ok(());
                    }
                    let sent_bytes = sent(self.software, size);
                    let tried = match self.why_not(kind, sent_bytes) {
                        Some(why) => Err(why),
                        None => {
                            if content.len() != sent_bytes {
                                content = large(kind.body(), sent_bytes, self.context.cell.seed);
                            }
                            Ok(self.attempt(kind, size, &content, self.keys.repeat)?)
                        }
                    };
                    self.note(Attempt { kind, size, sent_bytes, searched: false, tried });
                }
            }
        }
        Ok(())
    }

    /// Between the largest size of each way that arrived and the limit that it met: the limit
    /// itself, one message a try.
    fn narrow(&mut self) -> Result<(), CellRunError> {
        for kind in search::ways(&self.attempts) {
            while let Some(size) = search::next(&self.attempts, kind) {
                if self.context.interrupted() {
                    return Ok(());
                }
                let sent_bytes = sent(self.software, size);
                let tried = match self.no_room(kind, sent_bytes) {
                    Some(why) => Err(Untried::NoRoom(why)),
                    None => {
                        let content = large(kind.body(), sent_bytes, self.context.cell.seed);
                        Ok(self.attempt(kind, size, &content, Span(0))?)
                    }
                };
                self.note(Attempt { kind, size, sent_bytes, searched: true, tried });
            }
        }
        Ok(())
    }

    fn why_not(&self, kind: SendVariant, bytes: usize) -> Option<Untried> {
        let met = self.limits.iter().find(|limit| limit.holds_for(kind));
        let past = |Limit { kind, size, refusal }: &Limit| {
            Untried::PastLimit(format!("{size} ({kind}) was refused already by {}", refusal.who))
        };
        met.map(past).or_else(|| self.no_room(kind, bytes).map(Untried::NoRoom))
    }

    fn no_room(&self, kind: SendVariant, bytes: usize) -> Option<String> {
        if let Some(why) = &self.broken {
            return Some(why.clone());
        }
        let available = memory_available()?;
        let held = self
            .context
            .broker
            .pids()
            .into_iter()
            .filter_map(usage)
            .map(|usage| usage.rss_bytes)
            .sum();
        refuse(needs(self.software, kind, bytes as u64), held, available, self.keys.headroom.0)
    }

    /// Where the producer compresses (Redis has no codec of its own): the bytes and the time taken.
    fn pack(
        &self,
        kind: SendVariant,
        content: &[u8],
    ) -> Result<(Option<Vec<u8>>, Duration), DriverError> {
        if self.software != Software::Redis {
            return Ok((None, Duration::ZERO));
        }
        let started = Instant::now();
        let packed = codec::pack(kind.codec, content).map_err(|error| DriverError::Refused {
            system: self.context.cell.config.system,
            action: "compress".into(),
            cause: error.to_string(),
        })?;
        let took = if packed.is_some() { started.elapsed() } else { Duration::ZERO };
        Ok((packed, took))
    }

    /// Sends `content` once, and again until `repeat` is over.
    fn attempt(
        &mut self,
        kind: SendVariant,
        size: Bytes,
        content: &[u8],
        repeat: Span,
    ) -> Result<Tried, CellRunError> {
        let clock = self.context.clock();
        let log_before = self.context.broker.log_tail(LOG_LINES);
        let mut pids = self.context.broker.pids();
        let own = std::process::id();
        // Its own peak first, so that the rest of the list is the broker's.
        pids.insert(0, own);
        let fresh: Vec<bool> = pids.iter().map(|pid| reset_peak(*pid)).collect();

        let (packed, pack) = self.pack(kind, content)?;
        let wire = packed.as_deref().unwrap_or(content);

        let place = self.connection(kind)?;
        let begin_ns = clock.now_ns();
        let repeat_until_ns = begin_ns + repeat.nanos();
        let (mut times, mut wire_bytes, mut refusal) = (Vec::new(), None, None);
        loop {
            let deadline_ns = clock.now_ns() + self.keys.deadline.nanos();
            let trip: Trip = self.connections[place].messages.round_trip(wire, deadline_ns);
            wire_bytes = wire_bytes.or(trip.wire_bytes);
            match trip.end {
                Ok(trip) => times.push(trip),
                Err(words) => refusal = Some(words),
            }
            let over = clock.now_ns() >= repeat_until_ns || times.len() >= MOST_TRIPS;
            if refusal.is_some() || over || self.context.interrupted() {
                break;
            }
        }
        let end_ns = clock.now_ns();
        let started = Instant::now();
        if let (Some(packed), None) = (&packed, &refusal) {
            refusal = codec::unpack_and_compare(kind.codec, packed, content).err();
        }
        let unpack = if packed.is_some() { started.elapsed() } else { Duration::ZERO };

        let peak = |(pid, fresh): (&u32, bool)| {
            usage(*pid).filter(|_| fresh).map(|usage| usage.peak_rss_bytes)
        };
        let mut peaks = pids.iter().zip(fresh).map(peak);
        let client_peak = peaks.next().flatten();
        let broker_peak = if pids.len() > 1 { peaks.sum() } else { None };

        if let Some(found) = &mut refusal {
            self.explain(found, &log_before);
            self.connections.swap_remove(place).close(self.broken.is_some());
            if found.who.is_limit() {
                self.limits.push(Limit { kind, size, refusal: found.clone() });
            }
        }
        let trips = times.len() as u64;
        times.sort_unstable_by_key(|times| times.received);
        let median = times.get(times.len() / 2).copied();
        let end = match (refusal, median) {
            (None, Some(times)) => Ok(times),
            (refusal, _) => {
                Err(refusal.unwrap_or_else(|| LargeRefusal::new(Who::TimeOut, "interrupted")))
            }
        };
        Ok(Tried {
            end,
            trips,
            pack,
            unpack,
            wire_bytes,
            client_peak,
            broker_peak,
            window_ns: (begin_ns, end_ns),
        })
    }

    /// Adds what the broker wrote in its log, and what became of it.
    fn explain(&mut self, refusal: &mut LargeRefusal, log_before: &str) {
        std::thread::sleep(LOG);
        if let Err(died) = self.context.broker.check() {
            // A process that a size has killed died of want of memory, as far as anyone can see
            // from here.
            let died = died.to_string();
            let first = died.lines().next().unwrap_or_default();
            *refusal = LargeRefusal::new(Who::Memory, format!("{first} ({refusal})"));
            self.broken = Some(format!("the broker is gone: {first}"));
        } else if let Some(line) = telling(log_before, &self.context.broker.log_tail(LOG_LINES)) {
            if line.contains("OutOfMemoryError") {
                refusal.who = Who::Memory;
            }
            refusal.words = format!("{} (broker's log: {line})", refusal.words);
        }
    }

    /// Where connections of this kind are kept.
    fn connection(&mut self, kind: SendVariant) -> Result<usize, CellRunError> {
        // Redis's client is the same whatever the bytes are.
        let codec = if self.software == Software::Kafka { kind.codec } else { Codec::None };
        let known = |known: &LadderConnection| (known.codec, known.client) == (codec, kind.client);
        if let Some(place) = self.connections.iter().position(known) {
            return Ok(place);
        }
        let mut cell = self.context.cell.clone();
        cell.message.codec = codec;
        self.opened += 1;
        let driver = self.context.prepared(&cell, &format!("large{}", self.opened))?;
        let messages = driver.large(kind.client)?;
        self.connections.push(LadderConnection { codec, client: kind.client, messages, driver });
        Ok(self.connections.len() - 1)
    }

    fn note(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        let tried = self.attempts.len() as u64;
        self.context.observer.progress(&Progress {
            phase: Phase::Measure,
            elapsed_ns: 0,
            window_ns: None,
            rate: None,
            sent: tried + 1,
            answered: tried,
            consumed: None,
            p50_ns: None,
            p99_ns: None,
        });
    }
}

impl LadderConnection {
    fn close(self, broken: bool) {
        drop(self.messages);
        if !broken {
            // What stays behind goes with the broker, which is ours and about to be stopped.
            let _ = self.driver.clean_up();
        }
    }
}

/// The last line that a broker wrote since `before` and that is about a refusal, cut to what a
/// reader can take in.
fn telling(before: &str, now: &str) -> Option<String> {
    const MOST: usize = 240;
    let old: std::collections::BTreeSet<&str> = before.lines().collect();
    let mut new = now.lines().filter(|line| !old.contains(line));
    let line = new.rfind(|line| TELLING.iter().any(|word| line.contains(word)))?;
    // Folders and addresses of this machine are nobody's business.
    let words = line
        .split_whitespace()
        .map(|word| if word.contains('/') || word.contains("addr=") { "…" } else { word });
    let line = words.collect::<Vec<_>>().join(" ");
    let skip = line.chars().count().saturating_sub(MOST);
    Some(if skip == 0 {
        line
    } else {
        format!("… {}", line.chars().skip(skip).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_words_are_found_without_places() {
        let before = "[1] INFO started\n[2] ERROR an old one\n";
        let now = format!(
            "{before}[3] INFO x\n[4] ERROR append failed in /tmp/x/data \
            (k.R)\njava.lang.NullPointerException: y\n\tat z\n"
        );
        assert_eq!(telling(before, &now).unwrap(), "java.lang.NullPointerException: y");
        assert_eq!(telling(before, before), None);
        let line = "# Client id=5 addr=127.0.0.1:1 cmd=subscribe scheduled to be closed ASAP for \
            overcoming of output buffer limits.";
        let found = telling("", line).unwrap();
        assert!(
            found.starts_with("# Client id=5 … cmd") && found.ends_with("output buffer limits."),
            "{found}"
        );
        assert!(
            telling("", &format!("ERROR {}", "long ".repeat(500))).unwrap().chars().count() < 250
        );
    }
}
