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

/// The directory of an open store; the lock is held as long as this lives.
pub(super) struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates what is missing, takes the lock, then removes unfinished writes.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        create(root)?;
        let folder = Self {
            root: root.to_owned(),
            _lock: lock(root)?,
        };
        create(&folder.bodies())?;
        create(&folder.drafts())?;
        clear(&folder.drafts())?;
        clear(&folder.bodies().join("tmp"))?;
        Ok(folder)
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

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let failed = |error| StoreError::io("lock", &path, error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
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
