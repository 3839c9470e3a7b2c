//! Beginnings of packages whose download was given up, kept for whoever asks next.
//!
//! In memory is only which there are; their bytes are in drafts without a name, so a restart forgets
//! them. Invariant: at most [`PARTS_MAX`] of them with [`BYTES_MAX`] in all, the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use crate::entry::{Entry, Key};
use crate::store::DraftPart;
use crate::upstream::{Checksum, Rest};

/// Most parts that are kept.
const PARTS_MAX: usize = 16;

/// Most bytes of all of them.
const BYTES_MAX: u64 = 256 << 20;

/// The beginning of a package.
pub(super) struct Part {
    /// Its bytes.
    pub(super) body: DraftPart,
    /// What is known of the whole; the body's digest is not.
    pub(super) entry: Entry,
    /// What the rest is asked for with.
    pub(super) validator: HeaderValue,
    /// Length of the whole in bytes, if the upstream told it.
    pub(super) length: Option<u64>,
    /// Digests the whole must have.
    pub(super) checksums: Vec<Checksum>,
}

impl Part {
    /// What is missing.
    pub(super) fn rest(&self) -> Rest {
        Rest {
            from: self.body.length(),
            validator: self.validator.clone(),
        }
    }
}

/// The parts of one feed's packages.
#[derive(Default)]
pub(super) struct Parts(Mutex<VecDeque<(Key, Part)>>);

impl Parts {
    /// Takes the part of `key` out.
    pub(super) fn take(&self, key: &Key) -> Option<Part> {
        let mut parts = self.lock();
        let place = parts.iter().position(|(of, _)| of == key)?;
        parts.remove(place).map(|(_, part)| part)
    }

    /// Keeps a part, over an earlier one of the same key; others make room.
    pub(super) fn keep(&self, key: &Key, part: Part) {
        if part.body.length() > BYTES_MAX {
            return;
        }
        let mut parts = self.lock();
        parts.retain(|(of, _)| of != key);
        parts.push_back((key.clone(), part));
        let bytes = |parts: &VecDeque<(Key, Part)>| -> u64 {
            parts.iter().map(|(_, part)| part.body.length()).sum()
        };
        while parts.len() > PARTS_MAX || bytes(&parts) > BYTES_MAX {
            parts.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Part)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
