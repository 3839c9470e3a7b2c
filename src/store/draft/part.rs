//! What was written of a body before it broke off: compared with a second copy, or kept for later.
//!
//! Invariant: a part is never shown to a reader of the draft it was taken from; that one has failed.

use std::fs::File;
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::Context;
use bytes::Bytes;

use super::super::error::{StoreError, blocking};
use super::{Content, Draft, DraftWriter, HOLD_BACK, Sink};

/// The beginning of a body: an open file without a name, gone when this is dropped.
pub struct DraftPart {
    file: Arc<File>,
    hash: Context,
    length: u64,
}

impl DraftPart {
    /// How many bytes it has.
    pub const fn length(&self) -> u64 {
        self.length
    }
}

impl DraftWriter {
    /// A draft that begins with `part`; its file stays where it is.
    pub(in crate::store) fn from_part(dir: Arc<Path>, part: DraftPart) -> (Self, Arc<Draft>) {
        let (mut writer, draft) = Self::new(dir, None);
        let DraftPart { file, hash, length } = part;
        draft
            .content
            .get_or_init(|| Content::File(Arc::clone(&file)));
        writer.sink = Sink::File { file, hash };
        writer.length = length;
        draft.progress.send_modify(|now| now.length = length);
        (writer, draft)
    }

    /// How many bytes were written.
    pub const fn written(&self) -> u64 {
        self.length
    }

    /// Takes out what was written, failing the draft; `None` when it is at most 64 KiB, which is
    /// not worth keeping, or when a write was not completed.
    pub fn into_part(mut self) -> Option<DraftPart> {
        match mem::replace(&mut self.sink, Sink::Poisoned) {
            Sink::File { file, hash } if self.length > HOLD_BACK => {
                // The room for what did not come is given back.
                file.set_len(self.length).ok()?;
                Some(DraftPart {
                    file,
                    hash,
                    length: self.length,
                })
            }
            _ => None,
        }
    }

    /// Whether `block` is what was written at `offset`; what lies beyond the end is not compared.
    pub async fn matches(&self, offset: u64, block: &Bytes) -> Result<bool, StoreError> {
        let left = self.length.saturating_sub(offset);
        let length = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        let block = block.slice(..length);
        match &self.sink {
            Sink::Poisoned => Err(StoreError::failed("an earlier write was not completed")),
            Sink::Spilled { .. } => Err(StoreError::failed("its beginning may be gone")),
            Sink::Memory(memory) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                let known = memory.get(offset..).unwrap_or_default();
                Ok(known.starts_with(&block))
            }
            Sink::File { file, .. } => {
                let file = Arc::clone(file);
                let compare = move || {
                    let mut known = vec![0; block.len()];
                    file.read_exact_at(&mut known, offset)
                        .map_err(|error| StoreError::io("read", Path::new("draft"), error))?;
                    Ok(known == block)
                };
                blocking("read draft", compare).await
            }
        }
    }
}
