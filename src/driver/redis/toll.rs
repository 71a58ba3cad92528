//! What a server counts of what it does by itself to clients and to what they stored: whom it cut
//! off, what it evicted. Of the whole server, whoever else uses it; older ones count less.

use super::load::connection::Connection;
use super::primary::Primary;
use crate::driver::DriverError;
use std::collections::BTreeMap;

/// As INFO calls it, and in words.
const COUNTED: &[(&str, &str)] = &[
    (
        "client_output_buffer_limit_disconnections",
        "clients cut off by `client-output-buffer-limit`",
    ),
    ("client_query_buffer_limit_disconnections", "clients cut off by `client-query-buffer-limit`"),
    ("evicted_clients", "clients cut off by `maxmemory-clients`"),
    ("evicted_keys", "keys evicted by `maxmemory-policy`"),
    ("rejected_connections", "connections refused by `maxclients`"),
];

/// Of all who take writes, as far as they tell.
pub fn of(primary: &Primary) -> BTreeMap<String, u64> {
    let (servers, _) = primary.spread().unwrap_or_default();
    let mut all = BTreeMap::new();
    for told in servers.iter().filter_map(|server| Connection::open(server).ok()?.toll().ok()) {
        for (what, count) in told {
            *all.entry(what).or_default() += count;
        }
    }
    all
}

impl Connection {
    fn toll(&mut self) -> Result<BTreeMap<String, u64>, DriverError> {
        Ok(parse(&self.text(&["INFO", "stats"])?))
    }
}

fn parse(info: &str) -> BTreeMap<String, u64> {
    let fields = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    let counted = fields.filter_map(|(field, count)| {
        let (_, words) = COUNTED.iter().find(|(name, _)| *name == field)?;
        Some(((*words).to_owned(), count.parse().ok()?))
    });
    counted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_did_is_told_as_far_as_it_counts() {
        let info = "# Stats\r\nevicted_keys:3\r\nevicted_scripts:9\r\n\
                    client_output_buffer_limit_disconnections:1\r\nrejected_connections:x\r\n";
        let told = parse(info);
        let words: Vec<_> = told.iter().map(|(words, count)| (words.as_str(), *count)).collect();
        let cut_off = "clients cut off by `client-output-buffer-limit`";
        assert_eq!(words, [(cut_off, 1), ("keys evicted by `maxmemory-policy`", 3)]);
        assert!(parse("").is_empty());
    }
}
