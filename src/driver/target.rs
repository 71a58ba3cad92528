//! Where a cell's brokers are and how they may be reached: addresses, routes past proxies, access.

use crate::access::Access;
use crate::clock::Clock;
use std::collections::BTreeMap;

/// Where a cell's brokers listen, and how its topic is to be named.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port` of each broker that takes messages, as clients are to reach it; for Redis the
    /// first is the primary, unless there are sentinels to ask.
    pub addresses: Vec<String>,
    /// Who tells where the primary is, and ways beside the clients' own.
    pub routes: Routes,
    /// Whom clients may connect to, and with which TLS and login.
    pub access: Access,
    /// Unique per cell and block, `[a-z0-9-]`: names the topic, channel, stream or list.
    pub name: String,
    pub clock: Clock,
}

/// What everything that a run makes is called after: `bb-` and the run's own mark, from the name of
/// any of its cells. `None` of what no run of ours is called.
pub fn run_prefix(cell: &str) -> Option<String> {
    let mut parts = cell.splitn(3, '-');
    let (first, mark) = (parts.next()?, parts.next()?);
    let plain = mark.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let ours = first == "bb" && mark.len() == 6 && plain && parts.next().is_some();
    ours.then(|| format!("bb-{mark}-"))
}

/// How to find and to reach the nodes of a broker besides by the addresses that clients start from.
/// Empty for one node of our own without a fault proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// `host:port` of each Sentinel.
    pub sentinels: Vec<String>,
    /// What they call the set of nodes that they watch; [`Routes::PRIMARY`] where nobody says.
    pub primary: Option<String>,
    /// From the address that a Sentinel tells to the one that clients are to connect to, where the
    /// two differ: nodes reach each other past the clients' fault proxy.
    pub advertised: BTreeMap<String, String>,
    /// From the address that clients connect to, to where the node itself listens, where a fault
    /// proxy stands between: for questions that must be answered while the clients are cut off.
    /// Never for the load.
    pub direct: BTreeMap<String, String>,
}

impl Routes {
    /// What the Sentinels that we start call the set of nodes that they watch.
    pub const PRIMARY: &str = "brokerbench";

    pub fn primary(&self) -> &str {
        self.primary.as_deref().unwrap_or(Self::PRIMARY)
    }

    /// Where clients are to connect, when a Sentinel advertised this address.
    pub fn client(&self, advertised: &str) -> String {
        self.advertised.get(advertised).map_or(advertised, String::as_str).to_owned()
    }

    /// Where the node behind an address of clients listens itself.
    pub fn direct(&self, client: &str) -> String {
        self.direct.get(client).map_or(client, String::as_str).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_run_of_ours_made_has_its_mark() {
        assert_eq!(run_prefix("bb-abc123-lists-0").as_deref(), Some("bb-abc123-"));
        let foreign = ["orders", "bb-", "bb-abc123", "bb-abc-lists", "xx-abc123-lists", ""];
        // One that would stand for many where a server looks for it.
        for foreign in foreign.into_iter().chain(["bb-******-lists", "bb-[a-z]?-lists"]) {
            assert_eq!(run_prefix(foreign), None, "{foreign}");
        }
    }
}
