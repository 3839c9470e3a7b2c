//! What fills and requests work with: the store, the feed, the rules, and the little state between
//! them. Single steps only; the order of steps is in `serve` and `fill`.

use std::collections::HashSet;
use std::sync::Arc;

use moka::sync::Cache;
use url::Url;

use crate::clock::Clock;
use crate::entry::{Digest, Entry, Key, Stored};
use crate::nuget::link_map::LinkMap;
use crate::nuget::resource::{DocRule, Orphans, View};
use crate::nuget::rewrite::{self, Place};
use crate::nuget::route::Target;
use crate::nuget::service_index::WebLinks;
use crate::observe::Metrics;
use crate::policy::class::{Freshness, Network};
use crate::proxy::backoff::Backoff;
use crate::proxy::discovery::{Discovered, Discovery};
use crate::proxy::error::Error;
use crate::proxy::fill::Fill;
use crate::proxy::flight::{Flights, Outcome, Phase, Seat};
use crate::proxy::views::Views;
use crate::store::{Finished, Store, StoreError};
use crate::upstream::{ClientIdentity, Feed, Fetch, Fetched, Kind, UpstreamError};

/// Keys whose last body failed verification, with its digest.
const STRIKES_MAX: u64 = 1024;

/// Name under which the bases seen so far are written down.
const BASES_NOTE: &str = "link-bases";

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long things stay fresh.
    pub freshness: Freshness,
    /// How much the upstream is asked at all.
    pub network: Network,
    /// Whether `Cache-Control: no-cache` of a request makes the upstream be asked.
    pub honour_no_cache: bool,
    /// What becomes of templates of web pages.
    pub web_links: WebLinks,
    /// Bytes of memory for rendered documents.
    pub memory: u64,
    /// Longest document, in bytes.
    pub document_size_max: u64,
    /// Longest package, in bytes.
    pub package_size_max: u64,
}

/// Everything built once at start.
pub(super) struct Engine {
    pub(super) store: Store,
    pub(super) feed: Feed,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: Options,
    pub(super) flights: Arc<Flights>,
    pub(super) views: Views,
    pub(super) discovery: Discovery,
    pub(super) backoff: Backoff,
    strikes: Cache<Key, Digest>,
}

/// Where a document is upstream.
pub(super) struct Located {
    /// URLs, in the order to try.
    pub(super) urls: Vec<Url>,
    /// Hosts that redirects may lead to.
    pub(super) hosts: HashSet<String>,
}

impl Engine {
    /// An engine that knows the bases an earlier run wrote down.
    pub(super) async fn new(
        (store, feed): (Store, Feed),
        clock: Clock,
        metrics: Arc<Metrics>,
        options: Options,
    ) -> Arc<Self> {
        let older = store
            .recall(BASES_NOTE)
            .await
            .ok()
            .flatten()
            .unwrap_or_default();
        let older = serde_json::from_slice(&older).unwrap_or_default();
        Arc::new(Self {
            views: Views::new(options.memory),
            discovery: Discovery::new(older),
            flights: Arc::default(),
            backoff: Backoff::default(),
            strikes: Cache::new(STRIKES_MAX),
            store,
            feed,
            clock,
            metrics,
            options,
        })
    }

    /// What is stored for a key; a store that cannot say has nothing.
    pub(super) async fn lookup(&self, key: &Key) -> Option<Arc<Entry>> {
        if let Some(entry) = self.store.hot(key) {
            return Some(entry);
        }
        match self.store.entry(key).await {
            Ok(entry) => entry,
            Err(error) => {
                self.store_failed("read", &error);
                None
            }
        }
    }

    /// Writes an entry down; a store that cannot is counted, and the entry used all the same.
    pub(super) async fn put(&self, key: &Key, entry: Entry) -> Arc<Entry> {
        match self.store.put(key, entry.clone()).await {
            Ok(entry) => entry,
            Err(error) => {
                self.store_failed("write", &error);
                Arc::new(entry)
            }
        }
    }

    /// Seals a verified body and makes its entry visible.
    pub(super) async fn publish(&self, key: &Key, finished: &Finished, entry: Entry) {
        match self.store.seal(finished).await {
            Ok(_) => drop(self.put(key, entry).await),
            Err(error) => drop(self.store_failed("seal", &error)),
        }
    }

