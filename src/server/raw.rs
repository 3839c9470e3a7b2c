//! `/raw/NAME/…`: requests on generic routes, and their responses.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED,
    RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt as _;
use url::Url;

use crate::observe::CacheStatus;
use crate::proxy::generic::{self, Content, Generic, Request, Route};
use crate::server::body::ResponseBody;
use crate::server::error::status_of;
use crate::server::handle::{Answer, insert_warning};
use crate::server::range::{self, Wanted};
use crate::server::upload::{Bounded, Fault};
use crate::server::{own, respond};

/// The longest body of a request, in bytes.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// What requests are counted under.
const RESOURCE: &str = "raw";

/// Answers a request for `path`, which begins with the name of a route; `place` is our URL of all
/// routes, ending in a slash.
pub(super) async fn answer<B>(
    generic: &Generic,
    (path, place): (&str, &str),
    parts: &Parts,
    body: B,
) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Some((name, below)) = path.split_once('/') else {
        return own(own::text(StatusCode::NOT_FOUND, "not a path of a route\n"));
    };
    let Some(route) = generic.route(name) else {
        return own(own::text(StatusCode::NOT_FOUND, "no such route\n"));
    };
    let Some(url) = route.url_of(below, parts.uri.query()) else {
        let text = "the path leads out of the route\n";
        return own(own::text(StatusCode::BAD_REQUEST, text));
    };
    let place = format!("{place}{name}/");
    pass(generic, (route, url, place), parts, body).await
}

/// Answers a request by the response of `url`, which the caller answers for, under the rules of
/// `route`; links that are changed lead to `place`.
pub(super) async fn pass<B>(
    generic: &Generic,
    (route, url, place): (&Arc<Route>, Url, String),
    parts: &Parts,
    body: B,
) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if let Some(refused) = refusal(generic, route, parts) {
        return own(refused);
    }
    let body = Bounded::new(body, BODY_MAX, route.pause_max());
    let fate = body.fate();
    let request = Request {
        method: parts.method.clone(),
        headers: parts.headers.clone(),
        body: body.boxed_unsync(),
        place,
        whole: parts.version < Version::HTTP_11,
    };
    match generic.serve(route, url, request).await {
        Ok(response) => {
            let cache = response.cache;
            let cause = response.cause.clone();
            let mut response = into_response(response, parts);
            if let Some(cause) = cause {
                let text = format!("nugate served a stored copy: {cause}");
                insert_warning(&mut response, &text);
            }
            Answer::new(response, RESOURCE, cache)
        }
        Err(error) => match fate.fault() {
            Some(fault) => own(faulty(fault, parts.version)),
            None => Answer::new(
                own::text(status_of(&error), format!("{error}\n")),
                RESOURCE,
                error.cache_status(),
            ),
        },
    }
}

/// The answer to a request whose body did not come to its end, after which nothing can be read.
fn faulty(fault: Fault, version: Version) -> Response<ResponseBody> {
    let mut response = own::text(fault.status(), format!("{fault}\n"));
    if version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

const fn own(response: Response<ResponseBody>) -> Answer {
    Answer::new(response, RESOURCE, CacheStatus::Own)
}

/// What is not even tried.
fn refusal(generic: &Generic, route: &Arc<Route>, parts: &Parts) -> Option<Response<ResponseBody>> {
    if generic.came_by(&parts.headers) {
        let text = "this request has come by here before: the upstream leads back to nugate\n";
        return Some(own::text(StatusCode::LOOP_DETECTED, text));
    }
    if !route.allows(&parts.method) {
        return Some(not_allowed(&parts.method));
    }
    let length = parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    let too_long = length
        .parse::<u64>()
        .is_ok_and(|length| length > BODY_MAX as u64);
    too_long.then(|| {
        let text = format!("the request body is longer than {BODY_MAX} bytes\n");
        own::text(StatusCode::PAYLOAD_TOO_LARGE, text)
    })
}

fn not_allowed(method: &Method) -> Response<ResponseBody> {
    let text = format!(
        "{method} is not passed on by this route; allowed: {}\n",
        own::METHODS
    );
    let mut response = own::text(StatusCode::METHOD_NOT_ALLOWED, text);
    let allowed = HeaderValue::from_static(own::METHODS);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// The response with the client's conditions answered, as far as they are for us.
fn into_response(reply: generic::Response, parts: &Parts) -> Response<ResponseBody> {
    let generic::Response {
        status,
        headers,
        content,
        conditional,
        ..
    } = reply;
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let ours = conditional && status == StatusCode::OK;
    let (etag, modified) = validators(response.headers());
    // RFC 9111 section 4.3.2: a response that does not say when it was modified was so when it was
    // sent.
    let known = modified.as_ref().or(response.headers().get(DATE));
    if ours && respond::not_modified(etag.as_deref(), known, &parts.headers) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [CONTENT_TYPE, CONTENT_LENGTH] {
            response.headers_mut().remove(name);
        }
        return response;
    }
    let wanted = match &content {
        Content::Blob(blob) if ours && parts.method == Method::GET => {
            let range = parts
                .headers
                .get(RANGE)
                .and_then(|value| value.to_str().ok());
            let applies =
                respond::range_applies(etag.as_deref(), modified.as_ref(), &parts.headers);
            let range = range.filter(|_| applies);
            range.map_or(Wanted::Whole, |range| range::parse(range, blob.size()))
        }
        _ => Wanted::Whole,
    };
    *response.body_mut() = into_body(content, &wanted, response.headers_mut());
    match wanted {
        Wanted::Whole => {}
        Wanted::Part(_) => *response.status_mut() = StatusCode::PARTIAL_CONTENT,
        Wanted::Unsatisfiable => *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE,
    }
    response
}

fn validators(headers: &HeaderMap) -> (Option<String>, Option<HeaderValue>) {
    let etag = headers.get(ETAG).and_then(|value| value.to_str().ok());
    let modified = headers.get(LAST_MODIFIED).cloned();
    (etag.map(str::to_owned), modified)
}

fn into_body(content: Content, wanted: &Wanted, headers: &mut HeaderMap) -> ResponseBody {
    match content {
        Content::Bytes(bytes) => ResponseBody::bytes(bytes),
        Content::Blob(blob) => {
            let size = blob.size();
            let (part, range) = match wanted {
                Wanted::Whole => return ResponseBody::blob(blob.reader(0..size)),
                Wanted::Part(part) => {
                    let text = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                    (part.clone(), text)
                }
                Wanted::Unsatisfiable => (0..0, format!("bytes */{size}")),
            };
            if let Ok(range) = HeaderValue::from_str(&range) {
                headers.insert(CONTENT_RANGE, range);
            }
            headers.insert(CONTENT_LENGTH, (part.end - part.start).into());
            ResponseBody::blob(blob.reader(part))
        }
        Content::Draft {
            first,
            rest,
            length,
        } => {
            let chunks = stream::unfold((Some(first), rest), |(first, mut rest)| async {
                if let Some(first) = first.filter(|first| !first.is_empty()) {
                    return Some((Ok(first), (None, rest)));
                }
                let next = rest.next().await?;
                Some((next.map_err(Into::into), (None, rest)))
            });
            ResponseBody::pieces(Box::pin(chunks), length)
        }
        Content::Passing { body, length } => {
            let chunks = stream::unfold(body, |mut body| async {
                let next = body.next().await?;
                Some((next.map_err(Into::into), body))
            });
            ResponseBody::pieces(Box::pin(chunks), length)
        }
    }
}
