//! The registry of metrics: every number that results name, once, in the order of the docs.
//!
//! A line here is all that page, terminal, table, thresholds, schema and docs know of a metric: its
//! unit, how the blocks of a run are put together, which direction is better. `brokerbench list
//! --metrics` prints it.

use super::{Latency, Unit};
use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub unit: Unit,
    pub over_blocks: Aggregate,
    pub better: Direction,
    pub help: &'static str,
}

named! {
    /// How the values of several blocks become one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Aggregate {
        /// Which has an interval: speeds and times. The plain mean where one of them is zero.
        Geometric = "geometric mean",
        Mean = "mean",
        Least = "least",
        Most = "most",
        Sum = "sum",
        Median = "median",
    }
}

named! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Direction {
        Higher = "higher",
        Lower = "lower",
        /// Neither: a setting, or what others are a part of.
        Neutral = "–",
    }
}

pub struct Section {
    pub title: &'static str,
    pub help: &'static str,
    pub metrics: &'static [&'static Metric],
}

macro_rules! registry {
    ($($section:ident $title:literal $about:literal {
        $($id:ident $name:literal $unit:ident $over:ident $better:ident $help:literal;)*
    })*) => {
        $($(pub const $id: &Metric = &Metric {
            name: $name,
            unit: Unit::$unit,
            over_blocks: Aggregate::$over,
            better: Direction::$better,
            help: $help,
        };)*)*
        $(pub const $section: Section =
            Section { title: $title, help: $about, metrics: &[$($id),*] };)*
        /// All of them, in the order of the docs.
        pub const SECTIONS: &[&Section] = &[$(&$section),*];
    };
}

