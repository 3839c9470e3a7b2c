//! Reads the manifests of many packages at a time.
//!
//! A few threads, because most of the time is spent waiting for the disk. What is kept is made by the
//! caller's thread: beside the short-lived buffers of inflating, in one heap, the facts of 10,000
//! packages took 220 MB instead of 40.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::archive::{Archive, ArchiveError, open};
use super::scan::Candidate;
use super::stamp::FileStamp;

/// Files that are read at a time.
const THREADS: usize = 4;

/// Manifests that wait to be understood.
const WAITING: usize = 64;

/// The bytes of a manifest and the state of the file they are from; or why there are none, with the
/// state of the file if it could be opened.
pub(super) type Read = Result<(FileStamp, Vec<u8>), (Option<FileStamp>, ArchiveError)>;

/// Reads the candidates with these indices and tells each as it comes, in any order.
pub(super) fn read_all(
    indices: &[usize],
    candidates: &[Candidate],
    mut tell: impl FnMut(usize, Read),
) {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::sync_channel(WAITING);
    thread::scope(|scope| {
        for _ in 0..THREADS.min(indices.len()) {
            let (send, next) = (send.clone(), &next);
            let work = move || {
                while let Some(index) = indices.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if send.send((*index, read(&candidates[*index]))).is_err() {
                        return;
                    }
                }
            };
            let started = thread::Builder::new().spawn_scoped(scope, work);
            if let Err(error) = started {
                tracing::warn!(%error, "packages are read by fewer threads");
            }
        }
        drop(send);
        for (index, read) in &receive {
            tell(index, read);
        }
    });
}

fn read(candidate: &Candidate) -> Read {
    let (file, stamp) = open(&candidate.path).map_err(|error| (None, ArchiveError::Io(error)))?;
    let bytes = Archive::new(file).and_then(|mut archive| archive.manifest());
    let bytes = bytes.map_err(|error| (Some(stamp), error))?;
    Ok((stamp, bytes))
}
