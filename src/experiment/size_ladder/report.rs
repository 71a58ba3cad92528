//! From attempts to observations: what arrived, what was refused by whom, and at which cost. Pure.

use super::bystander::BystanderSample;
use super::climb::{Attempt, Tried};
use super::plan::SendVariant;
use crate::driver::LargeClient;
use crate::model::{Codec, Metric, metric};
use crate::result::Observation;
use crate::scenario::{PayloadKind, SizeLadder};
use crate::units::Bytes;
use std::time::Duration;

pub fn observations(
    keys: &SizeLadder,
    attempts: &[Attempt],
    samples: &[BystanderSample],
) -> Vec<Observation> {
    let mut all = Vec::new();
    attempts.iter().for_each(|attempt| of_attempt(attempt, &mut all));
    let every: Vec<&Attempt> = attempts.iter().collect();
    ends("", &every, &mut all);
    let mut kinds: Vec<SendVariant> = Vec::new();
    for Attempt { kind, .. } in attempts {
        if !kinds.contains(kind) {
            kinds.push(*kind);
            let of_kind: Vec<&Attempt> =
                attempts.iter().filter(|attempt| attempt.kind == *kind).collect();
            ends(&kind.to_string(), &of_kind, &mut all);
        }
    }
    let mut sizes: Vec<Bytes> = attempts.iter().map(|attempt| attempt.size).collect();
    sizes.dedup();
    for size in sizes {
        let of_size: Vec<&Attempt> =
            attempts.iter().filter(|attempt| attempt.size == size).collect();
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

    fn intact(&self) -> bool {
        self.tried().is_some_and(|tried| tried.end.is_ok())
    }
}

fn of_attempt(attempt: &Attempt, all: &mut Vec<Observation>) {
    let point = format!("size={},{}", attempt.size, attempt.kind);
    let tried = match &attempt.tried {
        Err(why) => return all.push(Observation::not_measured(metric::INTACT, point, why)),
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

/// The largest size that arrived and the smallest that was refused, among `attempts`; for all of
/// them together with the ways in which it was so.
fn ends(point: &str, attempts: &[&Attempt], all: &mut Vec<Observation>) {
    let together = point.is_empty();
    let tried = attempts.iter().filter(|attempt| attempt.tried().is_some()).count() as u64;
    let intact = || attempts.iter().filter(|attempt| attempt.intact());
    let most = intact().map(|attempt| attempt.size).max();
    all.push(if tried == 0 {
        Observation::not_measured(metric::LARGEST_INTACT, point, "nothing was tried")
    } else {
        let ways = intact().filter(|attempt| together && Some(attempt.size) == most);
        let ways: Vec<String> = ways.map(|attempt| attempt.kind.to_string()).collect();
        let most = most.map_or(0.0, |most| most.0 as f64);
        Observation::measured(metric::LARGEST_INTACT, point, most, tried)
            .with_text(ways.join(" · "))
    });

    let refused =
        attempts.iter().filter_map(|attempt| Some((attempt, attempt.tried()?.end.as_ref().err()?)));
    all.push(match refused.clone().map(|(attempt, _)| attempt.size).min() {
        None => {
            let up_to = most.map_or("nothing was tried".to_owned(), |most| {
                format!("nothing was refused up to {most}")
            });
            Observation::not_measured(metric::FIRST_REFUSED, point, up_to)
        }
        Some(first) => {
            let words =
                refused.filter(|(attempt, _)| attempt.size == first).map(|(attempt, refusal)| {
                    match together {
                        true => format!("{}: {refusal}", attempt.kind),
                        false => refusal.to_string(),
                    }
                });
            let words = words.collect::<Vec<_>>().join(" · ");
            Observation::measured(metric::FIRST_REFUSED, point, first.0 as f64, tried)
                .with_text(words)
        }
    });
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
    use super::*;
    use crate::driver::{LargeRefusal, Times, Who};
    use crate::result::Kind as Measured;

    const MIB: u64 = 1 << 20;

    fn attempt(size: u64, codec: Codec, client: LargeClient, end: Result<u64, Who>) -> Attempt {
        let end = end
            .map(|millis| Times {
                acked: Duration::from_millis(millis / 2),
                received: Duration::from_millis(millis),
            })
            .map_err(|who| LargeRefusal::new(who, "no"));
        let tried = Tried {
            end,
            trips: 3,
            pack: Duration::ZERO,
            unpack: Duration::ZERO,
            wire_bytes: Some(size + 100),
            client_peak: Some(2 * size),
            broker_peak: None,
            window_ns: (size, size + 1000),
        };
        let kind = SendVariant { payload: PayloadKind::Text, codec, client };
        Attempt { kind, size: Bytes(size), sent_bytes: size as usize, tried: Ok(tried) }
    }

    fn ladder() -> Vec<Attempt> {
        use LargeClient::{Second, Usual};
        let mut skipped = attempt(64 * MIB, Codec::None, Usual, Ok(1));
        skipped.tried = Err("refused before".into());
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
    fn ends_are_named_for_the_label_and_each_way() {
        let all = observations(&SizeLadder::default(), &ladder(), &[]);
        let value = |metric, point| find(&all, metric, point).value;
        assert_eq!(value("largest_intact", ""), Some(64.0 * MIB as f64));
        assert_eq!(find(&all, "largest_intact", "").text, "payload=text,codec=lz4");
        assert_eq!(value("largest_intact", "payload=text,codec=none"), Some(1024.0));
        assert_eq!(
            value("largest_intact", "payload=text,codec=none,client=second"),
            Some(16.0 * MIB as f64)
        );
        let first = find(&all, "first_refused", "");
        assert_eq!(first.value, Some(16.0 * MIB as f64));
        assert_eq!(first.text, "payload=text,codec=none: client encoder: no");
        assert_eq!(
            find(&all, "first_refused", "payload=text,codec=none,client=second").text,
            "broker: no"
        );
        let never = find(&all, "first_refused", "payload=text,codec=lz4");
        assert_eq!(
            (never.kind, never.text.as_str()),
            (Measured::NotMeasured, "nothing was refused up to 64MiB")
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
