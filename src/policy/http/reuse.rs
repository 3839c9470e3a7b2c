//! Whether a stored response answers a request without, or instead of, the upstream (RFC 9111
//! section 4, RFC 5861).

use std::time::Duration;

use super::directives::{RequestDirectives, ResponseDirectives};
use super::freshness::{Lifetimes, age, lifetime};
use crate::clock::Time;
use crate::entry::Kept;

/// The decision about a stored response that fits the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the answer.
    Fresh,
    /// It is the answer although its lifetime is over: the request allows it (`max-stale`).
    Stale,
    /// It is the answer, and is revalidated behind the client's back.
    Refresh,
    /// The upstream is asked first.
    Validate,
}

/// How an upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no answer: the cache is disconnected (section 4.2.4).
    Unreachable,
    /// It answered 500, 502, 503 or 504 (RFC 5861 section 4).
    ServerError,
}

/// What a judgement depends on besides what is stored.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the request asks for.
    pub request: &'a RequestDirectives,
    /// Lifetimes of what says nothing itself.
    pub lifetimes: &'a Lifetimes,
    /// The present time.
    pub now: Time,
}

/// A stored response against the clock.
struct Aged {
    directives: ResponseDirectives,
    fresh: Duration,
    age: Duration,
}

impl Aged {
    fn new(kept: &Kept, question: &Question<'_>) -> Self {
        let directives = ResponseDirectives::of(&kept.headers);
        let terms = (kept.received_at, question.lifetimes);
        let lifetime = lifetime(kept.status, &kept.headers, &directives, terms);
        Self {
            directives,
            fresh: lifetime.fresh,
            age: age(kept, question.now),
        }
    }

    /// How long its lifetime has been over.
    fn staleness(&self) -> Duration {
        self.age.saturating_sub(self.fresh)
    }
}

/// A difference between clocks that is no mistake.
const SKEW: Duration = Duration::from_secs(300);

/// Decides what a request gets for which `kept` was selected.
pub fn judge(kept: &Kept, question: &Question<'_>) -> Verdict {
    let aged = Aged::new(kept, question);
    let request = question.request;
    // Received in the future: the clock was ahead then, and the age is unknown.
    let ahead = kept.received_at.since(question.now) > SKEW;
    if request.no_cache || aged.directives.no_cache || ahead {
        return Verdict::Validate;
    }
    let too_old = request.max_age.is_some_and(|most| aged.age > most);
    let wanted = aged
        .age
        .saturating_add(request.min_fresh.unwrap_or_default());
    if aged.fresh > wanted && !too_old {
        return Verdict::Fresh;
    }
    let staleness = aged.staleness();
    if too_old || !aged.directives.may_be_stale() {
        return Verdict::Validate;
    }
    // Section 5.2.1.2: `max-stale` says how much staleness this client accepts.
    if request.min_fresh.is_none() && request.max_stale.is_some_and(|most| staleness <= most) {
        return Verdict::Stale;
    }
    if request.min_fresh.is_none() && staleness < aged.directives.stale_while_revalidate {
        return Verdict::Refresh;
    }
    Verdict::Validate
}

/// Whether the stored response is the answer when the upstream failed.
pub fn stands_in(kept: &Kept, question: &Question<'_>, failure: Failure) -> bool {
    let aged = Aged::new(kept, question);
    if !aged.directives.may_be_stale() {
        return false;
    }
    let asked = question.request.stale_if_error.unwrap_or_default();
    let said = aged.directives.stale_if_error.max(asked);
    let most = match failure {
        Failure::ServerError => said,
        Failure::Unreachable => said.max(question.lifetimes.stale_if_unreachable),
    };
    aged.staleness() < most
}

/// Whether an answer to an unsafe request makes what is stored invalid (section 4.4): one that is no
/// error.
pub const fn invalidates(status: u16) -> bool {
    matches!(status, 200..=399)
}

#[cfg(test)]
mod tests {
    use http::header::CACHE_CONTROL;
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::entry::{Digest, Stored};

    const THEN: Time = Time::from_millis(1_800_000_000_000);

