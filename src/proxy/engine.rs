//! What fills and requests work with: the store, the feed, the rules, and the little state between
//! them. Single steps only; the order of steps is in `serve` and `fill`.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use moka::sync::Cache;
use url::Url;

use crate::clock::{Clock, Time};
use crate::entry::{Digest, Entry, Key, Stored};
use crate::nuget::resource::{DocRule, View};
use crate::nuget::route::Target;
use crate::observe::{Metrics, status_class};
use crate::policy::class::Class;
use crate::proxy::along::Verifiers;
use crate::proxy::backoff::Backoff;
use crate::proxy::discovery::Discovery;
use crate::proxy::error::Error;
use crate::proxy::fill::Fill;
use crate::proxy::flight::{Flights, Seat};
use crate::proxy::locate::bases_note;
use crate::proxy::options::{Live, Options};
use crate::proxy::outdated::{Outdated, outdated_note};
use crate::proxy::parts::Parts;
use crate::proxy::silence::Silence;
use crate::proxy::stated::StatedDigests;
use crate::proxy::stock::Stocks;
use crate::proxy::views::Views;
use crate::store::{Finished, Store, StoreError, StoreErrorKind};
use crate::upstream::{ClientIdentity, Feed, Fetch, Fetched, Kind, UpstreamError, authority};

/// Keys whose last body failed verification, with its digest.
const STRIKES_MAX: u64 = 1024;

/// What was found stored when a question arose.
#[derive(Clone)]
pub(super) enum Seen {
    /// This, or nothing.
    Entry(Option<Arc<Entry>>),
    /// Something whose body is missing or damaged.
    Lost(Stored),
}

/// Everything built once at start.
pub(super) struct Engine {
    pub(super) store: Store,
    pub(super) feed: Feed,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: Options,
    pub(super) live: Live,
    pub(super) flights: Arc<Flights>,
    pub(super) views: Views,
    pub(super) discovery: Discovery,
    pub(super) backoff: Backoff,
    pub(super) silence: Silence,
    pub(super) stated: StatedDigests,
    pub(super) stocks: Stocks,
    pub(super) outdated: Outdated,
    pub(super) parts: Parts,
    pub(super) verifiers: Verifiers,
    strikes: Cache<Key, Digest>,
}

