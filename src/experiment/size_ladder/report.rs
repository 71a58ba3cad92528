//! From attempts to observations: what arrived, what was refused by whom, and at which cost. Pure.

use super::bystander::BystanderSample;
use super::climb::{Attempt, Tried, Untried};
use super::plan::SendVariant;
use crate::driver::LargeClient;
use crate::model::{Codec, Metric, metric};
use crate::result::Observation;
use crate::scenario::{PayloadKind, SizeLadder};
use crate::units::Bytes;
use itertools::Itertools;
use std::time::Duration;

pub fn observations(
    keys: &SizeLadder,
    attempts: &[Attempt],
    samples: &[BystanderSample],
) -> Vec<Observation> {
    let mut all = Vec::new();
    for codec in &keys.codecs {
        let own = attempts.iter().filter(|attempt| attempt.kind.codec == *codec).collect();
        ends(&format!("codec={}", codec.name()), own, &mut all);
    }
    let mut kinds: Vec<SendVariant> = Vec::new();
    for Attempt { kind, .. } in attempts {
        if !kinds.contains(kind) {
            kinds.push(*kind);
            let own = |attempt: &&Attempt| kind.shares_limits_of(attempt.kind);
            let own = attempts.iter().filter(own).collect();
            ends(&kind.to_string(), own, &mut all);
        }
    }
    all.extend(attempts.iter().filter(|attempt| attempt.searched).map(probe));
    let rungs = || attempts.iter().filter(|attempt| !attempt.searched);
    rungs().for_each(|attempt| of_attempt(attempt, &mut all));
    let mut sizes: Vec<Bytes> = rungs().map(|attempt| attempt.size).collect();
    sizes.dedup();
    for size in sizes {
        let of_size: Vec<&Attempt> = rungs().filter(|attempt| attempt.size == size).collect();
        goodput(size, &of_size, &mut all);
        peaks(size, &of_size, &mut all);
        if size >= keys.bystander_from {
            all.extend(beside(size, &of_size, samples));
        }
    }
    all
}

impl Attempt {
    fn tried(&self) -> Option<&Tried> {
        self.tried.as_ref().ok()
    }

    fn point(&self) -> String {
        format!("size={},{}", self.size, self.kind)
    }
}

/// One try of the search for a limit.
fn probe(attempt: &Attempt) -> Observation {
    let point = attempt.point();
    match &attempt.tried {
        Err(untried) => Observation::not_measured(metric::PROBE_INTACT, point, untried.why()),
        Ok(tried) => {
            let (intact, words) = match &tried.end {
                Ok(_) => (1.0, String::new()),
                Err(refusal) => (0.0, refusal.to_string()),
            };
            Observation::measured(metric::PROBE_INTACT, point, intact, 1).with_text(words)
        }
    }
}

fn of_attempt(attempt: &Attempt, all: &mut Vec<Observation>) {
    let point = attempt.point();
    let tried = match &attempt.tried {
        Err(untried) => {
            return all.push(Observation::not_measured(metric::INTACT, point, untried.why()));
        }
        Ok(tried) => tried,
    };
    let (value, text) = match &tried.end {
        Ok(times) => (1.0, intact_words(attempt.sent_bytes, tried, times.acked, times.received)),
        Err(refusal) => (0.0, refusal.to_string()),
    };
    let n = tried.trips + u64::from(tried.end.is_err());
    all.push(Observation::measured(metric::INTACT, &*point, value, n).with_text(text));
    let sizes = [
        (metric::WIRE_BYTES, tried.wire_bytes),
        (metric::CLIENT_PEAK, tried.client_peak),
        (metric::BROKER_PEAK, tried.broker_peak),
    ];
    let measured = |(metric, bytes): (_, Option<u64>)| {
        Some(Observation::measured(metric, &*point, bytes? as f64, 1))
    };
    all.extend(sizes.into_iter().filter_map(measured));
}

fn intact_words(bytes: usize, tried: &Tried, acked: Duration, received: Duration) -> String {
    let mut text = format!(
        "{bytes} B back byte for byte; acknowledged after {acked:.3?}, \
        received after {received:.3?}"
    );
    if !tried.pack.is_zero() {
        text += &format!(
            "; compressed beforehand in {:.3?}, decompressed afterwards in {:.3?}",
            tried.pack, tried.unpack
        );
    }
    text
}