registry! {
    LOAD "Plain load" "Read from a cell of `summary.json`: thresholds, `primary` and claims may \
        name them." {
        GOODPUT "goodput" MessagesPerSecond Geometric Higher
            "acknowledged and received by all subscriptions, by the clock";
        COMPLETE "complete" Share Mean Higher
            "delivered of all that was due, over all subscriptions";
        COMPLETED_OF_PLANNED "completed_of_planned" Share Mean Higher
            "acknowledged and received by all by the end of the drain, of what the window planned; \
             none in the closed model";
        HELD_BY_CONSUMERS "held_by_consumers" Share Mean Neutral
            "share of the window in which producers waited for consumers: `load.backlog` was \
             nearly full; none in the open model";
        REORDERED "reordered" Messages Mean Lower
            "`counts.reordered`, as the table of claims names it";
        REDIRECTED "redirected" Messages Mean Neutral
            "requests of producers and consumers that a Redis Cluster sent elsewhere (MOVED, ASK), \
             where they were followed; none of other systems";
        PUBLISH "publish" Nanoseconds Geometric Lower
            "from the planned time to the acknowledgement";
        END_TO_END "end_to_end" Nanoseconds Geometric Lower
            "from the planned time to the receipt, of the last subscription";
        SERVICE "service" Nanoseconds Geometric Lower "from the hand-over to the acknowledgement";
        SCHEDULE_LAG "schedule_lag" Nanoseconds Geometric Lower
            "from the planned time to the hand-over";
        PLANNED "counts.planned" Messages Mean Neutral
            "scheduled by the load model; none in the closed model";
        SENT "counts.sent" Messages Mean Neutral "handed to the client library";
        ACKED "counts.acked" Messages Mean Higher
            "acknowledged; none where a reply promises nothing";
        FAILED "counts.failed" Messages Mean Lower "refused or given up";
        INDETERMINATE "counts.indeterminate" Messages Mean Lower
            "neither acknowledged nor refused by the end";
        DELIVERED "counts.delivered" Messages Mean Higher "received, per subscription";
        UNDELIVERED "counts.undelivered" Messages Mean Lower
            "still in the broker when the drain ended";
        LOST "counts.lost" Messages Mean Lower "neither delivered nor in the broker";
        BROKER_LOST "counts.broker_lost" Messages Mean Lower
            "acknowledged and absent from the audit";
        PASSED_OVER "counts.passed_over" Messages Mean Lower
            "undelivered, though a later one of the same sequence was delivered";
        DUPLICATE "counts.duplicate" Messages Mean Lower "deliveries too many";
        LOG_DUPLICATE "counts.log_duplicate" Messages Mean Lower
            "found more than once by the audit";
        PHANTOM "counts.phantom" Messages Mean Lower "failed, yet seen";
        CORRUPT "counts.corrupt" Messages Mean Lower "arrived damaged";
        OUT_OF_ORDER "counts.reordered" Messages Mean Lower
            "first deliveries behind a later one of the same sequence";
        FOREIGN "counts.foreign" Messages Mean Lower "of another run or of nobody";
        BACKPRESSURED "counts.backpressured" Messages Mean Lower
            "sends held up by the in-flight limit or a full client queue";
        OFFERED_RATE "rates.offered_per_s" MessagesPerSecond Geometric Neutral
            "planned a second; none in the closed model";
        SENT_RATE "rates.sent_per_s" MessagesPerSecond Geometric Higher "handed over a second";
        ACKED_RATE "rates.acked_per_s" MessagesPerSecond Geometric Higher "acknowledged a second";
        CONSUMED_RATE "rates.consumed_per_s" MessagesPerSecond Geometric Higher
            "received a second, per subscription";
        GOODPUT_BYTES_RATE "rates.goodput_bytes_per_s" BytesPerSecond Geometric Higher
            "goodput in bytes";
        CLIENT_CPU "resources.client_cpu_per_message" Nanoseconds Geometric Lower
            "processor time of the harness for each message";
        CLIENT_SHARE "resources.client_share" Share Mean Lower
            "of all processor time of the machine, what the harness takes";
        CLIENT_RSS "resources.client_peak_rss" Bytes Most Lower "most memory of the harness";
        BROKER_CPU "resources.broker_cpu_per_message" Nanoseconds Geometric Lower
            "processor time of the brokers for each message";
        BROKER_RSS "resources.broker_peak_rss" Bytes Most Lower "most memory of the brokers";
    }
    FAULTS "Faults"
        "What the faults of a cell cost: over its injections first, then over its blocks." {
        FAULT_GONE "fault.gone_from_broker" Messages Sum Lower
            "acknowledged and absent from the audit, delivered before or not";
        FAULT_RPO_TIME "fault.rpo_time" Nanoseconds Most Lower
            "how far back the messages reach that are gone";
        FAULT_RTO_PUBLISH "fault.rto_publish" Nanoseconds Median Lower
            "until messages are acknowledged again";
        FAULT_RTO_DURABLE "fault.rto_durable" Nanoseconds Median Lower
            "until a message is acknowledged that survives the fault, and all after it";
        FAULT_RTO_DELIVER "fault.rto_deliver" Nanoseconds Median Lower
            "until messages are delivered again";
        FAULT_RTO_90 "fault.rto_90" Nanoseconds Median Lower
            "until nine tenths of the rate are acknowledged again";
        FAULT_SCRIPTED "fault.scripted" Nanoseconds Median Neutral
            "how long the scenario kept the target down";
        FAULT_REDUNDANCY "fault.redundancy" Nanoseconds Median Lower
            "until every copy is in sync again";
        FAULT_DATA "fault.data_on_disk" Bytes Most Neutral
            "data on disk when a broker that is alone was started again";
        FAULT_START "fault.start" Nanoseconds Median Lower
            "of a restart: the process, until it answers, without load and fencing";
        FAULT_LOAD "fault.load" Nanoseconds Median Lower
            "of a restart: loading the data and recovering the log, as the broker's log tells";
        FAULT_FENCING "fault.fencing" Nanoseconds Median Lower
            "of a restart: kept out until the session of the dead process is over (Kafka)";
        FAULT_RECONNECT "fault.reconnect" Nanoseconds Median Lower
            "of a restart: from its answer to the first acknowledgement of the load's client";
        FAULT_PROBE "fault.probe" Nanoseconds Median Lower
            "until a client with fresh connections is acknowledged";
        FAULT_ACKED "fault.acked" Messages Sum Neutral "acknowledged in the cell";
        FAULT_NEVER_DELIVERED "fault.never_delivered" Messages Sum Lower
            "acknowledged in the cell and neither delivered nor in the broker (sent, where a \
             reply promises nothing)";
        FAULT_DUPLICATE "fault.duplicate" Messages Sum Lower "deliveries too many in the cell";
        FAULT_DETECTION "fault.detection" Milliseconds Mean Neutral
            "after how long the others notice, as read back";
    }
    EXPERIMENTS "Experiments" "Observed by a procedure of its own; claims read them." {
        LARGEST_INTACT "largest_intact" Bytes Least Higher "largest message that arrived intact";
        FIRST_REFUSED "first_refused" Bytes Least Higher "smallest message that was refused";
        PROBE_INTACT "probe.intact" Yes Least Higher
            "whether it arrived, at one try of the search for the limit";
        INTACT "intact" Yes Least Higher "whether a message of this size arrived intact";
        WIRE_BYTES "wire_bytes" Bytes Least Lower "bytes of one message on the wire";
        GOODPUT_BYTES "goodput_bytes" BytesPerSecond Geometric Higher
            "bytes a second of messages of one size";
        CLIENT_PEAK "client_peak" Bytes Most Lower "most memory of the client at one size";
        BROKER_PEAK "broker_peak" Bytes Most Lower "most memory of the broker at one size";
        BYSTANDER_P99 "bystander.p99" Nanoseconds Geometric Lower
            "end-to-end p99 of small messages beside large ones";
        IDLE_REQUESTS "idle_requests" RequestsPerSecond Mean Lower
            "requests of a consumer that waits";
        REQUESTS_PER_BATCH "requests_per_batch" Requests Mean Lower
            "requests for each delivered batch";
        REQUESTS_PER_MESSAGE "requests_per_message" Requests Mean Lower
            "requests for each delivered message";
        ACKNOWLEDGEMENTS_PER_BATCH "acknowledgements_per_batch" Requests Mean Lower
            "acknowledgements for each delivered batch";
        WAKE_UP_P50 "wake_up.p50" Nanoseconds Geometric Lower
            "from the publication to a waiting consumer, median";
        WAKE_UP_P99 "wake_up.p99" Nanoseconds Geometric Lower
            "from the publication to a waiting consumer, 99th percentile";
        STALLED_SENT "stalled.sent" Messages Mean Neutral "sent while the consumer did not read";
        STALLED_RECEIVED "stalled.received" Messages Mean Higher
            "received of them once it read again";
        STALLED_LOST "stalled.lost" Messages Mean Lower "never received of them";
        STALLED_CUT_OFF "stalled.cut_off" Yes Least Lower "whether the broker cut the consumer off";
        STALLED_BUFFERED "stalled.buffered" Bytes Least Neutral "most that was buffered for it";
        LIVE_RATE "live.rate" MessagesPerSecond Geometric Higher
            "published and read at the same time";
        REPLAY_RATE "replay.rate" MessagesPerSecond Geometric Higher
            "read again from the beginning";
        READABLE_AFTER_ACK "readable_after_ack" Share Mean Higher
            "still readable after it was read and acknowledged";
        SHARE_SECOND_READER "share.second_reader" Share Mean Higher "what a second reader gets";
        SHARE_LATE_JOINER "share.late_joiner" Share Mean Higher
            "what a reader gets that comes late";
        SHARE_REREAD "share.reread" Share Mean Higher "what the same reader gets again";
        SHARE_SEEK "share.seek" Share Mean Higher "what a reader gets from a point in time";
        SHARE_LIMIT "share.limit" Share Mean Neutral
            "what is left once the limit of retention is reached";
        SHARE_RESTART "share.restart" Share Mean Higher
            "what is left after a restart of the broker";
        DRAIN_TIME "drain.time" Nanoseconds Geometric Lower "until a backlog is worked off";
        HEALTHY_GOODPUT "healthy.goodput" MessagesPerSecond Geometric Higher
            "healthy messages processed a second";
        HEALTHY_P99 "healthy.p99" Nanoseconds Geometric Lower "end-to-end p99 of healthy messages";
        DEAD_LETTERED "dead_lettered" Messages Mean Neutral "moved to the dead letters";
        DEAD_LETTER_TIME_P50 "dead_letter.time_p50" Nanoseconds Geometric Lower
            "until a poisonous message is a dead letter, median";
        HEALTHY_LOST "lost" Messages Mean Lower "acknowledged messages neither processed nor kept";
        DUPLICATED "duplicated" Messages Mean Lower "processed more than once";
        BLOCKED "blocked" Messages Mean Lower "held back behind a poisonous message";
        CRASH_LOST "crash.lost" Messages Mean Lower "lost for each consumer that dies";
        CRASH_DUPLICATED "crash.duplicated" Messages Mean Lower
            "processed again for each consumer that dies";
        CRASH_GAP "crash.gap" Nanoseconds Geometric Lower
            "until the next consumer gets its first message";
        CRASH_TAKEOVER "crash.takeover" Nanoseconds Geometric Lower
            "until another has all that the dead one had in hand";
        OVERTAKEN "overtaken" Messages Mean Lower "done after a later message of the same sequence";
        SPEED_UP "speed_up" Times Geometric Higher
            "goodput against one consumer with the same work, where that one was what limited";
        CAPACITY_LOW "capacity.low" MessagesPerSecond Geometric Higher
            "highest rate that was carried";
        CAPACITY_HIGH "capacity.high" MessagesPerSecond Geometric Higher
            "lowest rate that was not carried";
        CAPACITY_HALF "capacity.half" MessagesPerSecond Geometric Neutral
            "the rate that `half-capacity` or `own-half-capacity` stands for";
        UTILISATION "utilisation" Share Mean Neutral
            "the offered rate as a share of `capacity.low` of the same label in the same run";
        SETTING_GOODPUT "setting.goodput" MessagesPerSecond Geometric Higher
            "carried by one try of a setting of `load.best-of`";
        PROBE_GOODPUT "probe.goodput" MessagesPerSecond Geometric Higher
            "carried by one probe of the search";
        PROBE_P99 "probe.p99" Nanoseconds Geometric Lower
            "end-to-end p99 of one probe of the search";
        GET_P99 "get.p99" Nanoseconds Geometric Lower "reading a key";
        SET_P99 "set.p99" Nanoseconds Geometric Lower "writing a key";
        OPERATIONS "operations" OperationsPerSecond Geometric Higher
            "keys read and written a second";
        HIT_RATE "hit_rate" Share Mean Higher "reads that found their key";
        EXPIRED "expired" Share Mean Higher "keys that are gone once their time is over";
    }
}

