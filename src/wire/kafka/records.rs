//! Record batches, and as much of Produce and Fetch as carries them without a library: as bytes, on
//! no socket.
//!
//! Requests are of the last versions before the compact encodings, whose lengths have a place of
//! fixed width that can be written before a record is there: its value, of any size, need not be
//! gathered for it. Every Kafka since 0.11 takes them.

use super::answers::accepted;
use super::frame::{Api, Fields, SHORT, Walked, name, request};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, ProduceRequest};

const PRODUCE: Api = (ApiKey::Produce, 8);
/// The oldest version of Fetch that Kafka 4 knows, and the simplest:
/// no sessions, no compact fields.
const FETCH: Api = (ApiKey::Fetch, 4);
/// Of the record batch, up to its records.
pub const BATCH_HEAD: usize = 61;
/// Where the part of the batch begins that its checksum covers.
const COVERED: usize = 21;
/// What follows the value: a record without headers.
pub const RECORD_TAIL: [u8; 1] = [0];
/// How long the broker may wait for its copies.
const ACK_WITHIN_MS: i32 = 300_000;

/// A Produce request around one record: what stands before its value.
/// [`RECORD_TAIL`] stands behind it.
pub fn produce(
    client: &'static str,
    topic: &str,
    correlation: i32,
    value: &[u8],
) -> Result<Vec<u8>, String> {
    let record = record_head(value.len());
    let records = BATCH_HEAD + record.len() + value.len() + RECORD_TAIL.len();
    let too_long = |_| format!("{records} B do not fit the 31 bits of a request's length");
    let mut batch = Vec::with_capacity(BATCH_HEAD + record.len());
    batch.extend_from_slice(&0i64.to_be_bytes()); // base offset
    batch.extend_from_slice(&i32::try_from(records - 12).map_err(too_long)?.to_be_bytes());
    batch.extend_from_slice(&(-1i32).to_be_bytes()); // leader epoch
    batch.push(2); // magic
    batch.extend_from_slice(&[0; 4]); // checksum, below
    // attributes: no codec; last offset delta; first and last timestamp
    batch.extend_from_slice(&[0; 22]);
    batch.extend_from_slice(&[0xff; 14]); // producer id, its epoch, base sequence: none
    batch.extend_from_slice(&1i32.to_be_bytes()); // records
    batch.extend_from_slice(&record);
    let checksum = checksum(checksum(checksum(0, &batch[COVERED..]), value), &RECORD_TAIL);
    batch[COVERED - 4..COVERED].copy_from_slice(&checksum.to_be_bytes());

    let partition =
        PartitionProduceData::default().with_index(0).with_records(Some(Default::default()));
    let data =
        TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition]);
    let produce = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(ACK_WITHIN_MS)
        .with_topic_data(vec![data]);
    let mut frame = request(client, PRODUCE, correlation, &produce)?;
    // The empty records were encoded as their length, the last field: the real one takes its place.
    frame.truncate(frame.len() - 4);
    let size = i32::try_from(frame.len() + records).map_err(too_long)?;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame.extend_from_slice(&(records as i32).to_be_bytes());
    frame.extend_from_slice(&batch);
    Ok(frame)
}

/// The offset that a Produce response tells; `response` follows the correlation id.
pub fn produced(response: &[u8]) -> Result<i64, String> {
    let first = first_partition(response)
        .map_err(|cause| format!("an unreadable answer to Produce: {cause}"))?;
    let (code, offset, message) = first.ok_or("an empty answer to Produce")?;
    let words = |name: String| if message.is_empty() { name } else { format!("{name}: {message}") };
    accepted(code).map_err(words).map(|()| offset)
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
        .with_topics(vec![
            FetchTopic::default().with_topic(name(topic)).with_partitions(partitions),
        ]);
    request(client, FETCH, correlation, &fetch)
}

/// How long the answer is to a Fetch of one partition, up to its records,
/// where no transaction was aborted.
pub const fn fetched_head(topic: &str) -> usize {
    44 + topic.len()
}

/// The only partition of that answer: its error code, and the length of its records.
pub fn fetched_one(answer: &[u8]) -> Walked<(i16, usize)> {
    let mut fields = Fields(answer);
    fields.take(8)?; // Throttled for; one topic.
    fields.text()?;
    fields.i32()?; // One partition.
    fetched(&mut fields).map(|(_, code, length)| (code, length))
}

/// One partition of a Fetch response, as far as its records: its number,
/// its error code, their length.
fn fetched(fields: &mut Fields<'_>) -> Walked<(i32, i16, usize)> {
    let (index, code) = (fields.i32()?, fields.i16()?);
    fields.take(16)?; // High watermark, last stable offset.
    let aborted = fields.count()?;
    fields.take(aborted.saturating_mul(16))?;
    Ok((index, code, fields.count()?))
}

