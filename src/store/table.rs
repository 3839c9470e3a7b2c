//! The index's SQL: schema, one row per entry, small notes, and the totals.
//!
//! Everything here blocks and runs on one connection. It knows no threads, no memory cache and no
//! time; the writer decides what belongs to one transaction.

use http::HeaderValue;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};

use super::{pins, responses};
use crate::clock::Time;
use crate::entry::{Digest, Entry, Key, Stored, Validators};

type Result<T> = rusqlite::Result<T>;

/// Opening twice is harmless; a database with other columns fails the last statement.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA journal_size_limit = 8388608;
    CREATE TABLE IF NOT EXISTS entries (
        key TEXT PRIMARY KEY NOT NULL,
        digest BLOB,
        size INTEGER NOT NULL,
        url TEXT NOT NULL,
        etag BLOB,
        last_modified BLOB,
        content_type TEXT,
        fetched_at INTEGER NOT NULL,
        checked_at INTEGER NOT NULL,
        missing_since INTEGER,
        query INTEGER NOT NULL,
        used_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entries_by_digest ON entries (digest, size)
        WHERE digest IS NOT NULL;
    CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used_at) WHERE digest IS NOT NULL;
    CREATE INDEX IF NOT EXISTS queries_by_use ON entries (used_at)
        WHERE digest IS NOT NULL AND query = 1;
    CREATE INDEX IF NOT EXISTS entries_absent ON entries (checked_at) WHERE digest IS NULL;
    CREATE TABLE IF NOT EXISTS notes (
        name TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL
    ) WITHOUT ROWID;
    ";

const COLUMNS: &str = "key, digest, size, url, etag, last_modified, content_type, fetched_at, \
                       checked_at, missing_since";

/// Keys are UTF-8 and compared bytewise, so all keys that begin with a prefix lie between it and
/// the prefix followed by the last character there is.
pub(super) const BY_PREFIX: &str = "key >= ?1 AND key < ?1 || char(1114111)";

/// Up to so many entries are forgotten one by one; beyond that, counting all that is left anew takes
/// no longer.
const FEW: usize = 1000;

/// How much the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries, remembered 404s included.
    pub entries: u64,
    /// Bytes of all bodies that an entry names, each body once.
    pub bodies_bytes: u64,
    /// Remembered 404s.
    pub absent: u64,
    /// Bytes of the answers to queries, a body shared by several of them as often.
    pub queries_bytes: u64,
    /// Responses of raw routes, which count as entries too.
    pub responses: u64,
}

/// Creates what is missing, or fails when the file is not such a database.
pub(super) fn prepare(db: &Connection) -> Result<()> {
    db.execute_batch(SCHEMA)?;
    db.execute_batch(responses::SCHEMA)?;
    db.execute_batch(pins::SCHEMA)?;
    db.prepare(&format!("SELECT {COLUMNS} FROM entries LIMIT 1"))?
        .query_row([], |_| Ok(()))
        .optional()?;
    Ok(())
}

/// The entry of `key`.
pub(super) fn entry(db: &Connection, key: &Key) -> Result<Option<Entry>> {
    statement(db, &format!("SELECT {COLUMNS} FROM entries WHERE key = ?1"))?
        .query_row([key.as_str()], read)
        .optional()
}

