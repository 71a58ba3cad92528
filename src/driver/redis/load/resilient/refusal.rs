//! What the errors mean that a server answers a publish with: whether to try again, and where.

/// What an error reply means for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// It was not executed, and will not be at this server for now:
    /// another may be the primary by now.
    Elsewhere,
    /// It was not executed for want of something that may come back.
    Later,
    /// It never will be.
    Never,
}

impl RefusalKind {
    /// By the first word of an error reply. All of the retriable ones are rejected before the
    /// command runs.
    pub fn of(error: &[u8]) -> Self {
        match error.split(|byte| *byte == b' ').next().unwrap_or_default() {
            // A primary without its replicas may have been replaced
            // while it could not hear of that.
            b"LOADING" | b"READONLY" | b"MASTERDOWN" | b"NOREPLICAS" => Self::Elsewhere,
            b"OOM" | b"MISCONF" | b"TRYAGAIN" | b"CLUSTERDOWN" | b"BUSY" => Self::Later,
            _ => Self::Never,
        }
    }
}
