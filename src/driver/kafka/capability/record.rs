//! As much of Kafka's protocol as one record of any size needs: the frames around it, which hold its length but not its
//! bytes. Nothing here talks to a socket.
//!
//! Requests are of the last versions before the compact encodings, whose lengths have a place of fixed width that can
//! be written before the record is there. Every Kafka since 0.11 takes them.

use crate::driver::{LargeRefusal, Who};
use crate::wire::kafka::fields::{Fields, Walked};
use crate::wire::kafka::frame::{self, name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ProduceRequest};

const PRODUCE: i16 = 8;
const CLIENT: &str = "brokerbench-second";
/// Of the record batch, up to its records.
pub const BATCH_HEAD: usize = 61;
/// Where the part of the batch begins that its checksum covers.
const COVERED: usize = 21;
/// What follows the value: a record without headers.
pub const RECORD_TAIL: [u8; 1] = [0];
/// How long the broker may wait for its copies.
const ACK_WITHIN_MS: i32 = 300_000;

/// A Produce request around one record: what stands before its value. [`RECORD_TAIL`] stands behind it.
pub fn produce(topic: &str, correlation: i32, value: &[u8]) -> Result<Vec<u8>, LargeRefusal> {
    let record = record_head(value.len());
    let records = BATCH_HEAD + record.len() + value.len() + RECORD_TAIL.len();
    let mut batch = Vec::with_capacity(BATCH_HEAD + record.len());
    let length = i32::try_from(records - 12).map_err(|_| too_long(records))?;
    batch.extend_from_slice(&0i64.to_be_bytes()); // base offset
    batch.extend_from_slice(&length.to_be_bytes());
    batch.extend_from_slice(&(-1i32).to_be_bytes()); // leader epoch
    batch.push(2); // magic
    batch.extend_from_slice(&[0; 4]); // checksum, below
    batch.extend_from_slice(&[0; 2]); // attributes: no codec
    batch.extend_from_slice(&[0; 4]); // last offset delta
    batch.extend_from_slice(&[0; 16]); // first and last timestamp
    batch.extend_from_slice(&(-1i64).to_be_bytes()); // producer id
    batch.extend_from_slice(&(-1i16).to_be_bytes()); // producer epoch
    batch.extend_from_slice(&(-1i32).to_be_bytes()); // base sequence
    batch.extend_from_slice(&1i32.to_be_bytes()); // records
    batch.extend_from_slice(&record);
    let checksum = checksum(checksum(checksum(0, &batch[COVERED..]), value), &RECORD_TAIL);
    batch[COVERED - 4..COVERED].copy_from_slice(&checksum.to_be_bytes());

    let partition = PartitionProduceData::default().with_index(0).with_records(Some(Default::default()));
    let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(ACK_WITHIN_MS).with_topic_data(vec![data]);
    let frame = frame::request(CLIENT, (ApiKey::Produce, PRODUCE), correlation, &request);
    let mut frame = frame.map_err(unwritable)?;
    // The empty records were encoded as their length, the last field: the real one takes its place.
    frame.truncate(frame.len() - 4);
    let size = i32::try_from(frame.len() + records).map_err(|_| too_long(records))?;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame.extend_from_slice(&(records as i32).to_be_bytes());
    frame.extend_from_slice(&batch);
    Ok(frame)
}

/// The offset that a Produce response tells; `response` follows the correlation id.
pub fn produced(response: &[u8]) -> Result<i64, LargeRefusal> {
    let unreadable = |cause| LargeRefusal::new(Who::Broker, format!("an unreadable answer to Produce: {cause}"));
    let first = first_partition(response).map_err(unreadable)?;
    let Some((code, offset, message)) = first else {
        return Err(LargeRefusal::new(Who::Broker, "an empty answer to Produce"));
    };
    accepted(code, &message)?;
    Ok(offset)
}

/// Error code, offset and the broker's words on the first partition of a Produce response.
fn first_partition(response: &[u8]) -> Walked<Option<(i16, i64, String)>> {
    let mut fields = Fields(response);
    if fields.count()? == 0 {
        return Ok(None);
    }
    fields.text()?; // The topic.
    if fields.count()? == 0 {
        return Ok(None);
    }
    fields.i32()?; // The partition.
    let (code, offset) = (fields.i16()?, fields.i64()?);
    fields.take(16)?; // Time, first offset.
    for _ in 0..fields.count()? {
        fields.i32()?; // What is wrong with single records.
        fields.text()?;
    }
    Ok(Some((code, offset, fields.text()?)))
}

