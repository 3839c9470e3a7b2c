//! What can go wrong with the disk, sorted by what the engine does about it.
//!
//! It deliberately knows no HTTP status; the edge decides what a client sees. The text of every
//! error names the file or folder concerned.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// What a store error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Another process holds the store's directory.
    Locked,
    /// No space or quota is left: go on without storing.
    Full,
    /// The disk refused for another reason: go on without storing.
    Io,
    /// The body's file is not there: treat the entry as a miss.
    Missing,
    /// The body's file does not hold the body: treat the entry as a miss.
    Damaged,
    /// The index could not be read or written.
    Index,
    /// The draft will never be complete; the context is the reason.
    Failed,
    /// What is passed on without being kept is gone before this reader got it: asking anew helps.
    Behind,
    /// The store has been closed.
    Closed,
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Locked => "in use by another process",
            Self::Full => "no space left",
            Self::Io => "disk error",
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Index => "index error",
            Self::Failed => "incomplete body",
            Self::Behind => "gone already",
            Self::Closed => "the store is closed",
        })
    }
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[error("{context}: {kind}")]
pub struct StoreError {
    /// What the caller should do about it.
    pub kind: StoreErrorKind,
    /// What was being done, to which path.
    pub context: String,
    /// The error underneath.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error with nothing underneath.
    pub(super) fn new(kind: StoreErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// A draft that will never be complete.
    pub(super) fn failed(reason: &str) -> Self {
        Self::new(StoreErrorKind::Failed, reason)
    }

    /// Use of a store after it was closed.
    pub(super) fn closed() -> Self {
        Self::new(StoreErrorKind::Closed, "index")
    }

    /// The same error with another kind.
    pub(super) fn with_kind(mut self, kind: StoreErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// An error of the file system at `path` while doing `what`.
    pub(super) fn io(what: &str, path: &Path, source: io::Error) -> Self {
        Self {
            kind: kind_of(&source),
            context: format!("{what} {}", path.display()),
            source: Some(source.into()),
        }
    }

    /// An error of the index while doing `what`.
    pub(super) fn index(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind: StoreErrorKind::Index,
            context: what.into(),
            source: Some(source.into()),
        }
    }
}

/// The kind of an I/O error.
pub(super) fn kind_of(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        io::ErrorKind::UnexpectedEof => StoreErrorKind::Damaged,
        _ => StoreErrorKind::Io,
    }
}

/// Runs `job` on the blocking pool; a job that panicked or was cut off by the runtime's end is an
/// I/O error.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => result,
        Err(lost) => Err(StoreError {
            kind: StoreErrorKind::Io,
            context: what.to_owned(),
            source: Some(lost.into()),
        }),
    }
}

/// Runs a test whose blocking jobs cannot begin until it drops what it is given.
#[cfg(test)]
pub(super) fn with_busy_pool<F: Future<Output = ()>>(
    test: impl FnOnce(std::sync::mpsc::Sender<()>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (free_pool, wait) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        tokio::task::spawn_blocking(move || wait.recv());
        test(free_pool).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let kind = |errno: rustix::io::Errno| {
            StoreError::io("write", Path::new("/x"), io::Error::from(errno)).kind
        };
        assert_eq!(kind(rustix::io::Errno::NOSPC), StoreErrorKind::Full);
        assert_eq!(kind(rustix::io::Errno::DQUOT), StoreErrorKind::Full);
        assert_eq!(kind(rustix::io::Errno::IO), StoreErrorKind::Io);
        assert_eq!(kind(rustix::io::Errno::NOENT), StoreErrorKind::Io);
    }

    #[test]
    fn the_text_names_the_path() {
        let error = StoreError::io("write", Path::new("/x/y"), rustix::io::Errno::NOSPC.into());
        assert_eq!(error.to_string(), "write /x/y: no space left");
    }
}
