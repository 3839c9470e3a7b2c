//! Requests that no honest client sends, refused before anything looks at them.
//!
//! hyper refuses what it cannot frame (RFC 9112). What it lets pass although another server on the
//! way may read it differently is refused here: several hosts, targets of a proxy, bodies of GET,
//! codings beside `chunked`.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Version};

/// Longest request target, in bytes.
pub const TARGET_MAX: usize = 8192;

/// Bytes of all header names and values, and their number.
pub const HEADERS_MAX: usize = 32 * 1024;
pub const HEADER_COUNT_MAX: usize = 100;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A method of proxies and of debugging, or a word that is none (RFC 9110 section 16.1.1).
    #[error("this method is not served")]
    Method,
    /// RFC 9112 sections 3.2.2 to 3.2.4.
    #[error("the request target must be a path, or a URL of this server")]
    Target,
    /// RFC 9112 section 3.2.
    #[error("the request names no valid host, or several")]
    Host,
    /// RFC 9110 section 9.3.1 allows it.
    #[error("a request of this method must not have a body without a length")]
    Body,
    /// RFC 9110 section 8.6 allows it. Over HTTP/1, hyper leaves one of several that are the same.
    #[error("the request gives several lengths of its body")]
    Length,
    /// RFC 9112 section 6.1.
    #[error("the only transfer coding of a request that is understood is chunked, once")]
    Coding,
    /// RFC 9110 section 15.5.15.
    #[error("the request target is longer than {TARGET_MAX} bytes")]
    LongTarget,
    /// RFC 6585 section 5.
    #[error("the headers are longer than {HEADERS_MAX} bytes, or more than {HEADER_COUNT_MAX}")]
    Headers,
}

impl Refusal {
    /// Its status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Target | Self::Host | Self::Body | Self::Length => StatusCode::BAD_REQUEST,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::Headers => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// Whether a request is one that is looked at.
///
/// # Errors
/// [`Refusal`], also a reason to close the connection.
pub fn check(parts: &Parts) -> Result<(), Refusal> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) || !is_method(&parts.method) {
        return Err(Refusal::Method);
    }
    if target_length(parts) > TARGET_MAX {
        return Err(Refusal::LongTarget);
    }
    if parts.headers.len() > HEADER_COUNT_MAX || headers_length(&parts.headers) > HEADERS_MAX {
        return Err(Refusal::Headers);
    }
    if !parts.uri.path().starts_with('/') {
        return Err(Refusal::Target);
    }
    check_host(parts)?;
    if parts
        .headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .nth(1)
        .is_some()
    {
        return Err(Refusal::Length);
    }
    check_coding(parts)
}

/// Whether the connection is closed after the answer although the request is answered: a body that
/// has no meaning may be the next request of someone else (RFC 9112 section 11.2).
pub fn closes(parts: &Parts) -> bool {
    let empty = |value: &http::HeaderValue| value.as_bytes().iter().all(|byte| *byte == b'0');
    is_bodiless(&parts.method) && !parts.headers.get(CONTENT_LENGTH).is_none_or(empty)
}

/// Whether it could be registered: methods are in capitals, and `get` is not `GET` to everyone.
fn is_method(method: &Method) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    method.as_str().bytes().all(fits)
}

/// What hyper takes for chunked, another server may take for another coding around it.
fn check_coding(parts: &Parts) -> Result<(), Refusal> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    if is_bodiless(&parts.method) {
        return Err(Refusal::Body);
    }
    let is_chunked = coding
        .as_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(b"chunked");
    if is_chunked && codings.next().is_none() {
        Ok(())
    } else {
        Err(Refusal::Coding)
    }
}

const fn is_bodiless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn target_length(parts: &Parts) -> usize {
    let uri = &parts.uri;
    uri.path_and_query().map_or(0, |it| it.as_str().len())
        + uri.authority().map_or(0, |it| it.as_str().len())
}

fn headers_length(headers: &HeaderMap) -> usize {
    let length = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + 4
    };
    headers.iter().map(length).sum()
}

/// One host, the same wherever it stands. HTTP/1.0 may go without (RFC 9112 section 3.2); HTTP/2
/// names it in the target (RFC 9113 section 8.3.1).
fn check_host(parts: &Parts) -> Result<(), Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::Host);
    }
    let host = match host {
        Some(host) => Some(
            host.to_str()
                .ok()
                .and_then(authority)
                .ok_or(Refusal::Host)?,
        ),
        None => None,
    };
    let scheme = parts.uri.scheme_str();
    if !matches!(scheme, None | Some("http" | "https")) {
        return Err(Refusal::Target);
    }
    let target = match parts.uri.authority() {
        Some(target) => Some(authority(target.as_str()).ok_or(Refusal::Host)?),
        None => None,
    };
    let one = match (host, target) {
        (Some(host), Some(target)) => host.eq_ignore_ascii_case(target),
        (Some(_), None) => true,
        (None, Some(_)) => parts.version != Version::HTTP_11,
        (None, None) => parts.version == Version::HTTP_10,
    };
    if one { Ok(()) } else { Err(Refusal::Host) }
}

