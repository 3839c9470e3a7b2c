//! The two ways to read a draft: forward while it grows, and at will once it is finished.
//!
//! [`DraftReader`] obeys the hold-back and is for clients; [`DraftFile`] does not and is for
//! whoever verifies, stores or looks into the body on the blocking pool.

use std::future::poll_fn;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use tokio::sync::watch;

use super::blob::Blob;
use super::chunk::Chunks;
use super::draft::{Content, Draft, Phase, Progress};
use super::error::{StoreError, StoreErrorKind};

/// The largest chunk a draft's reader gives.
const CHUNK: u64 = 64 * 1024;

/// Reads a draft from its first byte, waiting for what is not written or not released yet.
pub struct DraftReader {
    draft: Arc<Draft>,
    progress: watch::Receiver<Progress>,
    chunks: Option<Chunks>,
    position: u64,
    place: Arc<AtomicU64>,
}

impl DraftReader {
    pub(super) fn new(
        draft: Arc<Draft>,
        progress: watch::Receiver<Progress>,
        place: Arc<AtomicU64>,
    ) -> Self {
        Self {
            draft,
            progress,
            chunks: None,
            position: 0,
            place,
        }
    }

    /// The next 1 to 65,536 bytes; `None` after the last byte of a released draft; an error when
    /// the draft has failed, even if bytes before the failure were not read yet. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            let (open, released) = match &*self.progress.borrow_and_update() {
                Progress {
                    phase: Phase::Failed(reason),
                    ..
                } => return Some(Err(StoreError::failed(reason))),
                Progress {
                    phase: Phase::Released,
                    length,
                } => (*length, true),
                Progress { length, .. } => (self.draft.shown_of(*length), false),
            };
            if self.position < open {
                return Some(self.read(open - self.position).await);
            }
            if released {
                return None;
            }
            if self.progress.changed().await.is_err() {
                return Some(Err(StoreError::failed("abandoned")));
            }
        }
    }

    async fn read(&mut self, mut open: u64) -> Result<Bytes, StoreError> {
        let spilled = match self.draft.spill() {
            Some(spill) if self.position >= spill.begin() => {
                let want = to_usize(open.min(CHUNK));
                let gone = || StoreError::new(StoreErrorKind::Behind, "draft");
                Some(spill.read(self.position, want).ok_or_else(gone)?)
            }
            Some(spill) => {
                open = open.min(spill.begin() - self.position);
                None
            }
            None => None,
        };
        let bytes = match (spilled, self.draft.content()) {
            (Some(bytes), _) => bytes,
            (None, Some(Content::Memory(bytes))) => bytes.slice(to_usize(self.position)..),
            (None, Some(Content::File(file))) => {
                let want = to_usize(open.min(CHUNK));
                let chunks = self
                    .chunks
                    .get_or_insert_with(|| Chunks::new(Arc::clone(file), self.position, 0));
                poll_fn(|cx| chunks.poll_next(cx, want))
                    .await
                    .map_err(|error| StoreError::io("read", Path::new("draft"), error))?
            }
            (None, _) => return Err(StoreError::failed("nothing written")),
        };
        self.position += bytes.len() as u64;
        self.draft.places().advance(&self.place, self.position);
        Ok(bytes)
    }
}

impl Drop for DraftReader {
    fn drop(&mut self) {
        self.draft.places().leave(&self.place);
    }
}

/// A finished draft or a stored body as a seekable file; reads block, so it belongs on the blocking pool.
pub struct DraftFile {
    content: Content,
    size: u64,
    position: u64,
}

impl DraftFile {
    pub(super) fn new(content: Content, size: u64) -> Self {
        Self {
            content,
            size,
            position: 0,
        }
    }

    /// A stored body, once it was found to be what its name says.
    pub(super) async fn of(blob: Blob) -> Result<Self, StoreError> {
        let size = blob.size();
        let content = match blob {
            Blob::Bytes(bytes) => Content::Memory(bytes),
            Blob::File(open) => {
                open.settled().await?;
                Content::File(Arc::clone(open.file()))
            }
        };
        Ok(Self::new(content, size))
    }

    /// The length of the draft in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn in_memory(&self) -> Option<Bytes> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes.clone()),
            Content::File(_) | Content::Joined(_) => None,
        }
    }

    pub(super) fn read_whole(mut self) -> Result<Bytes, StoreError> {
        let mut bytes = vec![0; to_usize(self.size)];
        self.read_exact(&mut bytes)
            .map_err(|error| StoreError::io("read", Path::new("draft"), error))?;
        Ok(bytes.into())
    }
}

impl Read for DraftFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = to_usize(self.size.saturating_sub(self.position));
        let want = left.min(buffer.len());
        let Some(target) = buffer.get_mut(..want).filter(|target| !target.is_empty()) else {
            return Ok(0);
        };
        let read = match &self.content {
            Content::Memory(bytes) => {
                let start = to_usize(self.position);
                target.copy_from_slice(&bytes[start..start + want]);
                want
            }
            Content::File(file) => file.read_at(target, self.position)?,
            Content::Joined(joined) => joined.read_at(target, self.position)?,
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for DraftFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// A position inside a body; a body in memory or a chunk always fits.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
