//! What keeps this machine's clock right, as far as it tells: for runs on several machines, whose
//! readers ask. Latencies rest on what is measured between the machines, never on this.

use super::program::{find, output, read};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(2);

/// In words; `not told` where nothing says.
pub fn synchronised_by() -> String {
    let tracking = find("chronyc").and_then(|it| output(&it, &["-c", "tracking"], LIMIT).ok());
    let chrony = tracking.as_deref().and_then(chrony);
    let mut words: Vec<String> = chrony.into_iter().collect();
    if words.is_empty() && Path::new("/run/systemd/timesync/synchronized").exists() {
        words.push("systemd-timesyncd, synchronised".into());
    }
    words.extend(ptp());
    if words.is_empty() { "not told".into() } else { words.join("; ") }
}

/// From the comma-separated answer of `chronyc -c tracking`.
fn chrony(answer: &str) -> Option<String> {
    let fields: Vec<&str> = answer.trim().split(',').collect();
    let seconds = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let (stratum, leap) = (fields.get(2)?, fields.get(13)?);
    let bound = seconds(4)?.abs() + seconds(10)? / 2.0 + seconds(11)?;
    Some(format!("chrony, stratum {stratum}, {leap}: off by {:.3} ms at most", bound * 1e3))
}

/// Clocks of network cards that PTP may keep; whether it does is not asked.
fn ptp() -> Option<String> {
    let clocks = std::fs::read_dir("/sys/class/ptp").ok()?;
    let names: Vec<String> = clocks
        .flatten()
        .filter_map(|clock| read(clock.path().join("clock_name")))
        .map(|name| name.trim().to_owned())
        .collect();
    (!names.is_empty()).then(|| format!("PTP clocks: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chrony_tells_how_far_it_may_be_off() {
        let answer = "A29FC87B,162.159.200.123,4,1764460800.1,-0.000120000,0.000010,0.000100,\
                      -12.3,0.001,0.02,0.010000000,0.000500000,64.5,Normal\n";
        let words = "chrony, stratum 4, Normal: off by 5.620 ms at most";
        assert_eq!(chrony(answer).as_deref(), Some(words));
        for other in ["", "506 Cannot talk to daemon", "a,b,c"] {
            assert_eq!(chrony(other), None, "{other}");
        }
        assert!(!synchronised_by().is_empty());
    }
}