/// Hands out every record of a Fetch response from its partition's position on,
/// and moves the positions.
pub fn walk(
    answer: &[u8],
    correlation: i32,
    positions: &mut [i64],
    sink: &mut dyn FnMut(&[u8]),
) -> Walked<()> {
    let mut fields = Fields(answer);
    if fields.i32()? != correlation {
        return Err("an answer to another request");
    }
    fields.i32()?; // Throttled for.
    for _ in 0..fields.count()? {
        fields.text()?;
        for _ in 0..fields.count()? {
            let (partition, code, length) = fetched(&mut fields)?;
            if code != 0 {
                return Err("the broker refused a fetch");
            }
            let records = fields.take(length)?;
            let position =
                usize::try_from(partition).ok().and_then(|index| positions.get_mut(index));
            let position = position.ok_or("records of a partition that was not asked for")?;
            let from = *position;
            let next = batches(records, &mut |offset, payload| {
                if offset >= from {
                    sink(payload);
                }
            })?;
            *position = from.max(next.unwrap_or(from));
        }
    }
    Ok(())
}

/// Hands out every record of these batches with its offset. The last batch may be cut off: it comes
/// again. The offset behind the last whole one; `None` where there is none.
pub fn batches(records: &[u8], sink: &mut dyn FnMut(i64, &[u8])) -> Walked<Option<i64>> {
    let (mut rest, mut next) = (Fields(records), None);
    while let Some(head) = rest.0.first_chunk() {
        let head = BatchHead(*head);
        let Ok(batch) = rest.take(head.size() as usize) else { break };
        if head.packed() {
            return Err("compressed records");
        }
        let mut batch = Fields(batch.get(BATCH_HEAD..).ok_or(SHORT)?);
        let base = i64::from_be_bytes(head.array(0));
        for _ in 0..head.word(57) {
            let length = usize::try_from(batch.varint()?).unwrap_or(usize::MAX);
            let mut record = Fields(batch.take(length)?);
            record.take(1)?;
            record.varint()?; // Time.
            let offset = base.saturating_add(record.varint()?);
            let key = record.varint()?;
            record.take(usize::try_from(key).unwrap_or(0))?;
            let value = usize::try_from(record.varint()?).unwrap_or(0);
            sink(offset, record.take(value)?);
        }
        let last = base.saturating_add(i32::from_be_bytes(head.array(23)).into());
        next = next.max(Some(last.saturating_add(1)));
    }
    Ok(next)
}

/// What stands before the records of a batch.
pub struct BatchHead(pub [u8; BATCH_HEAD]);

impl BatchHead {
    /// Of the whole batch.
    pub fn size(&self) -> u64 {
        12 + u64::from(self.word(8))
    }

    /// Whether its records are compressed.
    fn packed(&self) -> bool {
        self.0[COVERED + 1] & 7 != 0
    }

    /// Refuses what no one record of ours can be.
    pub fn check(&self) -> Result<(), String> {
        let (magic, attributes, records) = (self.0[16], self.array::<2>(COVERED), self.word(57));
        if magic == 2 && !self.packed() && records == 1 {
            return Ok(());
        }
        Err(format!("a batch of magic {magic}, attributes {attributes:?}, {records} records"))
    }

    pub fn checksum(&self) -> u32 {
        self.word(17)
    }

