//! Ctrl-C: the first ends the load and keeps what was measured, the second only cleans up.
//!
//! Brokers never depend on this: the janitor takes them away however this process ends.

use super::{complain, live};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What the rest of the program sees of signals.
#[derive(Clone, Default)]
pub struct Interrupt {
    pub flag: Arc<AtomicBool>,
    /// While set there is something to finish and to keep; otherwise the first signal ends the
    /// process at once.
    pub measuring: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on, in a thread of its own. Where signals cannot be caught, the default
    /// action stays.
    pub fn listen() -> Self {
        let interrupt = Self::default();
        let seen = interrupt.clone();
        if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
            std::thread::spawn(move || {
                for _ in signals.forever() {
                    let first = !seen.flag.swap(true, Relaxed);
                    if !first || !seen.measuring.load(Relaxed) {
                        live::restore();
                        complain("\ninterrupted: brokers are being taken away");
                        std::process::exit(130);
                    }
                    // A view says it by itself.
                    if !live::shown() {
                        complain(
                            "\ninterrupted: stopping the load and keeping partial results; again \
                             to stop at once",
                        );
                    }
                }
            });
        }
        interrupt
    }
}
