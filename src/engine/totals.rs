//! Sums over the producers and consumers of a cell.

/// What one producer or one consumer did, and all of them together.
#[derive(Debug, Default)]
pub struct Totals {
    /// Due by the schedule; `None` in the closed model.
    pub planned: Option<u64>,
    pub backpressured: u64,
    /// No answer by the end of the drain.
    pub unanswered: u64,
    /// Planned (closed: sent) inside the window.
    pub window_planned: u64,
    pub window_sent: u64,
    /// Of those planned inside the window, aborted on purpose.
    pub window_aborted: u64,
    /// Acknowledged inside the window by the clock, whenever planned.
    pub window_acked: u64,
    /// First deliveries inside the window by the clock.
    pub window_consumed: u64,
    /// Their size, where nobody of ours published them.
    pub window_bytes: u64,
    /// First deliveries of messages planned inside the window. Counted where several shards run the
    /// load and not all of them can be timed.
    pub window_delivered: u64,
    /// First deliveries that were done after a later message of their lane, by whichever consumer
    /// of the subscription.
    pub overtaken: u64,
    /// When the last message was acknowledged, or received and worked on.
    pub last_ns: u64,
    /// Closed model: how long consumers held the producers back in the window, over all producers.
    pub held_ns: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        if let Some(planned) = other.planned {
            *self.planned.get_or_insert(0) += planned;
        }
        self.backpressured += other.backpressured;
        self.unanswered += other.unanswered;
        self.window_planned += other.window_planned;
        self.window_sent += other.window_sent;
        self.window_aborted += other.window_aborted;
        self.window_acked += other.window_acked;
        self.window_consumed += other.window_consumed;
        self.window_bytes += other.window_bytes;
        self.window_delivered += other.window_delivered;
        self.overtaken += other.overtaken;
        self.last_ns = self.last_ns.max(other.last_ns);
        self.held_ns += other.held_ns;
    }
}
