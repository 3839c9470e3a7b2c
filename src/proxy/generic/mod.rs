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
mod walk;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use http::{HeaderMap, Method};
use url::Url;

pub use answer::{Content, Response};
pub use route::{Route, RouteOptions};

use crate::clock::Clock;
use crate::observe::Metrics;
use crate::policy::class::Network;
use crate::policy::http::RequestDirectives;
use crate::proxy::backoff::Backoff;
use crate::proxy::error::Error;
use crate::store::Store;
use crate::upstream::RelayBody;
use errand::Errand;
use flight::Flights;
use shelf::Shelf;
use walk::Walk;

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
    /// Whether a body must be of known length (HTTP/1.0), where it can be.
    pub whole: bool,
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
            whole,
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
            whole,
            directives: RequestDirectives::default(),
            unreadable: None,
        };
        if !matches!(method, Method::GET | Method::HEAD) {
            return walk.pass(method, body).await;
        }
        let mut walk = walk;
        walk.directives = RequestDirectives::of(&walk.errand.request);
        walk.errand.no_store = walk.directives.no_store;
        for _ in 1..WALKS_MAX {
            match walk.get().await {
                Err(Error::Lost(lost)) => {
                    walk.unreadable = Some(lost);
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
