//! The HTTP client of a feed: connection pool, TLS, protocol settings.
//!
//! Knows nothing of redirects, retries or bodies. Invariant: the credential of a proxy is in requests
//! that the proxy itself gets, and in no other.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderName, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;
use url::Url;

use super::ahead::Ahead;
use super::dial::{Dialer, Hop, Ways};
use super::error::{Kind, UpstreamError};
use super::reach::{Reach, Resolver};
use super::trust::Outbound;
use super::tunnel::{Fault, ProxyError};
use super::verifier::{tls, verifier};
use super::{FeedOptions, authority};

/// How long a connection is kept that nobody uses.
pub(super) const POOL_IDLE: Duration = Duration::from_mins(1);
const TCP_KEEP_ALIVE: Duration = Duration::from_mins(1);
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for 80 MB/s on one stream at a round trip of 50 ms.
const H2_STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const H2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// The mark of Squid on pages of its own.
const SQUID_ERROR: HeaderName = HeaderName::from_static("x-squid-error");

/// A client with a pool of connections. Requests for documents never have a body; pushes, and those
/// that are passed on for clients, may.
pub(super) struct Client<B = Empty<Bytes>> {
    inner: legacy::Client<Connector, B>,
    ways: Arc<Ways>,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum SendError {
    /// The request failed, perhaps with a [`ProxyError`] below.
    Request(legacy::Error),
    /// There is one, but it is of the proxy that should have passed the request on.
    Proxy(ProxyError),
}

impl<B> Client<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    /// Makes a request; an `http` one is for the proxy where there is one, with its credential.
    pub(super) fn request(&self, mut request: Request<B>) -> Sending {
        request.headers_mut().remove(PROXY_AUTHORIZATION);
        let is_plain = request.uri().scheme() == Some(&Scheme::HTTP);
        let hop = self.ways.hop(request.uri()).filter(|_| is_plain).cloned();
        if let Some(credential) = hop.as_ref().and_then(|hop| hop.credential()) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, credential.clone());
        }
        let response = self.inner.request(request);
        Sending { response, hop }
    }
}

/// A request under way.
pub(super) struct Sending {
    response: legacy::ResponseFuture,
    /// The proxy that is to pass it on.
    hop: Option<Arc<Hop>>,
}

impl Future for Sending {
    type Output = Result<Response<Incoming>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.response).poll(cx));
        let response = response.map_err(SendError::Request)?;
        Poll::Ready(match &self.hop {
            Some(hop) => hop.checked(response).map_err(SendError::Proxy),
            None => Ok(response),
        })
    }
}

impl Hop {
    /// The response, unless it is the proxy's own.
    fn checked(&self, response: Response<Incoming>) -> Result<Response<Incoming>, ProxyError> {
        match own_answer(&response, self.credential().is_some()) {
            Some(fault) => Err(self.failed(fault)),
            None => Ok(response),
        }
    }
}

/// What a proxy says for itself in the place of the host, as far as it can be told apart.
fn own_answer(response: &Response<Incoming>, was_sent: bool) -> Option<Fault> {
    let status = response.status();
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Some(Fault::Credential(was_sent));
    }
    let failed = status.is_client_error() || status.is_server_error();
    let own = failed && response.headers().contains_key(SQUID_ERROR);
    own.then_some(Fault::Refused(status))
}

/// How connections of a feed are made; clients of one share what is known of certificates.
pub(super) struct Wiring {
    connector: Connector,
    ways: Arc<Ways>,
}

impl Wiring {
    /// Trusts the platform's certificates and those of the options, and connects to nothing out of
    /// `reach`. Fails on settings that cannot be used.
    pub(super) fn new(options: &FeedOptions, reach: Reach) -> Result<Self, UpstreamError> {
        let outbound = &options.outbound;
        let what = format!("feed {}", options.name);
        let ways = Ways::of(&outbound.proxies);
        let ways = ways.map_err(|why| UpstreamError::new(Kind::Protocol, &what, why))?;
        let ways = Arc::new(ways);
        let verifier = verifier(outbound.extra_roots.clone());
        let verifier = verifier.map_err(|error| {
            let why = "extra root certificates not usable";
            UpstreamError::caused(Kind::Tls, &what, why, error)
        })?;
        let tls = |identity| {
            let why = "client certificate not usable";
            let config = tls(&verifier, identity);
            config.map_err(|error| UpstreamError::caused(Kind::Tls, &what, why, error))
        };
        let limit = options.connect_timeout;
        let outer = HttpsConnectorBuilder::new()
            .with_tls_config(tls(None)?)
            .https_or_http()
            .enable_http1();
        let dialer = Dialer {
            direct: tcp(Resolver::new(reach, outbound.family), limit, outbound),
            outer: outer.wrap_connector(tcp(Resolver::free(outbound.family), limit, outbound)),
            ways: Arc::clone(&ways),
            limit,
            family: outbound.family,
        };
        let over = |config| {
            HttpsConnectorBuilder::new()
                .with_tls_config(config)
                .https_or_http()
                .enable_http1()
                .enable_http2()
                .wrap_connector(dialer.clone())
        };
        let known = match &outbound.identity {
            Some(identity) => Some((over(tls(Some(identity))?), known(options))),
            None => None,
        };
        let all = Arc::new(Connectors {
            anonymous: over(tls(None)?),
            known,
        });
        let connector = Connector { all, ahead: None };
        Ok(Self { connector, ways })
    }

