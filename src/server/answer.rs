//! A response on its way, and those that say why there is no document.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::nuget::route::RouteError;
use crate::observe::CacheStatus;
use crate::proxy::{self, Standing};
use crate::server::base::BaseError;
use crate::server::body::ResponseBody;
use crate::server::error::{is_worth_a_warning, retry_after, status_of};
use crate::server::handle::{CACHE_STATUS, REQUEST_ID, WARNING};
use crate::server::hot::HotAnswer;
use crate::server::own;

/// A response and what is counted of it.
pub(super) struct Answer {
    pub(super) response: Response<ResponseBody>,
    pub(super) resource: &'static str,
    pub(super) cache: CacheStatus,
    pub(super) memory: Memory,
}

/// What is remembered of an answer.
pub(super) enum Memory {
    /// Nothing.
    Nothing,
    /// Not yet anything, but it rests on this.
    Standing(Box<Standing>),
    /// It is one that was remembered.
    Hot(Arc<HotAnswer>),
}

impl Answer {
    /// An answer of our own, which nothing was asked for.
    pub(super) const fn own(resource: &'static str, response: Response<ResponseBody>) -> Self {
        Self::new(response, resource, CacheStatus::Own)
    }

    /// An answer that is not to be remembered.
    pub(super) const fn new(
        response: Response<ResponseBody>,
        resource: &'static str,
        cache: CacheStatus,
    ) -> Self {
        Self {
            response,
            resource,
            cache,
            memory: Memory::Nothing,
        }
    }

    /// The same, which may be remembered with what it rests on.
    pub(super) fn resting_on(self, standing: Option<Box<Standing>>) -> Self {
        let memory = standing.map_or(Memory::Nothing, Memory::Standing);
        Self { memory, ..self }
    }

    /// Says how it came about, and to which request it is the answer.
    pub(super) fn label(&mut self, id: HeaderValue) {
        let headers = self.response.headers_mut();
        // One that is remembered says it already.
        if !matches!(self.memory, Memory::Hot(_)) {
            let status = HeaderValue::from_static(self.cache.header());
            // Behind those of caches between us and the origin (RFC 9211 section 2).
            headers.append(CACHE_STATUS, status);
        }
        headers.insert(REQUEST_ID, id);
    }

    /// What the client is told beside it; one that is remembered has nothing to tell.
    pub(super) fn warning(&self) -> Option<&HeaderValue> {
        match &self.memory {
            Memory::Hot(_) => None,
            _ => self.response.headers().get(WARNING),
        }
    }

    /// What it rests on, if it is not remembered yet.
    pub(super) fn take_standing(&mut self) -> Option<Standing> {
        match std::mem::replace(&mut self.memory, Memory::Nothing) {
            Memory::Standing(standing) => Some(*standing),
            memory => {
                self.memory = memory;
                None
            }
        }
    }

    /// The same, not to be remembered.
    pub(super) fn once(self) -> Self {
        Self {
            memory: Memory::Nothing,
            ..self
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
    Answer::new(failure(error), resource, error.cache_status())
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
        BaseError::Misdirected(_) | BaseError::Unlisted(_) => StatusCode::MISDIRECTED_REQUEST,
    };
    own::text(status, format!("{error}\n"))
}
