//! Buffers that stored bodies are read into, used again and again.
//!
//! A buffer of 128 KiB for each chunk would be taken from the system and given back each time, and
//! its pages filled with zeros: more work than the reading. So some are kept. Invariant: a buffer is
//! read into by one reader at a time, and kept again only when the last slice of it is gone.

use std::sync::LazyLock;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

/// The length of a kept buffer, in bytes: that of the longest chunk.
const LENGTH: usize = 128 * 1024;

/// Less than this has a buffer of its own length: a slow reader must not hold much for little.
const SHORT: usize = 32 * 1024;

/// How many are kept: 4 MiB.
const KEPT_MAX: usize = 32;

static KEPT: LazyLock<ArrayQueue<Vec<u8>>> = LazyLock::new(|| ArrayQueue::new(KEPT_MAX));

/// Room for a chunk, and then the chunk.
#[derive(Debug)]
pub(super) struct Buffer {
    space: Vec<u8>,
    filled: usize,
}

impl Buffer {
    /// Room for `want` bytes, at most 128 KiB. What is in it may be of others: it is overwritten.
    pub(super) fn new(want: usize) -> Self {
        let want = want.min(LENGTH);
        let space = if want < SHORT {
            vec![0; want]
        } else {
            KEPT.pop().unwrap_or_else(|| vec![0; LENGTH])
        };
        Self {
            space,
            filled: want,
        }
    }

    /// The room.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.space[..self.filled]
    }

    /// The first `filled` bytes, which were read.
    pub(super) fn freeze(mut self, filled: usize) -> Bytes {
        self.filled = filled.min(self.filled);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.space[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.space.len() == LENGTH {
            // One too many is given back to the system.
            let _ = KEPT.push(std::mem::take(&mut self.space));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(byte: u8, length: usize) -> Bytes {
        let mut buffer = Buffer::new(length);
        buffer.room().fill(byte);
        buffer.freeze(length)
    }

    #[test]
    fn chunks_that_are_still_read_are_not_overwritten() {
        let chunks: Vec<_> = (0..100).map(|byte| filled(byte, LENGTH)).collect();
        let slices: Vec<_> = chunks.iter().map(|chunk| chunk.slice(7..LENGTH)).collect();
        drop(chunks);
        let more: Vec<_> = (100..200).map(|byte| filled(byte, LENGTH)).collect();
        for (byte, slice) in (0..100).zip(&slices) {
            assert!(slice.iter().all(|it| *it == byte), "{byte}");
        }
        drop((slices, more));
        assert!(KEPT.len() <= KEPT_MAX);
    }

    #[test]
    fn a_buffer_that_was_used_is_as_long_as_was_asked_for() {
        for length in [0, 1, SHORT - 1, SHORT, LENGTH - 1, LENGTH] {
            drop(filled(1, LENGTH));
            let mut buffer = Buffer::new(length);
            assert_eq!(buffer.room().len(), length);
            assert_eq!(buffer.freeze(length / 2).len(), length / 2);
        }
    }
}
