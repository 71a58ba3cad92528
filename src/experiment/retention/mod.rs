//! `retention`: what can still be read of messages that were read and acknowledged: late, twice, from a moment on, after
//! a limit was reached, after the broker was restarted; how fast; and how long a backlog takes under live load.
//!
//! Each share is of distinct messages, counted by their envelopes. The restart comes last: a cold broker would slow
//! everything after it.

mod backlog;
mod limit;

use super::ExperimentContext;
use super::findings::failed;
use super::receiver::Received;
use super::sender::{ExperimentSender, SendProgress};
use crate::driver::capability::{Replay, ReplayFrom};
use crate::driver::{Driver, DriverError, Subscriber};
use crate::engine::TrialError;
use crate::environment::EnvironmentError;
use crate::model::{Metric, metric};
use crate::record::SECOND_NS;
use crate::result::{CellOutput, Observation};
use crate::scenario::Retention;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No message for this long is the end of what comes.
const QUIET: u64 = SECOND_NS;
const READ_WITHIN: u64 = 120 * SECOND_NS;
/// Around the moment that is sought: more than brokers' clocks, which tell milliseconds, can confuse.
const PAUSE: Duration = Duration::from_millis(50);

pub fn run(context: &mut ExperimentContext<'_>, keys: &Retention) -> Result<CellOutput, TrialError> {
    let mut found = Vec::new();
    let driver = context.driver(context.cell, "kept")?;
    driver.prepare()?;
    let moment = publish_and_read(context, keys, driver.as_ref(), &mut found)?;
    read_again(context, keys, driver.as_ref(), moment, &mut found)?;
    if !context.interrupted() {
        found.push(limit::reached(context, keys)?);
    }
    if !context.interrupted() {
        found.push(backlog::drained(context, keys)?);
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

/// Publishes in two halves with a moment between them, while one subscription reads and acknowledges everything.
fn publish_and_read(
    context: &ExperimentContext<'_>,
    keys: &Retention,
    driver: &dyn Driver,
    found: &mut Vec<Observation>,
) -> Result<Moment, TrialError> {
    let (clock, cell, run) = (context.clock(), context.cell, context.run);
    let mut consumer = driver.subscriber(0, 0)?;
    let mut producer = ExperimentSender::new(driver, cell, run, clock)?;
    let half = keys.messages / 2;
    through(context, &mut producer, consumer.as_mut(), half, &mut Received::new(cell, run))?;
    thread::sleep(PAUSE);
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    thread::sleep(PAUSE);
    let mut second = Received::new(cell, run);
    let begun = clock.now_ns();
    through(context, &mut producer, consumer.as_mut(), keys.messages - half, &mut second)?;
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
    tally: &mut Received,
) -> Result<(), TrialError> {
    let (clock, progress) = (context.clock(), SendProgress::default());
    thread::scope(|scope| -> Result<(), TrialError> {
        let publishing = scope.spawn(|| producer.publish(count, None, &progress));
        let deadline = clock.now_ns() + READ_WITHIN;
        let quiet = 5 * SECOND_NS;
        let enough = |tally: &Received| tally.seen.len() >= count || context.interrupted();
        let received = tally.receive_while(consumer, clock, quiet, deadline, enough);
        if received.is_err() || context.interrupted() {
            progress.stop.store(true, Relaxed);
        }
        publishing.join().map_err(|_| TrialError::Thread)??;
        Ok(received?)
    })
}

/// Everything that reads what was read before.
fn read_again(
    context: &ExperimentContext<'_>,
    keys: &Retention,
    driver: &dyn Driver,
    moment: Moment,
    found: &mut Vec<Observation>,
) -> Result<(), TrialError> {
    let replay = driver.replay()?;
    let second = still_there(context, replay, ReplayFrom::Beginning);
    for metric in [metric::READABLE_AFTER_ACK, metric::SHARE_SECOND_READER] {
        found.push(share(metric, keys.messages, second.as_ref().map(|tally| tally.seen.len())));
    }
    let late = replay.join_late(1).and_then(|consumer| to_the_end(context, keys, consumer));
    found.push(share(metric::SHARE_LATE_JOINER, keys.messages, late.as_ref().map(|tally| tally.seen.len())));
    found.push(replay_rate(&late));
    let again = replay.rewind(0).and_then(|()| driver.subscriber(0, 0));
    let again = again.and_then(|consumer| to_the_end(context, keys, consumer));
    found.push(share(metric::SHARE_REREAD, keys.messages, again.as_ref().map(|tally| tally.seen.len())));
    let sought = still_there(context, replay, ReplayFrom::Time(moment.ms));
    let (since, before) = match &sought {
        Ok(tally) => {
            let since = (moment.first..keys.messages).filter(|number| tally.seen.contains(*number)).count() as u64;
            (Ok(since), tally.seen.len() - since)
        }
        Err(error) => (Err(error), 0),
    };
    let text = format!("of those published after the moment; {before} earlier ones came with them");
    found.push(share(metric::SHARE_SEEK, keys.messages - moment.first, since).with_more(&text));
    Ok(())
}

/// What a reader without a subscription finds.
fn still_there(
    context: &ExperimentContext<'_>,
    replay: &dyn Replay,
    from: ReplayFrom,
) -> Result<Received, DriverError> {
    let mut tally = Received::new(context.cell, context.run);
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
            None => Observation::cannot(metric::REPLAY_RATE, "", "there was nothing left to replay"),
        },
    }
}

