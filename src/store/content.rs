//! Body files by digest: where cacache keeps them, and how they get there and onto the disk.
//!
//! Everything here blocks. cacache writes the content and nothing else is taken from it: its readers
//! hash on every read, its index grows with every write, and it never syncs, so this module opens
//! and checks the files by path itself.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use cacache::{Algorithm, WriteOpts};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::draft_reader::DraftFile;
use super::error::{StoreError, StoreErrorKind, kind_of};
use super::stamp::Stamp;
use crate::entry::{Digest, Stored};

/// How many bytes are copied or hashed at a time.
const BLOCK: usize = 256 * 1024;

/// Where cacache (content version 2) keeps the body with this digest under `root`.
pub(super) fn path_of(root: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.to_hex();
    let (first, rest) = hex.split_at(2);
    let (second, rest) = rest.split_at(2);
    let mut path = root.join("content-v2");
    path.extend(["sha256", first, second, rest]);
    path
}

/// Opens a body; missing or of another length than `stored` says is an error that means "a miss".
pub(super) fn open(root: &Path, stored: &Stored) -> Result<(File, Stamp), StoreError> {
    let path = path_of(root, &stored.digest);
    let failed = |error| StoreError::io("open body", &path, error);
    let file = match open_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(failed(error).with_kind(StoreErrorKind::Missing));
        }
        Err(error) if is_link(&error) => {
            return Err(failed(error).with_kind(StoreErrorKind::Damaged));
        }
        file => file.map_err(failed)?,
    };
    let stamp = Stamp::of(&file).map_err(failed)?;
    let found = stamp.size;
    if found == stored.size {
        return Ok((file, stamp));
    }
    let context = format!(
        "body {} has {found} bytes, not {}",
        path.display(),
        stored.size
    );
    Err(StoreError::new(StoreErrorKind::Damaged, context))
}

/// Whether a file was not opened because it is a link.
fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// Opens a body's own file: a link in its place was put there by somebody else.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Reads a body whole and checks it against its digest.
pub(super) fn read_whole(root: &Path, stored: &Stored) -> Result<Bytes, StoreError> {
    let (mut file, _) = open(root, stored)?;
    let path = path_of(root, &stored.digest);
    let mut bytes = Vec::with_capacity(usize::try_from(stored.size).unwrap_or(0));
    file.read_to_end(&mut bytes)
        .map_err(|error| unreadable(&path, error))?;
    if Digest::of(&bytes) == stored.digest {
        return Ok(bytes.into());
    }
    Err(damaged(&path))
}

/// Removes a body; one that is not there is removed already.
pub(super) fn remove(root: &Path, digest: &Digest) -> Result<(), StoreError> {
    let path = path_of(root, digest);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove body", &path, error))
        }
        _ => Ok(()),
    }
}

/// Whether a body is what its name says; `None` when it is not there. Blocks of the disk that are
/// lost are damage like any other.
pub(super) fn is_intact(root: &Path, digest: &Digest) -> Result<Option<bool>, StoreError> {
    let path = path_of(root, digest);
    let file = match open_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_link(&error) => return Ok(Some(false)),
        file => file.map_err(|error| StoreError::io("open body", &path, error))?,
    };
    match digest_of(&file) {
        Ok(found) => Ok(Some(found == Some(*digest))),
        Err(error) => match unreadable(&path, error) {
            error if error.kind == StoreErrorKind::Damaged => Ok(Some(false)),
            error => Err(error),
        },
    }
}

/// The digest of an open file, whose cursor stays where it is.
pub(super) fn digest_of(file: &File) -> io::Result<Option<Digest>> {
    hash(Whole { file, position: 0 })
}

/// A file from its first byte to its last.
struct Whole<'a> {
    file: &'a File,
    position: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// A failure to read a body file: what the disk has lost is damage.
pub(super) fn unreadable(path: &Path, error: io::Error) -> StoreError {
    let lost = [Errno::IO, Errno::UCLEAN, Errno::BADMSG];
    let lost = lost.map(Errno::raw_os_error);
    let damaged = error
        .raw_os_error()
        .is_some_and(|code| lost.contains(&code));
    let error = StoreError::io("read body", path, error);
    if damaged {
        error.with_kind(StoreErrorKind::Damaged)
    } else {
        error
    }
}

/// The most damaged bodies that are put aside; further ones are removed.
const ASIDE: usize = 64;

/// Puts a damaged body aside, where nobody asks for it; one that is not there is aside already.
pub(super) fn put_aside(root: &Path, aside: &Path, digest: &Digest) -> Result<(), StoreError> {
    let path = path_of(root, digest);
    let full = fs::read_dir(aside).map_or(0, Iterator::count) >= ASIDE;
    if full {
        return remove(root, digest);
    }
    let moved = super::folder::create(aside).and_then(|()| {
        fs::rename(&path, aside.join(digest.to_hex()))
            .map_err(|error| StoreError::io("put aside body", &path, error))
    });
    match moved {
        // It must not be served, wherever it is.
        Err(_) => remove(root, digest),
        moved => moved,
    }
}

