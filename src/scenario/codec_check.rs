//! Which codecs the messages of a system may have.
//!
//! Kafka's client compresses batches, with any codec. Redis's has none: there a message is packed
//! by itself around the client, as an application would, and plain load alone does that.

use super::cell::{Message, PayloadKind};
use super::system::SystemConfig;
use crate::model::{Codec, Software};
use crate::yaml::Problem;

/// What plain load packs messages with, one by one.
const ONE_BY_ONE: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd];

pub(super) fn check(
    label: &str,
    config: &SystemConfig,
    message: &Message,
    plain: bool,
) -> Result<(), Problem> {
    let codec = message.codec;
    let fail = |what: String, remedy: &str| Err(Problem::new(["message", "codec"], what, remedy));
    if codec == Codec::None || config.system.software() == Software::Kafka {
        return Ok(());
    }
    if message.payload == PayloadKind::File {
        let what = format!("Redis does not compress, and {label} gets each line as it is");
        return fail(what, "write `codec: none`, or run Kafka alone with `--system kafka`");
    }
    if !ONE_BY_ONE.contains(&codec) {
        let what = format!("it is Kafka's alone here, and {label} is none");
        return fail(
            what,
            "write `none`, `lz4` or `zstd`, or run Kafka alone with `--system kafka`",
        );
    }
    if !plain {
        // Of what a fault damaged nobody could tell whose it was.
        let what =
            format!("Redis does not compress; only plain load does it for {label}, without faults");
        return fail(what, "write `codec: none`, or run Kafka alone with `--system kafka`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, from_text};

    fn found(rest: &str) -> Result<(), String> {
        let text = format!("schema: 1\nname: t\nquestion: Q?\n{rest}");
        let read = from_text("t.yaml", &text, &Overrides::default());
        read.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_load_packs_for_redis_and_nothing_else_does() {
        let open = "load: {model: open, rate: 1k/s, duration: 20s}\n";
        for codec in ["none", "lz4", "zstd"] {
            let text =
                format!("systems: [kafka, redis-lists]\n{open}message: {{codec: {codec}}}\n");
            found(&text).unwrap();
        }
        for (rest, words) in [
            ("systems: [redis-lists]\nmessage: {codec: gzip}\n", "Kafka's alone"),
            (
                "systems: [redis-lists]\nmessage: {codec: lz4}\nfaults: [{kind: pause, target: \
                 leader, at: 2s, for: 1s}]\n",
                "without faults",
            ),
            (
                "systems: [redis-lists]\nmessage: {codec: lz4}\nexperiment: {kind: retention}\n",
                "only plain load",
            ),
        ] {
            let error = found(&format!("{open}{rest}")).unwrap_err();
            assert!(error.contains("message.codec") && error.contains(words), "{error}");
        }
        found(&format!("{open}systems: [kafka]\nmessage: {{codec: gzip}}\n")).unwrap();
    }
}
