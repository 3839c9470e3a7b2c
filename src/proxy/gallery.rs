//! A feed that speaks V2: whether it does, what its answers mean, and where it has a package.
//!
//! Its documents are kept by the same path as all others; this is what is different about them.

use std::sync::Arc;

use http::StatusCode;
use url::Url;

use crate::nuget::documents::V2_SERVICE;
use crate::nuget::resource::{At, View};
use crate::nuget::route::Target;
use crate::nuget::v2::{V2Source, links, passed};
use crate::policy::Answer;
use crate::policy::directives::Directives;
use crate::proxy::discovery::Discovered;
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::read::Own;
use crate::proxy::{Proxy, Request};

impl Proxy {
    /// Whether the feed itself answers V2 requests: its service index names a V2 endpoint, and that
    /// has a service document, as far as may be asked for a client `like` this.
    ///
    /// # Errors
    /// What keeps that from being known.
    pub async fn speaks_v2(&self, like: &Request) -> Result<bool, Error> {
        let engine = &self.0;
        if engine.options.v2_source == V2Source::Facts {
            return Ok(false);
        }
        let asked = async {
            let (target, known) = (passed::service(), engine.discovered().await?);
            if target
                .upstream_urls(engine.feed.url(), &known.index)
                .is_empty()
            {
                return Err(Error::NotOffered("LegacyGallery"));
            }
            let request = Request {
                target,
                head: false,
                whole: true,
                // To confirm a document is not to confirm that there are any.
                directives: Directives {
                    no_cache: false,
                    ..like.directives
                },
                ..like.clone()
            };
            self.serve(&request).await
        };
        match asked.await {
            Ok(_) => Ok(true),
            Err(
                Error::NotOffered(_)
                | Error::NotFound
                | Error::RememberedNotFound
                | Error::Offline { .. }
                | Error::NotStored,
            ) => Ok(false),
            Err(Error::Upstream { cause, timeout }) => {
                let feed = engine.feed.name();
                let cause = format!(
                    "{cause}; with feeds.{feed}.v2 = \"facts\" its V2 endpoint is not asked"
                );
                Err(Error::Upstream {
                    cause: cause.into(),
                    timeout,
                })
            }
            Err(error) => Err(error),
        }
    }
}

impl Engine {
    /// Where the feed has the package file of this entry: where the entry says.
    pub(super) async fn file_url(
        self: &Arc<Self>,
        entry: &Target,
        known: &Discovered,
    ) -> Result<Url, Error> {
        let mut urls = entry
            .upstream_urls(self.feed.url(), &known.index)
            .into_iter();
        let base = urls.next().ok_or(Error::NotOffered("LegacyGallery"))?;
        let (Own::Stored(body) | Own::Fetched(body)) = self.read_own(entry).await?;
        let url = links::file_of(&body, &base);
        let url = url.ok_or_else(|| Error::unusable("a V2 entry names no package file"))?;
        self.allowed(url, "package", known)
    }
}

/// What an answer to the question for `target` means, where V2 has meanings of its own.
pub(super) fn meant(answer: Answer, status: StatusCode, target: &Target) -> Answer {
    let in_v2 = target.resource.is_some_and(|row| row.at == At::V2);
    if !in_v2 || target.rule.view == View::Raw {
        return answer;
    }
    let is_service = target.rule.name == V2_SERVICE.name;
    match (answer, status) {
        // A server that cannot answer its own address has no V2 service there.
        (Answer::Refused, _) | (_, StatusCode::NOT_IMPLEMENTED) if is_service => Answer::Absent,
        // This request cannot be answered: no failure of the feed.
        (_, StatusCode::NOT_IMPLEMENTED) => Answer::Refused,
        _ => answer,
    }
}
