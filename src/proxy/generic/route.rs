//! Where a generic route leads, and what it lets through.

use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, ETAG, EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, SET_COOKIE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::entry::Kept;
use crate::policy::http::{Lifetimes, fields};
use crate::upstream::{FeedOptions, Relay, UpstreamError};

const API_KEY: HeaderName = HeaderName::from_static("x-nuget-apikey");

/// What a client says of itself to us, and to no upstream unless told to relay it.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, API_KEY];

/// The conditions and parts a client asks for; when a stored response is confirmed, they are
/// answered from it.
const CONDITIONS: [HeaderName; 6] = [
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];

/// The settings of one generic route.
#[derive(Clone, Debug)]
pub struct RouteOptions {
    /// Its name: part of the key of everything it stores.
    pub name: String,
    /// The URL below which it leads; its path ends with a slash.
    pub url: Url,
    /// Whether methods other than GET and HEAD are passed on.
    pub unsafe_methods: bool,
    /// Whether `Authorization`, `Cookie` and `X-NuGet-ApiKey` of clients are passed on.
    pub relay_credentials: bool,
    /// Lifetimes of what says nothing itself.
    pub lifetimes: Lifetimes,
    /// The largest body that is stored, in bytes.
    pub size_max: u64,
    /// JSON documents, by their path below `url`, whose links below `url` lead back to the route.
    pub rewrite: Vec<String>,
}

/// A generic route and its connections.
#[derive(Debug)]
pub struct Route {
    pub(super) options: RouteOptions,
    pub(super) relay: Relay,
    pause_max: Duration,
}

impl Route {
    /// A route that has asked nothing yet; `upstream` has its limits, and the hosts whose redirects
    /// are followed instead of being passed on.
    pub fn new(options: RouteOptions, upstream: FeedOptions) -> Result<Self, UpstreamError> {
        let pause_max = upstream.idle_timeout;
        let relay = Relay::new(upstream)?;
        Ok(Self {
            options,
            relay,
            pause_max,
        })
    }

    /// The longest wait between two pieces of a body, in either direction.
    pub const fn pause_max(&self) -> Duration {
        self.pause_max
    }

    /// Its settings.
    pub const fn options(&self) -> &RouteOptions {
        &self.options
    }

    /// Whether a request with this method is passed on.
    pub fn allows(&self, method: &Method) -> bool {
        let never = matches!(*method, Method::CONNECT | Method::TRACE);
        matches!(*method, Method::GET | Method::HEAD) || (self.options.unsafe_methods && !never)
    }

    /// The upstream URL of a path below the route; `None` when it leads out of it.
    pub fn url_of(&self, path: &str, query: Option<&str>) -> Option<Url> {
        let base = &self.options.url;
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let url = Url::parse(&format!("{base}{path}{query}")).ok()?;
        let below = url.path().starts_with(base.path());
        (below && url.origin() == base.origin() && url.fragment().is_none()).then_some(url)
    }

    /// The path below the route of an upstream URL, with its query.
    pub fn path_of<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(self.options.url.as_str())
    }

    /// Whether the links of a document are to lead back to the route.
    pub(super) fn rewrites(&self, url: &Url) -> bool {
        let path = self.path_of(url.as_str()).unwrap_or_default();
        self.options.rewrite.iter().any(|listed| listed == path)
    }

    /// Under which name responses of a URL are stored.
    pub(super) fn uri(&self, url: &Url) -> String {
        format!("{} {url}", self.options.name)
    }

    /// Whether the upstream will see who asks.
    pub(super) fn is_authorized(&self, request: &HeaderMap) -> bool {
        self.options.relay_credentials && request.contains_key(AUTHORIZATION)
    }

    /// The fields of a request as they are passed on.
    pub(super) fn outgoing(&self, mut headers: HeaderMap, via: &str) -> HeaderMap {
        fields::end_to_end(&mut headers);
        for name in [&HOST, &EXPECT, &CONTENT_LENGTH] {
            headers.remove(name);
        }
        if !self.options.relay_credentials {
            for name in &CREDENTIALS {
                headers.remove(name);
            }
        }
        append_via(&mut headers, via);
        headers
    }

    /// Removes the cookies of a response where those of clients are not passed on either.
    pub(super) fn strip_cookies(&self, headers: &mut HeaderMap) {
        if !self.options.relay_credentials {
            headers.remove(SET_COOKIE);
        }
    }
}

/// The fields of a request that asks whether `seen` is still right, or for all of it; its client's
/// own conditions are answered from what is stored then.
pub(super) fn confirming(request: &HeaderMap, seen: Option<&Kept>) -> HeaderMap {
    let mut headers = request.clone();
    for name in &CONDITIONS {
        headers.remove(name);
    }
    for (condition, validator) in [(IF_NONE_MATCH, ETAG), (IF_MODIFIED_SINCE, LAST_MODIFIED)] {
        if let Some(value) = seen.and_then(|seen| seen.headers.get(validator)) {
            headers.insert(condition, value.clone());
        }
    }
    headers
}

/// Whether a request asks for less than the whole response.
pub(super) fn is_conditional(request: &HeaderMap) -> bool {
    CONDITIONS.iter().any(|name| request.contains_key(name))
}

/// Whether only the origin can answer a condition of the request (RFC 9110 section 13.1.1).
pub(super) fn is_for_origin(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// Adds ourselves to those a message came by (RFC 9110 section 7.6.3).
pub(super) fn append_via(headers: &mut HeaderMap, pseudonym: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("1.1 {pseudonym}")) {
        headers.append(VIA, value);
    }
}

/// Whether a message has come by here before.
pub(super) fn came_by(headers: &HeaderMap, pseudonym: &str) -> bool {
    let lines = headers.get_all(VIA).iter();
    let mut members = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    members.any(|member| member.split_whitespace().nth(1) == Some(pseudonym))
}
