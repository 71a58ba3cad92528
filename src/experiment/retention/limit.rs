//! What is left once more was published than the system was told to keep: retention is a promise with an end.

use super::{READ_WITHIN, share};
use crate::driver::capability::ReplayFrom;
use crate::driver::{Driver, DriverError};
use crate::engine::TrialError;
use crate::experiment::ExperimentContext;
use crate::experiment::findings::failed;
use crate::experiment::receiver::Received;
use crate::experiment::sender::{ExperimentSender, SendProgress};
use crate::model::{Metric, System, metric};
use crate::record::SECOND_NS;
use crate::result::Observation;
use crate::scenario::{Cell, Retention};
use std::thread;
use std::time::Duration;

const METRIC: &Metric = metric::SHARE_LIMIT;
/// The smallest segment that Kafka 4 allows: only closed segments are given up.
const SEGMENT_BYTES: u64 = 1 << 20;
/// A broker looks for what to give up every now and then; Kafka for the first time 30 s after its start.
const TRIMMED_WITHIN: u64 = 45 * SECOND_NS;
const LOOK: Duration = Duration::from_millis(300);
/// What is left has come to rest when so many looks in a row find the same: more than Kafka's second between checks.
const SAME_LOOKS: u32 = 6;

/// The cell with a limit, and the limit in words.
fn limited(cell: &Cell, keys: &Retention) -> Result<(Cell, String), DriverError> {
    let room = (keys.messages as f64 * keys.limit).round() as u64;
    let mut cell = cell.clone();
    let config = &mut cell.config;
    let words = match config.system {
        System::Kafka => {
            let bytes = room * cell.message.size.0;
            config.topic.config.insert("segment.bytes".into(), SEGMENT_BYTES.to_string());
            config.topic.config.insert("retention.bytes".into(), bytes.to_string());
            format!("retention.bytes {bytes}, segment.bytes {SEGMENT_BYTES}")
        }
        System::RedisStreams => {
            config.maxlen = Some(room);
            format!("MAXLEN ~ {room}")
        }
        system => {
            let because = match system {
                System::RedisLists => "a list has no limit of its own; LTRIM is the application's",
                _ => "it keeps nothing that a limit could end",
            };
            return Err(DriverError::Cannot { system, action: "limit what it keeps".into(), because: because.into() });
        }
    };
    Ok((cell, words))
}

/// Publishes to a topic or stream with a limit, and reads what is left once the broker has given up the rest.
pub fn reached(context: &ExperimentContext<'_>, keys: &Retention) -> Result<Observation, TrialError> {
    let (cell, words) = match limited(context.cell, keys) {
        Ok(limited) => limited,
        Err(error) => return Ok(failed(METRIC, "", &error)),
    };
    let (clock, run) = (context.clock(), context.run.wrapping_add(1));
    let driver = context.driver(&cell, "limit")?;
    driver.prepare()?;
    let mut producer = ExperimentSender::new(driver.as_ref(), &cell, run, clock)?;
    producer.publish(keys.messages, None, &SendProgress::default())?;
    let begun = clock.now_ns();
    let (mut last, mut same) = (keys.messages, 0);
    while same < SAME_LOOKS && !context.interrupted() {
        let left = left(context, &cell, run, driver.as_ref())?;
        // Nothing given up yet is no rest.
        let rest = left == last && left < keys.messages;
        (last, same) = (left, if rest { same + 1 } else { 0 });
        if clock.now_ns() > begun + TRIMMED_WITHIN {
            break;
        }
        thread::sleep(LOOK);
    }
    let seconds = (clock.now_ns() - begun) as f64 / 1e9;
    driver.clean_up()?;
    let observation = share(METRIC, keys.messages, Ok(last));
    let text = format!("{}, {seconds:.1} s after the last; {words}", observation.text);
    Ok(observation.with_text(text))
}

fn left(context: &ExperimentContext<'_>, cell: &Cell, run: u64, driver: &dyn Driver) -> Result<u64, DriverError> {
    let mut tally = Received::new(cell, run);
    let deadline = context.clock().now_ns() + READ_WITHIN;
    driver.replay()?.read_from(ReplayFrom::Beginning, deadline, &mut |payload| {
        tally.note(payload);
    })?;
    Ok(tally.seen.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_is_limited_by_its_own_means() {
        let keys = Retention { messages: 10_000, limit: 0.25, ..Retention::default() };
        let cells = crate::scenario::load("latency", &Default::default()).unwrap().cells();
        let of = |label: &str| limited(cells.iter().find(|cell| cell.label == label).unwrap(), &keys);
        let (kafka, words) = of("kafka").unwrap();
        assert_eq!(kafka.config.topic.config["retention.bytes"], (2500 * 1024).to_string());
        assert!(words.contains("segment.bytes 1048576"), "{words}");
        assert_eq!(of("redis-streams").unwrap().0.config.maxlen, Some(2500));
        assert!(of("redis-lists").is_err_and(|error| error.to_string().contains("LTRIM")));
        assert!(matches!(of("redis-pubsub"), Err(DriverError::Cannot { .. })));
    }
}
