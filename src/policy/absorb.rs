//! What becomes of the upstream's answer.

use std::time::Duration;

use crate::clock::Time;
use crate::entry::Entry;
use crate::policy::class::{Class, Freshness};

/// What the upstream said, as far as keeping is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: a body follows.
    Body,
    /// 304.
    NotModified,
    /// 404 or 410.
    Absent,
    /// There is certainly none: a folder can know that, a service behind a CDN cannot.
    Gone,
    /// 401 or 403: it does not want to say.
    Denied,
    /// It could not be asked, or answered 408, 429, 5xx, or nonsense.
    Unavailable,
    /// Any other 4xx: the request itself is at fault.
    Refused,
}

impl Answer {
    /// The meaning of a status code of an upstream (NuGet documentation, "API overview", status
    /// codes; RFC 9110 section 15).
    pub const fn of_status(status: u16) -> Self {
        match status {
            200 | 203 => Self::Body,
            304 => Self::NotModified,
            404 | 410 => Self::Absent,
            401 | 403 | 407 => Self::Denied,
            408 | 421 | 425 | 429 => Self::Unavailable,
            400..=499 => Self::Refused,
            _ => Self::Unavailable,
        }
    }
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Receive the body and keep it.
    Replace,
    /// The stored body is confirmed: only its time of checking changes.
    Keep,
    /// The upstream says there is none, which is not believed yet: serve the stored body, and
    /// remember since when.
    KeepMissing,
    /// Remember the 404.
    RememberAbsent,
    /// Pass the 404 on without remembering it.
    PassAbsent,
    /// Serve what is stored (a body, or a remembered 404) although the upstream failed.
    ServeStale,
    /// Pass the refusal on.
    PassRefused,
    /// There is nothing to serve: fail.
    Fail,
}

/// A version list or registration index is believed to be gone after 404s over this time: a single
/// 404 may be one bad edge of a CDN.
const LIST_GONE_AFTER: Duration = Duration::from_secs(10 * 60);

/// A registration page is served at least this long after it disappeared: clients hold an index up
/// to 30 minutes and pair it with the pages it names.
const PAGE_GONE_AFTER: Duration = Duration::from_secs(40 * 60);

/// Decides what becomes of `answer` to a question for a document of `class` stored as `entry`.
/// `negative` says whether a 404 of it is worth remembering.
pub fn absorb(
    answer: Answer,
    entry: Option<&Entry>,
    (class, negative): (Class, bool),
    freshness: &Freshness,
    now: Time,
) -> Step {
    match answer {
        Answer::Body => Step::Replace,
        Answer::NotModified if entry.is_some_and(|entry| !entry.is_absent()) => Step::Keep,
        // A 304 to a question without validators is nonsense: it says nothing about the document.
        Answer::NotModified | Answer::Denied | Answer::Unavailable => {
            after_failure(entry, class, freshness, now)
        }
        Answer::Absent => after_absent(entry, class, negative, now),
        Answer::Gone => unknown(negative),
        Answer::Refused if entry.is_some_and(|entry| !entry.is_absent()) => Step::ServeStale,
        Answer::Refused => Step::PassRefused,
    }
}

fn after_failure(entry: Option<&Entry>, class: Class, freshness: &Freshness, now: Time) -> Step {
    let Some(entry) = entry else {
        return Step::Fail;
    };
    let lifetime = freshness.of(class);
    let limit = if entry.is_absent() {
        freshness.negative.saturating_add(freshness.negative_kept)
    } else {
        lifetime.fresh.saturating_add(lifetime.stale_if_error)
    };
    if now.since(entry.checked_at) < limit {
        Step::ServeStale
    } else {
        Step::Fail
    }
}

const fn unknown(negative: bool) -> Step {
    if negative {
        Step::RememberAbsent
    } else {
        Step::PassAbsent
    }
}

