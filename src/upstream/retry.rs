//! When a request that brought no usable response is made again, and at which URL.
//!
//! Only requests without a response head get here: a body that broke off is resumed or given up by
//! whoever reads it. Repeating has a budget, so that retries do not multiply the load on a feed that
//! is failing because of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::error::{Kind, UpstreamError};
use crate::clock::Time;

const DELAY_FIRST: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Whether a status says that the same request may succeed in a moment.
pub(super) const fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// `Retry-After` as a wait from `now` (RFC 9110 section 10.2.3); a date in the past is no wait.
pub(super) fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now.to_system()).unwrap_or_default())
}

/// The attempts of one request over its URLs.
#[derive(Debug)]
pub(super) struct Schedule {
    urls: usize,
    attempts: usize,
    made: usize,
    delays: ExponentialBackoff,
}

impl Schedule {
    /// A schedule of `attempts` in all, but at least one for each of the `urls`.
    pub(super) fn new(urls: usize, attempts: u32) -> Self {
        let attempts = usize::try_from(attempts).unwrap_or(usize::MAX).max(urls);
        Self {
            urls,
            attempts,
            made: 0,
            delays: ExponentialBuilder::default()
                .with_min_delay(DELAY_FIRST)
                .with_max_delay(DELAY_MAX)
                .with_max_times(attempts)
                .with_jitter()
                .build(),
        }
    }

    /// Which URL the coming attempt goes to; counts it as made.
    pub(super) const fn begin(&mut self) -> usize {
        let index = self.made % self.urls;
        self.made += 1;
        index
    }

    /// How many attempts were begun.
    pub(super) fn made(&self) -> u32 {
        u32::try_from(self.made).unwrap_or(u32::MAX)
    }

    /// How long to wait before the next attempt after `error`; `None` to give up.
    pub(super) fn after(&mut self, error: &UpstreamError) -> Option<Duration> {
        let untried = self.made < self.urls;
        match error.kind {
            _ if self.made >= self.attempts => None,
            // These cost the full time limit, or do not pass by themselves: another host at most.
            Kind::Timeout
            | Kind::ConnectTimeout
            | Kind::ProxyTimeout
            | Kind::ProxyDenied
            | Kind::Tls
            | Kind::Open
            | Kind::Limited => untried.then_some(Duration::ZERO),
            Kind::Connect | Kind::Dns | Kind::Proxy | Kind::Cut | Kind::Status(_) if untried => {
                Some(Duration::ZERO)
            }
            // A host that asks to be left alone is.
            Kind::Status(_) if error.retry_after.is_some_and(|wish| !wish.is_zero()) => None,
            Kind::Connect | Kind::Dns | Kind::Proxy | Kind::Cut | Kind::Status(_) => {
                self.delays.next()
            }
            _ => None,
        }
    }
}

/// Of the requests of one window a fifth may be repeated, and in any case [`RETRIES_FREE`].
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    since: Time,
    requests: u32,
    retries: u32,
}

/// How long requests and retries are counted together.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// Retries in a window that need no requests to pay for them.
const RETRIES_FREE: u32 = 10;

impl Budget {
    /// A request is made for the first time at `now`.
    pub(super) fn earn(&self, now: Time) {
        let mut spent = self.window(now);
        spent.requests = spent.requests.saturating_add(1);
    }

    /// Whether a request may be repeated at `now`; counts it as repeated.
    pub(super) fn spend(&self, now: Time) -> bool {
        let mut spent = self.window(now);
        let allowed = spent.retries < RETRIES_FREE.saturating_add(spent.requests / 5);
        spent.retries += u32::from(allowed);
        allowed
    }

    fn window(&self, now: Time) -> MutexGuard<'_, Spent> {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now < spent.since || now.since(spent.since) >= BUDGET_WINDOW {
            *spent = Spent {
                since: now,
                ..Spent::default()
            };
        }
        spent
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn error(kind: Kind, retry_after: Option<u64>) -> UpstreamError {
        let mut error = UpstreamError::new(kind, "GET x", "test");
        error.retry_after = retry_after.map(Duration::from_secs);
        error
    }

    fn run(urls: usize, attempts: u32, error: &UpstreamError) -> Vec<(usize, bool)> {
        let mut schedule = Schedule::new(urls, attempts);
        let mut seen = Vec::new();
        loop {
            let url = schedule.begin();
            let delay = schedule.after(error);
            seen.push((url, delay.is_some_and(|delay| !delay.is_zero())));
            if delay.is_none() {
                return seen;
            }
        }
    }

    #[test]
    fn attempts_go_round_the_urls() {
        let check = |urls, attempts, kind, expected: &[(usize, bool)]| {
            assert_eq!(
                run(urls, attempts, &error(kind, None)),
                expected,
                "{kind:?}"
            );
        };
        check(1, 3, Kind::Connect, &[(0, true), (0, true), (0, false)]);
        check(2, 3, Kind::Cut, &[(0, false), (1, true), (0, false)]);
        check(
            3,
            1,
            Kind::Status(503),
            &[(0, false), (1, false), (2, false)],
        );
        check(2, 5, Kind::Timeout, &[(0, false), (1, false)]);
        check(2, 5, Kind::ConnectTimeout, &[(0, false), (1, false)]);
        check(2, 5, Kind::Open, &[(0, false), (1, false)]);
        check(1, 5, Kind::Limited, &[(0, false)]);
        check(2, 5, Kind::Tls, &[(0, false), (1, false)]);
        check(2, 5, Kind::Redirect, &[(0, false)]);
        check(1, 0, Kind::Connect, &[(0, false)]);
    }

    #[test]
    fn the_upstreams_wish_is_heard() {
        let wait = |asked| {
            let mut schedule = Schedule::new(1, 9);
            schedule.begin();
            schedule.after(&error(Kind::Status(503), asked))
        };
        assert!(wait(None).unwrap() >= DELAY_FIRST);
        assert!(wait(Some(0)).unwrap() >= DELAY_FIRST);
        assert_eq!(wait(Some(1)), None);
    }

    #[test]
    fn retries_have_a_budget() {
        let (budget, mut now) = (Budget::default(), Time::from_millis(50_000));
        let spend = |now| (0..1000).filter(|_| budget.spend(now)).count();
        assert_eq!(spend(now), 10);
        for _ in 0..100 {
            budget.earn(now);
        }
        assert_eq!(spend(now), 20);
        now = now.plus(Duration::from_millis(9999));
        assert_eq!(spend(now), 0);
        now = now.plus(Duration::from_millis(1));
        assert_eq!(spend(now), 10);
        assert_eq!(spend(Time::from_millis(0)), 10, "a clock that was set back");
    }

    #[test]
    fn retry_after_forms() {
        let check = |value: &'static str, expected: Option<u64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            let wait = retry_after(&headers, Time::from_millis(784_111_777_000));
            assert_eq!(wait, expected.map(Duration::from_secs), "{value}");
        };
        check("3", Some(3));
        check("Sun, 06 Nov 1994 08:49:40 GMT", Some(3));
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }
}