/// A host, and a port if there is one, without user information.
fn authority(text: &str) -> Option<&str> {
    if is_plain(text) {
        return Some(text);
    }
    let parsed: Authority = text.parse().ok()?;
    let host = parsed.host();
    let rest = text.strip_prefix(host)?;
    let port = |rest: &str| rest.strip_prefix(':').is_some_and(is_port);
    (!host.is_empty() && (rest.is_empty() || port(rest))).then_some(text)
}

/// Digits alone, though a number may have a sign.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Whether it is a name or an address as nearly all are, with or without a port: sooner seen than
/// parsed.
fn is_plain(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "80"));
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !host.is_empty() && host.bytes().all(of_host) && is_port(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, target: &str, hosts: &[&str]) -> Parts {
        let mut request = http::Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn chunked_once_or_nothing() {
        for (method, codings, expected) in [
            ("PUT", &[][..], Ok(())),
            ("PUT", &["chunked"], Ok(())),
            ("PUT", &["Chunked "], Ok(())),
            ("GET", &["chunked"], Err(Refusal::Body)),
            ("PUT", &["gzip, chunked"], Err(Refusal::Coding)),
            ("PUT", &["chunked, chunked"], Err(Refusal::Coding)),
            ("PUT", &["chunked", "chunked"], Err(Refusal::Coding)),
            ("PUT", &["identity"], Err(Refusal::Coding)),
            ("PUT", &[""], Err(Refusal::Coding)),
        ] {
            let mut parts = parts(Version::HTTP_11, "/", &["a"]);
            parts.method = method.parse().unwrap();
            for coding in codings {
                let coding = coding.parse().unwrap();
                parts.headers.append(TRANSFER_ENCODING, coding);
            }
            assert_eq!(check(&parts), expected, "{method} {codings:?}");
        }
    }

    #[test]
    fn one_length() {
        let mut parts = parts(Version::HTTP_2, "https://a/", &[]);
        for expected in [Ok(()), Err(Refusal::Length)] {
            let length = http::HeaderValue::from_static("5");
            parts.headers.append(CONTENT_LENGTH, length);
            assert_eq!(check(&parts), expected);
        }
    }

    #[test]
    fn exactly_one_host() {
        let (http10, http11, http2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, target, hosts, expected) in [
            (http11, "/", &["a"][..], Ok(())),
            (http11, "/", &["a:80"], Ok(())),
            (http11, "/", &["[::1]:80"], Ok(())),
            (http11, "/", &[], Err(Refusal::Host)),
            (http10, "/", &[], Ok(())),
            (http11, "/", &["a", "a"], Err(Refusal::Host)),
            (http10, "/", &["a", "b"], Err(Refusal::Host)),
            (http11, "/", &["a b"], Err(Refusal::Host)),
            (http11, "/", &["u@a"], Err(Refusal::Host)),
            (http11, "/", &["a:"], Err(Refusal::Host)),
            (http11, "/", &["a:port"], Err(Refusal::Host)),
            (http11, "/", &["a:65535"], Ok(())),
            (http11, "/", &["a:65536"], Err(Refusal::Host)),
            (http11, "/", &["a:+80"], Err(Refusal::Host)),
            (http11, "/", &[""], Err(Refusal::Host)),
            (http11, "http://a/", &["A"], Ok(())),
            (http11, "http://b/", &["a"], Err(Refusal::Host)),
            (http11, "http://u@a/", &["a"], Err(Refusal::Host)),
            (http11, "ftp://a/", &["a"], Err(Refusal::Target)),
            (http11, "http://a/", &[], Err(Refusal::Host)),
            (http11, "a", &["a"], Err(Refusal::Target)),
            (http11, "*", &["a"], Err(Refusal::Target)),
            (http2, "https://a/", &[], Ok(())),
            (http2, "https://a/", &["a"], Ok(())),
            (http2, "https://a/", &["b"], Err(Refusal::Host)),
            (http2, "/", &[], Err(Refusal::Host)),
        ] {
            let parts = parts(version, target, hosts);
            assert_eq!(check(&parts), expected, "{version:?} {target} {hosts:?}");
        }
    }
}
