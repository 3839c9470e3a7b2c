//! Documents that take longer than clients wait for a head.
//!
//! The official client gives up a request without a head after 100 seconds, and a body without a
//! byte after 60. A large registration over a thin line takes longer, so its head is sent in time
//! and white space before the document until it is there: JSON allows it (RFC 8259 section 2). A
//! document that fails after that ends with a closed connection, which clients take for a failure.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::group::Group;
use crate::proxy::{Error, Reply, Request};
use crate::server::body::{BodyError, ResponseBody};

/// Without a document after this time, the head is sent: later than the upstream's own head is
/// waited for by default, and than a request is held for it, so that its failure is still told by a
/// status.
pub const PATIENCE: Duration = Duration::from_secs(85);

/// The longest time between two pieces of white space.
pub const PULSE: Duration = Duration::from_secs(5);

type Serving = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;

/// A response whose document follows, white space every `pulse` until then. The request joins the
/// fill that is under way.
pub fn respond(group: Group, request: Request, pulse: Duration) -> Response<ResponseBody> {
    let request = Request {
        gzip: false,
        ..request
    };
    let serving: Serving = Box::pin(async move { group.serve(&request).await });
    let body = stream::unfold(Some(serving), move |serving| async move {
        let mut serving = serving?;
        match tokio::time::timeout(pulse, &mut serving).await {
            Err(_) => Some((Ok(Bytes::from_static(b" ")), Some(serving))),
            Ok(reply) => Some((document(reply), None)),
        }
    });
    let mut response = Response::new(ResponseBody::stream(Box::pin(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn document(reply: Result<Reply, Error>) -> Result<Bytes, BodyError> {
    let document = reply?.body.document();
    document.ok_or_else(|| "not a document".into())
}
