//! One request on a generic route, from what is stored or from the upstream.
//!
//! Order of steps only: the rules are in `policy::http`, the question to the upstream in `errand`,
//! what goes out in `answer`.

use std::sync::Arc;

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::oneshot;

use super::answer::Response;
use super::errand::{Errand, Told};
use super::flight::{Busy, Phase, Pilot, Seat};
use super::{Shared, route};
use crate::entry::{Kept, Key, Stored};
use crate::observe::{CacheStatus, StaleReason};
use crate::policy::class::Network;
use crate::policy::http::{
    Failure, Question, RequestDirectives, ResponseDirectives, Verdict, fields, reuse, vary,
};
use crate::proxy::error::Error;
use crate::upstream::{Answered, RelayBody, Relayed};

/// One request on its way.
pub(super) struct Walk {
    pub(super) errand: Errand,
    /// Whether it is a HEAD.
    pub(super) head: bool,
    /// Our URL of the route.
    pub(super) place: String,
    /// Whether a body must be of known length.
    pub(super) whole: bool,
    /// What it asks for.
    pub(super) directives: RequestDirectives,
    /// A stored body that cannot be read.
    pub(super) unreadable: Option<Stored>,
}

impl Walk {
    pub(super) fn shared(&self) -> &Arc<Shared> {
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
    pub(super) async fn get(&mut self) -> Result<Response, Error> {
        if self.head || route::is_conditional(&self.errand.request) {
            // What is there to its last byte is worth the moment until it is stored.
            self.shared().flights.published(&self.errand.uri).await;
        }
        let shelved = self.shared().shelf.load(&self.errand.uri).await;
        let found = vary::select(&shelved, &self.errand.request).cloned();
        let found = found.filter(|kept| Some(kept.body) != self.unreadable);
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
            Phase::Arriving(arrival) => match arrival.draft.reader() {
                Some(reader) => self.arriving((arrival, reader), cache).await,
                None => self.alone(cache).await,
            },
            Phase::Failed(error) => self.failed(error).await,
            Phase::Unshared(_) | Phase::Boarding => match mine.await {
                Ok(answered) => self.unshared(answered).await,
                Err(_) => Err(Error::internal("an answer was lost")),
            },
        }
    }

    /// Waits for what another request was told, and asks anew where that is not for this one.
    async fn join(&self, mut seat: Seat, cache: CacheStatus) -> Result<Response, Error> {
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
                let Some(reader) = arrival.draft.reader() else {
                    // It is passed on, and its beginning is gone.
                    return self.alone(cache).await;
                };
                self.shared().metrics.joins.inc();
                self.arriving((arrival, reader), CacheStatus::Joined).await
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
        match self.errand.ask_and_rest().await {
            Ok(Told::Confirmed(kept)) => self.confirmed(&kept).await,
            Ok(Told::Unshared(answered)) => self.unshared(answered).await,
            Ok(Told::Storable(kept, answered)) => {
                if self.rides_out(kept.status) {
                    return self.rode_out().await;
                }
                let busy = self.shared().flights.begin();
                let errand = self.errand.clone();
                let (arrival, receiving) = errand.receive((kept, answered), None, busy);
                let reader = arrival.draft.reader();
                tokio::spawn(receiving);
                let gone = || Error::internal("what was passed on is gone");
                let reader = reader.ok_or_else(gone)?;
                self.arriving((arrival, reader), cache).await
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
    pub(super) async fn pass(&self, method: Method, body: RelayBody) -> Result<Response, Error> {
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
        Ok(self.passing(answered, CacheStatus::Relayed))
    }

    /// The URL of the request, and those of its origin that the response names.
    async fn invalidate(&self, response: &HeaderMap) {
        let url = &self.errand.url;
        let named = [LOCATION, CONTENT_LOCATION]
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
    pub(super) fn rides_out(&self, status: u16) -> bool {
        let failed = matches!(status, 500 | 502 | 503 | 504);
        let seen = self.errand.seen.as_deref();
        failed
            && seen
                .is_some_and(|seen| reuse::stands_in(seen, &self.question(), Failure::ServerError))
    }

    pub(super) async fn rode_out(&self) -> Result<Response, Error> {
        match &self.errand.seen {
            Some(seen) => {
                let cache = CacheStatus::Stale(StaleReason::Error);
                self.stored(seen, cache).await
            }
            None => Err(Error::internal("nothing is stored")),
        }
    }

    pub(super) async fn failed(&self, error: Error) -> Result<Response, Error> {
        let Some(seen) = &self.errand.seen else {
            return Err(error);
        };
        if !reuse::stands_in(seen, &self.question(), Failure::Unreachable) {
            return Err(error);
        }
        let mut response = self
            .stored(seen, CacheStatus::Stale(StaleReason::Error))
            .await?;
        response.cause = Some(error.to_string().into());
        Ok(response)
    }
}

/// A question for all who wait for it.
async fn fly(errand: Errand, pilot: Pilot, own: oneshot::Sender<Answered>, busy: Busy) {
    match errand.ask_and_rest().await {
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
