//! Header fields on their way through: which end here, and what a 304 changes (RFC 9111 section
//! 3.2, RFC 9110 section 7.6).

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that concern one connection, whether or not `Connection` names them.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields that describe the stored bytes, which a 304 does not change.
const OF_THE_BODY: [HeaderName; 5] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    ETAG,
];

/// Removes what concerns the connection it arrived on: fields that `Connection` names too.
pub fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Header fields of a stored response after a 304 with these (section 3.2): each field of the newer
/// one replaces all lines of the same name.
pub fn updated(stored: &HeaderMap, newer: &HeaderMap) -> HeaderMap {
    let mut headers = stored.clone();
    // An age counts from its own response.
    headers.remove(http::header::AGE);
    for name in newer.keys().filter(|name| !OF_THE_BODY.contains(name)) {
        headers.remove(name);
        for value in newer.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Whether a 304 is about the stored response (section 4.3.4): not if it names another entity.
pub fn confirms(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    match (stored.get(ETAG), not_modified.get(ETAG)) {
        (Some(stored), Some(sent)) => opaque(stored) == opaque(sent),
        _ => true,
    }
}

/// Whether the answer to a HEAD is about the stored response (section 4.3.5): validators and length
/// that are there agree.
pub fn same_representation(stored: &HeaderMap, length: u64, head: &HeaderMap) -> bool {
    let same = |name: HeaderName| match (stored.get(&name), head.get(&name)) {
        (Some(stored), Some(sent)) => stored == sent,
        _ => true,
    };
    let same_length = head
        .get(CONTENT_LENGTH)
        .is_none_or(|sent| sent.as_bytes() == length.to_string().as_bytes());
    same(ETAG) && same(LAST_MODIFIED) && same_length
}

/// For weak comparison (RFC 9110 section 8.8.3.2).
fn opaque(tag: &HeaderValue) -> &[u8] {
    let bytes = tag.as_bytes();
    bytes.strip_prefix(b"W/").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::http::headers;

    #[test]
    fn fields_of_a_connection_end_there() {
        let mut found = headers(&[
            ("connection", "close, A"),
            ("connection", "b, not a name"),
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("te", "trailers"),
            ("keep-alive", "x"),
            ("proxy-authorization", "x"),
        ]);
        end_to_end(&mut found);
        assert_eq!(found, headers(&[("c", "3")]));
    }

    #[test]
    fn a_304_replaces_what_it_has_section_3_2() {
        let stored = headers(&[
            ("a", "1"),
            ("a", "2"),
            ("b", "1"),
            ("age", "7"),
            ("content-length", "5"),
            ("content-type", "x/y"),
            ("etag", "\"a\""),
        ]);
        let newer = headers(&[
            ("a", "3"),
            ("content-length", "0"),
            ("content-type", "x/z"),
            ("etag", "W/\"a\""),
        ]);
        let expected = headers(&[
            ("b", "1"),
            ("content-length", "5"),
            ("etag", "\"a\""),
            ("a", "3"),
            ("content-type", "x/z"),
        ]);
        assert_eq!(updated(&stored, &newer), expected);
    }

    #[test]
    fn another_entity_confirms_nothing_section_4_3_4() {
        let stored = headers(&[("etag", "\"a\"")]);
        assert!(confirms(&stored, &headers(&[])));
        assert!(confirms(&stored, &headers(&[("etag", "W/\"a\"")])));
        assert!(!confirms(&stored, &headers(&[("etag", "\"b\"")])));
        assert!(confirms(&headers(&[]), &headers(&[("etag", "\"b\"")])));
    }

    #[test]
    fn a_head_is_about_the_same_representation_section_4_3_5() {
        let stored = headers(&[("etag", "\"a\""), ("last-modified", "x")]);
        let check = |lines, expected| {
            assert_eq!(
                same_representation(&stored, 7, &headers(lines)),
                expected,
                "{lines:?}"
            );
        };
        check(&[], true);
        check(&[("etag", "\"a\""), ("content-length", "7")], true);
        check(&[("content-length", "8")], false);
        check(&[("etag", "\"b\"")], false);
        check(&[("last-modified", "y")], false);
    }
}
