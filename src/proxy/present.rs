//! From a stored or arriving body to a reply.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::entry::{Digest, Entry, Stored};
use crate::nuget::resource::View;
use crate::observe::CacheStatus;
use crate::proxy::discovery::Discovered;
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::flight::{Arrival, Seat};
use crate::proxy::views::{Rendered, Subject};
use crate::proxy::{Body, Reply, Request};
use crate::store::{Draft, DraftReader, HOLD_BACK, StoreErrorKind};

impl Engine {
    /// A reply from the store; [`Error::Lost`] when the body is missing or damaged.
    pub(super) async fn present_stored(
        self: &Arc<Self>,
        request: &Request,
        entry: &Entry,
        cache: CacheStatus,
    ) -> Result<Reply, Error> {
        let Some(stored) = entry.body else {
            return Err(Error::RememberedNotFound);
        };
        if request.target.rule.view == View::Raw {
            self.raw(entry, stored, cache).await
        } else {
            let load = async { self.load(stored, request).await };
            self.view(request, entry, cache, load).await
        }
    }

    async fn raw(&self, entry: &Entry, stored: Stored, cache: CacheStatus) -> Result<Reply, Error> {
        let blob = self.store.body(&stored).await;
        let blob = blob.map_err(|error| self.lost(stored, &error))?;
        Ok(self.reply(entry, Body::Blob(blob), cache))
    }

    async fn load(&self, stored: Stored, request: &Request) -> Result<Bytes, Error> {
        if stored.size > self.options.document_size_max {
            let text = format!(
                "the {} is larger than document_size_max",
                request.target.rule.name
            );
            return Err(Error::TooLarge(text.into()));
        }
        self.load_whole(&stored).await
    }

    /// A stored body in memory; [`Error::Lost`] when it is missing or damaged.
    pub(super) async fn load_whole(&self, stored: &Stored) -> Result<Bytes, Error> {
        let body = self.store.document(stored).await;
        body.map_err(|error| self.lost(*stored, &error))
    }

    fn lost(&self, stored: Stored, error: &crate::store::StoreError) -> Error {
        let failed = self.store_failed("body", error);
        match error.kind {
            StoreErrorKind::Closed => failed,
            // What cannot be read now is fetched, and kept if it is only for now.
            _ => Error::Lost(stored),
        }
    }

    /// All of a finished draft, at most `cap` bytes.
    pub(super) async fn whole(&self, draft: &Draft, cap: u64) -> Result<Bytes, Error> {
        let whole = draft.whole(cap).await;
        whole.map_err(|error| self.store_failed("draft", &error))
    }

    /// A reply from a verified draft.
    pub(super) async fn present_draft(
        self: &Arc<Self>,
        request: &Request,
        entry: &Entry,
        draft: &Arc<Draft>,
        cache: CacheStatus,
    ) -> Result<Reply, Error> {
        let cache = self.kept_or_passed(draft, cache);
        if request.target.rule.view == View::Raw {
            let length = entry.body.map(|stored| stored.size);
            // What is in memory is sent from there, as if it were stored already.
            let body = if length.is_some_and(|length| length <= HOLD_BACK) {
                Body::Bytes(self.whole(draft, HOLD_BACK).await?)
            } else {
                let gone = || Error::internal("what was passed on is gone");
                let reader = draft.reader().ok_or_else(gone)?;
                Body::Draft {
                    reader,
                    length,
                    seat: None,
                    again: None,
                }
            };
            return Ok(self.reply(entry, body, cache));
        }
        let load = self.whole(draft, self.options.document_size_max);
        self.view(request, entry, cache, load).await
    }

    /// A reply from a body that is still arriving.
    pub(super) fn present_arrival(
        &self,
        arrival: &Arrival,
        (reader, seat): (DraftReader, Seat),
        cache: CacheStatus,
    ) -> Reply {
        let cache = self.kept_or_passed(&arrival.draft, cache);
        let body = Body::Draft {
            reader,
            length: arrival.length,
            seat: Some(seat),
            again: None,
        };
        self.reply(&arrival.entry, body, cache)
    }

    async fn view(
        self: &Arc<Self>,
        request: &Request,
        entry: &Entry,
        cache: CacheStatus,
        load: impl Future<Output = Result<Bytes, Error>>,
    ) -> Result<Reply, Error> {
        let Some(stored) = entry.body else {
            return Err(Error::RememberedNotFound);
        };
        let rule = request.target.rule;
        let discovered = if rule.view.has_links() {
            Some(self.discovered().await?)
        } else {
            None
        };
        let subject = self.subject(request, stored.digest, discovered);
        if let Some(rendered) = self.views.hot(&subject).await {
            return Ok(self.rendered_reply(entry, &rendered, cache));
        }
        let load = Box::pin(async {
            let document = load.await?;
            self.stated.note(rule, &document).await;
            Ok(document)
        });
        let rendered = self.views.render(subject, &self.metrics, load).await?;
        self.discovery.note_pages(&rendered.pages);
        Ok(self.rendered_reply(entry, &rendered, cache))
    }

    /// What the view of a body depends on; `discovered` for documents with links.
    pub(super) fn subject(
        &self,
        request: &Request,
        digest: Digest,
        discovered: Option<Arc<Discovered>>,
    ) -> Subject {
        let target = &request.target;
        Subject {
            rule: target.rule,
            slug: target.resource.map_or("", |resource| resource.slug),
            digest,
            base: Arc::clone(&request.base),
            discovered,
            gzip: request.gzip,
            web_links: self.options.web_links,
            v2: self.options.v2,
            publish: self.options.publish,
        }
    }

    fn rendered_reply(&self, entry: &Entry, rendered: &Rendered, cache: CacheStatus) -> Reply {
        Reply {
            etag: Some(rendered.etag.to_string()),
            last_modified: None,
            gzip: rendered.gzip,
            varies: true,
            ..self.reply(entry, Body::of_view(rendered), cache)
        }
    }

    fn reply(&self, entry: &Entry, body: Body, cache: CacheStatus) -> Reply {
        Reply {
            body,
            content_type: entry.content_type.clone(),
            etag: entry.validators.etag.as_ref().and_then(quoted).or_else(|| {
                let digest = entry.body?.digest.to_hex();
                Some(format!("\"{}\"", digest.get(..32)?))
            }),
            last_modified: entry.validators.last_modified.clone(),
            gzip: false,
            varies: false,
            age: if entry.body.is_some() {
                self.clock.now().since(entry.checked_at)
            } else {
                Duration::ZERO
            },
            cache,
            warning: None,
            standing: None,
        }
    }
}

/// An upstream's entity tag as RFC 9110 section 8.8.3 wants it: nuget.org's edges have sent tags
/// without quotes. `None` for what cannot be quoted.
pub(super) fn quoted(etag: &HeaderValue) -> Option<String> {
    let text = etag.to_str().ok()?.trim();
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let inner = opaque
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('"') => Some(text.to_owned()),
        None if !opaque.is_empty() && !opaque.contains(['"', ' ']) => Some(format!("\"{opaque}\"")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_quoted() {
        for (given, expected) in [
            ("\"abc\"", Some("\"abc\"")),
            ("W/\"abc\"", Some("W/\"abc\"")),
            ("0x8D23AD938EF4481", Some("\"0x8D23AD938EF4481\"")),
            ("\"a\"b\"", None),
            ("\"a", None),
            ("", None),
        ] {
            let value = HeaderValue::from_str(given).unwrap();
            assert_eq!(quoted(&value).as_deref(), expected, "{given}");
        }
    }
}
