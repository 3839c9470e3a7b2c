//! From a reply to a response: conditions, ranges, HEAD, headers.

use std::time::Duration;

use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::nuget::resource::DocRule;
use crate::policy::class::Class;
use crate::proxy::{Body, Continued, Reply};
use crate::server::body::ResponseBody;
use crate::server::range::{self, Wanted};

/// A response for `reply` to a request with these headers; `head` leaves the body out.
pub fn respond(
    reply: Reply,
    rule: &DocRule,
    request: &HeaderMap,
    head: bool,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    describe(&reply, rule, response.headers_mut());
    if not_modified(reply.etag.as_deref(), reply.last_modified.as_ref(), request) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(CONTENT_TYPE);
        return response;
    }
    // RFC 9110 section 14.2: ranges are defined for GET alone.
    let wanted = if head {
        Wanted::Whole
    } else {
        wanted(&reply, request)
    };
    if let (Wanted::Unsatisfiable, Some(length)) = (&wanted, length_of(&reply.body)) {
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        set(
            response.headers_mut(),
            CONTENT_RANGE,
            &format!("bytes */{length}"),
        );
        response.headers_mut().remove(CONTENT_TYPE);
        return response;
    }
    if let (Wanted::Part(part), Some(length)) = (&wanted, length_of(&reply.body)) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        set(response.headers_mut(), CONTENT_RANGE, &text);
    }
    let body = into_body(reply.body, &wanted);
    if let Some(length) = body.length() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    if !head {
        *response.body_mut() = body;
    }
    response
}

fn describe(reply: &Reply, rule: &DocRule, headers: &mut HeaderMap) {
    if let Some(value) = &reply.content_type {
        set(headers, CONTENT_TYPE, value);
    }
    if let Some(value) = &reply.etag {
        set(headers, ETAG, value);
    }
    if let Some(value) = &reply.last_modified {
        headers.insert(LAST_MODIFIED, value.clone());
    }
    if reply.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if reply.varies {
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    } else {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    age(headers, rule.class, reply.age);
}

/// Sets the headers that depend on how long ago a document of this class was confirmed.
pub(super) fn age(headers: &mut HeaderMap, class: Class, age: Duration) {
    headers.insert(AGE, age.as_secs().into());
    // What lies in front of nugate may keep packages, and asks again for everything else.
    match class {
        // `Age` counts from the last confirmation: a day from now on.
        Class::Immutable => {
            let lifetime = age.as_secs().saturating_add(86_400);
            set(
                headers,
                CACHE_CONTROL,
                &format!("public, max-age={lifetime}"),
            );
        }
        _ => drop(headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"))),
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// RFC 9110 section 13.2.2: `If-None-Match` decides alone where it is present.
pub(super) fn not_modified(
    etag: Option<&str>,
    last_modified: Option<&HeaderValue>,
    request: &HeaderMap,
) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let values = request.get_all(IF_NONE_MATCH).iter();
        let mut tags = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|v| v.split(','));
        let ours = etag.map(opaque);
        return tags.any(|tag| tag.trim() == "*" || (ours.is_some() && ours == Some(opaque(tag))));
    }
    let date = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
    // Of most requests, nothing needs to be parsed.
    let Some(since) = request.get(IF_MODIFIED_SINCE).and_then(date) else {
        return false;
    };
    last_modified
        .and_then(date)
        .is_some_and(|modified| modified <= since)
}

/// For weak comparison (RFC 9110 section 8.8.3.2).
fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Ranges are served of complete bodies only: an arriving one is answered whole.
fn wanted(reply: &Reply, request: &HeaderMap) -> Wanted {
    let Some(value) = request.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Wanted::Whole;
    };
    let complete = matches!(reply.body, Body::Bytes(_) | Body::Blob(_));
    match length_of(&reply.body) {
        Some(length)
            if complete
                && range_applies(reply.etag.as_deref(), reply.last_modified.as_ref(), request) =>
        {
            range::parse(value, length)
        }
        _ => Wanted::Whole,
    }
}

/// `If-Range` holds only for the very same strong tag or date (RFC 9110 section 13.1.5).
pub(super) fn range_applies(
    etag: Option<&str>,
    last_modified: Option<&HeaderValue>,
    request: &HeaderMap,
) -> bool {
    let Some(condition) = request.get(IF_RANGE) else {
        return true;
    };
    let strong = etag.filter(|tag| !tag.starts_with("W/"));
    let same_tag = strong.is_some_and(|tag| condition.as_bytes() == tag.as_bytes());
    same_tag || last_modified == Some(condition)
}

fn length_of(body: &Body) -> Option<u64> {
    match body {
        Body::Bytes(bytes) => Some(bytes.len() as u64),
        Body::Blob(blob) => Some(blob.size()),
        Body::Draft { length, .. } | Body::Head(length) => *length,
    }
}

pub(super) fn into_body(body: Body, wanted: &Wanted) -> ResponseBody {
    match (body, wanted) {
        (Body::Bytes(bytes), Wanted::Part(part)) => {
            let index = |at| usize::try_from(at).unwrap_or(bytes.len()).min(bytes.len());
            ResponseBody::bytes(bytes.slice(index(part.start)..index(part.end)))
        }
        (Body::Bytes(bytes), _) => ResponseBody::bytes(bytes),
        (Body::Blob(blob), Wanted::Part(part)) => ResponseBody::blob(blob.reader(part.clone())),
        (Body::Blob(blob), _) => ResponseBody::blob(blob.reader(0..blob.size())),
        (
            Body::Draft {
                reader,
                length,
                seat,
                again,
            },
            _,
        ) => {
            let continued = Continued::new(reader, length, seat, again);
            ResponseBody::draft(continued, length)
        }
        (Body::Head(length), _) => ResponseBody::announced(length),
    }
}
