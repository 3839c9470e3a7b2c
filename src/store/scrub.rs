//! Looks whether stored bodies are what their names say, and whether any entry names them.
//!
//! One body at a time, so that the caller decides how fast. What is damaged is put aside, so that
//! asking for it is a miss; what no entry names is removed by the writer, which alone can know.

use std::fs;
use std::io;
use std::path::Path;

use super::Store;
use super::error::{StoreError, blocking};
use crate::entry::Digest;

/// Folders of bodies: the first byte of their digests.
pub const SHARDS: u16 = 256;

/// What became of a body that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// It is what its name says, and an entry names it.
    Good,
    /// No entry names it; it was removed.
    Orphan,
    /// It is not what its name says; it was put aside.
    Damaged,
    /// It is not there any more.
    Gone,
}

impl Inspected {
    /// Metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Orphan => "orphan",
            Self::Damaged => "damaged",
            Self::Gone => "gone",
        }
    }
}

impl Store {
    /// The bodies on disk whose digests begin with this byte, and their lengths in bytes.
    ///
    /// # Errors
    /// [`StoreError`] when a folder cannot be read.
    pub async fn shard(&self, first: u8) -> Result<Vec<(Digest, u64)>, StoreError> {
        let folder = self.0.bodies.shard(first);
        blocking("list bodies", move || list(first, &folder)).await
    }

    /// Reads a body whole and deals with it as [`Inspected`] says.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or moved.
    pub async fn inspect(&self, digest: Digest) -> Result<Inspected, StoreError> {
        match self.0.bodies.judge(digest).await? {
            None => Ok(Inspected::Gone),
            Some(false) => Ok(Inspected::Damaged),
            Some(_) if self.0.index.remove_orphan(digest).await? => Ok(Inspected::Orphan),
            Some(_) => Ok(Inspected::Good),
        }
    }
}

/// Files two folders down; what has no digest for a name is left alone.
fn list(first: u8, folder: &Path) -> Result<Vec<(Digest, u64)>, StoreError> {
    let mut found = Vec::new();
    for second in entries(folder)? {
        for file in entries(&second.path())? {
            let names = [second.file_name(), file.file_name()];
            let rest: String = names.iter().filter_map(|name| name.to_str()).collect();
            let bytes = hex::decode(format!("{first:02x}{rest}")).unwrap_or_default();
            let Some(digest) = Digest::from_slice(&bytes) else {
                continue;
            };
            // Removed since the folder was read.
            let Ok(metadata) = file.metadata() else {
                continue;
            };
            found.push((digest, metadata.len()));
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, StoreError> {
    let failed = |error| StoreError::io("list", folder, error);
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries
            .map_err(failed)?
            .collect::<io::Result<_>>()
            .map_err(failed),
    }
}
