//! One message of any size through a topic and a queue: there is one limit, AWS's, and it counts
//! the text that the message is sent as.

use crate::clock::Clock;
use crate::driver::sns::clients::{Control, Patience};
use crate::driver::sns::driver::SnsDriver;
use crate::driver::sns::load::calls::CallLog;
use crate::driver::sns::load::publisher::{PUBLISH, group};
use crate::driver::sns::load::queue::{DELETE, Polling, Queue, RECEIVE};
use crate::driver::sns::load::{payload_of, text_of};
use crate::driver::{
    DriverError, LargeMessages, LargeRefusal, PayloadComparison, Times, Trip, Who,
};
use std::time::Duration;

/// How long one look for the message waits, s.
const LOOK_S: i32 = 5;

pub struct SnsLarge {
    control: Control,
    queue: Queue,
    topic: String,
    fifo: bool,
    sent: u64,
    clock: Clock,
}

impl SnsLarge {
    /// Through the first subscription.
    pub fn connect(driver: &SnsDriver) -> Result<Self, DriverError> {
        let (place, log) = (driver.resources.queue(0)?, CallLog::default());
        let polling = Polling { wait_s: LOOK_S, ..driver.polling(&place) };
        Ok(Self {
            control: driver.resources.control()?,
            queue: Queue::new(driver.clients.sqs(Patience::USUAL, &log), polling, log),
            topic: driver.resources.topic()?,
            fifo: driver.settings.fifo,
            sent: 0,
            clock: driver.clients.clock,
        })
    }

    fn trip(
        &mut self,
        text: String,
        payload: &[u8],
        deadline_ns: u64,
    ) -> Result<Times, LargeRefusal> {
        let started_ns = self.clock.now_ns();
        let since = |now_ns: u64| Duration::from_nanos(now_ns - started_ns);
        self.sent += 1;
        let mut call = self.control.sns.publish().topic_arn(&self.topic).message(text);
        if self.fifo {
            let mark = format!("large-{}-{}", std::process::id(), self.sent);
            call = call.message_group_id(group(0)).message_deduplication_id(mark);
        }
        let published = self.control.ask(PUBLISH, call.send());
        published.map_err(|error| LargeRefusal::by(&error))?;
        let acked = since(self.clock.now_ns());
        loop {
            let messages = self.control.ask(RECEIVE, self.queue.fetch());
            let messages = messages.map_err(|error| LargeRefusal::by(&error))?;
            let received = since(self.clock.now_ns());
            let any = !messages.is_empty();
            let (mut buffer, mut receipts, mut found) = (vec![], vec![], Ok(()));
            for message in messages {
                let body = payload_of(message.body().unwrap_or_default(), &mut buffer);
                let mut comparison = PayloadComparison::new(payload);
                found = comparison.take(body).and_then(|()| comparison.end());
                receipts.extend(message.receipt_handle);
            }
            let deleted = self.control.ask(DELETE, self.queue.delete(receipts));
            deleted.map_err(|error| LargeRefusal::by(&error))?;
            if any {
                return found.map(|()| Times { acked, received });
            }
            if self.clock.now_ns() >= deadline_ns {
                let words = "acknowledged, and not delivered in time";
                return Err(LargeRefusal::new(Who::TimeOut, words));
            }
        }
    }
}

impl LargeMessages for SnsLarge {
    fn round_trip(&mut self, payload: &[u8], deadline_ns: u64) -> Trip {
        let text = text_of(payload);
        let wire_bytes = Some(form_len(&text));
        Trip { end: self.trip(text, payload, deadline_ns), wire_bytes }
    }
}

/// A request is a form: three letters stand for each that is neither letter nor digit.
fn form_len(text: &str) -> u64 {
    let escaped = text.bytes().filter(|byte| !byte.is_ascii_alphanumeric()).count();
    (text.len() + 2 * escaped) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_takes_on_the_wire_is_a_form() {
        assert_eq!(form_len(&text_of(&[0xfb; 3])), 8, "+/v7 becomes %2B%2Fv7");
        assert_eq!(form_len(&text_of(b"abc")), 4);
    }
}