    /// A client with a pool of connections.
    pub(super) fn client<B>(&self) -> Client<B>
    where
        B: Body<Data: Send> + Send,
    {
        self.built(&builder(), self.connector())
    }

    /// The same, which uses those that were made ahead.
    pub(super) fn client_ahead<B>(&self, ahead: &Arc<Ahead>) -> Client<B>
    where
        B: Body<Data: Send> + Send,
    {
        let connector = Connector {
            ahead: Some(Arc::clone(ahead)),
            ..self.connector()
        };
        self.built(&builder(), connector)
    }

    /// What makes new connections.
    pub(super) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// The same for requests that can be made only once: each has a fresh connection, because one
    /// that was idle may be closed under it.
    pub(super) fn once<B>(&self) -> Client<B>
    where
        B: Body<Data: Send> + Send,
    {
        let mut builder = builder();
        builder
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false);
        self.built(&builder, self.connector())
    }

    fn built<B>(&self, builder: &legacy::Builder, connector: Connector) -> Client<B>
    where
        B: Body<Data: Send> + Send,
    {
        Client {
            inner: builder.build(connector),
            ways: Arc::clone(&self.ways),
        }
    }
}

/// TCP, given up after `limit`.
fn tcp(resolver: Resolver, limit: Duration, outbound: &Outbound) -> HttpConnector<Resolver> {
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(TCP_KEEP_ALIVE));
    http.set_connect_timeout(Some(limit));
    match (outbound.source.v4, outbound.source.v6) {
        (Some(v4), Some(v6)) => http.set_local_addresses(v4, v6),
        (v4, v6) => http.set_local_address(v4.map(Into::into).or(v6.map(Into::into))),
    }
    http
}

/// The origins that see our certificate: those that get the feed's credential.
fn known(options: &FeedOptions) -> Vec<Uri> {
    let hosts = options.credential.iter().flat_map(|it| &it.hosts);
    let own = authority(&options.url);
    let all = std::iter::once(&own).chain(hosts);
    let uris = all.filter_map(|host| Url::parse(&format!("https://{host}/")).ok());
    uris.filter_map(|url| Uri::try_from(url.as_str()).ok())
        .collect()
}

/// Makes connections, in TLS where the URL says so. A pool clones it for each request.
#[derive(Clone)]
pub(super) struct Connector {
    all: Arc<Connectors>,
    /// What was made already.
    ahead: Option<Arc<Ahead>>,
}

struct Connectors {
    anonymous: HttpsConnector<Dialer>,
    /// With our certificate, for these origins.
    known: Option<(HttpsConnector<Dialer>, Vec<Uri>)>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<Dialer> as Service<Uri>>::Response;
    type Error = <HttpsConnector<Dialer> as Service<Uri>>::Error;
    type Future = <HttpsConnector<Dialer> as Service<Uri>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A dialer always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let is = |uri: &Uri| {
            let port = |uri: &Uri| uri.port_u16().unwrap_or(443);
            uri.host() == target.host() && port(uri) == port(&target)
        };
        let mut connector = match &self.all.known {
            Some((connector, origins)) if origins.iter().any(is) => connector.clone(),
            _ => self.all.anonymous.clone(),
        };
        let Some(coming) = self.ahead.as_ref().and_then(|it| it.take(&target)) else {
            return connector.call(target);
        };
        Box::pin(async move {
            match coming.await? {
                Some(made) => Ok(made),
                None => connector.call(target).await,
            }
        })
    }
}

/// User information would end up in `:authority`, which must not have any (RFC 9113 section 8.3.1).
pub(super) fn uri(url: &Url) -> Result<Uri, http::uri::InvalidUri> {
    let mut url = url.clone();
    // Both fail only for URLs without a host, which the conversion refuses.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Uri::try_from(url.as_str())
}

fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http2_initial_stream_window_size(H2_STREAM_WINDOW)
        .http2_initial_connection_window_size(H2_CONNECTION_WINDOW)
        .http2_keep_alive_interval(H2_PING_INTERVAL)
        .http2_keep_alive_timeout(H2_PING_TIMEOUT)
        .http2_keep_alive_while_idle(true);
    builder
}
