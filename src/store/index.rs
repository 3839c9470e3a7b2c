//! Entries: hot ones in memory, all of them in SQLite.
//!
//! Reads that miss memory use a connection of their own on the blocking pool; writes go through the
//! one writer thread. The index is a memory of what was fetched, not the packages themselves: a
//! damaged database is put aside, whenever that is noticed, and packages are found again.
//!
//! Invariant: a read never puts a row into memory that a later write has replaced or removed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::StoreOptions;
use super::bodies::Bodies;
use super::database;
use super::error::{StoreError, blocking};
use super::evict::{Evictor, Memory};
use super::hot::HotEntry;
use super::order::{Order, QUEUE, SharedTotals, Task};
use super::rebuild::Rebuild;
use super::responses;
use super::table::{self, Totals};
use super::writer::Writer;
use crate::clock::{Clock, Time};
use crate::entry::{Digest, Entry, Kept, Key};

/// Memory for hot entries, in bytes: some 100,000 entries.
const HOT: u64 = 48 * 1024 * 1024;

/// What an entry costs in memory beside its texts.
const OVERHEAD: usize = 320;

/// How many idle read connections are kept open.
const IDLE_READERS: usize = 4;

/// The index of one store.
pub(super) struct Index {
    readers: Arc<Readers>,
    memory: Memory,
    clock: Clock,
    orders: mpsc::Sender<Order>,
    totals: SharedTotals,
    #[cfg(test)]
    rebuilding: Arc<std::sync::atomic::AtomicBool>,
}

impl Index {
    /// Closes the connections that only read.
    #[cfg(test)]
    pub(super) fn forget_readers(&self) {
        self.readers.lock().clear();
    }

    /// Whether packages are being looked for.
    #[cfg(test)]
    pub(super) fn rebuilding(&self) -> &std::sync::atomic::AtomicBool {
        &self.rebuilding
    }

    /// Opens or creates the database at `path` and starts its writer, which makes room among
    /// `bodies` too; one whose last user was `cut_off` is looked through meanwhile. Blocks.
    pub(super) fn open(
        path: PathBuf,
        bodies: Arc<Bodies>,
        options: StoreOptions,
        cut_off: bool,
    ) -> Result<Self, StoreError> {
        let (db, new) = database::open_or_replace(&path)?;
        let (orders, queue) = mpsc::channel(QUEUE);
        let generation = Arc::new(AtomicU64::new(0));
        let totals = SharedTotals::default();
        let clock = options.clock.clone();
        let memory = Memory {
            hot: hot_cache(),
            forgotten: Arc::default(),
        };
        let rebuild = Rebuild {
            path: path.clone(),
            root: Arc::clone(&bodies.root),
            generation: Arc::clone(&generation),
            orders: orders.downgrade(),
            running: Arc::default(),
        };
        #[cfg(test)]
        let rebuilding = Arc::clone(&rebuild.running);
        let evictor = Evictor::new(options, bodies, memory.clone());
        let mut writer = Writer::new(db, Arc::clone(&totals), evictor, rebuild);
        writer.begin(new, cut_off);
        std::thread::Builder::new()
            .name("index".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| StoreError::io("start the writer of", &path, error))?;
        Ok(Self {
            readers: Arc::new(Readers::new(path, generation)),
            memory,
            clock,
            orders,
            totals,
            #[cfg(test)]
            rebuilding,
        })
    }

    pub(super) fn hot(&self, key: &Key) -> Option<Arc<HotEntry>> {
        let hot = self.memory.hot.get(key)?;
        let now = self.clock.now();
        if hot.is_used(now) {
            let (answer, _) = oneshot::channel();
            let task = Task::Touch(key.clone(), now);
            // A queue that is full has more important things to write.
            let _ = self.orders.try_send(Order { task, answer });
        }
        Some(hot)
    }

    pub(super) async fn entry(&self, key: &Key) -> Result<Option<Arc<Entry>>, StoreError> {
        let hot = || self.hot(key).map(|hot| Arc::clone(hot.entry()));
        if let Some(entry) = hot() {
            return Ok(Some(entry));
        }
        let before = self.forgotten();
        let wanted = key.clone();
        match self.read(move |db| table::entry(db, &wanted)).await? {
            Some(row) => {
                let entry = self.keep(key, Arc::new(row), before);
                // Its use is written down.
                Ok(hot().or(Some(entry)))
            }
            None => Ok(hot()),
        }
    }

