//! A body that is being received by one task and already read by many.
//!
//! It holds back its last 64 KiB until someone who verified the whole says [`Draft::release`], so
//! that no reader can ever complete a body that was not verified. Bodies of at most 64 KiB are
//! therefore read by nobody before they are complete and need no file. It does not verify anything
//! itself and does not publish: `Store::seal` does.
//!
//! What was written of a body that broke off can be taken out ([`DraftWriter::into_part`]) and be the
//! beginning of another draft.
//!
//! Invariant: every draft ends released or failed. Dropping the [`DraftWriter`] or the
//! [`Finished`] early fails it, so no reader waits for ever.

use std::fs::File;
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use super::draft_reader::{DraftFile, DraftReader};
use super::error::{StoreError, blocking};
use crate::entry::Digest;

/// How many of a draft's last bytes no reader gets before its release, and the largest body that
/// is kept in memory only.
pub const HOLD_BACK: u64 = 64 * 1024;

/// A body being received: its bytes so far and what became of it.
pub struct Draft {
    content: OnceLock<Content>,
    progress: watch::Sender<Progress>,
}

/// Where the bytes are; unset while a small draft is still being written.
#[derive(Clone)]
pub(super) enum Content {
    Memory(Bytes),
    File(Arc<File>),
}

#[derive(Clone)]
pub(super) struct Progress {
    pub(super) length: u64,
    pub(super) phase: Phase,
}

#[derive(Clone)]
pub(super) enum Phase {
    Writing,
    Finished,
    Released,
    Failed(Arc<str>),
}

impl Draft {
    /// A reader of its own pace that begins at the first byte.
    pub fn reader(self: &Arc<Self>) -> DraftReader {
        DraftReader::new(Arc::clone(self), self.progress.subscribe())
    }

    /// How many bytes have been written so far, held back or not.
    pub fn written(&self) -> u64 {
        self.progress.borrow().length
    }

    /// How many readers are left, those who wait for the release included.
    pub fn readers(&self) -> usize {
        self.progress.receiver_count()
    }

    /// Lets every byte go out: whoever calls this has verified the whole body. Has an effect only
    /// on a draft that is finished and has not failed.
    pub fn release(&self) {
        self.settle(Phase::Released, |now| matches!(now, Phase::Finished));
    }

    /// Ends the draft: every reader gets an error with this reason. A released draft stays
    /// released.
    pub fn fail(&self, reason: impl Into<Arc<str>>) {
        self.settle(Phase::Failed(reason.into()), |now| {
            matches!(now, Phase::Writing | Phase::Finished)
        });
    }

    /// Waits for the release and gives the whole length in bytes; an error when the draft fails.
    pub async fn released(&self) -> Result<u64, StoreError> {
        let mut progress = self.progress.subscribe();
        let settled = progress
            .wait_for(|now| matches!(now.phase, Phase::Released | Phase::Failed(_)))
            .await
            .map_err(|_| StoreError::failed("abandoned"))?;
        match &settled.phase {
            Phase::Failed(reason) => Err(StoreError::failed(reason)),
            _ => Ok(settled.length),
        }
    }

    /// Blocking access to a finished draft, held-back bytes included: for the one who verifies it.
    pub fn file(&self) -> Result<DraftFile, StoreError> {
        let progress = self.progress.borrow();
        match (&progress.phase, self.content.get()) {
            (Phase::Failed(reason), _) => Err(StoreError::failed(reason)),
            (Phase::Writing, _) | (_, None) => Err(StoreError::failed("not finished")),
            (_, Some(content)) => Ok(DraftFile::new(content.clone(), progress.length)),
        }
    }

    /// The same for what is written so far; `None` while it is in memory only.
    pub fn growing(&self) -> Option<DraftFile> {
        let length = self.written();
        let content = self.content.get()?;
        Some(DraftFile::new(content.clone(), length))
    }

    /// All bytes of a finished draft, held-back ones included; an error when they are more than
    /// `cap`.
    pub async fn whole(&self, cap: u64) -> Result<Bytes, StoreError> {
        let file = self.file()?;
        if file.size() > cap {
            return Err(StoreError::failed("larger than the limit for documents"));
        }
        match file.in_memory() {
            Some(bytes) => Ok(bytes),
            None => blocking("read draft", move || file.read_whole()).await,
        }
    }

    pub(super) fn content(&self) -> Option<&Content> {
        self.content.get()
    }

    fn settle(&self, next: Phase, allowed: impl FnOnce(&Phase) -> bool) -> bool {
        self.progress.send_if_modified(|now| {
            let changes = allowed(&now.phase);
            if changes {
                now.phase = next;
            }
            changes
        })
    }
}

/// A draft that is completely written and waits for its verdict; dropping it before
/// [`Draft::release`] fails the draft.
pub struct Finished {
    /// The draft.
    pub draft: Arc<Draft>,
    /// SHA-256 of what was written.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Drop for Finished {
    fn drop(&mut self) {
        self.draft.fail("abandoned");
    }
}

