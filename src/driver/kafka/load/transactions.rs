//! Transactions of one producer, ended on a thread of their own.
//!
//! To commit is to wait for a coordinator, and a pacing thread waits for nobody: it fills a
//! transaction, orders its end, and is told by the waker when that is over. Until then its producer
//! takes nothing, which is back-pressure, as in an application. A message has no end of its own: it
//! is acknowledged when its transaction is committed.
//!
//! Errors are answered as librdkafka's documentation of its transactional producer says: a call
//! that may be resumed is made again, a transaction that has failed is aborted, and what is fatal
//! (another producer with the same id has fenced this one) ends the producer.

use super::ffi::{ProducerHandle, Remedy, TransactionCalls, TransactionError};
use crate::clock::Clock;
use crate::driver::kafka::clients::{Clients, refused};
use crate::driver::{Completion, DriverError, Outcome};
use crate::scenario::Transaction;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// The longest that one call may block: the wish to stop is seen within this.
const TURN: Duration = Duration::from_secs(1);
/// How long the messages of a transaction that is to be aborted may take to reach the log. One that
/// has failed already sends nothing more.
const FLUSH: Duration = Duration::from_secs(5);
/// Before a call is made again.
const PAUSE: Duration = Duration::from_millis(10);

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Committed,
    /// On purpose.
    Aborted,
    /// For this.
    Failed(RDKafkaErrorCode),
}

/// The end of a transaction, and when it was known; the next one has begun.
struct Told {
    at_ns: u64,
    end: Result<End, TransactionError>,
}

/// How long a transaction may take to end, and what cuts that short.
#[derive(Clone)]
pub struct Patience {
    pub limit: Duration,
    pub stop: Arc<AtomicBool>,
}

/// Those of one connection.
pub struct Transactions {
    plan: Transaction,
    /// Ended before the one that is under way.
    ended: u64,
    /// The messages of the one that is under way.
    slots: Vec<u32>,
    /// When it is to end at the latest; never while it has no message.
    due_ns: u64,
    ending: bool,
    /// Whether to commit; else it is aborted.
    orders: Sender<bool>,
    told: Receiver<Told>,
}

impl Transactions {
    /// Fences whoever had this producer's id before, and begins the first transaction.
    pub fn start(
        handle: &ProducerHandle,
        plan: Transaction,
        clients: &Clients,
        patience: Patience,
    ) -> Result<Self, DriverError> {
        const WHAT: &str = "begin transactions";
        let calls = handle.transaction_calls();
        let begun = patience.resume(|turn| calls.init(turn)).and_then(|()| calls.begin());
        begun.map_err(|error| refused(WHAT, clients.log.explain(error.words)))?;
        let (orders, ordered) = channel();
        let (tell, told) = channel();
        let clock = clients.clock;
        let work = move || end_as_ordered(&calls, clock, &patience, &ordered, &tell);
        let thread = std::thread::Builder::new().name("kafka-transactions".into()).spawn(work);
        thread.map_err(|error| refused(WHAT, error))?;
        let (slots, due_ns) = (Vec::new(), u64::MAX);
        Ok(Self { plan, ended: 0, slots, due_ns, ending: false, orders, told })
    }

    /// Whether messages may be sent.
    pub fn is_open(&self) -> bool {
        !self.ending
    }

    /// A message has been taken.
    pub fn add(&mut self, slot: u32, clock: Clock) {
        if self.slots.is_empty() {
            self.due_ns = clock.now_ns() + self.plan.within.nanos();
        }
        self.slots.push(slot);
        if self.slots.len() >= self.plan.messages as usize {
            self.end();
        }
    }

    /// When this is to be looked at again; never where an end is under way, which rings.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Orders the end of what is under way.
    pub fn end(&mut self) {
        if !self.ending {
            (self.ending, self.due_ns) = (true, u64::MAX);
            // A thread that is gone tells nothing, which is seen in `collect`.
            let _ = self.orders.send(!self.plan.aborts(self.ended));
            self.ended += 1;
        }
    }

    /// What is open would hide what others commit after it: orders its end, however that was
    /// meant. True while there is anything to wait for.
    pub fn give_up(&mut self) -> bool {
        if !self.slots.is_empty() {
            self.end();
        }
        if matches!(self.told.try_recv(), Ok(_) | Err(TryRecvError::Disconnected)) {
            self.ending = false;
            self.slots.clear();
        }
        self.ending
    }

