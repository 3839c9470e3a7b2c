//! One question to the upstream of a route: what its answer means, and the body on its way into the
//! store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::clock::Time;
use crate::entry::{Digest, Kept, Key, Stored};
use crate::observe::status_class;
use crate::policy::http::storable::{self, Asked};
use crate::policy::http::{ResponseDirectives, fields, freshness, vary};
use crate::proxy::error::Error;
use crate::proxy::generic::Shared;
use crate::proxy::generic::flight::{Arrival, Busy, Phase, Pilot};
use crate::proxy::generic::route::{Route, confirming};
use crate::store::{DraftWriter, Finished, Keep};
use crate::upstream::{Answered, Kind, Relayed, UpstreamError, no_body};

/// Bytes gathered before they are written: one hop to the blocking pool for each.
const BATCH: usize = 256 * 1024;

/// How often it is looked whether anybody still waits for what has no room.
const TICK: Duration = Duration::from_millis(500);

/// How often a document waits so for memory: nobody reads it before it is whole.
const TICKS_MAX: u32 = 60;

/// A deserted body is received to its end when less than this is missing.
const NEARLY_DONE: u64 = 1 << 20;

/// One question.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) shared: Arc<Shared>,
    pub(super) route: Arc<Route>,
    pub(super) url: Url,
    /// Under which name the answer is stored.
    pub(super) uri: String,
    /// Fields of the request as they are passed on.
    pub(super) request: HeaderMap,
    /// A stored response to be confirmed.
    pub(super) seen: Option<Arc<Kept>>,
    /// Whether the request said `no-store`.
    pub(super) no_store: bool,
    /// When nothing under way was out of date.
    pub(super) epoch: u64,
}

/// What the head of an answer means.
pub(super) enum Told {
    /// The stored response is right, and has these fields now.
    Confirmed(Arc<Kept>),
    /// It may be stored; the body follows.
    Storable(Kept, Answered),
    /// It may not; the body follows.
    Unshared(Answered),
}

impl Errand {
    /// [`Errand::ask`]; a URI whose upstream failed rests for a while.
    pub(super) async fn ask_and_rest(&self) -> Result<Told, Error> {
        let told = self.ask().await;
        let (key, backoff) = (Key::new(self.uri.as_str()), &self.shared.backoff);
        match &told {
            Ok(_) => backoff.answered(&key),
            Err(_) if self.seen.is_some() => backoff.failed(&key, self.shared.clock.now()),
            Err(_) => {}
        }
        told
    }

    /// Asks, and waits for the head of the answer.
    async fn ask(&self) -> Result<Told, Error> {
        let seen = self.seen.as_deref();
        let (answered, requested) = self.send(&Method::GET, seen).await?;
        if answered.status != StatusCode::NOT_MODIFIED {
            return Ok(self.judge(answered, requested).await);
        }
        let Some(seen) = &self.seen else {
            return Ok(Told::Unshared(answered));
        };
        if fields::confirms(&seen.headers, &answered.headers) {
            let headers = fields::updated(&seen.headers, &answered.headers);
            return Ok(Told::Confirmed(
                self.freshened(seen, headers, requested).await,
            ));
        }
        // It confirms something else than what is stored: that is fetched.
        let (answered, requested) = self.send(&Method::GET, None).await?;
        Ok(self.judge(answered, requested).await)
    }

    /// Passes a request on, with the conditions of `seen`, and counts it. The fields of the answer
    /// are those that are for us and our clients.
    pub(super) async fn send(
        &self,
        method: &Method,
        seen: Option<&Kept>,
    ) -> Result<(Answered, Time), Error> {
        let headers = match &self.seen {
            Some(_) => confirming(&self.request, seen),
            None => self.request.clone(),
        };
        let request = Relayed {
            method: method.clone(),
            url: self.url.clone(),
            headers,
            body: no_body(),
        };
        let requested = self.shared.clock.now();
        let mut answered = self.shared.relay(&self.route, request).await?;
        fields::end_to_end(&mut answered.headers);
        if !answered.headers.contains_key(DATE) {
            // RFC 9110 section 6.6.1.
            let date = httpdate::fmt_http_date(self.shared.clock.now().to_system());
            if let Ok(date) = HeaderValue::from_str(&date) {
                answered.headers.insert(DATE, date);
            }
        }
        Ok((answered, requested))
    }

