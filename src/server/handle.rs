//! From a request to its response: routes, base URL, the proxy, headers, counters, the log line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, Method, Request, Response};
use http_body::Body;

use crate::clock::Stopwatch;
use crate::config::Scopes;
use crate::group::Group;
use crate::nuget::resource::DocRule;
use crate::nuget::route::{self, RouteError, Target};
use crate::observe::CacheStatus;
use crate::policy::pacing::Payer;
use crate::proxy::{self, Reply};
use crate::server::access::{self, API_KEY, Verdict};
use crate::server::admin::Purpose;
pub(super) use crate::server::answer::{
    Answer, drop_body, insert_warning, misdirected, refused, unroutable,
};
pub use crate::server::app::App;
use crate::server::asked::may_trickle;
pub(super) use crate::server::asked::request_of;
use crate::server::base::{BaseError, Origin};
use crate::server::body::{BodyError, ResponseBody};
use crate::server::hot::Question;
use crate::server::scope::Scope;
use crate::server::strict::Refusal;
use crate::server::v2;
use crate::server::{own, pages, pass, raw, respond, trickle};

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const WARNING: HeaderName = HeaderName::from_static("x-nuget-warning");
pub(super) const SESSION: HeaderName = HeaderName::from_static("x-nuget-session-id");
pub(super) const CLIENT_VERSION: HeaderName = HeaderName::from_static("x-nuget-client-version");

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// Whether it is encrypted.
    pub tls: bool,
    /// What the door is for that the client came in by.
    pub purpose: Purpose,
}

impl App {
    /// The answer to a good request if it needs nothing that is waited for: anybody may ask as much
    /// as they like, and it was answered before.
    pub(super) fn at_once(
        &self,
        ends: Ends,
        parts: &http::request::Parts,
        body: &impl Body,
    ) -> Option<Response<ResponseBody>> {
        if ends.purpose == Purpose::Admin || !self.is_open() {
            return None;
        }
        let started = Stopwatch::start();
        let question = self.question(ends, parts, body)?;
        let answer = self.hot_answer(&question, parts)?;
        let asker = self.access.payer(ends, parts, None);
        Some(self.finished((ends, asker), parts, (answer, started), None))
    }

    /// Whether anybody may ask as much as they like.
    fn is_open(&self) -> bool {
        !self.access.is_required() && !self.pace.is_limited()
    }

