//! What can go wrong with an upstream, and in which words it is told.
//!
//! A 404, a 304 or a 401 is an answer, not an error; so is every status the caller must judge.
//! Invariant: no text contains a query string or user information of a URL, because both may carry
//! secrets.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rustls::CertificateError;
use url::Url;

use super::client::SendError;
use super::tunnel::{Fault, ProxyError};

/// What kind of failure an [`UpstreamError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No TCP connection: refused or unreachable.
    Connect,
    /// No TCP connection within the connect limit.
    ConnectTimeout,
    /// The name of the host has no address.
    Dns,
    /// The proxy on the way fails: it cannot be reached, or does not lead to the host.
    Proxy,
    /// The proxy on the way did not open a tunnel within the connect limit.
    ProxyTimeout,
    /// The proxy on the way refuses: it wants another credential, does not lead there, or is none.
    ProxyDenied,
    /// The TLS handshake failed: certificate not trusted, expired, for another name.
    Tls,
    /// No response head, or no further byte of a body, within its time limit.
    Timeout,
    /// The connection ended inside a response, or before one began.
    Cut,
    /// A redirect that must not be followed.
    Redirect,
    /// `Content-Encoding` that was not asked for, or encoded bytes that are damaged.
    BadEncoding,
    /// The body is longer than the caller's limit.
    TooLarge,
    /// A status that says "try again": 408, 429, 500, 502, 503, 504.
    Status(u16),
    /// Not HTTP, or a URL that cannot be requested.
    Protocol,
    /// A feed that is a folder, or a file in it, cannot be read.
    Folder,
    /// Too many requests wait for this feed already, or one waited too long for its turn.
    Busy,
    /// Not asked: the host failed again and again.
    Open,
    /// Not asked: the host asked to be left alone (`Retry-After`).
    Limited,
}

impl Kind {
    /// Whether something took longer than it may.
    pub const fn is_timeout(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::ConnectTimeout | Self::ProxyTimeout
        )
    }

    /// The metric label: a closed set, so statuses are one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect | Self::ConnectTimeout => "connect",
            Self::Dns => "dns",
            Self::Proxy | Self::ProxyTimeout => "proxy",
            Self::ProxyDenied => "proxy-denied",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Redirect => "redirect",
            Self::BadEncoding => "encoding",
            Self::TooLarge => "too-large",
            Self::Status(429) => "429",
            Self::Status(_) => "5xx",
            Self::Protocol => "protocol",
            Self::Folder => "folder",
            Self::Busy => "busy",
            Self::Open => "open",
            Self::Limited => "limited",
        }
    }
}