    /// Puts a row that was read when `forget` had been called `before` times into memory, unless
    /// something newer is there or it may have been removed since.
    fn keep(&self, key: &Key, row: Arc<Entry>, before: u64) -> Arc<Entry> {
        let now = self
            .memory
            .forgotten
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if *now == before {
            let row = HotEntry::new(row, Time::default());
            let kept = self
                .memory
                .hot
                .entry_by_ref(key)
                .or_insert(row)
                .into_value();
            Arc::clone(kept.entry())
        } else {
            row
        }
    }

    fn forgotten(&self) -> u64 {
        *self
            .memory
            .forgotten
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// `lasting` entries outlive the index.
    pub(super) async fn put(
        &self,
        key: &Key,
        entry: Entry,
        lasting: bool,
    ) -> Result<Arc<Entry>, StoreError> {
        let entry = Arc::new(entry);
        let place = self
            .orders
            .reserve()
            .await
            .map_err(|_| StoreError::closed())?;
        let hot = HotEntry::new(Arc::clone(&entry), entry.checked_at);
        self.memory.hot.insert(key.clone(), hot);
        let (answer, committed) = oneshot::channel();
        let (named, copy) = (key.clone(), Arc::clone(&entry));
        let task = if lasting {
            Task::PutLasting(named, copy)
        } else {
            Task::Put(named, copy)
        };
        place.send(Order { task, answer });
        committed.await.map_err(|_| StoreError::closed())??;
        Ok(entry)
    }

    pub(super) async fn forget(&self, prefix: &str) -> Result<u64, StoreError> {
        let removed = self.order(Task::Forget(prefix.to_owned())).await?;
        let (hot, forgotten) = (self.memory.hot.clone(), Arc::clone(&self.memory.forgotten));
        let prefix = prefix.to_owned();
        blocking("forget", move || {
            // An older row can no longer be put into memory, so the lock need not last.
            *forgotten.write().unwrap_or_else(PoisonError::into_inner) += 1;
            hot.iter()
                .filter(|(key, _)| key.as_str().starts_with(&prefix))
                .for_each(|(key, _)| hot.invalidate(key.as_ref()));
            Ok(())
        })
        .await?;
        Ok(removed)
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.order(Task::Remove(key.clone())).await?;
        *self
            .memory
            .forgotten
            .write()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        self.memory.hot.invalidate(key);
        Ok(())
    }

    /// Removes a body if no entry names it and none is on the way; says whether it did.
    pub(super) async fn remove_orphan(&self, digest: Digest) -> Result<bool, StoreError> {
        let removed = self.order(Task::RemoveOrphan(digest)).await?;
        Ok(removed > 0)
    }

    pub(super) async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<Key>, StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |db| table::keys(db, &prefix, limit)).await
    }

    pub(super) async fn remember(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let task = Task::Remember(name.to_owned(), value.to_vec());
        self.order(task).await.map(drop)
    }

    pub(super) async fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.to_owned();
        self.read(move |db| table::recall(db, &name)).await
    }

    /// The responses of a URI.
    pub(super) async fn responses(&self, uri: &str) -> Result<Vec<Kept>, StoreError> {
        let uri = uri.to_owned();
        self.read(move |db| responses::responses(db, &uri)).await
    }

    /// Writes a response over the one of the same variant.
    pub(super) async fn keep_response(
        &self,
        uri: &str,
        variant: String,
        kept: Arc<Kept>,
    ) -> Result<(), StoreError> {
        let task = Task::Keep(uri.to_owned(), variant, kept);
        self.order(task).await.map(drop)
    }

    /// Removes the responses of a URI.
    pub(super) async fn forget_responses(&self, uri: &str) -> Result<(), StoreError> {
        let task = Task::ForgetResponses(uri.to_owned());
        self.order(task).await.map(drop)
    }

    /// The totals once they have been counted.
    pub(super) async fn counted(&self) -> Result<Totals, StoreError> {
        self.order(Task::Sync).await?;
        Ok(self.totals())
    }

    pub(super) fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn close(&self) {
        self.readers.lock().clear();
        // An index that is closed already needs nothing more.
        let _ = self.order(Task::Close).await;
    }

    /// Orders something of the writer and waits until it is committed.
    pub(super) async fn order(&self, task: Task) -> Result<u64, StoreError> {
        let (answer, committed) = oneshot::channel();
        let order = Order { task, answer };
        self.orders
            .send(order)
            .await
            .map_err(|_| StoreError::closed())?;
        committed.await.map_err(|_| StoreError::closed())?
    }

    /// Runs a query; one that meets damage is run again on the index that takes its place.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let query = Arc::new(query);
        for last in [false, true] {
            let (readers, query) = (Arc::clone(&self.readers), Arc::clone(&query));
            let generation = readers.generation.load(Ordering::Acquire);
            let job = move || {
                Ok(readers.with(generation, &*query).map_err(|error| {
                    let remedy = readers.remedy(&error, generation);
                    let path = readers.path.display().to_string();
                    (remedy, StoreError::index(path, error))
                }))
            };
            match blocking("read index", job).await? {
                Err((remedy, _)) if !last => drop(self.order(remedy).await),
                answer => return answer.map_err(|(_, error)| error),
            }
        }
        Err(StoreError::closed())
    }
}