    async fn judge(&self, answered: Answered, requested: Time) -> Told {
        if let Some(kept) = self.storable(&answered, requested) {
            return Told::Storable(kept, answered);
        }
        // What the upstream has now may not be stored, so what it had must not stay.
        if self.seen.is_some() && !answered.status.is_server_error() && self.speaks_for_all() {
            self.shared.shelf.forget(&self.uri).await;
        }
        Told::Unshared(answered)
    }

    /// The response as it may be stored, its body still to come.
    fn storable(&self, answered: &Answered, requested: Time) -> Option<Kept> {
        let forbidden = |hop: &HeaderMap| {
            let directives = ResponseDirectives::of(hop);
            directives.no_store || directives.private || hop.contains_key(SET_COOKIE)
        };
        let body = &answered.body;
        let too_long = |length| length > self.route.options.size_max;
        if answered.via.iter().any(forbidden)
            || body.length().is_some_and(too_long)
            // Without framing nobody knows whether it was whole (RFC 9112 section 8).
            || !body.framed()
        {
            return None;
        }
        let received = self.shared.clock.now();
        let kept = Kept {
            status: answered.status.as_u16(),
            headers: answered.headers.clone(),
            selecting: vary::selecting(&answered.headers, &self.request)?,
            body: Stored {
                digest: Digest::of(b""),
                size: 0,
            },
            requested_at: requested,
            received_at: received,
        };
        self.may_store(&kept).then_some(kept)
    }

    /// Whether an answer that may not be stored says something about others' requests too.
    fn speaks_for_all(&self) -> bool {
        !self.no_store && !self.route.is_authorized(&self.request)
    }

    fn may_store(&self, kept: &Kept) -> bool {
        let asked = Asked {
            method: &Method::GET,
            authorized: self.route.is_authorized(&self.request),
            no_store: self.no_store,
        };
        let directives = ResponseDirectives::of(&kept.headers);
        let terms = (kept.received_at, &self.route.options.lifetimes);
        let lifetime = freshness::lifetime(kept.status, &kept.headers, &directives, terms);
        storable::may_store(&asked, kept.status, &kept.headers, (&directives, lifetime))
    }

    /// The stored response with other fields, as of now; stored so if it may be.
    pub(super) async fn freshened(
        &self,
        seen: &Kept,
        headers: HeaderMap,
        requested: Time,
    ) -> Arc<Kept> {
        let kept = Arc::new(Kept {
            headers,
            requested_at: requested,
            received_at: self.shared.clock.now(),
            ..seen.clone()
        });
        if self.may_store(&kept) {
            let (uri, update) = (&self.uri, Arc::clone(&kept));
            self.shared.shelf.keep(uri, update, self.epoch).await;
        } else if self.speaks_for_all() {
            self.shared.shelf.forget(&self.uri).await;
        }
        kept
    }

    /// Begins to receive a body into a draft, as a task of its own.
    pub(super) fn receive(
        self,
        (kept, answered): (Kept, Answered),
        pilot: Option<Pilot>,
        busy: Busy,
    ) -> (Arrival, impl Future<Output = ()> + Send + 'static) {
        let length = answered.body.length();
        let (mut writer, draft) = self.shared.store.draft(length);
        if !self.route.rewrites(&self.url) {
            writer.keep(Keep::Window);
        }
        let arrival = Arrival {
            kept: Arc::new(kept),
            draft,
            length,
        };
        if let Some(pilot) = &pilot {
            pilot.announce(Phase::Arriving(arrival.clone()));
        }
        let receiving = Receiving {
            errand: self,
            arrival: arrival.clone(),
            pilot,
            _busy: busy,
        };
        (arrival, receiving.run(answered, writer))
    }
}

/// A body on its way into the store.
struct Receiving {
    errand: Errand,
    arrival: Arrival,
    pilot: Option<Pilot>,
    _busy: Busy,
}

