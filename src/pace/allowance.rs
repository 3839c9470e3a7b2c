//! What each client may ask at once or not at all.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::clock::Stopwatch;
use crate::pace::Throttled;
use crate::policy::pacing::{Payer, Quota, Valves};

/// A rate for each client, without a queue.
pub struct Allowance {
    valves: Mutex<Valves>,
    started: Stopwatch,
    setting: &'static str,
}

impl Allowance {
    /// The rate that `setting` sets.
    pub fn new(quota: Quota, setting: &'static str) -> Self {
        Self {
            valves: Mutex::new(Valves::new(quota)),
            started: Stopwatch::start(),
            setting,
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// [`Throttled`], when there is none left for now.
    pub fn take(&self, payer: &Payer) -> Result<(), Throttled> {
        let mut valves = self.valves.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = valves.take(payer, 1, self.started.elapsed());
        taken.map_err(|retry_after| Throttled {
            setting: self.setting,
            retry_after,
        })
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Allowance").field(&self.setting).finish()
    }
}