/// A body that is in its place, but perhaps not on the disk yet.
pub(super) struct Written {
    /// Its file.
    pub(super) path: PathBuf,
    /// The folders whose names have to be synced with it.
    pub(super) folders: Vec<PathBuf>,
}

/// What [`store`] did.
pub(super) struct Placed {
    /// What has to be synced.
    pub(super) written: Written,
    /// What the file is like now.
    pub(super) stamp: Stamp,
    /// Whether it was written anew.
    pub(super) new: bool,
}

/// Stores a finished draft under its digest. An intact body is left alone: replacing a durable file
/// by one not yet synced could lose it to a power cut. One with the stamp `known` is intact.
pub(super) fn store(
    root: &Path,
    draft: DraftFile,
    stored: &Stored,
    known: Option<Stamp>,
) -> Result<Placed, StoreError> {
    let path = path_of(root, &stored.digest);
    let found = Stamp::of_path(&path).ok();
    let intact = found.is_some()
        && (found == known || matches!(is_intact(root, &stored.digest), Ok(Some(true))));
    let folders: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .take(5)
        .map(Path::to_owned)
        .collect();
    let new_folders = folders.iter().filter(|folder| !folder.exists()).count();
    let stamp = match found.filter(|_| intact) {
        Some(found) => found,
        None => write(root, draft, stored)?,
    };
    let folders = folders.into_iter().take(1 + new_folders).collect();
    Ok(Placed {
        written: Written { path, folders },
        stamp,
        new: !intact,
    })
}

/// Copies the draft in through cacache, whose own digest must agree.
fn write(root: &Path, draft: DraftFile, stored: &Stored) -> Result<Stamp, StoreError> {
    let path = path_of(root, &stored.digest);
    let disk = |error| StoreError::io("write body", &path, error);
    let mut writer = WriteOpts::new()
        .algorithm(Algorithm::Sha256)
        .size(usize::try_from(stored.size).unwrap_or(usize::MAX))
        .open_hash_sync(root)
        .map_err(|error| from_cacache(&path, error))?;
    copy(draft, &mut writer).map_err(disk)?;
    let integrity = writer
        .commit()
        .map_err(|error| from_cacache(&path, error))?;
    let found = hex::decode(integrity.to_hex().1).unwrap_or_default();
    match Digest::from_slice(&found) {
        Some(found) if found == stored.digest => Stamp::of_path(&path).map_err(disk),
        found => {
            // Published under an address nobody asked for; it must not stay as an orphan.
            if let Some(found) = found {
                remove(root, &found)?;
            }
            Err(damaged(&path))
        }
    }
}

/// cacache feeds its hash before it knows how much of a write succeeded, so a short write must not
/// be continued: it is an error here.
fn copy(from: impl Read, to: &mut cacache::SyncWriter) -> io::Result<()> {
    for_each_block(from, |block| match to.write(block)? {
        written if written == block.len() => Ok(()),
        _ => Err(io::ErrorKind::StorageFull.into()),
    })
}

fn hash(from: impl Read) -> io::Result<Option<Digest>> {
    let mut hash = Context::new(&SHA256);
    for_each_block(from, |block| {
        hash.update(block);
        Ok(())
    })?;
    Ok(Digest::from_slice(hash.finish().as_ref()))
}

fn for_each_block(
    from: impl Read,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut from = BufReader::with_capacity(BLOCK, from);
    loop {
        let block = from.fill_buf()?;
        if block.is_empty() {
            return Ok(());
        }
        each(block)?;
        let length = block.len();
        from.consume(length);
    }
}

fn damaged(path: &Path) -> StoreError {
    let context = format!("body {} does not match its digest", path.display());
    StoreError::new(StoreErrorKind::Damaged, context)
}

fn from_cacache(path: &Path, error: cacache::Error) -> StoreError {
    let kind = match &error {
        cacache::Error::IoError(io, _) => kind_of(io),
        _ => StoreErrorKind::Io,
    };
    StoreError {
        kind,
        context: format!("write body {}", path.display()),
        source: Some(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_one_cacache_uses() {
        let dir = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"hello world", &[7; 5000]] {
            cacache::write_hash_sync(dir.path(), bytes).unwrap();
            let digest = Digest::of(bytes);
            let path = path_of(dir.path(), &digest);
            assert_eq!(fs::read(&path).unwrap(), bytes);
            let hex = digest.to_hex();
            let expected = format!(
                "content-v2/sha256/{}/{}/{}",
                &hex[..2],
                &hex[2..4],
                &hex[4..]
            );
            assert_eq!(path, dir.path().join(expected));
        }
    }
}
