//! `delivery`: who starts a delivery, the consumer by asking or the broker by itself; how soon it
//! arrives; and what becomes of the messages of a consumer that does not read.
//!
//! Requests are counted at the broker or at the socket, in windows of fixed length: what a consumer
//! sends while nothing comes belongs to what its next delivery costs.

use super::ExperimentContext;
use super::findings::{failed, quantile};
use super::receiver::Received;
use super::sender::ExperimentSender;
use crate::driver::capability::{HeldForConsumer, Requests, WatchedSubscriber};
use crate::driver::{Driver, DriverError};
use crate::engine::CellRunError;
use crate::model::{Metric, metric};
use crate::record::SECOND_NS;
use crate::result::{CellOutput, Observation};
use crate::scenario::{Cell, Delivery};
use crate::units::Rate;

/// A first moment of load that counts for nothing: connections, metadata and commits of the start.
const SETTLE: (u64, Rate) = (20, Rate::per_second(100));
/// The stalled consumer's broker is asked this often what it holds.
const LOOKS: u64 = 64;
/// After the stall: no message for this long is the end.
const QUIET: u64 = 2 * SECOND_NS;
const RESUME_WITHIN: u64 = 60 * SECOND_NS;

pub fn run(
    context: &mut ExperimentContext<'_>,
    keys: &Delivery,
) -> Result<CellOutput, CellRunError> {
    let mut found = Vec::new();
    requests(context, keys, &mut found)?;
    if !context.interrupted() {
        stalled(context, keys, &mut found)?;
    }
    context.output(found)
}

/// The consumer idle and at each rate.
fn requests(
    context: &ExperimentContext<'_>,
    keys: &Delivery,
    found: &mut Vec<Observation>,
) -> Result<(), CellRunError> {
    let (clock, cell, run) = (context.clock(), context.cell, context.run);
    let driver = context.prepared(cell, "rates")?;
    let WatchedSubscriber { subscriber: mut consumer, ask: mut sent } = driver.counted(0, 0)?;
    let mut producer = ExperimentSender::new(driver.as_ref(), cell, run, clock)?;
    producer.publish(SETTLE.0, Some(SETTLE.1))?;
    let mut first = Received::new(cell, run);
    let deadline = clock.now_ns() + 10 * SECOND_NS;
    first.receive_while(&mut *consumer, clock, 2 * SECOND_NS, deadline, |tally| {
        tally.seen.len() == SETTLE.0
    })?;

    let before = sent()?;
    let begun = clock.now_ns();
    let end_ns = begun + keys.idle.nanos();
    first.receive_until(&mut *consumer, clock, keys.wait.nanos(), end_ns, context.interrupted)?;
    let idle = sent()? - before;
    let seconds = (clock.now_ns() - begun) as f64 / 1e9;
    found.push(
        Observation::measured(
            metric::IDLE_REQUESTS,
            "rate=0",
            idle.all() as f64 / seconds,
            idle.all(),
        )
        .with_text(words(idle, seconds)),
    );
    for rate in &keys.rates {
        if context.interrupted() {
            break;
        }
        let count = (rate.per_s() * keys.duration.secs_f64()).round() as u64;
        let (before, mut tally) = (sent()?, Received::new(cell, run));
        let plan = producer.plan(count, Some(*rate));
        producer.run_beside(plan, context.interrupted, |_| {
            let end_ns = clock.now_ns() + keys.duration.nanos();
            tally.receive_until(
                &mut *consumer,
                clock,
                keys.wait.nanos(),
                end_ns,
                context.interrupted,
            )
        })?;
        found.extend(of_rate(*rate, keys, sent()? - before, tally));
        // What came too late for the window must not be counted as delivered in the next one.
        let mut rest = Received::new(cell, run);
        let deadline = clock.now_ns() + SECOND_NS;
        rest.receive_while(&mut *consumer, clock, SECOND_NS / 5, deadline, |_| false)?;
    }
    consumer.close()?;
    Ok(driver.clean_up()?)
}

fn of_rate(rate: Rate, keys: &Delivery, sent: Requests, tally: Received) -> Vec<Observation> {
    let point = format!("rate={rate}");
    let (batches, messages) = (tally.batches, tally.seen.len());
    let text = format!(
        "{}; {messages} messages in {batches} batches",
        words(sent, keys.duration.secs_f64())
    );
    let ratio = |metric: &Metric, of: u64, to: u64| match to {
        0 => Observation::not_measured(metric, &point, "no message came"),
        to => Observation::measured(metric, &point, of as f64 / to as f64, to).with_text(&text),
    };
    let mut wake_ups: Vec<u64> = tally.wake_ups.into_iter().map(|(_, ns)| ns).collect();
    vec![
        ratio(metric::REQUESTS_PER_BATCH, sent.fetch, batches),
        ratio(metric::REQUESTS_PER_MESSAGE, sent.fetch, messages),
        ratio(metric::ACKNOWLEDGEMENTS_PER_BATCH, sent.acknowledge, batches),
        quantile(metric::WAKE_UP_P50, &point, &mut wake_ups),
        quantile(metric::WAKE_UP_P99, &point, &mut wake_ups),
    ]
}

fn words(requests: Requests, seconds: f64) -> String {
    let Requests { fetch, acknowledge, keep_alive, other } = requests;
    format!(
        "in {seconds:.1} s: {fetch} fetch, {acknowledge} acknowledge, {keep_alive} keep-alive, \
         {other} other"
    )
}

