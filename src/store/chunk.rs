//! Reading a file forward in chunks without ever blocking the reactor.
//!
//! Resident pages are copied inline (`RWF_NOWAIT`); only what is not in the page cache costs a hop
//! to the blocking pool. Nothing is mapped: an I/O error on a mapping would be a SIGBUS, here it is
//! an error. A chunk in flight survives a dropped future, so reading is cancel safe.

use std::fs::File;
use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::JoinHandle;

use super::buffer::Buffer;

/// What the kernel reads ahead at a time: where one byte is, its neighbours are.
const WINDOW: u64 = 128 * 1024;

/// A forward reader of one open file.
pub(super) struct Chunks {
    file: Arc<File>,
    position: u64,
    ahead: u64,
    nowait: bool,
    pending: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Chunks {
    /// Reads `file` from `position`; when a page is not resident the kernel is asked for the next
    /// `ahead` bytes as well.
    pub(super) fn new(file: Arc<File>, position: u64, ahead: u64) -> Self {
        Self {
            file,
            position,
            ahead,
            nowait: true,
            pending: None,
        }
    }

    /// Where the next byte is.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Goes on so much further; not while a read is under way.
    pub(super) const fn skip(&mut self, bytes: u64) {
        self.position += bytes;
    }

    /// The next 1 to `want` bytes; the end of the file is an error, since the caller knows the
    /// length.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        want: usize,
    ) -> Poll<io::Result<Bytes>> {
        let mut pending = if let Some(pending) = self.pending.take() {
            pending
        } else {
            let mut buffer = Buffer::new(want);
            match self.read_resident(&mut buffer) {
                Some(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Some(Ok(read)) => return Poll::Ready(Ok(self.take(buffer.freeze(read)))),
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => self.start_read(buffer),
            }
        };
        let Poll::Ready(done) = Pin::new(&mut pending).poll(cx) else {
            self.pending = Some(pending);
            return Poll::Pending;
        };
        let read = done.map_err(io::Error::other)??;
        Poll::Ready(Ok(self.take(read)))
    }

    /// Hands out what was read.
    fn take(&mut self, read: Bytes) -> Bytes {
        self.position += read.len() as u64;
        read
    }

    /// Copies what the page cache holds; `None` when that needs the disk.
    fn read_resident(&mut self, buffer: &mut Buffer) -> Option<Result<usize, Errno>> {
        if !self.nowait {
            return None;
        }
        let mut slices = [IoSliceMut::new(buffer.room())];
        let flags = ReadWriteFlags::NOWAIT;
        match rustix::io::preadv2(&self.file, &mut slices, self.position, flags) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                self.nowait = false;
                None
            }
            result => Some(result),
        }
    }

    fn start_read(&self, mut buffer: Buffer) -> JoinHandle<io::Result<Bytes>> {
        let file = Arc::clone(&self.file);
        let (position, ahead) = (self.position, NonZeroU64::new(self.ahead));
        tokio::task::spawn_blocking(move || {
            if ahead.is_some() {
                // A file system without read-ahead only makes the next chunk slower.
                let _ = rustix::fs::fadvise(&file, position, ahead, Advice::WillNeed);
            }
            let read = read_some(&file, buffer.room(), position)?;
            Ok(buffer.freeze(read))
        })
    }
}

/// Whether a byte of each window of `range` is in the page cache; `None` where nobody can say.
pub(super) fn is_resident(file: &File, range: Range<u64>) -> Option<bool> {
    let mut byte = [0];
    let mut at = range.end;
    while at > range.start {
        let mut slices = [IoSliceMut::new(&mut byte)];
        match rustix::io::preadv2(file, &mut slices, at - 1, ReadWriteFlags::NOWAIT) {
            Ok(1) | Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return None,
            Ok(_) | Err(_) => return Some(false),
        }
        at = at.saturating_sub(WINDOW);
    }
    Some(true)
}

/// Reads `range` for the sake of the page cache, and asks for `ahead` bytes.
pub(super) fn bring_in(file: &File, range: Range<u64>, ahead: u64) -> io::Result<()> {
    // A file system without read-ahead only makes what follows slower.
    let _ = rustix::fs::fadvise(file, range.start, NonZeroU64::new(ahead), Advice::WillNeed);
    let mut space = vec![0; 64 * 1024];
    let mut at = range.start;
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let want = left.min(space.len());
        at += read_some(file, &mut space[..want], at)? as u64;
    }
    Ok(())
}

/// One positioned read of at least one byte, repeated when a signal interrupts it.
fn read_some(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, position) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;

    use super::*;

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    async fn read_all(mut chunks: Chunks, size: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < size {
            let want = (size - all.len()).min(1000);
            all.extend_from_slice(&poll_fn(|cx| chunks.poll_next(cx, want)).await.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn both_ways_of_reading_give_the_same_bytes() {
        let bytes: Vec<u8> = (0..=255).cycle().take(10_500).collect();
        for nowait in [true, false] {
            let mut chunks = Chunks::new(file_of(&bytes), 0, 4096);
            chunks.nowait = nowait;
            assert_eq!(read_all(chunks, bytes.len()).await, bytes, "{nowait}");
        }
    }

    #[tokio::test]
    async fn resident_pages_are_read_without_a_hop() {
        let mut chunks = Chunks::new(file_of(b"0123456789"), 2, 0);
        let first = futures_util::poll!(poll_fn(|cx| chunks.poll_next(cx, 4)));
        // A file system that cannot say what is resident always hops.
        if chunks.nowait {
            assert!(matches!(first, Poll::Ready(Ok(bytes)) if bytes == "2345"));
        }
    }

    #[test]
    fn a_dropped_read_is_taken_up_again() {
        crate::store::error::with_busy_pool(|free_pool| async move {
            let mut chunks = Chunks::new(file_of(b"0123456789"), 0, 0);
            chunks.nowait = false;
            {
                let mut first = std::pin::pin!(poll_fn(|cx| chunks.poll_next(cx, 4)));
                assert!(futures_util::poll!(first.as_mut()).is_pending());
            }
            drop(free_pool);
            assert_eq!(read_all(chunks, 10).await, b"0123456789");
        });
    }

    #[tokio::test]
    async fn a_file_that_ends_early_is_an_error() {
        for nowait in [true, false] {
            let mut chunks = Chunks::new(file_of(b"abc"), 3, 0);
            chunks.nowait = nowait;
            let error = poll_fn(|cx| chunks.poll_next(cx, 10)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{nowait}");
        }
    }
}
