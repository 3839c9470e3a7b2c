//! What nugate answers itself: health, metrics, and where to go.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::proxy::Proxy;
use crate::server::body::ResponseBody;

/// Methods that documents can be asked with.
pub const METHODS: &str = "GET, HEAD";

/// The answer to a path that is nugate's own, and the name it is counted under.
pub fn answer(
    path: &str,
    proxy: &Proxy,
    ready: bool,
) -> Option<(&'static str, Response<ResponseBody>)> {
    let response = match path {
        "/-/health" => ("health", text(StatusCode::OK, "alive\n")),
        "/-/ready" => ("ready", readiness(ready)),
        "/metrics" => ("metrics", metrics(proxy)),
        _ => return None,
    };
    Some(response)
}

/// Where to go from a path that is nearly that of a service index. `path` is the whole one, `rest`
/// what follows the feeds it is about: nothing, for one feed without a slash behind its name.
pub fn redirect(path: &str, rest: &str) -> Option<(&'static str, Response<ResponseBody>)> {
    // A relative reference, so that it holds under every prefix and host.
    let to = match rest {
        "" => format!("{}/v3/index.json", path.rsplit('/').next()?),
        "/" | "/index.json" | "/v3" => "v3/index.json".to_owned(),
        "/v3/" => "index.json".to_owned(),
        _ => return None,
    };
    let mut response = text(StatusCode::FOUND, format!("the service index is at {to}\n"));
    let to = HeaderValue::from_str(&to).ok()?;
    response.headers_mut().insert(LOCATION, to);
    Some(("redirect", response))
}

fn readiness(ready: bool) -> Response<ResponseBody> {
    if ready {
        text(StatusCode::OK, "ready\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    }
}

fn metrics(proxy: &Proxy) -> Response<ResponseBody> {
    let metrics: &Arc<_> = proxy.metrics();
    let totals = proxy.totals();
    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.store_bytes.set(gauge(totals.bodies_bytes));
    metrics.store_entries.set(gauge(totals.entries));
    metrics.store_absent.set(gauge(totals.absent));
    let mut response = text(StatusCode::OK, metrics.render());
    let kind = HeaderValue::from_static(prometheus::TEXT_FORMAT);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Plain text.
pub fn text(status: StatusCode, text: impl Into<String>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::bytes(Bytes::from(text.into())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// 405 for a method other than these.
pub fn not_allowed(method: &Method, allowed: &'static str) -> Response<ResponseBody> {
    let message = format!("{method} is not allowed here; allowed: {allowed}\n");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, message);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
