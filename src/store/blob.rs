//! A stored body, ready to be read by any number of readers.
//!
//! Small bodies are in memory, others an open file. Files are only ever renamed over or unlinked,
//! never truncated in place, so an open body stays whole whatever happens to its name. Reading does
//! not verify; that is done when a body is sealed and when a small one is loaded.

use std::fs::File;
use std::future::poll_fn;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::chunk::{self, Chunks};
use super::error::StoreError;

/// The largest chunk a body's reader gives.
const CHUNK: u64 = 128 * 1024;

/// How far ahead the kernel is asked to read when a page is not resident.
const AHEAD: u64 = 2 * 1024 * 1024;

/// A stored body.
#[derive(Clone, Debug)]
pub enum Blob {
    /// In memory, at most 16 KiB.
    Bytes(Bytes),
    /// An open file.
    File(Arc<OpenBlob>),
}

/// An open body file.
#[derive(Debug)]
pub struct OpenBlob {
    file: Arc<File>,
    size: u64,
    unreadable: AtomicBool,
}

impl OpenBlob {
    pub(super) fn new(file: File, size: u64) -> Self {
        Self {
            file: Arc::new(file),
            size,
            unreadable: AtomicBool::new(false),
        }
    }

    /// Notes that reading or sending it has failed.
    pub fn fail(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// Whether a read of it has failed: it is to be put aside.
    pub(super) fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// The file, for positioned reads and sendfile; nobody moves its cursor or writes to it.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The body's length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether sending the bytes in `range` would not wait for the disk, as far as samples tell;
    /// `None` where the system cannot say.
    pub fn is_resident(&self, range: Range<u64>) -> Option<bool> {
        chunk::is_resident(&self.file, range)
    }

    /// Brings the bytes in `range` into memory, and asks for those that follow. Waits for the disk.
    ///
    /// # Errors
    /// Those of the disk, also when the file is shorter.
    pub fn bring_in(&self, range: Range<u64>) -> std::io::Result<()> {
        chunk::bring_in(&self.file, range, AHEAD)
    }
}

impl Blob {
    /// A body of this size in an open file that nobody writes to.
    pub fn open(file: File, size: u64) -> Self {
        Self::File(Arc::new(OpenBlob::new(file, size)))
    }

    /// The body's length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(open) => open.size,
        }
    }

    /// A reader of the bytes in `range`, which is cut off at the end of the body.
    pub fn reader(&self, range: Range<u64>) -> BlobReader {
        let end = range.end.min(self.size());
        let start = range.start.min(end);
        let source = match self {
            Self::Bytes(bytes) => Source::Bytes(bytes.slice(to_usize(start)..to_usize(end))),
            Self::File(open) => {
                let ahead = AHEAD.min(end - start);
                let chunks = Chunks::new(Arc::clone(&open.file), start, ahead);
                Source::File(Arc::clone(open), chunks)
            }
        };
        BlobReader {
            source,
            left: end - start,
        }
    }
}

/// Reads a range of a stored body forward.
pub struct BlobReader {
    source: Source,
    left: u64,
}

enum Source {
    Bytes(Bytes),
    File(Arc<OpenBlob>, Chunks),
}

impl BlobReader {
    /// How many bytes are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The open file and where in it the next byte is, if the bytes come from a file.
    pub fn file(&self) -> Option<(&Arc<OpenBlob>, u64)> {
        match &self.source {
            Source::File(open, chunks) => Some((open, chunks.position())),
            Source::Bytes(_) => None,
        }
    }

    /// Passes over bytes of a file that were sent without being read.
    pub fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        match &mut self.source {
            Source::File(_, chunks) => chunks.skip(bytes),
            Source::Bytes(left) => drop(left.split_to(to_usize(bytes))),
        }
        self.left -= bytes;
    }

    /// The next 1 to 131,072 bytes; `None` at the end of the range; an error when the disk fails or
    /// the file is shorter than the body. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`BlobReader::next`] for bodies that are polled.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StoreError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let want = to_usize(self.left.min(CHUNK));
        let bytes = match &mut self.source {
            Source::Bytes(bytes) => Ok(bytes.split_to(want)),
            Source::File(open, chunks) => {
                let read = ready!(chunks.poll_next(cx, want));
                if read.is_err() {
                    open.fail();
                }
                read
            }
        };
        if let Ok(bytes) = &bytes {
            self.left -= bytes.len() as u64;
        }
        let failed = |error| StoreError::io("read", Path::new("body"), error);
        Poll::Ready(Some(bytes.map_err(failed)))
    }
}

/// A length inside a body in memory or inside a chunk, which always fits.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn check(bytes: &[u8], range: Range<u64>, expected: Range<usize>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let open = OpenBlob::new(file, bytes.len() as u64);
        let blobs = [
            Blob::Bytes(Bytes::copy_from_slice(bytes)),
            Blob::File(Arc::new(open)),
        ];
        for blob in blobs {
            let mut reader = blob.reader(range.clone());
            assert_eq!(reader.left(), expected.len() as u64);
            let mut all = Vec::new();
            while let Some(chunk) = reader.next().await {
                all.extend_from_slice(&chunk.unwrap());
            }
            assert!(all == bytes[expected.clone()], "{range:?}");
        }
    }

    #[tokio::test]
    async fn ranges_are_exact() {
        let bytes: Vec<u8> = (0..=250).cycle().take(400_000).collect();
        check(&bytes, 0..400_000, 0..400_000).await;
        check(&bytes, 0..1, 0..1).await;
        check(&bytes, 131_071..262_145, 131_071..262_145).await;
        check(&bytes, 399_999..u64::MAX, 399_999..400_000).await;
        check(&bytes, 500_000..600_000, 400_000..400_000).await;
        check(&bytes, 7..7, 7..7).await;
        check(b"", 0..10, 0..0).await;
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error_not_an_end() {
        let open = OpenBlob::new(tempfile::tempfile().unwrap(), 10);
        let mut reader = Blob::File(Arc::new(open)).reader(0..10);
        assert!(reader.next().await.unwrap().is_err());
    }
}
