//! One document from an upstream: attempts, redirects, request headers.
//!
//! Does not judge statuses beyond "try again": 404, 304, 401 and the like are answers. Invariant:
//! validators and what is known of the client go only to the origin that was asked first; the
//! credential to those it is for. The validator of a rest follows redirects: it is from where they
//! led.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, IF_MODIFIED_SINCE, IF_NONE_MATCH, TRANSFER_ENCODING,
    USER_AGENT, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;
use url::Url;

use super::Feed;
use super::body::{Limits, UpstreamBody};
use super::breaker::WISH_MAX;
use super::client::uri;
use super::credential::Trail;
use super::error::{Kind, UpstreamError, describe};
use super::hold::Held;
use super::hosts::Ticket;
use super::limit::Permit;
use super::redirect::{self, REDIRECTS_MAX};
use super::rest::Wanted;
use super::retry::{self, Schedule};
use crate::clock::Stopwatch;
use crate::entry::Validators;
use crate::pace::Toll;
use crate::policy::pacing::Payer;

pub(super) const OWN_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("nugate/", env!("CARGO_PKG_VERSION")));
pub(super) const OWN_VIA: HeaderValue = HeaderValue::from_static("1.1 nugate");
pub(super) const CLIENT_VERSION: HeaderName = HeaderName::from_static("x-nuget-client-version");
const SESSION_ID: HeaderName = HeaderName::from_static("x-nuget-session-id");
/// How much of a body nobody wants is read to keep the connection usable, and for how long.
const DRAIN_MAX: usize = 16 * 1024;
const DRAIN_WAIT: Duration = Duration::from_millis(100);

/// Which content coding is asked for; the response is decoded by its own label in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// None: for packages, which are compressed already.
    Identity,
    /// gzip: for documents.
    Gzip,
}

/// What is passed on of the client that caused a request.
#[derive(Clone, Debug, Default)]
pub struct ClientIdentity {
    /// `User-Agent`; ours is sent if there is none.
    pub user_agent: Option<HeaderValue>,
    /// `X-NuGet-Client-Version`.
    pub client_version: Option<HeaderValue>,
    /// `X-NuGet-Session-Id`.
    pub session_id: Option<HeaderValue>,
    /// Whose share its bytes are of; not passed on.
    pub payer: Payer,
}

/// A request for one document.
#[derive(Clone, Debug)]
pub struct Fetch<'a> {
    /// Where it is, in the order in which to try; at least one.
    pub urls: &'a [Url],
    /// GET or HEAD.
    pub method: Method,
    /// Sent byte for byte; empty for an unconditional request.
    pub validators: &'a Validators,
    /// Which coding to ask for.
    pub encoding: Encoding,
    /// How much of it; a rest is asked for only at the first URL.
    pub wanted: Wanted<'a>,
    /// Hosts of the validated service index, as by [`authority`](super::authority), to which a
    /// redirect may lead. The feed's own is always allowed.
    pub allowed_hosts: &'a HashSet<String>,
    /// What is passed on of the client.
    pub identity: &'a ClientIdentity,
    /// Most bytes of the decoded body.
    pub size_max: u64,
    /// Whether it is a question that anybody can make up, such as a search: these have at most half
    /// of the feed's connections.
    pub question: bool,
    /// Whether it waits while the upstream asks to be left alone, instead of failing.
    pub patient: bool,
}

/// A response whose body is still arriving.
#[derive(Debug)]
pub struct Fetched {
    /// Any status but a followed redirect or a passing failure.
    pub status: StatusCode,
    /// Headers as received; `Content-Length` and `Content-Encoding` describe the encoded body.
    pub headers: HeaderMap,
    /// The decoded body.
    pub body: UpstreamBody,
    /// The one of the requested URLs that answered, not where it redirected to.
    pub url: Url,
    /// How many attempts were made, this one included.
    pub attempts: u32,
    /// From the beginning of this attempt to its response head, waiting in the queue excluded.
    pub latency: Duration,
}

