//! What is asked of upstreams: one [`Feed`] each, with its own client, limits and retries.
//!
//! Knows HTTP, not NuGet: which URL to ask and what a status means is decided above. Nothing is
//! kept here but open connections. A feed that is a folder is asked in the same terms.
//!
//! Invariants: nothing of a client's credentials or cookies is passed on; the feed's own goes only to
//! the origins it is for; a body ends without an
//! error only if it is whole; every wait and every queue has a bound.

mod ahead;
mod body;
mod breaker;
mod checksum;
mod client;
mod credential;
mod decode;
mod dial;
mod error;
mod fair;
mod fetch;
mod hold;
mod hosts;
mod limit;
mod local;
mod look;
mod pass;
mod push;
mod reach;
mod redirect;
mod relay;
mod resolve;
mod rest;
mod retry;
mod trust;
mod tunnel;
mod verifier;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use url::Url;

use crate::clock::Clock;
use crate::config::Credential;
use crate::folder::Folder;
use crate::observe::Metrics;
use crate::pace;
use breaker::Way;

pub use body::UpstreamBody;
pub use checksum::{Algorithm, Checksum, checksums};
pub use credential::Authorizer;
pub use error::{Kind, UpstreamError};
pub use fetch::{ClientIdentity, Encoding, Fetch, Fetched};
pub use look::{Look, Looked};
pub use pass::Pass;
pub use push::{Push, PushError, PushHeaders, Pushed, Upload};
pub use redirect::authority;
pub use relay::{Answered, Relay, RelayBody, Relayed, no_body};
pub use rest::{Rest, Wanted, validator};
pub use trust::{Identity, Outbound, read_authorities, read_identity};

/// The settings of one feed.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// Its name in the configuration, for messages.
    pub name: String,
    /// Its service index, http or https; or a folder of packages, as a `file` URL.
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
    /// Longest time a request waits for a host that asked to be left alone.
    pub hold: Duration,
    /// Most requests at a time; further ones wait.
    pub connections_max: usize,
    /// Most requests begun in a second; 0 is any number.
    pub requests_per_second: u32,
    /// How connections are made.
    pub outbound: Outbound,
    /// What proves to it who we are; `None` to ask without.
    pub credential: Option<Credential>,
    /// Types of its service index that nugate does not know and passes through all the same.
    pub pass_types: Vec<String>,
    /// How fast it may be asked, and how fast its bytes may come.
    pub pace: pace::Upstream,
}

/// One upstream.
pub struct Feed {
    options: FeedOptions,
    client: client::Client,
    ahead: Arc<ahead::Ahead>,
    connector: client::Connector,
    gate: limit::Gate,
    hosts: hosts::Hosts,
    budget: retry::Budget,
    holding: hold::Holding,
    /// For pushes: each on a connection of its own.
    pusher: client::Client<push::RelayBody>,
    push_gate: limit::Gate,
    authorizer: ArcSwapOption<Authorizer>,
    reach: reach::Reach,
    /// What is asked instead of the network.
    folder: Option<Folder>,
}

impl Feed {
    /// A feed that has asked nothing yet: needs neither the network nor certificates of the
    /// platform. Fails on a URL that is neither http(s) nor a folder, on certificates that cannot be
    /// used, and on a credential that no header can carry.
    pub fn new(mut options: FeedOptions) -> Result<Self, UpstreamError> {
        let what = format!("feed {}", options.name);
        let folder = local::folder(&mut options)?;
        if !matches!(options.url.scheme(), "http" | "https") {
            let why = format!(
                "scheme {:?} is neither http nor https",
                options.url.scheme()
            );
            return Err(UpstreamError::new(Kind::Protocol, &what, why));
        }
        let reach = reach::Reach::of(&options);
        let wiring = client::Wiring::new(&options, reach.clone())?;
        let authorizer = credential::authorizer(&options)?;
        let gate = limit::Gate::new(
            &options.name,
            options.connections_max,
            options.requests_per_second,
        );
        let ahead = Arc::default();
        let push_gate = limit::Gate::new(&options.name, push::PUSHES_MAX, 0);
        Ok(Self {
            hosts: hosts::Hosts::new(&options.name),
            budget: retry::Budget::default(),
            holding: hold::Holding::default(),
            options,
            client: wiring.client_ahead(&ahead),
            ahead,
            connector: wiring.connector(),
            gate,
            pusher: wiring.once(),
            push_gate,
            authorizer: ArcSwapOption::new(authorizer),
            reach,
            folder,
        })
    }

    /// The same, by this clock, and counted in these series.
    #[must_use]
    pub fn observed(mut self, clock: Clock, metrics: Arc<Metrics>) -> Self {
        self.hosts.observe(clock, metrics);
        self
    }

    /// Whether the host of `url` is left alone because it failed or asked for it: what is stored is
    /// to be served without asking.
    pub fn is_left_alone(&self, url: &str) -> bool {
        self.way(url) != Way::Free
    }

    /// Whether a request for `url` would be the one that finds out if its host answers again.
    pub fn is_probe_due(&self, url: &str) -> bool {
        self.way(url) == Way::Probe
    }

    fn way(&self, url: &str) -> Way {
        if self.hosts.are_well() {
            return Way::Free;
        }
        Url::parse(url).map_or(Way::Free, |url| self.hosts.way(&url))
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Types of its service index that are passed through.
    pub fn pass_types(&self) -> &[String] {
        &self.options.pass_types
    }

    /// Its service index; that of a folder is below a host that does not exist.
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
