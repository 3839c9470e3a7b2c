//! Rates kept by governor, told the time.
//!
//! governor counts cells whose distance is a whole number of nanoseconds. A cell is chosen so large
//! that this distance is a microsecond at least, which keeps a rate within a thousandth; a cell of one
//! byte would be wrong by 43 % at 700 MB/s.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};

use super::{Payer, Quota};

/// Clients whose rate is remembered. One whose burst is whole again needs no remembering; when all
/// of these are in the middle of theirs, all are forgotten.
const PAYERS_MAX: usize = 16 * 1024;

/// The time as it was last told, since some beginning.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicU64>);

impl Told {
    /// Time does not go back.
    fn tell(&self, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for Told {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A quota in cells.
#[derive(Clone, Copy, Debug)]
struct Cells {
    quota: Quota,
    unit: u64,
    burst: NonZeroU32,
}

impl Cells {
    fn of(quota: Quota) -> Self {
        let unit = (quota.per_second.get() / 1_000_000).max(1);
        let burst = u32::try_from(quota.burst.max(quota.slice).div_ceil(unit)).unwrap_or(u32::MAX);
        Self {
            quota,
            unit,
            burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN),
        }
    }

    fn governor(&self) -> governor::Quota {
        let per_second = u128::from(self.quota.per_second.get());
        let nanos = (u128::from(self.unit) * 1_000_000_000 + per_second / 2) / per_second;
        let period = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).max(1));
        let quota = governor::Quota::with_period(period);
        let slowest = || governor::Quota::per_hour(NonZeroU32::MIN);
        quota.unwrap_or_else(slowest).allow_burst(self.burst)
    }

    /// The cells of so many units: never none, never more than a burst.
    fn count(&self, units: u64) -> NonZeroU32 {
        let cells = u32::try_from(units.div_ceil(self.unit)).unwrap_or(u32::MAX);
        let cells = NonZeroU32::new(cells).unwrap_or(NonZeroU32::MIN);
        cells.min(self.burst)
    }
}

type Checked = Result<Result<(), NotUntil<Duration>>, governor::InsufficientCapacity>;

/// What governor said: how long it is not yet, or nothing.
fn judged(checked: Checked, now: Duration) -> Result<(), Duration> {
    match checked {
        Ok(Err(early)) => Err(early.wait_time_from(now).max(Duration::from_nanos(1))),
        // A count is never more than a burst.
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// The rate of a line.
#[derive(Debug)]
pub(super) struct Valve {
    cells: Cells,
    told: Told,
    limiter: RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Duration>>,
}

impl Valve {
    pub(super) fn new(quota: Quota, now: Duration) -> Self {
        let (cells, told) = (Cells::of(quota), Told::default());
        told.tell(now);
        Self {
            cells,
            limiter: RateLimiter::direct_with_clock(cells.governor(), told.clone()),
            told,
        }
    }

    pub(super) const fn quota(&self) -> &Quota {
        &self.cells.quota
    }

    /// Takes so many units, at most a turn's; else says how long they are not there yet.
    pub(super) fn take(&self, units: u64, now: Duration) -> Result<(), Duration> {
        self.told.tell(now);
        judged(
            self.limiter.check_n(self.cells.count(units)),
            self.told.now(),
        )
    }
}

/// The same rate for each client.
#[derive(Debug)]
pub struct Valves {
    cells: Cells,
    told: Told,
    limiter: RateLimiter<Payer, HashMapStateStore<Payer>, Told, NoOpMiddleware<Duration>>,
}

impl Valves {
    /// Nobody has taken anything yet.
    pub fn new(quota: Quota) -> Self {
        let (cells, told) = (Cells::of(quota), Told::default());
        Self {
            cells,
            limiter: RateLimiter::hashmap_with_clock(cells.governor(), told.clone()),
            told,
        }
    }

    pub(super) const fn quota(&self) -> &Quota {
        &self.cells.quota
    }

    /// Takes so many units of a client's, at most a turn's; else says how long they are not there
    /// yet.
    ///
    /// # Errors
    /// How long to wait; then nothing was taken.
    pub fn take(&mut self, payer: &Payer, units: u64, now: Duration) -> Result<(), Duration> {
        self.told.tell(now);
        if self.limiter.len() >= PAYERS_MAX {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        if self.limiter.len() >= PAYERS_MAX {
            let quota = self.cells.governor();
            self.limiter = RateLimiter::hashmap_with_clock(quota, self.told.clone());
        }
        let cells = self.cells.count(units);
        judged(self.limiter.check_key_n(payer, cells), self.told.now())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::policy::pacing::Rate;

    /// Bytes that pass within ten seconds by a timer of one millisecond, the burst left out.
    fn passed(bytes_per_second: u64) -> u64 {
        let quota = Quota::bytes(Rate::new(bytes_per_second).unwrap());
        let valve = Valve::new(quota, Duration::ZERO);
        let (mut now, mut sum) = (Duration::ZERO, 0);
        let end = Duration::from_secs(10);
        while now < end {
            match valve.take(quota.slice, now) {
                Ok(()) => sum += quota.slice,
                Err(wait) => now += Duration::from_millis(1).max(wait),
            }
        }
        sum - quota.burst.min(sum)
    }

    #[test]
    fn the_rate_is_exact_from_slow_to_very_fast() {
        for rate in [
            10_000,
            125_000,
            187_500,
            1_250_000,
            1_999_999,
            12_500_000,
            125_000_000,
            700_000_000,
            1_250_000_000,
        ] {
            let (passed, asked) = (passed(rate), rate * 10);
            assert!(passed.abs_diff(asked) <= asked / 50, "{rate}: {passed}");
        }
    }

    #[test]
    fn each_client_has_its_own_and_few_are_remembered() {
        let mut valves = Valves::new(Quota::events(1, 1).unwrap());
        let now = Duration::from_secs(1);
        let client = |number: u32| Payer::Client(IpAddr::from(number.to_be_bytes()));
        assert_eq!(valves.take(&client(1), 1, now), Ok(()));
        assert!(valves.take(&client(1), 1, now).is_err());
        assert_eq!(valves.take(&client(2), 1, now), Ok(()));
        for number in 0..40_000 {
            let _ = valves.take(&client(number), 1, now);
            assert!(valves.limiter.len() <= PAYERS_MAX);
        }
        // Those who have been quiet are forgotten first, the others stay.
        let later = now + Duration::from_secs(2);
        for number in 0..20_000 {
            let asked = later + Duration::from_millis(u64::from(number));
            let _ = valves.take(&client(number), 1, asked);
            assert!(valves.take(&client(number), 1, asked).is_err(), "{number}");
        }
    }
}