    /// Forgets a body that is missing or damaged, so that it is fetched anew.
    pub(super) async fn heal(&self, key: &Key, stored: &Stored) {
        tracing::warn!(%key, "a stored body is missing or damaged; it is fetched anew");
        if let Err(error) = self.store.discard(stored).await {
            self.store_failed("discard", &error);
        }
        if let Err(error) = self.store.forget(key.as_str()).await {
            self.store_failed("forget", &error);
        }
    }

    /// Takes a seat on the flight for `target`, starting the fill if there is none. Says whether
    /// one was under way.
    pub(super) fn board(
        self: &Arc<Self>,
        key: &Key,
        target: &Target,
        seen: Option<Arc<Entry>>,
        identity: &ClientIdentity,
    ) -> (Seat, bool) {
        let (seat, pilot) = self.flights.board(key);
        let Some(pilot) = pilot else {
            return (seat, true);
        };
        self.launch(Fill {
            engine: Arc::clone(self),
            pilot,
            target: target.clone(),
            seen,
            identity: identity.clone(),
            awaited: true,
        });
        (seat, false)
    }

    /// Revalidates behind clients' backs, unless a fill is under way.
    pub(super) fn refresh(self: &Arc<Self>, key: &Key, target: &Target, seen: Option<Arc<Entry>>) {
        let (_seat, pilot) = self.flights.board(key);
        let Some(pilot) = pilot else { return };
        self.launch(Fill {
            engine: Arc::clone(self),
            pilot,
            target: target.clone(),
            seen,
            identity: ClientIdentity::default(),
            awaited: false,
        });
    }

    #[expect(clippy::unused_self, reason = "fills belong to an engine")]
    fn launch(&self, fill: Fill) {
        drop(tokio::spawn(fill.fly()));
    }

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

    /// Asks the feed, counting.
    pub(super) async fn fetch(&self, rule: &DocRule, fetch: Fetch<'_>) -> Result<Fetched, Error> {
        let feed = self.feed.name();
        let answer = self.feed.fetch(fetch).await;
        let outcome = match &answer {
            Ok(fetched) => {
                let seconds = fetched.latency.as_secs_f64();
                self.metrics
                    .upstream_seconds
                    .with_label_values(&[feed])
                    .observe(seconds);
                status_class(fetched.status.as_u16())
            }
            Err(error) => error.kind.name(),
        };
        self.metrics
            .upstream_requests
            .with_label_values(&[feed, rule.name, outcome])
            .inc();
        self.metrics.upstream_up.set(i64::from(answer.is_ok()));
        answer.map_err(|error| self.upstream_failed(&error))
    }

    /// Counts bytes that came from the feed.
    pub(super) fn count_upstream_bytes(&self, bytes: usize) {
        let counter = self
            .metrics
            .upstream_bytes
            .with_label_values(&[self.feed.name()]);
        counter.inc_by(bytes as u64);
    }

    /// Logs and counts a failure of the store, and says what a request makes of it.
    pub(super) fn store_failed(&self, operation: &'static str, error: &StoreError) -> Error {
        self.metrics
            .store_errors
            .with_label_values(&[operation])
            .inc();
        let cause = chain(error);
        tracing::error!(operation, cause, "the store failed");
        Error::internal(format!("the store failed: {cause}"))
    }

    /// What a request makes of a failure of the upstream.
    pub(super) fn upstream_failed(&self, error: &UpstreamError) -> Error {
        let cause = format!("feed {}: {error}", self.feed.name());
        match error.kind {
            Kind::TooLarge => Error::TooLarge(cause.into()),
            Kind::Timeout => Error::Upstream {
                cause: cause.into(),
                timeout: true,
            },
            _ => Error::Upstream {
                cause: cause.into(),
                timeout: false,
            },
        }
    }

    /// Whether the body that failed verification last time was the same.
    pub(super) fn seen_bad_before(&self, key: &Key, digest: Digest) -> bool {
        let before = self.strikes.get(key) == Some(digest);
        self.strikes.insert(key.clone(), digest);
        before
    }
}

/// `2xx`, `3xx` and so on.
pub(super) const fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// An error with everything underneath it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