/// The largest size that arrived and the smallest above it that was refused, among `attempts`. The
/// largest is not known where time or memory ended what no limit did.
fn ends(point: &str, attempts: Vec<&Attempt>, all: &mut Vec<Observation>) {
    let tried = attempts.iter().filter(|attempt| attempt.tried().is_some()).count() as u64;
    if tried == 0 {
        let why = attempts.iter().find_map(|attempt| attempt.tried.as_ref().err());
        let why = why.map_or("nothing was tried", Untried::why);
        let nothing = |metric| Observation::not_measured(metric, point, why);
        return all.extend([metric::LARGEST_INTACT, metric::FIRST_REFUSED].map(nothing));
    }
    let most =
        attempts.iter().filter(|attempt| attempt.intact()).max_by_key(|attempt| attempt.size);
    let most = most.map_or(Bytes(0), |attempt| attempt.size);
    let above = || attempts.iter().filter(|attempt| attempt.size > most);
    let unknown = above().filter_map(|attempt| Some((attempt.size, attempt.unknown()?)));
    let unknown = unknown.min_by_key(|(size, _)| *size).map(|(_, why)| why);
    all.push(match &unknown {
        Some(why) => {
            let why = format!("at least {most} arrived, and {why}");
            Observation::not_measured(metric::LARGEST_INTACT, point, why)
        }
        None => Observation::measured(metric::LARGEST_INTACT, point, most.0 as f64, tried)
            .with_text(arrived(most, &attempts)),
    });

    let refused = || above().filter_map(|attempt| Some((attempt, attempt.refused()?)));
    all.push(match refused().map(|(attempt, _)| attempt.size).min() {
        None => {
            let up_to = unknown.unwrap_or_else(|| format!("nothing was refused up to {most}"));
            Observation::not_measured(metric::FIRST_REFUSED, point, up_to)
        }
        Some(first) => {
            let here = refused().filter(|(attempt, _)| attempt.size == first);
            let words = here.map(|(_, refusal)| refusal.to_string()).unique().join(" · ");
            Observation::measured(metric::FIRST_REFUSED, point, first.0 as f64, tried)
                .with_text(words)
        }
    });
}

/// The ways in which the largest size arrived, and what a codec made of it on the wire.
fn arrived(most: Bytes, attempts: &[&Attempt]) -> String {
    let ways = || attempts.iter().filter(|attempt| attempt.intact() && attempt.size == most);
    let names = ways().map(|attempt| attempt.kind.to_string()).join(" · ");
    let packed = ways().filter(|attempt| attempt.kind.codec != Codec::None);
    let wire = packed.filter_map(|attempt| attempt.tried()?.wire_bytes).max();
    wire.map_or(names.clone(), |bytes| format!("{names}; {bytes} B on the wire"))
}

/// Of one size, by the way that all systems have in common as far as it arrived: text,
/// uncompressed, usual client.
fn goodput(size: Bytes, attempts: &[&Attempt], all: &mut Vec<Observation>) {
    let strangeness = |kind: &SendVariant| {
        (
            kind.codec != Codec::None,
            kind.client != LargeClient::Usual,
            kind.payload != PayloadKind::Text,
        )
    };
    let intact = attempts.iter().filter(|attempt| attempt.intact());
    let best = intact.min_by_key(|attempt| strangeness(&attempt.kind));
    let point = format!("size={size}");
    let found = best.and_then(|attempt| {
        let tried = attempt.tried()?;
        let times = tried.end.as_ref().ok()?;
        let seconds = (times.received + tried.pack + tried.unpack).as_secs_f64();
        let rate = attempt.sent_bytes as f64 / seconds;
        let text = format!("{}, one message at a time, median", attempt.kind);
        Some(
            Observation::measured(metric::GOODPUT_BYTES, point.clone(), rate, tried.trips)
                .with_text(text),
        )
    });
    let nothing = || {
        Observation::not_measured(
            metric::GOODPUT_BYTES,
            point.clone(),
            "no message of this size arrived",
        )
    };
    all.push(found.unwrap_or_else(nothing));
}

fn peaks(size: Bytes, attempts: &[&Attempt], all: &mut Vec<Observation>) {
    type Peak = fn(&Tried) -> Option<u64>;
    let metrics: [(&Metric, Peak); 2] = [
        (metric::CLIENT_PEAK, |tried| tried.client_peak),
        (metric::BROKER_PEAK, |tried| tried.broker_peak),
    ];
    for (metric, peak) in metrics {
        let peaks =
            attempts.iter().filter_map(|attempt| Some((peak(attempt.tried()?)?, attempt.kind)));
        let n = peaks.clone().count() as u64;
        if let Some((bytes, kind)) = peaks.max_by_key(|(bytes, _)| *bytes) {
            let text = format!("the highest of this size: {kind}");
            all.push(
                Observation::measured(metric, format!("size={size}"), bytes as f64, n)
                    .with_text(text),
            );
        }
    }
}

