//! What a shared cache may store (RFC 9111 section 3).

use http::header::{ETAG, EXPIRES, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, Method};

use super::directives::ResponseDirectives;
use super::freshness::Lifetime;

/// The most header fields of a stored response, and the most bytes of their names and values.
pub const FIELDS_MAX: usize = 128;
/// See [`FIELDS_MAX`].
pub const FIELD_BYTES_MAX: usize = 32 * 1024;

/// What of a request decides whether its response may be stored.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Whether it carried `Authorization` to the upstream.
    pub authorized: bool,
    /// Whether it said `no-store` (section 5.2.1.5).
    pub no_store: bool,
}

/// Statuses whose responses may be fresh by heuristics (RFC 9110 section 15.1); 206 is not stored.
pub const fn is_heuristic(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Statuses whose caching behaviour is known here, for `must-understand` (section 5.2.2.3).
const fn is_understood(status: u16) -> bool {
    is_heuristic(status) || matches!(status, 302 | 303 | 307 | 400 | 403 | 500 | 502 | 503 | 504)
}

/// Whether a response may be stored, and is of any use when it is.
pub fn may_store(
    asked: &Asked<'_>,
    status: u16,
    headers: &HeaderMap,
    (directives, lifetime): (&ResponseDirectives, Lifetime),
) -> bool {
    let understood = !directives.must_understand || is_understood(status);
    // Section 5.2.2.3: a cache that understands the status ignores `no-store` beside it.
    let no_store = directives.no_store && !directives.must_understand;
    let allowed = asked.method == Method::GET
        && !asked.no_store
        && understood
        && !no_store
        && !directives.private
        && (!asked.authorized || shares_authorized(directives))
        && !matches!(status, 100..=199 | 206 | 304)
        // A cookie is for the client that got it; a shared copy would hand it to others.
        && !headers.contains_key(SET_COOKIE)
        && fits(headers);
    let expires = headers.contains_key(EXPIRES) && !directives.targeted;
    let said = directives.public
        || directives.max_age.is_some()
        || directives.s_maxage.is_some()
        || expires
        || is_heuristic(status);
    let validators = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
    let lasting = !lifetime.fresh.is_zero()
        || !directives.stale_while_revalidate.is_zero()
        || !directives.stale_if_error.is_zero();
    let useful = validators || (lasting && !directives.no_cache);
    allowed && (said || !lifetime.fresh.is_zero()) && useful
}

/// Section 3.5: what lets others have the response to an authenticated request.
const fn shares_authorized(directives: &ResponseDirectives) -> bool {
    directives.public || directives.must_revalidate || directives.s_maxage.is_some()
}

fn fits(headers: &HeaderMap) -> bool {
    let bytes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    headers.len() <= FIELDS_MAX && bytes.sum::<usize>() <= FIELD_BYTES_MAX
}

#[cfg(test)]
mod tests {

    use http::HeaderName;

    use super::super::freshness::{Lifetimes, lifetime};
    use super::*;
    use crate::clock::Time;

    fn stored(asked: &Asked<'_>, status: u16, lines: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let directives = ResponseDirectives::of(&headers);
        let now = Time::from_millis(1_800_000_000_000);
        let lifetimes = Lifetimes::default();
        let lifetime = lifetime(status, &headers, &directives, (now, &lifetimes));
        may_store(asked, status, &headers, (&directives, lifetime))
    }

    const GET: Asked<'_> = Asked {
        method: &Method::GET,
        authorized: false,
        no_store: false,
    };

    #[test]
    fn section_3() {
        let cc = |value| [("cache-control", value)];
        let etag = ("etag", "\"a\"");
        for (status, lines, expected) in [
            (200, &cc("max-age=5")[..], true),
            (200, &cc("max-age=5, no-store"), false),
            (200, &cc("max-age=5, private"), false),
            (200, &cc("max-age=5, private=\"x\""), false),
            (200, &cc("no-cache"), false),
            (200, &[("cache-control", "no-cache"), etag], true),
            (200, &[], false),
            (200, &[etag], true),
            (201, &[etag], false),
            (201, &cc("max-age=5"), true),
            (599, &cc("max-age=5"), true),
            (599, &[("cache-control", "public"), etag], true),
            (599, &cc("max-age=5, must-understand"), false),
            (200, &cc("max-age=5, must-understand, no-store"), true),
            (206, &cc("max-age=5"), false),
            (304, &cc("max-age=5"), false),
            (200, &cc("max-age=0"), false),
            (200, &cc("max-age=0, stale-while-revalidate=5"), true),
            (200, &cc("max-age=0, stale-if-error=5"), true),
            (404, &cc("max-age=5"), true),
            (
                200,
                &[("cache-control", "max-age=5"), ("set-cookie", "a=b")],
                false,
            ),
        ] {
            assert_eq!(stored(&GET, status, lines), expected, "{status} {lines:?}");
        }
        let max_age = cc("max-age=5");
        assert!(!stored(
            &Asked {
                no_store: true,
                ..GET
            },
            200,
            &max_age
        ));
        assert!(!stored(
            &Asked {
                method: &Method::POST,
                ..GET
            },
            200,
            &max_age
        ));
    }

    #[test]
    fn authenticated_requests_section_3_5() {
        let asked = Asked {
            authorized: true,
            ..GET
        };
        for (value, expected) in [
            ("max-age=5", false),
            ("max-age=5, public", true),
            ("max-age=5, must-revalidate", true),
            ("s-maxage=5", true),
            ("max-age=5, proxy-revalidate", false),
            ("s-maxage=5, private", false),
        ] {
            assert_eq!(
                stored(&asked, 200, &[("cache-control", value)]),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn fields_are_bounded() {
        let long = "x".repeat(FIELD_BYTES_MAX);
        assert!(!stored(
            &GET,
            200,
            &[("cache-control", "max-age=5"), ("a", &long)]
        ));
        let many: Vec<_> = (0..FIELDS_MAX).map(|_| ("a", "b")).collect();
        assert!(!stored(
            &GET,
            200,
            &[&many[..], &[("cache-control", "max-age=5")]].concat()
        ));
    }
}
