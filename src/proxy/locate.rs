//! Where things are upstream: the service index, URLs of documents, pages behind tokens.
//!
//! Nothing is guessed: every URL comes from a document of the feed, and its host is one the feed's
//! service index or the configuration names.

use std::collections::HashSet;
use std::sync::Arc;

use url::Url;

use crate::nuget::link_map::LinkMap;
use crate::nuget::resource::{DocRule, LinkRule, Orphans, Resource, View};
use crate::nuget::rewrite::{self, Place};
use crate::nuget::route::{self, Target};
use crate::nuget::v2::passed;
use crate::policy::class::Network;
use crate::proxy::discovery::{Discovered, Origin};
use crate::proxy::engine::Engine;
use crate::proxy::error::Error;
use crate::proxy::read::Own;
use crate::store::Finished;

/// Name under which the bases of a feed seen so far are written down.
pub(super) fn bases_note(feed: &str) -> String {
    format!("link-bases/{feed}")
}

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
        if let Own::Stored(body) = self.read_own(&target).await? {
            match self.understand(&body, Origin::Stored).await {
                Ok(known) => return Ok(known),
                Err(error) => {
                    tracing::warn!(%error, "the stored service index is fetched anew");
                    self.remove(&key).await;
                    self.read_own(&target).await?;
                }
            }
        }
        // A service index that is fetched becomes the current one before its flight lands.
        let known = self.discovery.current();
        known.ok_or_else(|| Error::internal("the upstream's service index was not understood"))
    }

    /// Makes a service index that has just arrived the current one.
    pub(super) async fn adopt(&self, finished: &Finished) -> Result<(), Error> {
        let body = self
            .whole(&finished.draft, self.options.document_size_max)
            .await?;
        self.understand(&body, Origin::Arrived).await.map(drop)
    }

    async fn understand(&self, body: &[u8], origin: Origin) -> Result<Arc<Discovered>, Error> {
        let adopted = self
            .discovery
            .adopt(body, &self.feed, origin)
            .map_err(|why| {
                Error::unusable(format!(
                    "feed {} has no usable service index: {why}",
                    self.feed.name()
                ))
            })?;
        if let Some(bases) = adopted.bases
            && let Ok(text) = serde_json::to_vec(&bases)
            && let Err(error) = self
                .store
                .remember(&bases_note(self.feed.name()), &text)
                .await
        {
            self.store_failed("note", &error);
        }
        self.connect_ahead();
        Ok(adopted.discovered)
    }

    /// Makes the connections that may be needed next: a restore begins with the service index.
    pub(super) fn connect_ahead(&self) {
        if self.options.network == Network::Online
            && let Some(known) = self.discovery.current()
        {
            self.feed.connect_ahead(&known.origins, &known.hosts);
        }
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
        let urls = match (&target.token, passed::entry_of(target)) {
            (Some(token), _) => vec![self.page_url(token, target, &known).await?],
            (None, Some(entry)) => vec![self.file_url(&entry, &known).await?],
            (None, None) => target.upstream_urls(self.feed.url(), &known.index),
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
        self: &Arc<Self>,
        token: &str,
        target: &Target,
        known: &Discovered,
    ) -> Result<Url, Error> {
        let mut reread = Ok(());
        if self.discovery.page(token).is_none() {
            reread = self.reread_pages(target).await;
        }
        let Some(text) = self.discovery.page(token) else {
            // A page that could not be looked up is not one that does not exist.
            return Err(reread.err().unwrap_or(Error::NotFound));
        };
        let url = Url::parse(&text).map_err(|_| Error::NotFound)?;
        self.allowed(url, "page", known)
    }

    /// A URL that a document of the feed names, if it may be asked for.
    pub(super) fn allowed(&self, url: Url, what: &str, known: &Discovered) -> Result<Url, Error> {
        if self.feed.allows(&url, &known.hosts) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default();
        Err(Error::unusable(format!(
            "feed {} names a {what} on {host}, which is neither a host of its service index nor in \
             redirect_hosts",
            self.feed.name()
        )))
    }

    /// Looks for pages in the documents of the resource that name them: after a restart, and for
    /// clients that hold a document which is not stored any more.
    async fn reread_pages(self: &Arc<Self>, target: &Target) -> Result<(), Error> {
        let mut result = Ok(());
        let Some(resource) = target.resource else {
            return result;
        };
        for rule in resource.docs {
            let View::Links(links) = rule.view else {
                continue;
            };
            if links.orphans == Orphans::Page {
                for source in sources(resource, rule) {
                    let read = self.reread(&source, resource.slug, links).await;
                    result = result.and(read);
                }
            }
        }
        result
    }

    async fn reread(
        self: &Arc<Self>,
        source: &Target,
        slug: &str,
        links: &LinkRule,
    ) -> Result<(), Error> {
        let body = match self.read_own(source).await {
            Ok(Own::Stored(body) | Own::Fetched(body)) => body,
            Err(Error::NotOffered(_) | Error::NotFound | Error::RememberedNotFound) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let place = Place { base: "", slug };
        let found = rewrite::links(&body, links, &LinkMap::default(), place);
        let pages = found.map(|found| found.pages).unwrap_or_default();
        self.discovery.note_pages(&pages);
        Ok(())
    }

    /// A base that begins to answer 404 may have moved, and the index that named a page that is
    /// gone is old: both are looked at again, the service index at most once a minute.
    pub(super) async fn absent_at(self: &Arc<Self>, target: &Target) {
        if target.rule.name == "registration_page"
            && let Some(index) = target.sibling("{id}/index.json")
        {
            let key = index.key(self.feed.name());
            let seen = self.lookup(&key).await;
            self.refresh(&key, &index, seen);
        }
        let index = Target::service_index();
        let key = index.key(self.feed.name());
        if let Some(seen) = self.lookup(&key).await
            && self.clock.now().since(seen.checked_at).as_secs() >= 60
            && !self.backoff.holds(&key, self.clock.now())
        {
            self.refresh(&key, &index, Some(seen));
        }
    }
}

/// The documents of a rule that has no other placeholder than the type.
fn sources(resource: &Resource, rule: &DocRule) -> Vec<Target> {
    let suffixes = resource
        .types
        .iter()
        .filter_map(|name| name.split_once('/'));
    let mut paths: Vec<String> = suffixes
        .map(|(_, suffix)| {
            format!(
                "{}/{}",
                resource.slug,
                rule.pattern.replace("{type}", suffix)
            )
        })
        .collect();
    paths.dedup();
    paths
        .iter()
        .filter_map(|path| route::parse(path, None).ok())
        .collect()
}
