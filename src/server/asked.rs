//! What the headers of a request say.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, PRAGMA, USER_AGENT};
use http::{HeaderMap, Method, Version};

use crate::nuget::resource::{At, View};
use crate::nuget::route::Target;
use crate::policy::directives::Directives;
use crate::policy::pacing::Payer;
use crate::proxy;
use crate::server::handle::{CLIENT_VERSION, SESSION};
use crate::upstream::ClientIdentity;

/// A request for a document, as its headers want it.
pub(super) fn request_of(
    parts: &http::request::Parts,
    target: Target,
    base: Arc<str>,
) -> proxy::Request {
    proxy::Request {
        target,
        base,
        head: parts.method == Method::HEAD,
        whole: parts.version < Version::HTTP_11,
        gzip: accepts_gzip(&parts.headers),
        directives: directives_of(&parts.headers),
        identity: identity_of(parts),
    }
}

/// Whether white space may precede the response: a JSON document that need not have a length. XML
/// begins with its declaration.
pub(super) fn may_trickle(request: &proxy::Request) -> bool {
    let in_v2 = request.target.resource.is_some_and(|row| row.at == At::V2);
    request.target.rule.view != View::Raw && !in_v2 && !request.head && !request.whole
}

/// RFC 9110 section 12.5.3, as far as gzip is concerned.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut any = None;
    for part in values.flat_map(|value| value.split(',')) {
        let (coding, weight) = part.split_once(';').unwrap_or((part, ""));
        let weight = weight
            .trim()
            .strip_prefix(['q', 'Q'])
            .and_then(|rest| rest.strip_prefix('='))
            .map_or(Ok(1.0), str::parse::<f32>);
        let accepted = weight.is_ok_and(|weight| weight > 0.0);
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") => return accepted,
            coding if coding.eq_ignore_ascii_case("x-gzip") => return accepted,
            "*" => any = Some(accepted),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

/// RFC 9111 section 5.2.1, and `Pragma` where there is no `Cache-Control`.
fn directives_of(headers: &HeaderMap) -> Directives {
    let texts = |name| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
    };
    Directives::parse(texts(CACHE_CONTROL), texts(PRAGMA))
}

/// What is passed on of a client.
fn identity_of(parts: &http::request::Parts) -> ClientIdentity {
    let headers = &parts.headers;
    let payer = parts.extensions.get::<Payer>();
    ClientIdentity {
        payer: payer.cloned().unwrap_or(Payer::Shared),
        user_agent: headers.get(USER_AGENT).cloned(),
        client_version: headers.get(CLIENT_VERSION).cloned(),
        session_id: headers.get(SESSION).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &[&str], expected: bool) {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT_ENCODING, value.parse().unwrap());
        }
        assert_eq!(accepts_gzip(&headers), expected, "{accept:?}");
    }

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        check(&[], false);
        check(&["gzip, deflate"], true);
        check(&["deflate", "GZIP"], true);
        check(&["gzip;q=0"], false);
        check(&["gzip;Q=0"], false);
        check(&["gzip; q=0.5"], true);
        check(&["*"], true);
        check(&["*;q=0"], false);
        check(&["*, gzip;q=0"], false);
        check(&["identity", "br"], false);
        check(&["gzip;q=x"], false);
    }
}
