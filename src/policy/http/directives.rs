//! `Cache-Control` of requests and responses (RFC 9111 section 5.2), and what may stand in its
//! place.

use std::time::Duration;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

use super::targeted::{self, Value};

/// The targeted field of caches in front of an origin (RFC 9213 section 3.1).
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The largest number of seconds that is told apart (RFC 9111 section 1.2.2).
pub const SECONDS_MAX: u64 = 1 << 31;

/// Directives of a request, as far as a shared cache honours them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-cache`, or `Pragma: no-cache` where there is no `Cache-Control` (section 5.4).
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age`.
    pub max_age: Option<Duration>,
    /// `min-fresh`.
    pub min_fresh: Option<Duration>,
    /// `max-stale`; the longest time there is when it has no value.
    pub max_stale: Option<Duration>,
    /// `stale-if-error` (RFC 5861 section 4).
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// Reads the fields of a request. A value that cannot be understood is as if it were not there.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        if !headers.contains_key(CACHE_CONTROL) {
            let pragma = list(headers, &PRAGMA);
            found.no_cache = pragma.iter().any(|item| item.name == "no-cache");
            return found;
        }
        for Directive { name, value } in list(headers, &CACHE_CONTROL) {
            let value = value.as_deref();
            match name.as_str() {
                "no-cache" => found.no_cache = true,
                "no-store" => found.no_store = true,
                "only-if-cached" => found.only_if_cached = true,
                "max-age" => found.max_age = found.max_age.or_else(|| seconds(value?)),
                "min-fresh" => found.min_fresh = found.min_fresh.or_else(|| seconds(value?)),
                "stale-if-error" => found.stale_if_error = value.and_then(seconds),
                "max-stale" => {
                    let any = Duration::from_secs(SECONDS_MAX);
                    found.max_stale = value.map_or(Some(any), seconds);
                }
                _ => {}
            }
        }
        found
    }
}

/// Directives of a response, as far as a shared cache honours them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own"
)]
pub struct ResponseDirectives {
    /// `no-store`.
    pub no_store: bool,
    /// `private`; one with field names counts for the whole response, which is always allowed.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `no-cache` without field names.
    pub no_cache: bool,
    /// The fields that `no-cache` names, in lower case: they are left out of reused responses.
    pub no_cache_fields: Vec<String>,
    /// `max-age`; zero when its value cannot be understood (section 4.2.1).
    pub max_age: Option<Duration>,
    /// `s-maxage`, likewise.
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861 section 3).
    pub stale_while_revalidate: Duration,
    /// `stale-if-error` (RFC 5861 section 4).
    pub stale_if_error: Duration,
    /// They come from `CDN-Cache-Control`: `Cache-Control` and `Expires` do not count (RFC 9213
    /// section 2.2).
    pub targeted: bool,
}

impl ResponseDirectives {
    /// Reads the fields of a response.
    pub fn of(headers: &HeaderMap) -> Self {
        if let Some(members) = targeted::members(headers, &CDN_CACHE_CONTROL) {
            let mut found = Self {
                targeted: true,
                ..Self::default()
            };
            for (name, value) in members {
                found.apply_targeted(&name, &value);
            }
            return found;
        }
        let mut found = Self::default();
        for Directive { name, value } in list(headers, &CACHE_CONTROL) {
            found.apply(&name, value.as_deref());
        }
        found
    }

    /// Whether the response may be used after its lifetime without being confirmed first (section
    /// 4.2.4): `s-maxage` has the meaning of `proxy-revalidate` too (section 5.2.2.10).
    pub const fn may_be_stale(&self) -> bool {
        !(self.no_cache || self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some())
    }

    fn apply(&mut self, name: &str, value: Option<&str>) {
        match (name, value) {
            ("no-cache", Some(fields)) if !fields.trim().is_empty() => {
                let fields = fields
                    .split(',')
                    .map(|name| name.trim().to_ascii_lowercase());
                self.no_cache_fields.extend(fields);
            }
            ("max-age", value) => self.max_age = self.max_age.or(Some(lifetime(value))),
            ("s-maxage", value) => self.s_maxage = self.s_maxage.or(Some(lifetime(value))),
            ("stale-while-revalidate", value) => self.stale_while_revalidate = lifetime(value),
            ("stale-if-error", value) => self.stale_if_error = lifetime(value),
            (name, _) => self.set(name),
        }
    }

    /// A member of another type than the directive has is no directive (RFC 9213 section 2.1).
    fn apply_targeted(&mut self, name: &str, value: &Value) {
        let text;
        let value = match value {
            Value::True => None,
            Value::Integer(seconds) if *seconds >= 0 => {
                text = seconds.to_string();
                Some(text.as_str())
            }
            Value::Text(text) if name == "no-cache" || name == "private" => Some(text.as_str()),
            _ => return,
        };
        let timed = [
            "max-age",
            "s-maxage",
            "stale-while-revalidate",
            "stale-if-error",
        ];
        let fits = if timed.contains(&name) {
            value.is_some()
        } else {
            !matches!(value, Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if fits {
            self.apply(name, value);
        }
    }

    fn set(&mut self, name: &str) {
        let flag = match name {
            "no-store" => &mut self.no_store,
            "private" => &mut self.private,
            "public" => &mut self.public,
            "must-understand" => &mut self.must_understand,
            "must-revalidate" => &mut self.must_revalidate,
            "proxy-revalidate" => &mut self.proxy_revalidate,
            "no-cache" => &mut self.no_cache,
            _ => return,
        };
        *flag = true;
    }
}

/// One member of a list of directives.
struct Directive {
    /// In lower case.
    name: String,
    /// Unquoted.
    value: Option<String>,
}

/// The members of all lines of a field; a quoted text may contain commas.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<Directive> {
    let mut found = Vec::new();
    for line in headers.get_all(name) {
        let line = String::from_utf8_lossy(line.as_bytes());
        let mut rest = line.as_ref();
        while !rest.is_empty() {
            let (member, after) = split_member(rest);
            rest = after;
            if let Some(directive) = directive(member.trim()) {
                found.push(directive);
            }
        }
    }
    found
}

/// The text up to the next comma outside of quotes, and what follows it.
fn split_member(text: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

fn directive(member: &str) -> Option<Directive> {
    let (name, value) = match member.split_once('=') {
        Some((name, value)) => (name, Some(unquoted(value))),
        None => (member, None),
    };
    (!name.is_empty()).then(|| Directive {
        name: name.to_ascii_lowercase(),
        value,
    })
}

fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut escaped = false;
    let keep = |char: &char| {
        escaped = *char == '\\' && !escaped;
        !escaped
    };
    inner.chars().filter(keep).collect()
}

/// `delta-seconds` (section 1.2.2): digits alone, the largest number for all that are larger.
pub fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = || text.parse().unwrap_or(SECONDS_MAX).min(SECONDS_MAX);
    digits.then(|| Duration::from_secs(number()))
}

/// Invalid freshness information makes a response stale (section 4.2.1).
fn lifetime(value: Option<&str>) -> Duration {
    value.and_then(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::http::headers;

    #[track_caller]
    fn response(lines: &[(&'static str, &str)], expected: impl Into<Option<ResponseDirectives>>) {
        let found = Some(ResponseDirectives::of(&headers(lines)));
        assert_eq!(found, expected.into(), "{lines:?}");
    }

    fn secs(seconds: u64) -> Option<Duration> {
        Duration::from_secs(seconds).into()
    }

    #[test]
    fn responses_section_5_2_2() {
        let none = ResponseDirectives::default;
        let max_age = |seconds| ResponseDirectives {
            max_age: secs(seconds),
            ..none()
        };
        let cc = |value| [("cache-control", value)];
        response(&[], none());
        response(&cc("MaX-aGe=3600"), max_age(3600));
        response(&cc("max-age=\"3600\""), max_age(3600));
        response(&cc("max-age=003600"), max_age(3600));
        response(&cc("max-age=99999999999999999999"), max_age(SECONDS_MAX));
        // Section 4.2.1: invalid is stale, the first of several counts.
        for invalid in [
            "max-age=-1",
            "max-age='5'",
            "max-age=1.5",
            "max-age",
            "max-age=a1",
        ] {
            response(&cc(invalid), max_age(0));
        }
        response(&cc("max-age=1, max-age=2"), max_age(1));
        response(
            &cc("x=\"max-age=3600, \\\" no-store\", max-age=1"),
            max_age(1),
        );
        response(&cc("max-age =5"), none());
        response(
            &[
                ("cache-control", "s-maxage=5,,private"),
                ("cache-control", "No-Store"),
            ],
            ResponseDirectives {
                s_maxage: secs(5),
                private: true,
                no_store: true,
                ..none()
            },
        );
        response(
            &cc("no-cache=\"A, b\", stale-while-revalidate=7, stale-if-error=9"),
            ResponseDirectives {
                no_cache_fields: vec!["a".to_owned(), "b".to_owned()],
                stale_while_revalidate: Duration::from_secs(7),
                stale_if_error: Duration::from_secs(9),
                ..none()
            },
        );
        response(
            &cc("private=\"x\""),
            ResponseDirectives {
                private: true,
                ..none()
            },
        );
    }

    #[test]
    fn targeted_fields_rfc_9213() {
        let targeted = |value| [("cache-control", "no-store"), ("cdn-cache-control", value)];
        let on = || ResponseDirectives {
            targeted: true,
            ..ResponseDirectives::default()
        };
        response(
            &targeted("max-age=60, x;y=1"),
            ResponseDirectives {
                max_age: secs(60),
                ..on()
            },
        );
        // Section 2.1: values of another type are no directives, and quotes make a string.
        response(
            &targeted("max-age=\"60\", public"),
            ResponseDirectives {
                public: true,
                ..on()
            },
        );
        response(&targeted("max-age=-1"), on());
        response(&targeted("no-store=5"), on());
        response(&targeted("no-store=?0"), on());
        // Section 2.2: one that is empty or cannot be parsed is as if it were not there.
        for ignored in ["", "max-age=", "Max-Age=60", "max-age=60,", "a b"] {
            response(
                &targeted(ignored),
                ResponseDirectives {
                    no_store: true,
                    ..ResponseDirectives::default()
                },
            );
        }
    }

    #[test]
    fn what_may_be_used_stale_section_4_2_4() {
        for (value, expected) in [
            ("max-age=1", true),
            ("must-revalidate", false),
            ("proxy-revalidate", false),
            ("no-cache", false),
            ("no-cache=\"x\"", true),
            ("s-maxage=2", false),
        ] {
            let found = ResponseDirectives::of(&headers(&[("cache-control", value)]));
            assert_eq!(found.may_be_stale(), expected, "{value}");
        }
    }

    #[test]
    fn requests_section_5_2_1() {
        let check = |lines: &[(&'static str, &str)], expected: RequestDirectives| {
            assert_eq!(
                RequestDirectives::of(&headers(lines)),
                expected,
                "{lines:?}"
            );
        };
        let none = RequestDirectives::default;
        check(&[], none());
        check(
            &[("pragma", "No-Cache")],
            RequestDirectives {
                no_cache: true,
                ..none()
            },
        );
        check(&[("pragma", "no-cache"), ("cache-control", "x")], none());
        check(
            &[(
                "cache-control",
                "no-store, max-age=5, min-fresh=6, only-if-cached",
            )],
            RequestDirectives {
                no_store: true,
                only_if_cached: true,
                max_age: secs(5),
                min_fresh: secs(6),
                ..none()
            },
        );
        check(
            &[("cache-control", "max-stale")],
            RequestDirectives {
                max_stale: secs(SECONDS_MAX),
                ..none()
            },
        );
        check(
            &[("cache-control", "max-stale=7, stale-if-error=8, max-age=x")],
            RequestDirectives {
                max_stale: secs(7),
                stale_if_error: secs(8),
                ..none()
            },
        );
    }
}
