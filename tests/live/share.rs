//! Kafka's share groups on a real broker that each test starts for itself; needs Java, and Maven or
//! `KAFKA_HOME`. `cargo test --test live share:: -- --ignored --test-threads 1`

use crate::kafka::{Bench, in_seconds, open};
use brokerbench::driver::{Incoming, Outcome, Outgoing, Submitted, Subscriber};
use brokerbench::model::System;
use brokerbench::scenario::{Cell, ConsumeMode, Load, Message};
use brokerbench::units::{Bytes, Span};
use std::collections::BTreeMap;

const MESSAGES: u64 = 5_000;

/// One partition, as a list has one; two consumers share it.
fn cell() -> Cell {
    let load = Load { backlog: Bytes(1 << 30), consumers: 2, ..Load::closed(10_000) };
    let mut cell = Cell::plain(System::Kafka, load.brief(Span::from_secs(1)));
    cell.config.consume.mode = ConsumeMode::ShareGroup;
    cell.config.consume.batch = 50;
    cell.message = Message::random(100);
    cell
}

impl Bench {
    fn publish(&self, numbers: std::ops::Range<u64>) {
        let mut publisher = self.driver.publisher(0).unwrap();
        let many = (numbers.end - numbers.start) as usize;
        for number in numbers {
            let mut payload = [0; 100];
            payload[..8].copy_from_slice(&number.to_be_bytes());
            let message =
                Outgoing { slot: number as u32, payload: &payload, ..Outgoing::default() };
            assert_eq!(publisher.submit(message).unwrap(), Submitted::Taken);
        }
        publisher.flush().unwrap();
        let (mut ends, deadline_ns) = (Vec::new(), in_seconds(self.clock, 60));
        while ends.len() < many && self.clock.now_ns() < deadline_ns {
            publisher.wait(in_seconds(self.clock, 1), &mut ends).unwrap();
        }
        assert!(ends.len() == many && ends.iter().all(|end| end.outcome == Outcome::Acked));
    }

    /// Takes once; the numbers that came.
    fn take(&self, subscriber: &mut dyn Subscriber) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut sink = |message: Incoming<'_>| {
            assert_eq!(message.payload.len(), 100);
            numbers.push(u64::from_be_bytes(message.payload[..8].try_into().unwrap()));
        };
        subscriber.receive(in_seconds(self.clock, 1), &mut sink).unwrap();
        numbers
    }

    /// Takes by turns until `many` came, and once more; how often each number came, and to whom.
    fn take_all(
        &self,
        of: &mut [Box<dyn Subscriber>],
        many: u64,
    ) -> (BTreeMap<u64, u32>, Vec<u64>) {
        let (mut seen, mut shares) = (BTreeMap::new(), vec![0; of.len()]);
        let deadline_ns = in_seconds(self.clock, 60);
        while (seen.len() as u64) < many && self.clock.now_ns() < deadline_ns {
            for (subscriber, share) in of.iter_mut().zip(&mut shares) {
                let numbers = self.take(subscriber.as_mut());
                *share += numbers.len() as u64;
                numbers.into_iter().for_each(|number| *seen.entry(number).or_default() += 1);
            }
        }
        for subscriber in of {
            let late = self.take(subscriber.as_mut());
            assert!(late.is_empty(), "{} came once more", late.len());
        }
        (seen, shares)
    }
}

#[test]
#[ignore = "needs a broker"]
fn two_consumers_share_one_partition_and_each_message_comes_once() {
    let cell = cell();
    let bench = open(&cell);
    bench.driver.prepare().unwrap();
    let joined = |consumer| bench.driver.subscriber(0, consumer).unwrap();
    let mut both = [joined(0), joined(1)];
    bench.publish(0..MESSAGES);
    let (seen, shares) = bench.take_all(&mut both, MESSAGES);
    assert!(seen.len() as u64 == MESSAGES && seen.values().all(|times| *times == 1));
    assert!(shares.iter().all(|share| *share > MESSAGES / 4), "{shares:?}");
    assert!(both.iter().all(|subscriber| subscriber.retries().is_empty()));
    both.iter_mut().for_each(|subscriber| subscriber.close().unwrap());

    // What was accepted is gone for whoever comes later; what was not comes again.
    bench.publish(MESSAGES..MESSAGES + 200);
    let mut dying = bench.driver.subscriber(0, 0).unwrap();
    let held = bench.take(dying.as_mut());
    assert!((1..=50).contains(&held.len()), "no more than asked for: {}", held.len());
    dying.abandon();
    let mut last = [bench.driver.subscriber(0, 1).unwrap()];
    let (seen, _) = bench.take_all(&mut last, 200);
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), Vec::from_iter(MESSAGES..MESSAGES + 200));
    let [mut last] = last;
    last.close().unwrap();

    // The log keeps all of it.
    let mut kept = 0;
    bench.driver.audit(in_seconds(bench.clock, 30), &mut |_| kept += 1).unwrap();
    assert_eq!(kept, MESSAGES + 200);
    bench.driver.clean_up().unwrap();
}
