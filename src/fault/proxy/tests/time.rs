//! Delays, rates and stalls: for open and new connections alike, without limiting what they should
//! not limit.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn latency(delay: Duration) -> Condition {
    Condition::Latency { delay, jitter: Duration::ZERO, seed: 1 }
}

#[test]
fn latency_holds_for_open_and_new_connections_until_healed() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let open = connect(&proxy);
    ping(&open);
    proxy.apply(latency(300 * MS)).unwrap();
    for client in [&open, &connect(&proxy)] {
        let took = ping(client);
        // There and back.
        assert!(took >= 600 * MS && took < 2600 * MS, "{took:?}");
    }
    proxy.revert().unwrap();
    let best = (0..5).map(|_| ping(&open)).min().unwrap();
    assert!(best < 100 * MS, "{best:?}");
}

#[test]
fn healing_lets_go_of_what_was_delayed() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let mut client = connect(&proxy);
    proxy.apply(latency(60_000 * MS)).unwrap();
    client.write_all(&random(100_000, 1)).unwrap();
    eventually("it is held", || proxy.counters().held == 100_000);
    let healed = proxy.revert().unwrap();
    assert_eq!(healed.connections, 1);
    let mut back = vec![0; 100_000];
    client.read_exact(&mut back).unwrap();
    assert!(back == random(100_000, 1));
    assert_eq!(proxy.counters().held, 0);
}

#[test]
fn latency_does_not_limit_throughput() {
    let proxy = Proxy::start(None, sink()).unwrap();
    proxy.apply(latency(100 * MS)).unwrap();
    let data = random(64 << 20, 2);
    let (client, start) = (connect(&proxy), Instant::now());
    let answer = exchange(&client, &data);
    let rate = data.len() as f64 / start.elapsed().as_secs_f64();
    assert_eq!(answer, receipt(&data));
    assert!(start.elapsed() >= 200 * MS);
    assert!(rate > 20e6, "{rate:.0} B/s");
}

#[test]
fn jitter_larger_than_the_delay_neither_reorders_nor_underflows() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let client = connect(&proxy);
    proxy.apply(Condition::Latency { delay: 5 * MS, jitter: 40 * MS, seed: 7 }).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..200u32 {
                (&client).write_all(&n.to_le_bytes()).unwrap();
                std::thread::sleep(MS);
            }
        });
        for n in 0..200u32 {
            let mut bytes = [0; 4];
            (&client).read_exact(&mut bytes).unwrap();
            assert_eq!(u32::from_le_bytes(bytes), n);
        }
    });
}

#[test]
fn a_full_delay_queue_slows_the_sender_without_loss() {
    let proxy = Proxy::start(None, sink()).unwrap();
    proxy.apply(latency(60_000 * MS)).unwrap();
    let data = random(96 << 20, 3);
    let client = connect(&proxy);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| exchange(&client, &data));
        let held = || proxy.counters().held as usize;
        eventually("the queue is full", || held() > rules::LONGEST_QUEUE * 9 / 10);
        std::thread::sleep(60 * MS);
        assert!(held() <= rules::LONGEST_QUEUE + rules::CHUNK, "{}", held());
        proxy.revert().unwrap();
        assert_eq!(run.join().unwrap(), receipt(&data));
    });
}

#[test]
fn bandwidth_is_one_line_for_all_connections() {
    let proxy = Proxy::start(None, sink()).unwrap();
    let open = connect(&proxy);
    proxy.apply(Condition::Bandwidth { bytes_per_s: 2_000_000 }).unwrap();
    let (data, start) = (random(1_000_000, 4), Instant::now());
    std::thread::scope(|scope| {
        for client in [open, connect(&proxy)] {
            let data = &data;
            scope.spawn(move || assert_eq!(exchange(&client, data), receipt(data)));
        }
    });
    let took = start.elapsed();
    assert!(took >= 900 * MS && took < 6000 * MS, "2 MB at 2 MB/s took {took:?}");
}

#[test]
fn a_stall_keeps_every_byte_of_megabytes_in_flight_both_ways() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let client = connect(&proxy);
    let data = random(24 << 20, 6);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| exchange(&client, &data));
        for _ in 0..3 {
            let passed = proxy.counters().to_client;
            eventually("it flows", || {
                run.is_finished() || proxy.counters().to_client > passed + (1 << 20)
            });
            proxy.apply(Condition::Stall).unwrap();
            let stalled = proxy.counters();
            std::thread::sleep(60 * MS);
            assert_eq!(proxy.counters(), stalled, "something passed");
            proxy.revert().unwrap();
        }
        assert!(run.join().unwrap() == data);
    });
}

#[test]
fn a_new_connection_is_stalled_too() {
    let proxy = Proxy::start(None, echo()).unwrap();
    proxy.apply(Condition::Stall).unwrap();
    let mut client = connect(&proxy);
    client.write_all(b"x").unwrap();
    assert!(silent(&client));
    proxy.revert().unwrap();
    client.read_exact(&mut [0]).unwrap();
}
