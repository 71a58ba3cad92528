//! What messages may be: sizes that can be accounted for and held, and a payload that can be made.

use super::cell::{Message, PayloadKind};
use super::check::{Check, check, refuse};
use super::experiment::Experiment;
use super::file::MessageKeys;
use super::keyed::keys;
use super::load::{Load, Model};
use crate::payload::ROUND;
use crate::units::Bytes;

/// The whole envelope, and the one without the planned time:
/// no smaller message can be accounted for.
const ENVELOPE: u64 = 44;
const COMPACT_ENVELOPE: u64 = 12;
const LARGEST_MESSAGE: Bytes = Bytes(16 << 20);
const LARGEST_IN_FLIGHT: Bytes = Bytes(4 << 30);
const MOST_HEADERS: u16 = 100;
/// Each producer has a round of its own in memory.
const LARGEST_ROUNDS: Bytes = Bytes(1 << 30);

/// `shards` is how many processes share the producers.
pub(super) fn message(message: &Message, load: &Load, shards: u16) -> Check {
    sizes(message, load, shards)?;
    keys(message)?;
    payload(message)
}

fn sizes(message: &Message, load: &Load, shards: u16) -> Check {
    let (smallest, key) = (message.smallest(), "message.size");
    let what = format_args!("smaller than the {COMPACT_ENVELOPE} bytes that identify a message");
    check(smallest.0 >= COMPACT_ENVELOPE, key, what, &format!("write {ENVELOPE}B or more"))?;
    let whole = smallest.0 >= ENVELOPE;
    let what = format_args!(
        "messages below {ENVELOPE} bytes carry no planned time, and so have no latency"
    );
    let remedy = format!("write {ENVELOPE}B or more, or use `load.model: closed`");
    check(whole || load.model != Model::Open, key, what, &remedy)?;
    let what = format_args!("messages below {ENVELOPE} bytes do not say how long they are");
    let remedy = format!("write {ENVELOPE}B or more, or a single size");
    check(whole || message.mix.is_none(), key, what, &remedy)?;
    let what = format_args!(
        "plain load stops at {LARGEST_MESSAGE}; larger messages come with the size ladder"
    );
    let fits = message.size <= LARGEST_MESSAGE;
    check(fits, key, what, &format!("write {LARGEST_MESSAGE} or less"))?;
    let producers = f64::from(load.producers.div_ceil(shards.max(1)));
    let many = load.in_flight;
    let held = producers * f64::from(many) * message.mean_bytes();
    let size = message.sizes();
    let what = format_args!(
        "{many} messages of {size} in flight need more memory than {LARGEST_IN_FLIGHT}"
    );
    let remedy = "lower `load.in-flight`, `load.producers` or `message.size`";
    check(held <= LARGEST_IN_FLIGHT.0 as f64, key, what, remedy)?;
    let made = producers * f64::from(ROUND) * message.mean_bytes();
    let what = format_args!(
        "the {ROUND} messages of a round need more memory than {LARGEST_ROUNDS}, over all producers"
    );
    let fits = message.mix.is_none() || made <= LARGEST_ROUNDS.0 as f64;
    check(fits, key, what, "lower the sizes, or `load.producers`")
}

fn payload(message: &Message) -> Check {
    let key = "message.compressibility";
    match (message.payload, message.compressibility) {
        (PayloadKind::Mixed, None) => refuse(
            key,
            "payload `mixed` needs the ratio to reach",
            "add `compressibility: 2.0` (a zstd ratio)",
        ),
        (PayloadKind::Mixed, Some(ratio)) if !(1.0..=100.0).contains(&ratio) => {
            refuse(key, "out of range, a zstd ratio is 1 to 100", "write a ratio such as `2.0`")
        }
        (PayloadKind::Text | PayloadKind::Random | PayloadKind::File, Some(_)) => {
            let remedy = "add `payload: mixed`, or remove `compressibility`";
            refuse(key, "only payload `mixed` is made to a ratio", remedy)
        }
        _ => Ok(()),
    }
}

