//! Requests of a group member as librdkafka counts them when it hands them to its sockets (its statistics).
//!
//! The library tells its counters every [`EVERY_MS`]. Whoever asks waits for the next telling, so that nothing sent
//! before is missing.

use crate::driver::DriverError;
use crate::driver::capability::{CountedSubscriber, Requests};
use crate::driver::kafka::clients::timed_out;
use crate::driver::kafka::load::subscriber::{KafkaSubscriber, processed};
use rdkafka::Statistics;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For `statistics.interval.ms`.
pub const EVERY_MS: &str = "100";
const PATIENCE: Duration = Duration::from_secs(5);
/// Looks in a row at the main queue that find no telling: other events are rare.
const VAIN_LOOKS: u32 = 4;

/// How often the library has told, and what it told last.
#[derive(Default)]
pub struct ClientStats(Mutex<(u64, Requests)>);

impl ClientStats {
    pub fn tell(&self, statistics: &Statistics) {
        let mut requests = Requests::default();
        for (name, count) in statistics.brokers.values().flat_map(|broker| &broker.req) {
            let count = u64::try_from(*count).unwrap_or(0);
            match name.as_str() {
                "Fetch" => requests.fetch += count,
                "OffsetCommit" => requests.acknowledge += count,
                "Heartbeat" | "ConsumerGroupHeartbeat" => requests.keep_alive += count,
                _ => requests.other += count,
            }
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *told = (told.0 + 1, requests);
    }

    fn last(&self) -> (u64, Requests) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CountedSubscriber for KafkaSubscriber {
    fn requests(&mut self) -> Result<Requests, DriverError> {
        let deadline = Instant::now() + PATIENCE;
        // One look at the main queue serves one event, and older tellings may wait in it: look until none came.
        let mut vain = 0;
        while Instant::now() < deadline {
            match self.look()? {
                Some(requests) if vain >= VAIN_LOOKS => return Ok(requests),
                Some(_) => vain = 0,
                None => vain += 1,
            }
            if vain >= VAIN_LOOKS {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Err(timed_out("the client's statistics", PATIENCE))
    }
}

impl KafkaSubscriber {
    /// Serves the main queue; what was told meanwhile.
    fn look(&mut self) -> Result<Option<Requests>, DriverError> {
        let Some(member) = &mut self.member else { return Ok(None) };
        let (before, _) = member.context().requests.last();
        member.keep_house(processed)?;
        let (times, requests) = member.context().requests.last();
        Ok((times > before).then_some(requests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_brokers_are_added_up_by_purpose() {
        let broker = |req: &[(&str, i64)]| rdkafka::statistics::Broker {
            req: req.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..Default::default()
        };
        let brokers =
            [("a", broker(&[("Fetch", 5), ("Metadata", 2)])), ("b", broker(&[("Heartbeat", 3), ("Fetch", 1)]))];
        let brokers = brokers.into_iter().map(|(name, broker)| (name.to_owned(), broker)).collect();
        let told = ClientStats::default();
        told.tell(&Statistics { brokers, ..Default::default() });
        assert_eq!(told.last(), (1, Requests { fetch: 6, acknowledge: 0, keep_alive: 3, other: 2 }));
    }
}
