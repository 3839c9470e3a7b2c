//! Waiting for a host that asked to be left alone.
//!
//! A restore that is told 429 or 503 fails; one that waits does not. So requests for what is not
//! stored wait here instead, with neither a permit nor a body in their hands. Invariants: at most
//! [`HELD_MAX`] of a feed wait, each no longer than the feed's `hold`.

use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

use super::Feed;
use super::breaker::{Cause, Way};
use super::error::{Kind, UpstreamError};
use super::fetch::Fetch;
use crate::clock::{Stopwatch, Time};

/// Most requests of one feed that wait at a time; a restore has some hundreds.
pub(super) const HELD_MAX: usize = 1024;

/// Longest sleep before the clock is looked at again: it may jump.
const STEP: Duration = Duration::from_millis(500);

/// The places of those who wait.
#[derive(Debug)]
pub(super) struct Holding(pub(super) Semaphore);

impl Default for Holding {
    fn default() -> Self {
        Self(Semaphore::new(HELD_MAX))
    }
}

/// How long one request has been waiting, all its waits together.
#[derive(Debug, Default)]
pub(super) struct Held(Option<(Time, Stopwatch)>);

impl Feed {
    /// Waits until one of the hosts may be asked again. `false` if that is not worth waiting for:
    /// nobody asked for it, the time is up, or too many wait already.
    pub(super) async fn hold(
        &self,
        request: &Fetch<'_>,
        error: &UpstreamError,
        held: &mut Held,
    ) -> bool {
        if !matches!(error.kind, Kind::Limited | Kind::Status(429 | 503)) {
            return false;
        }
        let Ok(_place) = self.holding.0.try_acquire() else {
            return false;
        };
        let clock = self.hosts.clock();
        let (since, watch) = *held.0.get_or_insert((clock.now(), Stopwatch::start()));
        let _shown = self.hosts.metrics().map(|metrics| {
            let gauge = metrics.upstream_held.with_label_values(&[self.name()]);
            gauge.inc();
            Shown(gauge)
        });
        // Who was turned away may find the way free; who was answered must have waited.
        let mut worth = error.kind == Kind::Limited;
        loop {
            let change = self.hosts.changed();
            let spent = clock.now().since(since).max(watch.elapsed());
            let left = self.options.hold.saturating_sub(spent);
            if left.is_zero() {
                return false;
            }
            let Some(wait) = self.wish(request.urls) else {
                return worth;
            };
            worth = true;
            // Until it is time, or a probe is back.
            let limit = if wait.is_zero() { left } else { wait.min(left) };
            let _ = tokio::time::timeout(limit.min(STEP), change).await;
        }
    }

    /// How long all of these hosts are to be left alone because one of them asked for it.
    fn wish(&self, urls: &[Url]) -> Option<Duration> {
        let mut shortest = None;
        for url in urls {
            match self.hosts.way(url) {
                Way::Barred(rest) => {
                    if rest.cause == Cause::Wished {
                        let known = shortest.unwrap_or(rest.wait);
                        shortest = Some(rest.wait.min(known));
                    }
                }
                Way::Free | Way::Probe => return None,
            }
        }
        shortest
    }
}

/// Counted as waiting until dropped.
struct Shown(prometheus::IntGauge);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.dec();
    }
}
