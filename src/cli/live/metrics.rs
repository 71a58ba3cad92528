//! The figures of the cell that runs, for whoever scrapes them: rates and quantiles of the last
//! second, backlog, faults in force, with the cell as labels.
//!
//! A cell's figures are there while it runs and no longer. Names and labels are an interface for
//! dashboards: `docs/commands.md` lists them.

use super::server::{Page, serve};
use crate::cli::exit::{Code, Failure};
use crate::engine::{LiveSecond, thread_cpu_ns};
use crate::export::open_metrics::{FIGURES, Family, Labels, PREFIX, label, labels};
use crate::study::Step;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

type Gauges = family::Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = family::Family<Labels, Counter>;

#[derive(Default)]
struct Families {
    /// What rows hold, each by its [`Family`].
    of_rows: [Gauges; Family::ALL.len()],
    in_flight: Gauges,
    faults: Gauges,
    messages: Counters,
}

pub struct Metrics {
    families: Families,
    /// Locked while figures change, so that nobody reads half of a second.
    registry: Arc<Mutex<Registry>>,
    page: Page,
    /// Of the cell that runs.
    cell: Option<Labels>,
    /// Taken by the thread that measures beside the load.
    spent_ns: u64,
}

impl Metrics {
    /// Listens from now on; `address` is one of this machine alone. With it the address where it
    /// is, for a port that was left open.
    pub fn listen(address: SocketAddr) -> Result<(Self, SocketAddr), Failure> {
        let failed = |error: std::io::Error| {
            let remedy = "choose another port, or 0 for any that is free";
            Failure::new(Code::Environment, format!("--metrics {address}: {error}; {remedy}"))
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let families = Families::default();
        let registry = Arc::new(Mutex::new(families.registry()));
        let page = Page::of(Arc::clone(&registry));
        serve(listener, page.clone()).map_err(failed)?;
        Ok((Self { families, registry, page, cell: None, spent_ns: 0 }, bound))
    }

    /// Another cell, or none, is measured from now on.
    pub fn step(&mut self, scenario: &str, step: &Step<'_>) {
        self.cell = step.cell.map(|(cell, block)| labels(scenario, &cell.record(block).id));
        let _reads_wait = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.families.clear();
    }

    pub fn second(&mut self, second: &LiveSecond) {
        let begun_ns = thread_cpu_ns();
        if let Some(cell) = &self.cell {
            let _reads_wait = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
            self.families.set(cell, second);
        }
        self.spent_ns += thread_cpu_ns().saturating_sub(begun_ns);
    }

    /// Nothing is measured any more. How often it was read, and the CPU time of all of it, ns.
    pub fn end(&mut self) -> (u64, u64) {
        self.cell = None;
        let _reads_wait = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.families.clear();
        let (reads, served_ns) = self.page.taken();
        (reads, std::mem::take(&mut self.spent_ns) + served_ns)
    }
}

impl Families {
    fn registry(&self) -> Registry {
        let mut all = Registry::with_prefix(PREFIX);
        for (family, gauges) in Family::ALL.into_iter().zip(&self.of_rows) {
            all.register(family.name(), family.help(), gauges.clone());
        }
        all.register(
            "in_flight_messages",
            "Sent and neither acknowledged nor given up",
            self.in_flight.clone(),
        );
        all.register("fault_in_force", "1 while this fault is in force", self.faults.clone());
        all.register(
            "messages",
            "Messages since the load began: sent, acked, consumed, failed",
            self.messages.clone(),
        );
        all
    }

    fn clear(&self) {
        for gauges in self.of_rows.iter().chain([&self.in_flight, &self.faults]) {
            gauges.clear();
        }
        self.messages.clear();
    }