    /// Answers a request that was looked at by [`strict::check`] and could not be answered
    /// [at once](Self::at_once).
    pub async fn handle<B>(
        &self,
        ends: Ends,
        request: Request<B>,
        welcome: Result<(), Refusal>,
    ) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        let started = Stopwatch::start();
        let (mut parts, body) = request.into_parts();
        let mut toll = None;
        let mut question = None;
        let mut asker = Payer::Background;
        let answer = match self.admit(ends, &parts, welcome).await {
            Err(refusal) => {
                let answer = Answer::own("none", refusal);
                self.for_people(ends, &parts, Scopes::default(), answer)
            }
            Ok((verdict, payer)) if ends.purpose == Purpose::Admin => {
                asker = payer;
                let answer = self.admin_answer(ends, &parts, body, verdict.scopes);
                let answer = Box::pin(answer).await;
                self.for_people(ends, &parts, verdict.scopes, answer)
            }
            Ok((verdict, payer)) => {
                toll = self.toll(&payer, &parts);
                asker = payer.clone();
                question = self.question(ends, &parts, &body);
                // Where it is open, this was looked up [at once](Self::at_once).
                let hot = question.as_ref().filter(|_| !self.is_open());
                if let Some(answer) = hot.and_then(|it| self.hot_answer(it, &parts)) {
                    answer
                } else {
                    parts.extensions.insert(payer);
                    let scopes = verdict.scopes;
                    // Large, and rare: no request that does not need it is to carry it about.
                    let answer =
                        Box::pin(self.cold_answer(ends, (&mut parts, body), verdict)).await;
                    self.for_people(ends, &parts, scopes, answer)
                }
            }
        };
        let response = self.finished((ends, asker), &parts, (answer, started), question);
        response.map(|body| body.paced(toll))
    }

    /// The response to send, labelled, remembered as the answer to `question`, counted and told of.
    fn finished(
        &self,
        (ends, asker): (Ends, Payer),
        parts: &http::request::Parts,
        (mut answer, started): (Answer, Stopwatch),
        question: Option<Question>,
    ) -> Response<ResponseBody> {
        let id = self.request_id(&parts.headers);
        if parts.method == Method::HEAD {
            drop_body(&mut answer.response);
        }
        self.record((ends, asker), parts, &id, (&answer, started));
        answer.label(id);
        self.remember(question, &mut answer);
        let saved = answer.cache.saves_bytes();
        answer
            .response
            .map(|body| body.metered(self.group.metrics(), saved))
    }

    /// Whether the request is one that an honest client sends, the client one that may, and it is
    /// its turn; and whose share it is of.
    async fn admit(
        &self,
        ends: Ends,
        parts: &http::request::Parts,
        welcome: Result<(), Refusal>,
    ) -> Result<(Verdict, Payer), Response<ResponseBody>> {
        welcome.map_err(|refusal| unwelcome(parts, refusal))?;
        let is_admin = ends.purpose == Purpose::Admin;
        let bases = self.bases.load_full();
        let prefix = if is_admin { "" } else { bases.prefix() };
        let verdict = self.access.admit(ends, parts, prefix).await;
        let verdict = verdict.map_err(access::Refusal::respond)?;
        let payer = self.access.payer(ends, parts, verdict.who.as_ref());
        if !is_admin {
            self.let_in(&payer, parts).await?;
        }
        Ok((verdict, payer))
    }

    /// Answers a request of someone who may ask, whatever it is.
    async fn cold_answer<B>(
        &self,
        ends: Ends,
        (parts, body): (&mut http::request::Parts, B),
        verdict: Verdict,
    ) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        if verdict.is_own_key {
            // Keys of ours are for us alone.
            parts.headers.remove(API_KEY);
        }
        if let Some(page) = self.page_of(ends, parts, verdict.scopes) {
            let response = self.page(ends, parts, page, body).await;
            return Answer::own(pages::RESOURCE, response);
        }
        let scope = Scope::of(&self.group, self.below_prefix(parts.uri.path()));
        match self.place_of(scope.as_ref(), parts) {
            Some(place) => self.publish((ends, parts, &verdict), place, body).await,
            None => self.answer(ends, parts, scope, body).await,
        }
    }

    async fn answer<B>(
        &self,
        ends: Ends,
        parts: &http::request::Parts,
        scope: Option<Scope<'_>>,
        body: B,
    ) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        let below = self.below_prefix(parts.uri.path());
        if let (Some(raw), Some(path)) = (&self.raw, below.strip_prefix("/raw/")) {
            return match self.base_of(ends, parts) {
                Ok(base) => {
                    let place = format!("{}raw/", base.strip_suffix("v3/").unwrap_or(&base));
                    raw::answer(raw, (path, &place), parts, body).await
                }
                Err(error) => Answer::own("raw", misdirected(&error)),
            };
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Answer::own("none", own::not_allowed(&parts.method, own::METHODS));
        }
        let ready = self.ready.load(Ordering::Acquire);
        if ends.purpose.has_own(below)
            && let Some((resource, response)) = own::answer(below, self.proxy(), ready)
        {
            return Answer::own(resource, response);
        }
        let Some(scope) = scope else {
            return Answer::own("none", unroutable(RouteError::NotFound));
        };
        if let Some((resource, response)) = own::redirect(parts.uri.path(), scope.rest) {
            return Answer::own(resource, response);
        }
        if v2::below(scope.rest).is_some() {
            // Which document it is may depend on others.
            return self.v2(ends, parts, &scope).await.once();
        }
        if let Some(path) = pass::path_of(scope.rest) {
            return match self.base_of(ends, parts) {
                Ok(_) => pass::passed(&scope.group, path, parts).await,
                Err(error) => Answer::own(proxy::PASSED, misdirected(&error)),
            };
        }
        let routed = scope.rest.strip_prefix("/v3/");
        let routed = routed.ok_or(RouteError::NotFound);
        let target = match routed.and_then(|path| route::parse(path, parts.uri.query())) {
            Ok(target) => target,
            Err(error) => return Answer::own("none", unroutable(error)),
        };
        let resource = target.rule.name;
        match self.base_of(ends, parts) {
            Ok(base) => {
                let base = scope.base(base);
                self.document(&scope.group, parts, target, base).await
            }
            Err(error) => Answer::own(resource, misdirected(&error)),
        }
    }

    /// The path without the prefix of `public_url`.
    pub(super) fn below_prefix<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.bases.load().prefix())
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(path)
    }

    pub(super) fn base_of(
        &self,
        ends: Ends,
        parts: &http::request::Parts,
    ) -> Result<Arc<str>, BaseError> {
        let (bases, origin) = (self.bases.load(), origin(ends, parts));
        match ends.purpose {
            Purpose::Admin => bases.admin_base_of(&origin, self.access.is_required()),
            Purpose::Everything | Purpose::Feeds => bases.base_of(&origin),
        }
    }

    pub(super) async fn document(
        &self,
        group: &Group,
        parts: &http::request::Parts,
        target: Target,
        base: Arc<str>,
    ) -> Answer {
        let rule = target.rule;
        let request = request_of(parts, target, base);
        let serving = group.serve(&request);
        let served = if may_trickle(&request) {
            let Ok(served) = tokio::time::timeout(self.patience, serving).await else {
                let pulse = trickle::PULSE.min(self.patience);
                return Answer::new(
                    trickle::respond(group.clone(), request, pulse),
                    rule.name,
                    CacheStatus::Joined,
                );
            };
            served
        } else {
            serving.await
        };
        self.served(parts, rule, served)
    }

    /// The response for what was served of a document, or for why there is none.
    pub(super) fn served(
        &self,
        parts: &http::request::Parts,
        rule: &DocRule,
        served: Result<Reply, proxy::Error>,
    ) -> Answer {
        let head = parts.method == Method::HEAD;
        match served {
            Ok(reply) => {
                let (cache, warning) = (reply.cache, reply.warning.clone());
                let mut reply = reply;
                let standing = reply.standing.take();
                let mut response = respond::respond(reply, rule, &parts.headers, head);
                if let CacheStatus::Stale(reason) = cache {
                    self.group
                        .metrics()
                        .stale
                        .with_label_values(&[reason.name()])
                        .inc();
                    let cause = warning.as_deref().unwrap_or(reason.text());
                    let text = format!("nugate served a stored copy ({}): {cause}", rule.name);
                    self.warn(&parts.headers, &mut response, &text);
                } else if let Some(cause) = warning {
                    self.warn(&parts.headers, &mut response, &format!("nugate: {cause}"));
                }
                Answer::new(response, rule.name, cache).resting_on(standing)
            }
            Err(error) => refused(&error, rule.name),
        }
    }

    /// Tells the developer in the client's console, once for each session.
    fn warn(&self, headers: &HeaderMap, response: &mut Response<ResponseBody>, text: &str) {
        if let Some(session) = headers.get(SESSION) {
            if self.warned.contains_key(session) {
                return;
            }
            self.warned.insert(session.clone(), ());
        }
        insert_warning(response, text);
    }
}

/// What a request says of where it was sent.
pub(super) fn origin(ends: Ends, parts: &http::request::Parts) -> Origin<'_> {
    let host = parts
        .headers
        .get(HOST)
        .and_then(|value| value.to_str().ok());
    Origin {
        host: host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)),
        headers: &parts.headers,
        peer: ends.peer.ip().to_canonical(),
        local: ends.local,
        tls: ends.tls,
    }
}

/// The answer to a request that no honest client sends.
fn unwelcome(parts: &http::request::Parts, refusal: Refusal) -> Response<ResponseBody> {
    match refusal {
        Refusal::Method => own::not_allowed(&parts.method, own::METHODS),
        refusal => own::text(refusal.status(), format!("{refusal}\n")),
    }
}
