//! Stored responses by URI: hot ones in memory, all of them in the store.
//!
//! Invariant: what memory has of a URI is what the store has, or newer; and nothing that was asked
//! for before an invalidation is kept after it (RFC 9111 section 4.4).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::entry::{Kept, Stored};
use crate::observe::Metrics;
use crate::policy::http::vary;
use crate::store::{Blob, Finished, Sealed, Store, StoreError, StoreErrorKind, VARIANTS_MAX};

/// Memory for hot responses, in bytes.
const HOT: u64 = 16 * 1024 * 1024;

/// What a response costs in memory beside its header fields.
const OVERHEAD: usize = 400;

/// How many URIs are remembered as invalidated while something may still be under way for them.
const EPOCHS: u64 = 100_000;

/// Locks that keep readers and writers of one URI apart.
const SHARDS: usize = 64;

/// All responses of one URI.
pub(super) type Shelved = Arc<[Arc<Kept>]>;

pub(super) struct Shelf {
    store: Store,
    metrics: Arc<Metrics>,
    hot: Cache<String, Shelved>,
    shards: Vec<Mutex<()>>,
    hasher: RandomState,
    epochs: Cache<String, u64>,
    epoch: AtomicU64,
}

impl Shelf {
    pub(super) fn new(store: Store, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            metrics,
            hot: Cache::builder()
                .max_capacity(HOT)
                .weigher(|uri: &String, shelved: &Shelved| {
                    let sizes = shelved.iter().map(|kept| OVERHEAD + size_of_fields(kept));
                    let size = OVERHEAD + uri.len() + sizes.sum::<usize>();
                    u32::try_from(size).unwrap_or(u32::MAX)
                })
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            epochs: Cache::new(EPOCHS),
            epoch: AtomicU64::new(1),
        }
    }

    /// The responses of a URI; none when the store cannot say.
    pub(super) async fn load(&self, uri: &str) -> Shelved {
        if let Some(shelved) = self.hot.get(uri) {
            return shelved;
        }
        let _held = self.shard(uri).lock().await;
        self.load_held(uri).await
    }

    async fn load_held(&self, uri: &str) -> Shelved {
        if let Some(shelved) = self.hot.get(uri) {
            return shelved;
        }
        let read = match self.store.responses(uri).await {
            Ok(read) => read,
            Err(error) => {
                self.failed("read", &error);
                return Arc::default();
            }
        };
        let shelved: Shelved = read.into_iter().map(Arc::new).collect();
        self.hot.insert(uri.to_owned(), Arc::clone(&shelved));
        shelved
    }

    /// What [`Shelf::keep`] wants to know of the time of the question.
    pub(super) fn epoch(&self, uri: &str) -> u64 {
        self.epochs.get(uri).unwrap_or_default()
    }

    /// Keeps a response whose body is stored over the one of the same variant, unless its URI was
    /// invalidated since `epoch`.
    pub(super) async fn keep(&self, uri: &str, kept: Arc<Kept>, epoch: u64) {
        let _held = self.shard(uri).lock().await;
        if self.epoch(uri) != epoch {
            return;
        }
        let mut shelved = self.load_held(uri).await.to_vec();
        shelved.retain(|one| one.selecting != kept.selecting);
        shelved.push(Arc::clone(&kept));
        shelved.sort_by_key(|one| std::cmp::Reverse(one.received_at));
        shelved.truncate(VARIANTS_MAX);
        self.hot.insert(uri.to_owned(), shelved.into());
        let variant = vary::variant(&kept.selecting);
        if let Err(error) = self.store.keep(uri, variant, kept).await {
            self.failed("write", &error);
        }
    }

    /// Stores a body, which is not removed as long as what is returned lives; `None` when it cannot
    /// be stored.
    pub(super) async fn seal(&self, finished: &Finished) -> Option<Sealed> {
        let sealed = self.store.seal(finished).await;
        sealed.inspect_err(|error| self.failed("seal", error)).ok()
    }

    /// Forgets all responses of a URI, and those under way.
    pub(super) async fn forget(&self, uri: &str) {
        let _held = self.shard(uri).lock().await;
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed);
        self.epochs.insert(uri.to_owned(), epoch);
        if self.load_held(uri).await.is_empty() {
            return;
        }
        self.hot.insert(uri.to_owned(), Arc::default());
        if let Err(error) = self.store.forget_responses(uri).await {
            self.failed("remove", &error);
        }
    }

    /// The body of a response; one that is missing or damaged is forgotten with its URI, so that
    /// asking again fetches it.
    pub(super) async fn body(&self, uri: &str, stored: &Stored) -> Option<Blob> {
        match self.store.body(stored).await {
            Ok(blob) => Some(blob),
            Err(error) => self.lost(uri, stored, &error).await,
        }
    }

    /// The same in memory, for a body that its caller knows to be small.
    pub(super) async fn document(&self, uri: &str, stored: &Stored) -> Option<Bytes> {
        match self.store.document(stored).await {
            Ok(bytes) => Some(bytes),
            Err(error) => self.lost(uri, stored, &error).await,
        }
    }

    async fn lost<T>(&self, uri: &str, stored: &Stored, error: &StoreError) -> Option<T> {
        self.failed("body", error);
        if matches!(
            error.kind,
            StoreErrorKind::Missing | StoreErrorKind::Damaged
        ) {
            if let Err(error) = self.store.discard(stored).await {
                self.failed("discard", &error);
            }
            self.forget(uri).await;
        }
        None
    }

    fn shard(&self, uri: &str) -> &Mutex<()> {
        let hash = self.hasher.hash_one(uri);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        &self.shards[index]
    }

    /// Counts and logs a failure of the store.
    pub(super) fn failed(&self, operation: &'static str, error: &StoreError) {
        let errors = &self.metrics.store_errors;
        errors.with_label_values(&[operation]).inc();
        if self.store.degraded().is_some() {
            // Said once, when it began.
            tracing::debug!(operation, %error, "the store failed");
        } else {
            tracing::error!(operation, %error, "the store failed");
        }
    }
}

fn size_of_fields(kept: &Kept) -> usize {
    let fields = kept.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
    let selecting = kept.selecting.iter();
    let selecting =
        selecting.map(|(name, value)| name.as_str().len() + value.as_ref().map_or(0, String::len));
    fields.sum::<usize>() + selecting.sum::<usize>()
}
