//! Bodies: sealed drafts on disk, small ones hot in memory, large ones as open files.
//!
//! Both caches use the least-recently-used policy: moka's default refuses new entries while old ones
//! are popular. Nothing here decides what is deleted; evicting only closes a file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use prometheus::IntCounter;
use tokio::sync::Semaphore;

use super::StoreOptions;
use super::blob::{Blob, OpenBlob, Verdict};
use super::content;
use super::draft::Finished;
use super::error::{StoreError, StoreErrorKind, blocking};
use super::stamp::Stamp;
use super::sync::Syncer;
use crate::clock::Clock;
use crate::entry::{Digest, Stored};

/// The largest body that is kept in memory: up to here, copying it to the socket costs less than a
/// system call that sends it from its file.
const SMALL: u64 = 32 * 1024;

/// What a cached body costs beside its bytes.
const OVERHEAD: usize = 200;

/// How many bodies are known to be verified, and how they looked then; some 10 MiB at most.
const VERIFIED: u64 = 65_536;

/// The body files of one store and the two caches before them.
pub(super) struct Bodies {
    pub(super) root: Arc<Path>,
    pub(super) small: Cache<Digest, Arc<Bytes>>,
    pub(super) open: Cache<Digest, Arc<OpenBlob>>,
    /// What files were like when they were found to be what their names say.
    pub(super) verified: Cache<Digest, Stamp>,
    /// How many are verified at a time.
    pub(super) permits: Semaphore,
    pub(super) clock: Clock,
    /// Counts bodies found damaged.
    pub(super) damaged: IntCounter,
    pub(super) syncer: Syncer,
    sealing: Sealing,
}

/// Bodies whose entries are on the way, and how many are.
type Sealing = Arc<Mutex<HashMap<Digest, usize>>>;

/// A body in the store that no entry may name yet; kept as long as this lives.
#[derive(Debug)]
pub struct Sealed {
    stored: Stored,
    sealing: Sealing,
}

impl Sealed {
    fn begin(stored: Stored, sealing: &Sealing) -> Self {
        *lock(sealing).entry(stored.digest).or_default() += 1;
        let sealing = Arc::clone(sealing);
        Self { stored, sealing }
    }

    /// The body.
    pub const fn stored(&self) -> Stored {
        self.stored
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        let mut sealing = lock(&self.sealing);
        if let Entry::Occupied(mut count) = sealing.entry(self.stored.digest) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn lock(sealing: &Sealing) -> MutexGuard<'_, HashMap<Digest, usize>> {
    sealing.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bodies {
    pub(super) fn new(root: PathBuf, options: &StoreOptions) -> Result<Self, StoreError> {
        let cores = std::thread::available_parallelism();
        Ok(Self {
            syncer: Syncer::start(&root, options.unsynced.clone())?,
            root: root.into(),
            small: Cache::builder()
                .max_capacity(options.memory)
                .weigher(|_, bytes: &Arc<Bytes>| {
                    u32::try_from(bytes.len() + OVERHEAD).unwrap_or(u32::MAX)
                })
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            open: Cache::builder()
                .max_capacity(options.open_files)
                .eviction_policy(EvictionPolicy::lru())
                .eviction_listener(|_, open: Arc<OpenBlob>, _| open.let_go())
                .build(),
            verified: Cache::builder()
                .max_capacity(VERIFIED)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            permits: Semaphore::new(cores.map_or(1, usize::from)),
            clock: options.clock.clone(),
            damaged: options.damaged.clone(),
            sealing: Sealing::default(),
        })
    }

    pub(super) async fn seal(&self, finished: &Finished) -> Result<Sealed, StoreError> {
        let stored = Stored {
            digest: finished.digest,
            size: finished.size,
        };
        let sealed = Sealed::begin(stored, &self.sealing);
        let draft = finished.draft.file()?;
        let (root, known) = (Arc::clone(&self.root), self.verified.get(&stored.digest));
        let job = move || content::store(&root, draft, &stored, known);
        let placed = blocking("store body", job).await?;
        self.verified.insert(stored.digest, placed.stamp);
        if placed.new {
            self.open.invalidate(&stored.digest);
        }
        self.syncer.sync(placed.written).await?;
        Ok(sealed)
    }

    pub(super) fn hot(&self, stored: &Stored) -> Option<Blob> {
        if stored.size <= SMALL {
            let small = self.small.get(&stored.digest)?;
            return Some(Blob::Bytes((*small).clone()));
        }
        let open = self.hot_file(&stored.digest);
        let good = open.filter(|open| open.verdict() == Verdict::Good);
        good.map(Blob::File)
    }

    pub(super) async fn body(self: &Arc<Self>, stored: &Stored) -> Result<Blob, StoreError> {
        if let Some(blob) = self.hot(stored) {
            return Ok(blob);
        }
        if stored.size <= SMALL {
            return self.document(stored).await.map(Blob::Bytes);
        }
        if let Some(open) = self.open.get(&stored.digest)
            && open.verdict() == Verdict::Failed
        {
            // Until it is put aside: a disk that fails now and then must not be trusted again.
            open.settled().await?;
        }
        self.file(stored).await.map(Blob::File)
    }

    pub(super) async fn document(&self, stored: &Stored) -> Result<Bytes, StoreError> {
        if let Some(bytes) = self.small.get(&stored.digest) {
            return Ok((*bytes).clone());
        }
        let (root, wanted) = (Arc::clone(&self.root), *stored);
        let read = blocking("read body", move || content::read_whole(&root, &wanted)).await;
        if let Err(error) = &read
            && error.kind == StoreErrorKind::Damaged
        {
            self.judge(stored.digest).await?;
        }
        let bytes = read?;
        if stored.size <= SMALL {
            self.small.insert(stored.digest, Arc::new(bytes.clone()));
        }
        Ok(bytes)
    }

    /// Where bodies with this first byte are.
    pub(super) fn shard(&self, first: u8) -> PathBuf {
        self.root.join(format!("content-v2/sha256/{first:02x}"))
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        content::path_of(&self.root, digest)
    }

    /// The folder of bodies found damaged.
    pub(super) fn aside(&self) -> PathBuf {
        self.root.with_file_name(super::folder::DAMAGED)
    }

    /// Takes a body that is not what its name says out of reach.
    pub(super) async fn put_aside(&self, digest: Digest) -> Result<(), StoreError> {
        self.small.invalidate(&digest);
        self.open.invalidate(&digest);
        let root = Arc::clone(&self.root);
        let aside = self.aside();
        let job = move || content::put_aside(&root, &aside, &digest);
        let removed = blocking("put aside body", job).await;
        // Whoever opened it in between put it back.
        self.open.invalidate(&digest);
        removed
    }

    /// Removes a body that no entry names, unless its entry is on the way; blocks. Says whether it
    /// did.
    pub(super) fn unlink(&self, digest: &Digest) -> Result<bool, StoreError> {
        // Held while it is removed: sealing begins before it looks whether the body is there.
        let sealing = lock(&self.sealing);
        if sealing.contains_key(digest) {
            return Ok(false);
        }
        let removed = content::remove(&self.root, digest);
        self.small.invalidate(digest);
        self.open.invalidate(digest);
        removed.map(|()| true)
    }
}
