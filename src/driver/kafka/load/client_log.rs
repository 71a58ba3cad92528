//! What librdkafka says beside its answers: kept, bounded, and quoted in errors; never printed.

use super::ffi::ConsumerHandle;
use super::throttle::Throttle;
use crate::access::{ExposeSecret, Tokens};
use crate::driver::capability::Requests;
use rdkafka::ClientContext;
use rdkafka::Statistics;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Lines kept: enough to see why a connection failed,
/// small enough for a driver that runs for hours.
const LINES: usize = 50;

/// The last lines of every client of one driver. Cloned freely; all clones share the lines.
#[derive(Clone, Default)]
pub struct ClientLog(Arc<Mutex<VecDeque<String>>>);

impl ClientLog {
    pub fn add(&self, line: &str) {
        // Each client is given the settings of both sides;
        // that one side ignores the other's is no news.
        if line.contains("property and will be ignored by") {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.trim().to_owned());
    }

    /// `cause`, with the library's last words behind it.
    pub fn explain(&self, cause: impl std::fmt::Display) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.back() {
            Some(last) => format!("{cause} (librdkafka: {last})"),
            None => cause.to_string(),
        }
    }
}

/// What the library calls back. Of a group member:
/// leads each assigned partition to its [`ConsumerHandle`].
#[derive(Default)]
pub struct KafkaContext {
    pub log: ClientLog,
    /// Set once the group has given this member its share, which may be nothing.
    pub assigned: AtomicBool,
    /// Set when partitions were taken away: positions kept for them are no longer ours to commit.
    pub revoked: AtomicBool,
    pub handle: OnceLock<Weak<ConsumerHandle>>,
    /// What the library last told about its requests, where it was asked to.
    pub requests: ClientStats,
    /// Where clients log in by them.
    pub tokens: Option<Tokens>,
    /// Of consumers: those of producers do not come this way.
    pub throttle: Throttle,
}

impl ClientContext for KafkaContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        self.log.add(message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.log.add(&format!("{error}: {reason}"));
    }
    fn stats_raw(&self, statistics: &[u8]) {
        self.throttle.tell(&String::from_utf8_lossy(statistics));
        if let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) {
            self.requests.tell(&statistics);
        }
    }
    /// Asked for when four fifths of the last one's life are over. By then there is a new one.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.tokens.as_ref().ok_or("this target has no login by tokens")?;
        let token = tokens.current().inspect_err(|why| self.log.add(why))?;
        Ok(OAuthToken {
            token: token.value.expose_secret().to_owned(),
            lifetime_ms: token.until_ms(),
            principal_name: token.principal,
        })
    }
}

impl ProducerContext for KafkaContext {
    /// The slot: a number in the pointer's place, so that no message costs a box.
    type DeliveryOpaque = usize;
    /// Reports are taken by [`super::ffi::ProducerHandle::drain`]; here come only those purged
    /// while a producer is dropped.
    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}

impl ConsumerContext for KafkaContext {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                if let Some(handle) = self.handle.get().and_then(Weak::upgrade) {
                    for partition in partitions.elements() {
                        if !handle.pour(partition.topic(), partition.partition()) {
                            self.log
                                .add(&format!("partition {} has no queue", partition.partition()));
                        }
                    }
                }
            }
            Rebalance::Revoke(_) => self.revoked.store(true, Ordering::Relaxed),
            Rebalance::Error(error) => self.log.add(&error.to_string()),
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            self.assigned.store(true, Ordering::Release);
        }
    }
}

/// How often the library has told, and what it told last.
#[derive(Default)]
pub struct ClientStats(Mutex<(u64, Requests)>);

impl ClientStats {
    pub fn tell(&self, statistics: &Statistics) {
        let mut requests = Requests::default();
        for (name, count) in statistics.brokers.values().flat_map(|broker| &broker.req) {
            let count = u64::try_from(*count).unwrap_or(0);
            match name.as_str() {
                "Fetch" => requests.fetch += count,
                "OffsetCommit" => requests.acknowledge += count,
                "Heartbeat" | "ConsumerGroupHeartbeat" => requests.keep_alive += count,
                _ => requests.other += count,
            }
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *told = (told.0 + 1, requests);
    }

    pub fn last(&self) -> (u64, Requests) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_bounded_and_quotes_its_last_line() {
        let log = ClientLog::default();
        assert_eq!(log.explain("no answer"), "no answer");
        for line in 0..10 * LINES {
            log.add(&format!("line {line}"));
        }
        log.add(
            "Configuration property group.id is a consumer property \
            and will be ignored by this producer",
        );
        assert_eq!(log.0.lock().unwrap().len(), LINES);
        assert_eq!(
            log.explain("no answer"),
            format!("no answer (librdkafka: line {})", 10 * LINES - 1)
        );
    }

    #[test]
    fn requests_of_all_brokers_are_added_up_by_purpose() {
        let broker = |req: &[(&str, i64)]| rdkafka::statistics::Broker {
            req: req.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..Default::default()
        };
        let brokers = [
            ("a", broker(&[("Fetch", 5), ("Metadata", 2)])),
            ("b", broker(&[("Heartbeat", 3), ("Fetch", 1)])),
        ];
        let brokers = brokers.into_iter().map(|(name, broker)| (name.to_owned(), broker)).collect();
        let told = ClientStats::default();
        told.tell(&Statistics { brokers, ..Default::default() });
        assert_eq!(
            told.last(),
            (1, Requests { fetch: 6, acknowledge: 0, keep_alive: 3, other: 2 })
        );
    }
}
