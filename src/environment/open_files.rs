//! How many files a process may hold open: each connection is one, and of a partition each log.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for whatever a scenario may ask for; some programs make tables as large as their limit.
const ENOUGH: u64 = 1 << 20;

/// Raises our own limit as far as the system lets everybody, and so that of the brokers that we
/// start. Where it does not, the old one stays.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    if limit.current.is_some_and(|soft| soft < most) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
    }
}

/// `None` where there is no limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_lowered_and_as_high_as_it_may_be() {
        let before = getrlimit(Resource::Nofile);
        raise_open_files();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.maximum, before.maximum);
        let most = before.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
        assert!(open_files().is_none_or(|soft| soft >= most || Some(soft) >= before.current));
        assert!(after.current.is_none_or(|soft| before.current.is_some_and(|old| soft >= old)));
    }
}
