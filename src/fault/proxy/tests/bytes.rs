//! Every byte arrives once, in order and whole, whatever happened on the way;
//! and the ends are told apart.

use super::*;
use crate::payload::{Envelope, FULL, Reading, read};
use rustix::net;

#[test]
fn bytes_and_half_closes_pass_both_ways() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let data = random(3 << 20, 1);
    let client = connect(&proxy);
    assert!(exchange(&client, &data) == data);
    let counters = proxy.counters();
    assert_eq!(
        (counters.connections, counters.to_upstream, counters.to_client),
        (1, 3 << 20, 3 << 20)
    );
    drop(client);
    eventually("the connection is over", || proxy.counters().open == 0);
    assert_eq!(
        Counters { connections: 0, to_upstream: 0, to_client: 0, ..proxy.counters() },
        Counters::default()
    );
}

#[test]
fn the_upstream_may_end_first() {
    let (_proxy, _listener, client, mut served) = pair();
    served.write_all(b"bye").unwrap();
    served.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    (&client).read_to_end(&mut all).unwrap();
    assert_eq!(all, b"bye");
    // The other direction is still open.
    (&client).write_all(b"and you").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    all.clear();
    served.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"and you");
}

#[test]
fn a_reset_by_one_end_is_a_reset_for_the_other_and_not_counted_as_ours() {
    let (proxy, _listener, client, mut served) = pair();
    served.write_all(b"unread").unwrap();
    eventually("they have passed", || proxy.counters().to_client == 6);
    // Closing with bytes unread resets.
    std::thread::sleep(Duration::from_millis(50));
    drop(client);
    assert_eq!(read_until_reset(&served), (0, true));
    assert_eq!(proxy.counters().resets, 0);
}

#[test]
fn many_connections_do_not_mix() {
    let proxy = Proxy::start(None, echo()).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..16 {
            let proxy = &proxy;
            scope.spawn(move || {
                let data = random(200_000 + seed * 1000, seed as u64);
                assert!(exchange(&connect(proxy), &data) == data, "connection {seed}");
            });
        }
    });
    assert_eq!(proxy.counters().connections, 16);
}

#[test]
fn nothing_is_lost_however_conditions_follow_on_each_other_amid_traffic() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let streams = [connect(&proxy), connect(&proxy)];
    let data = [random(12 << 20, 1), random(12 << 20, 2)];
    std::thread::scope(|scope| {
        let runs: Vec<_> = streams
            .iter()
            .zip(&data)
            .map(|(stream, data)| {
                scope.spawn(move || assert!(exchange(stream, data) == *data, "changed on the way"))
            })
            .collect();
        let mut random = SplitMix64::new(5);
        for turn in 0..60 {
            let millis = |n| Duration::from_millis(n);
            let condition = match random.next_u64() % 5 {
                0 => Condition::Latency { delay: millis(20), jitter: millis(0), seed: 1 },
                1 => Condition::Latency { delay: millis(5), jitter: millis(30), seed: turn },
                2 => Condition::Bandwidth { bytes_per_s: 20_000_000 },
                3 => Condition::Stall,
                _ => Condition::None,
            };
            proxy.apply(condition).unwrap();
            std::thread::sleep(millis(random.next_u64() % 15));
        }
        proxy.revert().unwrap();
        for run in runs {
            run.join().unwrap();
        }
    });
}

#[test]
fn bit_flips_hit_the_bodies_of_every_nth_message_only() {
    const SIZE: usize = 300;
    let messages: Vec<u8> = (0..2000)
        .flat_map(|sequence| {
            let mut message = [7; SIZE];
            Envelope { run: 9, producer: 0, lane: 0, sequence, planned_ns: 0 }.write(&mut message);
            [&b"$300\r\n"[..], &message[..], &b"\r\n"[..]].concat()
        })
        .collect();
    let proxy = Proxy::start(None, echo()).unwrap();
    let open_before = connect(&proxy);
    ping(&open_before);
    proxy.apply(Condition::BitFlip { every: 100, seed: 3 }).unwrap();
    for client in [open_before, connect(&proxy)] {
        let back = exchange(&client, &messages);
        assert_eq!(back.len(), messages.len());
        let mut hit = Vec::new();
        for (n, (got, sent)) in back.chunks(SIZE + 8).zip(messages.chunks(SIZE + 8)).enumerate() {
            assert!(
                got[..6] == sent[..6] && got[6 + SIZE..] == sent[6 + SIZE..],
                "framing of message {n}"
            );
            assert_eq!(got[6..6 + FULL], sent[6..6 + FULL], "envelope of message {n}");
            if read(&got[6..6 + SIZE], 9, SIZE) == Reading::Corrupt {
                hit.push(n);
            }
        }
        assert_eq!(hit, (1..=20).map(|k| k * 100 - 1).collect::<Vec<_>>());
    }
    assert_eq!(proxy.counters().flipped, 40);
    proxy.revert().unwrap();
    assert!(exchange(&connect(&proxy), &messages) == messages);
}

#[test]
fn an_upstream_that_is_not_there_closes_the_client_and_may_come_later() {
    // Bound and not listening: who connects is reset, and nobody else gets the port meanwhile.
    let reserved = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
    net::bind(&reserved, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let upstream = SocketAddr::try_from(net::getsockname(&reserved).unwrap()).unwrap();
    let proxy = Proxy::start(None, upstream).unwrap();
    assert!(newcomer_is_reset(&proxy));
    eventually("it is over", || proxy.counters().connections == 1 && proxy.counters().open == 0);
    net::listen(&reserved, 1).unwrap();
    let listener = TcpListener::from(reserved);
    let client = connect(&proxy);
    listener.accept().unwrap().0.write_all(b"here").unwrap();
    (&client).read_exact(&mut [0; 4]).unwrap();
}
