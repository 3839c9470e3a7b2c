//! How long a response is fresh, and how old it is (RFC 9111 section 4.2).

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName};

use super::directives::{ResponseDirectives, SECONDS_MAX, seconds};
use super::storable::is_heuristic;
use crate::clock::Time;
use crate::entry::Kept;

/// Lifetimes of what says nothing itself; all zero means that only a response's own fields count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of responses without any freshness information.
    pub default: Duration,
    /// The longest heuristic lifetime: a tenth of the time since `Last-Modified` (section 4.2.2).
    pub heuristic_max: Duration,
    /// How long after its lifetime a response that does not forbid it is served when the upstream
    /// cannot be reached (section 4.2.4).
    pub stale_if_unreachable: Duration,
}

/// How long a response is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The time.
    pub fresh: Duration,
    /// Whether the response says so itself.
    pub explicit: bool,
}

/// Section 4.2.1, in this order: `s-maxage`, `max-age`, `Expires`, then what is configured.
pub fn lifetime(
    status: u16,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    (received, lifetimes): (Time, &Lifetimes),
) -> Lifetime {
    let explicit = |fresh| Lifetime {
        fresh,
        explicit: true,
    };
    if let Some(fresh) = directives.s_maxage.or(directives.max_age) {
        return explicit(fresh);
    }
    let sent = date(headers, &DATE).unwrap_or(received);
    if headers.contains_key(EXPIRES) && !directives.targeted {
        // Section 5.3: an invalid date, especially "0", is in the past.
        let expires = date(headers, &EXPIRES).unwrap_or_default();
        return explicit(expires.since(sent));
    }
    let heuristic = date(headers, &LAST_MODIFIED)
        .filter(|_| is_heuristic(status) || directives.public)
        .map(|modified| (sent.since(modified) / 10).min(lifetimes.heuristic_max));
    Lifetime {
        fresh: heuristic.unwrap_or_default().max(lifetimes.default),
        explicit: false,
    }
}

/// `corrected_initial_age` of section 4.2.3. An `Age` that is not one number makes the response as
/// old as can be: of several ages the true one is unknown.
pub fn initial_age(headers: &HeaderMap, requested: Time, received: Time) -> Duration {
    let mut ages = headers.get_all(AGE).iter();
    let age_value = match (ages.next(), ages.next()) {
        (None, _) => Some(Duration::ZERO),
        (Some(age), None) => age.to_str().ok().and_then(seconds),
        _ => None,
    };
    let Some(age_value) = age_value else {
        return Duration::from_secs(SECONDS_MAX);
    };
    let apparent = date(headers, &DATE).map_or(Duration::ZERO, |sent| received.since(sent));
    apparent.max(age_value + received.since(requested))
}

/// `current_age` of section 4.2.3.
pub fn age(kept: &Kept, now: Time) -> Duration {
    let initial = initial_age(&kept.headers, kept.requested_at, kept.received_at);
    initial.saturating_add(now.since(kept.received_at))
}

/// A date of a response; `None` when it is absent or none (RFC 9110 section 5.6.7).
pub fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Time> {
    let text = headers.get(name)?.to_str().ok()?;
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).ok().map(Time::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::http::headers;

    const DATE_TEXT: &str = "Fri, 15 Jan 2027 08:00:00 GMT";
    const SENT: Time = Time::from_millis(1_800_000_000_000);

    #[track_caller]
    fn check(status: u16, lines: &[(&'static str, &str)], fresh: u64, explicit: bool) {
        let headers = headers(lines);
        let lifetimes = Lifetimes {
            default: Duration::from_secs(3),
            heuristic_max: Duration::from_secs(1000),
            ..Lifetimes::default()
        };
        let directives = ResponseDirectives::of(&headers);
        let found = lifetime(status, &headers, &directives, (SENT, &lifetimes));
        let fresh = Duration::from_secs(fresh);
        assert_eq!(found, Lifetime { fresh, explicit }, "{status} {lines:?}");
    }

    #[test]
    fn lifetimes_section_4_2_1() {
        let later = ("expires", "Fri, 15 Jan 2027 08:01:40 GMT");
        let date = ("date", DATE_TEXT);
        check(200, &[date, later], 100, true);
        check(200, &[later], 100, true);
        check(200, &[date, later, ("cache-control", "max-age=7")], 7, true);
        check(200, &[("cache-control", "max-age=7, s-maxage=5")], 5, true);
        check(599, &[("cache-control", "max-age=7")], 7, true);
        for past in ["0", "-1", "", "Thu, 01 Jan 1970 00:00:00 GMT", "soon"] {
            check(200, &[date, ("expires", past)], 0, true);
        }
        // RFC 9213 section 2.2.
        check(
            200,
            &[date, later, ("cdn-cache-control", "public")],
            3,
            false,
        );
        check(200, &[later, ("cdn-cache-control", "max-age=9")], 9, true);
    }

    #[test]
    fn heuristics_section_4_2_2() {
        let date = ("date", DATE_TEXT);
        let day = ("last-modified", "Thu, 14 Jan 2027 08:00:00 GMT");
        let minutes = ("last-modified", "Fri, 15 Jan 2027 07:50:00 GMT");
        check(200, &[date, minutes], 60, false);
        check(200, &[date, day], 1000, false);
        check(201, &[date, minutes], 3, false);
        check(599, &[date, minutes], 3, false);
        check(
            599,
            &[date, minutes, ("cache-control", "public")],
            60,
            false,
        );
        check(200, &[date], 3, false);
    }

    #[test]
    fn ages_section_4_2_3() {
        let check = |lines: &[(&'static str, &str)], expected: u64| {
            let received = SENT.plus(Duration::from_secs(10));
            let asked = SENT.plus(Duration::from_secs(8));
            let found = initial_age(&headers(lines), asked, received);
            assert_eq!(found, Duration::from_secs(expected), "{lines:?}");
        };
        check(&[], 2);
        check(&[("date", DATE_TEXT)], 10);
        check(&[("date", DATE_TEXT), ("age", "30")], 32);
        check(
            &[("date", "Fri, 15 Jan 2027 09:00:00 GMT"), ("age", "0")],
            2,
        );
        for unclear in ["abc", "-5", "1.0", "0, 7200", "7;a=b", ""] {
            check(&[("age", unclear)], SECONDS_MAX);
        }
        check(&[("age", "0"), ("age", "0")], SECONDS_MAX);
        check(&[("age", "99999999999999999999")], SECONDS_MAX + 2);
    }
}
