//! How long a client waits for the upstream when there is something stale to serve.
//!
//! A host that takes connections and says nothing is left alone only when its requests have timed
//! out, minutes later. Until then every client would wait for it, each document anew. Only answers
//! count, and a silent upstream is asked as before: only nobody waits for it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The wait for an upstream that answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The wait for one that says nothing: enough to hear that it is back.
const BRIEF: Duration = Duration::from_millis(20);

/// Waits in vain after which it counts as silent.
const IN_VAIN: u32 = 4;

/// What the last waits for one upstream came to.
#[derive(Default)]
pub(super) struct Silence(AtomicU32);

impl Silence {
    /// How long the next client waits.
    pub(super) fn patience(&self) -> Duration {
        if self.0.load(Ordering::Relaxed) < IN_VAIN {
            PATIENCE
        } else {
            BRIEF
        }
    }

    /// A client waited this long in vain.
    pub(super) fn waited(&self, patience: Duration) {
        if patience == PATIENCE {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The upstream answered after so long; an answer that no client waits for changes nothing.
    pub(super) fn answered(&self, latency: Duration) {
        if latency < PATIENCE {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_waits_in_vain_are_enough_until_it_answers_in_time() {
        let silence = Silence::default();
        for _ in 0..4 {
            assert_eq!(silence.patience(), PATIENCE);
            silence.waited(PATIENCE);
        }
        assert_eq!(silence.patience(), BRIEF);
        silence.answered(Duration::from_secs(2));
        assert_eq!(silence.patience(), BRIEF);
        silence.answered(Duration::from_millis(900));
        assert_eq!(silence.patience(), PATIENCE);
        // Brief waits say nothing of an upstream that answers in its time.
        (0..100).for_each(|_| silence.waited(BRIEF));
        assert_eq!(silence.patience(), PATIENCE);
    }
}
