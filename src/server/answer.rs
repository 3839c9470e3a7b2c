//! A response on its way, and those that say why there is no document.

use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::nuget::route::RouteError;
use crate::observe::CacheStatus;
use crate::proxy;
use crate::server::base::BaseError;
use crate::server::body::ResponseBody;
use crate::server::error::{is_worth_a_warning, retry_after, status_of};
use crate::server::handle::WARNING;
use crate::server::own;

/// A response and what is counted of it.
pub(super) struct Answer {
    pub(super) response: Response<ResponseBody>,
    pub(super) resource: &'static str,
    pub(super) cache: CacheStatus,
}

impl Answer {
    /// An answer of our own, which nothing was asked for.
    pub(super) const fn own(resource: &'static str, response: Response<ResponseBody>) -> Self {
        Self {
            response,
            resource,
            cache: CacheStatus::Own,
        }
    }
}

/// Leaves the body of a response to HEAD out, and its length in.
pub(super) fn drop_body(response: &mut Response<ResponseBody>) {
    let body = std::mem::replace(response.body_mut(), ResponseBody::empty());
    if let Some(length) = body.length().filter(|length| *length > 0) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

/// The answer to a request that ends without a document.
pub(super) fn refused(error: &proxy::Error, resource: &'static str) -> Answer {
    Answer {
        response: failure(error),
        resource,
        cache: error.cache_status(),
    }
}

/// The response that says what failed.
pub(super) fn failure(error: &proxy::Error) -> Response<ResponseBody> {
    let mut response = own::text(status_of(error), format!("{error}\n"));
    if let Some(seconds) = retry_after(error) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if is_worth_a_warning(error) {
        insert_warning(&mut response, &format!("nugate: {error}"));
    }
    response
}

pub(super) fn insert_warning(response: &mut Response<ResponseBody>, text: &str) {
    let clean: String = text
        .chars()
        .map(|char| if char.is_ascii_graphic() { char } else { ' ' })
        .take(500)
        .collect();
    if let Ok(value) = HeaderValue::from_str(&clean) {
        response.headers_mut().insert(WARNING, value);
    }
}

pub(super) fn unroutable(error: RouteError) -> Response<ResponseBody> {
    let status = match error {
        RouteError::NotFound => StatusCode::NOT_FOUND,
        RouteError::BadPath | RouteError::BadQuery => StatusCode::BAD_REQUEST,
    };
    own::text(status, format!("{error}\n"))
}

pub(super) fn misdirected(error: &BaseError) -> Response<ResponseBody> {
    let status = match error {
        BaseError::NoHost => StatusCode::BAD_REQUEST,
        BaseError::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
    };
    own::text(status, format!("{error}\n"))
}
