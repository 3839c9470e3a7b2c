//! HTTP around the feed's documents: methods, validators, ranges (RFC 9110).
//!
//! It negotiates no encodings: nuget.org's storage serves what was stored. Invariant: a HEAD has
//! the header of the GET.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;

use super::feed::{Document, ExampleFeed};
use crate::entry::Digest;

impl ExampleFeed {
    /// The response to a request, for a base URL without trailing slash. Only GET and HEAD are
    /// answered; the body of a HEAD is empty while its `Content-Length` is that of the GET.
    pub fn respond(
        &self,
        base: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Response<Bytes> {
        if method != Method::GET && method != Method::HEAD {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            return refusal;
        }
        let path = percent_decode_str(uri.path()).decode_utf8_lossy();
        let document = self.document(base, &path, uri.query().unwrap_or_default());
        let mut response = match document {
            None => plain(StatusCode::NOT_FOUND),
            Some(document) => conditional(document, headers),
        };
        let length = response.body().len();
        if response.status() != StatusCode::NOT_MODIFIED {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if method == Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        response
    }
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn conditional(document: Document, headers: &HeaderMap) -> Response<Bytes> {
    let etag = format!(
        "\"0x{}\"",
        &Digest::of(&document.body).to_hex()[..15].to_uppercase()
    );
    let modified = document.modified.http_date();
    let mut response = Response::new(document.body);
    let own = response.headers_mut();
    insert(own, ETAG, &etag);
    insert(own, LAST_MODIFIED, &modified);
    insert(own, CACHE_CONTROL, document.cache_control);
    if unchanged(headers, &etag, &modified) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
        return response;
    }
    insert(own, CONTENT_TYPE, document.content_type);
    insert(own, ACCEPT_RANGES, "bytes");
    if document.gzip {
        insert(own, CONTENT_ENCODING, "gzip");
    }
    if let Some(condition) = text(headers, &IF_RANGE)
        && condition != etag
        && condition != modified
    {
        return response;
    }
    match text(headers, &RANGE) {
        Some(range) => ranged(response, range),
        None => response,
    }
}

/// RFC 9110 section 13.2.2: `If-Modified-Since` counts only without `If-None-Match`.
fn unchanged(headers: &HeaderMap, etag: &str, modified: &str) -> bool {
    if let Some(tags) = text(headers, &IF_NONE_MATCH) {
        return tags
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag == etag);
    }
    let since = text(headers, &IF_MODIFIED_SINCE).and_then(|t| httpdate::parse_http_date(t).ok());
    let modified = httpdate::parse_http_date(modified).ok();
    since.is_some() && modified <= since
}

/// One range of bytes (RFC 9110 section 14); several are answered with the whole body.
fn ranged(mut response: Response<Bytes>, range: &str) -> Response<Bytes> {
    let length = response.body().len();
    let Some((first, last)) = bounds(range, length) else {
        return response;
    };
    if first >= length || last < first {
        let mut refusal = plain(StatusCode::RANGE_NOT_SATISFIABLE);
        insert(
            refusal.headers_mut(),
            CONTENT_RANGE,
            &format!("bytes */{length}"),
        );
        return refusal;
    }
    let part = response.body().slice(first..=last);
    let field = format!("bytes {first}-{last}/{length}");
    insert(response.headers_mut(), CONTENT_RANGE, &field);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.body_mut() = part;
    response
}

fn bounds(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.saturating_sub(1);
    match (first, last) {
        ("", suffix) => Some((length.saturating_sub(suffix.parse().ok()?), end)),
        (first, "") => Some((first.parse().ok()?, end)),
        (first, last) => Some((first.parse().ok()?, end.min(last.parse().ok()?))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[expect(clippy::expect_used, reason = "every value is visible ASCII made here")]
fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("visible ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUPKG: &str = "/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg";

    fn ask(method: &Method, path: &str, headers: &[(http::HeaderName, &str)]) -> Response<Bytes> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            insert(&mut map, name.clone(), value);
        }
        let uri = path.parse().unwrap();
        ExampleFeed::demo().respond("http://feed.test", method, &uri, &map)
    }

    #[test]
    fn validators_are_honoured() {
        let full = ask(&Method::GET, NUPKG, &[]);
        let etag = full.headers()[ETAG].to_str().unwrap();
        let modified = full.headers()[LAST_MODIFIED].to_str().unwrap();
        let old = "Thu, 01 Jan 1970 00:00:00 GMT";
        for (headers, status) in [
            (vec![(IF_NONE_MATCH, etag)], 304),
            (vec![(IF_NONE_MATCH, "\"other\"")], 200),
            (vec![(IF_MODIFIED_SINCE, modified)], 304),
            (vec![(IF_MODIFIED_SINCE, old)], 200),
            (
                vec![(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, modified)],
                200,
            ),
        ] {
            let answer = ask(&Method::GET, NUPKG, &headers);
            assert_eq!(answer.status(), status, "{headers:?}");
            assert_eq!(answer.body().is_empty(), status == 304);
            assert_eq!(answer.headers()[ETAG], etag);
        }
    }

    #[test]
    fn ranges_are_honoured() {
        let full = ask(&Method::GET, NUPKG, &[]);
        let (body, length) = (full.body(), full.body().len());
        let etag = full.headers()[ETAG].to_str().unwrap();
        for (headers, status, part) in [
            (vec![(RANGE, "bytes=10-19")], 206, 10..20),
            (vec![(RANGE, "bytes=100-")], 206, 100..length),
            (vec![(RANGE, "bytes=-5")], 206, length - 5..length),
            (vec![(RANGE, "bytes=5-"), (IF_RANGE, etag)], 206, 5..length),
            (
                vec![(RANGE, "bytes=5-"), (IF_RANGE, "\"other\"")],
                200,
                0..length,
            ),
            (vec![(RANGE, "bytes=99999999-")], 416, 0..0),
        ] {
            let answer = ask(&Method::GET, NUPKG, &headers);
            assert_eq!(answer.status(), status, "{headers:?}");
            assert_eq!(answer.body(), &body[part], "{headers:?}");
        }
    }

    #[test]
    fn a_head_has_the_header_of_the_get() {
        for path in [NUPKG, "/v3/index.json", "/v3/nothing"] {
            let (get, head) = (ask(&Method::GET, path, &[]), ask(&Method::HEAD, path, &[]));
            assert_eq!(get.headers(), head.headers());
            assert_eq!(get.status(), head.status());
            assert!(head.body().is_empty());
        }
        let put = ask(&Method::PUT, NUPKG, &[]);
        assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
