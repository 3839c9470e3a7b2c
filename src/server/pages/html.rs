//! The response that a page is, with all that keeps it to itself.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::entry::Digest;
use crate::pages::STYLE;
use crate::server::body::ResponseBody;
use crate::server::own;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What a page may do (CSP level 3): have our style sheet and its own icon, and send its forms to us.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(Digest::of(STYLE.as_bytes()).as_bytes());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

/// What a request for a page gets.
pub(super) type Html = Response<ResponseBody>;

/// A page, with all that keeps it to itself.
pub(super) fn html(page: &impl Template) -> Html {
    let text = match page.render() {
        Ok(text) => text,
        Err(error) => return broken(&error.to_string()),
    };
    let mut response = Response::new(ResponseBody::bytes(Bytes::from(text)));
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (VARY, "accept"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without an origin, forms could not be told from those of others.
        (REFERRER_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(policy) = &*POLICY {
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    }
    response
}

/// Says that a page's facts cannot be had.
pub(super) fn broken(why: &str) -> Html {
    own::text(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("the page cannot be made: {why}\n"),
    )
}
