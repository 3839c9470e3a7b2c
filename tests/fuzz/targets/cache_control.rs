//! `Cache-Control` and its relatives: nothing panics, and every lifetime is bounded.
#![no_main]

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, PRAGMA, VARY};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use nugate_fuzz::clock::Time;
use nugate_fuzz::policy::directives::Directives;
use nugate_fuzz::policy::http::directives::{CDN_CACHE_CONTROL, SECONDS_MAX};
use nugate_fuzz::policy::http::{RequestDirectives, ResponseDirectives, freshness, vary};

const NOW: Time = Time::from_millis(1_800_000_000_000);

fn check(headers: &HeaderMap) {
    let longest = Duration::from_secs(SECONDS_MAX);
    let asked = RequestDirectives::of(headers);
    let times = [
        asked.max_age,
        asked.min_fresh,
        asked.max_stale,
        asked.stale_if_error,
    ];
    assert!(times.into_iter().flatten().all(|time| time <= longest));
    let given = ResponseDirectives::of(headers);
    let always = [
        Some(given.stale_while_revalidate),
        Some(given.stale_if_error),
    ];
    let times = [given.max_age, given.s_maxage].into_iter().chain(always);
    assert!(times.flatten().all(|time| time <= longest));
    assert!(given.targeted <= headers.contains_key(CDN_CACHE_CONTROL));
    let age = freshness::initial_age(headers, NOW, NOW);
    assert!(age <= NOW.since(Time::default()).max(longest));
    let _ = vary::selecting(headers, headers).map(|found| vary::variant(&found));
}

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    let names = [
        CACHE_CONTROL,
        CDN_CACHE_CONTROL,
        PRAGMA,
        AGE,
        VARY,
        EXPIRES,
        DATE,
    ];
    for line in data.split(|byte| *byte == b'\n').take(20) {
        let Some((which, value)) = line.split_first() else {
            continue;
        };
        let name = &names[usize::from(which.wrapping_sub(b'0')) % names.len()];
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    check(&headers);
    if let Ok(text) = std::str::from_utf8(data) {
        let found = Directives::parse([text].into_iter(), std::iter::empty());
        // A directive that is repeated asks for the same.
        assert_eq!(
            found,
            Directives::parse([text, text].into_iter(), std::iter::empty())
        );
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            saturates(text);
        }
    }
});

/// A number too large to be told apart is the largest (RFC 9111 section 1.2.2).
fn saturates(digits: &str) {
    let mut headers = HeaderMap::new();
    let value = format!("max-age={digits}")
        .parse()
        .expect("digits are a value");
    headers.insert(CACHE_CONTROL, value);
    let expected = digits.parse().unwrap_or(u64::MAX).min(SECONDS_MAX);
    let expected = Some(Duration::from_secs(expected));
    assert_eq!(ResponseDirectives::of(&headers).max_age, expected);
    assert_eq!(RequestDirectives::of(&headers).max_age, expected);
}
