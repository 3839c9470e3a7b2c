//! The rest of a body that broke off (RFC 9110 section 14).
//!
//! Knows what to ask for and whether an answer is that; does not fetch. Invariant: a rest is asked
//! for only with a strong validator, so that the two halves are of one representation.

use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, DATE, ETAG,
    IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue};

/// Between `Last-Modified` and `Date`: enough that no clock is so wrong that a second change within
/// the same second hides.
const SETTLED: Duration = Duration::from_mins(1);

/// How much of a document is asked for, and how fresh.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// All of it.
    Whole,
    /// All of it, past every cache on the way: what came last was wrong.
    Anew,
    /// What is missing, or all of it if it is not the same any more.
    Rest(&'a Rest),
}

/// What is missing of a body.
#[derive(Clone, Debug)]
pub struct Rest {
    /// How many bytes are there.
    pub from: u64,
    /// What they are of: for `If-Range`.
    pub validator: HeaderValue,
}

impl Wanted<'_> {
    /// Adds the fields that ask for this.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        match self {
            Self::Whole => {}
            Self::Anew => {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            }
            Self::Rest(Rest { from, validator }) => {
                let Ok(range) = HeaderValue::from_str(&format!("bytes={from}-")) else {
                    return;
                };
                headers.insert(RANGE, range);
                headers.insert(IF_RANGE, validator.clone());
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
        }
    }
}

impl Rest {
    /// Whether `headers`, of a 206, say that exactly the rest follows, of a body of `total` bytes;
    /// the length that they tell, if so.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn follows(&self, headers: &HeaderMap, total: Option<u64>) -> Result<u64, &'static str> {
        let range = one(headers, &CONTENT_RANGE).and_then(content_range);
        let Some((first, last, length)) = range else {
            return Err("the answer does not say which part it is");
        };
        if first != self.from || last < first || length.is_some_and(|length| last >= length) {
            return Err("the answer is another part than the one asked for");
        }
        let length = length.or(total).ok_or("the answer tells no length")?;
        if total.is_some_and(|total| total != length) || last >= length {
            return Err("the length is another one now");
        }
        if headers.contains_key(CONTENT_ENCODING) {
            return Err("the part is encoded");
        }
        match headers.get(ETAG) {
            Some(tag) if is_strong(&self.validator) && *tag != self.validator => {
                Err("the part is of something else")
            }
            _ => Ok(length),
        }
    }
}

/// What the rest of the body that belongs to `headers` may be asked for with: a strong entity tag;
/// where there is no tag at all, a date that is as good as one (RFC 9110 section 13.1.5). A body of
/// unknown length also needs the promise of ranges, because its end can be told only by them.
pub fn validator(headers: &HeaderMap, length: Option<u64>) -> Option<HeaderValue> {
    let ranges = one(headers, &ACCEPT_RANGES).unwrap_or_default();
    let promised = ranges.eq_ignore_ascii_case("bytes");
    let coded = headers.contains_key(CONTENT_ENCODING);
    if coded || ranges.eq_ignore_ascii_case("none") || (length.is_none() && !promised) {
        return None;
    }
    match headers.get(ETAG) {
        Some(tag) => is_strong(tag).then(|| tag.clone()),
        None => settled(headers),
    }
}

/// `Last-Modified` as a strong validator (RFC 9110 section 8.8.2.2).
fn settled(headers: &HeaderMap) -> Option<HeaderValue> {
    let time = |name| httpdate::parse_http_date(one(headers, name)?).ok();
    let (modified, date) = (time(&LAST_MODIFIED)?, time(&DATE)?);
    let age = date.duration_since(modified).ok()?;
    let value = headers.get(LAST_MODIFIED)?;
    (age >= SETTLED).then(|| value.clone())
}

fn is_strong(tag: &HeaderValue) -> bool {
    let bytes = tag.as_bytes();
    bytes.len() >= 2 && bytes.starts_with(b"\"") && bytes.ends_with(b"\"")
}

/// The text of a field that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    value.to_str().ok().map(str::trim)
}

/// First and last byte of a part, and the length of the whole (RFC 9110 section 14.4).
fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (unit, rest) = value.split_once(' ')?;
    let (range, length) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let length = match length {
        "*" => None,
        length => Some(number(length)?),
    };
    unit.eq_ignore_ascii_case("bytes")
        .then_some((number(first)?, number(last)?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        fields.collect()
    }

    #[test]
    fn only_strong_validators_are_used() {
        let check = |fields: &[_], length, expected: Option<&'static str>| {
            let validator = validator(&headers(fields), length);
            let expected = expected.map(HeaderValue::from_static);
            assert_eq!(validator, expected, "{fields:?}");
        };
        let (early, late) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:50:37 GMT",
        );
        let known = Some(10);
        check(&[("etag", "\"a\"")], known, Some("\"a\""));
        check(&[("etag", "W/\"a\"")], known, None);
        check(&[("etag", "0x8D2")], known, None);
        check(&[("etag", "\"")], known, None);
        check(&[("etag", "\"a\""), ("accept-ranges", "none")], known, None);
        check(
            &[("etag", "\"a\""), ("content-encoding", "gzip")],
            known,
            None,
        );
        check(&[("etag", "\"a\"")], None, None);
        check(
            &[("etag", "\"a\""), ("accept-ranges", "bytes")],
            None,
            Some("\"a\""),
        );
        check(
            &[("last-modified", early), ("date", late)],
            known,
            Some(early),
        );
        check(&[("last-modified", late), ("date", late)], known, None);
        check(&[("last-modified", late), ("date", early)], known, None);
        check(&[("last-modified", early)], known, None);
        check(
            &[
                ("etag", "W/\"a\""),
                ("last-modified", early),
                ("date", late),
            ],
            known,
            None,
        );
    }

    #[test]
    fn a_part_must_be_the_one_asked_for() {
        let rest = Rest {
            from: 5,
            validator: HeaderValue::from_static("\"a\""),
        };
        let check = |range, tag, total, expected: Option<u64>| {
            let headers = headers(&[("content-range", range), ("etag", tag)]);
            assert_eq!(rest.follows(&headers, total).ok(), expected, "{range}");
        };
        check("bytes 5-9/10", "\"a\"", Some(10), Some(10));
        check("Bytes 5-9/10", "\"a\"", None, Some(10));
        check("bytes 5-9/*", "\"a\"", Some(10), Some(10));
        // A server may send less than was asked for.
        check("bytes 5-7/10", "\"a\"", Some(10), Some(10));
        check("bytes 5-9/*", "\"a\"", None, None);
        check("bytes 4-9/10", "\"a\"", Some(10), None);
        check("bytes 6-9/10", "\"a\"", Some(10), None);
        check("bytes 5-10/11", "\"a\"", Some(10), None);
        check("bytes 5-10/10", "\"a\"", Some(10), None);
        check("bytes 5-4/10", "\"a\"", Some(10), None);
        check("bytes 5-9/10", "\"b\"", Some(10), None);
        check("bytes */10", "\"a\"", Some(10), None);
        check("items 5-9/10", "\"a\"", Some(10), None);
        check("bytes +5-9/10", "\"a\"", Some(10), None);
        let twice = [("content-range", "bytes 5-9/10"); 2];
        let mut headers = headers(&twice);
        headers.append("content-range", HeaderValue::from_static("bytes 6-9/10"));
        assert!(rest.follows(&headers, Some(10)).is_err());
        headers.clear();
        headers.insert("content-range", HeaderValue::from_static("bytes 5-9/10"));
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        assert!(rest.follows(&headers, Some(10)).is_err());
    }
}