fn after_absent(entry: Option<&Entry>, class: Class, negative: bool, now: Time) -> Step {
    let unknown = unknown(negative);
    let Some(entry) = entry.filter(|entry| !entry.is_absent()) else {
        return unknown;
    };
    let patience = match class {
        // What was published stays available: lock files name it.
        Class::Immutable | Class::Index => return Step::KeepMissing,
        Class::Query => return unknown,
        Class::Versions => LIST_GONE_AFTER,
        Class::Metadata => PAGE_GONE_AFTER,
    };
    match entry.missing_since {
        Some(since) if now.since(since) >= patience => unknown,
        _ => Step::KeepMissing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Digest, Stored};

    const START: Time = Time::from_millis(1_000_000_000_000);

    fn body() -> Entry {
        let stored = Stored {
            digest: Digest::of(b"x"),
            size: 1,
        };
        Entry {
            body: Some(stored),
            missing_since: None,
            ..Entry::absent(String::new(), START)
        }
    }

    #[track_caller]
    fn check(answer: Answer, entry: Option<&Entry>, class: Class, age: Duration, expected: Step) {
        let step = absorb(
            answer,
            entry,
            (class, true),
            &Freshness::default(),
            START.plus(age),
        );
        assert_eq!(step, expected, "{answer:?} {class:?} {age:?}");
    }

    #[test]
    fn what_is_gone_for_certain_does_not_stay() {
        let stored = body();
        for class in Class::ALL {
            check(
                Answer::Gone,
                Some(&stored),
                class,
                Duration::ZERO,
                Step::RememberAbsent,
            );
        }
        let rule = (Class::Immutable, false);
        let freshness = Freshness::default();
        let step = absorb(Answer::Gone, Some(&stored), rule, &freshness, START);
        assert_eq!(step, Step::PassAbsent);
    }

    #[test]
    fn statuses() {
        for (status, expected) in [
            (200, Answer::Body),
            (304, Answer::NotModified),
            (404, Answer::Absent),
            (410, Answer::Absent),
            (401, Answer::Denied),
            (403, Answer::Denied),
            (400, Answer::Refused),
            (429, Answer::Unavailable),
            (500, Answer::Unavailable),
            (503, Answer::Unavailable),
            (206, Answer::Unavailable),
            (204, Answer::Unavailable),
            (302, Answer::Unavailable),
        ] {
            assert_eq!(Answer::of_status(status), expected, "{status}");
        }
    }

    #[test]
    fn never_404_on_doubt() {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        for answer in [Answer::Denied, Answer::Unavailable, Answer::NotModified] {
            check(answer, None, Class::Versions, minute, Step::Fail);
        }
        for answer in [Answer::Denied, Answer::Unavailable] {
            check(
                answer,
                Some(&body()),
                Class::Versions,
                minute,
                Step::ServeStale,
            );
            check(
                answer,
                Some(&body()),
                Class::Versions,
                300 * day,
                Step::ServeStale,
            );
            check(
                answer,
                Some(&body()),
                Class::Versions,
                400 * day,
                Step::Fail,
            );
            let absent = Entry::absent(String::new(), START);
            check(
                answer,
                Some(&absent),
                Class::Versions,
                6 * day,
                Step::ServeStale,
            );
            check(answer, Some(&absent), Class::Versions, 8 * day, Step::Fail);
        }
    }

    #[test]
    fn a_404_does_not_evict_what_is_stored_at_once() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        check(
            Answer::Absent,
            None,
            Class::Versions,
            minutes(0),
            Step::RememberAbsent,
        );
        let mut entry = body();
        check(
            Answer::Absent,
            Some(&entry),
            Class::Versions,
            minutes(90),
            Step::KeepMissing,
        );
        check(
            Answer::Absent,
            Some(&entry),
            Class::Immutable,
            minutes(90),
            Step::KeepMissing,
        );
        entry.missing_since = Some(START);
        check(
            Answer::Absent,
            Some(&entry),
            Class::Versions,
            minutes(9),
            Step::KeepMissing,
        );
        check(
            Answer::Absent,
            Some(&entry),
            Class::Versions,
            minutes(10),
            Step::RememberAbsent,
        );
        check(
            Answer::Absent,
            Some(&entry),
            Class::Metadata,
            minutes(39),
            Step::KeepMissing,
        );
        check(
            Answer::Absent,
            Some(&entry),
            Class::Metadata,
            minutes(40),
            Step::RememberAbsent,
        );
        check(
            Answer::Absent,
            Some(&entry),
            Class::Immutable,
            minutes(9_000),
            Step::KeepMissing,
        );
        check(
            Answer::Absent,
            Some(&entry),
            Class::Index,
            minutes(9_000),
            Step::KeepMissing,
        );
    }

    #[test]
    fn confirmations_and_refusals() {
        let second = Duration::from_secs(1);
        check(
            Answer::NotModified,
            Some(&body()),
            Class::Metadata,
            second,
            Step::Keep,
        );
        check(
            Answer::Refused,
            None,
            Class::Query,
            second,
            Step::PassRefused,
        );
        check(
            Answer::Refused,
            Some(&body()),
            Class::Query,
            second,
            Step::ServeStale,
        );
        check(
            Answer::Body,
            Some(&body()),
            Class::Query,
            second,
            Step::Replace,
        );
    }
}
