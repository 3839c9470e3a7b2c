//! Pins: what never makes room for others.
//!
//! A pin is a name and the prefixes of keys that it covers; what the name means is for others to
//! know. They are rows of a table of their own, so that an older version of the program can still
//! use the index, and the writer has them in memory.

use rusqlite::{Connection, params};

use super::Store;
use super::error::StoreError;
use super::order::Task;
use super::table::statement;

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS pins (
        name TEXT NOT NULL,
        prefix TEXT NOT NULL,
        PRIMARY KEY (name, prefix)
    ) WITHOUT ROWID;
    ";

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What it was asked for with.
    pub name: String,
    /// Keys that begin with one of these are pinned.
    pub prefixes: Vec<String>,
}

/// Prefixes of keys, ready to be looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned(Vec<String>);

impl Pinned {
    /// What these prefixes cover.
    pub fn new(mut prefixes: Vec<String>) -> Self {
        prefixes.sort_unstable();
        let mut least: Vec<String> = Vec::new();
        for prefix in prefixes {
            if least.last().is_none_or(|last| !prefix.starts_with(last)) {
                least.push(prefix);
            }
        }
        Self(least)
    }

    /// Whether a key is pinned. None of the prefixes is the beginning of another, so only the
    /// greatest that is not greater than the key can be its beginning.
    pub fn covers(&self, key: &str) -> bool {
        let after = self.0.partition_point(|prefix| prefix.as_str() <= key);
        let nearest = after.checked_sub(1).and_then(|at| self.0.get(at));
        nearest.is_some_and(|prefix| key.starts_with(prefix))
    }

    /// Whether nothing is pinned.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Store {
    /// Pins all keys that begin with one of `prefixes`, stored or not; a pin of the same name is
    /// replaced. Says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be written.
    pub async fn pin(&self, name: &str, prefixes: Vec<String>) -> Result<bool, StoreError> {
        let task = Task::Pin(name.to_owned(), prefixes);
        self.0.index.order(task).await.map(|had| had > 0)
    }

    /// Removes the pin of this name and says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be written.
    pub async fn unpin(&self, name: &str) -> Result<bool, StoreError> {
        let task = Task::Unpin(name.to_owned());
        self.0.index.order(task).await.map(|had| had > 0)
    }

    /// All pins, by name.
    ///
    /// # Errors
    /// [`StoreError`] when the index cannot be read.
    pub async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        self.0.index.read(all).await
    }
}

/// Writes a pin over the one of the same name and says how many prefixes that had.
pub(super) fn put(db: &Connection, name: &str, prefixes: &[String]) -> rusqlite::Result<u64> {
    let had = remove(db, name)?;
    let mut insert = statement(
        db,
        "INSERT OR IGNORE INTO pins (name, prefix) VALUES (?1, ?2)",
    )?;
    for prefix in prefixes {
        insert.execute(params![name, prefix])?;
    }
    Ok(had)
}

/// Removes a pin and says how many prefixes it had.
pub(super) fn remove(db: &Connection, name: &str) -> rusqlite::Result<u64> {
    let removed = statement(db, "DELETE FROM pins WHERE name = ?1")?.execute([name])?;
    Ok(removed as u64)
}

/// All prefixes.
pub(super) fn prefixes(db: &Connection) -> rusqlite::Result<Vec<String>> {
    statement(db, "SELECT DISTINCT prefix FROM pins")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn all(db: &Connection) -> rusqlite::Result<Vec<Pin>> {
    let mut statement = statement(db, "SELECT name, prefix FROM pins ORDER BY name, prefix")?;
    let mut pins: Vec<Pin> = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, prefix): (String, String) = (row.get(0)?, row.get(1)?);
        match pins.last_mut() {
            Some(last) if last.name == name => last.prefixes.push(prefix),
            _ => pins.push(Pin {
                name,
                prefixes: vec![prefix],
            }),
        }
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_begins_with_a_prefix_is_covered() {
        let texts = ["f/a/", "f/a/1/", "f/a.b/", "f/é", "g/"];
        let pinned = Pinned::new(texts.map(str::to_owned).to_vec());
        for key in [
            "", "e", "f/a", "f/a/", "f/a/0", "f/a/1/x", "f/a/2", "f/a.", "f/a.b/1", "f/a.c", "f/e",
            "f/éa", "f/ê", "g/", "g/z", "h",
        ] {
            let expected = texts.iter().any(|text| key.starts_with(text));
            assert_eq!(pinned.covers(key), expected, "{key}");
        }
        assert!(!Pinned::default().covers(""));
    }
}
