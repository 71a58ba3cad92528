//! Requests byte by byte, and answers as the crate's own decoders read them.

use super::*;
use crate::wire::kafka::frame::Fields;
use crate::wire::kafka::link::CLIENT;
use crate::wire::kafka::records::tests::batch;
use kafka_protocol::messages::{ShareFetchResponse, ShareGroupHeartbeatResponse};
use kafka_protocol::protocol::Decodable;

const TOPIC: TopicId = [7; 16];

fn member() -> ShareIdentity {
    ShareIdentity { group: "work".into(), member: "me".into() }
}

fn accept(first: i64, last: i64) -> AckRange {
    AckRange { first, last, kind: AckType::Accept }
}

#[test]
fn answers_side_by_side_become_one() {
    let mut answers = Acknowledgements::default();
    answers.add(0, accept(3, 5));
    answers.add(0, accept(6, 6));
    answers.add(0, AckRange { kind: AckType::Release, ..accept(7, 7) });
    answers.add(0, accept(8, 8));
    answers.add(0, accept(10, 10));
    answers.add(1, accept(9, 9));
    let ranges: Vec<(i64, i64)> =
        answers.0[&0].iter().map(|range| (range.first, range.last)).collect();
    assert_eq!(ranges, [(3, 6), (7, 7), (8, 8), (10, 10)]);
    assert_eq!(answers.0[&1], [accept(9, 9)]);
}

#[test]
fn a_fetch_says_that_its_limit_is_one() {
    let session = ShareSession { topic: TOPIC, epoch: 4, new: &[1], gone: &[2] };
    let mut answers = Acknowledgements::default();
    answers.add(0, accept(3, 5));
    let request = member().fetch(&session, &answers, (500, 1 << 20, 10));
    let frame = strict(&request, CLIENT).unwrap();
    assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
    let mut expected = b"\0\x4e\0\x02\0\0\0\x01\0\x0bbrokerbench\0\x05work\x03me".to_vec();
    for number in [4, 500, 1, 1 << 20, 10, 10] {
        expected.extend(i32::to_be_bytes(number));
    }
    expected.extend([1, 0, 2]);
    expected.extend(TOPIC);
    // Partition 0, of which 3 to 5 are accepted, and 1, which is new.
    expected.extend(b"\x03\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x05\x02\x01\0\0");
    expected.extend(b"\0\0\0\x01\x01\0\0\x02");
    expected.extend(TOPIC);
    expected.extend(b"\x02\0\0\0\x02\0\0");
    assert_eq!(frame[4..], expected);
}

/// A ShareFetch response of one partition with two batches, of whose records 11 and 12 are
/// ours, the latter for the third time.
fn response() -> Vec<u8> {
    let mut records = batch(10, &[b"a", b"b"]);
    records.extend(batch(12, &[b"c", b"d"]));
    let mut out = b"\0\0\0\0\0\0\0\0\0\x75\x30\x02".to_vec();
    out.extend(TOPIC);
    out.extend(b"\x02\0\0\0\0\0\0\0\0\x79\x03no\0\0\0\x01\0\0\0\x05\0");
    let length = records.len() + 1;
    out.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
    out.extend(records);
    out.push(3);
    for (offset, deliveries) in [(11i64, 1i16), (12, 3)] {
        out.extend(offset.to_be_bytes());
        out.extend(offset.to_be_bytes());
        out.extend(deliveries.to_be_bytes());
        out.push(0);
    }
    out.extend([0, 0, 1, 0]);
    out
}

/// The crate's own decoder shares no code with ours.
#[test]
fn of_a_batch_what_is_ours_is_handed_out_with_its_deliveries() {
    let bytes = [&[0], &response()[..]].concat();
    let theirs = ShareFetchResponse::decode(&mut &bytes[1..], 1).unwrap();
    let partition = &theirs.responses[0].partitions[0];
    assert_eq!((partition.acknowledge_error_code, partition.acquired_records.len()), (121, 2));
    let (error, words, partitions) = fetched(&bytes).unwrap();
    assert_eq!((error, words.as_str(), partitions.len()), (0, "", 1));
    assert_eq!((partitions[0].error, partitions[0].acknowledged), (0, 121));
    let mut seen = Vec::new();
    let mut sink = |offset, deliveries, payload: &[u8]| {
        seen.push((offset, deliveries, payload.to_vec()));
    };
    partitions[0].each(&mut sink).unwrap();
    assert_eq!(seen, [(11, 1, b"b".to_vec()), (12, 3, b"c".to_vec())]);
    for cut in 0..bytes.len() - 3 {
        assert!(fetched(&bytes[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn heartbeats_tell_what_changed() {
    let mut bytes = b"\0\0\0\0\0\0\0\x03me\0\0\0\x02\0\0\x13\x88".to_vec();
    let unchanged = [&[0], &bytes[..], &[0xff, 0]].concat();
    bytes.extend(b"\x01\x02");
    bytes.extend(TOPIC);
    bytes.extend(b"\x03\0\0\0\0\0\0\0\x03\0\0\0");
    let theirs = ShareGroupHeartbeatResponse::decode(&mut &bytes[..], HEARTBEAT.1).unwrap();
    let partitions = &theirs.assignment.unwrap().topic_partitions[0].partitions;
    let ours = Heartbeat::read(Fields(&[&[0], &bytes[..]].concat())).unwrap();
    assert_eq!((ours.error, ours.epoch, ours.interval_ms), (0, 2, 5000));
    assert_eq!(ours.assignment.unwrap(), [(TOPIC, partitions.clone())]);
    assert_eq!(Heartbeat::read(Fields(&unchanged)).unwrap().assignment, None);
}

#[test]
fn a_broker_is_asked_what_it_knows_first() {
    let told = b"\0\0\0\0\0\x02\0\x01\0\x04\0\x12\0\x4e\0\x01\0\x02";
    assert_eq!(newest(Fields(told), FETCH.0), Ok(Some(2)));
    assert!(newest(Fields(&told[..12]), FETCH.0).is_err());
    assert_eq!(newest(Fields(b"\0\0\0\0\0\0"), FETCH.0), Ok(None));
    assert_eq!(configured(Fields(b"\0\0\0\0\0\0\0\x01\0\x28\0\x02no")), Ok((40, "no".into())));
    assert_eq!(coordinated(Fields(b"\0\0\0\0\0\x0f")), Ok(15));
    let two =
        [b"\0\0\0\0\0\0\0\0\x02", &TOPIC[..], b"\x02\0\0\0\0\0\x79\0\0\0\0\x01\0\0\0\x05\0\0\0"];
    assert_eq!(acknowledged(Fields(&two.concat())), Ok(vec![0, 121]));
}
