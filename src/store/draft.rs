//! A body that is being received by one task and already read by many.
//!
//! It holds back its last 64 KiB until someone who verified the whole says [`Draft::release`], so
//! that no reader can ever complete a body that was not verified. Where its length was announced that
//! is known of each byte when it comes, else it is said of the last that came. Bodies of at most 64 KiB
//! are therefore read by nobody before they are complete and need no file. It does not verify
//! anything itself and does not publish: `Store::seal` does.
//!
//! A disk that does not take it fails nobody: what it did not take goes through memory, as long as
//! its readers need it, and the body is not kept.
//!
//! What was written of a body that broke off can be taken out ([`DraftWriter::into_part`]) and be the
//! beginning of another draft.
//!
//! Invariant: every draft ends released or failed. Dropping the [`DraftWriter`] or the
//! [`Finished`] early fails it, so no reader waits for ever.

use std::fs::File;
use std::mem;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use super::draft_reader::{DraftFile, DraftReader};
use super::error::{StoreError, blocking};
use super::health::Health;
use super::sink::{Sink, write};
use super::spill::{Joined, Keep, Places, Spill};
use crate::entry::Digest;

/// How many of a draft's last bytes no reader gets before its release, and the largest body that
/// is kept in memory only.
pub const HOLD_BACK: u64 = 64 * 1024;

/// A body being received: its bytes so far and what became of it.
pub struct Draft {
    /// Bytes in all, zero if that is not known.
    announced: u64,
    content: OnceLock<Content>,
    spill: OnceLock<Spill>,
    places: Places,
    progress: watch::Sender<Progress>,
}

/// Where the bytes are; unset while a small draft is still being written.
#[derive(Clone)]
pub(super) enum Content {
    Memory(Bytes),
    File(Arc<File>),
    Joined(Joined),
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
    /// A reader of its own pace that begins at the first byte; `None` when that is gone, which
    /// happens only to a draft that [is passed on](Self::is_passed_on).
    pub fn reader(self: &Arc<Self>) -> Option<DraftReader> {
        let progress = self.progress.subscribe();
        let place = self.places.enter(self.spill.get())?;
        Some(DraftReader::new(Arc::clone(self), progress, place))
    }

    /// Whether the disk did not take it: it goes through memory and cannot be sealed.
    pub fn is_passed_on(&self) -> bool {
        self.spill.get().is_some()
    }

    /// The last bytes of a draft that is passed on, at most [`HOLD_BACK`] of them.
    pub fn tail(&self) -> Vec<u8> {
        self.spill.get().map(Spill::tail).unwrap_or_default()
    }

    /// How many bytes have been written so far, held back or not.
    pub fn written(&self) -> u64 {
        self.progress.borrow().length
    }

    /// How many bytes readers get before the release, of those written so far.
    pub fn shown(&self) -> u64 {
        self.shown_of(self.written())
    }

