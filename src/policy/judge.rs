//! What a request gets before the upstream is asked.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::clock::Time;
use crate::entry::{Entry, Key};
use crate::policy::class::{Class, Freshness, Network};
use crate::policy::directives::Directives;

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The stored body is the answer.
    Fresh,
    /// The stored body is the answer; it is revalidated behind the client's back.
    FreshEnough,
    /// The upstream is asked; the stored body is the answer when it fails or takes too long.
    Revalidate,
    /// The upstream failed a moment ago: the stored body is the answer without asking again.
    BackedOff,
    /// Nothing is stored: the upstream is asked.
    Fetch,
    /// The remembered 404 is the answer.
    Absent,
    /// Nothing is stored and the upstream may not be asked.
    Refuse,
}

/// Everything a judgement depends on besides what is stored.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The key; its hash spreads the end of freshness so that keys of one restore do not all
    /// expire together.
    pub key: &'a Key,
    /// The class of the document.
    pub class: Class,
    /// The lifetimes in force.
    pub freshness: &'a Freshness,
    /// How much the upstream is asked at all.
    pub network: Network,
    /// What the request asks for.
    pub directives: Directives,
    /// Whether something was done upstream since it was confirmed that changes it.
    pub outdated: bool,
    /// Whether the last refresh of this key failed a moment ago.
    pub backing_off: bool,
    /// The present time.
    pub now: Time,
}

/// Decides what a request for something stored as `entry` gets.
pub fn judge(entry: Option<&Entry>, question: &Question<'_>) -> Verdict {
    let sealed_off = question.network == Network::Offline || question.directives.only_if_cached;
    match entry {
        None if sealed_off => Verdict::Refuse,
        None => Verdict::Fetch,
        Some(entry) if sealed_off => stored(entry),
        Some(entry) if entry.is_absent() => judge_absent(entry, question),
        Some(entry) => judge_body(entry, question),
    }
}

const fn stored(entry: &Entry) -> Verdict {
    if entry.is_absent() {
        Verdict::Absent
    } else {
        Verdict::Fresh
    }
}

/// A difference between clocks that is no mistake.
const SKEW: Duration = Duration::from_secs(300);

/// Whether the entry was confirmed in the future: the clock was ahead then and has been set right.
/// Its age is unknown, so it is confirmed anew.
fn is_ahead(entry: &Entry, question: &Question<'_>) -> bool {
    entry.checked_at.since(question.now) > SKEW
}

fn judge_absent(entry: &Entry, question: &Question<'_>) -> Verdict {
    if is_ahead(entry, question) && !question.backing_off {
        return Verdict::Revalidate;
    }
    let age = question.now.since(entry.checked_at);
    let freshness = question.freshness;
    let fresh = age < freshness.negative && !question.directives.no_cache;
    let kept = age < freshness.negative.saturating_add(freshness.negative_kept);
    if fresh || (kept && question.backing_off) {
        Verdict::Absent
    } else {
        Verdict::Revalidate
    }
}

fn judge_body(entry: &Entry, question: &Question<'_>) -> Verdict {
    if question.outdated && !question.backing_off {
        return Verdict::Revalidate;
    }
    if question.network == Network::PreferCache {
        return Verdict::Fresh;
    }
    if question.directives.no_cache {
        return Verdict::Revalidate;
    }
    if is_ahead(entry, question) {
        return if question.backing_off {
            Verdict::BackedOff
        } else {
            Verdict::Revalidate
        };
    }
    let lifetime = question.freshness.of(question.class);
    let age = question.now.since(entry.checked_at);
    if age < lifetime.fresh.saturating_sub(lifetime.fresh / JITTER) && !question.outdated {
        // Whatever its key.
        return Verdict::Fresh;
    }
    let fresh = jittered(lifetime.fresh, question.key);
    if age < fresh && !question.outdated {
        return Verdict::Fresh;
    }
    // Beyond this an error would not be answered with what is stored either.
    let kept = age < lifetime.fresh.saturating_add(lifetime.stale_if_error);
    if kept && question.backing_off {
        return Verdict::BackedOff;
    }
    if age < fresh.saturating_add(lifetime.stale_while_revalidate) {
        Verdict::FreshEnough
    } else {
        Verdict::Revalidate
    }
}

/// Freshness is shortened by less than its part of this size.
const JITTER: u32 = 8;

