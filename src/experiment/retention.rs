//! `retention`: what can still be read of messages that were read and acknowledged: late, twice,
//! from a moment on, after a limit was reached, after the broker was restarted; how fast; and how
//! long a backlog takes under live load.
//!
//! Each share is of distinct messages, counted by their envelopes. The restart comes last: a cold
//! broker would slow everything after it.

use super::ExperimentContext;
use super::findings::failed;
use super::receiver::Received;
use super::sender::ExperimentSender;
use crate::driver::capability::{Replay, ReplayFrom};
use crate::driver::{Driver, DriverError, Subscriber};
use crate::engine::CellRunError;
use crate::environment::EnvironmentError;
use crate::model::{MessageStore, Metric, System, metric};
use crate::record::SECOND_NS;
use crate::result::{CellOutput, Observation};
use crate::scenario::{Cell, Retention};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No message for this long is the end of what comes.
const QUIET: u64 = SECOND_NS;
const READ_WITHIN: u64 = 120 * SECOND_NS;
/// Around the moment that is sought: more than brokers' clocks,
/// which tell milliseconds, can confuse.
const PAUSE: Duration = Duration::from_millis(50);

/// The smallest segment that Kafka 4 allows: only closed segments are given up.
const SEGMENT_BYTES: u64 = 1 << 20;
/// A broker looks for what to give up every now and then;
/// Kafka for the first time 30 s after its start.
const TRIMMED_WITHIN: u64 = 45 * SECOND_NS;
const LOOK: Duration = Duration::from_millis(300);
/// What is left has come to rest when so many looks in a row find the same: more than Kafka's
/// second between checks.
const SAME_LOOKS: u32 = 6;

pub fn run(
    context: &mut ExperimentContext<'_>,
    keys: &Retention,
) -> Result<CellOutput, CellRunError> {
    let mut found = Vec::new();
    let driver = context.prepared(context.cell, "kept")?;
    let moment = publish_and_read(context, keys, driver.as_ref(), &mut found)?;
    read_again(context, keys, driver.as_ref(), moment, &mut found)?;
    if !context.interrupted() {
        found.push(limit_reached(context, keys)?);
    }
    if !context.interrupted() {
        found.push(drained(context, keys)?);
    }
    if !context.interrupted() {
        found.push(restarted(context, keys, driver.as_ref()));
    }
    driver.clean_up()?;
    context.output(found)
}

/// The second half begins after this, ms since 1970; and it has this number first.
struct Moment {
    ms: u64,
    first: u64,
}

/// Publishes in two halves with a moment between them, while one subscription reads and
/// acknowledges everything.
fn publish_and_read(
    context: &ExperimentContext<'_>,
    keys: &Retention,
    driver: &dyn Driver,
    found: &mut Vec<Observation>,
) -> Result<Moment, CellRunError> {
    let clock = context.clock();
    let mut consumer = driver.subscriber(0, 0)?;
    let mut producer = ExperimentSender::new(driver, context.cell, context.run, clock)?;
    let half = keys.messages / 2;
    through(context, &mut producer, consumer.as_mut(), half)?;
    thread::sleep(PAUSE);
    let ms =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    thread::sleep(PAUSE);
    let begun = clock.now_ns();
    let second = through(context, &mut producer, consumer.as_mut(), keys.messages - half)?;
    consumer.close()?;
    let seconds = second.last_ns.saturating_sub(begun) as f64 / 1e9;
    let n = second.seen.len();
    found.push(match n {
        0 => Observation::not_measured(metric::LIVE_RATE, "", "no message came"),
        n => Observation::measured(metric::LIVE_RATE, "", n as f64 / seconds, n)
            .with_text("published as fast as acknowledged and read at the same time"),
    });
    Ok(Moment { ms, first: half })
}

