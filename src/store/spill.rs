//! The part of a draft that the disk did not take: in memory, and no longer than its readers need it.
//!
//! Invariant: a byte leaves memory only after every reader there is has it; whoever comes later is
//! told so when it asks for a reader.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::draft::HOLD_BACK;
use super::health::UNIT;

/// Bytes that are kept for readers of their own pace; a batch of 256 KiB may come on top.
const WINDOW: u64 = 768 * 1024;

/// The longest piece.
const PIECE: usize = 64 * 1024;

/// What is reserved for a body of which no more than that is kept.
const RESERVED: u64 = 1024 * 1024;

/// What stays in memory of a body that the disk does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it: it is looked at as a whole.
    Whole,
    /// What readers have not got yet; as long as none has come, the writer waits.
    Window,
    /// The end: nobody reads, only its digest is wanted.
    Digest,
}

/// Where the readers of a draft are.
#[derive(Default)]
pub(super) struct Places {
    places: Mutex<Vec<Arc<AtomicU64>>>,
    /// Tells a writer that waits that a reader went on or left.
    moved: Notify,
}

impl Places {
    /// A place at the first byte, unless it is gone already.
    pub(super) fn enter(&self, spill: Option<&Spill>) -> Option<Arc<AtomicU64>> {
        let mut places = self.lock();
        if spill.is_some_and(|spill| spill.ring().dropped) {
            return None;
        }
        let place = Arc::new(AtomicU64::new(0));
        places.push(Arc::clone(&place));
        Some(place)
    }

    pub(super) fn advance(&self, place: &AtomicU64, to: u64) {
        place.store(to, Ordering::Release);
        self.moved.notify_waiters();
    }

