//! Responses of resources nugate does not know: the upstream's own, without what concerns only the
//! two ends of its connection, its cookies and its challenges.

use bytes::Bytes;
use futures_util::stream;
use http::header::{
    ALT_SVC, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, LINK, LOCATION, REFRESH,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};

use crate::group::Group;
use crate::nuget::service_index::PASS;
use crate::observe::CacheStatus;
use crate::policy::http::fields::end_to_end;
use crate::proxy::{Error, PASSED, PassReply, PassRequest, Proxy};
use crate::server::body::{BodyError, ResponseBody};
use crate::server::handle::{Answer, refused};

/// Fields that are not passed on beside those of the connection: they are of the upstream's site, or
/// links that would lead past us.
const DROPPED: [HeaderName; 8] = [
    ALT_SVC,
    CONTENT_LOCATION,
    LINK,
    LOCATION,
    REFRESH,
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    WWW_AUTHENTICATE,
];

/// The path below `/v3/pass/`, if it is one.
pub(super) fn path_of(below: &str) -> Option<&str> {
    below
        .strip_prefix("/v3/")?
        .strip_prefix(PASS)?
        .strip_prefix('/')
}

/// Answers a request for the path below `/v3/pass/`: of the feed that offers what is there.
pub(super) async fn passed(group: &Group, path: &str, parts: &http::request::Parts) -> Answer {
    let resource = PASSED;
    let mut none = Error::NotFound;
    for member in group.members() {
        match answer(member.proxy(), path, parts).await {
            Ok((response, cache)) => {
                return Answer::new(response, resource, cache);
            }
            // The token may be another's: it is no id that two feeds may have.
            Err(error) if matches!(none, Error::NotFound) => none = error,
            Err(_) => {}
        }
    }
    refused(&none, resource)
}

async fn answer(
    proxy: &Proxy,
    path: &str,
    parts: &http::request::Parts,
) -> Result<(Response<ResponseBody>, CacheStatus), Error> {
    let head = parts.method == Method::HEAD;
    let request = PassRequest {
        path,
        query: parts.uri.query(),
        head,
        headers: &parts.headers,
    };
    let reply = proxy.pass(request).await?;
    Ok((respond(proxy, reply, head), CacheStatus::Passed))
}

fn respond(proxy: &Proxy, reply: PassReply, head: bool) -> Response<ResponseBody> {
    let encoded = reply.headers.contains_key(CONTENT_ENCODING);
    let mut headers = kept(reply.headers);
    if encoded {
        // The body is decoded on its way through.
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    let bodiless = head
        || matches!(
            reply.status,
            StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT
        );
    let body = if bodiless {
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        ResponseBody::announced(if head { length } else { Some(0) })
    } else {
        let counting = proxy.clone();
        let pieces = stream::unfold(reply.body, move |mut body| {
            let proxy = counting.clone();
            async move {
                let piece = body.next().await?;
                if let Ok(bytes) = &piece {
                    proxy.count_passed(bytes.len());
                }
                let piece: Result<Bytes, BodyError> = piece.map_err(Into::into);
                Some((piece, body))
            }
        });
        ResponseBody::stream(Box::pin(pieces))
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}

/// The fields that are the client's business.
fn kept(mut headers: HeaderMap) -> HeaderMap {
    end_to_end(&mut headers);
    for name in &DROPPED {
        headers.remove(name);
    }
    headers
}
