//! Entries: hot ones in memory, all of them in SQLite.
//!
//! Reads that miss memory use a connection of their own on the blocking pool; writes go through the
//! one writer thread. The index is a memory of what was fetched, not the packages themselves: a
//! damaged database is put aside and the daemon starts with an empty one.
//!
//! Invariant: a read never puts a row into memory that a later write has replaced or removed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::StoreOptions;
use super::bodies::Bodies;
use super::error::{StoreError, StoreErrorKind, blocking};
use super::evict::{Evictor, Memory};
use super::hot::Hot;
use super::responses;
use super::table::{self, Totals};
use super::writer::{Order, QUEUE, SharedTotals, Task, Writer};
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
}

impl Index {
    /// Opens or creates the database at `path` and starts its writer, which makes room among
    /// `bodies` too; blocks.
    pub(super) fn open(
        path: PathBuf,
        bodies: Arc<Bodies>,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let db = open_or_replace(&path)?;
        let (orders, queue) = mpsc::channel(QUEUE);
        let totals = SharedTotals::default();
        let clock = options.clock.clone();
        let memory = Memory {
            hot: hot_cache(),
            forgotten: Arc::default(),
        };
        let evictor = Evictor::new(options, bodies, memory.clone());
        let writer = Writer::new(db, Arc::clone(&totals), evictor);
        std::thread::Builder::new()
            .name("index".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| StoreError::io("start the writer of", &path, error))?;
        Ok(Self {
            readers: Arc::new(Readers::new(path)),
            memory,
            clock,
            orders,
            totals,
        })
    }

    pub(super) fn hot(&self, key: &Key) -> Option<Arc<Entry>> {
        let hot = self.memory.hot.get(key)?;
        let now = self.clock.now();
        if hot.is_used(now) {
            let (answer, _) = oneshot::channel();
            let task = Task::Touch(key.clone(), now);
            // A queue that is full has more important things to write.
            let _ = self.orders.try_send(Order { task, answer });
        }
        Some(Arc::clone(&hot.entry))
    }

    pub(super) async fn entry(&self, key: &Key) -> Result<Option<Arc<Entry>>, StoreError> {
        if let Some(entry) = self.hot(key) {
            return Ok(Some(entry));
        }
        let before = self.forgotten();
        let wanted = key.clone();
        match self.read(move |db| table::entry(db, &wanted)).await? {
            Some(row) => {
                let entry = self.keep(key, Arc::new(row), before);
                // Its use is written down.
                Ok(self.hot(key).or(Some(entry)))
            }
            None => Ok(self.hot(key)),
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
            let row = Hot::new(row, Time::default());
            let kept = self
                .memory
                .hot
                .entry_by_ref(key)
                .or_insert(row)
                .into_value();
            Arc::clone(&kept.entry)
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

    pub(super) async fn put(&self, key: &Key, entry: Entry) -> Result<Arc<Entry>, StoreError> {
        let entry = Arc::new(entry);
        let place = self
            .orders
            .reserve()
            .await
            .map_err(|_| StoreError::closed())?;
        let hot = Hot::new(Arc::clone(&entry), entry.checked_at);
        self.memory.hot.insert(key.clone(), hot);
        let (answer, committed) = oneshot::channel();
        let task = Task::Put(key.clone(), Arc::clone(&entry));
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
        self.readers.clear();
        // An index that is closed already needs nothing more.
        let _ = self.order(Task::Close).await;
    }

    async fn order(&self, task: Task) -> Result<u64, StoreError> {
        let (answer, committed) = oneshot::channel();
        let order = Order { task, answer };
        self.orders
            .send(order)
            .await
            .map_err(|_| StoreError::closed())?;
        committed.await.map_err(|_| StoreError::closed())?
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        blocking("read index", move || {
            readers
                .with(query)
                .map_err(|error| StoreError::index(readers.path.display().to_string(), error))
        })
        .await
    }
}

fn hot_cache() -> Cache<Key, Arc<Hot>> {
    let weight = |key: &Key, hot: &Arc<Hot>| {
        let size = OVERHEAD + key.as_str().len() + hot.entry.url.len();
        u32::try_from(size).unwrap_or(u32::MAX)
    };
    Cache::builder()
        .max_capacity(HOT)
        .weigher(weight)
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

/// Read connections, opened when none is idle.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn new(path: PathBuf) -> Self {
        let idle = Mutex::default();
        Self { path, idle }
    }

    fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let db = match idle {
            Some(db) => db,
            None => Connection::open_with_flags(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        let answer = query(&db)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(db);
        }
        Ok(answer)
    }

    fn clear(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

fn open_or_replace(path: &Path) -> Result<Connection, StoreError> {
    let context = || format!("open index {}", path.display());
    match open(path) {
        Ok(db) => Ok(db),
        Err(error) if !is_damaged(&error) => {
            let kind = match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
                _ => StoreErrorKind::Index,
            };
            Err(StoreError::index(context(), error).with_kind(kind))
        }
        Err(error) => {
            let aside = move_aside(path)
                .map_err(|error| StoreError::io("move aside damaged index", path, error))?;
            tracing::warn!(
                %error,
                index = %path.display(),
                moved_to = %aside.display(),
                "the index is damaged; starting with an empty one"
            );
            open(path).map_err(|error| StoreError::index(context(), error))
        }
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    table::prepare(&db)?;
    Ok(db)
}

/// Whether the file itself is to blame: no database, a damaged one, or one with other tables
/// (whose code is SQLite's plain error). Everything else may pass, and the file may well be good.
fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        None | Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown)
    )
}

/// Renames the database and its two companions to the first free `.damaged-<n>`.
fn move_aside(path: &Path) -> std::io::Result<PathBuf> {
    let with = |suffix: String| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut number = 1;
    while with(format!(".damaged-{number}")).exists() {
        number += 1;
    }
    for companion in ["-wal", "-shm"] {
        let from = with(companion.to_owned());
        if from.exists() {
            fs::rename(from, with(format!(".damaged-{number}{companion}")))?;
        }
    }
    let aside = with(format!(".damaged-{number}"));
    if path.exists() {
        fs::rename(path, &aside)?;
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_row_read_before_a_write_never_covers_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::store::tests::options(dir.path());
        let bodies = Arc::new(Bodies::new(dir.path().to_owned(), &options).unwrap());
        let index = Index::open(dir.path().join("index"), bodies, options).unwrap();
        let key = Key::new("f/a");
        let old = Entry::absent(String::new(), Time::from_millis(1));
        let new = Entry::absent(String::new(), Time::from_millis(2));

        let before = index.forgotten();
        let put = index.put(&key, new).await.unwrap();
        assert_eq!(index.keep(&key, Arc::new(old.clone()), before), put);
        assert_eq!(index.hot(&key), Some(put));

        index.forget("f/").await.unwrap();
        index.keep(&key, Arc::new(old.clone()), before);
        assert_eq!(index.hot(&key), None);
        index.keep(&key, Arc::new(old), index.forgotten());
        assert!(index.hot(&key).is_some());
    }
}
