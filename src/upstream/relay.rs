//! Requests of clients passed on as they are: any method, any fields, a body.
//!
//! The counterpart of [`Feed::fetch`](super::Feed::fetch) for routes that know nothing of what they
//! carry. A request is made once, because only its client knows whether it may be repeated; GET and
//! HEAD once more when the connection was lost before an answer (RFC 9110 section 9.2.2). Whose
//! fields go along is decided above. Bodies are handed over as they come, encoded.
//!
//! Invariant: fields that say who asks (`Authorization`, `Cookie`) go to no origin but the one that
//! was asked first.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, COOKIE, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use tokio::time::timeout;
use url::Url;

use super::body::{Limits, UpstreamBody};
use super::client;
use super::error::{Kind, UpstreamError, describe};
use super::fetch::{drain, unambiguous};
use super::limit::Gate;
use super::reach::Reach;
use super::redirect::{self, REDIRECTS_MAX};
use super::{FeedOptions, authority};
use crate::clock::Stopwatch;
use crate::policy::pacing::Payer;

/// The body of a request on its way through.
pub type RelayBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// An origin that requests of clients are passed on to.
pub struct Relay {
    options: FeedOptions,
    client: client::Client<RelayBody>,
    gate: Gate,
}

/// A request to pass on.
pub struct Relayed {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Its fields, those of the connection left out; `Host` is added here.
    pub headers: HeaderMap,
    /// Its body; empty for most.
    pub body: RelayBody,
}

/// The response to a request that was passed on, still arriving.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its fields as received.
    pub headers: HeaderMap,
    /// Its body, not decoded.
    pub body: UpstreamBody,
    /// The fields of redirects that were followed on the way.
    pub via: Vec<HeaderMap>,
    /// From the beginning to the response head, waiting in the queue excluded.
    pub latency: Duration,
}

impl Relay {
    /// A relay with the limits of `options` and a client of its own; redirects are followed to
    /// `redirect_hosts` alone. Fails on certificates that cannot be used.
    pub fn new(options: FeedOptions) -> Result<Self, UpstreamError> {
        let wiring = client::Wiring::new(&options, Reach::of(&options))?;
        let gate = Gate::new(
            &options.name,
            options.connections_max,
            options.requests_per_second,
        );
        Ok(Self {
            options,
            client: wiring.client(),
            gate,
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Passes a request on and waits for the head of its response.
    pub async fn send(&self, request: Relayed) -> Result<Answered, UpstreamError> {
        let what = describe(&request.method, &request.url);
        // Clients can keep a body back, and no request without one is to wait for them.
        let permit = if request.body.is_end_stream() {
            self.gate.admit(&what, &Payer::Shared).await?
        } else {
            self.gate.admit_question(&what, &Payer::Shared).await?
        };
        let watch = Stopwatch::start();
        let limit = self.options.header_timeout;
        let bodiless = request.method == Method::HEAD;
        let Ok(answer) = timeout(limit, self.follow(request)).await else {
            let why = format!("no response head within {limit:?}");
            return Err(UpstreamError::new(Kind::Timeout, &what, why));
        };
        let (response, via) = answer?;
        let (mut head, source) = response.into_parts();
        let limits = Limits {
            idle: self.options.idle_timeout,
            size_max: u64::MAX,
            bodiless,
        };
        // What is passed on is not decoded, whatever its label says.
        let coded = head.headers.clone();
        head.headers.remove(CONTENT_ENCODING);
        let body = UpstreamBody::new(what, &head, (source, permit), limits)?;
        let body = body.paying(self.options.pace.toll(&Payer::Shared));
        Ok(Answered {
            status: head.status,
            headers: coded,
            body,
            via,
            latency: watch.elapsed(),
        })
    }

    /// The response, or the one that its redirects lead to.
    async fn follow(
        &self,
        request: Relayed,
    ) -> Result<(Response<Incoming>, Vec<HeaderMap>), UpstreamError> {
        let Relayed {
            method,
            mut url,
            mut headers,
            body,
        } = request;
        let first = url.origin();
        let follows = matches!(method, Method::GET | Method::HEAD);
        let mut body = Some(body);
        let mut via = Vec::new();
        let mut lost = false;
        loop {
            if url.origin() != first {
                headers.remove(AUTHORIZATION);
                headers.remove(COOKIE);
            }
            let sent = body.take().unwrap_or_else(no_body);
            let answer = self.send_once((&method, &url), headers.clone(), sent).await;
            if follows && !lost && matches!(&answer, Err(error) if error.kind == Kind::Cut) {
                lost = true;
                continue;
            }
            let response = answer?;
            let next = self.next(&url, &response).filter(|_| follows);
            let Some(next) = next.filter(|_| via.len() < REDIRECTS_MAX) else {
                return Ok((response, via));
            };
            via.push(response.headers().clone());
            drain(response).await;
            url = next;
        }
    }

    /// Where a redirect leads, if it is one that is followed here.
    fn next(&self, url: &Url, response: &Response<Incoming>) -> Option<Url> {
        let rules = redirect::Rules {
            feed: &self.options.name,
            url: &self.options.url,
            allowed: &HashSet::new(),
            patterns: &self.options.redirect_hosts,
        };
        let redirected = redirect::is_redirect(response.status());
        let wanted = redirected && !self.options.redirect_hosts.is_empty();
        let next = rules.follow(url, response.headers()).ok();
        next.filter(|next| wanted && rules.names(&authority(next)))
    }

    async fn send_once(
        &self,
        (method, url): (&Method, &Url),
        headers: HeaderMap,
        body: RelayBody,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let what = describe(method, url);
        let uri = Uri::try_from(url.as_str())
            .map_err(|error| UpstreamError::caused(Kind::Protocol, &what, "unusable url", error))?;
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request.headers_mut().remove(HOST);
        let response = self.client.request(request).await;
        let response = response.map_err(|error| UpstreamError::of_send(&what, error))?;
        unambiguous(response, &what)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.options.name).finish()
    }
}

/// The body of a request that has none.
pub fn no_body() -> RelayBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
