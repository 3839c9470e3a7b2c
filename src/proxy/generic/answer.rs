//! From what is stored or arrives to a response.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, LOCATION,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::flight::Arrival;
use super::links;
use super::route::append_via;
use super::walk::Walk;
use crate::entry::{Digest, Kept};
use crate::observe::CacheStatus;
use crate::policy::http::{ResponseDirectives, directives::SECONDS_MAX, freshness};
use crate::proxy::error::Error;
use crate::store::{Blob, Draft, DraftReader};
use crate::upstream::{Answered, UpstreamBody};

/// What describes the bytes of a body, which are others once its links were changed.
const OF_BYTES: [HeaderName; 7] = [
    LAST_MODIFIED,
    CONTENT_RANGE,
    ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// A response on its way to a client.
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, `Content-Length` where it is known.
    pub headers: HeaderMap,
    /// Its content.
    pub content: Content,
    /// How it came about.
    pub cache: CacheStatus,
    /// Whether the client's conditions are still to be answered: they did not reach the upstream.
    pub conditional: bool,
    /// What a developer should know: something stale was served, and why.
    pub cause: Option<Arc<str>>,
}

/// The content of a response.
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// Stored.
    Blob(Blob),
    /// Still arriving; ends with an error when it is cut.
    Draft {
        /// What was read of it already.
        first: Bytes,
        /// Reads what follows.
        rest: DraftReader,
        /// The length of all, if it was announced.
        length: Option<u64>,
    },
    /// Passed on as it comes.
    Passing {
        /// From the upstream.
        body: Box<UpstreamBody>,
        /// Its length, if it was announced.
        length: Option<u64>,
    },
}

impl Walk {
    /// What is stored, unconfirmed.
    pub(super) async fn stored(&self, kept: &Kept, cache: CacheStatus) -> Result<Response, Error> {
        let mut response = self.present(kept, cache).await?;
        if let CacheStatus::Stale(reason) = cache {
            let stale = &self.shared().metrics.stale;
            stale.with_label_values(&[reason.name()]).inc();
        }
        // RFC 9111 section 5.2.2.4: these fields must not be used without being confirmed.
        for name in ResponseDirectives::of(&kept.headers).no_cache_fields {
            response.headers.remove(name);
        }
        Ok(response)
    }

    /// What is stored, confirmed just now.
    pub(super) async fn confirmed(&self, kept: &Kept) -> Result<Response, Error> {
        self.present(kept, CacheStatus::Revalidated).await
    }

    async fn present(&self, kept: &Kept, cache: CacheStatus) -> Result<Response, Error> {
        let (shared, uri) = (self.shared(), &self.errand.uri);
        let mut headers = kept.headers.clone();
        let age = freshness::age(kept, shared.clock.now()).as_secs();
        headers.insert(AGE, age.min(SECONDS_MAX).into());
        let content = if kept.body.size == 0 {
            Content::Bytes(Bytes::new())
        } else if self.has_links(kept.status) && kept.body.size <= shared.document_size_max {
            let body = shared.shelf.document(uri, &kept.body).await;
            Content::Bytes(self.linked(&mut headers, body.ok_or(Error::Lost(kept.body))?))
        } else {
            let blob = shared.shelf.body(uri, &kept.body).await;
            Content::Blob(blob.ok_or(Error::Lost(kept.body))?)
        };
        let length = match &content {
            Content::Bytes(bytes) => bytes.len() as u64,
            _ => kept.body.size,
        };
        if !matches!(kept.status, 204 | 304) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        if kept.status == 200 && matches!(content, Content::Blob(_)) {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        Ok(self.respond((kept.status, headers), content, (cache, true)))
    }

    /// A response that is being stored: its head goes out once something of its body may, so that
    /// one that is cut early is a failure and no response.
    pub(super) async fn arriving(
        &self,
        (arrival, mut rest): (Arrival, DraftReader),
        cache: CacheStatus,
    ) -> Result<Response, Error> {
        let Arrival {
            kept,
            draft,
            mut length,
        } = arrival;
        let mut headers = kept.headers.clone();
        let first = match rest.next().await.transpose() {
            Ok(first) => first.unwrap_or_default(),
            Err(error) => return self.failed(Error::unusable(error.context)).await,
        };
        if self.whole && length.is_none() {
            let released = draft.released_unless_passed_on().await;
            length = released.map_err(|error| Error::unusable(error.context))?;
        }
        let cache = self.kept_or_passed(&draft, cache);
        let conditional = self.errand.seen.is_some();
        let small = self.shared().document_size_max;
        if self.has_links(kept.status) {
            let failed = |error: crate::store::StoreError| Error::unusable(error.context);
            draft.released().await.map_err(failed)?;
            let body = draft.whole(small).await.map_err(failed)?;
            let content = Content::Bytes(self.linked(&mut headers, body));
            return Ok(self.respond((kept.status, headers), content, (cache, conditional)));
        }
        let content = Content::Draft {
            first,
            rest,
            length,
        };
        Ok(self.respond((kept.status, headers), content, (cache, conditional)))
    }

    fn kept_or_passed(&self, draft: &Draft, cache: CacheStatus) -> CacheStatus {
        let passed = draft.is_passed_on() || self.shared().store.degraded().is_some();
        match cache {
            CacheStatus::Miss | CacheStatus::VaryMiss | CacheStatus::Replaced if passed => {
                CacheStatus::Passed
            }
            cache => cache,
        }
    }

    fn has_links(&self, status: u16) -> bool {
        status == 200 && self.errand.route.rewrites(&self.errand.url)
    }

    /// A response for this client alone.
    pub(super) async fn unshared(&self, answered: Answered) -> Result<Response, Error> {
        if self.rides_out(answered.status.as_u16()) {
            return self.rode_out().await;
        }
        Ok(self.passing(answered, CacheStatus::Passed))
    }

    pub(super) fn passing(&self, answered: Answered, cache: CacheStatus) -> Response {
        let length = answered.body.length();
        let content = Content::Passing {
            body: Box::new(answered.body),
            length,
        };
        let head = (answered.status.as_u16(), answered.headers);
        let mut response = self.respond(head, content, (cache, false));
        self.errand.route.strip_cookies(&mut response.headers);
        response
    }

    fn respond(
        &self,
        (status, mut headers): (u16, HeaderMap),
        content: Content,
        (cache, conditional): (CacheStatus, bool),
    ) -> Response {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        append_via(&mut headers, &self.shared().pseudonym);
        if status.is_redirection()
            && let Some(ours) = self.relocated(&headers)
        {
            headers.insert(LOCATION, ours);
        }
        Response {
            status,
            headers,
            content,
            cache,
            conditional,
            cause: None,
        }
    }

    /// Where a redirect within the route leads for clients.
    fn relocated(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let location = headers.get(LOCATION)?.to_str().ok()?;
        let target = self.errand.url.join(location).ok()?;
        let path = self.errand.route.path_of(target.as_str())?;
        HeaderValue::from_str(&format!("{}{path}", self.place)).ok()
    }

    /// A JSON document whose links lead back to the route, and its fields changed accordingly.
    fn linked(&self, headers: &mut HeaderMap, body: Bytes) -> Bytes {
        let Some(linked) = links::relinked(&body, &self.errand.route, &self.place) else {
            return body;
        };
        for name in &OF_BYTES {
            headers.remove(name);
        }
        let digest = Digest::of(&linked).to_hex();
        let tag = format!("\"{}\"", digest.get(..32).unwrap_or_default());
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        headers.insert(CONTENT_LENGTH, linked.len().into());
        linked
    }
}
