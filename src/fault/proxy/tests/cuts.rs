//! Resets, refusals and half-open connections: what each end really sees, and that healing brings the link back.

use super::*;

const RESET: Condition = Condition::Reset { after_bytes: None };

#[test]
fn a_reset_is_seen_by_both_ends_and_by_newcomers_until_healed() {
    let (proxy, listener, client, served) = pair();
    let applied = proxy.apply(RESET).unwrap();
    assert_eq!(applied.connections, 1);
    assert_eq!(proxy.counters().open, 0, "it was not over when `apply` returned");
    assert_eq!(read_until_reset(&client), (0, true));
    assert_eq!(read_until_reset(&served), (0, true));
    assert!(newcomer_is_reset(&proxy));
    eventually("it is counted", || proxy.counters().resets == 2);

    proxy.revert().unwrap();
    let client = connect(&proxy);
    listener.accept().unwrap().0.write_all(b"again").unwrap();
    (&client).read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_reset_amid_traffic_is_no_orderly_end() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let client = connect(&proxy);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            loop {
                if let Err(error) = (&client).write_all(&[1; 4096]) {
                    break error.kind() == ErrorKind::ConnectionReset;
                }
            }
        });
        let reader = scope.spawn(|| read_until_reset(&client).1);
        eventually("it flows", || proxy.counters().to_client > 1 << 20);
        proxy.apply(RESET).unwrap();
        // The kernel tells it once, to whichever of them comes first.
        assert!(writer.join().unwrap() | reader.join().unwrap());
    });
}

#[test]
fn a_reset_after_bytes_cuts_there() {
    let (proxy, listener, mut client, served) = pair();
    proxy.apply(Condition::Reset { after_bytes: Some(1000) }).unwrap();
    let newcomer = connect(&proxy);
    let served_too = listener.accept().unwrap().0;
    client.write_all(&[1; 600]).unwrap();
    (&served).read_exact(&mut [0; 600]).unwrap();
    // Both directions count.
    (&served).write_all(&[2; 300]).unwrap();
    client.read_exact(&mut [0; 300]).unwrap();
    client.write_all(&[3; 5000]).unwrap();
    assert_eq!(read_until_reset(&served), (100, true));
    assert!(read_until_reset(&client).1);
    // Each connection has its own allowance.
    (&newcomer).write_all(&[4; 1001]).unwrap();
    assert_eq!(read_until_reset(&served_too), (1000, true));
    assert_eq!(proxy.counters().resets, 2);
}

#[test]
fn refusing_gives_connection_refused_and_healing_brings_the_same_port_back() {
    let proxy = Proxy::start(None, echo()).unwrap();
    for _ in 0..3 {
        let open = connect(&proxy);
        ping(&open);
        assert_eq!(proxy.apply(Condition::Refuse).unwrap().connections, 1);
        assert!(read_until_reset(&open).1);
        for _ in 0..3 {
            let refused = TcpStream::connect_timeout(&proxy.address(), LONG).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
        assert!(TcpListener::bind(proxy.address()).is_err(), "the port is anybody's");
        proxy.apply(Condition::Refuse).unwrap();
        proxy.revert().unwrap();
        ping(&connect(&proxy));
        // The connection just made ends before the next turn counts.
        eventually("it is over", || proxy.counters().open == 0);
    }
}

#[test]
fn any_condition_after_refusing_listens_again() {
    let proxy = Proxy::start(None, echo()).unwrap();
    proxy.apply(Condition::Refuse).unwrap();
    proxy.apply(Condition::Bandwidth { bytes_per_s: 1_000_000, direction: BOTH }).unwrap();
    ping(&connect(&proxy));
}

#[test]
fn with_the_upstream_lost_the_client_hears_nothing_until_healed() {
    let (proxy, _listener, mut client, served) = pair();
    proxy.apply(Condition::HalfOpen { lost: LinkEnd::Upstream }).unwrap();
    assert_eq!(read_until_reset(&served), (0, true));
    client.write_all(b"anybody there?").unwrap();
    let newcomer = connect(&proxy);
    assert!(silent(&client) && silent(&newcomer));
    eventually("both are open", || proxy.counters().open == 2);
    assert_eq!(proxy.revert().unwrap().connections, 2);
    assert!(read_until_reset(&client).1 && read_until_reset(&newcomer).1);
    assert_eq!(proxy.counters().open, 0);
}

#[test]
fn with_the_client_lost_the_upstream_hears_nothing_and_the_client_may_come_back() {
    let (proxy, listener, client, mut served) = pair();
    proxy.apply(Condition::HalfOpen { lost: LinkEnd::Client }).unwrap();
    assert_eq!(read_until_reset(&client), (0, true));
    assert!(silent(&served));
    let back = connect(&proxy);
    listener.accept().unwrap().0.write_all(b"hello").unwrap();
    (&back).read_exact(&mut [0; 5]).unwrap();
    served.write_all(b"are you there?").unwrap();
    proxy.revert().unwrap();
    assert!(read_until_reset(&served).1);
}

#[test]
fn a_condition_overtakes_a_stall() {
    let (proxy, _listener, mut client, served) = pair();
    proxy.apply(Condition::Stall { direction: BOTH }).unwrap();
    client.write_all(b"kept back").unwrap();
    proxy.apply(RESET).unwrap();
    assert!(read_until_reset(&client).1);
    assert_eq!(read_until_reset(&served), (0, true));
    assert_eq!(proxy.counters().held, 0);
}

#[test]
fn dropping_ends_everything() {
    let (proxy, _listener, client, served) = pair();
    let address = proxy.address();
    proxy.apply(Condition::Stall { direction: BOTH }).unwrap();
    drop(proxy);
    assert!(read_until_reset(&client).1 && read_until_reset(&served).1);
    let refused = TcpStream::connect_timeout(&address, LONG).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn only_loopback_and_only_free_ports_are_listened_on() {
    let upstream = echo();
    let outside = Proxy::start(Some("0.0.0.0:0".parse().unwrap()), upstream).unwrap_err().to_string();
    assert!(outside.contains("loopback only") && outside.contains("127.0.0.1"), "{outside}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = Proxy::start(Some(taken.local_addr().unwrap()), upstream).unwrap_err();
    assert!(matches!(refused, ProxyError::Listen { .. }), "{refused}");
    let proxy = Proxy::start(None, upstream).unwrap();
    assert!(proxy.address().ip().is_loopback() && proxy.address().port() > 0);
}
