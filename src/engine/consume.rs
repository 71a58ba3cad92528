//! The thread of one consumer: reads envelopes, times them, notes them in the books.

use super::control::Control;
use super::fanout::FanOut;
use crate::clock::Clock;
use crate::driver::{DriverError, Incoming, Subscriber};
use crate::payload::{FULL, Reading, read};
use crate::record::{Consumed, LatencyRecorder, Tally, Timer};
use std::sync::atomic::Ordering::Relaxed;

/// What one consumer is to expect.
#[derive(Clone, Copy)]
pub struct Expectation {
    pub subscription: u16,
    pub run: u64,
    pub message_bytes: usize,
    /// Open model: latencies count from the planned time. In the closed model there is no plan to count from.
    pub open: bool,
}

/// What one consumer saw.
#[derive(Default)]
pub struct ConsumerReport {
    pub seen: Consumed,
    pub consumed: Tally,
    /// First deliveries. Open: of messages planned inside the window. Closed: made inside the window.
    pub window_consumed: u64,
    pub last_received_ns: u64,
    pub error: Option<DriverError>,
}

/// How long one call may wait for a message: the signal to stop is seen within this.
const WAIT_NS: u64 = 50_000_000;

/// Runs a consumer until it is told to stop.
pub fn consume(
    expect: Expectation,
    clock: Clock,
    control: &Control,
    fan_out: &FanOut,
    mut subscriber: Box<dyn Subscriber>,
    mut recorder: LatencyRecorder,
) -> ConsumerReport {
    let mut report = ConsumerReport::default();
    // Too small for a full envelope: no planned time to count from.
    let timed = expect.open && expect.message_bytes >= FULL;
    let progress = control.consumed.get(usize::from(expect.subscription));
    while !control.consuming_stopped() {
        let now = clock.now_ns();
        recorder.tick(now);
        let mut first = 0;
        let received = subscriber.receive(now + WAIT_NS, &mut |message: Incoming<'_>| {
            let envelope = match read(message.payload, expect.run, expect.message_bytes) {
                Reading::Ours(envelope) => envelope,
                Reading::Corrupt => {
                    report.seen.corrupt += 1;
                    return;
                }
                Reading::Foreign => {
                    report.seen.foreign += 1;
                    return;
                }
            };
            if !report.seen.note((envelope.producer, envelope.lane), envelope.sequence) {
                return;
            }
            first += 1;
            report.consumed.add(message.received_ns, 1);
            report.last_received_ns = message.received_ns;
            if timed {
                let warm_up = control.is_warm_up(envelope.planned_ns);
                // With several subscriptions a message has arrived once the last of them has it.
                if fan_out.is_last(envelope.producer, envelope.lane, envelope.sequence) {
                    let latency = message.received_ns.saturating_sub(envelope.planned_ns);
                    recorder.record(Timer::EndToEnd, warm_up, latency);
                }
                report.window_consumed += u64::from(control.in_window(envelope.planned_ns));
            } else {
                report.window_consumed += u64::from(control.in_window(message.received_ns));
            }
        });
        if let Some(progress) = progress {
            progress.fetch_add(first, Relaxed);
        }
        if let Err(error) = received {
            report.error = Some(error);
            break;
        }
    }
    // Leaving politely matters to the broker, not to the books: an error here changes no count.
    let _ = subscriber.close();
    recorder.harvest();
    report
}