    pub(super) fn shown_of(&self, written: u64) -> u64 {
        let before_last = self.announced.saturating_sub(HOLD_BACK);
        // What was announced is not relied on: more may come.
        written
            .min(before_last)
            .max(written.saturating_sub(HOLD_BACK))
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

    /// The same for who needs the length before the first byte, as long as it can be waited for:
    /// nothing for a draft that [is passed on](Self::is_passed_on), which has to be read meanwhile.
    pub async fn released_unless_passed_on(&self) -> Result<Option<u64>, StoreError> {
        let mut progress = self.progress.subscribe();
        let over = |now: &Progress| matches!(now.phase, Phase::Released | Phase::Failed(_));
        let settled = progress
            .wait_for(|now| over(now) || self.is_passed_on())
            .await
            .map_err(|_| StoreError::failed("abandoned"))?;
        match &settled.phase {
            Phase::Failed(reason) => Err(StoreError::failed(reason)),
            Phase::Released => Ok(Some(settled.length)),
            _ => Ok(None),
        }
    }

    /// Blocking access to a finished draft, held-back bytes included: for the one who verifies it.
    pub fn file(&self) -> Result<DraftFile, StoreError> {
        let progress = self.progress.borrow();
        let content = match &progress.phase {
            Phase::Failed(reason) => return Err(StoreError::failed(reason)),
            Phase::Writing => None,
            Phase::Finished | Phase::Released => match self.spill.get() {
                None => self.content.get().cloned(),
                Some(spill) => {
                    let gone = || StoreError::failed("its beginning was passed on and is gone");
                    let joined = spill.whole(self.in_file()).ok_or_else(gone)?;
                    Some(Content::Joined(joined))
                }
            },
        };
        let content = content.ok_or_else(|| StoreError::failed("not finished"))?;
        Ok(DraftFile::new(content, progress.length))
    }

    fn in_file(&self) -> Option<Arc<File>> {
        match self.content.get() {
            Some(Content::File(file)) => Some(Arc::clone(file)),
            _ => None,
        }
    }

    /// The same for what is written so far; `None` while it is in memory only.
    pub fn growing(&self) -> Option<DraftFile> {
        let length = self.written();
        let content = self.content.get().filter(|_| !self.is_passed_on())?;
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

    pub(super) fn spill(&self) -> Option<&Spill> {
        self.spill.get()
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
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
    health: Arc<Health>,
    keep: Keep,
}

impl DraftWriter {
    /// A draft whose file, if it needs one, is created unlinked in `dir`; `expected` is the
    /// announced length in bytes.
    pub(super) fn new(dir: Arc<Path>, expected: Option<u64>) -> (Self, Arc<Draft>) {
        let announced = expected.unwrap_or(0);
        let draft = Arc::new(Draft {
            announced,
            content: OnceLock::new(),
            spill: OnceLock::new(),
            places: Places::default(),
            progress: watch::Sender::new(Progress {
                length: 0,
                phase: Phase::Writing,
            }),
        });
        let capacity = usize::try_from(announced.min(HOLD_BACK)).unwrap_or(0);
        let writer = Self {
            draft: Arc::clone(&draft),
            dir,
            sink: Sink::Memory(BytesMut::with_capacity(capacity)),
            length: 0,
            health: Arc::default(),
            keep: Keep::Whole,
        };
        (writer, draft)
    }

    /// The same, for a store in this state.
    pub(super) fn of(mut self, health: &Arc<Health>) -> Self {
        self.health = Arc::clone(health);
        self
    }

    /// What stays in memory of what the disk does not take; everything unless this is said.
    pub fn keep(&mut self, keep: Keep) {
        self.keep = keep;
    }

    /// Waits until there is room for what comes next, at most `patience`; says whether there is.
    /// There always is, except in the memory for drafts that are [passed
    /// on](Draft::is_passed_on): after each [`DraftWriter::append`] this is to be asked until it is
    /// so.
    pub async fn has_room(&self, patience: Duration) -> bool {
        let Some(spill) = self.draft.spill.get() else {
            return true;
        };
        let room = spill.room(&self.draft.places, &self.health.budget);
        tokio::time::timeout(patience, room).await.is_ok()
    }

    /// Leaves readers behind that keep others waiting although these have everything that is shown: for
    /// one who can ask for it again. What they have not read is gone for them.
    pub fn cast_off(&self) {
        if let Some(spill) = self.draft.spill.get() {
            spill.cast_off(&self.draft.places, self.draft.shown_of(self.length));
        }
    }

    /// Writes `blocks` and then shows them to the readers. Of a body beyond 64 KiB each call is one
    /// hop to the blocking pool, so callers gather what is there, up to 256 KiB. What the disk does not take stays
    /// in memory. After an error, or when the returned future was dropped, the writer refuses
    /// everything.
    pub async fn append(&mut self, blocks: Vec<Bytes>) -> Result<(), StoreError> {
        let added: u64 = blocks.iter().map(|block| block.len() as u64).sum();
        let offset = self.length;
        let length = offset + added;
        self.sink = match mem::replace(&mut self.sink, Sink::Poisoned) {
            Sink::Poisoned => return Err(StoreError::failed("an earlier write was not completed")),
            Sink::Memory(mut memory) if length.max(self.draft.announced) <= HOLD_BACK => {
                for block in &blocks {
                    memory.extend_from_slice(block);
                }
                Sink::Memory(memory)
            }
            sink => {
                let dir = self
                    .health
                    .degraded()
                    .is_none()
                    .then(|| Arc::clone(&self.dir));
                let announced = self.draft.announced;
                let job = move || write(sink, (dir.as_deref(), announced), offset, blocks);
                let written = blocking("write draft", job).await?;
                if let Some(fault) = &written.fault {
                    self.health.fault(fault);
                }
                if let Some((begin, blocks)) = written.spilled {
                    let begun = || Spill::new(begin, self.keep);
                    self.draft.spill.get_or_init(begun).push(blocks);
                }
                written.sink
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
        let digest = match mem::replace(&mut self.sink, Sink::Poisoned) {
            Sink::Poisoned => return Err(StoreError::failed("an earlier write was not completed")),
            Sink::Memory(memory) => {
                let bytes = memory.freeze();
                let digest = Digest::of(&bytes);
                self.draft.content.get_or_init(|| Content::Memory(bytes));
                Some(digest)
            }
            Sink::File { hash, .. } | Sink::Spilled { hash } => {
                Digest::from_slice(hash.finish().as_ref())
            }
        };
        let digest = digest.ok_or_else(|| StoreError::failed("no digest"))?;
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

mod part;
#[cfg(test)]
mod tests;

pub use part::DraftPart;
