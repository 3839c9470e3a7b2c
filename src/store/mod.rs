//! What has been fetched, kept on disk: entries by key, bodies by digest, drafts on their way in.
//!
//! The store knows nothing of NuGet, HTTP or freshness. It gives no promise about the order of
//! concurrent calls for one key: the engine has at most one fill per key.
//!
//! Invariants: a body is under its digest only whole, and an entry written after `seal` names a
//! body that survives a power cut; one daemon per directory; opening takes the same time whatever
//! the size. A body that is missing or damaged is an error of that kind, which means "a miss":
//! fetching and sealing it again heals it.

mod blob;
mod bodies;
mod buffer;
mod chunk;
mod content;
mod database;
mod draft;
mod draft_reader;
mod error;
mod evict;
mod folder;
mod health;
mod hot;
mod index;
mod order;
mod pins;
mod quota;
mod rebuild;
mod records;
mod report;
mod responses;
mod scrub;
mod sink;
mod spill;
mod stamp;
mod sync;
mod table;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prometheus::IntCounter;

use self::bodies::Bodies;
use self::error::blocking;
use self::folder::Folder;
use self::health::Health;
use self::index::Index;
use self::order::Task;
use crate::clock::Clock;
use crate::entry::{Entry, Kept, Key, Stored};

pub use self::blob::{Blob, BlobReader, OpenBlob};
pub use self::bodies::Sealed;
pub use self::draft::{Draft, DraftPart, DraftWriter, Finished, HOLD_BACK};
pub use self::draft_reader::{DraftFile, DraftReader};
pub use self::error::{StoreError, StoreErrorKind};
pub use self::evict::{Evicted, Goal, STEP};
pub use self::folder::{CONTROL, DAMAGED};
pub use self::health::Degraded;
pub use self::hot::HotEntry;
pub use self::pins::{Pin, Pinned};
pub use self::quota::Quota;
pub use self::report::{Aside, Checked, Row};
pub use self::responses::VARIANTS_MAX;
pub use self::scrub::{Inspected, SHARDS};
pub use self::spill::Keep;
pub use self::table::Totals;

/// Where a store is and how much memory it may use.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Its directory; created when missing.
    pub dir: PathBuf,
    /// Bytes of memory for hot small bodies.
    pub memory: u64,
    /// How many large bodies are kept open.
    pub open_files: u64,
    /// How much is kept.
    pub quota: Quota,
    /// Where the time of a use comes from.
    pub clock: Clock,
    /// Counts entries that had to make room.
    pub evictions: IntCounter,
    /// Counts bodies that were found damaged when they were asked for.
    pub damaged: IntCounter,
    /// Counts bodies whose entries were written before the disk had them for sure.
    pub unsynced: IntCounter,
}

/// A handle on an open store; clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    bodies: Arc<Bodies>,
    index: Index,
    drafts: Arc<Path>,
    health: Arc<Health>,
    /// Last, so that the directory is unlocked after everything else is gone.
    folder: Option<Folder>,
}