    pub(super) fn leave(&self, place: &Arc<AtomicU64>) {
        self.lock().retain(|one| !Arc::ptr_eq(one, place));
        self.moved.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A draft from its byte `begin` on.
pub(super) struct Spill {
    begin: u64,
    keep: Keep,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    pieces: Pieces,
    held: u64,
    end: u64,
    /// Whether something has left memory.
    dropped: bool,
    /// Whether a reader was ever there.
    awaited: bool,
    reserved: Option<OwnedSemaphorePermit>,
}

/// Consecutive pieces and where each begins.
type Pieces = VecDeque<(u64, Bytes)>;

impl Spill {
    pub(super) fn new(begin: u64, keep: Keep) -> Self {
        let ring = Ring {
            end: begin,
            ..Ring::default()
        };
        Self {
            begin,
            keep,
            ring: Mutex::new(ring),
        }
    }

    /// Where it begins.
    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    pub(super) fn push(&self, blocks: Vec<Bytes>) {
        let mut ring = self.ring();
        for mut block in blocks {
            // In small pieces, since one goes as a whole.
            while !block.is_empty() {
                let piece = block.split_to(block.len().min(PIECE));
                let (at, length) = (ring.end, piece.len() as u64);
                ring.pieces.push_back((at, piece));
                ring.held += length;
                ring.end += length;
            }
        }
    }

    /// Waits until more may be brought: until readers have got what is there, and memory is
    /// reserved for it. Cancel safe.
    pub(super) async fn room(&self, places: &Places, budget: &Arc<Semaphore>) {
        loop {
            let moved = places.moved.notified();
            let mut moved = std::pin::pin!(moved);
            moved.as_mut().enable();
            let missing = self.missing();
            if missing > 0 {
                let more = Arc::clone(budget).acquire_many_owned(missing).await;
                // The budget is never closed.
                let Ok(more) = more else { return };
                let mut ring = self.ring();
                match &mut ring.reserved {
                    Some(reserved) => reserved.merge(more),
                    none => *none = Some(more),
                }
            }
            if self.trim(places) {
                return;
            }
            moved.await;
        }
    }

    /// Leaves those behind for whom others wait that have everything up to `shown`; they find what they
    /// have not read gone.
    pub(super) fn cast_off(&self, places: &Places, shown: u64) {
        let mut places = places.lock();
        let at = |place: &Arc<AtomicU64>| place.load(Ordering::Acquire);
        if self.keep != Keep::Window || !places.iter().any(|place| at(place) >= shown) {
            return;
        }
        let front = self
            .ring()
            .pieces
            .front()
            .map(|(at, piece)| at + piece.len() as u64);
        places.retain(|place| Some(at(place)) >= front);
    }

    /// Permits that are still to be reserved.
    fn missing(&self) -> u32 {
        let ring = self.ring();
        let wanted = match self.keep {
            Keep::Whole => ring.held + RESERVED / 4,
            Keep::Window | Keep::Digest => RESERVED,
        };
        let wanted = u32::try_from(wanted.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let reserved = ring
            .reserved
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        wanted.saturating_sub(u32::try_from(reserved).unwrap_or(u32::MAX))
    }

    /// Drops what nobody needs any more; says whether there is room for more.
    fn trim(&self, places: &Places) -> bool {
        if self.keep == Keep::Whole {
            return true;
        }
        let places = places.lock();
        let slowest = places
            .iter()
            .map(|place| place.load(Ordering::Acquire))
            .min();
        let mut ring = self.ring();
        ring.awaited |= slowest.is_some();
        let needed = match slowest {
            Some(slowest) => slowest,
            None if ring.awaited || self.keep == Keep::Digest => u64::MAX,
            None => 0,
        };
        while ring.held > WINDOW
            && let Some((at, piece)) = ring.pieces.front()
            && *at + (piece.len() as u64) <= needed
        {
            ring.held -= piece.len() as u64;
            ring.pieces.pop_front();
            ring.dropped = true;
        }
        ring.held <= WINDOW
    }

    /// Up to `want` bytes at `position`; `None` when they are gone.
    pub(super) fn read(&self, position: u64, want: usize) -> Option<Bytes> {
        let ring = self.ring();
        let (at, piece) = piece_at(&ring.pieces, position)?;
        let skip = usize::try_from(position - at).ok()?;
        Some(piece.slice(skip..piece.len().min(skip + want)))
    }

    /// Everything, if nothing has left memory.
    pub(super) fn whole(&self, file: Option<Arc<File>>) -> Option<Joined> {
        let ring = self.ring();
        (!ring.dropped).then(|| Joined {
            file,
            begin: self.begin,
            pieces: Arc::new(ring.pieces.clone()),
        })
    }

    /// The last bytes, at most as many as are held back.
    pub(super) fn tail(&self) -> Vec<u8> {
        let ring = self.ring();
        let mut from = ring.end.saturating_sub(HOLD_BACK).max(self.begin);
        let mut tail = Vec::new();
        while let Some((at, piece)) = piece_at(&ring.pieces, from) {
            let skip = usize::try_from(from - at).unwrap_or(piece.len());
            tail.extend_from_slice(&piece[skip..]);
            from = at + piece.len() as u64;
        }
        tail
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn piece_at(pieces: &Pieces, position: u64) -> Option<(u64, &Bytes)> {
    let after = pieces.partition_point(|(at, _)| *at <= position);
    let (at, piece) = pieces.get(after.checked_sub(1)?)?;
    (position < at + piece.len() as u64).then_some((*at, piece))
}

/// A whole body whose beginning is in a file and whose end is in memory.
#[derive(Clone)]
pub(super) struct Joined {
    file: Option<Arc<File>>,
    begin: u64,
    pieces: Arc<Pieces>,
}

impl Joined {
    /// A positioned read as of a file; `target` is not empty and inside the body.
    pub(super) fn read_at(&self, target: &mut [u8], position: u64) -> io::Result<usize> {
        if let Some(file) = self.file.as_ref().filter(|_| position < self.begin) {
            let most = usize::try_from(self.begin - position).unwrap_or(usize::MAX);
            let most = most.min(target.len());
            return file.read_at(&mut target[..most], position);
        }
        let Some((at, piece)) = piece_at(&self.pieces, position) else {
            return Ok(0);
        };
        let skip = usize::try_from(position - at).unwrap_or(piece.len());
        let read = target.len().min(piece.len() - skip);
        target[..read].copy_from_slice(&piece[skip..skip + read]);
        Ok(read)
    }
}
