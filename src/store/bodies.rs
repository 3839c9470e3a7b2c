//! Bodies: sealed drafts on disk, small ones hot in memory, large ones as open files.
//!
//! Both caches use the least-recently-used policy: moka's default refuses new entries while old ones
//! are popular. Nothing here decides what is deleted; evicting only closes a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::StoreOptions;
use super::blob::{Blob, OpenBlob};
use super::content;
use super::draft::Finished;
use super::error::{StoreError, blocking};
use crate::entry::{Digest, Stored};

/// The largest body that is kept in memory.
const SMALL: u64 = 16 * 1024;

/// What a cached body costs beside its bytes.
const OVERHEAD: usize = 200;

/// The body files of one store and the two caches before them.
pub(super) struct Bodies {
    root: Arc<Path>,
    small: Cache<Digest, Bytes>,
    open: Cache<Digest, Arc<OpenBlob>>,
}

impl Bodies {
    pub(super) fn new(root: PathBuf, options: &StoreOptions) -> Self {
        Self {
            root: root.into(),
            small: Cache::builder()
                .max_capacity(options.memory)
                .weigher(|_, bytes: &Bytes| {
                    u32::try_from(bytes.len() + OVERHEAD).unwrap_or(u32::MAX)
                })
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            open: Cache::builder()
                .max_capacity(options.open_files)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    pub(super) async fn seal(&self, finished: &Finished) -> Result<Stored, StoreError> {
        let stored = Stored {
            digest: finished.digest,
            size: finished.size,
        };
        let draft = finished.draft.file()?;
        let root = Arc::clone(&self.root);
        let job = move || content::store(&root, draft, &stored);
        if blocking("store body", job).await? {
            self.open.invalidate(&stored.digest);
        }
        Ok(stored)
    }

    pub(super) fn hot(&self, stored: &Stored) -> Option<Blob> {
        if stored.size <= SMALL {
            return self.small.get(&stored.digest).map(Blob::Bytes);
        }
        self.open.get(&stored.digest).map(Blob::File)
    }

    pub(super) async fn body(&self, stored: &Stored) -> Result<Blob, StoreError> {
        if let Some(blob) = self.hot(stored) {
            return Ok(blob);
        }
        if stored.size <= SMALL {
            return self.document(stored).await.map(Blob::Bytes);
        }
        let (root, wanted) = (Arc::clone(&self.root), *stored);
        let file = blocking("open body", move || content::open(&root, &wanted)).await?;
        let open = Arc::new(OpenBlob::new(file, stored.size));
        self.open.insert(stored.digest, Arc::clone(&open));
        Ok(Blob::File(open))
    }

    pub(super) async fn document(&self, stored: &Stored) -> Result<Bytes, StoreError> {
        if let Some(bytes) = self.small.get(&stored.digest) {
            return Ok(bytes);
        }
        let (root, wanted) = (Arc::clone(&self.root), *stored);
        let bytes = blocking("read body", move || content::read_whole(&root, &wanted)).await?;
        if stored.size <= SMALL {
            self.small.insert(stored.digest, bytes.clone());
        }
        Ok(bytes)
    }

    pub(super) async fn discard(&self, stored: &Stored) -> Result<(), StoreError> {
        self.small.invalidate(&stored.digest);
        self.open.invalidate(&stored.digest);
        let (root, digest) = (Arc::clone(&self.root), stored.digest);
        let removed = blocking("remove body", move || content::remove(&root, &digest)).await;
        // Whoever opened it in between put it back.
        self.open.invalidate(&stored.digest);
        removed
    }
}
