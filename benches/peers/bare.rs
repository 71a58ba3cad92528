//! The least that an open-loop client of Redis Pub/Sub can do: a thread that sleeps until a message
//! is due or a reply has come, and one that sleeps until something is delivered. No envelope, no
//! stamp, no books. What it costs is the kernel's; what ours costs beyond it is ours.

use crate::Fallible;
use crate::theirs::Peer;
use brokerbench::clock::Clock;
use brokerbench::engine::sharpen_timer;
use brokerbench::environment::own_usage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// No reply takes longer.
const LIMIT: Duration = Duration::from_secs(10);
/// `:1`, the reply to a PUBLISH with one subscriber.
const REPLY: usize = 4;

/// A message of `size` bytes every 1/`rate` s for `seconds`.
pub fn paced(channel: &str, address: &str, rate: u64, size: u64, seconds: u64) -> Fallible<Peer> {
    let payload = "x".repeat(size as usize);
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let command = format!("*3\r\n{}{}{}", bulk("PUBLISH"), bulk(channel), bulk(&payload));
    let delivery = format!("*3\r\n{}{}{}", bulk("message"), bulk(channel), bulk(&payload)).len();
    let messages = rate * seconds;

    let began_ns = cpu_ns();
    let mut reader = connect(address)?;
    write!(reader, "*2\r\n{}{}", bulk("SUBSCRIBE"), bulk(channel))?;
    let confirmed = format!("*3\r\n{}{}:1\r\n", bulk("subscribe"), bulk(channel)).len();
    reader.read_exact(&mut vec![0; confirmed])?;
    let receiver = thread::spawn(move || -> std::io::Result<()> {
        let (mut left, mut room) = (messages as usize * delivery, vec![0; 64 * 1024]);
        while left > 0 {
            match reader.read(&mut room)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => left -= read,
            }
        }
        Ok(())
    });

    let mut writer = connect(address)?;
    let (mut out, mut replies) = (Vec::new(), vec![0; 64 * 1024]);
    sharpen_timer();
    let (clock, mut sent, mut unanswered) = (Clock::start(), 0, 0);
    while sent < messages || unanswered > 0 {
        let due = (clock.now_ns() * rate / 1_000_000_000 + 1).min(messages).min(sent + 1000);
        if due > sent {
            out.clear();
            (sent..due).for_each(|_| out.extend_from_slice(command.as_bytes()));
            writer.write_all(&out)?;
            unanswered += (due - sent) as usize * REPLY;
            sent = due;
        }
        let wait = if sent < messages { clock.until(sent * 1_000_000_000 / rate) } else { LIMIT };
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let mut fds = [PollFd::new(&writer, PollFlags::IN)];
        if poll(&mut fds, Some(&wait))? > 0 {
            unanswered -= writer.read(&mut replies)?;
        }
    }
    let took = clock.now_ns();
    receiver.join().map_err(|_| "the receiver panicked")??;
    Ok(Peer {
        per_s: messages as f64 * 1e9 / took as f64,
        cpu_us: (cpu_ns() - began_ns) as f64 / 1e3 / messages as f64,
    })
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn cpu_ns() -> u64 {
    own_usage().map_or(0, |usage| usage.cpu_ns)
}

/// System calls and context switches of this process during `run`, as `perf stat` counts them;
/// `None` without it, or without the right to.
pub fn counted<T>(run: impl FnOnce() -> Fallible<T>) -> Fallible<(T, Option<[f64; 2]>)> {
    let own = std::process::id().to_string();
    let perf = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter,context-switches", "-p", &own])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    // It attaches meanwhile; a run takes seconds.
    thread::sleep(Duration::from_millis(200));
    let done = run();
    let Ok(perf) = perf else { return Ok((done?, None)) };
    if let Some(pid) = Pid::from_raw(perf.id() as i32) {
        // Gone already where it was refused.
        let _ = kill_process(pid, Signal::INT);
    }
    let told = perf.wait_with_output()?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    let count = |event: &str| {
        let line = told.lines().find(|line| line.contains(event))?;
        line.split(',').next()?.parse::<f64>().ok()
    };
    let counts = count("raw_syscalls").zip(count("context-switches")).map(|(a, b)| [a, b]);
    Ok((done?, counts))
}
