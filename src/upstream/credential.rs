//! A feed's credential on the way out: which requests carry it.
//!
//! It goes to the origin (scheme, host and port) of the feed's service index and to the hosts the
//! configuration lists for it, by the feed's own scheme. Hosts that a service index or a redirect
//! names get nothing. Invariant: once a redirect has led away from those origins, what follows goes
//! without, even if it leads back: the path was then chosen by somebody else.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::{Origin, Url};

use super::{Feed, FeedOptions, Kind, UpstreamError};
use crate::config::{Credential, Scheme};

/// A credential as a header field, and the origins that get it.
pub struct Authorizer {
    name: HeaderName,
    value: HeaderValue,
    origins: Vec<Origin>,
}

impl Authorizer {
    /// The field for `credential` of the feed at `feed`; the error names what cannot be sent, never
    /// the secret.
    pub(super) fn new(credential: &Credential, feed: &Url) -> Result<Self, &'static str> {
        let secret = credential.secret.expose();
        let (name, text) = match &credential.scheme {
            Scheme::Basic { username } => {
                let pair = STANDARD.encode(format!("{username}:{secret}"));
                (AUTHORIZATION, format!("Basic {pair}"))
            }
            Scheme::Bearer => (AUTHORIZATION, format!("Bearer {secret}")),
            Scheme::Header(name) => (name.clone(), secret.to_owned()),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the credential cannot be sent in a header")?;
        // Not shown by `Debug`, and not indexed by HPACK (RFC 7541 section 7.1.3).
        value.set_sensitive(true);
        let mut origins = vec![feed.origin()];
        for host in &credential.hosts {
            let url = Url::parse(&format!("{}://{host}", feed.scheme()));
            let url = url.map_err(|_| "a host of the credential is no host")?;
            origins.push(url.origin());
        }
        Ok(Self {
            name,
            value,
            origins,
        })
    }

    fn is_for(&self, url: &Url) -> bool {
        self.origins.contains(&url.origin())
    }
}

/// What the credential of a feed becomes, if there is one.
pub(super) fn authorizer(options: &FeedOptions) -> Result<Option<Arc<Authorizer>>, UpstreamError> {
    let Some(credential) = &options.credential else {
        return Ok(None);
    };
    if options.url.scheme() == "http" {
        tracing::warn!(
            feed = options.name,
            "the credential is sent in clear text: the feed is http"
        );
    }
    let authorizer = Authorizer::new(credential, &options.url).map_err(|why| {
        let what = format!("feed {}", options.name);
        UpstreamError::new(Kind::Protocol, &what, why)
    })?;
    Ok(Some(Arc::new(authorizer)))
}

impl Feed {
    /// What another credential would become.
    ///
    /// # Errors
    /// When no header can carry it.
    pub fn authorizer(
        &self,
        credential: Option<Credential>,
    ) -> Result<Option<Arc<Authorizer>>, UpstreamError> {
        let options = self.options.clone();
        authorizer(&FeedOptions {
            credential,
            ..options
        })
    }

    /// Sends this with the questions that begin from now on.
    pub fn authorize_by(&self, authorizer: Option<Arc<Authorizer>>) {
        self.authorizer.store(authorizer);
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorizer").field(&self.name).finish()
    }
}

/// The requests of one question, from the first to the end of its redirects.
pub(super) struct Trail<'a>(Option<&'a Authorizer>);

impl<'a> Trail<'a> {
    /// A trail that begins with this credential, or without.
    pub(super) const fn new(authorizer: Option<&'a Authorizer>) -> Self {
        Self(authorizer)
    }

    /// Adds the credential to the headers of the request for `url`, if it is for that origin and has
    /// not been left behind.
    pub(super) fn authorize(&mut self, url: &Url, headers: &mut HeaderMap) {
        self.0 = self.0.filter(|authorizer| authorizer.is_for(url));
        if let Some(Authorizer { name, value, .. }) = self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn authorizer(scheme: Scheme, hosts: &[&str]) -> Authorizer {
        let credential = Credential {
            scheme,
            secret: Secret::new("hünter:2"),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let feed = Url::parse("https://Feed.example/v3/index.json").unwrap();
        Authorizer::new(&credential, &feed).unwrap()
    }

    fn basic(hosts: &[&str]) -> Authorizer {
        let username = "me".to_owned();
        authorizer(Scheme::Basic { username }, hosts)
    }

    /// Which requests of a chain of redirects carry the credential.
    fn carried(hosts: &[&str], chain: &[&str]) -> Vec<bool> {
        let authorizer = basic(hosts);
        let mut trail = Trail::new(Some(&authorizer));
        let carries = |url: &&str| {
            let mut headers = HeaderMap::new();
            trail.authorize(&Url::parse(url).unwrap(), &mut headers);
            headers.contains_key(AUTHORIZATION)
        };
        chain.iter().map(carries).collect()
    }

    #[test]
    fn forms_are_those_of_the_rfcs() {
        let check = |authorizer: &Authorizer, name: &str, value: &str| {
            assert_eq!(authorizer.name, name);
            assert_eq!(authorizer.value.as_bytes(), value.as_bytes());
            assert!(!format!("{authorizer:?} {:?}", authorizer.value).contains("nter"));
        };
        // UTF-8 as by RFC 7617 section 2.1; a colon in the password is allowed.
        check(&basic(&[]), "authorization", "Basic bWU6aMO8bnRlcjoy");
        check(
            &authorizer(Scheme::Bearer, &[]),
            "authorization",
            "Bearer hünter:2",
        );
        let name = HeaderName::from_static("x-key");
        check(&authorizer(Scheme::Header(name), &[]), "x-key", "hünter:2");
    }

    #[test]
    fn only_its_origins_get_it() {
        for (url, expected) in [
            ("https://feed.example/anything", true),
            ("https://feed.example:443/", true),
            ("https://FEED.example/", true),
            ("https://other.example/", true),
            ("https://third.example:8443/", true),
            ("http://feed.example/", false),
            ("http://feed.example:443/", false),
            ("https://feed.example:8443/", false),
            ("https://third.example/", false),
            ("http://other.example/", false),
            ("https://feed.example.evil.example/", false),
            ("https://sub.feed.example/", false),
            ("https://feed.example@evil.example/", false),
        ] {
            let hosts = ["other.example", "third.example:8443"];
            assert_eq!(carried(&hosts, &[url]), [expected], "{url}");
        }
    }

    #[test]
    fn what_was_left_behind_does_not_come_back() {
        let (feed, other, cdn) = (
            "https://feed.example/",
            "https://other.example/",
            "https://cdn.example/",
        );
        let hosts = ["other.example"];
        assert_eq!(carried(&hosts, &[feed, feed, other, feed]), [true; 4]);
        let away = [feed, cdn, feed, other];
        assert_eq!(carried(&hosts, &away), [true, false, false, false]);
        assert_eq!(carried(&hosts, &[cdn, feed]), [false, false]);
    }
}
