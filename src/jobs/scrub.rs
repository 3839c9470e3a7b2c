//! Reads every stored body once a week, slowly, so that damage is found before somebody asks.
//!
//! What is damaged is put aside and fetched anew when it is asked for; what a crash left without an
//! entry is removed, and looked for at once after a run that was cut off: it counts into no limit.
//! How far a pass is survives a restart.

use std::collections::HashSet;
use std::time::Duration;

use prometheus::IntCounterVec;

use crate::clock::{Clock, Time};
use crate::entry::Digest;
use crate::store::{Inspected, SHARDS, Store, StoreError};

/// From the beginning of a pass to that of the next.
const PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// Before the first look after a start, which has better things to do, and after a failure.
const PAUSE: Duration = Duration::from_secs(60);

/// After each folder, and each body that had no entry, of the look after a run that was cut off.
const BREATH: Duration = Duration::from_millis(10);

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
    /// Bytes read in a second; 0 for only what a crash left.
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
    /// Runs until it is dropped, or until there is nothing left to do.
    pub async fn run(self) {
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "what a crash left in the store is looked for later");
        }
        if self.rate == 0 {
            return;
        }
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

    /// Removes the bodies without an entry if the last run was cut off. Reads names, no bodies.
    async fn sweep(&self) -> Result<(), StoreError> {
        if !self.store.was_cut_off() {
            return Ok(());
        }
        let orphans = (self.scrubbed).with_label_values(&[Inspected::Orphan.name()]);
        for first in 0..=u8::MAX {
            // The files first: a body whose entry comes later is not taken for one without.
            let files = self.store.shard(first).await?;
            let named = self.store.named_shard(first).await?;
            let named: HashSet<Digest> = named.into_iter().map(|body| body.digest).collect();
            for (digest, _) in files.into_iter().filter(|file| !named.contains(&file.0)) {
                if self.store.remove_unnamed(digest).await? {
                    orphans.inc();
                }
                tokio::time::sleep(BREATH).await;
            }
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
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
                let millis = size.saturating_mul(1000) / self.rate;
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
    use std::path::Path;

    use bytes::Bytes;
    use prometheus::{IntCounter, Opts};

    use super::*;
    use crate::entry::{Entry, Key, Stored};
    use crate::store::{Quota, StoreOptions};

    async fn seal(store: &Store, bytes: &'static [u8]) -> Stored {
        let (mut writer, draft) = store.draft(None);
        writer
            .append(vec![Bytes::from_static(bytes)])
            .await
            .unwrap();
        let sealed = store.seal(&writer.finish().unwrap()).await.unwrap();
        draft.release();
        sealed.stored()
    }

    async fn scrub(dir: &Path, clock: &Clock) -> Scrub {
        let options = StoreOptions {
            dir: dir.join("store"),
            memory: 0,
            open_files: 0,
            quota: Quota::NONE,
            clock: clock.clone(),
            evictions: IntCounter::new("evictions", "x").unwrap(),
            damaged: IntCounter::new("damaged", "x").unwrap(),
            unsynced: IntCounter::new("unsynced", "x").unwrap(),
        };
        Scrub {
            store: Store::open(options).await.unwrap(),
            clock: clock.clone(),
            scrubbed: IntCounterVec::new(Opts::new("scrubbed", "x"), &["outcome"]).unwrap(),
            rate: u64::MAX,
        }
    }

    fn orphans(scrub: &Scrub) -> u64 {
        scrub.scrubbed.with_label_values(&["orphan"]).get()
    }

    #[tokio::test]
    async fn a_pass_comes_once_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Time::from_millis(1_000_000));
        let scrub = scrub(dir.path(), &clock).await;
        seal(&scrub.store, b"one").await;
        scrub.pass().await.unwrap();
        assert_eq!(orphans(&scrub), 1);
        seal(&scrub.store, b"two").await;
        clock.advance(PERIOD.saturating_sub(Duration::from_secs(1)));
        assert_eq!(scrub.pass().await.unwrap().as_millis(), 1_000_000);
        assert_eq!(orphans(&scrub), 1);
        clock.advance(Duration::from_secs(1));
        scrub.pass().await.unwrap();
        assert_eq!(orphans(&scrub), 2);
    }

    #[tokio::test]
    async fn a_run_that_was_cut_off_is_swept_up_after() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Time::from_millis(1_000_000));
        let first = scrub(&dir.path().join("first"), &clock).await;
        seal(&first.store, b"one").await;
        first.sweep().await.unwrap();
        assert_eq!(orphans(&first), 0);
        let dir = dir.path().join("second");
        std::fs::create_dir_all(dir.join("store")).unwrap();
        std::fs::write(dir.join("store/running"), b"").unwrap();
        let second = Scrub {
            rate: 0,
            ..scrub(&dir, &clock).await
        };
        seal(&second.store, b"one").await;
        let body = seal(&second.store, b"two").await;
        let mut entry = Entry::absent("https://example.org/a".to_owned(), clock.now());
        entry.body = Some(body);
        second.store.put(&Key::new("two"), entry).await.unwrap();
        let (store, scrubbed) = (second.store.clone(), second.scrubbed.clone());
        // Ends, since nothing is looked through beyond that.
        second.run().await;
        assert_eq!(scrubbed.with_label_values(&["orphan"]).get(), 1);
        assert!(store.has(&body).await.unwrap());
    }
}