/// `count` messages from the producer to the consumer, both at work at once.
fn through(
    context: &ExperimentContext<'_>,
    producer: &mut ExperimentSender,
    consumer: &mut dyn Subscriber,
    count: u64,
) -> Result<Received, CellRunError> {
    let (plan, mut tally) = (producer.plan(count, None), Received::new(context.cell, context.run));
    producer.run_beside(plan, context.interrupted, |_| {
        let deadline = context.clock().now_ns() + READ_WITHIN;
        let enough = |tally: &Received| tally.seen.len() >= count || context.interrupted();
        tally.receive_while(consumer, context.clock(), 5 * SECOND_NS, deadline, enough)
    })?;
    Ok(tally)
}

fn read_again(
    context: &ExperimentContext<'_>,
    keys: &Retention,
    driver: &dyn Driver,
    moment: Moment,
    found: &mut Vec<Observation>,
) -> Result<(), CellRunError> {
    let replay = driver.replay()?;
    let second = still_there(context, (context.cell, context.run), replay, ReplayFrom::Beginning);
    for metric in [metric::READABLE_AFTER_ACK, metric::SHARE_SECOND_READER] {
        found.push(share(metric, keys.messages, distinct(&second)));
    }
    let late = replay.join_late(1).and_then(|consumer| to_the_end(context, keys, consumer));
    found.push(share(metric::SHARE_LATE_JOINER, keys.messages, distinct(&late)));
    found.push(replay_rate(&late));
    let again = replay.rewind(0).and_then(|()| driver.subscriber(0, 0));
    let again = again.and_then(|consumer| to_the_end(context, keys, consumer));
    found.push(share(metric::SHARE_REREAD, keys.messages, distinct(&again)));
    let sought =
        still_there(context, (context.cell, context.run), replay, ReplayFrom::Time(moment.ms));
    let (since, before) = match &sought {
        Ok(tally) => {
            let since = (moment.first..keys.messages)
                .filter(|number| tally.seen.contains(*number))
                .count() as u64;
            (Ok(since), tally.seen.len() - since)
        }
        Err(error) => (Err(error), 0),
    };
    let text = format!("of those published after the moment; {before} earlier ones came with them");
    found.push(with_more(share(metric::SHARE_SEEK, keys.messages - moment.first, since), &text));
    Ok(())
}

/// What a reader without a subscription finds of the messages of a cell and run.
fn still_there(
    context: &ExperimentContext<'_>,
    (cell, run): (&Cell, u64),
    replay: &dyn Replay,
    from: ReplayFrom,
) -> Result<Received, DriverError> {
    let mut tally = Received::new(cell, run);
    replay.read_from(from, context.clock().now_ns() + READ_WITHIN, &mut |payload| {
        tally.note(payload);
    })?;
    Ok(tally)
}

/// What a consumer gets until nothing more comes.
fn to_the_end(
    context: &ExperimentContext<'_>,
    keys: &Retention,
    mut consumer: Box<dyn Subscriber>,
) -> Result<Received, DriverError> {
    let mut tally = Received::new(context.cell, context.run);
    let deadline = context.clock().now_ns() + READ_WITHIN;
    let enough = |tally: &Received| tally.seen.len() >= keys.messages;
    tally.receive_while(consumer.as_mut(), context.clock(), QUIET, deadline, enough)?;
    consumer.close()?;
    Ok(tally)
}

fn replay_rate(late: &Result<Received, DriverError>) -> Observation {
    match late {
        Err(error) => failed(metric::REPLAY_RATE, "", error),
        Ok(tally) => match tally.rate() {
            Some(rate) => Observation::measured(metric::REPLAY_RATE, "", rate, tally.seen.len())
                .with_text("the late joiner, from its first message to its last"),
            None => {
                Observation::cannot(metric::REPLAY_RATE, "", "there was nothing left to replay")
            }
        },
    }
}

