//! Keys whose last refresh failed are left alone for a while, so that an outage costs each of them
//! one request a minute instead of one for each client.

use std::time::Duration;

use moka::sync::Cache;

use crate::clock::Time;
use crate::entry::Key;

/// Keys remembered; beyond it the least recently failed are asked for again.
const KEYS_MAX: u64 = 10_000;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The keys that failed a moment ago.
pub struct Backoff(Cache<Key, Failed>);

#[derive(Clone, Copy)]
struct Failed {
    until: Time,
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self(Cache::new(KEYS_MAX))
    }
}

impl Backoff {
    /// Whether the key should not be asked for at `now`.
    pub fn holds(&self, key: &Key, now: Time) -> bool {
        self.0
            .get(key)
            .is_some_and(|failed| now < failed.until && failed.until.since(now) <= LONGEST)
    }

    /// A refresh of the key failed at `now`: twice the last pause, from one second to one minute.
    pub fn failed(&self, key: &Key, now: Time) {
        let pause = self
            .0
            .get(key)
            .map_or(FIRST, |failed| (failed.pause * 2).min(LONGEST));
        self.0.insert(
            key.clone(),
            Failed {
                until: now.plus(pause),
                pause,
            },
        );
    }

    /// The upstream answered for the key.
    pub fn answered(&self, key: &Key) {
        self.0.invalidate(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end_with_an_answer() {
        let (backoff, key) = (Backoff::default(), Key::new("k"));
        let mut now = Time::from_millis(0);
        assert!(!backoff.holds(&key, now));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            backoff.failed(&key, now);
            let pause = Duration::from_secs(seconds);
            assert!(backoff.holds(&key, now.plus(Duration::from_millis(seconds * 1000 - 1))));
            now = now.plus(pause);
            assert!(!backoff.holds(&key, now));
        }
        backoff.failed(&key, now);
        backoff.answered(&key);
        assert!(!backoff.holds(&key, now));
    }
}
