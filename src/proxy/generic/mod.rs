//! Generic routes: a shared HTTP cache (RFC 9111) in front of any upstream.
//!
//! [`Generic::serve`] is the path of a request. What may be stored and reused is decided in
//! `policy::http` by the response's own fields; bodies go through the same drafts and the same store
//! as NuGet's. Requests for what is not stored fly together as long as the answer may be for all of
//! them.

mod answer;
mod errand;
mod flight;
mod links;
mod route;
mod shelf;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use tokio::sync::oneshot;
use url::Url;

pub use answer::{Content, Response};
pub use route::{Route, RouteOptions};

use crate::clock::Clock;
use crate::entry::{Kept, Key};
use crate::observe::{CacheStatus, Metrics, StaleReason};
use crate::policy::class::Network;
use crate::policy::http::{
    Failure, Question, RequestDirectives, ResponseDirectives, Verdict, fields, reuse, vary,
};
use crate::proxy::backoff::Backoff;
use crate::proxy::error::Error;
use crate::store::Store;
use crate::upstream::{Answered, RelayBody, Relayed};
use errand::{Errand, Told};
use flight::{Flights, Phase, Pilot};
use shelf::Shelf;

/// How often a request is walked through when it meets damaged bodies.
const WALKS_MAX: usize = 4;

/// The generic routes of a daemon. Cheap to clone.
#[derive(Clone)]
pub struct Generic(Arc<Shared>);

/// What generic routes are built from.
pub struct GenericParts {
    /// Where bodies and responses are kept.
    pub store: Store,
    /// Where time comes from.
    pub clock: Clock,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// How much upstreams are asked at all.
    pub network: Network,
    /// The largest document whose links are changed, in bytes.
    pub document_size_max: u64,
    /// The routes that requests can name.
    pub routes: Vec<Route>,
}

/// A request on a generic route.
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its fields as received.
    pub headers: HeaderMap,
    /// Its body; that of GET and HEAD means nothing and is not passed on.
    pub body: RelayBody,
    /// Our URL of the route, ending in a slash: where links below the route lead.
    pub place: String,
}

/// What everyone on generic routes works with.
pub(super) struct Shared {
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    network: Network,
    document_size_max: u64,
    routes: HashMap<String, Arc<Route>>,
    shelf: Shelf,
    flights: Arc<Flights>,
    backoff: Backoff,
    /// Our name in `Via`, different for every daemon and run.
    pseudonym: String,
}

impl Generic {
    /// Generic routes that have asked nothing yet.
    pub fn new(parts: GenericParts) -> Self {
        let GenericParts {
            store,
            clock,
            metrics,
            network,
            document_size_max,
            routes,
        } = parts;
        let named = routes
            .into_iter()
            .map(|route| (route.options.name.clone(), Arc::new(route)));
        let instance = RandomState::new().hash_one(std::process::id());
        Self(Arc::new(Shared {
            shelf: Shelf::new(store.clone(), Arc::clone(&metrics)),
            routes: named.collect(),
            flights: Arc::default(),
            backoff: Backoff::default(),
            pseudonym: format!("nugate-{instance:016x}"),
            store,
            clock,
            metrics,
            network,
            document_size_max,
        }))
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.0.routes.get(name)
    }

    /// Whether a request has come by here before: it goes in circles.
    pub fn came_by(&self, headers: &HeaderMap) -> bool {
        route::came_by(headers, &self.0.pseudonym)
    }

    /// Answers a request on `route` for `url`, which the caller answers for.
    ///
    /// # Errors
    /// [`Error`] when there is no response to pass on.
    pub async fn serve(
        &self,
        route: &Arc<Route>,
        url: Url,
        request: Request,
    ) -> Result<Response, Error> {
        let shared = &self.0;
        let Request {
            method,
            headers,
            body,
            place,
        } = request;
        let headers = route.outgoing(headers, &shared.pseudonym);
        let walk = Walk {
            errand: Errand {
                shared: Arc::clone(shared),
                route: Arc::clone(route),
                uri: route.uri(&url),
                epoch: shared.shelf.epoch(&route.uri(&url)),
                url,
                no_store: false,
                seen: None,
                request: headers,
            },
            head: method == Method::HEAD,
            place,
            directives: RequestDirectives::default(),
        };
        if !matches!(method, Method::GET | Method::HEAD) {
            return walk.pass(method, body).await;
        }
        let mut walk = walk;
        walk.directives = RequestDirectives::of(&walk.errand.request);
        walk.errand.no_store = walk.directives.no_store;
        for _ in 1..WALKS_MAX {
            match walk.get().await {
                Err(Error::Lost(_)) => {
                    walk.errand.epoch = shared.shelf.epoch(&walk.errand.uri);
                    walk.errand.seen = None;
                }
                answer => return answer,
            }
        }
        walk.get().await
    }