/// The cell with a limit, and the limit in words.
fn limited(cell: &Cell, keys: &Retention) -> Result<(Cell, String), DriverError> {
    let room = (keys.messages as f64 * keys.limit).round() as u64;
    let mut cell = cell.clone();
    let config = &mut cell.config;
    let words = match config.system.base() {
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
        base => {
            let because = match base {
                System::RedisLists => "a list has no limit of its own; LTRIM is the application's",
                System::Sns => {
                    "a queue has no limit but time (MessageRetentionPeriod, a minute at least)"
                }
                _ => "it keeps nothing that a limit could end",
            };
            return Err(DriverError::Cannot {
                system: config.system,
                action: "limit what it keeps".into(),
                because: because.into(),
            });
        }
    };
    Ok((cell, words))
}

/// Publishes to a topic or stream with a limit, and reads what is left once the broker has given up
/// the rest.
fn limit_reached(
    context: &ExperimentContext<'_>,
    keys: &Retention,
) -> Result<Observation, CellRunError> {
    let (cell, words) = match limited(context.cell, keys) {
        Ok(limited) => limited,
        Err(error) => return Ok(failed(metric::SHARE_LIMIT, "", &error)),
    };
    let (clock, run) = (context.clock(), context.run.wrapping_add(1));
    let driver = context.prepared(&cell, "limit")?;
    let mut producer = ExperimentSender::new(driver.as_ref(), &cell, run, clock)?;
    producer.publish(keys.messages, None)?;
    let begun = clock.now_ns();
    let (mut last, mut same) = (keys.messages, 0);
    while same < SAME_LOOKS && !context.interrupted() {
        let left =
            still_there(context, (&cell, run), driver.replay()?, ReplayFrom::Beginning)?.seen.len();
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
    Ok(with_more(
        share(metric::SHARE_LIMIT, keys.messages, Ok(last)),
        &format!("{seconds:.1} s after the last; {words}"),
    ))
}

/// How long a consumer that was away takes to catch up, while messages keep coming: from the moment
/// at which it comes back, joining included, until it has everything published so far.
fn drained(context: &ExperimentContext<'_>, keys: &Retention) -> Result<Observation, CellRunError> {
    const METRIC: &Metric = metric::DRAIN_TIME;
    let (cell, clock, run) = (context.cell, context.clock(), context.run.wrapping_add(2));
    let system = cell.config.system;
    if system.store() == MessageStore::Nothing {
        let because = "what is published while nobody is subscribed is gone".to_owned();
        let cannot = DriverError::Cannot { system, action: "have a backlog".to_owned(), because };
        return Ok(failed(METRIC, "", &cannot));
    }
    let driver = context.prepared(cell, "backlog")?;
    // Known to the broker, and gone again.
    driver.subscriber(0, 0)?.close()?;
    let mut producer = ExperimentSender::new(driver.as_ref(), cell, run, clock)?;
    producer.publish(keys.messages, None)?;
    let before = producer.sent();
    let (mut tally, mut caught_up_ns) = (Received::new(cell, run), None);
    let plan = producer.plan(u64::MAX, Some(keys.drain_rate));
    producer.run_beside(plan, context.interrupted, |progress| {
        let begun = clock.now_ns();
        let mut consumer = driver.subscriber(0, 0)?;
        tally.receive_while(
            consumer.as_mut(),
            clock,
            10 * SECOND_NS,
            begun + READ_WITHIN,
            |tally| {
                // One that is sent at this very moment may be on its way.
                let sent = before + progress.sent.load(Relaxed);
                if tally.seen.len() + 1 >= sent && tally.seen.len() >= keys.messages {
                    caught_up_ns = Some(clock.now_ns() - begun);
                }
                caught_up_ns.is_some() || context.interrupted()
            },
        )?;
        progress.stop.store(true, Relaxed);
        consumer.close()
    })?;
    driver.clean_up()?;
    let (got, words) = (
        tally.seen.len(),
        format!("of {}, live load of {} beside it", keys.messages, keys.drain_rate),
    );
    Ok(match caught_up_ns {
        Some(ns) => Observation::measured(METRIC, "", ns as f64, got)
            .with_text(format!("backlog {words}; joining included")),
        None => Observation::not_measured(
            METRIC,
            "",
            format!("not caught up: {got} received; backlog {words}"),
        ),
    })
}

/// A clean restart on the same data.
fn restarted(
    context: &mut ExperimentContext<'_>,
    keys: &Retention,
    driver: &dyn Driver,
) -> Observation {
    const METRIC: &Metric = metric::SHARE_RESTART;
    let replay = match driver.replay() {
        // A system that cannot be read again at all needs no restart to show it.
        Ok(replay) => {
            match still_there(context, (context.cell, context.run), replay, ReplayFrom::Beginning) {
                Err(error @ DriverError::Cannot { .. }) => return failed(METRIC, "", &error),
                _ => replay,
            }
        }
        Err(error) => return failed(METRIC, "", &error),
    };
    let begun = context.clock().now_ns();
    let Some(broker) = context.broker.faultable() else {
        let why = "this broker was not started by brokerbench and is not restarted by it: use \
            `--env native`";
        return Observation::not_measured(METRIC, "", why);
    };
    if let Err(error) = broker.restart() {
        let why = match error {
            EnvironmentError::DidNotStart { cause, .. } => {
                format!("the broker did not start again: {cause}")
            }
            other => other.to_string(),
        };
        return Observation::not_measured(METRIC, "", why);
    }
    let seconds = (context.clock().now_ns() - begun) as f64 / 1e9;
    let left = still_there(context, (context.cell, context.run), replay, ReplayFrom::Beginning);
    let text = format!("ended by SIGTERM, answering again after {seconds:.1} s");
    with_more(share(METRIC, keys.messages, distinct(&left)), &text)
}

/// How many messages came, each counted once.
fn distinct(read: &Result<Received, DriverError>) -> Result<u64, &DriverError> {
    read.as_ref().map(|tally| tally.seen.len())
}

fn share(metric: &Metric, of: u64, found: Result<u64, &DriverError>) -> Observation {
    match found {
        Ok(found) => Observation::measured(metric, "", found as f64 / of.max(1) as f64, of)
            .with_text(format!("{found} of {of}")),
        Err(error) => failed(metric, "", error),
    }
}

/// Adds words to a measured value; a reason stands for itself.
fn with_more(mut found: Observation, text: &str) -> Observation {
    if found.value.is_some() {
        found.text = format!("{}, {text}", found.text);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Kind;

    #[test]
    fn a_share_is_of_all_and_a_reason_stays_alone() {
        let half = with_more(share(metric::SHARE_SEEK, 50, Ok(25)), "more");
        assert_eq!((half.value, half.n, half.text.as_str()), (Some(0.5), 50, "25 of 50, more"));
        let nothing = share(metric::SHARE_REREAD, 50, Ok(0));
        assert_eq!((nothing.kind, nothing.value), (Kind::Measured, Some(0.0)));
        let (system, action) = (System::RedisPubsub, "go back".to_owned());
        let cannot = DriverError::Cannot { system, action, because: "nothing is kept".into() };
        let cannot = with_more(share(metric::SHARE_REREAD, 50, Err(&cannot)), "more");
        assert_eq!(
            (cannot.kind, cannot.text.as_str()),
            (Kind::Cannot, "cannot go back: nothing is kept")
        );
    }

    #[test]
    fn each_system_is_limited_by_its_own_means() {
        let keys = Retention { messages: 10_000, limit: 0.25, ..Retention::default() };
        let cells = crate::scenario::load("latency", &Default::default()).unwrap().cells();
        let of =
            |label: &str| limited(cells.iter().find(|cell| cell.label == label).unwrap(), &keys);
        let (kafka, words) = of("kafka").unwrap();
        assert_eq!(kafka.config.topic.config["retention.bytes"], (2500 * 1024).to_string());
        assert!(words.contains("segment.bytes 1048576"), "{words}");
        assert_eq!(of("redis-streams").unwrap().0.config.maxlen, Some(2500));
        assert!(of("redis-lists").is_err_and(|error| error.to_string().contains("LTRIM")));
        assert!(matches!(of("redis-pubsub"), Err(DriverError::Cannot { .. })));
    }
}