/// The small messages that were due while messages of this size were on their way.
fn beside(size: Bytes, attempts: &[&Attempt], samples: &[BystanderSample]) -> Option<Observation> {
    let windows: Vec<(u64, u64)> =
        attempts.iter().filter_map(|attempt| Some(attempt.tried()?.window_ns)).collect();
    if windows.is_empty() {
        return None;
    }
    let inside = |sample: &&BystanderSample| {
        windows.iter().any(|(from, to)| (*from..*to).contains(&sample.planned_ns))
    };
    let due: Vec<&BystanderSample> = samples.iter().filter(inside).collect();
    let missing = due.iter().filter(|sample| sample.missing).count();
    let mut latencies: Vec<u64> = due.iter().map(|sample| sample.latency_ns).collect();
    latencies.sort_unstable();
    let (metric, point, n) =
        (metric::BYSTANDER_P99, format!("size={size}"), latencies.len() as u64);
    let rank = (latencies.len() * 99).div_ceil(100);
    let Some(p99) = rank.checked_sub(1).and_then(|rank| latencies.get(rank)) else {
        return Some(Observation::not_measured(
            metric,
            point,
            "no small message was due in so short a time",
        ));
    };
    let mut text = String::new();
    if n < 100 {
        text = format!("the slowest of {n}: fewer than a p99 needs");
    }
    if missing > 0 {
        text += &format!("{}{missing} never arrived", if text.is_empty() { "" } else { "; " });
    }
    Some(Observation::measured(metric, point, *p99 as f64, n).with_text(text))
}

#[cfg(test)]
mod tests {
    use super::super::testing::attempt;
    use super::*;
    use crate::driver::Who;
    use crate::result::Kind as Measured;

    const MIB: u64 = 1 << 20;

    fn ladder() -> Vec<Attempt> {
        use LargeClient::{Second, Usual};
        let mut skipped = attempt(64 * MIB, Codec::None, Usual, Ok(1));
        skipped.tried = Err(Untried::PastLimit("refused before".into()));
        vec![
            attempt(1024, Codec::None, Usual, Ok(2)),
            attempt(1024, Codec::Lz4, Usual, Ok(2)),
            attempt(16 * MIB, Codec::None, Usual, Err(Who::ClientEncoder)),
            attempt(16 * MIB, Codec::None, Second, Ok(100)),
            attempt(16 * MIB, Codec::Lz4, Usual, Ok(10)),
            skipped,
            attempt(64 * MIB, Codec::None, Second, Err(Who::Broker)),
            attempt(64 * MIB, Codec::Lz4, Usual, Ok(20)),
        ]
    }

