//! How much of something there is in a second.

use std::fmt;
use std::num::NonZeroU64;

/// The least and the most that is taken in one turn, in bytes.
const SLICE_MIN: u64 = 1024;
const SLICE: u64 = 16 * 1024;
const SLICE_MAX: u64 = 256 * 1024;

/// A rate in bytes a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// This many bytes a second; none for 0.
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        NonZeroU64::new(bytes_per_second).map(Self)
    }

    /// Bytes a second.
    pub const fn bytes(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.0)
    }
}

/// What a valve lets through: units a second, how many of them at once after a rest, and how many in
/// one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub(super) per_second: NonZeroU64,
    pub(super) burst: u64,
    pub(super) slice: u64,
}

impl Quota {
    /// Bytes at this rate. A turn is 16 KiB; less where that would take more than a tenth of a second,
    /// more where it would take less than two milliseconds. After a rest one turn and a tenth of a
    /// second pass at once, 16 KiB at least: enough for timers that wake late on a busy machine.
    pub fn bytes(rate: Rate) -> Self {
        let tenth = rate.bytes() / 10;
        let small = tenth.clamp(SLICE_MIN, SLICE);
        let slice = small.max((rate.bytes() / 500).min(SLICE_MAX));
        Self {
            per_second: rate.0,
            burst: (tenth + slice).max(SLICE),
            slice,
        }
    }

    /// This many events a second, and after a rest those of `seconds` at once; none for 0.
    pub fn events(per_second: u32, seconds: u32) -> Option<Self> {
        let per_second = NonZeroU64::new(per_second.into())?;
        Some(Self {
            per_second,
            burst: per_second.get() * u64::from(seconds.max(1)),
            slice: 1,
        })
    }

    /// The most in one turn when this many take turns, so that a round of them is over within
    /// `seconds` where turns of [`SLICE_MIN`] allow it.
    pub(super) fn slice_of(&self, many: usize, seconds: u64) -> u64 {
        let share = self.per_second.get().saturating_mul(seconds) / many.max(1) as u64;
        self.slice.min(share.max(SLICE_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_short_and_neither_tiny_nor_huge() {
        let of = |bytes| {
            let quota = Quota::bytes(Rate::new(bytes).unwrap());
            (quota.slice, quota.burst)
        };
        assert_eq!(of(1_000), (1024, 16 * 1024));
        assert_eq!(of(125_000), (12_500, 25_000));
        assert_eq!(of(1_250_000), (16 * 1024, 141_384));
        assert_eq!(of(125_000_000), (250_000, 12_750_000));
        assert_eq!(of(1_250_000_000), (256 * 1024, 125_262_144));
    }
}
