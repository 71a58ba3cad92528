//! The board of the fake broker: lines in its memory.

use super::Fake;
use crate::driver::DriverError;
use crate::driver::capability::Board;
use std::time::Duration;

pub struct FakeBoard {
    broker: Fake,
    name: String,
    /// Lines so far.
    read: usize,
}

impl FakeBoard {
    pub fn new(broker: Fake, name: &str) -> Self {
        Self { broker, name: name.to_owned(), read: 0 }
    }
}

impl Board for FakeBoard {
    fn post(&mut self, line: &str) -> Result<(), DriverError> {
        let mut server = self.broker.server();
        server.boards.entry(self.name.clone()).or_default().push(line.to_owned());
        Ok(())
    }

    fn read(&mut self, limit: Duration) -> Result<Vec<String>, DriverError> {
        let until_ns = self.broker.clock.now_ns() + limit.as_nanos() as u64;
        loop {
            let lines: Vec<String> = {
                let server = self.broker.server();
                let all = server.boards.get(&self.name);
                all.into_iter().flatten().skip(self.read).cloned().collect()
            };
            self.read += lines.len();
            if !lines.is_empty() || self.broker.clock.now_ns() >= until_ns {
                return Ok(lines);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn remove(self: Box<Self>) -> Result<(), DriverError> {
        self.broker.server().boards.remove(&self.name);
        Ok(())
    }
}
