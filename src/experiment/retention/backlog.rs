//! How long a consumer that was away takes to catch up, while messages keep coming.

use super::{READ_WITHIN, SECOND_NS};
use crate::driver::{Driver, DriverError};
use crate::engine::TrialError;
use crate::experiment::ExperimentContext;
use crate::experiment::findings::failed;
use crate::experiment::receiver::Received;
use crate::experiment::sender::{ExperimentSender, SendProgress};
use crate::model::{MessageStore, Metric, metric};
use crate::result::Observation;
use crate::scenario::Retention;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

const METRIC: &Metric = metric::DRAIN_TIME;

/// From the moment at which the consumer comes back, joining included, until it has everything published so far.
pub fn drained(context: &ExperimentContext<'_>, keys: &Retention) -> Result<Observation, TrialError> {
    let cell = context.cell;
    if cell.config.system.store() == MessageStore::Nothing {
        let (system, action) = (cell.config.system, "have a backlog".to_owned());
        let because = "what is published while nobody is subscribed is gone".to_owned();
        return Ok(failed(METRIC, "", &DriverError::Cannot { system, action, because }));
    }
    let driver = context.driver(cell, "backlog")?;
    driver.prepare()?;
    // Known to the broker, and gone again.
    driver.subscriber(0, 0)?.close()?;
    let drained = drain(context, keys, driver.as_ref())?;
    driver.clean_up()?;
    Ok(drained)
}

fn drain(context: &ExperimentContext<'_>, keys: &Retention, driver: &dyn Driver) -> Result<Observation, TrialError> {
    let (clock, run) = (context.clock(), context.run.wrapping_add(2));
    let mut producer = ExperimentSender::new(driver, context.cell, run, clock)?;
    let progress = SendProgress::default();
    producer.publish(keys.messages, None, &progress)?;
    let mut tally = Received::new(context.cell, run);
    let caught_up_ns = thread::scope(|scope| -> Result<Option<u64>, TrialError> {
        let publishing = scope.spawn(|| producer.publish(u64::MAX, Some(keys.drain_rate), &progress));
        let begun = clock.now_ns();
        let mut caught_up = None;
        let received = driver.subscriber(0, 0).and_then(|mut consumer| {
            let deadline = begun + READ_WITHIN;
            tally.receive_while(consumer.as_mut(), clock, 10 * SECOND_NS, deadline, |tally| {
                // One that is sent at this very moment may be on its way.
                if tally.seen.len() + 1 >= progress.sent.load(Relaxed) && tally.seen.len() >= keys.messages {
                    caught_up = Some(clock.now_ns() - begun);
                }
                caught_up.is_some() || context.interrupted()
            })?;
            consumer.close()
        });
        progress.stop.store(true, Relaxed);
        publishing.join().map_err(|_| TrialError::Thread)??;
        received?;
        Ok(caught_up)
    })?;
    let words = format!("backlog of {}, live load of {} beside it", keys.messages, keys.drain_rate);
    Ok(match caught_up_ns {
        Some(ns) => Observation::measured(METRIC, "", ns as f64, tally.seen.len())
            .with_text(format!("{words}; joining included")),
        None => {
            let got = tally.seen.len();
            Observation::not_measured(METRIC, "", format!("not caught up: {got} received; {words}"))
        }
    })
}
