//! The file of the index: opening it, checking it, and putting one that is damaged aside.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::{StoreError, StoreErrorKind};
use super::table;

/// Opens or creates the database at `path`; a damaged one is put aside. Says whether it is new.
pub(super) fn open_or_replace(path: &Path) -> Result<(Connection, bool), StoreError> {
    let context = || format!("open index {}", path.display());
    let new = !fs::metadata(path).is_ok_and(|found| found.len() > 0);
    if new {
        // What is left of one that is gone belongs to nothing.
        drop(move_aside(path));
    }
    match open(path) {
        Ok(db) => Ok((db, new)),
        Err(error) if !is_unusable(&error) => {
            let kind = match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
                _ => StoreErrorKind::Index,
            };
            Err(StoreError::index(context(), error).with_kind(kind))
        }
        Err(error) => replace(path, &error).map(|db| (db, true)),
    }
}

/// Puts the database at `path`, which nobody here has open for writing, aside for an empty one.
pub(super) fn replace(path: &Path, why: &rusqlite::Error) -> Result<Connection, StoreError> {
    let aside = move_aside(path)
        .map_err(|error| StoreError::io("move aside damaged index", path, error))?;
    tracing::error!(
        error = %why,
        index = %path.display(),
        moved_to = %aside.display(),
        "the index is damaged; packages are found again, everything else is fetched anew"
    );
    let context = || format!("open index {}", path.display());
    open(path).map_err(|error| StoreError::index(context(), error))
}

/// A connection that only reads.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

/// Reads the whole database; an error when it is damaged.
pub(super) fn check(path: &Path) -> rusqlite::Result<()> {
    let db = open_to_read(path)?;
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(found)))
}

/// Whether the database is to blame for an error of a query.
pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    table::prepare(&db)?;
    Ok(db)
}

/// Whether the file itself is to blame: no database, a damaged one, or one with other tables
/// (whose code is SQLite's plain error). Everything else may pass, and the file may well be good.
pub(super) fn is_unusable(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    is_damaged(error) || matches!(code, None | Some(ErrorCode::Unknown))
}

/// The most databases that are put aside; the last one makes room for further ones.
const ASIDE: u32 = 8;

/// Renames the database and its two companions to the first free `.damaged-<n>`.
fn move_aside(path: &Path) -> std::io::Result<PathBuf> {
    let with = |suffix: String| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut number = 1;
    while number < ASIDE && with(format!(".damaged-{number}")).exists() {
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