/// A Fetch request for what stands at `offset`, whatever its size.
pub fn fetch(topic: &str, correlation: i32, offset: i64) -> Result<Vec<u8>, LargeRefusal> {
    frame::fetch(CLIENT, correlation, topic, &[offset], (500, i32::MAX)).map_err(unwritable)
}

/// Refuses what carries an error code.
pub fn accepted(code: i16, message: &str) -> Result<(), LargeRefusal> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) if message.is_empty() => Err(LargeRefusal::new(Who::Broker, format!("{error:?} ({code})"))),
        Some(error) => Err(LargeRefusal::new(Who::Broker, format!("{error:?} ({code}): {message}"))),
    }
}

/// What stands before the records of a batch.
pub struct BatchHead([u8; BATCH_HEAD]);

impl BatchHead {
    pub fn new(bytes: [u8; BATCH_HEAD]) -> Self {
        Self(bytes)
    }

    /// Of the whole batch.
    pub fn size(&self) -> u64 {
        12 + u64::from(self.word(8))
    }

    /// Refuses what no one record of ours can be.
    pub fn check(&self) -> Result<(), LargeRefusal> {
        let (magic, attributes, records) = (self.0[16], [self.0[21], self.0[22]], self.word(57));
        if magic == 2 && attributes[1] & 7 == 0 && records == 1 {
            return Ok(());
        }
        let words = format!("a batch of magic {magic}, attributes {attributes:?}, {records} records");
        Err(LargeRefusal::new(Who::Consumer, words))
    }

    pub fn checksum(&self) -> u32 {
        self.word(17)
    }

    /// The checksum as far as the head goes.
    pub fn begin(&self) -> u32 {
        checksum(0, &self.0[COVERED..])
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

/// CRC32C over one more piece.
pub fn checksum(so_far: u32, piece: &[u8]) -> u32 {
    crc32c::crc32c_append(so_far, piece)
}

/// A record without key: all before its value.
pub fn record_head(value: usize) -> Vec<u8> {
    let mut inner = vec![0, 0, 0]; // attributes, timestamp delta, offset delta
    varint(&mut inner, -1); // no key
    varint(&mut inner, value as i64);
    let mut head = Vec::with_capacity(16);
    varint(&mut head, (inner.len() + value + RECORD_TAIL.len()) as i64);
    head.extend_from_slice(&inner);
    head
}

/// A signed number, zigzag, seven bits a byte.
fn varint(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn unwritable(cause: String) -> LargeRefusal {
    LargeRefusal::new(Who::ClientEncoder, cause)
}

fn too_long(records: usize) -> LargeRefusal {
    LargeRefusal::new(Who::ClientEncoder, format!("{records} B do not fit the 31 bits of a request's length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_framed_as_others_read_it() {
        let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let head = produce("a-topic", 7, &value).unwrap();
        let whole = [&head[..], &value, &RECORD_TAIL].concat();
        assert_eq!(i32::from_be_bytes(whole[..4].try_into().unwrap()) as usize, whole.len() - 4);
        let batch = &whole[head.len() - record_head(value.len()).len() - BATCH_HEAD..];
        assert_eq!(
            batch.len(),
            i32::from_be_bytes(whole[whole.len() - batch.len() - 4..][..4].try_into().unwrap()) as usize
        );
        let found = BatchHead::new(batch[..BATCH_HEAD].try_into().unwrap());
        found.check().unwrap();
        assert_eq!(found.size(), batch.len() as u64);
        assert_eq!(found.checksum(), crc32c::crc32c(&batch[COVERED..]));
        assert_eq!(checksum(found.begin(), &batch[BATCH_HEAD..]), found.checksum());
        // The crate's own decoder, which shares no code with the above.
        let mut source = batch;
        let set = kafka_protocol::records::RecordBatchDecoder::decode(&mut source).unwrap();
        assert_eq!(set.records.len(), 1);
        assert_eq!(set.records[0].value.as_deref(), Some(&value[..]));
        assert_eq!(set.records[0].key, None);
    }

    #[test]
    fn numbers_are_written_as_kafka_reads_them() {
        for (number, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[126]),
            (64, &[128, 1]),
            (1_000_000_000, &[128, 168, 214, 185, 7]),
        ] {
            let mut out = vec![];
            varint(&mut out, number);
            assert_eq!(out, bytes, "{number}");
        }
    }

    #[test]
    fn refusals_carry_the_brokers_words() {
        assert!(accepted(0, "").is_ok());
        let refusal = accepted(10, "The request included a message larger than ...").unwrap_err();
        assert!(refusal.who == Who::Broker && refusal.words.contains("MessageTooLarge (10): The request"), "{refusal}");
        assert!(produced(b"").is_err());
    }
}