impl Engine {
    /// An engine that knows the bases an earlier run wrote down.
    pub(super) async fn new(
        (store, feed): (Store, Feed),
        clock: Clock,
        metrics: Arc<Metrics>,
        mut options: Options,
    ) -> Arc<Self> {
        let live = Live {
            freshness: ArcSwap::from_pointee(feed.lifetimes(options.freshness)),
            push_key: ArcSwapOption::new(options.push_key.take().map(Arc::new)),
        };
        let feed = feed.observed(clock.clone(), Arc::clone(&metrics));
        let older = store
            .recall(&bases_note(feed.name()))
            .await
            .ok()
            .flatten()
            .unwrap_or_default();
        let older = serde_json::from_slice(&older).unwrap_or_default();
        let note = outdated_note(feed.name());
        let outdated = store.recall(&note).await.ok().flatten();
        Arc::new(Self {
            views: Views::new(options.memory, &metrics.evictions),
            discovery: Discovery::new(older),
            flights: Arc::default(),
            backoff: Backoff::default(),
            silence: Silence::default(),
            stated: StatedDigests::default(),
            stocks: Stocks::default(),
            outdated: Outdated::new(&outdated.unwrap_or_default()),
            parts: Parts::default(),
            verifiers: Verifiers::default(),
            strikes: Cache::new(STRIKES_MAX),
            store,
            feed,
            clock,
            metrics,
            options,
            live,
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

    /// Seals a verified body and makes its entry visible; that of a `package` outlives the index.
    pub(super) async fn publish(
        &self,
        key: &Key,
        finished: &Finished,
        entry: Entry,
        package: bool,
    ) {
        let _sealed = match self.store.seal(finished).await {
            Ok(sealed) => sealed,
            Err(error) => return drop(self.store_failed("seal", &error)),
        };
        let written = if package {
            self.store.put_lasting(key, entry).await
        } else {
            self.store.put(key, entry).await
        };
        if let Err(error) = written {
            self.store_failed("write", &error);
        }
    }

    /// Forgets what is stored for a key if its body is `lost`, so that it is fetched anew; unless it
    /// has been healed meanwhile. Says whether what is stored cannot be read, be it for now only. For
    /// the fill that holds the key alone: another fill could confirm or publish the very body that is
    /// being removed.
    pub(super) async fn forget_lost(&self, key: &Key, target: &Target, lost: Stored) -> bool {
        let stored = self.lookup(key).await.and_then(|entry| entry.body);
        if stored != Some(lost) {
            return false;
        }
        match self.unreadable(&lost, target).await {
            None => return false,
            Some(StoreErrorKind::Missing | StoreErrorKind::Damaged) => {}
            Some(_) => return true,
        }
        tracing::warn!(%key, "a stored body is missing or damaged; it is fetched anew");
        if let Err(error) = self.store.discard(&lost).await {
            self.store_failed("discard", &error);
        }
        self.remove(key).await;
        true
    }

    /// Removes an entry; a store that cannot is counted.
    pub(super) async fn remove(&self, key: &Key) {
        if let Err(error) = self.store.remove(key).await {
            self.store_failed("remove", &error);
        }
    }

    async fn unreadable(&self, stored: &Stored, target: &Target) -> Option<StoreErrorKind> {
        let error = match target.rule.view {
            View::Raw => self.store.body(stored).await.err(),
            _ => self.store.document(stored).await.err(),
        };
        error.map(|error| error.kind)
    }

    /// Takes a seat on the flight for `target`, starting the fill if there is none. Says whether
    /// one was under way.
    pub(super) fn board(
        self: &Arc<Self>,
        key: &Key,
        target: &Target,
        seen: Seen,
        identity: &ClientIdentity,
    ) -> (Seat, bool) {
        self.flights
            .retire(key, |began| self.is_outdated(target, began));
        let (seat, pilot) = self.flights.board(key, self.clock.now());
        let Some(pilot) = pilot else {
            return (seat, true);
        };
        let (seen, lost) = match seen {
            Seen::Entry(seen) => (seen, None),
            Seen::Lost(lost) => (None, Some(lost)),
        };
        self.launch(Fill {
            engine: Arc::clone(self),
            pilot,
            target: target.clone(),
            seen,
            lost,
            identity: identity.clone(),
            awaited: true,
            underway: false.into(),
        });
        (seat, false)
    }

    /// Revalidates behind clients' backs, unless a fill is under way.
    pub(super) fn refresh(self: &Arc<Self>, key: &Key, target: &Target, seen: Option<Arc<Entry>>) {
        let (_seat, pilot) = self.flights.board(key, self.clock.now());
        let Some(pilot) = pilot else { return };
        self.launch(Fill {
            engine: Arc::clone(self),
            pilot,
            target: target.clone(),
            seen,
            lost: None,
            identity: ClientIdentity::default(),
            awaited: false,
            underway: false.into(),
        });
    }

    #[expect(clippy::unused_self, reason = "fills belong to an engine")]
    fn launch(&self, fill: Fill) {
        drop(tokio::spawn(fill.fly()));
    }

    /// Whether something was done upstream through nugate since `checked_at` that changes this
    /// document.
    pub(super) fn is_outdated(&self, target: &Target, checked_at: Time) -> bool {
        self.outdated.covers(target, checked_at, self.clock.now())
    }

    /// Whether what is stored is served without asking: its last refresh failed a moment ago, or
    /// the host it is from is left alone.
    pub(super) fn is_backing_off(&self, key: &Key, entry: Option<&Entry>) -> bool {
        self.backoff.holds(key, self.clock.now())
            || entry.is_some_and(|entry| self.feed.is_left_alone(&entry.url))
    }

    /// Finds out behind clients' backs whether the host answers again, if it is time to.
    pub(super) fn probe(self: &Arc<Self>, key: &Key, target: &Target, entry: &Arc<Entry>) {
        if self.feed.is_probe_due(&entry.url) && !self.backoff.holds(key, self.clock.now()) {
            self.refresh(key, target, Some(Arc::clone(entry)));
        }
    }

    /// Asks the feed, counting.
    pub(super) async fn fetch(&self, rule: &DocRule, fetch: Fetch<'_>) -> Result<Fetched, Error> {
        let feed = self.feed.name();
        let answer = self.feed.fetch(fetch).await;
        let outcome = match &answer {
            Ok(fetched) => {
                self.silence.answered(fetched.latency);
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
        match answer.as_ref().err().map(|error| error.kind) {
            // Not asked at all.
            Some(Kind::Busy | Kind::Open | Kind::Limited | Kind::Throttled) => {}
            None | Some(Kind::Status(_) | Kind::TooLarge | Kind::Redirect | Kind::BadEncoding) => {
                self.metrics.upstream_up.with_label_values(&[feed]).set(1);
            }
            Some(_) => self.metrics.upstream_up.with_label_values(&[feed]).set(0),
        }
        answer.map_err(|error| match self.upstream_failed(&error) {
            // A restore that is told 429 fails; who searches can wait.
            Error::LeftAlone { cause, seconds, .. } => Error::LeftAlone {
                cause,
                seconds,
                limited: error.kind != Kind::Open && rule.class == Class::Query,
            },
            failed => failed,
        })
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
        if self.store.degraded().is_some() {
            // Said once, when it began.
            tracing::debug!(operation, cause, "the store failed");
        } else {
            tracing::error!(operation, cause, "the store failed");
        }
        Error::internal(format!("the store failed: {cause}"))
    }

    /// What a request makes of a failure of the upstream.
    pub(super) fn upstream_failed(&self, error: &UpstreamError) -> Error {
        let cause = format!("feed {}: {error}", self.feed.name()).into();
        let left_alone = matches!(
            error.kind,
            Kind::Open | Kind::Limited | Kind::Throttled | Kind::Status(429 | 503)
        );
        let wish = error.retry_after.filter(|wish| !wish.is_zero());
        match (error.kind, wish.filter(|_| left_alone)) {
            (_, Some(wish)) => Error::LeftAlone {
                cause,
                seconds: u64::try_from(wish.as_millis().div_ceil(1000)).unwrap_or(1),
                limited: false,
            },
            (Kind::TooLarge, _) => Error::TooLarge(cause),
            (kind, None) => Error::Upstream {
                cause,
                timeout: kind.is_timeout(),
            },
        }
    }

    /// What a request makes of a feed that answered `status` to nugate's own question for `url`.
    pub(super) fn denied(&self, status: u16, url: &Url) -> Error {
        let (feed, host) = (self.feed.name(), authority(url));
        Error::unusable(format!(
            "feed {feed} answered {status} to nugate itself at {host}: its credential \
             (feeds.{feed}.auth) is missing, wrong, or not for this host \
             (feeds.{feed}.credential_hosts)"
        ))
    }

    /// Whether the last body failed verification: a cache on the way may keep it.
    pub(super) fn has_struck(&self, key: &Key) -> bool {
        self.strikes.contains_key(key)
    }

    /// Whether the body that failed verification last time was the same.
    pub(super) fn seen_before(&self, key: &Key, digest: Digest) -> bool {
        let before = self.strikes.get(key) == Some(digest);
        self.strikes.insert(key.clone(), digest);
        before
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
