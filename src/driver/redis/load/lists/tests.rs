//! Replies of the commands of lists, and how long they may wait.

use super::*;

#[test]
fn a_time_out_is_never_for_ever() {
    assert_eq!(seconds(Duration::ZERO), "0.001");
    assert_eq!(seconds(Duration::from_nanos(1)), "0.001");
    assert_eq!(seconds(Duration::from_millis(1500)), "1.500");
}

#[test]
fn elements_are_handed_out_in_order() {
    let (mut seen, mut stamps) = (vec![], vec![]);
    let reply = b"*2\r\n$1\r\nk\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
    let mut sink = |incoming: Incoming<'_>| {
        // What a consumer does with the first is no part of how long the second took.
        std::thread::sleep(Duration::from_millis(1));
        seen.push(incoming.payload.to_vec());
        stamps.push(incoming.received_ns);
    };
    hand_out(reply, &Clock::start(), &mut sink).unwrap();
    assert_eq!(seen, [b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(stamps[0], stamps[1], "one read, one stamp");
    let clock = Clock::start();
    let count = |reply: &[u8]| hand_out(reply, &clock, &mut |_| ());
    assert_eq!((count(reply), count(b"*-1\r\n")), (Ok(2), Ok(0)));
    assert_eq!(count(b"*2\r\n$1\r\nk\r\n$1\r\na\r\n"), Ok(1), "BRPOP");
    let mut bare = vec![];
    let mut sink = |incoming: Incoming<'_>| bare.push(incoming.payload.to_vec());
    assert_eq!(hand_out_bare(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", &clock, &mut sink), Ok(2));
    assert_eq!(bare, [b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(hand_out_bare(b"*-1\r\n", &clock, &mut |_| ()), Ok(0));
    assert!(hand_out(b"-ERR no\r\n", &Clock::start(), &mut |_| ()).is_err());
}
