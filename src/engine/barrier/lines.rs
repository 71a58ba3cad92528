//! What shards say to each other: lines of JSON, on one board to the first shard and on the other
//! from it. A line that is none of these is somebody else's, and passed over.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What all shards of a run must have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Version and build.
    pub program: String,
    /// A digest of the scenario as resolved.
    pub scenario: String,
    pub seed: u64,
    pub shards: u16,
}

impl Terms {
    /// What another shard does otherwise, in words.
    pub fn other_than(&self, other: &Self) -> Option<String> {
        let Self { program, scenario, seed, shards } = other;
        if *program != self.program {
            return Some(format!("it is brokerbench {program}, the first is {}", self.program));
        }
        if *shards != self.shards {
            return Some(format!("it is one of {shards}, the first one of {}", self.shards));
        }
        if *seed != self.seed {
            return Some(format!("its seed is {seed}, that of the first {}", self.seed));
        }
        (*scenario != self.scenario)
            .then(|| "its scenario, or what was set of it, is not that of the first".to_owned())
    }
}

/// The machine that a shard is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub name: String,
    /// Of its kernel; who has the same one shares its clock.
    pub boot: Option<String>,
    /// What keeps its clock right, as far as it tells.
    pub synchronised_by: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    pub terms: Terms,
    pub host: Host,
    /// Tells two processes apart that claim to be the same shard.
    pub nonce: u64,
}

/// How far a shard is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// What it sees of the system has come to rest.
    pub rested: bool,
    /// Its producers have ended: `sent` and `owed` are final.
    pub published: bool,
    pub sent: u64,
    /// Of these, consumers must get: acknowledged, or sent where a reply promises nothing.
    pub owed: u64,
    /// First deliveries, by subscription.
    pub consumed: Vec<u64>,
}

/// From a shard to the first, behind its number.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "kebab-case")]
pub enum Up {
    Hello(Hello),
    Echo {
        number: u32,
    },
    /// Its clock is set to the first's, to within so much.
    Clock {
        bound_ns: u64,
    },
    Ready,
    Beat(Beat),
    Left,
    Abort {
        why: String,
    },
}

/// From the first shard to all others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "kebab-case")]
pub enum Down {
    /// Where the zero of its clock lies on its kernel's monotonic one.
    Open {
        boot: Option<String>,
        zero_ns: u64,
        nonce: u64,
    },
    /// To one shard: its echo was heard at that time.
    Echoed {
        shard: u16,
        number: u32,
        at_ns: u64,
    },
    Prepared,
    /// The load begins at that time. By shard, how well its clock is known.
    Go {
        start_ns: u64,
        bounds_ns: Vec<u64>,
    },
    Beat,
    Window {
        start_ns: u64,
        rested: bool,
    },
    Stop,
    Abort {
        why: String,
    },
}

pub fn write(line: &impl Serialize) -> String {
    // Strings, numbers and lists of these: it cannot fail.
    serde_json::to_string(line).unwrap_or_default()
}

pub fn read<T: DeserializeOwned>(line: &str) -> Option<T> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_said_and_others_are_passed_over() {
        let beat = Beat { sent: 7, consumed: vec![1, 2], ..Beat::default() };
        let line = write(&(3u16, Up::Beat(beat.clone())));
        let Some((3u16, Up::Beat(again))) = read(&line) else { panic!("{line}") };
        assert_eq!(again, beat);
        assert!(matches!(read(&write(&(1u16, Up::Ready))), Some((1u16, Up::Ready))));
        let line = write(&Down::Go { start_ns: u64::MAX, bounds_ns: vec![0, 5] });
        let Some(Down::Go { start_ns: u64::MAX, bounds_ns }) = read(&line) else {
            panic!("{line}")
        };
        assert_eq!(bounds_ns, [0, 5]);
        assert!(read::<(u16, Up)>("hello").is_none() && read::<Down>(r#"{"says": "x"}"#).is_none());
    }

    #[test]
    fn what_differs_is_named() {
        let terms = Terms { program: "1".into(), scenario: "a".into(), seed: 42, shards: 4 };
        assert_eq!(terms.other_than(&terms), None);
        for (other, word) in [
            (Terms { program: "2".into(), ..terms.clone() }, "brokerbench 2"),
            (Terms { seed: 7, ..terms.clone() }, "seed is 7"),
            (Terms { shards: 8, ..terms.clone() }, "one of 8"),
            (Terms { scenario: "b".into(), ..terms.clone() }, "scenario"),
        ] {
            assert!(terms.other_than(&other).unwrap().contains(word), "{word}");
        }
    }
}
