//! Single byte ranges (RFC 9110 section 14). Several ranges at once are answered with the whole
//! body, which is always allowed.

use std::ops::Range;

/// What a `Range` header means for a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything: no range, another unit, several ranges, or nothing that can be understood.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// None of the bytes there are.
    Unsatisfiable,
}

/// Understands a `Range` header for a body of `length` bytes.
pub fn parse(value: &str, length: u64) -> Wanted {
    let Some((unit, set)) = value.split_once('=') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Wanted::Whole;
    };
    match (first.trim(), last.trim()) {
        ("", suffix) => number(suffix).map_or(Wanted::Whole, |suffix| from_end(suffix, length)),
        (first, "") => number(first).map_or(Wanted::Whole, |first| from_first(first, None, length)),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) => from_first(first, Some(last), length),
            _ => Wanted::Whole,
        },
    }
}

fn from_first(first: u64, last: Option<u64>, length: u64) -> Wanted {
    if last.is_some_and(|last| last < first) {
        return Wanted::Whole;
    }
    if first >= length {
        return Wanted::Unsatisfiable;
    }
    let end = last.map_or(length, |last| last.saturating_add(1).min(length));
    Wanted::Part(first..end)
}

const fn from_end(suffix: u64, length: u64) -> Wanted {
    if suffix == 0 || length == 0 {
        return Wanted::Unsatisfiable;
    }
    Wanted::Part(length.saturating_sub(suffix)..length)
}

/// A number too large for 64 bits is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let numeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numeric.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: impl Into<Option<Wanted>>) {
        assert_eq!(Some(parse(value, 100)), expected.into(), "{value}");
    }

    #[test]
    fn ranges_of_a_hundred_bytes() {
        check("bytes=0-49", Wanted::Part(0..50));
        check("bytes=50-", Wanted::Part(50..100));
        check("bytes=-10", Wanted::Part(90..100));
        check("bytes=-200", Wanted::Part(0..100));
        check("bytes=99-200", Wanted::Part(99..100));
        check("Bytes = 0-0", Wanted::Part(0..1));
        check("bytes=0-99999999999999999999999", Wanted::Part(0..100));
        check("bytes=100-", Wanted::Unsatisfiable);
        check("bytes=200-300", Wanted::Unsatisfiable);
        check("bytes=-0", Wanted::Unsatisfiable);
        for whole in [
            "bytes=5-2",
            "bytes=0-1,5-6",
            "lines=0-1",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-2-3",
        ] {
            check(whole, Wanted::Whole);
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Unsatisfiable);
    }
}