pub fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|section| section.metrics).copied()
}

/// The metric of this name; `None` in a file of another version, and of what follows from others,
/// such as a ratio. A statistic of a latency, such as `end_to_end.p99`, is found by the latency.
pub fn find(name: &str) -> Option<&'static Metric> {
    let named = |name: &str| all().find(|metric| metric.name == name);
    named(name).or_else(|| {
        let (latency, _) = name.split_once('.')?;
        named(latency).filter(|metric| metric.latency().is_some())
    })
}

/// Which direction is better; neither, of what the registry does not know.
pub fn better(name: &str) -> Direction {
    find(name).map_or(Direction::Neutral, |metric| metric.better)
}

/// What stands behind a figure where it is not messages.
const COUNTED: &[(&str, &[&Metric])] = &[
    ("faults", FAULTS.metrics),
    ("crashes", &[CRASH_GAP, CRASH_TAKEOVER]),
    ("probes", &[CAPACITY_LOW, CAPACITY_HIGH, CAPACITY_HALF, UTILISATION]),
    (
        "tries",
        &[
            LARGEST_INTACT,
            FIRST_REFUSED,
            INTACT,
            PROBE_INTACT,
            WIRE_BYTES,
            GOODPUT_BYTES,
            CLIENT_PEAK,
            BROKER_PEAK,
        ],
    ),
    ("batches", &[REQUESTS_PER_BATCH, ACKNOWLEDGEMENTS_PER_BATCH]),
    ("requests", &[IDLE_REQUESTS, GET_P99, SET_P99, OPERATIONS]),
    ("reads", &[HIT_RATE]),
    ("keys", &[EXPIRED]),
];

