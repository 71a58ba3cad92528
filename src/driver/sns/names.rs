//! What is made in an account of AWS is called after its cell, and so by the run's own start:
//! nothing else is ever touched. Pure: no name here is looked up.

use std::fmt::Write;

/// The longest name of a queue is 80 characters; an ending of ours and `.fifo` come behind this.
const LONGEST: usize = 60;
const FIFO: &str = ".fifo";

/// The names of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellNames {
    base: String,
    fifo: bool,
}

impl CellNames {
    /// Of a cell that is called `name`, which is unique: what no queue may be called is replaced,
    /// what is too long is cut, and either way its checksum keeps it apart from all others.
    pub fn new(name: &str, fifo: bool) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let mut base: String =
            name.chars().map(|c| if plain(c) { c } else { '-' }).take(LONGEST - 9).collect();
        if base != name {
            let _ = write!(base, "-{:08x}", crc32c::crc32c(name.as_bytes()));
        }
        Self { base, fifo }
    }

    /// What everything of the cell begins with, and its tag.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn topic(&self) -> String {
        self.ending("")
    }

    /// The queue of a subscription.
    pub fn queue(&self, subscription: u16) -> String {
        self.ending(&format!("-s{subscription}"))
    }

    pub fn dead_letters(&self) -> String {
        self.ending("-dead")
    }

    /// The queue of a reader that comes and goes.
    pub fn reader(&self, number: u32) -> String {
        self.ending(&format!("-r{number}"))
    }

    fn ending(&self, of: &str) -> String {
        format!("{}{of}{}", self.base, if self.fifo { FIFO } else { "" })
    }
}

/// The ARN of a queue of that name, of the account and region that a topic is in.
pub fn queue_arn(topic_arn: &str, queue: &str) -> Option<String> {
    let (front, _) = topic_arn.rsplit_once(':')?;
    let mut parts: Vec<&str> = front.split(':').collect();
    *parts.get_mut(2)? = "sqs";
    Some(format!("{}:{queue}", parts.join(":")))
}

/// What stands behind the last colon of an ARN, or the last slash of a queue's address.
pub fn last(path: &str) -> &str {
    path.rsplit([':', '/']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_cell_begins_with_its_name_and_fits() {
        let names = CellNames::new("bb-abc123-sns-0-1", false);
        assert_eq!(names.topic(), "bb-abc123-sns-0-1");
        assert_eq!(names.queue(3), "bb-abc123-sns-0-1-s3");
        let fifo = CellNames::new("bb-abc123-sns-0-1", true);
        assert_eq!(fifo.topic(), "bb-abc123-sns-0-1.fifo");
        assert_eq!(fifo.dead_letters(), "bb-abc123-sns-0-1-dead.fifo");
        let long = format!("bb-abc123-{}", "x".repeat(100));
        let cut = CellNames::new(&long, true);
        assert!(cut.reader(u32::MAX).len() <= 80 && cut.base().starts_with("bb-abc123-"));
        assert!(cut.queue(u16::MAX).ends_with("-s65535.fifo"));
        let other = CellNames::new(&format!("{long}y"), true);
        assert_ne!(cut, other);
        assert_ne!(CellNames::new("bb-abc123-a.b", false), CellNames::new("bb-abc123-a-b", false));
    }

    #[test]
    fn a_queue_stands_beside_its_topic() {
        let arn = queue_arn("arn:aws-cn:sns:cn-north-1:123456789012:t.fifo", "t-s0.fifo");
        assert_eq!(arn.as_deref(), Some("arn:aws-cn:sqs:cn-north-1:123456789012:t-s0.fifo"));
        assert_eq!(queue_arn("t", "q"), None);
        assert_eq!(last("http://127.0.0.1:1/000000000000/q"), "q");
        assert_eq!(last("arn:aws:sns:us-east-1:1:t"), "t");
    }
}