    fn kept(cache_control: &str) -> Kept {
        let value = HeaderValue::from_str(cache_control).unwrap();
        Kept {
            status: 200,
            headers: HeaderMap::from_iter([(CACHE_CONTROL, value)]),
            selecting: Vec::new(),
            body: Stored {
                digest: Digest::of(b""),
                size: 0,
            },
            requested_at: THEN,
            received_at: THEN,
        }
    }

    fn request(cache_control: &str) -> RequestDirectives {
        let value = HeaderValue::from_str(cache_control).unwrap();
        RequestDirectives::of(&HeaderMap::from_iter([(CACHE_CONTROL, value)]))
    }

    #[test]
    fn section_4() {
        for (response, asked, later, expected) in [
            ("max-age=10", "", 9, Verdict::Fresh),
            ("max-age=10", "", 10, Verdict::Validate),
            ("max-age=10", "no-cache", 0, Verdict::Validate),
            ("max-age=10, no-cache", "", 0, Verdict::Validate),
            ("max-age=10, no-cache=\"x\"", "", 0, Verdict::Fresh),
            ("max-age=10", "max-age=5", 5, Verdict::Fresh),
            ("max-age=10", "max-age=5", 6, Verdict::Validate),
            ("max-age=10", "min-fresh=5", 4, Verdict::Fresh),
            ("max-age=10", "min-fresh=5", 5, Verdict::Validate),
            ("max-age=10", "max-stale", 500, Verdict::Stale),
            ("max-age=10", "max-stale=5", 15, Verdict::Stale),
            ("max-age=10", "max-stale=5", 16, Verdict::Validate),
            ("max-age=10", "max-stale, max-age=5", 6, Verdict::Validate),
            (
                "max-age=10, must-revalidate",
                "max-stale",
                11,
                Verdict::Validate,
            ),
            ("s-maxage=10", "max-stale", 11, Verdict::Validate),
            (
                "max-age=10, stale-while-revalidate=5",
                "",
                14,
                Verdict::Refresh,
            ),
            (
                "max-age=10, stale-while-revalidate=5",
                "",
                15,
                Verdict::Validate,
            ),
            (
                "max-age=1, proxy-revalidate, stale-while-revalidate=5",
                "",
                2,
                Verdict::Validate,
            ),
        ] {
            let question = Question {
                request: &request(asked),
                lifetimes: &Lifetimes::default(),
                now: THEN.plus(Duration::from_secs(later)),
            };
            assert_eq!(
                judge(&kept(response), &question),
                expected,
                "{response}; {asked}; {later}"
            );
        }
        let question = Question {
            request: &RequestDirectives::default(),
            lifetimes: &Lifetimes::default(),
            now: Time::from_millis(THEN.as_millis() - 301_000),
        };
        assert_eq!(judge(&kept("max-age=10"), &question), Verdict::Validate);
    }

    #[test]
    fn failures_section_4_2_4_and_rfc_5861() {
        for (response, asked, later, unreachable, server_error) in [
            ("max-age=10", "", 11, true, false),
            ("max-age=10", "", 111, false, false),
            ("max-age=10, stale-if-error=200", "", 111, true, true),
            ("max-age=10", "stale-if-error=200", 111, true, true),
            (
                "max-age=10, must-revalidate, stale-if-error=200",
                "",
                11,
                false,
                false,
            ),
            ("max-age=10, proxy-revalidate", "", 11, false, false),
            ("max-age=10, no-cache", "", 1, false, false),
            ("s-maxage=10", "", 11, false, false),
        ] {
            let lifetimes = Lifetimes {
                stale_if_unreachable: Duration::from_secs(100),
                ..Lifetimes::default()
            };
            let question = Question {
                request: &request(asked),
                lifetimes: &lifetimes,
                now: THEN.plus(Duration::from_secs(later)),
            };
            let kept = kept(response);
            let found = [Failure::Unreachable, Failure::ServerError]
                .map(|failure| stands_in(&kept, &question, failure));
            assert_eq!(
                found,
                [unreachable, server_error],
                "{response}; {asked}; {later}"
            );
        }
    }
}
