//! From a request to its response: routes, base URL, the proxy, headers, counters, the log line.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use moka::sync::Cache;

use crate::clock::Stopwatch;
use crate::nuget::resource::View;
use crate::nuget::route::{self, RouteError, Target};
use crate::observe::{CacheStatus, status_class};
use crate::proxy::generic::Generic;
use crate::proxy::{self, Proxy};
use crate::server::asked::{accepts_gzip, directives_of, identity_of};
use crate::server::base::{BaseError, BaseRules, Origin};
use crate::server::body::ResponseBody;
use crate::server::error::{is_worth_a_warning, status_of};
use crate::server::{own, raw, respond, trickle};

/// Longest request target, in bytes.
const TARGET_MAX: usize = 8192;

/// Restore sessions that were warned, so that a console shows a warning once.
const SESSIONS_MAX: u64 = 4096;
const SESSION_LIFE: Duration = Duration::from_secs(3600);

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const WARNING: HeaderName = HeaderName::from_static("x-nuget-warning");
pub(super) const SESSION: HeaderName = HeaderName::from_static("x-nuget-session-id");
pub(super) const CLIENT_VERSION: HeaderName = HeaderName::from_static("x-nuget-client-version");

/// Everything the handling of requests shares.
pub struct App {
    proxy: Proxy,
    raw: Option<Generic>,
    bases: BaseRules,
    ready: AtomicBool,
    requests: AtomicU64,
    /// Tells requests of this run from those of others.
    run: u64,
    warned: Cache<HeaderValue, ()>,
    patience: Duration,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

/// A response and what is counted of it.
pub(super) struct Answer {
    pub(super) response: Response<ResponseBody>,
    pub(super) resource: &'static str,
    pub(super) cache: CacheStatus,
}

impl App {
    /// Handles requests with `proxy`, under base URLs by these rules.
    pub fn new(proxy: Proxy, bases: BaseRules) -> Self {
        let run = proxy.clock().now().as_millis() << 8 ^ u64::from(std::process::id());
        let warned = Cache::builder()
            .max_capacity(SESSIONS_MAX)
            .time_to_live(SESSION_LIFE)
            .build();
        Self {
            proxy,
            raw: None,
            bases,
            ready: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            run,
            warned,
            patience: trickle::PATIENCE,
        }
    }

    /// The same, waiting this long for a document before its head is sent.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same, with generic routes below `/raw/`.
    #[must_use]
    pub fn with_raw(self, raw: Generic) -> Self {
        let raw = Some(raw);
        Self { raw, ..self }
    }

    /// Waits until everything answered so far is stored.
    pub async fn quiet(&self) {
        if let Some(raw) = &self.raw {
            raw.quiet().await;
        }
        self.proxy.quiet().await;
    }

    /// The proxy behind it.
    pub const fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// From now on the daemon says that it is stopping.
    pub fn stop(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// Answers a request.
    pub async fn handle<B>(&self, ends: Ends, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let started = Stopwatch::start();
        let (parts, body) = request.into_parts();
        let id = self.request_id(&parts.headers);
        let mut answer = self.answer(ends, &parts, body).await;
        let headers = answer.response.headers_mut();
        // Behind those of caches between us and the origin (RFC 9211 section 2).
        headers.append(
            CACHE_STATUS,
            HeaderValue::from_static(answer.cache.header()),
        );
        headers.insert(REQUEST_ID, id.clone());
        if parts.method == Method::HEAD {
            drop_body(&mut answer.response);
        }
        self.record(ends, &parts, &id, (&answer, started));
        let saved = answer.cache.saves_bytes();
        answer
            .response
            .map(|body| body.metered(self.proxy.metrics(), saved))
    }

    async fn answer<B>(&self, ends: Ends, parts: &http::request::Parts, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let path = parts.uri.path();
        let own = |resource, response| Answer {
            response,
            resource,
            cache: CacheStatus::Own,
        };
        let target_length = parts.uri.path_and_query().map_or(0, |it| it.as_str().len());
        if target_length > TARGET_MAX {
            let text = format!("the request target is longer than {TARGET_MAX} bytes\n");
            return own("none", own::text(StatusCode::URI_TOO_LONG, text));
        }
        let prefix = self.bases.prefix();
        let below = path
            .strip_prefix(prefix)
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(path);
        if let (Some(raw), Some(path)) = (&self.raw, below.strip_prefix("/raw/")) {
            return match self.base_of(ends, parts) {
                Ok(base) => {
                    let place = format!("{}raw/", base.strip_suffix("v3/").unwrap_or(&base));
                    raw::answer(raw, (path, &place), parts, body).await
                }
                Err(error) => own("raw", misdirected(&error)),
            };
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return own("none", own::not_allowed(&parts.method));
        }
        let ready = self.ready.load(Ordering::Acquire);
        if let Some((resource, response)) = own::answer(below, &self.proxy, ready) {
            return own(resource, response);
        }
        let routed = below.strip_prefix("/v3/").ok_or(RouteError::NotFound);
        let target = match routed.and_then(|path| route::parse(path, parts.uri.query())) {
            Ok(target) => target,
            Err(error) => return own("none", unroutable(error)),
        };
        let resource = target.rule.name;
        match self.base_of(ends, parts) {
            Ok(base) => self.document(parts, target, base).await,
            Err(error) => own(resource, misdirected(&error)),
        }
    }

    fn base_of(&self, ends: Ends, parts: &http::request::Parts) -> Result<Arc<str>, BaseError> {
        let host = parts
            .headers
            .get(HOST)
            .and_then(|value| value.to_str().ok());
        self.bases.base_of(&Origin {
            host: host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)),
            headers: &parts.headers,
            peer: ends.peer.ip().to_canonical(),
            local: ends.local,
        })
    }