    /// Waits until everything answered so far is stored.
    pub async fn quiet(&self) {
        self.0.flights.quiet().await;
    }
}

impl fmt::Debug for Generic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Generic").finish_non_exhaustive()
    }
}

/// One request on its way.
struct Walk {
    errand: Errand,
    head: bool,
    /// Our URL of the route.
    place: String,
    directives: RequestDirectives,
}

impl Walk {
    fn shared(&self) -> &Arc<Shared> {
        &self.errand.shared
    }

    fn question(&self) -> Question<'_> {
        Question {
            request: &self.directives,
            lifetimes: &self.errand.route.options.lifetimes,
            now: self.shared().clock.now(),
        }
    }

    /// GET or HEAD.
    async fn get(&mut self) -> Result<Response, Error> {
        if self.head || route::is_conditional(&self.errand.request) {
            // What is there to its last byte is worth the moment until it is stored.
            self.shared().flights.published(&self.errand.uri).await;
        }
        let shelved = self.shared().shelf.load(&self.errand.uri).await;
        let found = vary::select(&shelved, &self.errand.request).cloned();
        let sealed_off = self.shared().network == Network::Offline;
        let Some(kept) = found else {
            if self.directives.only_if_cached {
                return Err(Error::NotStored);
            }
            if sealed_off {
                return Err(Error::Offline { list: false });
            }
            let cache = if shelved.is_empty() {
                CacheStatus::Miss
            } else {
                CacheStatus::VaryMiss
            };
            return self.fetch(cache).await;
        };
        if sealed_off || self.shared().network == Network::PreferCache {
            return self.stored(&kept, CacheStatus::Hit).await;
        }
        match reuse::judge(&kept, &self.question()) {
            Verdict::Fresh | Verdict::Stale => return self.stored(&kept, CacheStatus::Hit).await,
            Verdict::Refresh => {
                self.refresh(&kept);
                return self.stored(&kept, CacheStatus::HitStale).await;
            }
            Verdict::Validate if self.directives.only_if_cached => return Err(Error::NotStored),
            Verdict::Validate => {}
        }
        let key = Key::new(self.errand.uri.as_str());
        let stands_in = reuse::stands_in(&kept, &self.question(), Failure::Unreachable);
        let resting = self.shared().backoff.holds(&key, self.question().now);
        if resting && stands_in && !self.directives.no_cache {
            let cache = CacheStatus::Stale(StaleReason::BackedOff);
            return self.stored(&kept, cache).await;
        }
        self.errand.seen = Some(kept);
        self.fetch(CacheStatus::Replaced).await
    }

    /// Asks the upstream, together with others where the answer may be for all.
    async fn fetch(&self, cache: CacheStatus) -> Result<Response, Error> {
        let errand = &self.errand;
        if self.head {
            return self.ask_head().await;
        }
        let partial = errand.seen.is_none() && route::is_conditional(&errand.request);
        let alone = partial
            || self.directives.no_store
            || route::is_for_origin(&errand.request)
            || errand.route.is_authorized(&errand.request);
        if alone {
            return self.alone(cache).await;
        }
        let variant = errand.seen.as_ref();
        let variant = variant.map_or(String::new(), |seen| vary::variant(&seen.selecting));
        let key = (errand.uri.clone(), variant);
        let (mut seat, pilot) = self.shared().flights.board(key);
        let Some(pilot) = pilot else {
            return self.join(seat, cache).await;
        };
        let (own, mine) = oneshot::channel();
        let busy = self.shared().flights.begin();
        tokio::spawn(fly(errand.clone(), pilot, own, busy));
        let known = seat
            .wait_for(|phase| !matches!(phase, Phase::Boarding))
            .await;
        let phase = known.map_or_else(|_| lost(), |phase| phase.clone());
        match phase {
            Phase::Confirmed(kept) => self.confirmed(&kept).await,
            Phase::Arriving(arrival) => self.arriving(arrival, cache).await,
            Phase::Failed(error) => self.failed(error).await,
            Phase::Unshared(_) | Phase::Boarding => match mine.await {
                Ok(answered) => self.unshared(answered).await,
                Err(_) => Err(Error::internal("an answer was lost")),
            },
        }
    }

    /// Waits for what another request was told, and asks anew where that is not for this one.
    async fn join(&self, mut seat: flight::Seat, cache: CacheStatus) -> Result<Response, Error> {
        let boarding = matches!(*seat.borrow(), Phase::Boarding);
        let known = seat
            .wait_for(|phase| !matches!(phase, Phase::Boarding))
            .await;
        let phase = known.map_or_else(|_| lost(), |phase| phase.clone());
        // An answer from before the request does not confirm anything to it.
        let shares = |kept: &Kept| {
            (boarding || !self.directives.no_cache)
                && vary::fits(&kept.selecting, &self.errand.request)
                && reuse::judge(kept, &self.collapsed()) == Verdict::Fresh
        };
        match phase {
            Phase::Confirmed(kept) if shares(&kept) => {
                self.shared().metrics.joins.inc();
                self.confirmed(&kept).await
            }
            Phase::Arriving(arrival) if shares(&arrival.kept) => {
                self.shared().metrics.joins.inc();
                self.arriving(arrival, CacheStatus::Joined).await
            }
            Phase::Failed(error) => self.failed(error).await,
            Phase::Unshared(status) if self.rides_out(status) => self.rode_out().await,
            _ => self.alone(cache).await,
        }
    }

    /// The question of a request that was waiting when the answer came: as new as can be.
    fn collapsed(&self) -> Question<'_> {
        const ANY: RequestDirectives = RequestDirectives {
            no_cache: false,
            no_store: false,
            only_if_cached: false,
            max_age: None,
            min_fresh: None,
            max_stale: None,
            stale_if_error: None,
        };
        Question {
            request: &ANY,
            ..self.question()
        }
    }

    /// Asks for this request alone.
    async fn alone(&self, cache: CacheStatus) -> Result<Response, Error> {
        match self.errand.ask().await {
            Ok(Told::Confirmed(kept)) => self.confirmed(&kept).await,
            Ok(Told::Unshared(answered)) => self.unshared(answered).await,
            Ok(Told::Storable(kept, answered)) => {
                if self.rides_out(kept.status) {
                    return self.rode_out().await;
                }
                let busy = self.shared().flights.begin();
                let errand = self.errand.clone();
                let (arrival, receiving) = errand.receive((kept, answered), None, busy);
                tokio::spawn(receiving);
                self.arriving(arrival, cache).await
            }
            Err(error) => self.failed(error).await,
        }
    }

    /// HEAD of what is not stored fresh: nothing but the fields of what is stored changes (RFC 9111
    /// section 4.3.5).
    async fn ask_head(&self) -> Result<Response, Error> {
        let (answered, requested) = match self.errand.send(&Method::HEAD, None).await {
            Ok(answer) => answer,
            Err(error) => return self.failed(error).await,
        };
        if let Some(seen) = &self.errand.seen
            && answered.status == StatusCode::OK
            && seen.status == 200
        {
            let (size, sent) = (seen.body.size, &answered.headers);
            if fields::same_representation(&seen.headers, size, sent) {
                let headers = fields::updated(&seen.headers, sent);
                self.errand.freshened(seen, headers, requested).await;
            } else {
                self.shared().shelf.forget(&self.errand.uri).await;
            }
        }
        self.unshared(answered).await
    }

    /// Any other method: passed on, and what it makes invalid is forgotten (section 4.4).
    async fn pass(&self, method: Method, body: RelayBody) -> Result<Response, Error> {
        let errand = &self.errand;
        if self.shared().network == Network::Offline {
            return Err(Error::Offline { list: false });
        }
        let safe = matches!(method, Method::OPTIONS | Method::TRACE);
        let request = Relayed {
            method,
            url: errand.url.clone(),
            headers: errand.request.clone(),
            body,
        };
        let mut answered = self.shared().relay(&errand.route, request).await?;
        fields::end_to_end(&mut answered.headers);
        if !safe && reuse::invalidates(answered.status.as_u16()) {
            self.invalidate(&answered.headers).await;
        }
        Ok(self.passing(answered, CacheStatus::Method))
    }

    /// The URL of the request, and those of its origin that the response names.
    async fn invalidate(&self, response: &HeaderMap) {
        let url = &self.errand.url;
        let named = [http::header::LOCATION, http::header::CONTENT_LOCATION]
            .into_iter()
            .filter_map(|name| response.get(name)?.to_str().ok())
            .filter_map(|reference| url.join(reference).ok())
            .filter(|named| named.origin() == url.origin());
        for mut url in named.chain([url.clone()]).collect::<Vec<_>>() {
            url.set_fragment(None);
            let uri = self.errand.route.uri(&url);
            self.shared().flights.detach(&uri);
            self.shared().shelf.forget(&uri).await;
        }
    }

    /// Brings a stored response up to date behind its clients' backs.
    fn refresh(&self, kept: &Arc<Kept>) {
        let errand = Errand {
            seen: Some(Arc::clone(kept)),
            ..self.errand.clone()
        };
        if errand.no_store || errand.route.is_authorized(&errand.request) {
            return;
        }
        let key = (errand.uri.clone(), vary::variant(&kept.selecting));
        let key_of_rest = Key::new(errand.uri.as_str());
        if self
            .shared()
            .backoff
            .holds(&key_of_rest, self.question().now)
        {
            return;
        }
        let (_seat, pilot) = self.shared().flights.board(key);
        if let Some(pilot) = pilot {
            let busy = self.shared().flights.begin();
            let (own, _) = oneshot::channel();
            tokio::spawn(fly(errand, pilot, own, busy));
        }
    }

    /// Whether what is stored is served instead of an answer of this status (RFC 5861 section 4).
    fn rides_out(&self, status: u16) -> bool {
        let failed = matches!(status, 500 | 502 | 503 | 504);
        let seen = self.errand.seen.as_deref();
        failed
            && seen
                .is_some_and(|seen| reuse::stands_in(seen, &self.question(), Failure::ServerError))
    }

    async fn rode_out(&self) -> Result<Response, Error> {
        match &self.errand.seen {
            Some(seen) => {
                let cache = CacheStatus::Stale(StaleReason::Error);
                self.stored(seen, cache).await
            }
            None => Err(Error::internal("nothing is stored")),
        }
    }

    async fn failed(&self, error: Error) -> Result<Response, Error> {
        let shared = self.shared();
        let key = Key::new(self.errand.uri.as_str());
        let Some(seen) = &self.errand.seen else {
            return Err(error);
        };
        if !reuse::stands_in(seen, &self.question(), Failure::Unreachable) {
            return Err(error);
        }
        shared.backoff.failed(&key, self.question().now);
        let mut response = self
            .stored(seen, CacheStatus::Stale(StaleReason::Error))
            .await?;
        response.cause = Some(error.to_string().into());
        Ok(response)
    }
}

