//! What a client had to send again, as its own statistics tell it.

use serde_json::Value;
use std::collections::BTreeMap;

/// Adds up what one client told last of its brokers and partitions. Only these numbers are
/// read: that another one cannot be, as happens with those of a broker that was away, must not hide
/// them. Counters of a broker that left the cluster and came back begin anew, so these are at least
/// so many.
pub fn add_retries(statistics: &str, retries: &mut BTreeMap<String, u64>) {
    if statistics.is_empty() {
        return;
    }
    let mut add = |what: &str, count: u64| {
        if count > 0 {
            *retries.entry(what.to_owned()).or_default() += count;
        }
    };
    let Ok(statistics) = serde_json::from_str::<Value>(statistics) else {
        add("statistics of the client that could not be read", 1);
        return;
    };
    let number = |of: &Value, field: &str| of[field].as_u64().unwrap_or(0);
    for broker in members(&statistics["brokers"]) {
        add("requests sent again", number(broker, "txretries"));
        add("requests without an answer in time", number(broker, "req_timeouts"));
    }
    // A batch that is refused goes back to its partition's queue,
    // which no counter of requests shows.
    for partition in members(&statistics["topics"]).flat_map(|topic| members(&topic["partitions"]))
    {
        add(
            "messages sent again",
            number(partition, "txmsgs").saturating_sub(number(partition, "msgs")),
        );
    }
}

fn members(object: &Value) -> impl Iterator<Item = &Value> {
    object.as_object().into_iter().flat_map(|members| members.values())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_brokers_cost_in_retries_is_added_up() {
        let mut retries = BTreeMap::new();
        for statistics in [
            r#"{"brokers": {"a": {"txretries": 2, "odd": -1e99}, "b": {"txretries": 3}}}"#,
            r#"{"brokers": {"a": {"req_timeouts": 4, "txretries": 0}}}"#,
            concat!(
                r#"{"topics": {"t": {"partitions": "#,
                r#"{"0": {"msgs": 5, "txmsgs": 7}, "1": {"msgs": 5, "txmsgs": 4}}}}}"#
            ),
            "",
            "{",
        ] {
            add_retries(statistics, &mut retries);
        }
        let expected = [
            ("requests sent again", 5),
            ("requests without an answer in time", 4),
            ("messages sent again", 2),
            ("statistics of the client that could not be read", 1),
        ];
        assert_eq!(retries, expected.map(|(what, count)| (what.to_owned(), count)).into());
    }
}
