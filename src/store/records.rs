//! One small file for each package beside its body, from which a lost index is made anew.
//!
//! These are records of cacache's index, written once and read by nobody in ordinary times; the
//! folder is walked here, because cacache's own listing panics at a damaged record. They are not
//! synced: a power cut that costs the index as well may cost the packages of the last half minute.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cacache::{Integrity, WriteOpts};
use serde::{Deserialize, Serialize};

use super::content;
use super::error::StoreError;
use crate::clock::Time;
use crate::entry::{Digest, Entry, Key, Stored, Validators};

/// A longer record is none of ours.
const LONGEST: u64 = 64 * 1024;

/// What is written down beside key, digest and length; validators as [`Validators::to_texts`] says.
#[derive(Serialize, Deserialize)]
struct Fields {
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
    content_type: Option<String>,
    fetched_at: u64,
    checked_at: u64,
}

/// A record as cacache writes it.
#[derive(Deserialize)]
struct Record {
    key: String,
    integrity: Option<String>,
    size: u64,
    metadata: Fields,
}

/// Where cacache (index version 5) keeps the record of a key under `root`.
pub(super) fn path_of(root: &Path, key: &Key) -> PathBuf {
    let hex = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_str().as_bytes()));
    let (first, rest) = hex.split_at(2);
    let (second, rest) = rest.split_at(2);
    let mut path = folder(root);
    path.extend([first, second, rest]);
    path
}

fn folder(root: &Path) -> PathBuf {
    root.join("index-v5")
}

/// Whether there may be records.
pub(super) fn exist(root: &Path) -> bool {
    folder(root).exists()
}

/// Writes the record of an entry with a body over the one that its key had.
pub(super) fn write(root: &Path, key: &Key, entry: &Entry) -> Result<(), StoreError> {
    let Some(body) = entry.body else {
        return Ok(());
    };
    let [etag, last_modified] = entry.validators.to_texts();
    let fields = Fields {
        url: entry.url.clone(),
        etag,
        last_modified,
        content_type: entry.content_type.clone(),
        fetched_at: entry.fetched_at.as_millis(),
        checked_at: entry.checked_at.as_millis(),
    };
    let integrity = format!("sha256-{}", BASE64_STANDARD.encode(body.digest.as_bytes()));
    let path = path_of(root, key);
    let failed = |error: io::Error| StoreError::io("write record", &path, error);
    let integrity: Integrity = integrity
        .parse()
        .map_err(|_| failed(io::ErrorKind::InvalidData.into()))?;
    let fields = serde_json::to_value(fields).map_err(|error| failed(error.into()))?;
    let options = WriteOpts::new()
        .integrity(integrity)
        .size(usize::try_from(body.size).unwrap_or(usize::MAX))
        .time(u128::from(entry.fetched_at.as_millis()))
        .metadata(fields);
    // A record would be appended to an older one.
    remove(root, key);
    cacache::index::insert(root, key.as_str(), options)
        .map(drop)
        .map_err(|error| failed(io::Error::other(error)))
}

/// Removes the record of a key; most keys have none.
pub(super) fn remove(root: &Path, key: &Key) {
    let path = path_of(root, key);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a record could not be removed");
    }
}

/// Gives the entries of all records whose bodies are there to `each`, as long as that says so.
/// What cannot be read is left out.
pub(super) fn walk(root: &Path, mut each: impl FnMut(Key, Entry) -> bool) {
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    for first in list(&folder(root)) {
        for second in list(&first.path()) {
            for file in list(&second.path()) {
                let found = read(root, &file.path());
                if found.is_some_and(|(key, entry)| !each(key, entry)) {
                    return;
                }
            }
        }
    }
}

fn read(root: &Path, path: &Path) -> Option<(Key, Entry)> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let (check, record) = text.trim_start_matches('\n').split_once('\t')?;
    if Digest::of(record.as_bytes()).to_hex() != check {
        return None;
    }
    let record: Record = serde_json::from_str(record).ok()?;
    let key = Key::new(record.key);
    let digest = record.integrity?;
    let digest = BASE64_STANDARD
        .decode(digest.strip_prefix("sha256-")?)
        .ok()?;
    let body = Stored {
        digest: Digest::from_slice(&digest)?,
        size: record.size,
    };
    let length = fs::metadata(content::path_of(root, &body.digest))
        .ok()?
        .len();
    if length != body.size || path_of(root, &key) != path {
        return None;
    }
    let fields = record.metadata;
    let entry = Entry {
        body: Some(body),
        url: fields.url,
        validators: Validators::of_texts([fields.etag.as_deref(), fields.last_modified.as_deref()]),
        content_type: fields.content_type,
        fetched_at: Time::from_millis(fields.fetched_at),
        checked_at: Time::from_millis(fields.checked_at),
        missing_since: None,
    };
    Some((key, entry))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn entry(root: &Path, body: &[u8]) -> Entry {
        cacache::write_hash_sync(root, body).unwrap();
        Entry {
            body: Some(Stored {
                digest: Digest::of(body),
                size: body.len() as u64,
            }),
            validators: Validators {
                etag: Some(HeaderValue::from_bytes(b"\"\xff\"").unwrap()),
                last_modified: None,
            },
            content_type: Some("a/b".to_owned()),
            missing_since: None,
            ..Entry::absent("https://example.org/a".to_owned(), Time::from_millis(7))
        }
    }

    fn all(root: &Path) -> Vec<(Key, Entry)> {
        let mut all = Vec::new();
        walk(root, |key, entry| {
            all.push((key, entry));
            true
        });
        all
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_is_where_cacache_looks() {
        let dir = tempfile::tempdir().unwrap();
        let (root, key) = (dir.path(), Key::new("f/flat/\u{e4}"));
        write(root, &key, &entry(root, b"old")).unwrap();
        let newer = entry(root, b"new");
        write(root, &key, &newer).unwrap();
        assert_eq!(all(root), [(key.clone(), newer)]);
        let theirs = cacache::index::find(root, key.as_str()).unwrap().unwrap();
        assert_eq!(theirs.size, 3);
        remove(root, &key);
        remove(root, &key);
        assert_eq!(all(root), []);
    }

    #[test]
    fn what_is_no_record_of_a_body_that_is_there_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let keys = ["a", "b", "c", "d", "e", "f"].map(Key::new);
        for key in &keys {
            write(root, key, &entry(root, key.as_str().as_bytes())).unwrap();
        }
        let path = |at: usize| path_of(root, &keys[at]);
        fs::write(path(0), b"").unwrap();
        fs::write(path(1), [0xff; 5000]).unwrap();
        let mut bytes = fs::read(path(2)).unwrap();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        fs::write(path(2), &bytes[..last]).unwrap();
        fs::rename(path(3), path(2).with_file_name("elsewhere")).unwrap();
        fs::remove_file(content::path_of(root, &Digest::of(b"e"))).unwrap();
        let left: Vec<Key> = all(root).into_iter().map(|(key, _)| key).collect();
        assert_eq!(left, [Key::new("f")]);
    }
}