/// Keys that begin with `prefix`, in bytewise order, at most `limit`.
pub(super) fn keys(db: &Connection, prefix: &str, limit: usize) -> Result<Vec<Key>> {
    let sql = format!("SELECT key FROM entries WHERE {BY_PREFIX} ORDER BY key LIMIT ?2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement(db, &sql)?
        .query_map(params![prefix, limit], |row| {
            Ok(Key::new(row.get::<_, String>(0)?))
        })?
        .collect()
}

/// Writes an entry over what `key` had and keeps `totals` right. Returns the body it had, if no
/// entry names that one any more.
pub(super) fn put(
    db: &Connection,
    key: &Key,
    entry: &Entry,
    totals: &mut Totals,
) -> Result<Option<Stored>> {
    let before = stored(db, key)?;
    if key.is_query() {
        let old = before.flatten().map_or(0, |old| old.size);
        let new = entry.body.map_or(0, |new| new.size);
        totals.queries_bytes = (totals.queries_bytes + new).saturating_sub(old);
    }
    let shared_before = named_by(db, entry.body.as_ref())?;
    write(db, key, entry)?;
    let mut unnamed = None;
    match before {
        None => totals.entries += 1,
        Some(None) => totals.absent = totals.absent.saturating_sub(1),
        Some(Some(old)) if !named_by(db, Some(&old))? => {
            totals.bodies_bytes = totals.bodies_bytes.saturating_sub(old.size);
            unnamed = Some(old);
        }
        Some(Some(_)) => {}
    }
    match entry.body {
        None => totals.absent += 1,
        Some(body) if !shared_before => totals.bodies_bytes += body.size,
        Some(_) => {}
    }
    Ok(unnamed)
}

/// Removes the entries whose keys begin with `prefix` and gives their keys.
pub(super) fn forget(db: &Connection, prefix: &str, totals: &mut Totals) -> Result<Vec<Key>> {
    let few = keys(db, prefix, FEW + 1)?;
    if few.len() <= FEW {
        for key in &few {
            remove(db, key, totals)?;
        }
        return Ok(few);
    }
    let sql = format!("DELETE FROM entries WHERE {BY_PREFIX} RETURNING key");
    let removed: Vec<Key> = statement(db, &sql)?
        .query_map([prefix], |row| Ok(Key::new(row.get::<_, String>(0)?)))?
        .collect::<Result<_>>()?;
    *totals = count(db)?;
    Ok(removed)
}

/// Removes the entry of one key.
pub(super) fn remove(db: &Connection, key: &Key, totals: &mut Totals) -> Result<()> {
    let Some(body) = stored(db, key)? else {
        return Ok(());
    };
    statement(db, "DELETE FROM entries WHERE key = ?1")?.execute([key.as_str()])?;
    totals.entries = totals.entries.saturating_sub(1);
    if let Some(old) = body.filter(|_| key.is_query()) {
        totals.queries_bytes = totals.queries_bytes.saturating_sub(old.size);
    }
    match body {
        None => totals.absent = totals.absent.saturating_sub(1),
        Some(old) if !named_by(db, Some(&old))? => {
            totals.bodies_bytes = totals.bodies_bytes.saturating_sub(old.size);
        }
        Some(_) => {}
    }
    Ok(())
}

/// Removes the remembered 404s confirmed longest ago until at most `most` are left.
pub(super) fn bound_absent(db: &Connection, most: u64, totals: &mut Totals) -> Result<()> {
    let excess = totals.absent.saturating_sub(most);
    if excess == 0 {
        return Ok(());
    }
    let sql = "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE digest IS NULL \
               ORDER BY checked_at LIMIT ?1)";
    let removed = statement(db, sql)?.execute([to_sql(excess)])? as u64;
    totals.absent = totals.absent.saturating_sub(removed);
    totals.entries = totals.entries.saturating_sub(removed);
    Ok(())
}

/// The totals, counted anew: reads two whole indexes.
pub(super) fn count(db: &Connection) -> Result<Totals> {
    let number = |sql: &str| db.query_row(sql, [], |row| Ok(from_sql(row.get(0)?)));
    let responses = number("SELECT count(*) FROM responses")?;
    Ok(Totals {
        entries: number("SELECT count(*) FROM entries")? + responses,
        bodies_bytes: number(
            "SELECT ifnull(sum(size), 0) FROM \
             (SELECT size FROM entries WHERE digest IS NOT NULL GROUP BY digest, size)",
        )? + number(
            "SELECT ifnull(sum(size), 0) FROM (SELECT size FROM responses WHERE NOT EXISTS \
             (SELECT 1 FROM entries WHERE entries.digest = responses.digest) \
             GROUP BY digest, size)",
        )?,
        absent: number("SELECT count(*) FROM entries WHERE digest IS NULL")?,
        // Without being told, SQLite takes the index of all digests and looks each row up.
        queries_bytes: number(
            "SELECT ifnull(sum(size), 0) FROM entries INDEXED BY queries_by_use \
             WHERE digest IS NOT NULL AND query = 1",
        )?,
        responses,
    })
}

/// Writes a note over what `name` had.
pub(super) fn remember(db: &Connection, name: &str, value: &[u8]) -> Result<()> {
    statement(
        db,
        "INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)",
    )?
    .execute(params![name, value])
    .map(drop)
}

/// The note of that name.
pub(super) fn recall(db: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    statement(db, "SELECT value FROM notes WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(super) fn statement<'db>(db: &'db Connection, sql: &str) -> Result<CachedStatement<'db>> {
    db.prepare_cached(sql)
}

/// Notes that a key was used at a time; a key that is gone was not.
pub(super) fn touch(db: &Connection, key: &Key, at: Time) -> Result<()> {
    statement(db, "UPDATE entries SET used_at = ?2 WHERE key = ?1")?
        .execute(params![key.as_str(), to_sql(at.as_millis())])
        .map(drop)
}

/// Keys with a body that were not used for longest, at most `limit`, with the time of that use in
/// milliseconds; those after a use and key only, and those of queries only, if so wanted.
pub(super) fn least_used(
    db: &Connection,
    queries: bool,
    (used_at, after): &(u64, String),
    limit: u64,
) -> Result<Vec<(Key, Stored, u64)>> {
    let mut statement = statement(db, &least_used_sql(queries))?;
    let values = params![to_sql(*used_at), after, to_sql(limit)];
    let rows = statement.query_map(values, |row| {
        let key = Key::new(row.get::<_, String>(2)?);
        let body = read_body(row)?;
        Ok(body.map(|body| (key, body, row.get(3).map_or(0, from_sql))))
    })?;
    rows.filter_map(Result::transpose).collect()
}

fn least_used_sql(queries: bool) -> String {
    let (index, only) = if queries {
        ("queries_by_use", "AND query = 1")
    } else {
        ("entries_by_use", "")
    };
    format!(
        "SELECT digest, size, key, used_at FROM entries INDEXED BY {index} \
         WHERE digest IS NOT NULL {only} AND (used_at, key) > (?1, ?2) \
         ORDER BY used_at, key LIMIT ?3"
    )
}

/// Sets uses that lie in the future to `now`: the clock was wrong then, and what was used under it
/// would stay longer than anything else.
pub(super) fn forget_future_uses(db: &Connection, now: Time) -> Result<()> {
    let sql = "UPDATE entries SET used_at = ?1 WHERE digest IS NOT NULL AND used_at > ?1";
    statement(db, sql)?.execute([to_sql(now.as_millis())])?;
    Ok(())
}

/// What a key has stored.
#[expect(clippy::option_option, reason = "nothing, a remembered 404, or a body")]
fn stored(db: &Connection, key: &Key) -> Result<Option<Option<Stored>>> {
    statement(db, "SELECT digest, size FROM entries WHERE key = ?1")?
        .query_row([key.as_str()], read_body)
        .optional()
}

/// Whether any entry or response names this body; nothing is a body that none names.
pub(super) fn named_by(db: &Connection, body: Option<&Stored>) -> Result<bool> {
    body.map_or(Ok(false), |body| is_named(db, &body.digest))
}

/// Whether any entry or response names the body with this digest.
pub(super) fn is_named(db: &Connection, digest: &Digest) -> Result<bool> {
    let sql = "SELECT 1 FROM entries WHERE digest = ?1 \
               UNION ALL SELECT 1 FROM responses WHERE digest = ?1 LIMIT 1";
    statement(db, sql)?.exists([digest.as_bytes()])
}

fn write(db: &Connection, key: &Key, entry: &Entry) -> Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO entries ({COLUMNS}, query, used_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?9)"
    );
    let header = |value: &Option<HeaderValue>| value.as_ref().map(|v| v.as_bytes().to_vec());
    statement(db, &sql)?
        .execute(params![
            key.as_str(),
            entry.body.as_ref().map(|body| body.digest.as_bytes()),
            to_sql(entry.body.map_or(0, |body| body.size)),
            entry.url,
            header(&entry.validators.etag),
            header(&entry.validators.last_modified),
            entry.content_type,
            to_sql(entry.fetched_at.as_millis()),
            to_sql(entry.checked_at.as_millis()),
            entry.missing_since.map(|time| to_sql(time.as_millis())),
            key.is_query(),
        ])
        .map(drop)
}

fn read(row: &Row<'_>) -> Result<Entry> {
    let header = |column| {
        row.get::<_, Option<Vec<u8>>>(column)
            .map(|bytes| bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()))
    };
    let time = |millis| Time::from_millis(from_sql(millis));
    Ok(Entry {
        body: body(row.get(1)?, row.get(2)?),
        url: row.get(3)?,
        validators: Validators {
            etag: header(4)?,
            last_modified: header(5)?,
        },
        content_type: row.get(6)?,
        fetched_at: time(row.get(7)?),
        checked_at: time(row.get(8)?),
        missing_since: row.get::<_, Option<i64>>(9)?.map(time),
    })
}

pub(super) fn read_body(row: &Row<'_>) -> Result<Option<Stored>> {
    Ok(body(row.get(0)?, row.get(1)?))
}

pub(super) fn body(digest: Option<Vec<u8>>, size: i64) -> Option<Stored> {
    Some(Stored {
        digest: Digest::from_slice(&digest?)?,
        size: from_sql(size),
    })
}

/// SQLite's integers are signed; sizes and times stay far below the limit.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests;
