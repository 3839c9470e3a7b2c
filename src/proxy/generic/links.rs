//! Links of a JSON document that lead back to the route it came by.
//!
//! Every string that is a URL below the route's base is changed, whatever its place: these documents
//! have no rule of their own. Byte for byte the rest stays.

use bytes::Bytes;
use memchr::memmem;
use serde::de::IgnoredAny;

use super::Route;

/// The document with its links changed; `None` when it is not JSON, or has none of them.
pub(super) fn relinked(document: &Bytes, route: &Route, place: &str) -> Option<Bytes> {
    serde_json::from_slice::<IgnoredAny>(document).ok()?;
    replaced(document, route.options().url.as_str(), place).map(Into::into)
}

/// In valid JSON a quote that no backslash precedes begins or ends a string, and what ends one is
/// never followed by a URL.
fn replaced(document: &[u8], base: &str, place: &str) -> Option<Vec<u8>> {
    let wanted = format!("\"{base}");
    let mut out = Vec::with_capacity(document.len() + document.len() / 8);
    let mut copied = 0;
    for at in memmem::find_iter(document, &wanted) {
        if at > 0 && document[at - 1] == b'\\' {
            continue;
        }
        out.extend_from_slice(&document[copied..=at]);
        out.extend_from_slice(place.as_bytes());
        copied = at + wanted.len();
    }
    (copied > 0).then(|| {
        out.extend_from_slice(&document[copied..]);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_below_the_base_are_changed() {
        let check = |document: &str, expected: Option<&str>| {
            let found = replaced(document.as_bytes(), "https://a.test/", "http://we/raw/a/");
            let found = found.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(found.as_deref(), expected, "{document}");
        };
        check(
            r#"{"url":"https://a.test/x.exe", "b": ["https://a.test/"] }"#,
            Some(r#"{"url":"http://we/raw/a/x.exe", "b": ["http://we/raw/a/"] }"#),
        );
        check(r#"{"a":"see https://a.test/x"}"#, None);
        check(r#"{"a":"say \"https://a.test/x\""}"#, None);
        check(r#"{"a":"https://a.test.evil/x"}"#, None);
        check("{}", None);
    }
}
