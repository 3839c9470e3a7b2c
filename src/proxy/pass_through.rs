//! Bodies that the store's disk does not take: they are passed on and not kept.
//!
//! They go through memory, of which there is little: the feed waits for the readers. Of a body that
//! does not fit, only its length and its end are verified.

use std::time::Duration;

use crate::nuget::resource::{Check, View};
use crate::observe::CacheStatus;
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::fill::Fill;
use crate::proxy::flight::Arrival;
use crate::proxy::verify::{Finding, archive_tail};
use crate::store::{Draft, DraftWriter, Finished, Keep};

/// How often it is looked whether anybody still waits for what has no room.
const TICK: Duration = Duration::from_millis(500);

/// How many of these a document waits for memory; its clients wait for the whole of it.
const TICKS_MAX: u32 = 60;

impl Fill {
    /// What stays in memory of a body that the disk does not take.
    pub(super) fn kept_without_disk(&self) -> Keep {
        match self.target.rule.view {
            View::Raw if self.stored_body().is_none() => Keep::Window,
            // Whoever has something stored waits for the verdict.
            View::Raw => Keep::Digest,
            _ => Keep::Whole,
        }
    }

    /// Waits until the readers of a body that is passed on have made room for more of it; whether
    /// they were called for that.
    pub(super) async fn wait_for_room(
        &self,
        writer: &DraftWriter,
        arrival: &Arrival,
    ) -> Result<bool, Error> {
        let (mut ticks, mut shown) = (0, false);
        while !writer.has_room(TICK).await {
            ticks += 1;
            let keep = self.kept_without_disk();
            if keep == Keep::Window {
                if ticks == 1 {
                    // For those who wait for the end of it.
                    self.pilot.announce(arrival.clone());
                    shown = true;
                }
                // They ask for it again.
                writer.cast_off();
                if self.awaited && self.pilot.give_up_if_deserted() {
                    return Err(Error::Abandoned);
                }
            } else if ticks > TICKS_MAX {
                let cause = "no memory is left for documents, and the cache is degraded";
                return Err(Error::internal(cause));
            }
        }
        Ok(shown)
    }

    /// Checks the end of a body whose beginning is gone.
    pub(super) fn finding_of_tail(&self, finished: &Finished) -> Finding {
        match self.target.rule.check {
            Check::Nupkg => archive_tail(&finished.draft.tail()),
            _ => Finding::Unproven,
        }
    }
}

impl Engine {
    /// How a body came about that was fetched: the store must not be said to have it when it takes
    /// nothing.
    pub(super) fn kept_or_passed(&self, draft: &Draft, cache: CacheStatus) -> CacheStatus {
        let passed = draft.is_passed_on() || self.store.degraded().is_some();
        match cache {
            CacheStatus::Miss if passed => CacheStatus::Passed,
            cache => cache,
        }
    }
}
