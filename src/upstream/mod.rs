//! What is asked of upstreams: one [`Feed`] each, with its own client, limits and retries.
//!
//! Knows HTTP, not NuGet: which URL to ask and what a status means is decided above. Nothing is
//! kept here but open connections.
//!
//! Invariants: nothing of a client's credentials or cookies is passed on; a body ends without an
//! error only if it is whole; every wait and every queue has a bound.

mod body;
mod client;
mod decode;
mod error;
mod fetch;
mod limit;
mod redirect;
mod relay;
mod retry;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use url::Url;

pub use body::UpstreamBody;
pub use error::{Kind, UpstreamError};
pub use fetch::{ClientIdentity, Encoding, Fetch, Fetched};
pub use redirect::authority;
pub use relay::{Answered, Relay, RelayBody, Relayed, no_body};

/// The settings of one feed.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// Its name in the configuration, for messages.
    pub name: String,
    /// Its service index, http or https.
    pub url: Url,
    /// Further hosts a redirect may lead to: `host`, `host:port` or `*.suffix`.
    pub redirect_hosts: Vec<String>,
    /// Longest wait for a TCP connection.
    pub connect_timeout: Duration,
    /// Longest wait for a response head, connecting and redirects included.
    pub header_timeout: Duration,
    /// Longest wait between two frames of a body.
    pub idle_timeout: Duration,
    /// How often a request is made at most when it fails; each of its URLs is tried once anyway.
    pub attempts: u32,
    /// Most requests at a time; further ones wait.
    pub connections_max: usize,
    /// Most requests begun in a second; 0 is any number.
    pub requests_per_second: u32,
    /// Certificates trusted beside the platform's.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// One upstream.
pub struct Feed {
    options: FeedOptions,
    client: client::Client,
    gate: limit::Gate,
}

impl Feed {
    /// A feed that has asked nothing yet: needs neither the network nor certificates of the
    /// platform. Fails on a URL that is not http(s) and on unreadable extra roots.
    pub fn new(options: FeedOptions) -> Result<Self, UpstreamError> {
        let what = format!("feed {}", options.name);
        if !matches!(options.url.scheme(), "http" | "https") {
            let why = format!(
                "scheme {:?} is neither http nor https",
                options.url.scheme()
            );
            return Err(UpstreamError::new(Kind::Protocol, &what, why));
        }
        let roots = options.extra_roots.clone();
        let client = client::build(options.connect_timeout, roots).map_err(|error| {
            UpstreamError::caused(
                Kind::Tls,
                &what,
                "extra root certificates not usable",
                error,
            )
        })?;
        let gate = limit::Gate::new(
            &options.name,
            options.connections_max,
            options.requests_per_second,
        );
        Ok(Self {
            options,
            client,
            gate,
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Its service index.
    pub const fn url(&self) -> &Url {
        &self.options.url
    }

    /// Whether a URL that a document of this feed names may be asked for: its host is the feed's,
    /// one of `allowed` (those of the validated service index) or one of `redirect_hosts`, and it
    /// is not plain text where the feed is TLS.
    pub fn allows(&self, url: &Url, allowed: &HashSet<String>) -> bool {
        let rules = redirect::Rules {
            feed: &self.options.name,
            url: &self.options.url,
            allowed,
            patterns: &self.options.redirect_hosts,
        };
        let secure = url.scheme() == "https";
        let plain = url.scheme() == "http" && self.options.url.scheme() == "http";
        (secure || plain) && rules.names(&authority(url))
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Feed").field(&self.options.name).finish()
    }
}
