//! Where a draft's writer puts what arrives: memory, a file, and memory again when the disk refuses.
//!
//! Invariant: the hash has seen what the sink was given, wherever it went.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::error::StoreError;

/// Where the next bytes go.
pub(super) enum Sink {
    Memory(BytesMut),
    File {
        file: Arc<File>,
        hash: Context,
    },
    /// The disk did not take it: the next bytes go into memory.
    Spilled {
        hash: Context,
    },
    /// A write was dropped half-way: what is in the file is unknown.
    Poisoned,
}

/// What became of a write.
pub(super) struct Written {
    pub(super) sink: Sink,
    /// What the disk did not take, and where in the body it begins.
    pub(super) spilled: Option<(u64, Vec<Bytes>)>,
    pub(super) fault: Option<StoreError>,
}

/// Writes and hashes `blocks` at `offset`, moving a small draft from memory to a file in `dir`
/// first, which has room for the `announced` length; where there is none, or when that fails, they are
/// to stay in memory.
pub(super) fn write(
    sink: Sink,
    (dir, announced): (Option<&Path>, u64),
    offset: u64,
    blocks: Vec<Bytes>,
) -> Result<Written, StoreError> {
    let (file, mut hash, begin, blocks) = match sink {
        Sink::Poisoned => return Err(StoreError::failed("an earlier write was not completed")),
        Sink::File { file, hash } => (Some(Ok(file)), hash, offset, blocks),
        Sink::Spilled { hash } => (None, hash, offset, blocks),
        Sink::Memory(memory) => {
            let file = dir.map(|dir| {
                let file = tempfile::tempfile_in(dir).and_then(|file| {
                    reserve(&file, announced)?;
                    Ok(Arc::new(file))
                });
                file.map_err(|error| StoreError::io("create draft in", dir, error))
            });
            let all = [vec![memory.freeze()], blocks].concat();
            (file, Context::new(&SHA256), 0, all)
        }
    };
    let written = file.map(|file| file.and_then(|file| write_all(file, begin, &blocks)));
    for block in &blocks {
        hash.update(block);
    }
    let (sink, spilled, fault) = match written {
        Some(Ok(file)) => (Sink::File { file, hash }, None, None),
        Some(Err(fault)) => (Sink::Spilled { hash }, Some((begin, blocks)), Some(fault)),
        None => (Sink::Spilled { hash }, Some((begin, blocks)), None),
    };
    Ok(Written {
        sink,
        spilled,
        fault,
    })
}

/// Finds out before the first byte leaves that there is no room for the last. A file system that
/// cannot say is not asked.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
        _ => Ok(()),
    }
}

fn write_all(file: Arc<File>, from: u64, blocks: &[Bytes]) -> Result<Arc<File>, StoreError> {
    let mut position = from;
    for block in blocks {
        file.write_all_at(block, position)
            .map_err(|error| StoreError::io("write", Path::new("draft"), error))?;
        position += block.len() as u64;
    }
    Ok(file)
}