impl Feed {
    /// Asks for a document until there is a response to judge. Errors are those of the last
    /// attempt; [`Kind::Status`] if it was a passing one.
    pub async fn fetch(&self, request: Fetch<'_>) -> Result<Fetched, UpstreamError> {
        if request.urls.is_empty() {
            let what = format!("feed {}", self.name());
            return Err(UpstreamError::new(Kind::Protocol, &what, "no url to ask"));
        }
        self.let_in(&request).await?;
        self.budget.earn(self.hosts.clock().now());
        let mut made = 0;
        let mut held = Held::default();
        loop {
            let mut schedule = Schedule::new(request.urls.len(), self.options.attempts);
            let result = self.attempts(&request, &mut schedule).await;
            made += schedule.made();
            match result {
                Ok(fetched) => {
                    return Ok(Fetched {
                        attempts: made,
                        ..fetched
                    });
                }
                // No permit is held meanwhile.
                Err(error) if request.patient && self.hold(&request, &error, &mut held).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the client may ask for something more.
    async fn let_in(&self, request: &Fetch<'_>) -> Result<(), UpstreamError> {
        if self.folder.is_some() {
            // It costs nobody else anything.
            return Ok(());
        }
        let pace = &self.options.pace;
        let admitted = pace.admit(&request.identity.payer, request.question).await;
        admitted.map_err(|throttled| {
            let what = describe(&request.method, &request.urls[0]);
            if let Some(metrics) = self.hosts.metrics() {
                let reason = if request.question {
                    "searches"
                } else {
                    "fetches"
                };
                metrics.throttled.with_label_values(&[reason]).inc();
            }
            let why = format!("this client asks too much ({})", throttled.setting);
            let mut error = UpstreamError::new(Kind::Throttled, &what, why);
            error.retry_after = Some(throttled.retry_after);
            error
        })
    }

    async fn attempts(
        &self,
        request: &Fetch<'_>,
        schedule: &mut Schedule,
    ) -> Result<Fetched, UpstreamError> {
        loop {
            let url = &request.urls[schedule.begin()];
            let error = match self.attempt(request, url).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            let Some(delay) = schedule.after(&error) else {
                return Err(error);
            };
            // Another host is no retry.
            if !delay.is_zero() && !self.may_retry() {
                return Err(error);
            }
            tracing::debug!(feed = self.name(), %error, ?delay, "upstream is asked again");
            tokio::time::sleep(delay).await;
        }
    }

    fn may_retry(&self) -> bool {
        let allowed = self.budget.spend(self.hosts.clock().now());
        if let Some(metrics) = self.hosts.metrics() {
            let outcome = if allowed { "made" } else { "denied" };
            let retries = &metrics.upstream_retries;
            retries.with_label_values(&[self.name(), outcome]).inc();
        }
        allowed
    }

    async fn attempt(&self, request: &Fetch<'_>, url: &Url) -> Result<Fetched, UpstreamError> {
        let what = describe(&request.method, url);
        let payer = &request.identity.payer;
        if let Some(folder) = &self.folder {
            let permit = self.gate.admit(&what, payer).await?;
            return self.ask_folder(folder, (request, url), permit).await;
        }
        self.hosts.look(url, &what)?;
        let permit = if request.question {
            self.gate.admit_question(&what, payer).await?
        } else {
            self.gate.admit(&what, payer).await?
        };
        let toll = self.options.pace.toll(payer);
        let asked = (&request.method, url, request.size_max);
        let mut ticket = None;
        let answer = self.follow(request, url, &mut ticket);
        let answered = self.answered(asked, (permit, toll), answer).await;
        // It is still here if the last host that was asked gave no answer.
        if let (Err(error), Some(ticket)) = (&answered, ticket) {
            ticket.failed(error);
        }
        answered
    }

    /// The head of an answer, waited for no longer than it may take, and its body still to come.
    pub(super) async fn answered(
        &self,
        (method, url, size_max): (&Method, &Url, u64),
        (permit, toll): (Permit, Option<Toll>),
        answer: impl Future<Output = Result<Response<Incoming>, UpstreamError>>,
    ) -> Result<Fetched, UpstreamError> {
        let what = describe(method, url);
        let watch = Stopwatch::start();
        let limit = self.options.header_timeout;
        let Ok(answer) = timeout(limit, answer).await else {
            let why = format!("no response head within {limit:?}");
            return Err(UpstreamError::new(Kind::Timeout, &what, why));
        };
        let (head, source) = answer?.into_parts();
        let latency = watch.elapsed();
        let limits = Limits {
            idle: self.options.idle_timeout,
            size_max,
            bodiless: *method == Method::HEAD,
        };
        let body = UpstreamBody::new(what, &head, (source, permit), limits)?.paying(toll);
        Ok(Fetched {
            status: head.status,
            headers: head.headers,
            body,
            url: url.clone(),
            attempts: 1,
            latency,
        })
    }

    /// The response at the end of the redirects that begin at `start`.
    async fn follow<'a>(
        &'a self,
        request: &Fetch<'_>,
        start: &Url,
        ticket: &mut Option<Ticket<'a>>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let rules = redirect::Rules {
            feed: &self.options.name,
            url: &self.options.url,
            allowed: request.allowed_hosts,
            patterns: &self.options.redirect_hosts,
        };
        let authorizer = self.authorizer.load_full();
        let mut trail = Trail::new(authorizer.as_deref());
        let mut url = start.clone();
        for _ in 0..=REDIRECTS_MAX {
            let what = describe(&request.method, &url);
            let mut headers = headers(request, start, url.origin() == start.origin());
            trail.authorize(&url, &mut headers);
            *ticket = Some(self.hosts.enter(&url, &what)?);
            let response = self.send(&request.method, &url, headers).await?;
            let status = response.status();
            let wish = self.answered_by(ticket, &response);
            if retry::is_passing(status.as_u16()) {
                let mut error = UpstreamError::new(Kind::Status(status.as_u16()), &what, status);
                error.retry_after = wish;
                drain(response).await;
                return Err(error);
            }
            if !redirect::is_redirect(status) {
                return Ok(response);
            }
            url = rules
                .follow(&url, response.headers())
                .map_err(|refusal| UpstreamError::new(Kind::Redirect, &what, refusal))?;
            drain(response).await;
        }
        let what = describe(&request.method, start);
        let why = format!("more than {REDIRECTS_MAX} redirects");
        Err(UpstreamError::new(Kind::Redirect, &what, why))
    }

    /// Notes that a host answered, and for how long it asks to be left alone.
    pub(super) fn answered_by(
        &self,
        ticket: &mut Option<Ticket<'_>>,
        response: &Response<Incoming>,
    ) -> Option<Duration> {
        let wish = retry::retry_after(response.headers(), self.hosts.clock().now());
        let wish = wish.map(|wish| wish.min(WISH_MAX));
        if let Some(ticket) = ticket.take() {
            ticket.answered(response.status().as_u16(), wish);
        }
        wish
    }

    pub(super) async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let what = describe(method, url);
        self.reach
            .check(url)
            .map_err(|refusal| UpstreamError::new(Kind::Protocol, &what, refusal))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri(url)
            .map_err(|error| UpstreamError::caused(Kind::Protocol, &what, "unusable url", error))?;
        *request.headers_mut() = headers;
        self.ahead.used(request.uri(), self.hosts.clock().now());
        let response = self.client.request(request).await;
        let response = response.map_err(|error| UpstreamError::of_send(&what, error))?;
        unambiguous(response, &what)
    }
}