fn hot_cache() -> Cache<Key, Arc<HotEntry>> {
    let weight = |key: &Key, hot: &Arc<HotEntry>| {
        let size = OVERHEAD + key.as_str().len() + hot.entry().url.len();
        u32::try_from(size).unwrap_or(u32::MAX)
    };
    Cache::builder()
        .max_capacity(HOT)
        .weigher(weight)
        .eviction_policy(EvictionPolicy::lru())
        .eviction_listener(|_, hot, _| hot.let_go())
        .build()
}

/// Read connections, opened when none is idle.
struct Readers {
    path: PathBuf,
    /// How often the database was replaced.
    generation: Arc<AtomicU64>,
    idle: Mutex<Vec<(u64, Connection)>>,
}

impl Readers {
    fn new(path: PathBuf, generation: Arc<AtomicU64>) -> Self {
        Self {
            path,
            generation,
            idle: Mutex::default(),
        }
    }

    /// Runs a query on the database of this generation.
    fn with<T>(
        &self,
        generation: u64,
        query: &dyn Fn(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.lock().pop();
        let db = match idle {
            Some((of, db)) if of == generation => db,
            _ => database::open_to_read(&self.path)?,
        };
        let answer = query(&db)?;
        let mut idle = self.lock();
        if idle.len() < IDLE_READERS {
            idle.push((generation, db));
        }
        Ok(answer)
    }

    /// What is to be done before a query that failed is run again: the database is replaced if it is
    /// damaged or was removed. Everything else may come of its being replaced just then (renamed, not
    /// written yet, half of a pair), so that is waited for.
    fn remedy(&self, error: &rusqlite::Error, generation: u64) -> Task {
        let gone = error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !self.path.exists();
        if gone || database::is_unusable(error) {
            Task::Replace(generation)
        } else {
            Task::Sync
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_row_read_before_a_write_never_covers_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::store::tests::options(dir.path());
        let bodies = Arc::new(Bodies::new(dir.path().to_owned(), &options).unwrap());
        let index = Index::open(dir.path().join("index"), bodies, options, false).unwrap();
        let key = Key::new("f/a");
        let old = Entry::absent(String::new(), Time::from_millis(1));
        let new = Entry::absent(String::new(), Time::from_millis(2));

        let before = index.forgotten();
        let put = index.put(&key, new, false).await.unwrap();
        assert_eq!(index.keep(&key, Arc::new(old.clone()), before), put);
        let hot = index.hot(&key).unwrap();
        assert!(Arc::ptr_eq(hot.entry(), &put) && hot.is_current());

        index.forget("f/").await.unwrap();
        index.keep(&key, Arc::new(old.clone()), before);
        assert!(index.hot(&key).is_none() && !hot.is_current());
        index.keep(&key, Arc::new(old), index.forgotten());
        assert!(index.hot(&key).is_some());
    }
}
