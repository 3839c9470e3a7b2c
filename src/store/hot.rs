//! An entry in memory, and when it was last used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Time;
use crate::entry::Entry;

/// How exactly the last use is known: a hit that comes sooner after the last one writes nothing.
const PRECISION: Duration = Duration::from_secs(600);

/// An entry in memory.
#[derive(Debug)]
pub struct HotEntry {
    entry: Arc<Entry>,
    /// Milliseconds, as written down.
    used_at: AtomicU64,
    let_go: AtomicBool,
}

impl HotEntry {
    pub(super) fn new(entry: Arc<Entry>, used_at: Time) -> Arc<Self> {
        Arc::new(Self {
            entry,
            used_at: used_at.as_millis().into(),
            let_go: AtomicBool::new(false),
        })
    }

    /// The entry.
    pub const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Whether looking it up again would find it: nothing took its place, and it was not removed.
    pub fn is_current(&self) -> bool {
        !self.let_go.load(Ordering::Acquire)
    }

    /// Something took its place, or nothing.
    pub(super) fn let_go(&self) {
        self.let_go.store(true, Ordering::Release);
    }

    /// Whether this use is worth writing down.
    pub(super) fn is_used(&self, now: Time) -> bool {
        let last = self.used_at.load(Ordering::Relaxed);
        let due = now.since(Time::from_millis(last)) >= PRECISION;
        due && self
            .used_at
            .compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_down_now_and_then() {
        let entry = Arc::new(Entry::absent(String::new(), Time::default()));
        let hot = HotEntry::new(entry, Time::from_millis(5));
        assert!(!hot.is_used(Time::from_millis(600_004)));
        assert!(hot.is_used(Time::from_millis(600_005)));
        assert!(!hot.is_used(Time::from_millis(600_006)));
        assert!(!hot.is_used(Time::from_millis(3)));
    }
}