/// A response that says in one way where it ends. Whoever reads it in the other way takes a part of
/// it for the next response (RFC 9112 section 6.3), so its connection is not used again.
pub(super) fn unambiguous(
    response: Response<Incoming>,
    what: &str,
) -> Result<Response<Incoming>, UpstreamError> {
    let headers = response.headers();
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        let why = "both content-length and transfer-encoding";
        return Err(UpstreamError::new(Kind::Protocol, what, why));
    }
    Ok(response)
}

/// The headers of one request; `Host` is added by the client.
fn headers(request: &Fetch<'_>, start: &Url, same_origin: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let encoding = match request.encoding {
        Encoding::Identity => "identity",
        Encoding::Gzip => "gzip",
    };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    headers.insert(VIA, OWN_VIA);
    headers.insert(USER_AGENT, OWN_AGENT);
    // Validators are those of the first URL: from another one a 304 would confirm the wrong body,
    // and a 206 continue it.
    let none = Validators::default();
    let first = request.urls.first() == Some(start);
    let validators = if first { request.validators } else { &none };
    if first || !matches!(request.wanted, Wanted::Rest(_)) {
        request.wanted.add_to(&mut headers);
    }
    if same_origin {
        let fields = [
            (USER_AGENT, &request.identity.user_agent),
            (CLIENT_VERSION, &request.identity.client_version),
            (SESSION_ID, &request.identity.session_id),
            (IF_NONE_MATCH, &validators.etag),
            (IF_MODIFIED_SINCE, &validators.last_modified),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
    headers
}

/// Reads the rest of a small body, because a connection with an unread one cannot be used again.
pub(super) async fn drain(response: Response<Incoming>) {
    let body = Limited::new(response.into_body(), DRAIN_MAX);
    // A body that is too long, too slow or broken only costs its connection.
    let _ = timeout(DRAIN_WAIT, body.collect()).await;
}

#[cfg(test)]
mod tests;
