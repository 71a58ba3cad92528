//! What one thread records: latencies in HDR histograms and counts, handed over once a second and
//! merged elsewhere, never averaged.
//!
//! Three significant digits, nanoseconds, up to [`HIGHEST_NS`]; a longer latency is kept at that
//! end and counted.

use super::per_second::{Flow, SECOND_NS, Tally};
use crate::model::Latency;
use hdrhistogram::Histogram;
use std::ops::{Deref, DerefMut};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Ten minutes. No wait in the harness is longer.
const HIGHEST_NS: u64 = 600 * SECOND_NS;

/// An empty histogram of the bounds that all of them share.
pub fn new_histogram() -> Histogram<u64> {
    // Constant bounds that the library documents as valid: this cannot fail on any input.
    Histogram::new_with_bounds(1, HIGHEST_NS, 3).expect("constant histogram bounds are valid")
}

/// A histogram of these bounds, empty at first.
#[derive(Clone, Debug)]
pub struct Timings(Histogram<u64>);

impl Default for Timings {
    fn default() -> Self {
        Self(new_histogram())
    }
}

impl Deref for Timings {
    type Target = Histogram<u64>;
    #[inline]
    fn deref(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl DerefMut for Timings {
    #[inline]
    fn deref_mut(&mut self) -> &mut Histogram<u64> {
        &mut self.0
    }
}

/// What a thread hands over.
#[derive(Debug)]
pub enum Harvest {
    Timed(Timed),
    /// By second.
    Counted(Flow<Vec<(u64, u64)>>),
}

#[derive(Debug)]
pub struct Timed {
    pub timer: Latency,
    /// See [`Recorder::record`].
    pub part: usize,
    /// The second, counted from the run's epoch, in which these ended.
    pub second: u64,
    pub histogram: Histogram<u64>,
    /// How many were beyond the range.
    pub saturated: u64,
    /// Where the emptied histogram may be sent back to be used again.
    pub recycle: Sender<Histogram<u64>>,
}

#[derive(Default)]
struct Slot {
    histogram: Option<Histogram<u64>>,
    saturated: u64,
}

pub struct Recorder {
    /// By part of the load and by timer; made when first needed.
    parts: Vec<[Slot; Latency::ALL.len()]>,
    pub flow: Flow<Tally>,
    second: u64,
    out: Sender<Harvest>,
    spare: (Sender<Histogram<u64>>, Receiver<Histogram<u64>>),
}

impl Recorder {
    /// Harvests go to `out`, once a second.
    pub fn new(out: Sender<Harvest>) -> Self {
        // Warm-up and window; further parts only where the load has stages.
        let parts = (0..2).map(|_| Default::default()).collect();
        Self { parts, flow: Flow::default(), second: 0, out, spare: channel() }
    }

    /// `part` of the load: 0 is the warm-up, 1 the window, and where that has stages number k of
    /// them is k + 1.
    #[inline]
    pub fn record(&mut self, timer: Latency, part: usize, latency_ns: u64) {
        if part >= self.parts.len() {
            self.parts.resize_with(part + 1, Default::default);
        }
        let slot = &mut self.parts[part][timer as usize];
        if slot.histogram.is_none() {
            slot.histogram = Some(self.spare.1.try_recv().unwrap_or_else(|_| new_histogram()));
        }
        slot.saturated += u64::from(latency_ns > HIGHEST_NS);
        if let Some(histogram) = &mut slot.histogram {
            histogram.saturating_record(latency_ns);
        }
    }

    /// To be called often; once a new second has begun, hands over the past one's histograms and
    /// returns true.
    #[inline]
    pub fn tick(&mut self, now_ns: u64) -> bool {
        let second = now_ns / SECOND_NS;
        if second == self.second {
            return false;
        }
        self.harvest();
        self.second = second;
        true
    }

    /// Hands over everything recorded since the last time.
    pub fn harvest(&mut self) {
        for (part, slots) in self.parts.iter_mut().enumerate() {
            for timer in Latency::ALL {
                let slot = &mut slots[timer as usize];
                if let Some(histogram) = slot.histogram.take() {
                    let saturated = std::mem::take(&mut slot.saturated);
                    let recycle = self.spare.0.clone();
                    // Nobody listening means that the run is over; then nobody misses them either.
                    let _ = self.out.send(Harvest::Timed(Timed {
                        timer,
                        part,
                        second: self.second,
                        histogram,
                        saturated,
                        recycle,
                    }));
                }
            }
        }
        let counted = self.flow.take();
        if !counted.is_empty() {
            let _ = self.out.send(Harvest::Counted(counted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_in_the_harvest_of_its_second() {
        let (out, harvests) = channel();
        let mut recorder = Recorder::new(out);
        recorder.tick(SECOND_NS);
        recorder.flow.sent.add(SECOND_NS, 3);
        recorder.record(Latency::Publish, 1, 1000);
        recorder.record(Latency::Publish, 0, 5);
        recorder.tick(2 * SECOND_NS);
        recorder.record(Latency::Publish, 7, u64::MAX);
        recorder.harvest();
        let (mut found, mut sent) = (Vec::new(), Vec::new());
        for harvest in harvests.try_iter() {
            match harvest {
                Harvest::Timed(h) => found.push((
                    h.part,
                    h.second,
                    h.histogram.len(),
                    h.histogram.max(),
                    h.saturated,
                )),
                Harvest::Counted(flow) => sent.extend(flow.sent),
            }
        }
        assert_eq!(sent, [(1, 3)]);
        assert_eq!(found[..2], [(0, 1, 1, 5, 0), (1, 1, 1, 1000, 0)]);
        let (part, second, count, max, saturated) = found[2];
        assert_eq!((part, second, count, saturated), (7, 2, 1, 1));
        assert!(max >= HIGHEST_NS, "kept at the end of the range, not dropped: {max}");
    }

    #[test]
    fn three_digits_are_kept_over_the_whole_range() {
        let mut histogram = new_histogram();
        for exponent in 0..9 {
            let value = 1234 * 10u64.pow(exponent) / 1000 + 1;
            histogram.saturating_record(value);
            let found = histogram.value_at_quantile(1.0);
            assert!(found.abs_diff(value) as f64 <= value as f64 * 0.001, "{value} became {found}");
            histogram.reset();
        }
    }
}
