//! What whoever watches a running cell is told. For display only: nothing is decided by it.

use crate::units::Rate;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    WarmUp,
    Measure,
    Drain,
}

impl Phase {
    /// Of a time from `from_ns` up to, without it, `to_ns`: it is measured as soon as a part of it
    /// lies in the window.
    pub fn of(window: Option<(u64, u64)>, from_ns: u64, to_ns: u64) -> Self {
        match window {
            Some((start, end)) if to_ns > start && from_ns < end => Self::Measure,
            Some((start, _)) if to_ns > start => Self::Drain,
            _ => Self::WarmUp,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Measure => "measure",
            Self::Drain => "drain",
        }
    }
}

/// A look at a running cell, for display only.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// Since the start of the load, ns; 0 of an experiment that tells how often it has tried.
    pub elapsed_ns: u64,
    /// How far the measured window is and how long it lasts, ns; `None` outside it, and where it
    /// has no end of its own.
    pub window_ns: Option<(u64, u64)>,
    /// What is offered; `None` where it is as much as goes.
    pub rate: Option<Rate>,
    pub sent: u64,
    pub answered: u64,
    /// By the slowest subscription; `None` where there is none.
    pub consumed: Option<u64>,
    /// Publish latency (closed model: service time) of the last whole second, ns.
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
}

pub trait Observer {
    fn progress(&mut self, progress: &Progress);

    /// Something that a user who watches wants to know at once: a fault took effect, or was taken
    /// back.
    fn happened(&mut self, _text: &str) {}
}
