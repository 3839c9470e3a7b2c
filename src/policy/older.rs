//! Which of two versions of a document is the newer one, and whether the older one is believed.
//!
//! The edges of a CDN are not equally fast: after a new document one of them may still send the old
//! one, and a client that saw a version would not find it again.

use std::time::{Duration, SystemTime};

use crate::clock::Time;

/// An older document is believed when it has been sent over this time: a feed may be restored from
/// a backup, and then it is right.
const BELIEVED_AFTER: Duration = Duration::from_mins(10);

/// When a document was made, as far as it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dated {
    /// `commitTimeStamp` of a registration, in nanoseconds since the Unix epoch.
    pub committed: Option<i128>,
    /// `Last-Modified`.
    pub modified: Option<SystemTime>,
}

/// Whether `new` is older than `known` and not believed yet; `doubted_since` is when the upstream
/// first contradicted what is stored.
pub fn goes_back(new: Dated, known: Dated, doubted_since: Option<Time>, now: Time) -> bool {
    let older = match (new.committed, known.committed) {
        (Some(new), Some(known)) => new < known,
        _ => matches!((new.modified, known.modified), (Some(new), Some(known)) if new < known),
    };
    older && doubted_since.is_none_or(|since| now.since(since) < BELIEVED_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dated(committed: Option<i128>, modified: Option<u64>) -> Dated {
        let modified = modified.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        Dated {
            committed,
            modified,
        }
    }

    #[test]
    fn what_the_document_says_of_itself_counts_before_its_head() {
        let now = Time::from_millis(0);
        for (new, known, expected) in [
            (dated(Some(1), None), dated(Some(2), None), true),
            (dated(Some(2), None), dated(Some(2), None), false),
            (dated(Some(3), Some(1)), dated(Some(2), Some(2)), false),
            (dated(Some(1), Some(3)), dated(Some(2), Some(2)), true),
            (dated(None, Some(1)), dated(Some(2), Some(2)), true),
            (dated(None, Some(2)), dated(None, Some(2)), false),
            (dated(None, None), dated(None, Some(2)), false),
            (dated(None, Some(1)), dated(None, None), false),
        ] {
            assert_eq!(
                goes_back(new, known, None, now),
                expected,
                "{new:?} {known:?}"
            );
        }
    }

    #[test]
    fn an_older_one_is_believed_after_ten_minutes() {
        let (new, known) = (dated(Some(1), None), dated(Some(2), None));
        let since = Time::from_millis(1000);
        let after = |seconds| {
            let now = since.plus(Duration::from_secs(seconds));
            goes_back(new, known, Some(since), now)
        };
        assert!(after(599));
        assert!(!after(600));
    }
}