/// The one writer of a draft, owned by one task; dropping it before [`DraftWriter::finish`] fails
/// the draft.
pub struct DraftWriter {
    draft: Arc<Draft>,
    dir: Arc<Path>,
    sink: Sink,
    length: u64,
}

/// Where the next bytes go.
enum Sink {
    Memory(BytesMut),
    File {
        file: Arc<File>,
        hash: Context,
    },
    /// A write failed or was dropped half-way: what is in the file is unknown.
    Poisoned,
}

impl DraftWriter {
    /// A draft whose file, if it needs one, is created unlinked in `dir`; `expected` is the
    /// announced length in bytes and only sizes the first buffer.
    pub(super) fn new(dir: Arc<Path>, expected: Option<u64>) -> (Self, Arc<Draft>) {
        let draft = Arc::new(Draft {
            content: OnceLock::new(),
            progress: watch::Sender::new(Progress {
                length: 0,
                phase: Phase::Writing,
            }),
        });
        let capacity = usize::try_from(expected.unwrap_or(0).min(HOLD_BACK)).unwrap_or(0);
        let writer = Self {
            draft: Arc::clone(&draft),
            dir,
            sink: Sink::Memory(BytesMut::with_capacity(capacity)),
            length: 0,
        };
        (writer, draft)
    }

    /// Writes `blocks` and then shows them to the readers. Beyond 64 KiB in all each call is one
    /// hop to the blocking pool, so callers gather 64 to 256 KiB. After an error, or when the
    /// returned future was dropped, the writer refuses everything.
    pub async fn append(&mut self, blocks: Vec<Bytes>) -> Result<(), StoreError> {
        let added: u64 = blocks.iter().map(|block| block.len() as u64).sum();
        let offset = self.length;
        let length = offset + added;
        self.sink = match mem::replace(&mut self.sink, Sink::Poisoned) {
            Sink::Poisoned => return Err(StoreError::failed("an earlier write was not completed")),
            Sink::Memory(mut memory) if length <= HOLD_BACK => {
                for block in &blocks {
                    memory.extend_from_slice(block);
                }
                Sink::Memory(memory)
            }
            sink => {
                let dir = Arc::clone(&self.dir);
                blocking("write draft", move || write(sink, &dir, offset, &blocks)).await?
            }
        };
        if let Sink::File { file, .. } = &self.sink {
            let content = || Content::File(Arc::clone(file));
            self.draft.content.get_or_init(content);
        }
        self.length = length;
        self.draft.progress.send_modify(|now| now.length = length);
        Ok(())
    }

    /// Declares the body complete; nothing held back is shown yet. An error when a write was not
    /// completed or the draft has failed.
    pub fn finish(mut self) -> Result<Finished, StoreError> {
        let (content, digest) = match mem::replace(&mut self.sink, Sink::Poisoned) {
            Sink::Poisoned => return Err(StoreError::failed("an earlier write was not completed")),
            Sink::Memory(memory) => {
                let bytes = memory.freeze();
                let digest = Digest::of(&bytes);
                (Content::Memory(bytes), Some(digest))
            }
            Sink::File { file, hash } => (
                Content::File(file),
                Digest::from_slice(hash.finish().as_ref()),
            ),
        };
        let digest = digest.ok_or_else(|| StoreError::failed("no digest"))?;
        self.draft.content.get_or_init(|| content);
        let writing = |now: &Phase| matches!(now, Phase::Writing);
        if !self.draft.settle(Phase::Finished, writing) {
            return Err(StoreError::failed("the draft was given up"));
        }
        Ok(Finished {
            draft: Arc::clone(&self.draft),
            digest,
            size: self.length,
        })
    }
}

impl Drop for DraftWriter {
    fn drop(&mut self) {
        let writing = |now: &Phase| matches!(now, Phase::Writing);
        self.draft
            .settle(Phase::Failed("abandoned".into()), writing);
    }
}

/// Writes and hashes `blocks` at `offset`, moving a small draft from memory to a file first.
fn write(sink: Sink, dir: &Path, offset: u64, blocks: &[Bytes]) -> Result<Sink, StoreError> {
    let failed = |error| StoreError::io("write draft in", dir, error);
    let (file, mut hash) = match sink {
        Sink::File { file, hash } => (file, hash),
        Sink::Poisoned => return Err(StoreError::failed("an earlier write was not completed")),
        Sink::Memory(memory) => {
            let file = tempfile::tempfile_in(dir).map_err(failed)?;
            let mut hash = Context::new(&SHA256);
            file.write_all_at(&memory, 0).map_err(failed)?;
            hash.update(&memory);
            (Arc::new(file), hash)
        }
    };
    let mut position = offset;
    for block in blocks {
        file.write_all_at(block, position).map_err(failed)?;
        hash.update(block);
        position += block.len() as u64;
    }
    Ok(Sink::File { file, hash })
}

mod part;
#[cfg(test)]
mod tests;

pub use part::DraftPart;
