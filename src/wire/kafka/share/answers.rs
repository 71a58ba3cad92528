//! What nodes answer to a member of a share group.

use super::TopicId;
use crate::wire::kafka::frame::{Fields, Walked};
use crate::wire::kafka::records::batches;
use kafka_protocol::messages::ApiKey;

/// The most recent version of `key` that a node takes; `None` where it does not know it.
pub fn newest(mut answer: Fields<'_>, key: ApiKey) -> Walked<Option<i16>> {
    answer.i16()?;
    let mut found = None;
    for _ in 0..answer.count()? {
        let (known, _, newest) = (answer.i16()?, answer.i16()?, answer.i16()?);
        if known == key as i16 {
            found = Some(newest);
        }
    }
    Ok(found)
}

/// The error of a FindCoordinator response.
pub fn coordinated(mut answer: Fields<'_>) -> Walked<i16> {
    answer.i32()?; // Throttled for.
    answer.i16()
}

/// What a node says to the settings of one group: its error, its words.
pub fn configured(mut answer: Fields<'_>) -> Walked<(i16, String)> {
    answer.i32()?; // Throttled for.
    if answer.count()? == 0 {
        return Err("an empty answer");
    }
    Ok((answer.i16()?, answer.text()?))
}

/// What a coordinator says to a heartbeat.
#[derive(Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub error: i16,
    pub words: String,
    pub epoch: i32,
    pub interval_ms: i32,
    /// Topics and their partitions; `None` where nothing changed.
    pub assignment: Option<Vec<(TopicId, Vec<i32>)>>,
}

impl Heartbeat {
    pub fn read(mut answer: Fields<'_>) -> Walked<Self> {
        answer.tags()?;
        answer.i32()?; // Throttled for.
        let (error, words) = (answer.i16()?, answer.compact_text()?);
        answer.compact_text()?; // The member.
        let (epoch, interval_ms) = (answer.i32()?, answer.i32()?);
        let [there] = answer.array()?;
        let mut assignment = None;
        if there == 1 {
            let mut topics = Vec::new();
            for _ in 0..answer.compact()? {
                let id = answer.array()?;
                let partitions = (0..answer.compact()?).map(|_| answer.i32());
                topics.push((id, partitions.collect::<Walked<_>>()?));
                answer.tags()?;
            }
            assignment = Some(topics);
        }
        Ok(Self { error, words, epoch, interval_ms, assignment })
    }
}

/// What a fetch brought of one partition.
#[derive(Debug)]
pub struct SharedPartition<'a> {
    pub index: i32,
    pub error: i16,
    /// What became of the acknowledgements that the fetch carried.
    pub acknowledged: i16,
    records: &'a [u8],
    /// First and last offset of what is ours now, and for the how many-th time it is delivered.
    pub acquired: Vec<(i64, i64, i16)>,
}

impl SharedPartition<'_> {
    /// Hands out every record that is ours: its offset, its deliveries up to now, its value. A
    /// batch comes whole, also where others got a part of it.
    pub fn each(&self, sink: &mut dyn FnMut(i64, i16, &[u8])) -> Walked<()> {
        let mut ranges = self.acquired.iter().peekable();
        batches(self.records, &mut |offset, payload| {
            while ranges.next_if(|(_, last, _)| *last < offset).is_some() {}
            if let Some((first, _, deliveries)) = ranges.peek()
                && *first <= offset
            {
                sink(offset, *deliveries, payload);
            }
        })
        .map(drop)
    }
}

/// What a node says to a fetch: its error, its words, and each partition.
pub fn fetched(bytes: &[u8]) -> Walked<(i16, String, Vec<SharedPartition<'_>>)> {
    let mut answer = Fields(bytes);
    answer.tags()?;
    answer.i32()?; // Throttled for.
    let (error, words) = (answer.i16()?, answer.compact_text()?);
    answer.i32()?; // For how long records are locked.
    let mut partitions = Vec::new();
    for _ in 0..answer.compact()? {
        answer.take(16)?; // The topic.
        for _ in 0..answer.compact()? {
            partitions.push(partition(&mut answer)?);
        }
        answer.tags()?;
    }
    Ok((error, words, partitions))
}

fn partition<'a>(answer: &mut Fields<'a>) -> Walked<SharedPartition<'a>> {
    let (index, error) = (answer.i32()?, answer.i16()?);
    answer.compact_text()?;
    let acknowledged = answer.i16()?;
    answer.compact_text()?;
    answer.take(8)?; // The leader and its epoch.
    answer.tags()?;
    let length = answer.compact()?;
    let records = answer.take(length)?;
    let mut acquired = Vec::new();
    for _ in 0..answer.compact()? {
        acquired.push((answer.i64()?, answer.i64()?, answer.i16()?));
        answer.tags()?;
    }
    answer.tags()?;
    Ok(SharedPartition { index, error, acknowledged, records, acquired })
}

/// What a node says to the last acknowledgement: its error, and those of its partitions.
pub fn acknowledged(mut answer: Fields<'_>) -> Walked<Vec<i16>> {
    answer.tags()?;
    answer.i32()?; // Throttled for.
    let mut errors = vec![answer.i16()?];
    answer.compact_text()?;
    for _ in 0..answer.compact()? {
        answer.take(16)?; // The topic.
        for _ in 0..answer.compact()? {
            answer.i32()?;
            errors.push(answer.i16()?);
            answer.compact_text()?;
            answer.take(8)?; // The leader and its epoch.
            answer.tags()?;
            answer.tags()?;
        }
        answer.tags()?;
    }
    Ok(errors)
}
