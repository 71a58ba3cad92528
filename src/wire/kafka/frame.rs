//! Frames of Kafka's protocol (a length, a header that numbers the request, a body), and the fields
//! in them, read one after the other.
//!
//! An answer is not trusted: what is missing is an error, and a count allocates nothing. The
//! elements that it announces are read one by one, and each takes bytes, so that memory follows the
//! bytes that came and not the numbers in them. (Decoders that reserve room for an announced count
//! can be made to reserve hundreds of gigabytes by thirty bytes.)

use kafka_protocol::messages::{ApiKey, RequestHeader, TopicName};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};

/// What is asked, and in which version.
pub type Api = (ApiKey, i16);

/// The number of every request on a connection that has one under way at a time.
pub const CORRELATION: i32 = 1;

/// A whole request of the client of that name, its length in front.
pub fn request<Q: Encodable + HeaderVersion>(
    client: &'static str,
    (key, version): Api,
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
    encoded
        .and_then(|()| request.encode(&mut bytes, version))
        .map_err(|error| error.to_string())?;
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

pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// What is left to read.
pub struct Fields<'a>(pub &'a [u8]);

pub type Walked<T> = Result<T, &'static str>;

pub const SHORT: &str = "an answer ends too early";

impl<'a> Fields<'a> {
    pub fn take(&mut self, length: usize) -> Walked<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Walked<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    pub fn i16(&mut self) -> Walked<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Walked<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Walked<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A length or count; null (-1) is none.
    pub fn count(&mut self) -> Walked<usize> {
        self.i32().map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// The length or count of a compact field, which is written as one more.
    pub fn compact(&mut self) -> Walked<usize> {
        self.unsigned().map(|count| usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX))
    }

    /// A text that may be null, which is empty then.
    pub fn text(&mut self) -> Walked<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Likewise in the compact encoding.
    pub fn compact_text(&mut self) -> Walked<String> {
        let length = self.compact()?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Passes over fields that later versions have added.
    pub fn tags(&mut self) -> Walked<()> {
        for _ in 0..self.unsigned()? {
            self.unsigned()?;
            let length = usize::try_from(self.unsigned()?).unwrap_or(usize::MAX);
            self.take(length)?;
        }
        Ok(())
    }

    /// Numbers behind their count.
    pub fn numbers(&mut self) -> Walked<Vec<i32>> {
        (0..self.count()?).map(|_| self.i32()).collect()
    }

    /// A zigzag number of variable length.
    pub fn varint(&mut self) -> Walked<i64> {
        self.unsigned().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn unsigned(&mut self) -> Walked<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number of variable length does not end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_request_or_of_impossible_length_is_none() {
        assert_eq!(body_length(*b"\0\0\0\x06\0\0\0\x09", 9, 6), Some(2));
        assert_eq!(body_length(*b"\0\0\0\x06\0\0\0\x09", 8, 6), None);
        assert_eq!(body_length(*b"\0\0\0\x07\0\0\0\x09", 9, 6), None);
        assert_eq!(body_length(*b"\0\0\0\x03\0\0\0\x09", 9, 6), None);
    }

    #[test]
    fn known_fields() {
        let mut fields =
            Fields(b"\0\x02hi\xff\xff\0\0\0\x02\0\0\0\x01\xff\xff\xff\xff\x03\x01\x80\x01rest");
        assert_eq!(fields.text().as_deref(), Ok("hi"));
        assert_eq!(fields.text().as_deref(), Ok(""), "null");
        assert_eq!(fields.numbers(), Ok(vec![1, -1]));
        assert_eq!((fields.compact(), fields.varint(), fields.varint()), (Ok(2), Ok(-1), Ok(64)));
        assert_eq!(fields.0, b"rest");
        let mut compact = Fields(b"\x03hi\0\x02\x07\x01x\x01\0\0rest");
        let (text, null) = (compact.compact_text(), compact.compact_text());
        assert_eq!((text.as_deref(), null.as_deref()), (Ok("hi"), Ok("")));
        assert_eq!((compact.tags(), compact.tags()), (Ok(()), Ok(())));
        assert_eq!(compact.0, b"rest");
    }

    #[test]
    fn a_count_without_its_elements_costs_nothing() {
        assert_eq!(Fields(&i32::MAX.to_be_bytes()).numbers(), Err(SHORT));
        assert_eq!(Fields(&(-1i32).to_be_bytes()).numbers(), Ok(vec![]), "null");
        assert!(Fields(&[0xff; 20]).varint().is_err());
        assert_eq!(Fields(&[0]).compact(), Ok(0), "null");
        assert_eq!(Fields(&[0xff, 0xff, 0x7f]).tags(), Err(SHORT));
    }
}
