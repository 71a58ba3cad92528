//! Clients that give out: tried again for as long as somebody is needed, and a whole cell over
//! clients that never last.

use super::*;
use crate::clock::Clock;
use crate::driver::fake::{Behaviour, Fake};
use crate::driver::{
    Audit, Completion, Driver, Incoming, Outgoing, Publisher, Submitted, Subscriber,
};
use crate::engine::CellRun;
use crate::model::System;
use crate::result::{CellOutcome, Description, Survives};
use crate::scenario::{Load, Message};
use crate::units::{Rate, Span};
use std::cell::Cell;

fn refused() -> DriverError {
    let (action, cause) = ("consuming".to_owned(), "OOM command not allowed".to_owned());
    DriverError::Refused { system: System::RedisLists, action, cause }
}

#[test]
fn it_tries_until_somebody_is_there_or_nobody_is_needed() {
    let (mut comeback, tries) = (Comeback::default(), Cell::new(0));
    let third = || {
        tries.set(tries.get() + 1);
        if tries.get() < 3 { Err(refused()) } else { Ok("here") }
    };
    comeback.note(&refused());
    assert_eq!(comeback.connect(third, || false), Some("here"));
    let oom = "consuming refused: OOM command not allowed";
    assert_eq!(comeback.cut_off, Reasons::from([(oom.to_owned(), 1)]));
    let expected = [(format!("connecting: {oom}"), 2), ("connection made again".to_owned(), 1)];
    assert_eq!(comeback.retries, Reasons::from(expected));
    assert_eq!(comeback.connect(|| Ok(()), || true), None);
}

/// The fake broker, which cuts every client off after so many calls that matter.
struct Impatient {
    fake: Fake,
    calls: u32,
}

struct Brief<T: ?Sized> {
    client: Box<T>,
    left: u32,
}

impl<T: ?Sized> Brief<T> {
    fn call(&mut self) -> Result<(), DriverError> {
        let (address, cause) = ("fake".to_owned(), "the server closed the connection".to_owned());
        let gone = DriverError::Disconnected { system: System::Fake, address, cause };
        self.left = self.left.checked_sub(1).ok_or(gone)?;
        Ok(())
    }
}

impl Publisher for Brief<dyn Publisher> {
    fn submit(&mut self, message: Outgoing<'_>) -> Result<Submitted, DriverError> {
        self.call()?;
        self.client.submit(message)
    }
    fn wait(
        &mut self,
        until_ns: u64,
        completions: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        self.client.wait(until_ns, completions)
    }
    fn failures(&self) -> Reasons {
        self.client.failures()
    }
}

impl Subscriber for Brief<dyn Subscriber> {
    fn receive(
        &mut self,
        until_ns: u64,
        sink: &mut dyn FnMut(Incoming<'_>),
    ) -> Result<(), DriverError> {
        self.call()?;
        self.client.receive(until_ns, sink)
    }
    fn close(&mut self) -> Result<(), DriverError> {
        self.client.close()
    }
}

impl Driver for Impatient {
    fn system(&self) -> System {
        System::Fake
    }
    fn prepare(&self) -> Result<(), DriverError> {
        Ok(())
    }
    fn publisher(&self, producer: u16) -> Result<Box<dyn Publisher>, DriverError> {
        let client = self.fake.publisher(producer)?;
        Ok(Box::new(Brief { client, left: self.calls }))
    }
    fn subscriber(&self, of: u16, consumer: u16) -> Result<Box<dyn Subscriber>, DriverError> {
        let client = self.fake.subscriber(of, consumer)?;
        Ok(Box::new(Brief { client, left: self.calls }))
    }
    fn audit(&self, until_ns: u64, sink: &mut dyn FnMut(&[u8])) -> Result<Audit, DriverError> {
        self.fake.audit(until_ns, sink)
    }
    fn survives(&self) -> Survives {
        self.fake.survives()
    }
    fn acknowledges(&self) -> bool {
        true
    }
    fn describe(&self) -> Result<Description, DriverError> {
        self.fake.describe()
    }
    fn toll(&self) -> Reasons {
        [("clients cut off for a reason".to_owned(), self.fake.played().len() as u64)].into()
    }
    fn clean_up(&self) -> Result<(), DriverError> {
        Ok(())
    }
}

#[test]
fn a_cell_whose_clients_are_cut_off_goes_on_with_others_and_counts_them() {
    let clock = Clock::start();
    let load = Load {
        drain: Span::from_secs(5),
        ..Load::open(Rate::per_second(500)).brief(Span::from_secs(1))
    };
    let cell = crate::scenario::Cell {
        message: Message::random(100),
        ..crate::scenario::Cell::plain(System::Fake, load)
    };
    let fake = Fake::new(Behaviour { keep: true, ..Behaviour::default() }, 1, clock);
    let driver = Impatient { fake, calls: 100 };
    let record = CellRun::new(&cell, clock).run(&driver).unwrap().record;
    assert_eq!(record.error, None);
    let counts = &record.counts;
    let sent = counts.sent.filter(|sent| *sent > 400);
    assert!(sent.is_some() && counts.acked == sent && counts.delivered == sent, "{record:#?}");
    assert!(record.retries["publish: the server closed the connection"] >= 4, "{record:#?}");
    assert!(record.retries["publish: connection made again"] >= 4, "{record:#?}");
    let gate = record.gates.iter().find(|gate| gate.name == "left-alone").unwrap();
    let words = "producer: the server closed the connection ×";
    assert!(gate.held == Some(true) && gate.found.contains(words), "{record:#?}");
    assert!(!gate.found.contains("for a reason"), "it counted none: {gate:?}");
    assert!(!matches!(record.outcome, CellOutcome::Violated | CellOutcome::Stalled));
}
