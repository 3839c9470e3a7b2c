//! A stored body, ready to be read by any number of readers.
//!
//! Small bodies are in memory, others an open file. Files are only ever renamed over or unlinked by
//! us, never truncated in place, so an open body stays whole whatever happens to its name.
//!
//! Invariant: no reader gets the last 64 KiB of what it reads from a file before the file was found
//! to be what its name says, nor after it was changed since it was opened.

use std::fs::File;
use std::future::poll_fn;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::chunk::{self, Chunks};
use super::draft::HOLD_BACK;
use super::error::{StoreError, StoreErrorKind};
use super::stamp::Stamp;
use crate::clock::{Clock, Time};

/// The largest chunk a body's reader gives.
const CHUNK: u64 = 128 * 1024;

/// How far ahead the kernel is asked to read when a page is not resident.
const AHEAD: u64 = 2 * 1024 * 1024;

/// Between two looks whether an open file was changed.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file that was in memory is taken to be there. What the kernel drops meanwhile, though
/// it was just used, costs a wait for the disk.
const RESIDENT: Duration = Duration::from_secs(1);

/// Files up to this size are looked at as a whole: each look is a system call for 128 KiB.
const WHOLE_MAX: u64 = 32 * 1024 * 1024;

/// A stored body.
#[derive(Clone, Debug)]
pub enum Blob {
    /// In memory, at most 32 KiB.
    Bytes(Bytes),
    /// An open file.
    File(Arc<OpenBlob>),
}

/// What is known of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Pending,
    /// It is what its name says.
    Good,
    /// It is not.
    Damaged,
    /// Somebody wrote to it since it was opened: what was read of it may be anything.
    Changed,
    /// It could not be verified for now.
    Unread,
    /// Reading or sending it has failed.
    Failed,
}

/// An open body file.
#[derive(Debug)]
pub struct OpenBlob {
    file: Arc<File>,
    stamp: Stamp,
    clock: Clock,
    /// Milliseconds.
    looked_at: AtomicU64,
    /// When all of it was in memory, in milliseconds; 0 is never.
    resident_at: AtomicU64,
    /// Whether asking for it again would not find it.
    let_go: AtomicBool,
    verdict: watch::Sender<Verdict>,
}

impl OpenBlob {
    pub(super) fn new(file: File, stamp: Stamp, clock: Clock, verdict: Verdict) -> Self {
        Self {
            file: Arc::new(file),
            stamp,
            looked_at: AtomicU64::new(clock.now().as_millis()),
            resident_at: AtomicU64::new(0),
            let_go: AtomicBool::new(false),
            clock,
            verdict: watch::Sender::new(verdict),
        }
    }

    /// Whether asking for it again would find it, as good as it was at the last look.
    pub fn is_at_hand(&self) -> bool {
        !self.let_go.load(Ordering::Acquire) && *self.verdict.borrow() == Verdict::Good
    }

    /// It is closed as soon as nobody reads it any more.
    pub(super) fn let_go(&self) {
        self.let_go.store(true, Ordering::Release);
    }

    /// Notes that reading or sending it has failed: it is to be put aside.
    pub fn fail(&self) {
        self.condemn(Verdict::Failed);
    }

    /// The file, for positioned reads and sendfile; nobody moves its cursor or writes to it.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// As it was when it was opened.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The body's length in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Whether sending the bytes in `range` would not wait for the disk, as far as samples tell, or
    /// told a moment ago; `None` where the system cannot say.
    pub fn is_resident(&self, range: Range<u64>) -> Option<bool> {
        let (last, now) = (self.resident_at.load(Ordering::Relaxed), self.clock.now());
        if last > 0 && last <= now.as_millis() && now.since(Time::from_millis(last)) < RESIDENT {
            return Some(true);
        }
        if range.start == 0 && self.size() <= WHOLE_MAX {
            let whole = chunk::is_resident(&self.file, 0..self.size());
            if whole == Some(true) {
                self.resident_at.store(now.as_millis(), Ordering::Relaxed);
            }
            if whole != Some(false) {
                return whole;
            }
        }
        chunk::is_resident(&self.file, range)
    }

    /// Brings the bytes in `range` into memory, and asks for those that follow. Waits for the disk.
    ///
    /// # Errors
    /// Those of the disk, also when the file is shorter.
    pub fn bring_in(&self, range: Range<u64>) -> std::io::Result<()> {
        chunk::bring_in(&self.file, range, AHEAD)
    }

    /// What is known of it; now and then after a look at the file.
    pub(super) fn verdict(&self) -> Verdict {
        let (last, now) = (self.looked_at.load(Ordering::Relaxed), self.clock.now());
        // A clock that was set back makes looks no rarer.
        let elapsed = now.since(Time::from_millis(last));
        let due = elapsed >= LOOK || now.as_millis() < last;
        let looks = due
            && self
                .looked_at
                .compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if looks && !Stamp::of(&self.file).is_ok_and(|stamp| stamp == self.stamp) {
            self.condemn(Verdict::Changed);
        }
        *self.verdict.borrow()
    }

