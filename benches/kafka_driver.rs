//! What the Kafka driver itself costs, on a real broker: messages a second and client CPU a message
//! for publishing, consuming, and both at once, at full speed. No envelope, no histogram, no
//! ledger: the driver alone.
//!
//! `BROKERBENCH_BENCH_KAFKA=host:port cargo bench --bench kafka_driver [-- MESSAGES [SIZE
//! [KEY=VALUE...]]]`; without the address it does nothing. The values are client settings.

use brokerbench::access::Access;
use brokerbench::clock::Clock;
use brokerbench::driver::{self, Driver, Outgoing, Routes, Submitted, Target};
use brokerbench::model::System;
use brokerbench::scenario::{Cell, Load, Message};
use brokerbench::units::{Bytes, Span};
use std::error::Error;

/// Messages between two changes of partition, so that batches fill.
const RUN: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let Ok(address) = std::env::var("BROKERBENCH_BENCH_KAFKA") else {
        println!("kafka_driver: set BROKERBENCH_BENCH_KAFKA=host:port to run");
        return Ok(());
    };
    let (settings, numbers): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .partition(|arg| arg.contains('='));
    let number = |index: usize, otherwise: u64| {
        numbers.get(index).map_or(Ok(otherwise), |text| text.parse::<u64>())
    };
    let (messages, size) = (number(0, 5_000_000)?, number(1, 100)?);
    let mut cell = cell(size);
    for (key, value) in settings.iter().filter_map(|setting| setting.split_once('=')) {
        cell.config.client.insert(key.into(), value.into());
    }

    for round in 1..=3 {
        let clock = Clock::start();
        let name = format!("bench-{}-{round}", std::process::id());
        let target = Target {
            addresses: vec![address.clone()],
            routes: Routes::default(),
            access: Access::default(),
            name,
            clock,
        };
        let driver = driver::open(&cell, target)?;
        driver.prepare()?;
        measure("publish", messages, size, || publish(&*driver, &cell, clock, messages))?;
        measure("consume", messages, size, || consume(&*driver, clock, 0, messages))?;
        measure("audit", messages, size, || {
            let mut count = 0;
            driver.audit(clock.now_ns() + 60_000_000_000, &mut |_| count += 1)?;
            Ok(count)
        })?;
        driver.clean_up()?;

        let target = Target {
            addresses: vec![address.clone()],
            routes: Routes::default(),
            access: Access::default(),
            name: format!("both-{}-{round}", std::process::id()),
            clock,
        };
        let driver = driver::open(&cell, target)?;
        driver.prepare()?;
        measure("both", messages, size, || {
            std::thread::scope(|scope| {
                let consumer = scope.spawn(|| {
                    consume(&*driver, clock, 0, messages).map_err(|error| error.to_string())
                });
                publish(&*driver, &cell, clock, messages)?;
                Ok(consumer.join().map_err(|_| "the consumer panicked")??)
            })
        })?;
        driver.clean_up()?;
        paced(&address, &cell, round)?;
    }
    Ok(())
}