impl Metric {
    /// What is counted behind a value: `messages`, `faults`, `tries` …
    pub fn counted(&self) -> &'static str {
        let here = |(_, of): &&(&str, &[&Metric])| of.contains(&self);
        COUNTED.iter().find(here).map_or("messages", |(what, _)| what)
    }

    /// The latency whose quantiles, mean and ends are read by this name.
    pub fn latency(&self) -> Option<Latency> {
        Latency::ALL.into_iter().find(|latency| latency.name() == self.name)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// The registry as Markdown: `docs/metrics.md` is this text, and `brokerbench list --metrics`
/// prints it.
pub fn table() -> String {
    let mut text = String::from(
        "# Metrics\n\nOf a latency, a metric is one of its statistics: any quantile such as \
         `end_to_end.p99`, `publish.p95` or\n\
         `service.p99_95`, its `mean`, `min`, `max` and `count`.\n",
    );
    for section in SECTIONS {
        text += &format!("\n## {}\n\n{}\n\n", section.title, section.help);
        let mut row = |cells: [&str; 5]| {
            let [name, unit, over, better, help] = cells;
            text +=
                format!("| {name:<34} | {unit:<10} | {over:<14} | {better:<6} | {help}").trim_end();
            text += " |\n";
        };
        row(["metric", "unit", "over blocks", "better", "what it is"]);
        row(["---"; 5]);
        for metric in section.metrics {
            let statistic = if metric.latency().is_some() { ".<statistic>" } else { "" };
            let name = format!("`{metric}{statistic}`");
            row([
                &name,
                metric.unit.name(),
                metric.over_blocks.name(),
                metric.better.name(),
                metric.help,
            ]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_latency_has_its_metric() {
        let mut names: Vec<&str> = all().map(|metric| metric.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
        for latency in Latency::ALL {
            assert_eq!(find(&format!("{latency}.p99_9")).and_then(Metric::latency), Some(latency));
        }
        assert_eq!(find("fault.nothing"), None);
    }

    /// After a change of the registry: `UPDATE_DOCS=1 cargo test --lib model::metric`.
    #[test]
    fn the_docs_list_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, table()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), table());
    }
}
