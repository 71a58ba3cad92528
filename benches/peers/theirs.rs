//! Their side: each tool as its makers run it, in a process of its own,
//! with the CPU of that whole process.

use crate::Fallible;
use brokerbench::environment::usage;
use brokerbench::model::System;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run of a peer showed.
pub struct Peer {
    /// As the tool itself reports it.
    pub per_s: f64,
    /// All of its process from start to exit, by message.
    pub cpu_us: f64,
}

/// No run is longer.
const LIMIT: Duration = Duration::from_secs(300);

/// `kafka-producer-perf-test`, with the JVM settings of Kafka's own start script. Its rate is that
/// after a tenth of the messages, when most of its code is compiled; its CPU includes the JVM's
/// start and compiler.
pub fn kafka_perf(
    tools: &Path,
    address: &str,
    topic: &str,
    messages: u64,
    size: u64,
    acks: &str,
) -> Fallible<Peer> {
    let mut java = Command::new("java");
    java.args(["-Xmx512M", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"])
        .args(["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-cp"])
        .arg(tools.join("*"))
        .args([
            "org.apache.kafka.tools.ProducerPerformance",
            "--bootstrap-server",
            address,
            "--topic",
            topic,
        ])
        .args([
            "--num-records",
            &messages.to_string(),
            "--warmup-records",
            &(messages / 10).to_string(),
        ])
        .args(["--record-size", &size.to_string(), "--throughput", "-1", "--command-property"])
        .args([
            &format!("acks={acks}"),
            "linger.ms=5",
            "batch.size=131072",
            "compression.type=none",
        ]);
    let (text, cpu_ns) = run(java)?;
    // "900000 steady state records sent, 612345.6 records/sec (…), …": the last such line.
    let rate = text.lines().rfind(|line| line.contains("records sent, ")).and_then(|line| {
        line.split_once("records sent, ")?.1.split_once(" records/sec")?.0.parse().ok()
    });
    Ok(Peer {
        per_s: rate.ok_or_else(|| no_rate(&text))?,
        cpu_us: cpu_ns as f64 / 1e3 / messages as f64,
    })
}

/// `redis-benchmark` with the command that our driver sends, text and key alike.
pub fn redis_benchmark(
    system: System,
    address: &str,
    key: &str,
    connections: u16,
    depth: u32,
    messages: u64,
) -> Fallible<Peer> {
    let (host, port) = address.rsplit_once(':').ok_or("an address is host:port")?;
    let command: &[&str] = match system {
        System::RedisPubsub => &["PUBLISH", key],
        System::RedisStreams => &["XADD", key, "MAXLEN", "~", "100000", "*", "d"],
        _ => &["LPUSH", key],
    };
    let mut benchmark = Command::new("redis-benchmark");
    benchmark
        .args(["-h", host, "-p", port, "-c", &connections.to_string(), "-P", &depth.to_string()])
        .args(["-n", &messages.to_string(), "--csv"])
        .args(command)
        .arg("x".repeat(100));
    let (text, cpu_ns) = run(benchmark)?;
    // "name","rate",… in the last line; the name is the command, whose text holds neither of the
    // two marks together.
    let rate = text.lines().last().and_then(|line| line.rsplit("\",\"").nth(6)?.parse().ok());
    Ok(Peer {
        per_s: rate.ok_or_else(|| no_rate(&text))?,
        cpu_us: cpu_ns as f64 / 1e3 / messages as f64,
    })
}

fn no_rate(text: &str) -> String {
    format!("the tool printed no rate: {text}")
}

/// Runs a program to its end: what it printed and its CPU time in ns, to the kernel's tick.
fn run(mut command: Command) -> Fallible<(String, u64)> {
    let mut printed = tempfile::tempfile()?;
    let mut child = command.stdin(Stdio::null()).stdout(printed.try_clone()?).spawn()?;
    let (pid, deadline) = (Pid::from_child(&child), Instant::now() + LIMIT);
    // Looked at without being reaped: its times are still there to read.
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(pid), look)?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(format!("{command:?} took longer than {} s", LIMIT.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let cpu_ns = usage(child.id()).ok_or("no times of the process")?.cpu_ns;
    let status = child.wait()?;
    let mut text = String::new();
    printed.rewind()?;
    printed.read_to_string(&mut text)?;
    if status.success() {
        Ok((text, cpu_ns))
    } else {
        Err(format!("{command:?} ended with {status}: {text}").into())
    }
}
