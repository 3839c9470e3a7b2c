//! Where things are upstream: the service index, URLs of documents, pages behind tokens.
//!
//! Nothing is guessed: every URL comes from a document of the feed, and its host is one the feed's
//! service index or the configuration names.

use std::collections::HashSet;
use std::sync::Arc;

use url::Url;

use crate::nuget::link_map::LinkMap;
use crate::nuget::resource::{Orphans, View};
use crate::nuget::rewrite::{self, Place};
use crate::nuget::route::Target;
use crate::policy::class::Network;
use crate::proxy::discovery::Discovered;
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::flight::{Outcome, Phase};
use crate::store::Finished;
use crate::upstream::ClientIdentity;

/// Name under which the bases seen so far are written down.
pub(super) const BASES_NOTE: &str = "link-bases";

/// Where a document is upstream.
pub(super) struct Located {
    /// URLs, in the order to try.
    pub(super) urls: Vec<Url>,
    /// Hosts that redirects may lead to.
    pub(super) hosts: HashSet<String>,
}

impl Engine {
    /// What is known of the upstream, asking it if need be.
    pub(super) async fn discovered(self: &Arc<Self>) -> Result<Arc<Discovered>, Error> {
        if let Some(known) = self.discovery.current() {
            return Ok(known);
        }
        let target = Target::service_index();
        let key = target.key(self.feed.name());
        let entry = self.lookup(&key).await;
        if let Some(stored) = entry.as_ref().and_then(|entry| entry.body) {
            if let Ok(body) = self.store.document(&stored).await
                && let Ok(known) = self.understand(&body).await
            {
                return Ok(known);
            }
            self.heal(&key, &stored).await;
        }
        if self.options.network == Network::Offline {
            return Err(Error::Offline { list: false });
        }
        let (mut seat, _) = self.board(&key, &target, None, &ClientIdentity::default());
        match seat.wait(false).await {
            Phase::Landed(Outcome::Failed(error)) => Err(error),
            _ => self
                .discovery
                .current()
                .ok_or_else(|| Error::internal("the upstream's service index was not understood")),
        }
    }

    /// Makes a service index that has just arrived the current one.
    pub(super) async fn adopt(&self, finished: &Finished) -> Result<(), Error> {
        let body = finished
            .draft
            .whole(self.options.document_size_max)
            .await
            .map_err(|error| self.store_failed("draft", &error))?;
        self.understand(&body).await.map(drop)
    }

    async fn understand(&self, body: &[u8]) -> Result<Arc<Discovered>, Error> {
        let adopted = self.discovery.adopt(body, self.feed.url()).map_err(|why| {
            Error::unusable(format!(
                "feed {} has no usable service index: {why}",
                self.feed.name()
            ))
        })?;
        if let Some(bases) = adopted.bases
            && let Ok(text) = serde_json::to_vec(&bases)
            && let Err(error) = self.store.remember(BASES_NOTE, &text).await
        {
            self.store_failed("note", &error);
        }
        Ok(adopted.discovered)
    }

    /// Where a document is upstream.
    pub(super) async fn locate(self: &Arc<Self>, target: &Target) -> Result<Located, Error> {
        let Some(resource) = target.resource else {
            return Ok(Located {
                urls: vec![self.feed.url().clone()],
                hosts: HashSet::new(),
            });
        };
        let known = self.discovered().await?;
        let urls = match &target.token {
            Some(token) => vec![self.page_url(token, target, &known).await?],
            None => target.upstream_urls(self.feed.url(), &known.index),
        };
        if urls.is_empty() {
            return Err(Error::NotOffered(resource.name));
        }
        Ok(Located {
            urls,
            hosts: known.hosts.clone(),
        })
    }

    /// The URL a token stands for: from memory, else from the documents that name it.
    async fn page_url(
        &self,
        token: &str,
        target: &Target,
        known: &Discovered,
    ) -> Result<Url, Error> {
        if self.discovery.page(token).is_none() {
            self.reread_pages(target).await;
        }
        let text = self.discovery.page(token).ok_or(Error::NotFound)?;
        let url = Url::parse(&text).map_err(|_| Error::NotFound)?;
        if self.feed.allows(&url, &known.hosts) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default();
        Err(Error::unusable(format!(
            "feed {} names a page on {host}, which is neither a host of its service index nor in \
             redirect_hosts",
            self.feed.name()
        )))
    }

    /// Looks for pages in the stored documents of the resource (after a restart).
    async fn reread_pages(&self, target: &Target) {
        let Some(resource) = target.resource else {
            return;
        };
        let prefix = format!("{}/{}/", self.feed.name(), resource.slug);
        let keys = self.store.keys(&prefix, 64).await.unwrap_or_default();
        for rule in resource.docs {
            let View::Links(links) = rule.view else {
                continue;
            };
            if links.orphans != Orphans::Page {
                continue;
            }
            for key in &keys {
                let entry = self.lookup(key).await;
                let Some(stored) = entry.and_then(|entry| entry.body) else {
                    continue;
                };
                if let Ok(body) = self.store.document(&stored).await {
                    let place = Place {
                        base: "",
                        slug: resource.slug,
                    };
                    let found = rewrite::links(&body, links, &LinkMap::default(), place);
                    self.discovery
                        .note_pages(&found.map(|it| it.pages).unwrap_or_default());
                }
            }
        }
    }

    /// A base that begins to answer 404 may have moved, and the index that named a page that is
    /// gone is old: both are looked at again, the service index at most once a minute.
    pub(super) fn absent_at(self: &Arc<Self>, target: &Target) {
        if target.rule.name == "registration_page"
            && let Some(index) = target.sibling("{id}/index.json")
        {
            let key = index.key(self.feed.name());
            let seen = self.store.hot(&key);
            self.refresh(&key, &index, seen);
        }
        let index = Target::service_index();
        let key = index.key(self.feed.name());
        if let Some(seen) = self.store.hot(&key)
            && self.clock.now().since(seen.checked_at).as_secs() >= 60
            && !self.backoff.holds(&key, self.clock.now())
        {
            self.refresh(&key, &index, Some(seen));
        }
    }
}
