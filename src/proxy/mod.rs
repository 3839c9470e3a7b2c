//! The engine: walks a request through rules, store and upstream.
//!
//! Control flow lives in [`Proxy::serve`] and in the fill; everything they call is either pure or
//! one step of I/O. The engine decides nothing itself and knows no HTTP status.

mod again;
mod along;
mod backoff;
mod discovery;
mod doubt;
mod engine;
mod error;
mod fill;
mod flight;
mod gallery;
pub mod generic;
mod head;
mod incoming;
mod locate;
mod offload;
mod options;
mod outdated;
mod parts;
mod pass;
mod pass_through;
mod peek;
mod present;
mod publish;
mod read;
mod reply;
mod resume;
mod settle;
mod silence;
mod standing;
mod stated;
mod stock;
mod verify;
mod views;

use std::sync::Arc;
use std::time::Duration;

pub use again::{Again, Continued};
pub use error::Error;
pub use flight::Seat;
pub use offload::offload;
pub use options::{Options, Tuning};
pub use pass::{PASSED, PassReply, PassRequest};
pub use peek::Peek;
pub use publish::{PublishError, Relayed, Submission};
pub use reply::{Body, Reply, Request};
pub use standing::Standing;
pub use views::{Rendered, encode};

use crate::clock::Clock;
use crate::entry::{Entry, Key, Stored};
use crate::nuget::resource::View;
use crate::nuget::route::Target;
use crate::observe::{CacheStatus, Metrics, StaleReason};
use crate::policy::class::Network;
use crate::policy::judge::Question;
use crate::policy::{Answer, Step, Verdict, absorb, judge};
use crate::store::{Degraded, Store, Totals};
use crate::upstream::Feed;
use engine::{Engine, Seen};
use flight::{Outcome, Phase};

/// How often a request is walked through when it meets damaged bodies.
const WALKS_MAX: usize = 4;

/// How often a request boards a flight that is passed on and whose beginning is gone.
const BOARDINGS_MAX: usize = 8;

/// The engine behind all listeners of a daemon. Cheap to clone.
#[derive(Clone)]
pub struct Proxy(Arc<Engine>);

/// What a proxy is built from.
pub struct Parts {
    /// Where documents and packages are kept.
    pub store: Store,
    /// The upstream.
    pub feed: Feed,
    /// Where time comes from.
    pub clock: Clock,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Settings.
    pub options: Options,
}

impl Proxy {
    /// A proxy over these parts; asks the upstream nothing yet.
    pub async fn new(parts: Parts) -> Self {
        let Parts {
            store,
            feed,
            clock,
            metrics,
            options,
        } = parts;
        Self(Engine::new((store, feed), clock, metrics, options).await)
    }

    /// Walks a request to its document: the one path.
    ///
    /// # Errors
    /// [`Error`] when there is no document to serve.
    pub async fn serve(&self, request: &Request) -> Result<Reply, Error> {
        let engine = &self.0;
        if request.target.rule.view == View::ServiceIndex {
            engine.connect_ahead();
        }
        let key = request.target.key(engine.feed.name());
        let mut result = self.walk(request, &key, None).await;
        for _ in 1..WALKS_MAX {
            // A damaged body is a miss that heals itself.
            let Err(Error::Lost(lost)) = result else {
                break;
            };
            result = self.walk(request, &key, Some(lost)).await;
        }
        match result {
            Err(error) if stock::may_answer(request.target.rule, &error) => {
                self.out_of_stock(request, error).await
            }
            result => result,
        }
    }