/// What only the file shows.
pub(super) fn keys_of(keys: &MessageKeys) -> Check {
    let what = "a scenario may come from a stranger, and names no file";
    let remedy = "give it on the command line: `--payload-file orders.ndjson`";
    check(keys.file.is_none(), "message.file", what, remedy)?;
    let from_file = keys.payload == Some(PayloadKind::File);
    let what = "the lines of the file say how large messages are";
    check(!from_file || keys.size.is_none(), "message.size", what, "remove it")?;
    let what = format_args!("out of range, it is 0 to {MOST_HEADERS}");
    let few = keys.headers.is_none_or(|headers| headers <= MOST_HEADERS);
    check(few, "message.headers", what, "write a number such as `3`")
}

/// What only plain load sends, alone or as part of an experiment.
pub(super) fn of_plain_load(message: &Message, experiment: Option<&Experiment>) -> Check {
    let Some(experiment) = experiment.filter(|experiment| !experiment.loads()) else {
        return Ok(());
    };
    let what = format!("only plain load has it, not the experiment `{}`", experiment.kind());
    check(message.mix.is_none(), "message.size", &what, "write a single size, such as `1KiB`")?;
    check(message.key.is_none(), "message.key", &what, "remove it")?;
    check(message.headers == 0, "message.headers", &what, "remove it")?;
    let remedy = "write another kind, such as `text`";
    check(message.payload != PayloadKind::File, "message.payload", what, remedy)
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario, from_text};

    fn scenario(rest: &str) -> Result<Scenario, String> {
        let text = format!("schema: 1\nname: t\nquestion: Q?\nsystems: [kafka]\n{rest}");
        from_text("t.yaml", &text, &Overrides::default()).map_err(|error| error.to_string())
    }

    const OPEN: &str = "load: {model: open, rate: 1k/s}\n";

    #[test]
    fn a_mix_of_sizes_is_one_value_that_a_matrix_varies() {
        let mix = "90% 1KiB + 10% 10KiB";
        let found =
            scenario(&format!("{OPEN}matrix: {{message.size: [1KiB, 100B to 300B, {mix}]}}\n"));
        let found = found.unwrap().cells();
        let points: Vec<&str> = found.iter().map(|cell| cell.point.as_str()).collect();
        assert_eq!(
            points[1..],
            ["message.size=100B to 300B", format!("message.size={mix}").as_str()]
        );
        let bytes: Vec<(u64, f64)> =
            found.iter().map(|cell| (cell.message.size.0, cell.message.mean_bytes())).collect();
        assert_eq!(bytes, [(1024, 1024.0), (300, 200.0), (10_240, 1945.6)]);
        let in_bytes = "load: {model: open, rate: 2MB/s}\nmessage: {size: 100B to 300B}\n";
        let cell = scenario(in_bytes).unwrap().cells().remove(0);
        assert_eq!(cell.load.rate.unwrap().to_string(), "10k/s");
    }

    #[test]
    fn what_a_mix_cannot_be_is_refused() {
        for (rest, words) in [
            ("message: {size: 12B to 100B}\n", "carry no planned time"),
            ("message: {size: 1KiB to 20MiB}\n", "stops at 16MiB"),
            ("message: {size: 10KiB to 1KiB}\n", "from large to small"),
            ("message: {size: 50% 1KiB + 40% 2KiB}\n", "add up to 90%"),
            ("message: {size: 1MiB to 4MiB}\n", "the 1000 messages of a round"),
            ("message: {size: 1KiB to 2KiB}\nexperiment: {kind: retention}\n", "`retention`"),
        ] {
            let load = OPEN.replace("1k/s", "1k/s, in-flight: 10");
            let error = scenario(&format!("{load}{rest}")).unwrap_err();
            assert!(error.contains("message.size") && error.contains(words), "{rest}: {error}");
        }
        let closed = scenario("load: {model: closed}\nmessage: {size: 12B to 100B}\n");
        assert!(closed.unwrap_err().contains("do not say how long they are"));
    }
}
