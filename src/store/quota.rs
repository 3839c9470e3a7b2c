//! How much may be kept, and how much has to go.
//!
//! A pure rule: what is there and what is allowed go in, what is too much comes out. Between a high
//! and a low mark nothing happens, so that room is made in strides and not for every package.

use super::table::Totals;

/// The most that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all bodies.
    pub size_max: u64,
    /// Bytes of the answers to queries, which cannot push packages out.
    pub queries_max: u64,
    /// Bytes of the disk that are left free.
    pub free_min: u64,
}

impl Quota {
    /// Everything is kept.
    pub const NONE: Self = Self {
        size_max: u64::MAX,
        queries_max: u64::MAX,
        free_min: 0,
    };
}

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    /// Whether only answers to queries have to go.
    pub(super) queries: bool,
    /// How many bytes.
    pub(super) bytes: u64,
}

/// Twentieths of a limit that are kept when room is made.
const LOW: u64 = 19;

/// What is too much of what there is; `free` is what the disk has left, where that is known.
pub(super) fn excess(quota: &Quota, totals: &Totals, free: Option<u64>) -> Option<Excess> {
    if let Some(bytes) = above(totals.queries_bytes, quota.queries_max) {
        let queries = true;
        return Some(Excess { queries, bytes });
    }
    let missing = free.map_or(0, |free| quota.free_min.saturating_sub(free));
    let bytes = above(totals.bodies_bytes, quota.size_max)
        .unwrap_or(0)
        .max(missing)
        .min(totals.bodies_bytes);
    let queries = false;
    (bytes > 0).then_some(Excess { queries, bytes })
}

/// How far it is from above the high mark to the low one.
fn above(held: u64, limit: u64) -> Option<u64> {
    (held > limit).then(|| held - limit / 20 * LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota {
        size_max: 1000,
        queries_max: 100,
        free_min: 500,
    };

    #[track_caller]
    fn check((bodies, queries): (u64, u64), free: Option<u64>, expected: Option<(bool, u64)>) {
        let totals = Totals {
            bodies_bytes: bodies,
            queries_bytes: queries,
            ..Totals::default()
        };
        let found = excess(&QUOTA, &totals, free).map(|it| (it.queries, it.bytes));
        assert_eq!(found, expected);
        assert_eq!(excess(&Quota::NONE, &totals, free), None);
    }

    #[test]
    fn room_is_made_down_to_the_low_mark() {
        check((1000, 100), Some(500), None);
        check((1001, 100), Some(500), Some((false, 51)));
        check((1001, 101), Some(500), Some((true, 6)));
        check((1000, 0), None, None);
    }

    #[test]
    fn the_disk_is_left_some_room() {
        check((1000, 0), Some(499), Some((false, 1)));
        check((1001, 0), Some(0), Some((false, 500)));
        check((3, 0), Some(0), Some((false, 3)));
        check((0, 0), Some(0), None);
    }
}
