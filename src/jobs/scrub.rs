//! Reads every stored body once a week, slowly, so that damage is found before somebody asks.
//!
//! What is damaged is put aside and fetched anew when it is asked for; what a crash left without an
//! entry is removed. How far a pass is survives a restart.

use std::time::Duration;

use prometheus::IntCounterVec;

use crate::clock::{Clock, Time};
use crate::store::{SHARDS, Store, StoreError};

/// From the beginning of a pass to that of the next.
const PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// Before the first look after a start, which has better things to do, and after a failure.
const PAUSE: Duration = Duration::from_secs(60);

/// Name under which the progress is written down.
const NOTE: &str = "scrub";

/// What a scrub works with.
pub struct Scrub {
    /// What is looked through.
    pub store: Store,
    /// Where time comes from.
    pub clock: Clock,
    /// Counts bodies by what became of them.
    pub scrubbed: IntCounterVec,
    /// Bytes read in a second.
    pub rate: u64,
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Progress {
    /// Milliseconds since the epoch at its beginning.
    begun_at: u64,
    /// The folder to look through next.
    next: u16,
}

impl Scrub {
    /// Runs until it is dropped.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            match self.pass().await {
                Ok(begun_at) => {
                    let done = self.clock.now().since(begun_at);
                    tokio::time::sleep(PERIOD.saturating_sub(done)).await;
                }
                Err(error) => tracing::warn!(%error, "the scrub of the store was cut short"),
            }
        }
    }

    /// Goes on with the pass under way, or begins one if it is time, to its end. Returns when the
    /// last one began.
    async fn pass(&self) -> Result<Time, StoreError> {
        let mut progress = self.progress().await;
        while progress.next < SHARDS {
            let [_, first] = progress.next.to_be_bytes();
            for (digest, size) in self.store.shard(first).await? {
                let found = self.store.inspect(digest).await?;
                self.scrubbed.with_label_values(&[found.name()]).inc();
                let millis = size.saturating_mul(1000) / self.rate.max(1);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            progress.next += 1;
            let note = serde_json::to_vec(&progress).unwrap_or_default();
            self.store.remember(NOTE, &note).await?;
        }
        Ok(Time::from_millis(progress.begun_at))
    }

    async fn progress(&self) -> Progress {
        let note = self.store.recall(NOTE).await.ok().flatten();
        let known = note.and_then(|note| serde_json::from_slice::<Progress>(&note).ok());
        let now = self.clock.now();
        let fresh = |progress: &Progress| {
            let begun_at = Time::from_millis(progress.begun_at);
            // One in the future is of a clock that was wrong.
            let recent = begun_at <= now && now.since(begun_at) < PERIOD;
            progress.next < SHARDS || recent
        };
        known.filter(fresh).unwrap_or(Progress {
            begun_at: now.as_millis(),
            next: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prometheus::{IntCounter, Opts};

    use super::*;
    use crate::store::{Quota, StoreOptions};

    async fn seal(store: &Store, bytes: &'static [u8]) {
        let (mut writer, draft) = store.draft(None);
        writer
            .append(vec![Bytes::from_static(bytes)])
            .await
            .unwrap();
        store.seal(&writer.finish().unwrap()).await.unwrap();
        draft.release();
    }

    #[tokio::test]
    async fn a_pass_comes_once_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Time::from_millis(1_000_000));
        let options = StoreOptions {
            dir: dir.path().join("store"),
            memory: 0,
            open_files: 0,
            quota: Quota::NONE,
            clock: clock.clone(),
            evictions: IntCounter::new("evictions", "x").unwrap(),
            damaged: IntCounter::new("damaged", "x").unwrap(),
            unsynced: IntCounter::new("unsynced", "x").unwrap(),
        };
        let scrub = Scrub {
            store: Store::open(options).await.unwrap(),
            clock: clock.clone(),
            scrubbed: IntCounterVec::new(Opts::new("scrubbed", "x"), &["outcome"]).unwrap(),
            rate: u64::MAX,
        };
        let orphans = || scrub.scrubbed.with_label_values(&["orphan"]).get();
        seal(&scrub.store, b"one").await;
        scrub.pass().await.unwrap();
        assert_eq!(orphans(), 1);
        seal(&scrub.store, b"two").await;
        clock.advance(PERIOD.saturating_sub(Duration::from_secs(1)));
        assert_eq!(scrub.pass().await.unwrap().as_millis(), 1_000_000);
        assert_eq!(orphans(), 1);
        clock.advance(Duration::from_secs(1));
        scrub.pass().await.unwrap();
        assert_eq!(orphans(), 2);
    }
}