    async fn document(
        &self,
        parts: &http::request::Parts,
        target: Target,
        base: Arc<str>,
    ) -> Answer {
        let rule = target.rule;
        let head = parts.method == Method::HEAD;
        let request = proxy::Request {
            target,
            base,
            head,
            whole: parts.version < Version::HTTP_11,
            gzip: accepts_gzip(&parts.headers),
            directives: directives_of(&parts.headers),
            identity: identity_of(&parts.headers),
        };
        let serving = self.proxy.serve(&request);
        let served = if may_trickle(&request) {
            let Ok(served) = tokio::time::timeout(self.patience, serving).await else {
                let pulse = trickle::PULSE.min(self.patience);
                return Answer {
                    response: trickle::respond(self.proxy.clone(), request, pulse),
                    resource: rule.name,
                    cache: CacheStatus::Joined,
                };
            };
            served
        } else {
            serving.await
        };
        match served {
            Ok(reply) => {
                let (cache, warning) = (reply.cache, reply.warning.clone());
                let mut response = respond::respond(reply, rule, &parts.headers, head);
                if let CacheStatus::Stale(reason) = cache {
                    self.proxy
                        .metrics()
                        .stale
                        .with_label_values(&[reason.name()])
                        .inc();
                    let cause = warning.as_deref().unwrap_or(reason.text());
                    let text = format!("nugate served a stored copy ({}): {cause}", rule.name);
                    self.warn(&parts.headers, &mut response, &text);
                }
                Answer {
                    response,
                    resource: rule.name,
                    cache,
                }
            }
            Err(error) => {
                let mut response = own::text(status_of(&error), format!("{error}\n"));
                if is_worth_a_warning(&error) {
                    insert_warning(&mut response, &format!("nugate: {error}"));
                }
                Answer {
                    response,
                    resource: rule.name,
                    cache: error.cache_status(),
                }
            }
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

    /// The client's own identifier if it is a plain word, else one of ours.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if let Some(given) = headers.get(REQUEST_ID) {
            let bytes = given.as_bytes();
            if (1..=64).contains(&bytes.len()) && bytes.iter().all(plain) {
                return given.clone();
            }
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let text = format!("{:x}-{number:x}", self.run);
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }

    fn record(
        &self,
        ends: Ends,
        parts: &http::request::Parts,
        id: &HeaderValue,
        (answer, started): (&Answer, Stopwatch),
    ) {
        let status = answer.response.status();
        let class = status_class(status.as_u16());
        let metrics = self.proxy.metrics();
        let labels = [answer.resource, answer.cache.name(), class];
        metrics.requests.with_label_values(&labels).inc();
        let elapsed = started.elapsed();
        let seconds = metrics
            .request_seconds
            .with_label_values(&[answer.resource]);
        seconds.observe(elapsed.as_secs_f64());
        tracing::info!(
            target: "nugate::access",
            request_id = id.to_str().unwrap_or("-"),
            client = %ends.peer.ip(),
            method = %parts.method,
            path = parts.uri.path(),
            resource = answer.resource,
            status = status.as_u16(),
            cache = answer.cache.name(),
            bytes = answer.response.body().length(),
            duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
            "request"
        );
    }
}

/// Whether white space may precede the response: a JSON document that need not have a length.
fn may_trickle(request: &proxy::Request) -> bool {
    request.target.rule.view != View::Raw && !request.head && !request.whole
}

/// Leaves the body of a response to HEAD out, and its length in.
fn drop_body(response: &mut Response<ResponseBody>) {
    let body = std::mem::replace(response.body_mut(), ResponseBody::empty());
    if let Some(length) = body.length().filter(|length| *length > 0) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

pub(super) fn insert_warning(response: &mut Response<ResponseBody>, text: &str) {
    let clean: String = text
        .chars()
        .map(|char| if char.is_ascii_graphic() { char } else { ' ' })
        .take(500)
        .collect();
    if let Ok(value) = HeaderValue::from_str(&clean) {
        response.headers_mut().insert(WARNING, value);
    }
}

fn unroutable(error: RouteError) -> Response<ResponseBody> {
    let status = match error {
        RouteError::NotFound => StatusCode::NOT_FOUND,
        RouteError::BadPath | RouteError::BadQuery => StatusCode::BAD_REQUEST,
    };
    own::text(status, format!("{error}\n"))
}

fn misdirected(error: &BaseError) -> Response<ResponseBody> {
    let status = match error {
        BaseError::NoHost => StatusCode::BAD_REQUEST,
        BaseError::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
    };
    own::text(status, format!("{error}\n"))
}
