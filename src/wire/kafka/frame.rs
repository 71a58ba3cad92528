//! Frames of Kafka's protocol: a length, a header that numbers the request, a body.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, RequestHeader, TopicName};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};

/// The oldest version of Fetch that Kafka 4 knows, and the simplest: no sessions, no compact fields.
const FETCH: i16 = 4;

/// A whole request of the client of that name, its length in front.
pub fn request<Q: Encodable + HeaderVersion>(
    client: &'static str,
    (key, version): (ApiKey, i16),
    correlation: i32,
    request: &Q,
) -> Result<Vec<u8>, String> {
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(client)));
    let mut bytes = vec![0; 4];
    let encoded = header.encode(&mut bytes, Q::header_version(version));
    encoded.and_then(|()| request.encode(&mut bytes, version)).map_err(|error| error.to_string())?;
    let size = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    Ok(bytes)
}

/// How long the body is behind the first eight bytes of an answer; `None` where it is longer than
/// `longest`, or no answer to that request.
pub fn body_length(head: [u8; 8], correlation: i32, longest: usize) -> Option<usize> {
    let [a, b, c, d, number @ ..] = head;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let answers = i32::from_be_bytes(number) == correlation && (4..=longest).contains(&length);
    answers.then(|| length - 4)
}

/// A Fetch request for `topic`, of whose partitions the first is read from `positions[0]` on. The
/// broker may wait so long for the first byte.
pub fn fetch(
    client: &'static str,
    correlation: i32,
    topic: &str,
    positions: &[i64],
    (wait_ms, max_bytes): (i32, i32),
) -> Result<Vec<u8>, String> {
    let partition = |(index, position): (usize, &i64)| {
        FetchPartition::default()
            .with_partition(index as i32)
            .with_fetch_offset(*position)
            .with_partition_max_bytes(max_bytes)
    };
    let partitions = positions.iter().enumerate().map(partition).collect();
    let fetch = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(max_bytes)
        .with_topics(vec![FetchTopic::default().with_topic(name(topic)).with_partitions(partitions)]);
    request(client, (ApiKey::Fetch, FETCH), correlation, &fetch)
}

pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_its_length_and_what_it_is() {
        let bytes = fetch("me", 9, "topic", &[5, 6], (1000, 1 << 20)).unwrap();
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        let mut expected = b"\0\x01\0\x04\0\0\0\x09\0\x02me\xff\xff\xff\xff\0\0\x03\xe8\0\0\0\x01".to_vec();
        expected.extend(b"\0\x10\0\0\0\0\0\0\x01\0\x05topic\0\0\0\x02");
        for (partition, position) in [(0, 5), (1, 6)] {
            expected.extend([0, 0, 0, partition, 0, 0, 0, 0, 0, 0, 0, position, 0, 0x10, 0, 0]);
        }
        assert_eq!(bytes[4..], expected);
    }

    #[test]
    fn an_answer_to_another_request_or_of_impossible_length_is_none() {
        assert_eq!(body_length(*b"\0\0\0\x06\0\0\0\x09", 9, 6), Some(2));
        assert_eq!(body_length(*b"\0\0\0\x06\0\0\0\x09", 8, 6), None);
        assert_eq!(body_length(*b"\0\0\0\x07\0\0\0\x09", 9, 6), None);
        assert_eq!(body_length(*b"\0\0\0\x03\0\0\0\x09", 9, 6), None);
    }
}
