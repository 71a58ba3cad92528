//! Reading the conditions of a figure: `load.rate=1k/s,size=1MiB`, keys and values joined by commas.
//!
//! A key is asked for by its last part, so `size` finds `message.size` of a matrix and `size` of an experiment.

use crate::units::{Bytes, Rate, Span};

/// The value of a key, as written.
pub fn get<'a>(point: &'a str, key: &str) -> Option<&'a str> {
    parts(point).find(|(name, _)| name.rsplit('.').next() == Some(key)).map(|(_, value)| value)
}

/// The value of a key as a number in base units: bytes, messages a second, nanoseconds, a share, or plain.
pub fn number(point: &str, key: &str) -> Option<f64> {
    let text = get(point, key)?;
    let bytes = || text.parse::<Bytes>().ok().map(|bytes| bytes.0 as f64);
    let rate = || text.parse::<Rate>().ok().map(Rate::per_s);
    let span = || text.parse::<Span>().ok().map(|span| span.nanos() as f64);
    let share = || text.strip_suffix('%')?.trim().parse::<f64>().ok().map(|percent| percent / 100.0);
    text.parse().ok().or_else(bytes).or_else(rate).or_else(span).or_else(share).filter(|n: &f64| n.is_finite())
}

/// What is left of a point without some keys, values only: `1MiB, lz4`. Empty for the point of a cell without matrix.
pub fn without(point: &str, keys: &[&str]) -> String {
    let named = |name: &str| name.rsplit('.').next().is_some_and(|last| keys.contains(&last));
    parts(point).filter(|(name, _)| !named(name)).map(|(_, value)| value).collect::<Vec<_>>().join(", ")
}

/// The values alone: `1k/s`.
pub fn short(point: &str) -> String {
    without(point, &[])
}

fn parts(point: &str) -> impl Iterator<Item = (&str, &str)> {
    let point = if point == "base" { "" } else { point };
    point.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "base").map(|part| {
        let (key, value) = part.split_once('=').unwrap_or(("", part));
        (key.trim(), value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_found_by_their_last_name() {
        let point = "message.size=1KiB,payload=text,poison=1%,load.work=1ms,rate=10k/s,load.consumers=4";
        assert_eq!((get(point, "size"), get(point, "codec")), (Some("1KiB"), None));
        assert_eq!(number(point, "size"), Some(1024.0));
        assert_eq!(number(point, "poison"), Some(0.01));
        assert_eq!(number(point, "work"), Some(1e6));
        assert_eq!(number(point, "rate"), Some(1e4));
        assert_eq!(number(point, "consumers"), Some(4.0));
        assert_eq!(number(point, "payload"), None);
        assert_eq!(without(point, &["size", "payload", "poison", "work"]), "10k/s, 4");
        assert_eq!((short("base"), short(""), short("base,size=1B")), (String::new(), String::new(), "1B".to_owned()));
    }
}