    async fn walk(
        &self,
        request: &Request,
        key: &Key,
        lost: Option<Stored>,
    ) -> Result<Reply, Error> {
        let engine = &self.0;
        let entry = engine.lookup(key).await;
        let entry = entry.filter(|entry| lost.is_none() || entry.body != lost);
        // What was not there may be there now, and an outage must not deny it.
        let entry = entry.filter(|entry| !entry.is_absent() || !self.is_outdated(request, entry));
        let verdict = self.judge(key, entry.as_deref(), request);
        let (entry, cache) = match (verdict, entry) {
            (Verdict::Absent, Some(entry)) => {
                engine.probe(key, &request.target, &entry);
                return Err(Error::RememberedNotFound);
            }
            (Verdict::Refuse, _) => return Err(self.refusal(request)),
            (Verdict::Fresh, Some(entry)) => {
                return engine.present_fresh(request, key, entry).await;
            }
            (Verdict::FreshEnough, Some(entry)) => {
                engine.refresh(key, &request.target, Some(Arc::clone(&entry)));
                (entry, CacheStatus::HitStale)
            }
            (Verdict::BackedOff, Some(entry)) => {
                engine.probe(key, &request.target, &entry);
                (entry, CacheStatus::Stale(StaleReason::BackedOff))
            }
            (_, entry) => {
                let seen = match (entry, lost) {
                    (None, Some(lost)) => Seen::Lost(lost),
                    (entry, _) => Seen::Entry(entry),
                };
                return self.ask(request, key, seen).await;
            }
        };
        engine.present_stored(request, &entry, cache).await
    }

    fn judge(&self, key: &Key, entry: Option<&Entry>, request: &Request) -> Verdict {
        let options = &self.0.options;
        let now = self.0.clock.now();
        let mut directives = request.directives;
        directives.no_cache &= options.honour_no_cache;
        judge(
            entry,
            &Question {
                key,
                class: request.target.rule.class,
                freshness: &self.0.freshness(),
                network: options.network,
                directives,
                outdated: entry.is_some_and(|entry| self.is_outdated(request, entry)),
                backing_off: self.0.is_backing_off(key, entry),
                now,
            },
        )
    }

    fn is_outdated(&self, request: &Request, entry: &Entry) -> bool {
        self.0.is_outdated(&request.target, entry.checked_at)
    }

    fn refusal(&self, request: &Request) -> Error {
        if self.0.options.network == Network::Offline {
            Error::Offline {
                list: request.target.rule.negative,
            }
        } else {
            Error::NotStored
        }
    }

    /// Joins or starts the flight for a document and serves what it brings.
    async fn ask(&self, request: &Request, key: &Key, seen: Seen) -> Result<Reply, Error> {
        for _ in 0..BOARDINGS_MAX {
            if let Some(reply) = self.ask_once(request, key, seen.clone()).await? {
                return Ok(reply);
            }
        }
        Err(Error::internal(
            "what is passed on was gone again and again",
        ))
    }

    /// `None` when it joined a flight too late: what it brings is not kept, and its beginning gone.
    async fn ask_once(
        &self,
        request: &Request,
        key: &Key,
        seen: Seen,
    ) -> Result<Option<Reply>, Error> {
        let engine = &self.0;
        let stored = match &seen {
            Seen::Entry(entry) => entry.clone().filter(|entry| !entry.is_absent()),
            Seen::Lost(_) => None,
        };
        let raw = request.target.rule.view == View::Raw;
        if request.head && raw && stored.is_none() && !engine.flights.is_under_way(key) {
            return self.ask_head(request).await.map(Some);
        }
        let (mut seat, joined) = engine.board(key, &request.target, seen, &request.identity);
        let arrived = match (joined, seat.has_landed()) {
            (false, _) => CacheStatus::Miss,
            // It is about to be published; nothing more is asked of the upstream.
            (true, true) => CacheStatus::Hit,
            (true, false) => CacheStatus::Joined,
        };
        if joined {
            engine.metrics.joins.inc();
        }
        let streaming = raw && !request.whole;
        let phase = match &stored {
            Some(entry) if self.may_stand_in(entry, request) => {
                let patience = engine.silence.patience();
                let waited = tokio::time::timeout(patience, seat.wait(streaming)).await;
                let Ok(phase) = waited else {
                    engine.silence.waited(patience);
                    let cache = CacheStatus::Stale(StaleReason::Slow);
                    return engine.present_stored(request, entry, cache).await.map(Some);
                };
                phase
            }
            _ => seat.wait(streaming).await,
        };
        match phase {
            Phase::Landed(outcome) if outcome.is_gone() => Ok(None),
            Phase::Landed(outcome) => {
                let reply = self.land(request, outcome, arrived).await?;
                Ok(Some(self.continued(request, reply)))
            }
            Phase::Streaming(arrival) => {
                let Some(reader) = arrival.draft.reader() else {
                    engine.flights.leave(key, &seat);
                    return Ok(None);
                };
                let reply = engine.present_arrival(&arrival, (reader, seat), arrived);
                Ok(Some(self.continued(request, reply)))
            }
            Phase::Boarding => Err(Error::internal("a flight ended before it began")),
        }
    }

