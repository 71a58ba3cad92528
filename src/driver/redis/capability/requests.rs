//! Requests of a consumer as the Redis server counts them: `INFO commandstats`.
//!
//! The server counts a command when it is done; a blocking one that times out counts too, and each
//! once (checked on 7.0.15 and 8.2.3). The counts are those of whole servers, of a Redis Cluster of
//! all that the consumer takes from, hence: one consumer at a time.

use crate::driver::capability::{Requests, WatchedSubscriber};
use crate::driver::redis::endpoint::Endpoint;
use crate::driver::redis::load::connection::Connection;
use crate::driver::{DriverError, Subscriber};

/// Watches a consumer of these servers over other connections.
pub fn watched(
    subscriber: Box<dyn Subscriber>,
    servers: &[Endpoint],
) -> Result<WatchedSubscriber<Requests>, DriverError> {
    let mut controls =
        servers.iter().map(Connection::open).collect::<Result<Vec<_>, DriverError>>()?;
    let ask = move || {
        let told = controls.iter_mut().map(|control| control.text(&["INFO", "commandstats"]));
        Ok(sort(&told.collect::<Result<String, DriverError>>()?))
    };
    Ok(WatchedSubscriber { subscriber, ask: Box::new(ask) })
}

/// Commands that consumers send, by what they are for; of several servers added up.
/// Publishing, set-up and INFO itself belong to others.
fn sort(info: &str) -> Requests {
    let mut requests = Requests::default();
    for line in info.lines() {
        let Some((command, rest)) =
            line.strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls="))
        else {
            continue;
        };
        let calls =
            rest.split(',').next().and_then(|calls| calls.trim().parse::<u64>().ok()).unwrap_or(0);
        match command {
            "xreadgroup" | "xread" | "blmpop" | "lmpop" | "blmove" | "lmove" => {
                requests.fetch += calls
            }
            // DEL takes the processing list away, which is how a reliable
            // list consumer acknowledges.
            "xack" | "del" => requests.acknowledge += calls,
            "ping" => requests.keep_alive += calls,
            "subscribe" | "ssubscribe" => requests.other += calls,
            _ => {}
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sorted_by_purpose() {
        let info = "# Commandstats\r\ncmdstat_xreadgroup:calls=7,usec=1,usec_per_call=0.1\r\n\
                    cmdstat_xack:calls=3,usec=1\r\ncmdstat_xadd:calls=100,usec=1\r\n\
                    cmdstat_ping:calls=1,usec=1\r\ncmdstat_client|list:calls=4,usec=1\r\n";
        assert_eq!(sort(info), Requests { fetch: 7, acknowledge: 3, keep_alive: 1, other: 0 });
        let two = sort(&info.repeat(2));
        assert_eq!(two, Requests { fetch: 14, acknowledge: 6, keep_alive: 2, other: 0 });
        assert_eq!(sort(""), Requests::default());
    }
}