/// A question for all who wait for it.
async fn fly(errand: Errand, pilot: Pilot, own: oneshot::Sender<Answered>, busy: flight::Busy) {
    let told = errand.ask().await;
    if told.is_ok() {
        errand
            .shared
            .backoff
            .answered(&Key::new(errand.uri.as_str()));
    }
    match told {
        Ok(Told::Confirmed(kept)) => pilot.announce(Phase::Confirmed(kept)),
        Ok(Told::Storable(kept, answered)) if !covers_up(&errand, kept.status) => {
            let receiving = errand.clone();
            let (_, pour) = receiving.receive((kept, answered), Some(pilot), busy);
            pour.await;
        }
        Ok(Told::Storable(_, answered) | Told::Unshared(answered)) => {
            let status = answered.status.as_u16();
            // Whoever asked may have gone.
            let _ = own.send(answered);
            pilot.announce(Phase::Unshared(status));
        }
        Err(error) => pilot.announce(Phase::Failed(error)),
    }
}

/// Whether storing an error would cover up something that may be served in its place.
fn covers_up(errand: &Errand, status: u16) -> bool {
    let failed = matches!(status, 500 | 502 | 503 | 504);
    let spared = |seen: &Arc<Kept>| {
        let directives = ResponseDirectives::of(&seen.headers);
        directives.may_be_stale() && !directives.stale_if_error.is_zero()
    };
    failed && errand.seen.as_ref().is_some_and(spared)
}

fn lost() -> Phase {
    Phase::Failed(Error::internal("the request ended without an answer"))
}