impl Receiving {
    async fn run(self, answered: Answered, writer: DraftWriter) {
        let finished = match self.pour(answered, writer).await {
            Ok(finished) => finished,
            Err(error) => return self.arrival.draft.fail(error),
        };
        finished.draft.release();
        if finished.draft.is_passed_on() {
            return;
        }
        let shared = &self.errand.shared;
        if let Some(sealed) = shared.shelf.seal(&finished).await {
            let body = sealed.stored();
            let mut kept = Kept::clone(&self.arrival.kept);
            kept.headers.remove(CONTENT_LENGTH);
            let kept = Arc::new(Kept { body, ..kept });
            let (uri, epoch) = (&self.errand.uri, self.errand.epoch);
            shared.shelf.keep(uri, kept, epoch).await;
        }
    }

    async fn pour(&self, answered: Answered, mut writer: DraftWriter) -> Result<Finished, String> {
        let mut body = answered.body;
        let shared = &self.errand.shared;
        let most = self.errand.route.options.size_max;
        let store_failed = |error| {
            shared.shelf.failed("draft", &error);
            "the store failed".to_owned()
        };
        while let Some(first) = body.next().await {
            let mut blocks: Vec<Bytes> = Vec::new();
            let mut size = 0;
            let mut next = Some(first);
            while let Some(block) = next {
                let block = block.map_err(|error| error.to_string())?;
                size += block.len();
                blocks.push(block);
                next = if size < BATCH { body.try_next() } else { None };
            }
            shared.count_bytes(&self.errand.route, size);
            writer.append(blocks).await.map_err(store_failed)?;
            let written = self.arrival.draft.written();
            if written > most {
                return Err(format!("the response is longer than {most} bytes"));
            }
            self.wait_for_room(&writer).await?;
            if !worth_finishing(written, self.arrival.length) && self.is_deserted() {
                return Err("everyone who wanted the response has left".to_owned());
            }
        }
        writer.finish().map_err(store_failed)
    }

    /// Waits until the readers of a body that is passed on have made room for more of it.
    async fn wait_for_room(&self, writer: &DraftWriter) -> Result<(), String> {
        let mut ticks = 0;
        while !writer.has_room(TICK).await {
            ticks += 1;
            if self.is_deserted() {
                return Err("everyone who wanted the response has left".to_owned());
            }
            if ticks > TICKS_MAX && self.errand.route.rewrites(&self.errand.url) {
                return Err("no memory is left for documents".to_owned());
            }
        }
        Ok(())
    }

    fn is_deserted(&self) -> bool {
        match &self.pilot {
            Some(pilot) => pilot.give_up_if_deserted(&self.arrival.draft),
            None => self.arrival.draft.readers() == 0,
        }
    }
}

impl Shared {
    /// Passes a request on, counting.
    pub(super) async fn relay(&self, route: &Route, request: Relayed) -> Result<Answered, Error> {
        let name = route.relay.name();
        let answer = route.relay.send(request).await;
        let outcome = match &answer {
            Ok(answered) => status_class(answered.status.as_u16()),
            Err(error) => error.kind.name(),
        };
        let requests = &self.metrics.upstream_requests;
        requests.with_label_values(&[name, "raw", outcome]).inc();
        if let Ok(answered) = &answer {
            let seconds = self.metrics.upstream_seconds.with_label_values(&[name]);
            seconds.observe(answered.latency.as_secs_f64());
        }
        answer.map_err(|error| unanswered(name, &error))
    }

    /// Counts bytes that came from the upstream of a route.
    pub(super) fn count_bytes(&self, route: &Route, bytes: usize) {
        let counter = &self.metrics.upstream_bytes;
        let counter = counter.with_label_values(&[route.relay.name()]);
        counter.inc_by(bytes as u64);
    }
}

fn unanswered(name: &str, error: &UpstreamError) -> Error {
    Error::Upstream {
        cause: format!("{name}: {error}").into(),
        timeout: error.kind == Kind::Timeout,
    }
}

/// A thin line must not be eaten by downloads nobody wants any more; what is at least half there,
/// nearly there, or of unknown length is finished.
const fn worth_finishing(written: u64, length: Option<u64>) -> bool {
    match length {
        Some(length) => written >= length / 2 || length.saturating_sub(written) < NEARLY_DONE,
        None => true,
    }
}
