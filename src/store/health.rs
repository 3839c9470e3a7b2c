//! Whether the disk takes what the store wants to write, and when it does so again.
//!
//! One fault is enough to be degraded: nothing more is written, what comes in is passed on through
//! memory. A probe that writes, syncs and removes a little file tries the disk every one to five
//! seconds and ends it. Damage of single bodies is no matter of this file.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::ErrorCode;
use rustix::io::Errno;
use tokio::sync::{Semaphore, watch};

use super::Shared;
use super::error::{StoreError, StoreErrorKind, blocking};
use super::folder;

/// Between a fault and the first probe, and the longest time between two probes.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5);

/// What a probe writes, in bytes: a disk that has less is still full.
const PROBE: usize = 256 * 1024;

/// Memory for all bodies that are passed on without the disk, in [`UNIT`]s: 64 MiB.
const BUDGET: usize = 1024;

/// Bytes that one permit of the budget is good for.
pub(super) const UNIT: u64 = 64 * 1024;

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// No space, inodes or quota are left.
    Full,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The folder is not there or closed to us.
    Folder,
    /// No file descriptors or kernel memory are left.
    Descriptors,
    /// The disk reports errors.
    Io,
    /// The index is damaged: until a restart.
    Index,
    /// The folder could not be opened at start: until a restart.
    Off,
}

impl Degraded {
    /// All reasons, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Full,
        Self::ReadOnly,
        Self::Folder,
        Self::Descriptors,
        Self::Io,
        Self::Index,
        Self::Off,
    ];

    /// Metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::Folder => "folder",
            Self::Descriptors => "descriptors",
            Self::Io => "io",
            Self::Index => "index",
            Self::Off => "off",
        }
    }

    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Full => "no space on the cache's disk",
            Self::ReadOnly => "the cache's file system is read-only",
            Self::Folder => "the cache's folder is missing or may not be written",
            Self::Descriptors => "no file descriptors are left",
            Self::Io => "the cache's disk reports errors",
            Self::Index => "the cache's index is damaged",
            Self::Off => "the cache's folder could not be opened at start",
        }
    }

    /// What a failure of the store says about its disk; nothing where it is about one body or about
    /// the store's own end.
    pub(super) fn of(error: &StoreError) -> Option<Self> {
        let on_disk = matches!(
            error.kind,
            StoreErrorKind::Full | StoreErrorKind::Io | StoreErrorKind::Index
        );
        on_disk.then(|| {
            let mut cause = error
                .source
                .as_deref()
                .map(|it| it as &(dyn Error + 'static));
            let mut found = None;
            while let Some(error) = cause {
                found = of_cause(error).or(found);
                cause = error.source();
            }
            match error.kind {
                StoreErrorKind::Full => Self::Full,
                _ => found.unwrap_or(Self::Io),
            }
        })
    }
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<Degraded> {
    let index = error.downcast_ref::<rusqlite::Error>();
    let index = index.or_else(|| Some(&**error.downcast_ref::<Arc<rusqlite::Error>>()?));
    if let Some(code) = index.and_then(rusqlite::Error::sqlite_error_code) {
        return match code {
            ErrorCode::DiskFull => Some(Degraded::Full),
            ErrorCode::ReadOnly => Some(Degraded::ReadOnly),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Degraded::Index),
            ErrorCode::CannotOpen => Some(Degraded::Folder),
            ErrorCode::OutOfMemory => Some(Degraded::Descriptors),
            _ => None,
        };
    }
    let error = error.downcast_ref::<io::Error>()?;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => return Some(Degraded::Descriptors),
        Some(Errno::NOTDIR) => return Some(Degraded::Folder),
        _ => {}
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Degraded::Full),
        io::ErrorKind::ReadOnlyFilesystem => Some(Degraded::ReadOnly),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Some(Degraded::Folder),
        _ => None,
    }
}

/// The state of a store's disk, and the memory that takes its place.
pub(super) struct Health {
    state: watch::Sender<Option<Degraded>>,
    pub(super) budget: Arc<Semaphore>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(None),
            budget: Arc::new(Semaphore::new(BUDGET)),
        }
    }
}