    /// Ends what is due, and completes the messages of what has ended.
    pub fn collect(
        &mut self,
        clients: &Clients,
        completions: &mut Vec<Completion>,
        failures: &mut BTreeMap<String, u64>,
    ) -> Result<(), DriverError> {
        if !self.ending {
            if self.due_ns != u64::MAX && clients.clock.now_ns() >= self.due_ns {
                self.end();
            }
            return Ok(());
        }
        let failed = |words: String| refused("end a transaction", clients.log.explain(words));
        let Told { at_ns, end } = match self.told.try_recv() {
            Ok(told) => told,
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => return Err(failed("nobody ends them".into())),
        };
        let outcome = match end.map_err(|error| failed(error.words))? {
            End::Committed => Outcome::Acked,
            End::Aborted => Outcome::Aborted,
            End::Failed(code) => {
                let reason = format!("transaction aborted after {code:?}");
                *failures.entry(reason).or_default() += self.slots.len() as u64;
                Outcome::Failed
            }
        };
        self.ending = false;
        let completed = self.slots.drain(..).map(|slot| Completion { slot, outcome, at_ns });
        completions.extend(completed);
        Ok(())
    }
}

impl Patience {
    /// Calls again what may be resumed, until it is done or this is at its end.
    fn resume(
        &self,
        call: impl Fn(Duration) -> Result<(), TransactionError>,
    ) -> Result<(), TransactionError> {
        let deadline = Instant::now() + self.limit;
        loop {
            match call(TURN.min(self.limit)) {
                Err(error)
                    if error.remedy == Remedy::Again
                        && Instant::now() < deadline
                        && !self.stop.load(Relaxed) =>
                {
                    std::thread::sleep(PAUSE);
                }
                ended => return ended,
            }
        }
    }
}

/// Until nobody orders any more, or nothing can follow.
fn end_as_ordered(
    calls: &TransactionCalls,
    clock: Clock,
    patience: &Patience,
    ordered: &Receiver<bool>,
    tell: &Sender<Told>,
) {
    for commit in ordered {
        let ended = end_one(calls, commit, patience);
        let at_ns = clock.now_ns();
        let end = ended.and_then(|end| calls.begin().map(|()| end));
        let over = end.is_err();
        let heard = tell.send(Told { at_ns, end }).is_ok();
        calls.waker.ring();
        if over || !heard {
            return;
        }
    }
}

fn end_one(
    calls: &TransactionCalls,
    commit: bool,
    patience: &Patience,
) -> Result<End, TransactionError> {
    let abort = || patience.resume(|turn| calls.abort(turn));
    if !commit {
        // What an abort finds still here never reaches the log, and then there is nothing that the
        // broker must hide. Where it cannot get there, it is aborted all the same.
        let brief = Patience { limit: FLUSH.min(patience.limit), ..patience.clone() };
        let _ = brief.resume(|turn| calls.flush(turn));
        return abort().map(|()| End::Aborted);
    }
    match patience.resume(|turn| calls.commit(turn)) {
        Ok(()) => Ok(End::Committed),
        Err(error) if error.remedy == Remedy::Abort => abort().map(|()| End::Failed(error.code)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_may_be_resumed_is_called_again_and_nothing_else() {
        let mut patience = Patience { limit: Duration::from_secs(60), stop: Arc::default() };
        let calls = Cell::new(0);
        let failing = |remedy, times| {
            let calls = &calls;
            calls.set(0);
            move |_: Duration| {
                calls.set(calls.get() + 1);
                let (code, words) = (RDKafkaErrorCode::OperationTimedOut, "no answer".to_owned());
                let error = TransactionError { code, words, remedy };
                if calls.get() > times { Ok(()) } else { Err(error) }
            }
        };
        assert!(patience.resume(failing(Remedy::Again, 2)).is_ok());
        assert_eq!(calls.get(), 3);
        for remedy in [Remedy::Abort, Remedy::Nothing] {
            let error = patience.resume(failing(remedy, 9)).unwrap_err();
            assert_eq!((error.remedy, calls.get()), (remedy, 1));
        }
        patience.stop.store(true, Relaxed);
        assert!(patience.resume(failing(Remedy::Again, 9)).is_err());
        assert_eq!(calls.get(), 1, "told to stop");
        patience = Patience { limit: Duration::ZERO, stop: Arc::default() };
        assert!(patience.resume(failing(Remedy::Again, 9)).is_err());
        assert_eq!(calls.get(), 1, "no time is left");
    }
}