    /// In the place of the second before.
    fn set(&self, cell: &[(String, String)], second: &LiveSecond) {
        self.clear();
        let with = |more: &[(&str, &str)]| -> Labels {
            cell.iter().cloned().chain(more.iter().map(|(key, value)| label(key, value))).collect()
        };
        let set = |gauges: &Gauges, more: &[(&str, &str)], value: f64| {
            gauges.get_or_create(&with(more)).set(value);
        };
        // Of latencies there is more than a row holds.
        for figure in FIGURES.iter().filter(|figure| figure.family != Family::Latencies) {
            if let Some(value) = (figure.of)(&second.row) {
                set(&self.of_rows[figure.family as usize], figure.labels, value);
            }
        }
        for (latency, tail) in &second.tails {
            let values = [("0.5", tail.p50_ns), ("0.99", tail.p99_ns), ("0.999", tail.p99_9_ns)];
            for (quantile, ns) in values {
                let more = [("latency", latency.name()), ("quantile", quantile)];
                set(&self.of_rows[Family::Latencies as usize], &more, ns as f64 / 1e9);
            }
        }
        let in_flight = second.sent.saturating_sub(second.acked + second.failed);
        set(&self.in_flight, &[], in_flight as f64);
        for fault in &second.faults {
            set(&self.faults, &[("fault", fault.as_str())], 1.0);
        }
        let counts = [
            ("sent", second.sent),
            ("acked", second.acked),
            ("consumed", second.consumed),
            ("failed", second.failed),
        ];
        for (kind, count) in counts {
            let counter = self.messages.get_or_create(&with(&[("kind", kind)]));
            counter.inner().store(count, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Phase, Tail};
    use crate::model::{Latency, System};
    use crate::result::WindowRow;
    use crate::scenario::{Cell, Load};
    use crate::units::Rate;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn second() -> LiveSecond {
        let tail = Tail { p50_ns: 1_000_000, p99_ns: 5_000_000, p99_9_ns: 9_000_000 };
        LiveSecond {
            phase: Phase::Measure,
            elapsed_ns: 9_000_000_000,
            window_ns: Some((4_000_000_000, 20_000_000_000)),
            row: WindowRow {
                phase: "measure".into(),
                offered_messages: Some(1000),
                acked_messages: 990,
                backlog_messages: 12,
                broker_cpu_percent: Some(50.0),
                ..WindowRow::default()
            },
            tails: vec![(Latency::Publish, tail)],
            subscriptions: 1,
            sent: 9000,
            acked: 8990,
            failed: 3,
            consumed: 8980,
            cost_ns: 0,
            faults: vec!["kill on \"node\" \\2".into()],
        }
    }

    fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_cell_that_runs_is_scraped_and_gone_when_it_has_ended() {
        let (mut metrics, address) = Metrics::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let cell = Cell::plain(System::Kafka, Load::open(Rate::per_second(1000)));
        let step = |cell| Step { text: "x", short: "x", cell, done: 0, all: 1 };
        metrics.second(&second());
        metrics.step("soak", &step(Some((&cell, 2))));
        metrics.second(&second());
        let page = get(address, "GET /metrics");
        assert!(page.contains("application/openmetrics-text; version=1.0.0"), "{page}");
        assert!(page.trim_end().ends_with("# EOF"), "{page}");
        let of = |name: &str, more: &str| {
            let line = page.lines().find(|line| line.starts_with(name) && line.contains(more));
            line.unwrap_or_else(|| panic!("{name} {more}: {page}")).to_owned()
        };
        let line = of("brokerbench_messages_per_second{", "kind=\"offered\"");
        for label in ["scenario=\"soak\"", "label=\"kafka\"", "cell=\"base\"", "block=\"2\""] {
            assert!(line.contains(label), "{line}");
        }
        assert!(line.ends_with(" 1000.0"), "{line}");
        assert!(of("brokerbench_latency_seconds{", "quantile=\"0.99\"").ends_with(" 0.005"));
        assert!(of("brokerbench_messages_total{", "kind=\"failed\"").ends_with(" 3"));
        assert!(of("brokerbench_phase{", "measure").ends_with(" 1.0"));
        assert!(of("brokerbench_cpu_cores{", "of=\"broker\"").ends_with(" 0.5"));
        assert!(of("brokerbench_in_flight_messages{", "").ends_with(" 7.0"));
        assert!(of("brokerbench_fault_in_force{", r#"kill on \"node\" \\2""#).ends_with(" 1.0"));
        metrics.step("soak", &step(None));
        assert!(!get(address, "GET /metrics").contains("kind=\"offered\""), "nothing runs");
        assert!(get(address, "GET /other").starts_with("HTTP/1.1 404"));
        assert!(get(address, "POST /metrics").starts_with("HTTP/1.1 405"));
        assert_eq!(metrics.end().0, 2, "how often it was read");
    }

    #[test]
    fn a_port_that_is_taken_is_told_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let failure = Metrics::listen(address).err().unwrap();
        assert_eq!(failure.code, Code::Environment);
        assert!(failure.message.contains(&format!("--metrics {address}: ")));
        assert!(failure.message.contains("choose another port"), "{}", failure.message);
    }
}
