//! What goes in and what comes out: a request for a document, and a document on its way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};

use crate::nuget::route::Target;
use crate::observe::CacheStatus;
use crate::policy::directives::Directives;
use crate::proxy::again::Again;
use crate::proxy::flight::Seat;
use crate::proxy::present;
use crate::proxy::standing::Standing;
use crate::proxy::views::Rendered;
use crate::store::{Blob, DraftReader};
use crate::upstream::ClientIdentity;

/// A request for a document.
#[derive(Clone)]
pub struct Request {
    /// What is asked for.
    pub target: Target,
    /// The base URL for links, ending in `/v3/`.
    pub base: Arc<str>,
    /// Whether only the head is wanted.
    pub head: bool,
    /// Whether the body must be of known length (HTTP/1.0).
    pub whole: bool,
    /// Whether the client accepts gzip.
    pub gzip: bool,
    /// Its cache directives.
    pub directives: Directives,
    /// Who asks, passed on to the upstream.
    pub identity: ClientIdentity,
}

/// A document on its way to a client.
pub struct Reply {
    /// Its body.
    pub body: Body,
    /// `Content-Type` as the upstream gave it.
    pub content_type: Option<String>,
    /// Entity tag, with quotes.
    pub etag: Option<String>,
    /// `Last-Modified` as the upstream gave it, for bodies sent as they came.
    pub last_modified: Option<HeaderValue>,
    /// Whether the body is gzip because the client accepts it.
    pub gzip: bool,
    /// Whether the response depends on `Accept-Encoding`.
    pub varies: bool,
    /// Time since the upstream last confirmed the document.
    pub age: Duration,
    /// How it came about.
    pub cache: CacheStatus,
    /// What a developer should know: something stale was served, and why.
    pub warning: Option<Arc<str>>,
    /// What it rests on, if it is fresh from the store of one feed.
    pub standing: Option<Box<Standing>>,
}

/// A body on its way to a client.
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// Stored.
    Blob(Blob),
    /// Still arriving; ends with an error when it turns out wrong.
    Draft {
        /// Reads it from the first byte.
        reader: DraftReader,
        /// Its length, if the upstream announced one.
        length: Option<u64>,
        /// Keeps the fill going while it arrives.
        seat: Option<Seat>,
        /// How it is asked for again when its reader falls behind.
        again: Option<Box<Again>>,
    },
    /// Only the head was asked of the upstream: this is the length it gave.
    Head(Option<u64>),
}

impl Body {
    /// That of a rendered document.
    pub(super) fn of_view(view: &Rendered) -> Self {
        Self::Bytes(view.bytes.clone())
    }

    /// A document as a whole; `None` for what is on the disk or still arriving.
    pub fn document(&self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) | Self::Blob(Blob::Bytes(bytes)) => Some(bytes.clone()),
            Self::Blob(Blob::File(_)) | Self::Draft { .. } | Self::Head(_) => None,
        }
    }
}

/// The reply to a HEAD that the upstream answered with these headers.
pub(super) fn head_reply(headers: &HeaderMap) -> Reply {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let length = text(CONTENT_LENGTH).and_then(|value| value.parse().ok());
    Reply {
        body: Body::Head(length),
        content_type: text(CONTENT_TYPE),
        etag: headers.get(ETAG).and_then(present::quoted),
        last_modified: headers.get(LAST_MODIFIED).cloned(),
        gzip: false,
        varies: false,
        age: Duration::ZERO,
        cache: CacheStatus::Passed,
        warning: None,
        standing: None,
    }
}
