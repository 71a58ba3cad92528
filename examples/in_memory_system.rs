//! A whole system in one file: a queue in memory as a `Driver`, loaded at a fixed rate and
//! accounted for like Kafka and Redis. `cargo run --example in_memory_system`; a test runs it too.
//!
//! What a driver must not do: record a latency, pace, or block longer than it is told to. It
//! returns stamps and outcomes, and the engine does the rest.

use brokerbench::clock::Clock;
use brokerbench::driver::{
    Audit, Completion, Driver, DriverError, Incoming, Outcome, Outgoing, Publisher, Submitted,
    Subscriber,
};
use brokerbench::engine::CellRun;
use brokerbench::model::System;
use brokerbench::result::{Counts, Description, Survives};
use brokerbench::scenario::{Cell, Load};
use brokerbench::units::{Rate, Span};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Every message that was ever published, in order: each subscription reads at its own position.
#[derive(Clone)]
struct Memory {
    log: Arc<Mutex<Vec<Vec<u8>>>>,
    clock: Clock,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> T {
        act(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Driver for Memory {
    fn system(&self) -> System {
        System::Fake
    }

    fn prepare(&self) -> Result<(), DriverError> {
        self.with(Vec::clear);
        Ok(())
    }

    fn publisher(&self, _: u16) -> Result<Box<dyn Publisher>, DriverError> {
        Ok(Box::new(Writer { memory: self.clone(), answers: Vec::new() }))
    }

    fn subscriber(&self, _: u16, _: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        let position = self.with(|log| log.len());
        Ok(Box::new(Tail { memory: self.clone(), position }))
    }

    fn audit(&self, _: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        self.with(|log| log.iter().for_each(|message| sink(message)));
        Ok(Audit::Retains { trimmed: false, unreadable: Vec::new() })
    }

    fn survives(&self) -> Survives {
        Survives { because: "memory of one process".into(), ..Survives::default() }
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn describe(&self) -> Result<Description, DriverError> {
        Ok(Description::default())
    }

    fn clean_up(&self) -> Result<(), DriverError> {
        self.prepare()
    }
}

struct Writer {
    memory: Memory,
    answers: Vec<Completion>,
}

impl Publisher for Writer {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        self.memory.with(|log| log.push(message.payload.to_vec()));
        let at_ns = self.memory.clock.now_ns();
        self.answers.push(Completion { slot: message.slot, outcome: Outcome::Acked, at_ns });
        Ok(Submitted::Taken)
    }

    fn flush(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        if self.answers.is_empty() {
            std::thread::sleep(self.memory.clock.until(until_ns));
        }
        completions.append(&mut self.answers);
        Ok(())
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

struct Tail {
    memory: Memory,
    position: usize,
}

impl Subscriber for Tail {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        loop {
            let fresh = self.memory.with(|log| log[self.position.min(log.len())..].to_vec());
            let received_ns = self.memory.clock.now_ns();
            for payload in &fresh {
                sink(Incoming { payload, received_ns });
            }
            self.position += fresh.len();
            if !fresh.is_empty() || received_ns >= until_ns {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn abandon(self: Box<Self>) {}

    fn close(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}

/// One second at 1,000 messages a second, and its books.
pub fn measured() -> Result<Counts, Box<dyn std::error::Error>> {
    let clock = Clock::start();
    let load = Load {
        warm_up: Span::from_secs(1),
        duration: Span::from_secs(1),
        ..Load::open(Rate::per_second(1000))
    };
    let cell = Cell::plain(System::Fake, load);
    let memory = Memory { log: Arc::default(), clock };
    let output = CellRun::new(&cell, clock).run(&memory)?;
    Ok(output.record.counts)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{:#?}", measured()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_message_of_the_example_is_in_the_books() {
        let counts = super::measured().unwrap();
        assert!(counts.sent.is_some_and(|sent| sent >= 1000), "{counts:?}");
        assert_eq!((counts.acked, counts.delivered), (counts.sent, counts.sent));
        assert_eq!((counts.lost, counts.duplicate), (Some(0), Some(0)));
    }
}
