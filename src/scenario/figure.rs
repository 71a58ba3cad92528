//! Metrics that a system cannot have under a load, whatever happens: a rule on one is refused when it is read.

use super::load::{Load, Model};
use super::system::{Reply, SystemConfig};
use crate::model::{Measure, MessageStore, measure::STATISTICS, metric};
use crate::yaml::suggest;

/// The metric of this name; the error says what is allowed.
pub fn measure(name: &str) -> Result<Measure, String> {
    name.parse().map_err(|()| {
        let asked = name.split('.').next().and_then(|latency| metric::find(latency)?.latency());
        match asked {
            Some(latency) => format!("a latency has {STATISTICS}: `{latency}.p99`"),
            None => {
                let usual: Vec<String> = Measure::usual().map(|measure| measure.to_string()).collect();
                suggest(&name.replace('-', "_"), usual.iter().map(String::as_str))
            }
        }
    })
}

/// Why no run of this system under this load can measure it.
pub fn never_measured(measure: Measure, config: &SystemConfig, load: &Load) -> Option<&'static str> {
    let metric = measure.metric;
    let planned = [metric::PLANNED, metric::OFFERED_RATE].contains(&metric)
        || metric.latency().is_some_and(|latency| latency.planned());
    let acked = [metric::ACKED, metric::BROKER_LOST, metric::LOG_DUPLICATE, metric::ACKED_RATE].contains(&metric);
    if load.model == Model::Closed && planned {
        return Some("the closed model plans no send times");
    }
    if config.system.store() == MessageStore::Nothing && acked {
        return Some("Pub/Sub acknowledges and keeps nothing");
    }
    if config.acks() == Some("0") && acked {
        return Some("nothing is acknowledged with `acks: 0`");
    }
    if config.reply == Reply::Off && acked {
        return Some("nothing is acknowledged with `reply: off`");
    }
    let audited = [metric::BROKER_LOST, metric::LOG_DUPLICATE].contains(&metric);
    (!load.audit && audited).then_some("`load.audit` is off")
}
