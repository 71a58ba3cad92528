//! The topics of a cell, and which of its partitions lies in which of them.
//!
//! To the load there is one row of partitions: those of the first topic, then those of the next. So
//! lanes, books and audits know nothing of topics.

use crate::scenario::SystemConfig;
use rdkafka::{Offset, TopicPartitionList};

#[derive(Clone, Debug)]
pub struct Topics {
    names: Vec<String>,
    /// Partitions of each; of no account where there is one topic.
    each: u16,
}

impl Topics {
    /// Those that the load of a cell named `name` is spread over. The first has the cell's name:
    /// what needs one topic alone knows no other.
    pub fn of(name: &str, config: &SystemConfig) -> Self {
        let further = (1..config.topics).map(|number| format!("{name}-t{number}"));
        let names = std::iter::once(name.to_owned()).chain(further).collect();
        Self { names, each: config.topic.partitions.max(1) }
    }

    pub fn one(name: &str) -> Self {
        Self { names: vec![name.to_owned()], each: u16::MAX }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The topic of a partition, by its place in `names`, and its number there.
    #[inline]
    pub fn place(&self, partition: u16) -> (usize, u16) {
        match self.names.len() {
            1 => (0, partition),
            _ => (usize::from(partition / self.each), partition % self.each),
        }
    }

    /// The number of a partition in the row of all, from its topic's name and its number there;
    /// `name` is asked where there are several.
    #[inline]
    pub fn number<'a>(&self, name: impl FnOnce() -> &'a str, partition: i32) -> Option<usize> {
        let partition = usize::try_from(partition).ok()?;
        if self.names.len() == 1 {
            return Some(partition);
        }
        let name = name();
        let topic = self.names.iter().position(|known| known == name)?;
        Some(topic * usize::from(self.each) + partition)
    }

    /// Partitions by their numbers in the row of all, each with an offset.
    pub fn offsets(&self, of: impl IntoIterator<Item = (usize, i64)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (number, offset) in of {
            let (topic, partition) = self.place(number as u16);
            let Some(name) = self.names.get(topic) else { continue };
            // Fails only for offsets that cannot be represented, which a broker does not give out.
            let _ = list.add_partition_offset(name, partition.into(), Offset::Offset(offset));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;
    use crate::scenario::Topic;

    fn topics(topics: u16, partitions: u16) -> Topics {
        let defaults = SystemConfig::defaults(System::Kafka);
        let topic = Topic { partitions, ..defaults.topic.clone() };
        Topics::of("bb-a", &SystemConfig { topics, topic, ..defaults })
    }

    #[test]
    fn each_partition_of_each_topic_has_one_number() {
        let three = topics(3, 4);
        assert_eq!(three.names(), ["bb-a", "bb-a-t1", "bb-a-t2"]);
        for number in 0..12 {
            let (topic, partition) = three.place(number);
            assert_eq!((topic, partition), (usize::from(number) / 4, number % 4));
            let name = || three.names()[topic].as_str();
            assert_eq!(three.number(name, partition.into()), Some(number.into()));
        }
        assert_eq!(three.number(|| "orders", 0), None);
        assert_eq!(three.number(|| "bb-a", -1), None);
    }

    #[test]
    fn of_one_topic_nothing_is_asked() {
        let one = topics(1, 2);
        assert_eq!((one.place(7), one.number(|| unreachable!(), 7)), ((0, 7), Some(7)));
        assert_eq!(Topics::one("dead").names(), ["dead"]);
    }

    #[test]
    fn offsets_stand_under_the_name_of_their_topic() {
        let list = topics(2, 2).offsets([(1, 10), (2, 20)]);
        let found: Vec<_> = list
            .elements()
            .iter()
            .map(|one| (one.topic().to_owned(), one.partition(), one.offset()))
            .collect();
        let (first, second) = (Offset::Offset(10), Offset::Offset(20));
        assert_eq!(found, [("bb-a".to_owned(), 1, first), ("bb-a-t1".to_owned(), 0, second)]);
    }
}