const STALLED: [&Metric; 5] = [
    metric::STALLED_SENT,
    metric::STALLED_RECEIVED,
    metric::STALLED_LOST,
    metric::STALLED_CUT_OFF,
    metric::STALLED_BUFFERED,
];

/// A consumer that does not read its socket while `keys.stalled` is published, and then does.
fn stalled(
    context: &ExperimentContext<'_>,
    keys: &Delivery,
    found: &mut Vec<Observation>,
) -> Result<(), CellRunError> {
    let mut cell = context.cell.clone();
    cell.message.size = keys.stalled_message;
    let run = context.run.wrapping_add(1);
    let driver = context.prepared(&cell, "stall")?;
    match stall(context, keys, &cell, run, driver.as_ref()) {
        Ok(seen) => found.extend(seen),
        Err(CellRunError::Driver(error)) => {
            found.extend(STALLED.map(|metric| failed(metric, "", &error)))
        }
        Err(error) => return Err(error),
    }
    Ok(driver.clean_up()?)
}

fn stall(
    context: &ExperimentContext<'_>,
    keys: &Delivery,
    cell: &Cell,
    run: u64,
    driver: &dyn Driver,
) -> Result<[Observation; 5], CellRunError> {
    let clock = context.clock();
    let mut stalled = driver.stalled(0)?;
    let mut producer = ExperimentSender::new(driver, cell, run, clock)?;
    let messages = keys.stalled.0.div_ceil(keys.stalled_message.0.max(1));
    let mut most = (stalled.ask)()?;
    for look in 0..LOOKS {
        let upto = messages * (look + 1) / LOOKS;
        producer.publish(upto - producer.sent(), None)?;
        let held = (stalled.ask)()?;
        if held.bytes > most.bytes {
            most = held;
        }
        if context.interrupted() {
            break;
        }
    }
    let sent = if driver.acknowledges() { producer.acked.len() } else { producer.sent() };
    let (mut tally, mut consumer) = (Received::new(cell, run), stalled.subscriber);
    let deadline = clock.now_ns() + RESUME_WITHIN;
    let read = tally.receive_while(&mut *consumer, clock, QUIET, deadline, |tally| {
        tally.seen.len() >= sent || context.interrupted()
    });
    let cut_off = match read {
        Ok(()) => None,
        Err(DriverError::Disconnected { cause, .. }) => Some(cause),
        Err(error) => return Err(error.into()),
    };
    // A consumer that was cut off has nothing left to acknowledge on its connection.
    let _ = consumer.close();
    Ok(of_stall(sent, tally.seen.len(), cut_off.as_deref(), &most))
}

/// `cut_off` is how the broker ended the connection, `most` the most that it held.
fn of_stall(
    sent: u64,
    received: u64,
    cut_off: Option<&str>,
    most: &HeldForConsumer,
) -> [Observation; 5] {
    let measured =
        |metric: &Metric, value: u64| Observation::measured(metric, "", value as f64, sent);
    let connection = cut_off.unwrap_or("the connection stayed");
    [
        measured(metric::STALLED_SENT, sent),
        measured(metric::STALLED_RECEIVED, received),
        measured(metric::STALLED_LOST, sent.saturating_sub(received)),
        measured(metric::STALLED_CUT_OFF, u64::from(cut_off.is_some())).with_text(connection),
        measured(metric::STALLED_BUFFERED, most.bytes)
            .with_text(format!("the most at any look, in {}", most.place)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Kind;

    fn values(observations: &[Observation]) -> Vec<(&str, Option<f64>)> {
        observations.iter().map(|o| (o.metric.as_str(), o.value)).collect()
    }

    #[test]
    fn sent_is_received_and_lost() {
        let most = HeldForConsumer { bytes: 33_000_000, place: "somewhere" };
        let found = of_stall(60_000, 36_000, Some("closed"), &most);
        let expected = [60_000.0, 36_000.0, 24_000.0, 1.0, 33_000_000.0];
        assert_eq!(found.each_ref().map(|o| o.value), expected.map(Some));
        assert!(found[3].text.contains("closed") && found[4].text.contains("somewhere"));
    }

    #[test]
    fn requests_are_divided_by_what_they_brought() {
        let requests = Requests { fetch: 30, acknowledge: 10, keep_alive: 1, other: 0 };
        let cell = crate::scenario::load("latency", &Default::default()).unwrap().cells().remove(0);
        let mut tally = Received::new(&cell, 1);
        tally.batches = 20;
        (0..40).for_each(|n| {
            tally.seen.insert(n);
            tally.wake_ups.push((n, 100 + n));
        });
        let found = of_rate(Rate::per_second(10_000), &Delivery::default(), requests, tally);
        assert_eq!(
            values(&found),
            [
                ("requests_per_batch", Some(1.5)),
                ("requests_per_message", Some(0.75)),
                ("acknowledgements_per_batch", Some(0.5)),
                ("wake_up.p50", Some(119.0)),
                ("wake_up.p99", None),
            ]
        );
        assert!(found.iter().all(|o| o.point == "rate=10k/s"));
        let nothing =
            of_rate(Rate::per_second(1), &Delivery::default(), requests, Received::new(&cell, 1));
        assert!(nothing.iter().all(|o| o.kind == Kind::NotMeasured));
    }
}