impl Health {
    /// Of a store that has no disk.
    pub(super) fn off() -> Self {
        let state = watch::Sender::new(Some(Degraded::Off));
        Self {
            state,
            ..Self::default()
        }
    }

    /// Why nothing is written, if that is so.
    pub(super) fn degraded(&self) -> Option<Degraded> {
        *self.state.borrow()
    }

    /// Takes note of a failed write. What came first stays the reason until it is over.
    pub(super) fn fault(&self, error: &StoreError) {
        let Some(reason) = Degraded::of(error) else {
            return;
        };
        let changed = self.state.send_if_modified(|state| {
            let healthy = state.is_none();
            if healthy {
                *state = Some(reason);
            }
            healthy
        });
        if changed {
            let cause = error.to_string();
            tracing::error!(
                reason = reason.name(),
                cause,
                "the cache is degraded: {}; what is not stored yet is passed on and not kept",
                reason.text()
            );
        }
    }

    fn recovered(&self) {
        if let Some(reason) = self.state.send_replace(None) {
            let reason = reason.name();
            tracing::info!(reason, "the cache is in order again");
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<Degraded>> {
        self.state.subscribe()
    }
}

/// Probes the disk of a degraded store until it is in order; ends with the store.
pub(super) async fn recover(store: Weak<Shared>, mut state: watch::Receiver<Option<Degraded>>) {
    while state.wait_for(Option::is_some).await.is_ok() {
        let mut pause = SOONEST;
        loop {
            tokio::time::sleep(pause).await;
            let Some(store) = store.upgrade() else { return };
            match store.probe().await {
                Ok(()) => break store.health.recovered(),
                Err(error) => tracing::debug!(%error, "the cache is still degraded"),
            }
            pause = (pause * 2).min(LATEST);
        }
    }
}

impl Shared {
    /// Tries whether bodies and the index can be written.
    async fn probe(&self) -> Result<(), StoreError> {
        if self.health.degraded() == Some(Degraded::Full) {
            // The writer looks for room to make whenever it is woken up.
            self.index.counted().await?;
        }
        let drafts = Arc::clone(&self.drafts);
        blocking("probe", move || probe(&drafts)).await?;
        self.index.remember("probe", b"").await
    }
}

fn probe(drafts: &Path) -> Result<(), StoreError> {
    let folder = drafts.join("probe");
    folder::create(&folder)?;
    let written = tempfile::tempfile_in(&folder).and_then(|mut file| {
        file.write_all(&vec![0; PROBE])?;
        file.sync_all()
    });
    // Empty again; what stays is found at the next probe.
    let _ = std::fs::remove_dir(&folder);
    written.map_err(|error| StoreError::io("probe", &folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_disk_are_told_apart() {
        let of = |errno: Errno| {
            let error = io::Error::from(errno);
            // As `tempfile` wraps it.
            let wrapped = io::Error::new(error.kind(), Outer(error));
            Degraded::of(&StoreError::io("write", Path::new("/x"), wrapped))
        };
        for (errno, expected) in [
            (Errno::NOSPC, Degraded::Full),
            (Errno::DQUOT, Degraded::Full),
            (Errno::ROFS, Degraded::ReadOnly),
            (Errno::MFILE, Degraded::Descriptors),
            (Errno::NFILE, Degraded::Descriptors),
            (Errno::NOENT, Degraded::Folder),
            (Errno::ACCESS, Degraded::Folder),
            (Errno::IO, Degraded::Io),
        ] {
            assert_eq!(of(errno), Some(expected), "{errno:?}");
        }
        assert_eq!(Degraded::of(&StoreError::closed()), None);
        assert_eq!(Degraded::of(&StoreError::failed("x")), None);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_first_fault_is_the_reason_until_it_is_over() {
        let health = Health::default();
        let fault = |errno: Errno| {
            health.fault(&StoreError::io("write", Path::new("/x"), errno.into()));
        };
        assert_eq!(health.degraded(), None);
        fault(Errno::NOSPC);
        fault(Errno::IO);
        assert_eq!(health.degraded(), Some(Degraded::Full));
        health.recovered();
        assert_eq!(health.degraded(), None);
    }
}
