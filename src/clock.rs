//! The only reader of time.
//!
//! Ages and lifetimes are compared as wall-clock [`Time`]; rules take it as an argument, so tests
//! move a [`Clock::Manual`] instead of waiting. Durations of work are taken with a [`Stopwatch`],
//! which a jump of the wall clock cannot disturb.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A point of wall-clock time, in whole milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The time `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies in the future (a clock that was set back).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time moved forward by `duration`, at most to the end of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// This time moved back by `duration`, at most to the epoch.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// The same time for `std` and the HTTP date formats.
    pub fn to_system(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

/// Where the present time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that moves only when told to; milliseconds since the Unix epoch.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Time) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(start.0)))
    }

    /// The present time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of wall-clock time"
    )]
    pub fn now(&self) -> Time {
        match self {
            Self::System => {
                let since = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Manual(millis) => Time(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(millis) = self {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            millis.fetch_add(by, Ordering::SeqCst);
        }
    }
}

/// A moment on the monotonic clock, exact to some milliseconds: the kernel's last tick. Reading it
/// costs next to nothing, so it suits what happens with each packet and is measured in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

impl Tick {
    /// The present one.
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
        Self(seconds * 1000 + nanos / 1_000_000)
    }

    /// The moment that [`Self::as_millis`] stood for.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since some moment before all others; never 0.
    pub const fn as_millis(self) -> u64 {
        if self.0 == 0 { 1 } else { self.0 }
    }

    /// Time since then; zero at the same tick.
    pub fn elapsed(self) -> Duration {
        Duration::from_millis(Self::now().0.saturating_sub(self.0))
    }
}

/// Measures how long something takes, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of monotonic time"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