/// A clean restart on the same data.
fn restarted(context: &mut ExperimentContext<'_>, keys: &Retention, driver: &dyn Driver) -> Observation {
    const METRIC: &Metric = metric::SHARE_RESTART;
    let replay = match driver.replay() {
        // A system that cannot be read again at all needs no restart to show it.
        Ok(replay) => match still_there(context, replay, ReplayFrom::Beginning) {
            Err(error @ DriverError::Cannot { .. }) => return failed(METRIC, "", &error),
            _ => replay,
        },
        Err(error) => return failed(METRIC, "", &error),
    };
    let begun = context.clock().now_ns();
    let Some(broker) = context.broker.faultable() else {
        let why = "this broker was not started by brokerbench and is not restarted by it: use `--env native`";
        return Observation::not_measured(METRIC, "", why);
    };
    if let Err(error) = broker.restart() {
        let why = match error {
            EnvironmentError::DidNotStart { cause, .. } => format!("the broker did not start again: {cause}"),
            other => other.to_string(),
        };
        return Observation::not_measured(METRIC, "", why);
    }
    let seconds = (context.clock().now_ns() - begun) as f64 / 1e9;
    let left = still_there(context, replay, ReplayFrom::Beginning);
    let text = format!("ended by SIGTERM, answering again after {seconds:.1} s");
    share(METRIC, keys.messages, left.as_ref().map(|tally| tally.seen.len())).with_more(&text)
}

fn share(metric: &Metric, of: u64, found: Result<u64, &DriverError>) -> Observation {
    match found {
        Ok(found) => {
            Observation::measured(metric, "", found as f64 / of.max(1) as f64, of).with_text(format!("{found} of {of}"))
        }
        Err(error) => failed(metric, "", error),
    }
}

trait WithMore {
    /// Adds words to a measured value; a reason stands for itself.
    fn with_more(self, text: &str) -> Self;
}

impl WithMore for Observation {
    fn with_more(mut self, text: &str) -> Self {
        if self.value.is_some() {
            self.text = format!("{}, {text}", self.text);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::result::Kind;

    #[test]
    fn a_share_is_of_all_and_a_reason_stays_alone() {
        let half = share(metric::SHARE_SEEK, 50, Ok(25)).with_more("more");
        assert_eq!((half.value, half.n, half.text.as_str()), (Some(0.5), 50, "25 of 50, more"));
        let nothing = share(metric::SHARE_REREAD, 50, Ok(0));
        assert_eq!((nothing.kind, nothing.value), (Kind::Measured, Some(0.0)));
        let (system, action) = (System::RedisPubsub, "go back".to_owned());
        let cannot = DriverError::Cannot { system, action, because: "nothing is kept".into() };
        let cannot = share(metric::SHARE_REREAD, 50, Err(&cannot)).with_more("more");
        assert_eq!((cannot.kind, cannot.text.as_str()), (Kind::Cannot, "cannot go back: nothing is kept"));
    }
}