impl Store {
    /// Opens the store, creating what is missing. [`StoreErrorKind::Locked`] when another process
    /// has it open; a damaged index is put aside with a warning, never an error.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let store = blocking("open store", move || {
            let folder = Folder::open(&options.dir)?;
            let bodies = Arc::new(Bodies::new(folder.bodies(), &options)?);
            Ok(Self(Arc::new(Shared {
                index: Index::open(
                    folder.index(),
                    Arc::clone(&bodies),
                    options,
                    folder.was_cut_off(),
                )?,
                bodies,
                drafts: folder.drafts().into(),
                health: Arc::default(),
                folder: Some(folder),
            })))
        })
        .await?;
        let state = store.0.health.watch();
        tokio::spawn(health::recover(Arc::downgrade(&store.0), state));
        Ok(store)
    }

    /// A store that keeps nothing but entries without a body, and those in memory: for a directory
    /// that cannot be opened.
    pub async fn off(options: StoreOptions) -> Result<Self, StoreError> {
        blocking("open store", move || {
            let bodies = Arc::new(Bodies::new(options.dir.join("bodies-v1"), &options)?);
            let drafts = options.dir.join("drafts-v1").into();
            let index = Index::open(":memory:".into(), Arc::clone(&bodies), options, false)?;
            Ok(Self(Arc::new(Shared {
                index,
                bodies,
                drafts,
                health: Arc::new(Health::off()),
                folder: None,
            })))
        })
        .await
    }

    /// Why nothing is written, if that is so; it ends by itself, except where it says otherwise.
    pub fn degraded(&self) -> Option<Degraded> {
        self.0.health.degraded()
    }

    fn is_off(&self) -> bool {
        self.degraded() == Some(Degraded::Off)
    }

    /// Takes note of a failed read. A disk that cannot read a body has lost it.
    fn read<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| match Degraded::of(&error) {
            Some(Degraded::Descriptors) => {
                self.0.health.fault(&error);
                error
            }
            Some(Degraded::Io) if error.kind == StoreErrorKind::Io => {
                error.with_kind(StoreErrorKind::Damaged)
            }
            _ => error,
        })
    }

    /// Takes note of a failed write.
    fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| self.0.health.fault(error))
    }

    /// The entry of `key` if it is in memory; never waits.
    pub fn hot(&self, key: &Key) -> Option<Arc<Entry>> {
        self.hot_entry(key).map(|hot| Arc::clone(hot.entry()))
    }

    /// The same, as one that can tell whether it is still the one.
    pub fn hot_entry(&self, key: &Key) -> Option<Arc<HotEntry>> {
        self.0.index.hot(key)
    }

    /// The entry of `key`, from memory or from the index.
    pub async fn entry(&self, key: &Key) -> Result<Option<Arc<Entry>>, StoreError> {
        if self.is_off() {
            return Ok(self.hot(key));
        }
        self.read(self.0.index.entry(key).await)
    }

    /// Writes the entry of `key`: in memory as soon as the writer's queue has room, returned when
    /// committed. When the commit fails the entry stays in memory.
    pub async fn put(&self, key: &Key, entry: Entry) -> Result<Arc<Entry>, StoreError> {
        self.noted(self.0.index.put(key, entry, false).await)
    }

    /// The same for what is worth finding again when the index is lost: once for each new body.
    pub async fn put_lasting(&self, key: &Key, entry: Entry) -> Result<Arc<Entry>, StoreError> {
        self.noted(self.0.index.put(key, entry, true).await)
    }

    /// Removes the entries of all keys that begin with `prefix` and says how many were stored.
    pub async fn forget(&self, prefix: &str) -> Result<u64, StoreError> {
        self.noted(self.0.index.forget(prefix).await)
    }

    /// Removes the entry of one key.
    pub async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.noted(self.0.index.remove(key).await)
    }

    /// Keys that begin with `prefix`, in bytewise order, at most `limit`.
    pub async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<Key>, StoreError> {
        if self.is_off() {
            return Ok(Vec::new());
        }
        self.0.index.keys(prefix, limit).await
    }

    /// A new body: the writer for the one who receives it, the draft for everyone who reads.
    /// `expected` is the announced length in bytes, if any: readers of it must be told that length, and
    /// get all but its last 64 KiB as they come. It is not checked.
    pub fn draft(&self, expected: Option<u64>) -> (DraftWriter, Arc<Draft>) {
        let (writer, draft) = DraftWriter::new(Arc::clone(&self.0.drafts), expected);
        (writer.of(&self.0.health), draft)
    }

    /// A new body that begins with what was written of an earlier one.
    pub fn draft_from(&self, part: DraftPart) -> (DraftWriter, Arc<Draft>) {
        let (writer, draft) = DraftWriter::from_part(Arc::clone(&self.0.drafts), part);
        (writer.of(&self.0.health), draft)
    }

    /// Stores a finished draft under its digest and syncs it to disk, waiting for that a second at
    /// most; one that is stored intact already is not written again. Does not release the draft. Until
    /// what is returned is dropped, the body is not removed to make room, although no entry names it
    /// yet. A degraded store does not try.
    pub async fn seal(&self, finished: &Finished) -> Result<Sealed, StoreError> {
        if let Some(reason) = self.degraded() {
            return Err(StoreError::new(StoreErrorKind::Io, reason.text()));
        }
        self.noted(self.0.bodies.seal(finished).await)
    }

    /// A body: up to 32 KiB in memory, larger an open file. Verified here up to 4 MiB, beyond that
    /// while it is read: its last 64 KiB are not given before.
    pub async fn body(&self, stored: &Stored) -> Result<Blob, StoreError> {
        self.read(self.0.bodies.body(stored).await)
    }

    /// A body if it is in memory or open already; never waits.
    pub fn hot_body(&self, stored: &Stored) -> Option<Blob> {
        self.0.bodies.hot(stored)
    }

    /// A small body if it is in memory; never waits.
    pub fn hot_small(&self, stored: &Stored) -> Option<Arc<Bytes>> {
        self.0.bodies.small.get(&stored.digest)
    }

    /// A whole body in memory, checked against its digest; the caller bounds `stored.size`.
    pub async fn document(&self, stored: &Stored) -> Result<Bytes, StoreError> {
        self.read(self.0.bodies.document(stored).await)
    }

    /// A body as a seekable file, once it was found to be what its name says.
    pub async fn file(&self, stored: &Stored) -> Result<DraftFile, StoreError> {
        let blob = self.body(stored).await?;
        self.read(DraftFile::of(blob).await)
    }

    /// Puts a body whose reading failed aside, so that asking for it again is a miss; readers that
    /// have it open go on.
    pub async fn discard(&self, stored: &Stored) -> Result<(), StoreError> {
        self.0.bodies.put_aside(stored.digest).await
    }

    /// Keeps a small value under a name, over what was there.
    pub async fn remember(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.noted(self.0.index.remember(name, value).await)
    }

    /// The value kept under a name.
    pub async fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if self.is_off() {
            return Ok(None);
        }
        self.0.index.recall(name).await
    }

    /// The responses kept for a URI, from the index.
    pub async fn responses(&self, uri: &str) -> Result<Vec<Kept>, StoreError> {
        if self.is_off() {
            return Ok(Vec::new());
        }
        self.0.index.responses(uri).await
    }

    /// Writes a response for a URI over the one of the same `variant`, at most [`VARIANTS_MAX`] for
    /// one URI. Its body must have been sealed.
    pub async fn keep(
        &self,
        uri: &str,
        variant: String,
        kept: Arc<Kept>,
    ) -> Result<(), StoreError> {
        self.noted(self.0.index.keep_response(uri, variant, kept).await)
    }

    /// Removes all responses kept for a URI.
    pub async fn forget_responses(&self, uri: &str) -> Result<(), StoreError> {
        self.noted(self.0.index.forget_responses(uri).await)
    }

    /// How much the store holds; zero for the moment after opening until it has been counted.
    pub fn totals(&self) -> Totals {
        self.0.index.totals()
    }

    /// How much the store holds, once it has been counted after opening.
    pub async fn counted(&self) -> Result<Totals, StoreError> {
        self.0.index.counted().await
    }

    /// Keeps no more than this from now on; what is too much goes in small steps.
    pub async fn limit(&self, quota: Quota) -> Result<(), StoreError> {
        self.0.index.order(Task::Limit(quota)).await.map(drop)
    }

    /// Whether the last run on this directory was cut off: by a crash, a kill or a power cut.
    pub fn was_cut_off(&self) -> bool {
        self.0.folder.as_ref().is_some_and(Folder::was_cut_off)
    }

    /// Commits and syncs what is queued and closes the index. Later writes fail with
    /// [`StoreErrorKind::Closed`]; the directory is unlocked when the last handle is dropped.
    pub async fn close(&self) {
        self.0.index.close().await;
        let store = Arc::clone(&self.0);
        let end = move || {
            store.bodies.syncer.close();
            if let Some(folder) = &store.folder {
                folder.end();
            }
            Ok(())
        };
        // A runtime that is ending cuts this off: then the end is not a clean one.
        let _ = blocking("close store", end).await;
    }
}

#[cfg(test)]
mod tests;
