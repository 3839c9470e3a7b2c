//! Failed log-ins by address, so that passwords cannot be tried out.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

/// Failed log-ins of one address within [`WINDOW`], after which no further password is looked at.
pub(super) const FAILURES_MAX: u32 = 20;

/// The time in which they are counted, from the first on.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered.
const ADDRESSES_MAX: u64 = 10_000;

/// Failed log-ins by address.
pub(super) struct Failures(Cache<IpAddr, Arc<AtomicU32>>);

impl Failures {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(ADDRESSES_MAX)
            .time_to_live(WINDOW);
        Self(cache.build())
    }

    /// One more.
    pub(super) fn count(&self, address: IpAddr) {
        self.0
            .get_with(address, Arc::default)
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there were too many.
    pub(super) fn are_many(&self, address: IpAddr) -> bool {
        let count = self.0.get(&address);
        count.is_some_and(|count| count.load(Ordering::Relaxed) >= FAILURES_MAX)
    }
}
