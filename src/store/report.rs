//! Looking through the store without changing it, and the few changes that commands ask for one at
//! a time: pages of entries, which bodies are named, which are good, what was put aside.
//!
//! Everything is read through connections of its own and in small parts, so that neither the writer
//! nor the runtime ever waits for a command.

use std::fs;
use std::io;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, params};

use super::evict::{self, Evicted, Goal};
use super::order::Task;
use super::quota::{Quota, excess};
use super::table::{BY_PREFIX, from_sql, is_named, read_body, statement, to_sql};
use super::{Store, content};
use crate::clock::Time;
use crate::entry::{Digest, Key, Stored};
use crate::store::error::{StoreError, blocking};

/// The most keys of one body that are told.
const KEYS_MAX: u64 = 64;

/// An entry, as far as reports need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// Its body; `None` for a remembered 404.
    pub body: Option<Stored>,
    /// When it was used last, to ten minutes.
    pub used_at: Time,
}

/// How a body file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// What its name says.
    Good,
    /// Something else.
    Damaged,
    /// Not there.
    Gone,
}

/// Bodies that were put aside because they are damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Entries whose keys begin with `prefix` and come after `after`, in bytewise order of keys, at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn rows(
        &self,
        prefix: &str,
        after: &str,
        limit: u64,
    ) -> Result<Vec<Row>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let sql = format!(
            "SELECT digest, size, key, used_at FROM entries \
             WHERE {BY_PREFIX} AND key > ?2 ORDER BY key LIMIT ?3"
        );
        let read = move |db: &Connection| {
            let values = params![prefix, after, to_sql(limit)];
            statement(db, &sql)?.query_map(values, row)?.collect()
        };
        self.0.index.read(read).await
    }

    /// Entries that make room after the one used at `used_at` with the key `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn next_to_go(
        &self,
        goal: &Goal,
        (used_at, after): (Time, &str),
        limit: u64,
    ) -> Result<Vec<Row>, StoreError> {
        let queries = goal.excess.queries;
        let after = (used_at.as_millis(), after.to_owned());
        let read = move |db: &Connection| {
            let rows = super::table::least_used(db, queries, &after, limit)?;
            let row = |(key, body, used_at)| Row {
                key,
                body: Some(body),
                used_at: Time::from_millis(used_at),
            };
            Ok(rows.into_iter().map(row).collect())
        };
        self.0.index.read(read).await
    }

    /// How many entries and responses name each of these bodies, in their order.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn named(&self, bodies: Vec<Digest>) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM entries WHERE digest = ?1) \
                   + (SELECT count(*) FROM responses WHERE digest = ?1)";
        let read = move |db: &Connection| {
            let mut statement = statement(db, sql)?;
            let count = |digest: &Digest| {
                statement.query_row([digest.as_bytes()], |row| row.get(0).map(from_sql))
            };
            bodies.iter().map(count).collect()
        };
        self.0.index.read(read).await
    }

    /// The bodies that entries and responses name and whose digests begin with this byte.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn named_shard(&self, first: u8) -> Result<Vec<Stored>, StoreError> {
        let range = "digest >= ?1 AND digest < ?2";
        let sql = format!(
            "SELECT digest, size FROM entries WHERE digest IS NOT NULL AND {range} \
             UNION SELECT digest, size FROM responses WHERE {range}"
        );
        let read = move |db: &Connection| {
            // Digests have 32 bytes, so none is greater than 33 of the greatest.
            let to = first
                .checked_add(1)
                .map_or(vec![u8::MAX; 33], |to| vec![to]);
            let mut statement = statement(db, &sql)?;
            let rows = statement.query_map(params![vec![first], to], read_body)?;
            rows.filter_map(Result::transpose).collect()
        };
        self.0.index.read(read).await
    }

    /// Some of the keys whose entries name a body, and of the URLs whose responses do.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn names_of(&self, body: Digest) -> Result<(Vec<Key>, Vec<String>), StoreError> {
        let read = move |db: &Connection| {
            let texts = |sql: &str| -> rusqlite::Result<Vec<String>> {
                let mut statement = statement(db, sql)?;
                let values = params![body.as_bytes(), to_sql(KEYS_MAX)];
                statement.query_map(values, |row| row.get(0))?.collect()
            };
            let keys = texts("SELECT key FROM entries WHERE digest = ?1 LIMIT ?2")?;
            let urls = texts("SELECT DISTINCT uri FROM responses WHERE digest = ?1 LIMIT ?2")?;
            Ok((keys.into_iter().map(Key::new).collect(), urls))
        };
        self.0.index.read(read).await
    }

    /// Reads a body whole and compares it with its name.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub async fn check(&self, digest: Digest) -> Result<Checked, StoreError> {
        let bodies = Arc::clone(&self.0.bodies);
        let check = move || content::is_intact(&bodies.root, &digest);
        Ok(match blocking("check body", check).await? {
            None => Checked::Gone,
            Some(true) => Checked::Good,
            Some(false) => Checked::Damaged,
        })
    }

    /// Whether the file of a body is there.
    ///
    /// # Errors
    /// [`StoreError`] when the runtime is ending.
    pub async fn has(&self, body: &Stored) -> Result<bool, StoreError> {
        let path = self.0.bodies.path(&body.digest);
        blocking("look for a body", move || Ok(path.exists())).await
    }

    /// Removes a body that no entry names, unless one is on the way; says whether it did.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn remove_unnamed(&self, digest: Digest) -> Result<bool, StoreError> {
        let named = move |db: &Connection| is_named(db, &digest);
        Ok(!self.0.index.read(named).await? && self.0.index.remove_orphan(digest).await?)
    }

    /// What was put aside.
    ///
    /// # Errors
    /// [`StoreError`] when the folder cannot be read.
    pub async fn aside(&self) -> Result<Aside, StoreError> {
        self.walk_aside(|_| Ok(())).await
    }

    /// Removes what was put aside, and says how much it was.
    ///
    /// # Errors
    /// [`StoreError`] when a file cannot be removed.
    pub async fn clear_aside(&self) -> Result<Aside, StoreError> {
        self.walk_aside(|path| fs::remove_file(path)).await
    }

    async fn walk_aside(
        &self,
        each: fn(&std::path::Path) -> io::Result<()>,
    ) -> Result<Aside, StoreError> {
        let folder = self.0.bodies.aside();
        blocking("look aside", move || {
            let failed = |error| StoreError::io("look through", &folder, error);
            let files = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Aside::default());
                }
                files => files.map_err(failed)?,
            };
            let mut aside = Aside::default();
            for file in files {
                let file = file.map_err(failed)?;
                let bytes = file.metadata().map_err(failed)?.len();
                each(&file.path()).map_err(failed)?;
                aside.files += 1;
                aside.bytes += bytes;
            }
            Ok(aside)
        })
        .await
    }

    /// What has to go so that the store is within a quota: of the answers to queries, then of all.
    ///
    /// # Errors
    /// [`StoreError`] when the store is closed.
    pub async fn too_much(&self, quota: &Quota) -> Result<Vec<Goal>, StoreError> {
        let totals = self.counted().await?;
        let folder = self.0.drafts.to_path_buf();
        let free = blocking("look at the disk", move || Ok(evict::free_bytes(&folder))).await?;
        let queries = excess(quota, &totals, free).filter(|excess| excess.queries);
        let all = Quota {
            queries_max: u64::MAX,
            ..*quota
        };
        let all = excess(&all, &totals, free);
        Ok(queries.into_iter().chain(all).map(Goal::from).collect())
    }

    /// Bytes that the disk has left, where that is known.
    ///
    /// # Errors
    /// [`StoreError`] when the runtime is ending.
    pub async fn free(&self) -> Result<Option<u64>, StoreError> {
        let folder = self.0.drafts.to_path_buf();
        blocking("look at the disk", move || Ok(evict::free_bytes(&folder))).await
    }

    /// Bodies of the responses of raw routes in the order in which they make room, from the one at
    /// `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn responses_to_go(&self, from: u64, limit: u64) -> Result<Vec<Stored>, StoreError> {
        let sql = "SELECT digest, size FROM responses ORDER BY received_at LIMIT ?1 OFFSET ?2";
        let read = move |db: &Connection| {
            let mut statement = statement(db, sql)?;
            let rows = statement.query_map(params![to_sql(limit), to_sql(from)], read_body)?;
            rows.filter_map(Result::transpose).collect()
        };
        self.0.index.read(read).await
    }

    /// Removes a few entries towards a goal, between other writes; what is pinned stays.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be written.
    pub async fn evict(&self, goal: Goal) -> Result<Evicted, StoreError> {
        let evicted = Arc::default();
        let task = Task::Evict(goal, Arc::clone(&evicted));
        self.0.index.order(task).await?;
        let mut evicted = evicted.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut evicted))
    }
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        key: Key::new(row.get::<_, String>(2)?),
        body: read_body(row)?,
        used_at: Time::from_millis(from_sql(row.get(3)?)),
    })
}
