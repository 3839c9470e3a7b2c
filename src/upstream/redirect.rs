//! Where a redirect may lead.
//!
//! A feed decides which of its documents lie elsewhere, but not which hosts of the network this
//! daemon sits in are asked: a target must be a host that the feed, its service index or the
//! configuration names, and never plain text after TLS.

use std::collections::HashSet;

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use url::Url;

/// Most redirects followed for one request.
pub(super) const REDIRECTS_MAX: usize = 5;

/// Host of a URL, followed by `:port` when the port is not the scheme's own: the form in which
/// hosts are allowed.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Whether a status asks for another URL (RFC 9110 section 15.4) in a way that keeps GET and HEAD.
pub(super) const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Why a redirect is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// `Location` is missing or is not a URL.
    #[error("redirect without a usable location")]
    NoLocation,
    /// From https to anything else, or to neither of the two schemes.
    #[error("redirect from {from} to {to} refused")]
    Scheme {
        /// Scheme of the redirecting URL.
        from: String,
        /// Scheme of the target.
        to: String,
    },
    /// A host nobody named.
    #[error("redirect to {host} refused; add it to feeds.{feed}.redirect_hosts to allow it")]
    Host {
        /// The target's host.
        host: String,
        /// Name of the feed in the configuration.
        feed: String,
    },
}

/// What one request may be redirected to.
pub(super) struct Rules<'a> {
    /// Name of the feed in the configuration.
    pub(super) feed: &'a str,
    /// The feed's own service index.
    pub(super) url: &'a Url,
    /// Hosts of the validated service index, as by [`authority`].
    pub(super) allowed: &'a HashSet<String>,
    /// Patterns of the configuration: a host as by [`authority`], or `*.` and its end.
    pub(super) patterns: &'a [String],
}

impl Rules<'_> {
    /// The URL to ask after `from` answered with a redirect.
    pub(super) fn follow(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Refusal> {
        let target = headers
            .get(LOCATION)
            .and_then(|location| std::str::from_utf8(location.as_bytes()).ok())
            .and_then(|location| from.join(location).ok())
            .ok_or(Refusal::NoLocation)?;
        let secure = target.scheme() == "https";
        if !secure && (from.scheme() == "https" || target.scheme() != "http") {
            return Err(Refusal::Scheme {
                from: from.scheme().to_owned(),
                to: target.scheme().to_owned(),
            });
        }
        let host = authority(&target);
        if host == authority(from) || self.names(&host) {
            return Ok(target);
        }
        let feed = self.feed.to_owned();
        Err(Refusal::Host { host, feed })
    }

    fn names(&self, host: &str) -> bool {
        host == authority(self.url)
            || self.allowed.contains(host)
            || self.patterns.iter().any(|pattern| matches(pattern, host))
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(end) => end.starts_with('.') && host.len() > end.len() && host.ends_with(end),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn follow(from: &str, location: &'static str) -> Result<String, Refusal> {
        let rules = Rules {
            feed: "main",
            url: &Url::parse("https://feed.example/v3/index.json").unwrap(),
            allowed: &HashSet::from(["cdn.example".to_owned(), "cdn.example:8443".to_owned()]),
            patterns: &["Blob.example".to_owned(), "*.store.example".to_owned()],
        };
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static(location));
        let from = Url::parse(from).unwrap();
        rules.follow(&from, &headers).map(Into::into)
    }

    #[test]
    fn named_hosts_are_followed() {
        let check = |location, expected: &str| {
            assert_eq!(
                follow("https://other.example/a/b", location).as_deref(),
                Ok(expected)
            );
        };
        check("c", "https://other.example/a/c");
        check("/c?x=1", "https://other.example/c?x=1");
        check("//cdn.example/c", "https://cdn.example/c");
        check("https://cdn.example:443/c", "https://cdn.example/c");
        check("https://cdn.example:8443/c", "https://cdn.example:8443/c");
        check("https://feed.example/c", "https://feed.example/c");
        check("https://BLOB.example/c", "https://blob.example/c");
        check("https://a.b.store.example/c", "https://a.b.store.example/c");
        assert!(follow("http://other.example/a", "https://other.example/a").is_ok());
        assert!(follow("http://other.example/a", "http://cdn.example/a").is_ok());
    }

    #[test]
    fn unnamed_hosts_are_refused() {
        let check = |location, host: &str| {
            let refusal = follow("https://other.example/a", location).unwrap_err();
            assert_eq!(
                refusal,
                Refusal::Host {
                    host: host.to_owned(),
                    feed: "main".to_owned()
                }
            );
        };
        check("https://evil.example/", "evil.example");
        check("https://store.example/", "store.example");
        check("https://evilstore.example/", "evilstore.example");
        check("https://other.example:22/", "other.example:22");
        check("https://a.store.example:22/", "a.store.example:22");
        check("https://feed.example@evil.example/", "evil.example");
        check("https://169.254.169.254/latest", "169.254.169.254");
    }

    #[test]
    fn plain_text_and_other_schemes_are_refused() {
        let check = |from, location| {
            let refusal = follow(from, location).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Scheme { .. }),
                "{location}: {refusal}"
            );
        };
        check("https://other.example/a", "http://other.example/a");
        check("https://other.example/a", "http://cdn.example/a");
        check("http://other.example/a", "file:///etc/passwd");
        check("http://other.example/a", "ftp://cdn.example/a");
        let refusal = follow("https://other.example/a", "https://").unwrap_err();
        assert_eq!(refusal, Refusal::NoLocation);
    }
}
