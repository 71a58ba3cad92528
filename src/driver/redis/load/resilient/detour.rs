//! Where the next connection is to lead, past whoever serves the slot: told by an ASK, meant once.

use std::sync::{Arc, Mutex, PoisonError};

/// Shared by a connection that is told and by whoever makes the next one.
#[derive(Clone, Debug, Default)]
pub struct Detour(Arc<Mutex<Option<String>>>);

impl Detour {
    pub fn set(&self, address: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
