//! Resets and refusals: what each end really sees, and that healing brings the link back.

use super::*;

#[test]
fn a_reset_is_seen_by_both_ends_and_by_newcomers_until_healed() {
    let (proxy, listener, client, served) = pair();
    let applied = proxy.apply(Condition::Reset).unwrap();
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
        proxy.apply(Condition::Reset).unwrap();
        // The kernel tells it once, to whichever of them comes first.
        assert!(writer.join().unwrap() | reader.join().unwrap());
    });
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
    proxy.apply(Condition::Bandwidth { bytes_per_s: 1_000_000 }).unwrap();
    ping(&connect(&proxy));
}

#[test]
fn a_condition_overtakes_a_stall() {
    let (proxy, _listener, mut client, served) = pair();
    proxy.apply(Condition::Stall).unwrap();
    client.write_all(b"kept back").unwrap();
    proxy.apply(Condition::Reset).unwrap();
    assert!(read_until_reset(&client).1);
    assert_eq!(read_until_reset(&served), (0, true));
    assert_eq!(proxy.counters().held, 0);
}

#[test]
fn dropping_ends_everything() {
    let (proxy, _listener, client, served) = pair();
    let address = proxy.address();
    proxy.apply(Condition::Stall).unwrap();
    drop(proxy);
    assert!(read_until_reset(&client).1 && read_until_reset(&served).1);
    let refused = TcpStream::connect_timeout(&address, LONG).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn only_loopback_and_only_free_ports_are_listened_on() {
    let upstream = echo();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = Proxy::start(Some(taken.local_addr().unwrap().port()), upstream).unwrap_err();
    assert!(matches!(refused, ProxyError::Listen { .. }), "{refused}");
    let proxy = Proxy::start(None, upstream).unwrap();
    assert!(proxy.address().ip().is_loopback() && proxy.address().port() > 0);
}

/// A client that connects from this address of loopback.
fn connect_from(source: [u8; 4], proxy: &Proxy) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    connect(&socket, &proxy.address()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

#[test]
fn what_comes_from_one_address_stalls_alone_and_loses_nothing() {
    let proxy = Proxy::start(None, echo()).unwrap();
    let (one, other) =
        (connect_from([127, 0, 0, 11], &proxy), connect_from([127, 0, 0, 12], &proxy));
    ping(&one);
    ping(&other);
    proxy.stall_from([127, 0, 0, 11].into()).unwrap();
    (&one).write_all(b"x").unwrap();
    assert!(silent(&one));
    ping(&other);
    ping(&connect_from([127, 0, 0, 13], &proxy));
    let late = connect_from([127, 0, 0, 11], &proxy);
    (&late).write_all(b"x").unwrap();
    assert!(silent(&late), "newcomers too");
    proxy.revert().unwrap();
    for stalled in [&one, &late] {
        let mut stalled = stalled;
        stalled.read_exact(&mut [0]).unwrap();
    }
}