    /// The checksum as far as the head goes.
    pub fn begin(&self) -> u32 {
        checksum(0, &self.0[COVERED..])
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|index| self.0[at + index])
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

#[cfg(any(test, fuzzing))]
pub fn fuzz(answer: &[u8]) -> bool {
    if let Some(head) = answer.first_chunk() {
        let head = BatchHead(*head);
        let _ = (head.check(), head.size(), head.checksum(), head.begin());
    }
    let _ = fetched_one(answer);
    let correlation = answer.first_chunk().map_or(0, |first| i32::from_be_bytes(*first));
    let (mut positions, mut bytes, before) = ([11, 0], 0, [11, 0]);
    let walked = walk(answer, correlation, &mut positions, &mut |payload| bytes += payload.len());
    assert!(positions[0] >= before[0] && positions[1] >= before[1], "positions never go back");
    assert!(bytes <= answer.len(), "nothing is handed out that did not come");
    (walked.is_ok() && bytes > 0) | produced(answer).is_ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    #[test]
    fn a_record_is_framed_as_others_read_it() {
        let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let head = produce("me", "a-topic", 7, &value).unwrap();
        let whole = [&head[..], &value, &RECORD_TAIL].concat();
        assert_eq!(i32::from_be_bytes(whole[..4].try_into().unwrap()) as usize, whole.len() - 4);
        let batch = &whole[head.len() - record_head(value.len()).len() - BATCH_HEAD..];
        assert_eq!(
            batch.len(),
            i32::from_be_bytes(whole[whole.len() - batch.len() - 4..][..4].try_into().unwrap())
                as usize
        );
        let found = BatchHead(batch[..BATCH_HEAD].try_into().unwrap());
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
        let answer = |code: i16| {
            let mut out = b"\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0".to_vec();
            out.extend(code.to_be_bytes());
            out.extend(7i64.to_be_bytes());
            out.extend([0; 20]);
            out.extend(b"\0\x0bThe request");
            out
        };
        assert_eq!(produced(&answer(0)), Ok(7));
        assert_eq!(produced(&answer(10)), Err("MessageTooLarge (10): The request".into()));
        assert!(produced(b"").is_err());
    }

    #[test]
    fn a_request_says_its_length_and_what_it_is() {
        let bytes = fetch("me", 9, "topic", &[5, 6], (1000, 1 << 20)).unwrap();
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        let mut expected =
            b"\0\x01\0\x04\0\0\0\x09\0\x02me\xff\xff\xff\xff\0\0\x03\xe8\0\0\0\x01".to_vec();
        expected.extend(b"\0\x10\0\0\0\0\0\0\x01\0\x05topic\0\0\0\x02");
        for (partition, position) in [(0, 5), (1, 6)] {
            expected.extend([0, 0, 0, partition, 0, 0, 0, 0, 0, 0, 0, position, 0, 0x10, 0, 0]);
        }
        assert_eq!(bytes[4..], expected);
    }

    /// A batch of records at offsets `base..`, as a broker stores it.
    pub fn batch(base: i64, payloads: &[&[u8]]) -> Vec<u8> {
        let mut body = vec![0; 9];
        body.extend(0i16.to_be_bytes());
        body.extend((payloads.len() as i32 - 1).to_be_bytes());
        body.extend([0; 30]);
        body.extend((payloads.len() as i32).to_be_bytes());
        for (delta, payload) in payloads.iter().enumerate() {
            let mut record = vec![0];
            varint(&mut record, 1000);
            varint(&mut record, delta as i64);
            varint(&mut record, -1);
            varint(&mut record, payload.len() as i64);
            record.extend_from_slice(payload);
            varint(&mut record, 0);
            varint(&mut body, record.len() as i64);
            body.extend(record);
        }
        let mut out = base.to_be_bytes().to_vec();
        out.extend((body.len() as i32).to_be_bytes());
        out.extend(body);
        out
    }

    fn answer(records: &[u8]) -> Vec<u8> {
        let mut out = 7i32.to_be_bytes().to_vec();
        out.extend(0i32.to_be_bytes());
        out.extend(1i32.to_be_bytes());
        out.extend(1i16.to_be_bytes());
        out.push(b't');
        out.extend(1i32.to_be_bytes());
        out.extend(0i32.to_be_bytes());
        out.extend(0i16.to_be_bytes());
        out.extend([0; 16]);
        out.extend((-1i32).to_be_bytes());
        out.extend((records.len() as i32).to_be_bytes());
        out.extend(records);
        out
    }

    fn walked(answer: &[u8], positions: &mut [i64]) -> Walked<Vec<Vec<u8>>> {
        let mut seen = Vec::new();
        walk(answer, 7, positions, &mut |payload| seen.push(payload.to_vec())).map(|()| seen)
    }

    #[test]
    fn records_from_the_position_on_are_handed_out_once() {
        let long = vec![b'x'; 300];
        let mut records = batch(10, &[b"a", b"b", &long]);
        records.extend(batch(13, &[b"c"]));
        let mut positions = [11];
        assert_eq!(
            walked(&answer(&records), &mut positions).unwrap(),
            [b"b".to_vec(), long, b"c".to_vec()]
        );
        assert_eq!(positions, [14]);
        // A batch that is cut off is left for the next answer.
        let whole = batch(14, &[b"d", b"e"]);
        for cut in 0..whole.len() {
            assert_eq!(walked(&answer(&whole[..cut]), &mut positions), Ok(vec![]), "{cut}");
        }
        assert_eq!(walked(&answer(&whole), &mut positions).unwrap().len(), 2);
    }

    #[test]
    fn the_only_partition_is_read_before_its_records_are_there() {
        let whole = answer(&batch(0, &[b"a"]));
        let head = &whole[4..4 + fetched_head("t")];
        assert_eq!(fetched_one(head), Ok((0, whole.len() - 4 - head.len())));
        assert!(fetched_one(&head[1..]).is_err());
    }

    #[test]
    fn answers_that_are_not_ours_are_refused() {
        let good = answer(&batch(0, &[b"a"]));
        assert!(walk(&good, 8, &mut [0], &mut |_| ()).is_err());
        assert!(walk(&good, 7, &mut [], &mut |_| ()).is_err());
        assert!(walk(&good[..good.len() - 1], 7, &mut [0], &mut |_| ()).is_err());
        let mut compressed = batch(0, &[b"a"]);
        compressed[22] = 4;
        assert_eq!(walked(&answer(&compressed), &mut [0]), Err("compressed records"));
    }
}
