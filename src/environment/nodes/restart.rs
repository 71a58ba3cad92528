//! What a broker's own log tells of one start on its data: how long it loaded, and how long it was
//! kept out. Read from the last start that is in the log; what does not stand there is not told.

use super::node::Node;
use crate::model::Software;
use crate::result::Restart;
use std::path::Path;
use std::time::Duration;

/// Enough for a whole start, with every setting that Kafka prints.
const LINES: usize = 4000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct StartTold {
    load: Option<Duration>,
    fencing: Option<Duration>,
}

/// The parts of a start that took so long until the node answered.
pub fn told_of(
    node: &Node,
    software: Software,
    took: Duration,
    data_bytes: Option<u64>,
) -> Restart {
    let log = node.runner.log_tail(LINES);
    let StartTold { load, fencing } = match software {
        Software::Kafka => of_kafka(&log),
        Software::Redis => of_redis(&log),
        Software::Sns | Software::Fake => StartTold::default(),
    };
    let ns = |part: Duration| u64::try_from(part.as_nanos()).unwrap_or(u64::MAX);
    let both = load.zip(fencing).map(|(load, fencing)| load + fencing);
    Restart {
        data_bytes,
        start_ns: both.map(|both| ns(took.saturating_sub(both))),
        load_ns: load.map(ns),
        fencing_ns: fencing.map(ns),
        reconnect_ns: None,
    }
}

/// How much of the disk the data of a node takes; `None` where it is not seen from here.
pub fn on_disk(node: &Node) -> Option<u64> {
    allocated_in(&node.runner.data()?)
}

/// Sparse files as they lie there.
fn allocated_in(folder: &Path) -> Option<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let meta = entry.metadata().ok()?;
        bytes += if meta.is_dir() { allocated_in(&entry.path())? } else { allocated(&meta) };
    }
    Some(bytes)
}

#[cfg(unix)]
fn allocated(meta: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    (meta.blocks() * 512).min(meta.len())
}

#[cfg(not(unix))]
fn allocated(meta: &std::fs::Metadata) -> u64 {
    meta.len()
}

/// What comes after the last line with these words. Where none has them the start lies further back
/// than the log was read, and nothing that stands there says what was before.
fn since<'a>(log: &'a str, words: &str) -> Option<&'a str> {
    log.rfind(words).map(|at| &log[at..])
}

fn of_redis(log: &str) -> StartTold {
    let Some(start) = since(log, " is starting oO0Oo") else { return StartTold::default() };
    let loaded = |from: &str| {
        let line = start.lines().rfind(|line| line.contains(from))?;
        let seconds = line.split_once(from)?.1.split_whitespace().next()?.parse::<f64>().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    // It accepts connections once it has loaded whatever there is.
    let nothing = start.contains("Ready to accept connections").then_some(Duration::ZERO);
    let load = loaded("DB loaded from append only file: ")
        .or_else(|| loaded("DB loaded from disk: "))
        .or(nothing);
    StartTold { load, fencing: Some(Duration::ZERO) }
}

fn of_kafka(log: &str) -> StartTold {
    let Some(start) = since(log, "Registered signal handlers") else {
        return StartTold::default();
    };
    let load = start.lines().rfind(|line| line.contains("] INFO Loaded ")).and_then(|line| {
        let ms = line.split_once(" logs in ")?.1.split("ms").next()?.trim();
        ms.parse().ok().map(Duration::from_millis)
    });
    let at = |words: &str| start.lines().find(|line| line.contains(words)).and_then(of_day);
    let fencing = at("Successfully registered broker").map(|to| {
        // Refused as long as the session of its predecessor lasts; it may run past midnight.
        let from = at("Unable to register broker").unwrap_or(to);
        let day = Duration::from_secs(24 * 60 * 60);
        if to < from { to + day - from } else { to - from }
    });
    StartTold { load, fencing }
}

/// Of `[2026-11-29 15:09:40,143] INFO …`.
fn of_day(line: &str) -> Option<Duration> {
    let clock = line.strip_prefix('[')?.split_once(' ')?.1.split(']').next()?;
    let (clock, ms) = clock.split_once(',')?;
    let number = |part: &str| part.parse::<u32>().ok().map(u64::from);
    let parts = clock.split(':').map(number).collect::<Option<Vec<_>>>()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    Some(Duration::from_millis(((hours * 60 + minutes) * 60 + seconds) * 1000 + number(ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Option<Duration> = |ms| Some(Duration::from_millis(ms));

    #[test]
    fn redis_tells_how_long_it_loads() {
        let start =
            "1:C 29 Nov 2026 15:12:49.388 * oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n";
        let log = "1:M * DB loaded from base file appendonly.aof.3.base.rdb: 0.279 seconds\n\
                   1:M * DB loaded from incr file appendonly.aof.3.incr.aof: 0.090 seconds\n\
                   1:M * DB loaded from append only file: 0.369 seconds\n\
                   1:M * Ready to accept connections tcp\n";
        let ready = "1:M * Ready to accept connections tcp\n";
        let snapshot = "1:M * DB loaded from disk: 0.412 seconds\n1:M * Ready to accept";
        let load = |log: &[&str]| of_redis(&log.concat()).load;
        assert_eq!(load(&[start, ready, start, log]), MS(369));
        assert_eq!(load(&[start, log, start, ready]), MS(0), "nothing was there to be loaded");
        assert_eq!(load(&[start, snapshot]), MS(412));
        assert_eq!(load(&[start, log, start]), None, "it did not come so far");
        assert_eq!(of_redis(log), StartTold::default(), "its start is not in what was read");
    }

    #[test]
    fn kafka_tells_how_long_it_recovers_and_how_long_it_is_refused() {
        let start =
            "[2026-11-29 23:59:50,100] INFO Registered signal handlers for TERM, INT, HUP\n";
        let loaded = "[2026-11-29 23:59:53,000] INFO Loaded 5 logs in 230ms (o.a.k.LogManager)\n";
        let refused = "[2026-11-29 23:59:53,500] INFO [BrokerLifecycleManager id=1] Unable to \
             register broker 1 because the controller returned error \
             DUPLICATE_BROKER_REGISTRATION\n";
        let again = refused.replace("53,500", "55,500");
        let let_in = "[2026-11-30 00:00:02,400] INFO [BrokerLifecycleManager id=1] Successfully \
             registered broker 1 with broker epoch 80\n";
        let told = of_kafka(&[start, let_in, start, loaded, refused, &again, let_in].concat());
        assert_eq!(told, StartTold { load: MS(230), fencing: MS(8_900) });
        let first = of_kafka(&[start, loaded, let_in].concat());
        assert_eq!(first.fencing, MS(0));
        let cut = of_kafka(&[loaded, let_in].concat());
        assert_eq!(cut, StartTold::default(), "its start is not in what was read");
        assert_eq!(of_kafka("nonsense\n] INFO Loaded logs in ms"), StartTold::default());
    }

    #[test]
    fn a_folder_is_as_large_as_what_lies_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("inner").join("log"), [7; 5000]).unwrap();
        std::fs::File::create(folder.path().join("index")).unwrap().set_len(10 << 20).unwrap();
        let found = allocated_in(folder.path()).unwrap();
        assert!((5000..100_000).contains(&found), "an index of 10 MiB is empty: {found}");
        assert_eq!(allocated_in(&folder.path().join("none")), None);
    }
}
