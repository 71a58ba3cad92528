//! What it costs to watch a fast load: the same load alone and under `--tui --metrics`, in turns.
//!
//! `cargo bench --bench watching`, about five minutes on an idle machine; `BROKER=redis-streams` in
//! place of Kafka. Ends with 1 where the median of goodput or p99 differs by more than the range of
//! the rounds that nobody watched.

use brokerbench::result::Summary;
use std::io::{Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

const EXE: &str = env!("CARGO_BIN_EXE_brokerbench");
const ROUNDS: usize = 5;

fn scenario(broker: &str) -> String {
    format!(
        "schema: 1\nname: watching\nquestion: What does it cost to watch?\nsystems: [{broker}]\n\
         load: {{model: open, rate: 100k/s, warm-up: 2s, warm-up-limit: 10s, duration: 20s, floor: \
         false}}\nmessage: {{size: 100B}}\n"
    )
}

/// Messages through per second, and p99 end to end in ns, of a run of `file`. Watched, it has a
/// terminal and a reader every second, which is more often than any Prometheus.
fn figures(file: &Path, watched: bool) -> Result<[f64; 2]> {
    let results = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (file, into) = (file.display(), results.path().display());
    let run = format!("{EXE} run {file} --env native --results {into}");
    let view = format!("stty cols 80 rows 24; exec {run} --tui --metrics 127.0.0.1:{port}");
    let run = if watched { view } else { run };
    // `script` is the terminal.
    let mut running = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &run, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    while running.try_wait()?.is_none() {
        // Before the run listens there is nobody.
        let _ = scrape(port);
        std::thread::sleep(Duration::from_secs(1));
    }
    let folder = std::fs::read_dir(results.path().join("runs"))?.flatten().next();
    let folder = folder.ok_or_else(|| std::io::Error::other("the run left no results"))?;
    let text = std::fs::read_to_string(folder.path().join("summary.json"))?;
    let summary: Summary = serde_json::from_str(&text)?;
    let cell = &summary.cells[0];
    let p99_ns = cell.latency.end_to_end.as_ref().and_then(|latency| latency.p99_ns);
    Ok([cell.rates.goodput_per_s.unwrap_or(0.0), p99_ns.unwrap_or(u64::MAX) as f64])
}

fn scrape(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

fn main() -> Result<ExitCode> {
    let broker = std::env::var("BROKER").unwrap_or_else(|_| "kafka".to_owned());
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("scenario.yaml");
    std::fs::write(&file, scenario(&broker))?;
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        alone.push(figures(&file, false)?);
        watched.push(figures(&file, true)?);
        println!("round {round}: alone {:?}, watched {:?}", alone[round - 1], watched[round - 1]);
    }
    let mut code = ExitCode::SUCCESS;
    for (at, name) in ["goodput, msg/s", "end-to-end p99, ns"].into_iter().enumerate() {
        let sorted = |all: &[[f64; 2]]| {
            let mut values: Vec<f64> = all.iter().map(|figures| figures[at]).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (alone, watched) = (sorted(&alone), sorted(&watched));
        let (middle, range) = (ROUNDS / 2, alone[ROUNDS - 1] - alone[0]);
        let change = watched[middle] - alone[middle];
        println!(
            "{name}: {:.0}, watched {change:+.0}; range of the rounds alone {range:.0}",
            alone[middle]
        );
        if change.abs() > range {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
