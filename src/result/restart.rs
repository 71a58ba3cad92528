//! The restart of a broker that is alone: what its recovery is made of. A part that nobody tells is
//! none.

use super::words::time;
use crate::units::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From the moment at which it was started again, on data of this size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restart {
    /// Its data on disk when it was started again; `null` where its files are not seen from here.
    pub data_bytes: Option<u64>,
    /// Of the process: from its start until it answered, without load and fencing.
    pub start_ns: Option<u64>,
    /// Loading its data, and recovering its logs, as its own log tells.
    pub load_ns: Option<u64>,
    /// Kafka: from its first try to register until it was let in, the session of its dead
    /// predecessor over. A server of Redis registers with nobody.
    pub fencing_ns: Option<u64>,
    /// From its answer until the load's own client had an acknowledgement.
    pub reconnect_ns: Option<u64>,
}

/// What each part is called.
pub const PARTS: [&str; 4] = ["process", "load", "fencing", "client"];

/// `process 2.91 s, load 102 ms, fencing 8.90 s, client 210 ms; 84 MB on disk`.
pub fn parts_in_words(data_bytes: Option<f64>, parts_ns: [Option<f64>; 4]) -> String {
    let words = |(name, ns): (&str, Option<f64>)| match ns {
        None => format!("{name} not told"),
        Some(0.0) => format!("{name} 0"),
        Some(ns) => format!("{name} {}", time(ns)),
    };
    let parts: Vec<String> = PARTS.into_iter().zip(parts_ns).map(words).collect();
    let size = match data_bytes {
        None => "size not told".to_owned(),
        Some(0.0) => "nothing on disk".to_owned(),
        Some(bytes) => format!("{} on disk", size(bytes)),
    };
    format!("{}; {size}", parts.join(", "))
}

/// Roughly: nobody asks for more of a folder.
fn size(bytes: f64) -> String {
    let (scale, unit) = match bytes {
        large if large >= 999.5e6 => (1e8, "GB"),
        large if large >= 999.5e3 => (1e6, "MB"),
        _ => return Bytes(bytes as u64).to_string(),
    };
    let whole = (bytes / scale).round();
    if unit == "GB" { format!("{:.1} GB", whole / 10.0) } else { format!("{whole} MB") }
}

impl Restart {
    pub fn in_words(&self) -> String {
        let ns = [self.start_ns, self.load_ns, self.fencing_ns, self.reconnect_ns];
        parts_in_words(
            self.data_bytes.map(|bytes| bytes as f64),
            ns.map(|part| part.map(|ns| ns as f64)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_not_told_says_so() {
        let restart = Restart {
            data_bytes: Some(84_123_456),
            start_ns: Some(2_910_000_000),
            load_ns: Some(102_000_000),
            fencing_ns: Some(0),
            reconnect_ns: None,
        };
        assert_eq!(
            restart.in_words(),
            "process 2.91 s, load 102 ms, fencing 0, client not told; 84 MB on disk"
        );
        assert!(Restart::default().in_words().ends_with("client not told; size not told"));
        assert_eq!([1.07e9, 512.0].map(size), ["1.1 GB", "512B"]);
    }
}