/// A request to an upstream that brought no usable response, or a body that broke off.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{context}")]
pub struct UpstreamError {
    /// What kind of failure it is.
    pub kind: Kind,
    /// Method and URL without query, then the reason.
    pub context: String,
    /// How long the upstream asked to be left alone (RFC 9110 section 10.2.3), or is.
    pub retry_after: Option<Duration>,
    /// The error below, if there is one.
    #[source]
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl UpstreamError {
    /// An error of `kind` that happened to `what` (see [`describe`]) because of `why`.
    pub(super) fn new(kind: Kind, what: &str, why: impl fmt::Display) -> Self {
        Self {
            kind,
            context: format!("{what}: {why}"),
            retry_after: None,
            source: None,
        }
    }

    /// The same with the error below it; its innermost reason is appended to `why`.
    pub(super) fn caused(
        kind: Kind,
        what: &str,
        why: &str,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        let reason = reason(&source);
        Self {
            source: Some(Arc::new(source)),
            ..Self::new(kind, what, format_args!("{why}: {reason}"))
        }
    }

    /// Whether the same request may succeed when it is simply repeated later.
    pub const fn retryable(&self) -> bool {
        matches!(
            self.kind,
            Kind::Connect
                | Kind::ConnectTimeout
                | Kind::Dns
                | Kind::Proxy
                | Kind::ProxyTimeout
                | Kind::Timeout
                | Kind::Cut
                | Kind::Status(_)
                | Kind::Busy
                | Kind::Open
                | Kind::Limited
        )
    }

    /// The reason, without method and URL.
    pub(super) fn why(&self) -> &str {
        let context = &self.context;
        context.split_once(": ").map_or(context, |(_, why)| why)
    }

    /// The error for a request that ended before its response head.
    pub(super) fn of_send(what: &str, error: SendError) -> Self {
        let source = match error {
            SendError::Proxy(error) => return Self::of_proxy(what, &error),
            SendError::Request(source) => source,
        };
        if let Some(error) = chain(&source).find_map(<dyn Error>::downcast_ref::<ProxyError>) {
            return Self::of_proxy(what, error);
        }
        let kind = send_kind(&source);
        let why = match kind {
            Kind::Dns => "cannot resolve the host",
            Kind::Tls => "tls handshake failed",
            Kind::Connect | Kind::ConnectTimeout => "cannot connect",
            Kind::Protocol => "not a valid response",
            _ => "connection lost before the response",
        };
        Self::caused(kind, what, why, source)
    }

    fn of_proxy(what: &str, error: &ProxyError) -> Self {
        let kind = match error.fault {
            Fault::Unreachable(_) | Fault::Cut => Kind::Proxy,
            Fault::Refused(status) if status.is_server_error() => Kind::Proxy,
            Fault::Far(_) | Fault::Silent(_) => Kind::ProxyTimeout,
            Fault::Refused(_) | Fault::Credential(_) | Fault::Garbled(_) => Kind::ProxyDenied,
        };
        Self::new(kind, what, error)
    }

    /// The error for a body that ended before its end.
    pub(super) fn of_body(what: &str, source: hyper::Error) -> Self {
        Self::caused(Kind::Cut, what, "response body cut", source)
    }
}

/// How errors name a request: method and URL, without user information, query and fragment.
pub(super) fn describe(method: &Method, url: &Url) -> String {
    let mut origin = url.origin().ascii_serialization();
    if origin == "null" {
        origin = format!("{}:", url.scheme());
    }
    let query = if url.query().is_some() { "?..." } else { "" };
    format!("{method} {origin}{}{query}", url.path())
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // An io::Error that wraps another one shows that one's text but hides it from `source`.
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn send_kind(error: &hyper_util::client::legacy::Error) -> Kind {
    if chain(error).any(<dyn Error>::is::<rustls::Error>) {
        return Kind::Tls;
    }
    if error.is_connect() {
        // hyper-util's connector gives no other sign of a failed look-up than this text.
        let dns = chain(error).any(|cause| cause.to_string() == "dns error");
        let late = chain(error).any(|cause| {
            let io = cause.downcast_ref::<io::Error>();
            io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
        });
        return match (dns, late) {
            (true, _) => Kind::Dns,
            (_, true) => Kind::ConnectTimeout,
            _ => Kind::Connect,
        };
    }
    let parse = chain(error).any(|cause| {
        let http = cause.downcast_ref::<hyper::Error>();
        http.is_some_and(hyper::Error::is_parse)
    });
    if parse { Kind::Protocol } else { Kind::Cut }
}

/// The innermost reason in lower case, without the number of the system's error.
pub(super) fn reason(error: &(dyn Error + 'static)) -> String {
    let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    if chain(error).any(|cause| cause.downcast_ref() == Some(&unknown)) {
        return "certificate of an authority that is not trusted".to_owned();
    }
    let text = chain(error)
        .last()
        .map_or_else(String::new, ToString::to_string);
    let text = text.split(" (os error").next().unwrap_or_default().trim();
    text.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_hide_secrets() {
        let check = |url: &str, expected: &str| {
            let url = Url::parse(url).unwrap();
            assert_eq!(describe(&Method::GET, &url), expected);
        };
        check(
            "https://feed.example/v3/index.json",
            "GET https://feed.example/v3/index.json",
        );
        check(
            "https://u:pw@feed.example:8443/a?sig=secret#f",
            "GET https://feed.example:8443/a?...",
        );
    }

    #[test]
    fn the_innermost_reason_is_told() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = UpstreamError::caused(
            Kind::Connect,
            "GET http://a/",
            "cannot connect",
            io::Error::other(refused),
        );
        assert_eq!(
            error.to_string(),
            "GET http://a/: cannot connect: connection refused"
        );
        assert!(error.source().is_some());
    }

    #[test]
    fn only_passing_failures_are_retryable() {
        let check = |kind, expected| {
            assert_eq!(
                UpstreamError::new(kind, "x", "y").retryable(),
                expected,
                "{kind:?}"
            );
        };
        for kind in [
            Kind::Connect,
            Kind::Dns,
            Kind::Proxy,
            Kind::ProxyTimeout,
            Kind::Timeout,
            Kind::Cut,
            Kind::Status(503),
            Kind::Busy,
            Kind::Open,
            Kind::Limited,
        ] {
            check(kind, true);
        }
        for kind in [
            Kind::Tls,
            Kind::ProxyDenied,
            Kind::Redirect,
            Kind::BadEncoding,
            Kind::TooLarge,
            Kind::Protocol,
            Kind::Folder,
        ] {
            check(kind, false);
        }
    }
}