    /// Writes down what a verification found, unless more is known by now.
    pub(super) fn settle(&self, found: Verdict) {
        self.verdict.send_if_modified(|verdict| {
            let open = *verdict == Verdict::Pending;
            if open {
                *verdict = found;
            }
            open
        });
    }

    /// Ends all reading of it.
    pub(super) fn condemn(&self, verdict: Verdict) {
        self.verdict.send_replace(verdict);
    }

    /// Waits until it is known whether it is what its name says.
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        let mut verdict = self.verdict.subscribe();
        let settled = verdict.wait_for(|now| *now != Verdict::Pending).await;
        // The sender lives as long as `self`: the wait cannot fail.
        settled.map_or(Verdict::Unread, |now| *now).into_result()
    }
}

impl Verdict {
    pub(super) fn into_result(self) -> Result<(), StoreError> {
        let (kind, context) = match self {
            Self::Good => return Ok(()),
            Self::Damaged => (StoreErrorKind::Damaged, "body does not match its digest"),
            Self::Changed => (StoreErrorKind::Damaged, "body was changed on the disk"),
            Self::Failed => (StoreErrorKind::Damaged, "body could not be read"),
            Self::Pending | Self::Unread => (StoreErrorKind::Io, "body could not be verified"),
        };
        Err(StoreError::new(kind, context))
    }
}

impl Blob {
    /// A body in an open file that nobody writes to.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn open(file: File) -> std::io::Result<Self> {
        let stamp = Stamp::of(&file)?;
        let open = OpenBlob::new(file, stamp, Clock::System, Verdict::Good);
        Ok(Self::File(Arc::new(open)))
    }

    /// The body's length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(open) => open.size(),
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
                Source::File(FileReader {
                    chunks: Chunks::new(Arc::clone(&open.file), start, ahead),
                    open: Arc::clone(open),
                    waiting: None,
                })
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
    File(FileReader),
}

struct FileReader {
    chunks: Chunks,
    open: Arc<OpenBlob>,
    waiting: Option<Waiting>,
}

/// A wait for the verdict.
type Waiting = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + Sync>>;

impl FileReader {
    /// How many of the `left` bytes may be read now; waits for the verdict before the last ones.
    fn poll_allowed(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<Result<u64, StoreError>> {
        let before_last = left.saturating_sub(HOLD_BACK);
        match self.open.verdict() {
            Verdict::Good => Poll::Ready(Ok(left)),
            Verdict::Pending if before_last > 0 => Poll::Ready(Ok(before_last)),
            Verdict::Pending => {
                let open = Arc::clone(&self.open);
                let wait = || -> Waiting { Box::pin(async move { open.settled().await }) };
                let settled = ready!(self.waiting.get_or_insert_with(wait).as_mut().poll(cx));
                self.waiting = None;
                Poll::Ready(settled.map(|()| left))
            }
            bad => Poll::Ready(bad.into_result().map(|()| 0)),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<Result<Bytes, StoreError>> {
        let allowed = ready!(self.poll_allowed(cx, left))?;
        let failed = |error| StoreError::io("read", Path::new("body"), error);
        let next = ready!(self.chunks.poll_next(cx, to_usize(allowed.min(CHUNK))));
        if next.is_err() {
            self.open.fail();
        }
        Poll::Ready(next.map_err(failed))
    }
}

impl BlobReader {
    /// How many bytes are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Whether the bytes come from a file.
    pub fn is_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// The open file, where in it the next byte is, and how many bytes from there on may be sent
    /// now; waits for the verdict before the last ones. `None` at the end of the range, and for a
    /// body that is in memory.
    #[expect(clippy::type_complexity, reason = "each part is said above")]
    pub fn poll_file(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Arc<OpenBlob>, u64, u64), StoreError>>> {
        match &mut self.source {
            Source::File(reader) if self.left > 0 => {
                let allowed = ready!(reader.poll_allowed(cx, self.left));
                let (open, position) = (Arc::clone(&reader.open), reader.chunks.position());
                Poll::Ready(Some(allowed.map(|allowed| (open, position, allowed))))
            }
            Source::File(_) | Source::Bytes(_) => Poll::Ready(None),
        }
    }

    /// Passes over bytes of a file that were sent without being read.
    pub fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        match &mut self.source {
            Source::File(reader) => reader.chunks.skip(bytes),
            Source::Bytes(left) => drop(left.split_to(to_usize(bytes))),
        }
        self.left -= bytes;
    }

    /// The next 1 to 131,072 bytes; `None` at the end of the range; an error when the disk fails,
    /// the file is shorter than the body, or it is not what its name says. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`BlobReader::next`] for bodies that are polled.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StoreError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = match &mut self.source {
            Source::Bytes(bytes) => Ok(bytes.split_to(to_usize(self.left.min(CHUNK)))),
            Source::File(reader) => ready!(reader.poll_next(cx, self.left)),
        };
        if let Ok(bytes) = &bytes {
            self.left -= bytes.len() as u64;
        }
        Poll::Ready(Some(bytes))
    }
}

/// A length inside a body in memory or inside a chunk, which always fits.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