/// Service times at fixed rates, `linger.ms=0`:
/// how promptly an acknowledgement reaches the pacing thread.
fn paced(address: &str, cell: &Cell, round: u32) -> Result<(), Box<dyn Error>> {
    let clock = Clock::start();
    let mut cell = cell.clone();
    cell.config.client.insert("linger.ms".into(), "0".into());
    let name = format!("paced-{}-{round}", std::process::id());
    let driver = driver::open(
        &cell,
        Target {
            addresses: vec![address.into()],
            routes: Routes::default(),
            access: Access::default(),
            name,
            clock,
        },
    )?;
    driver.prepare()?;
    let payload = vec![b'x'; cell.message.size.0 as usize];
    let mut publisher = driver.publisher(0)?;
    for rate in [1_000_u64, 10_000] {
        let (count, start, cpu) = (2 * rate, clock.now_ns() + 1_000_000, cpu_ns());
        let mut sent = vec![0; count as usize];
        let (mut lags, mut services, mut completions) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0;
        while (services.len() as u64) < count {
            let due = start + next * 1_000_000_000 / rate;
            let now = clock.now_ns();
            if next < count && now >= due {
                let partition = (next / RUN % u64::from(cell.config.partitions())) as u16;
                let message = Outgoing {
                    slot: next as u32,
                    partition,
                    payload: &payload,
                    ..Outgoing::default()
                };
                if publisher.submit(message)? == Submitted::Taken {
                    lags.push(now - due);
                    sent[next as usize] = now;
                    next += 1;
                }
                publisher.wait(0, &mut completions)?;
                services.extend(completions.drain(..).map(|c| c.at_ns - sent[c.slot as usize]));
                continue;
            }
            publisher
                .wait(if next < count { due } else { now + 1_000_000_000 }, &mut completions)?;
            services.extend(completions.drain(..).map(|c| c.at_ns - sent[c.slot as usize]));
        }
        let quantile = |values: &mut Vec<u64>, q: f64| {
            values.sort_unstable();
            values[((values.len() - 1) as f64 * q) as usize] / 1000
        };
        println!(
            "paced    {rate}/s: service p50 {} us, p99 {} us; lag p50 {} us, p99 {} us; {:.2} us \
            client CPU a message",
            quantile(&mut services, 0.5),
            quantile(&mut services, 0.99),
            quantile(&mut lags, 0.5),
            quantile(&mut lags, 0.99),
            (cpu_ns() - cpu) as f64 / 1e3 / count as f64
        );
    }
    driver.clean_up()?;
    Ok(())
}

fn measure(
    what: &str,
    messages: u64,
    size: u64,
    run: impl FnOnce() -> Result<u64, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (clock, cpu) = (Clock::start(), cpu_ns());
    let done = run()?;
    let (cpu, seconds) = (cpu_ns() - cpu, clock.now_ns() as f64 / 1e9);
    let (rate, each) = (done as f64 / seconds, cpu as f64 / 1e3 / done as f64);
    println!(
        "{what:8} {messages} x {size} B: {done} done, {:.0}k/s, {each:.3} us client CPU a message",
        rate / 1e3
    );
    Ok(())
}

fn publish(
    driver: &dyn Driver,
    cell: &Cell,
    clock: Clock,
    messages: u64,
) -> Result<u64, Box<dyn Error>> {
    let mut publisher = driver.publisher(0)?;
    let payload = vec![b'x'; cell.message.size.0 as usize];
    let mut free: Vec<u32> = (0..cell.load.in_flight).rev().collect();
    let mut completions = Vec::new();
    let (mut sent, mut ended) = (0, 0);
    while ended < messages {
        while sent < messages {
            let Some(slot) = free.pop() else { break };
            let partition = (sent / RUN % u64::from(cell.config.partitions())) as u16;
            if publisher.submit(Outgoing {
                slot,
                partition,
                payload: &payload,
                ..Outgoing::default()
            })? == Submitted::Full
            {
                free.push(slot);
                break;
            }
            sent += 1;
        }
        publisher.wait(clock.now_ns() + 1_000_000_000, &mut completions)?;
        ended += completions.len() as u64;
        free.extend(completions.drain(..).map(|completion| completion.slot));
    }
    Ok(ended)
}

fn consume(
    driver: &dyn Driver,
    clock: Clock,
    subscription: u16,
    messages: u64,
) -> Result<u64, Box<dyn Error>> {
    let mut subscriber = driver.subscriber(subscription, 0)?;
    let mut count = 0;
    while count < messages {
        subscriber.receive(clock.now_ns() + 100_000_000, &mut |_| count += 1)?;
    }
    subscriber.close()?;
    Ok(count)
}

/// CPU time of this process, all threads.
fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn cell(size: u64) -> Cell {
    let load = Load { batch: 10_000, backlog: Bytes(1 << 30), ..Load::closed(50_000) };
    let mut cell = Cell::plain(System::Kafka, load.brief(Span::from_secs(1)));
    cell.config.topic.partitions = 4;
    cell.message = Message::random(size);
    cell
}
