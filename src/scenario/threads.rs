//! How many threads the producers and consumers of a cell take, and when many subscriptions share
//! a few: the engine starts them by the same rule by which a scenario is refused.

use super::check::{Check, check, refuse};
use super::load::{Load, Pacer};
use super::system::{ClientLibrary, SystemConfig};
use crate::model::System;
use crate::units::Span;

/// Up to here each consumer has a thread to itself, whatever it could share.
const ALONE: u16 = 64;
/// As many as subscriptions share at most.
pub const SHARED: u16 = 8;
const MOST_THREADS: u64 = 256;
/// What the book of last deliveries can count.
const MOST_SUBSCRIPTIONS: u16 = 4000;

/// Whether one thread serves many subscriptions: where these are so many, do nothing but receive,
/// and wait on sockets of our own, one each.
pub fn share_threads(config: &SystemConfig, load: &Load) -> bool {
    let only_receive = load.consumers == 1 && load.work == Span(0);
    let own_sockets = matches!(config.system, System::RedisPubsub | System::RedisStreams)
        && config.library() == ClientLibrary::Direct;
    load.subscriptions > ALONE
        && only_receive
        && own_sockets
        && load.deadline.is_none()
        && load.pacer == Pacer::Sleep
        && config.cluster.is_none()
}

/// `shards` is how many processes run it together.
pub(super) fn within_reason(config: &SystemConfig, load: &Load, shards: u16) -> Check {
    if load.subscriptions > MOST_SUBSCRIPTIONS {
        let what = format!("more than {MOST_SUBSCRIPTIONS}");
        return refuse("load.subscriptions", what, "lower it");
    }
    // A part of the subscriptions has a thread for each.
    let shared = shards <= 1 && share_threads(config, load);
    let each = u64::from(load.subscriptions) * u64::from(load.consumers);
    let consumers = if shared { SHARED.into() } else { each };
    let producers = u64::from(load.producers);
    let threads = consumers + producers;
    let what = format_args!(
        "producers and consumers together would be {threads} threads, more than {MOST_THREADS}"
    );
    let (key, remedy) = match () {
        () if producers > consumers => ("load.producers", "lower it"),
        () if load.subscriptions > ALONE => (
            "load.subscriptions",
            "lower it; only those of Redis Pub/Sub and Streams share threads, with `consumers: 1` \
             and without `work`, `deadline`, `pacer: spin`, `library: redis-rs` and shards",
        ),
        () => ("load.consumers", "lower `producers`, `subscriptions` or `consumers`"),
    };
    check(threads <= MOST_THREADS * u64::from(shards.max(1)), key, what, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, from_text};

    fn cell(load: &str, system: &str) -> Result<bool, String> {
        let text = format!(
            "schema: 1\nname: t\nquestion: Q?\nsystems: [{system}]\nload: \
             {{model: open, rate: 100/s, {load}}}\n"
        );
        let scenario = from_text("t.yaml", &text, &Overrides::default());
        let cells = scenario.map_err(|error| error.to_string())?.cells();
        Ok(share_threads(&cells[0].config, &cells[0].load))
    }

    #[test]
    fn a_thousand_subscriptions_of_redis_share_threads() {
        for system in ["redis-pubsub", "redis-streams"] {
            assert_eq!(cell("subscriptions: 1000", system), Ok(true));
            assert_eq!(cell("subscriptions: 16", system), Ok(false), "as ever");
        }
    }

    #[test]
    fn who_needs_a_thread_of_its_own_is_told_so() {
        let error = cell("subscriptions: 1000", "kafka").unwrap_err();
        for word in ["`load.subscriptions`", "1001 threads", "Redis Pub/Sub and Streams share"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(cell("subscriptions: 1000, work: 1ms", "redis-pubsub").is_err());
        assert!(cell("subscriptions: 5000", "redis-pubsub").unwrap_err().contains("4000"));
        assert!(cell("producers: 600", "redis-pubsub").unwrap_err().contains("`load.producers`"));
    }
}