/// `fresh` shortened by 0 to 12.5 percent, always the same for a key. Never lengthened: the
/// setting is a promise of how old an answer can be.
fn jittered(fresh: Duration, key: &Key) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let part = u32::try_from(hasher.finish() % 128).unwrap_or(0);
    fresh.saturating_sub(fresh / (128 * JITTER) * part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Digest, Stored};

    const START: Time = Time::from_millis(1_000_000_000);

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

    fn ask(key: &Key, age: u64) -> Question<'_> {
        const FRESHNESS: Freshness = Freshness {
            immutable: ZERO,
            versions: crate::policy::class::Lifetime {
                fresh: Duration::from_secs(60),
                stale_while_revalidate: Duration::from_secs(120),
                stale_if_error: Duration::from_secs(600),
            },
            metadata: ZERO,
            index: ZERO,
            query: ZERO,
            negative: Duration::from_secs(30),
            negative_kept: Duration::from_secs(300),
        };
        const ZERO: crate::policy::class::Lifetime = crate::policy::class::Lifetime {
            fresh: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        };
        Question {
            key,
            class: Class::Versions,
            freshness: &FRESHNESS,
            network: Network::Online,
            directives: Directives::default(),
            outdated: false,
            backing_off: false,
            now: START.plus(Duration::from_secs(age)),
        }
    }

    #[track_caller]
    fn check(entry: Option<&Entry>, question: &Question<'_>, expected: Verdict) {
        assert_eq!(judge(entry, question), expected, "{question:?}");
    }

    #[test]
    fn a_body_ages_from_fresh_to_revalidate() {
        let key = Key::new("f/flat/a/index.json");
        for (age, expected) in [
            (0, Verdict::Fresh),
            (52, Verdict::Fresh),
            (60, Verdict::FreshEnough),
            (172, Verdict::FreshEnough),
            (180, Verdict::Revalidate),
            (100_000, Verdict::Revalidate),
        ] {
            check(Some(&body()), &ask(&key, age), expected);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_answer_last_for_ever() {
        let key = Key::new("k");
        let at = |seconds: u64| Question {
            now: Time::from_millis(START.as_millis() - seconds * 1000),
            ..ask(&key, 0)
        };
        check(Some(&body()), &at(200), Verdict::Fresh);
        check(Some(&body()), &at(400), Verdict::Revalidate);
        let absent = Entry::absent(String::new(), START);
        check(Some(&absent), &at(200), Verdict::Absent);
        check(Some(&absent), &at(400), Verdict::Revalidate);
    }

    #[test]
    fn directives_of_the_request_count() {
        let key = Key::new("k");
        let no_cache = Directives {
            no_cache: true,
            only_if_cached: false,
        };
        let cached = Directives {
            no_cache: false,
            only_if_cached: true,
        };
        let with = |age, directives| Question {
            directives,
            ..ask(&key, age)
        };
        check(Some(&body()), &with(1, no_cache), Verdict::Revalidate);
        check(Some(&body()), &with(100_000, cached), Verdict::Fresh);
        check(None, &with(0, cached), Verdict::Refuse);
        check(None, &with(0, no_cache), Verdict::Fetch);
    }

    #[test]
    fn network_modes() {
        let key = Key::new("k");
        let with = |age, network| Question {
            network,
            ..ask(&key, age)
        };
        check(
            Some(&body()),
            &with(100_000, Network::Offline),
            Verdict::Fresh,
        );
        check(
            Some(&body()),
            &with(100_000, Network::PreferCache),
            Verdict::Fresh,
        );
        check(None, &with(0, Network::Offline), Verdict::Refuse);
        check(None, &with(0, Network::PreferCache), Verdict::Fetch);
        let absent = Entry::absent(String::new(), START);
        check(
            Some(&absent),
            &with(100_000, Network::Offline),
            Verdict::Absent,
        );
        check(
            Some(&absent),
            &with(100_000, Network::PreferCache),
            Verdict::Revalidate,
        );
    }

    #[test]
    fn what_is_outdated_is_asked_for_again_however_fresh_it_is() {
        let key = Key::new("k");
        let outdated = |network, backing_off| Question {
            network,
            backing_off,
            outdated: true,
            ..ask(&key, 1)
        };
        for (network, backing_off, expected) in [
            (Network::Online, false, Verdict::Revalidate),
            (Network::Online, true, Verdict::BackedOff),
            (Network::PreferCache, false, Verdict::Revalidate),
            (Network::PreferCache, true, Verdict::Fresh),
            (Network::Offline, false, Verdict::Fresh),
        ] {
            check(Some(&body()), &outdated(network, backing_off), expected);
        }
    }

    #[test]
    fn a_404_is_remembered_for_a_short_time() {
        let key = Key::new("k");
        let absent = Entry::absent(String::new(), START);
        check(Some(&absent), &ask(&key, 29), Verdict::Absent);
        check(Some(&absent), &ask(&key, 31), Verdict::Revalidate);
        let backing_off = Question {
            backing_off: true,
            ..ask(&key, 31)
        };
        check(Some(&absent), &backing_off, Verdict::Absent);
    }

    #[test]
    fn a_key_that_failed_a_moment_ago_is_not_asked_for_again() {
        let key = Key::new("k");
        let with = |age| Question {
            backing_off: true,
            ..ask(&key, age)
        };
        check(Some(&body()), &with(1), Verdict::Fresh);
        check(Some(&body()), &with(90), Verdict::BackedOff);
        check(Some(&body()), &with(659), Verdict::BackedOff);
        check(Some(&body()), &with(660), Verdict::Revalidate);
        let absent = Entry::absent(String::new(), START);
        check(Some(&absent), &with(329), Verdict::Absent);
        check(Some(&absent), &with(330), Verdict::Revalidate);
        check(None, &with(0), Verdict::Fetch);
    }

    #[test]
    fn jitter_only_shortens_and_is_stable() {
        let fresh = Duration::from_secs(60);
        for number in 0..1000 {
            let key = Key::new(format!("key {number}"));
            let got = jittered(fresh, &key);
            assert!(got <= fresh && got >= fresh * 7 / 8, "{got:?}");
            assert_eq!(got, jittered(fresh, &key));
        }
    }
}
