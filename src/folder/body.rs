//! The body of an answer: a document in memory, or a file as it is read.
//!
//! Invariant: a file's body ends without an error only if the file was the same from the first byte
//! to the last.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::stamp::FileStamp;

/// Most bytes of one block.
const BLOCK: usize = 256 * 1024;

/// A body of known length.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    Ended,
    Memory(Bytes),
    File {
        file: File,
        stamp: FileStamp,
        left: u64,
    },
}

impl Body {
    /// No bytes at all.
    pub(super) const fn empty() -> Self {
        Self(Source::Ended)
    }

    /// These bytes.
    pub(super) const fn memory(bytes: Bytes) -> Self {
        Self(Source::Memory(bytes))
    }

    /// The whole of a file that was opened in the state `stamp`.
    pub(super) fn file(file: std::fs::File, stamp: FileStamp) -> Self {
        Self(Source::File {
            file: File::from_std(file),
            left: stamp.size,
            stamp,
        })
    }

    /// How many bytes are still to come.
    pub const fn length(&self) -> u64 {
        match &self.0 {
            Source::Ended => 0,
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File { left, .. } => *left,
        }
    }

    /// The next block of at most 256 KiB; `None` when the body is whole, or after an error. Nothing
    /// is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let block = match &mut self.0 {
            Source::Ended => return None,
            Source::Memory(bytes) => {
                let block = bytes.split_to(bytes.len().min(BLOCK));
                if bytes.is_empty() {
                    self.0 = Source::Ended;
                }
                return (!block.is_empty()).then_some(Ok(block));
            }
            Source::File { file, stamp, left } => read(file, stamp, left).await,
        };
        match block {
            Ok(Some(block)) => Some(Ok(block)),
            Ok(None) => {
                self.0 = Source::Ended;
                None
            }
            Err(error) => {
                self.0 = Source::Ended;
                Some(Err(error))
            }
        }
    }
}

async fn read(file: &mut File, stamp: &FileStamp, left: &mut u64) -> io::Result<Option<Bytes>> {
    if *left == 0 {
        let now = FileStamp::of(&file.metadata().await?);
        return if now == *stamp {
            Ok(None)
        } else {
            Err(io::Error::other("the file was changed while it was read"))
        };
    }
    let most = usize::try_from(*left).unwrap_or(BLOCK).min(BLOCK);
    let mut block = BytesMut::with_capacity(most);
    let read = file.take(most as u64).read_buf(&mut block).await?;
    if read == 0 {
        return Err(io::Error::other("the file was cut while it was read"));
    }
    *left -= read as u64;
    Ok(Some(block.freeze()))
}