    fn find<'a>(all: &'a [Observation], metric: &str, point: &str) -> &'a Observation {
        all.iter()
            .find(|o| o.metric == metric && o.point == point)
            .unwrap_or_else(|| panic!("{metric} {point}"))
    }

    #[test]
    fn each_codec_has_its_limit_and_so_has_each_way() {
        let all = observations(&SizeLadder::default(), &ladder(), &[]);
        let value = |metric, point| find(&all, metric, point).value;
        assert_eq!(value("largest_intact", "codec=none"), Some(16.0 * MIB as f64));
        let plain = find(&all, "largest_intact", "codec=none");
        assert_eq!(plain.text, "payload=text,codec=none,client=second");
        assert_eq!(value("largest_intact", "codec=lz4"), Some(64.0 * MIB as f64));
        let packed = find(&all, "largest_intact", "codec=lz4");
        assert_eq!(packed.text, "payload=text,codec=lz4; 67108964 B on the wire");
        assert_eq!(value("largest_intact", "payload=text,codec=none"), Some(1024.0));
        let first = find(&all, "first_refused", "codec=none");
        assert_eq!((first.value, first.text.as_str()), (Some(64.0 * MIB as f64), "broker: no"));
        let usual = find(&all, "first_refused", "payload=text,codec=none");
        assert_eq!(
            (usual.value, usual.text.as_str()),
            (Some(16.0 * MIB as f64), "client encoder: no")
        );
        let never = find(&all, "first_refused", "payload=text,codec=lz4");
        assert_eq!(
            (never.kind, never.text.as_str()),
            (Measured::NotMeasured, "nothing was refused up to 64MiB")
        );
    }

    #[test]
    fn a_way_that_was_never_tried_has_no_limit() {
        let mut skipped = attempt(MIB, Codec::None, LargeClient::Usual, Ok(1));
        skipped.tried = Err(Untried::PastLimit("64KiB was refused already".into()));
        let all = observations(&SizeLadder::default(), &[skipped], &[]);
        for metric in ["largest_intact", "first_refused"] {
            let found = find(&all, metric, "payload=text,codec=none");
            assert_eq!((found.value, found.text.as_str()), (None, "64KiB was refused already"));
        }
    }

    /// A machine with less memory, or less patience, does not make a limit.
    #[test]
    fn what_time_or_memory_ended_is_no_limit() {
        let keys = SizeLadder { codecs: vec![Codec::None], ..SizeLadder::default() };
        let arrived = attempt(MIB, Codec::None, LargeClient::Usual, Ok(1));
        let mut no_room = attempt(4 * MIB, Codec::None, LargeClient::Usual, Ok(1));
        no_room.tried = Err(Untried::NoRoom("it needs 40 MiB".into()));
        let late = attempt(2 * MIB, Codec::None, LargeClient::Usual, Err(Who::TimeOut));
        for (attempts, words) in [
            (
                vec![arrived.clone(), no_room.clone()],
                "at least 1MiB arrived, and 4MiB was not tried: it needs 40 MiB",
            ),
            (vec![arrived, late, no_room], "at least 1MiB arrived, and 2MiB ended by time-out: no"),
        ] {
            let all = observations(&keys, &attempts, &[]);
            let found = find(&all, "largest_intact", "codec=none");
            assert_eq!((found.kind, found.text.as_str()), (Measured::NotMeasured, words));
            assert_eq!(find(&all, "first_refused", "codec=none").value, None);
        }
    }

    #[test]
    fn tries_of_the_search_move_the_limit_and_are_no_rungs() {
        let mut attempts = ladder();
        let mut between = attempt(20 * MIB, Codec::None, LargeClient::Second, Ok(1));
        between.searched = true;
        attempts.push(between);
        let all = observations(&SizeLadder::default(), &attempts, &[]);
        let of = |metric| find(&all, metric, "codec=none").value;
        assert_eq!(of("largest_intact"), Some(20.0 * MIB as f64));
        assert_eq!(of("first_refused"), Some(64.0 * MIB as f64));
        let point = "size=20MiB,payload=text,codec=none,client=second";
        let of_try: Vec<&str> =
            all.iter().filter(|o| o.point.contains("20MiB")).map(|o| o.metric.as_str()).collect();
        assert_eq!(
            (of_try, find(&all, "probe.intact", point).value),
            (vec!["probe.intact"], Some(1.0))
        );
    }

    #[test]
    fn every_attempt_says_whether_it_arrived() {
        let all = observations(&SizeLadder::default(), &ladder(), &[]);
        let of = |point| find(&all, "intact", point);
        assert_eq!(of("size=1KiB,payload=text,codec=none").value, Some(1.0));
        assert!(of("size=1KiB,payload=text,codec=none").text.starts_with("1024 B back"));
        assert_eq!(of("size=64MiB,payload=text,codec=none").kind, Measured::NotMeasured);
        let refused = of("size=64MiB,payload=text,codec=none,client=second");
        assert_eq!((refused.value, refused.text.as_str()), (Some(0.0), "broker: no"));
        assert_eq!(
            find(&all, "wire_bytes", "size=1KiB,payload=text,codec=lz4").value,
            Some(1124.0)
        );
        assert_eq!(find(&all, "client_peak", "size=64MiB").value, Some(128.0 * MIB as f64));
    }

    #[test]
    fn goodput_takes_the_way_that_all_have_in_common() {
        let all = observations(&SizeLadder::default(), &ladder(), &[]);
        let small = find(&all, "goodput_bytes", "size=1KiB");
        assert!(
            small.text.starts_with("payload=text,codec=none,") && small.value == Some(512_000.0),
            "{small:?}"
        );
        let middle = find(&all, "goodput_bytes", "size=16MiB");
        assert!(middle.text.contains("client=second"), "{middle:?}");
    }

    #[test]
    fn the_bystander_counts_what_was_due_meanwhile() {
        let size = 16 * MIB;
        let samples: Vec<BystanderSample> = (0..200)
            .map(|n| BystanderSample {
                planned_ns: size - 500 + 10 * n,
                latency_ns: n,
                missing: n == 149,
            })
            .collect();
        let all = observations(&SizeLadder::default(), &ladder(), &samples);
        let found = find(&all, "bystander.p99", "size=16MiB");
        // Those due from `size` to `size + 1000`: numbers 50 to 149.
        assert_eq!((found.value, found.n), (Some(148.0), 100));
        assert_eq!(found.text, "1 never arrived");
        assert_eq!(find(&all, "bystander.p99", "size=64MiB").kind, Measured::NotMeasured);
        assert!(!all.iter().any(|o| o.metric == "bystander.p99" && o.point == "size=1KiB"));
    }
}
