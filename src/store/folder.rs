//! The store's directory: its layout, its lock, and what an unclean end may have left in it.
//!
//! Folder names carry the version of their format, so that a later format can live beside an older
//! one. Nothing here scans bodies: opening a store takes the same time whatever its size.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{StoreError, StoreErrorKind};

/// Name of the socket for commands, in the store's directory.
pub const CONTROL: &str = "control.sock";

/// Name of the folder of bodies found damaged, in the store's directory.
pub const DAMAGED: &str = "damaged-v1";
/// There while a store is open.
const RUNNING: &str = "running";

/// The directory of an open store; the lock is held as long as this lives.
pub(super) struct Folder {
    root: PathBuf,
    unclean: bool,
    _lock: Lock,
}

impl Folder {
    /// Creates what is missing, takes the lock, marks the folder as in use, then removes unfinished
    /// writes.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        create(root)?;
        let lock = lock(root)?;
        let folder = Self {
            root: root.to_owned(),
            unclean: root.join(RUNNING).exists(),
            _lock: lock,
        };
        if let Err(error) = folder.mark() {
            tracing::warn!(%error, "an unclean end of this run will not be noticed");
        }
        create(&folder.bodies())?;
        create(&folder.drafts())?;
        clear(&folder.drafts())?;
        clear(&folder.bodies().join("tmp"))?;
        Ok(folder)
    }

    /// Whether whoever used the folder last was cut off: by a crash, a kill or a power cut.
    pub(super) fn was_cut_off(&self) -> bool {
        self.unclean
    }

    fn mark(&self) -> Result<(), StoreError> {
        let path = self.root.join(RUNNING);
        File::create(&path)
            .and_then(|file| file.sync_all())
            .and_then(|()| File::open(&self.root)?.sync_all())
            .map_err(|error| StoreError::io("mark", &path, error))
    }

    /// Brings everything onto the disk and takes the mark away; blocks. A mark that stays only makes
    /// the next start look closer.
    pub(super) fn end(&self) {
        let synced = File::open(&self.root).and_then(|root| Ok(rustix::fs::syncfs(&root)?));
        if let Err(error) = synced.and_then(|()| fs::remove_file(self.root.join(RUNNING)))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the store could not be synced at the end");
        }
    }

    /// The cacache folder with the bodies.
    pub(super) fn bodies(&self) -> PathBuf {
        self.root.join("bodies-v1")
    }

    /// Where drafts are written.
    pub(super) fn drafts(&self) -> PathBuf {
        self.root.join("drafts-v1")
    }

    /// The index database.
    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index-v2.sqlite3")
    }
}

/// Bodies may be private packages: a folder made here is for its owner only.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StoreError::io("create folder", path, error))
}

/// The lock of a directory. Given back in so many words: to close the file is not enough while a
/// program that is just being started has it too.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What cannot be unlocked is closed.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn lock(root: &Path) -> Result<Lock, StoreError> {
    let path = root.join("lock");
    let failed = |error| StoreError::io("lock", &path, error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(Errno::WOULDBLOCK) => Err(StoreError::new(
            StoreErrorKind::Locked,
            format!("store {}", root.display()),
        )),
        Err(error) => Err(failed(error.into())),
    }
}

/// Removes the files in `folder`; a folder that is not there is clear.
fn clear(folder: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("clear", folder, error);
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files.map_err(failed)?,
    };
    for file in files {
        let file = file.map_err(failed)?;
        if file.file_type().map_err(failed)?.is_file() {
            fs::remove_file(file.path()).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_whoever_has_the_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        let copy = first.0.try_clone().unwrap();
        assert!(lock(dir.path()).is_err());
        drop(first);
        assert!(lock(dir.path()).is_ok());
        drop(copy);
    }

    #[test]
    fn an_end_without_end_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Folder::open(dir.path()).unwrap();
        assert!(!open().was_cut_off());
        assert!(open().was_cut_off());
        let third = open();
        third.end();
        third.end();
        drop(third);
        assert!(!open().was_cut_off());
    }
}
