//! How much one feed is asked at once and how fast.
//!
//! Requests wait for their turn instead of being refused, because a restore asks for hundreds of
//! packages in a burst; the queue and the wait are bounded. Clients take turns, so that one with many
//! requests keeps no other from the feed. Nothing here retries.
//!
//! Invariant: a permit is held by at most one request, from before its first byte until its body is
//! finished or dropped.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{Mutex, Semaphore};

use super::error::{Kind, UpstreamError};
use super::fair::{Place, Places};
use crate::policy::pacing::Payer;

/// Most requests of one feed that wait for a permit.
const WAITING_MAX: usize = 4096;
/// Most of them that are of one client, and its questions.
const WAITING_OF_ONE_MAX: usize = 3072;
const QUESTIONS_OF_ONE_MAX: usize = 1024;
/// Longest wait for a permit and the rate limit: below the 100 seconds of the NuGet client.
const WAIT_MAX: Duration = Duration::from_mins(1);

// The default clock calibrates itself for up to 200 ms when it is made.
type Rate =
    RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// The right to one request and its response.
#[derive(Debug)]
pub(super) struct Permit {
    _permit: Place,
    _question: Option<Place>,
}

/// The limits of one feed.
#[derive(Debug)]
pub(super) struct Gate {
    feed: String,
    permits: Places,
    /// Half of the places: anybody can make up questions, or keep the body of a request back, which
    /// must not keep packages waiting.
    questions: Places,
    waiting: Semaphore,
    /// The mutex is fair: without it, waiters wake as a herd and some starve.
    rate: Option<Mutex<Rate>>,
    wait_max: Duration,
}

impl Gate {
    /// A gate for `connections` requests at a time (at least one) and `per_second` of them begun in
    /// a second, 0 meaning any number.
    pub(super) fn new(feed: &str, connections: usize, per_second: u32) -> Self {
        let rate = NonZeroU32::new(per_second).map(|per_second| {
            let burst = NonZeroU32::new(per_second.get() / 10).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_second(per_second).allow_burst(burst);
            Mutex::new(RateLimiter::direct_with_clock(quota, MonotonicClock))
        });
        Self {
            feed: feed.to_owned(),
            permits: Places::new(connections.max(1), WAITING_OF_ONE_MAX),
            questions: Places::new((connections / 2).max(1), QUESTIONS_OF_ONE_MAX),
            waiting: Semaphore::new(WAITING_MAX),
            rate,
            wait_max: WAIT_MAX,
        }
    }

    /// Waits for the turn of a request, named `what` in errors of kind [`Kind::Busy`].
    pub(super) async fn admit(&self, what: &str, payer: &Payer) -> Result<Permit, UpstreamError> {
        self.enter(what, payer, false).await
    }

    /// The same for a question, such as a search, and a request with a body: these have at most half
    /// of the places.
    pub(super) async fn admit_question(
        &self,
        what: &str,
        payer: &Payer,
    ) -> Result<Permit, UpstreamError> {
        self.enter(what, payer, true).await
    }

    async fn enter(
        &self,
        what: &str,
        payer: &Payer,
        question: bool,
    ) -> Result<Permit, UpstreamError> {
        let busy =
            |why| UpstreamError::new(Kind::Busy, what, format_args!("{why} (feed {})", self.feed));
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(busy("too many requests are waiting"));
        };
        if question && self.waiting.available_permits() < WAITING_MAX / 2 {
            return Err(busy("too many questions are waiting"));
        }
        match tokio::time::timeout(self.wait_max, self.turn(payer, question)).await {
            Ok(Some(permit)) => Ok(permit),
            Ok(None) => Err(busy("too many requests of this client are waiting")),
            Err(_) => Err(busy("no free connection in time")),
        }
    }

    async fn turn(&self, payer: &Payer, question: bool) -> Option<Permit> {
        let question = if question {
            Some(self.questions.take(payer).await?)
        } else {
            None
        };
        let permit = self.permits.take(payer).await?;
        if let Some(rate) = &self.rate {
            let rate = rate.lock().await;
            while let Err(early) = rate.check() {
                tokio::time::sleep(early.wait_time_from(MonotonicClock.now())).await;
            }
        }
        Some(Permit {
            _permit: permit,
            _question: question,
        })
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.permits.free()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stopwatch;

    #[tokio::test]
    async fn permits_are_exclusive_and_come_back() {
        let mut gate = Gate::new("main", 1, 0);
        gate.wait_max = Duration::from_millis(20);
        let first = gate.admit("GET x", &Payer::Shared).await.unwrap();
        let refused = gate.admit("GET y", &Payer::Shared).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Busy);
        assert_eq!(
            refused.to_string(),
            "GET y: no free connection in time (feed main)"
        );
        drop(first);
        assert!(gate.admit("GET y", &Payer::Shared).await.is_ok());
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let gate = Gate::new("main", 1, 0);
        let _all = gate.waiting.try_acquire_many(4096).unwrap();
        assert_eq!(
            gate.admit("GET x", &Payer::Shared).await.unwrap_err().kind,
            Kind::Busy
        );
    }

    #[tokio::test]
    async fn questions_have_half_of_the_places() {
        let mut gate = Gate::new("main", 4, 0);
        gate.wait_max = Duration::from_millis(20);
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(gate.admit_question("GET q", &Payer::Shared).await.unwrap());
        }
        let refused = gate
            .admit_question("GET q", &Payer::Shared)
            .await
            .unwrap_err();
        assert_eq!(refused.kind, Kind::Busy);
        for _ in 0..2 {
            held.push(gate.admit("GET x", &Payer::Shared).await.unwrap());
        }
        held.clear();
        assert!(gate.admit_question("GET q", &Payer::Shared).await.is_ok());
        let _all = gate.waiting.try_acquire_many(2048).unwrap();
        assert!(gate.admit("GET x", &Payer::Shared).await.is_ok());
        let refused = gate
            .admit_question("GET q", &Payer::Shared)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("too many questions"));
    }

    #[tokio::test]
    async fn the_rate_is_kept() {
        let gate = Gate::new("main", 100, 50);
        let watch = Stopwatch::start();
        // A burst of 5, then one each 20 ms.
        for _ in 0..10 {
            gate.admit("GET x", &Payer::Shared).await.unwrap();
        }
        assert!(
            watch.elapsed() >= Duration::from_millis(95),
            "{:?}",
            watch.elapsed()
        );
    }
}