    /// The same reply, which can be asked for again when it falls behind.
    fn continued(&self, request: &Request, mut reply: Reply) -> Reply {
        if let Body::Draft { again, .. } = &mut reply.body {
            *again = Some(Again::new(self, request, reply.etag.clone()));
        }
        reply
    }

    /// Whether a stored body may be served in place of an answer that takes too long: as for an
    /// upstream that fails.
    fn may_stand_in(&self, entry: &Entry, request: &Request) -> bool {
        let rule = request.target.rule;
        let (kind, now) = ((rule.class, rule.negative), self.0.clock.now());
        let freshness = &self.0.freshness();
        // Who pushed a version a moment ago waits for it.
        !self.is_outdated(request, entry)
            && absorb(Answer::Unavailable, Some(entry), kind, freshness, now) == Step::ServeStale
    }

    async fn land(
        &self,
        request: &Request,
        outcome: Outcome,
        arrived: CacheStatus,
    ) -> Result<Reply, Error> {
        let engine = &self.0;
        match outcome {
            Outcome::Failed(error) => Err(error),
            Outcome::Body {
                entry,
                draft: Some(draft),
            } => engine.present_draft(request, &entry, &draft, arrived).await,
            Outcome::Body { entry, draft: None } => {
                engine
                    .present_stored(request, &entry, CacheStatus::Revalidated)
                    .await
            }
            Outcome::Stale {
                entry,
                reason,
                cause,
            } => {
                let stale = CacheStatus::Stale(reason);
                let mut reply = engine.present_stored(request, &entry, stale).await?;
                reply.warning = Some(cause);
                Ok(reply)
            }
        }
    }

    /// Brings the service index up to date behind everyone's back if its lifetime is over.
    ///
    /// # Errors
    /// What keeps it from being known at all.
    pub async fn keep_index_fresh(&self) -> Result<(), Error> {
        let engine = &self.0;
        let target = Target::service_index();
        let key = target.key(engine.feed.name());
        engine.discovered().await?;
        let entry = engine.lookup(&key).await;
        let due = entry.as_deref().is_some_and(|entry| {
            let age = engine.clock.now().since(entry.checked_at);
            age >= engine.freshness().index.fresh / 2
        });
        if due && engine.options.network == Network::Online {
            engine.refresh(&key, &target, entry);
        }
        Ok(())
    }

    /// The feed's name and URL.
    pub fn feed(&self) -> (&str, &url::Url) {
        (self.0.feed.name(), self.0.feed.url())
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Where time comes from.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// What the store holds.
    pub fn totals(&self) -> Totals {
        self.0.store.totals()
    }

    /// Why the store takes nothing at the moment, if that is so.
    pub fn degraded(&self) -> Option<Degraded> {
        self.0.store.degraded()
    }

    /// Waits until no fill is under way: until everything answered so far is stored.
    pub async fn quiet(&self) {
        self.0.flights.quiet().await;
    }

    /// Waits until no fill is under way, at most `limit`, and until the store has written
    /// everything down.
    pub async fn close(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.quiet()).await.is_err() {
            tracing::warn!("fills were cut off: the time to stop is over");
        }
        self.0.store.close().await;
    }
}
