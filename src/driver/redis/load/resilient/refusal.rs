//! What the errors mean that a server answers a publish with: whether to try again, and where.

use crate::driver::redis::slots;
use crate::wire::redis as resp;

/// What an error reply means for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// It was not executed, and will not be at this server for now:
    /// another may be the primary by now.
    Elsewhere,
    /// It was not executed: the server gives the slot away, and what was asked for is with another
    /// already, which must be told that it is meant (ASKING).
    Ask,
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
            // Nor does a node of a Cluster whose slot is another's, or that is cut off.
            b"MOVED" | b"CLUSTERDOWN" => Self::Elsewhere,
            b"ASK" => Self::Ask,
            b"OOM" | b"MISCONF" | b"TRYAGAIN" | b"BUSY" => Self::Later,
            _ => Self::Never,
        }
    }
}

/// A refusal in words that are the same each time.
pub fn words(error: &[u8]) -> String {
    let text = resp::error_text(error);
    slots::redirection(&text).map_or(text, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_try_again_follows_from_the_first_word() {
        for (error, kind, said) in [
            ("MOVED 3999 127.0.0.1:6381", RefusalKind::Elsewhere, "redirected (MOVED)"),
            ("ASK 3999 127.0.0.1:6381", RefusalKind::Ask, "redirected (ASK)"),
            ("CLUSTERDOWN The cluster is down", RefusalKind::Elsewhere, "CLUSTERDOWN"),
            ("TRYAGAIN Multiple keys", RefusalKind::Later, "TRYAGAIN"),
            ("WRONGTYPE Operation", RefusalKind::Never, "WRONGTYPE"),
        ] {
            assert_eq!(RefusalKind::of(error.as_bytes()), kind, "{error}");
            assert!(words(error.as_bytes()).starts_with(said), "{error}");
        }
    }
}
