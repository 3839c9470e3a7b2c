//! From a configuration to a running daemon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::clock::{Clock, Stopwatch};
use crate::config::{Config, GenericConfig};
use crate::jobs::discover;
use crate::observe::Metrics;
use crate::policy::class::Network;
use crate::policy::http::Lifetimes;
use crate::proxy::generic::{Generic, GenericParts, Route, RouteOptions};
use crate::proxy::{Options, Parts, Proxy};
use crate::server::{self, App, BaseRules, Limits};
use crate::store::{Store, StoreError, StoreOptions, Totals};
use crate::upstream::{Feed, FeedOptions, UpstreamError};

/// Large bodies kept open; a fraction of the usual limit of 1024 descriptors.
const OPEN_FILES: u64 = 256;

/// The longest wait for the store to say how much it holds.
const COUNTING: Duration = Duration::from_millis(200);

/// Why a daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cache directory cannot be used.
    #[error("the cache cannot be opened: {0}")]
    Store(#[from] StoreError),
    /// The settings of a generic route cannot be used.
    #[error("route raw.{name} cannot be used: {source}")]
    Route {
        /// Its name.
        name: String,
        /// Why.
        source: UpstreamError,
    },
    /// The feed's settings cannot be used.
    #[error("the feed cannot be used: {0}")]
    Feed(#[from] UpstreamError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The counters cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A daemon that listens, and serves once it is run.
pub struct Daemon {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    limits: Limits,
    network: Network,
    totals: Option<Totals>,
}

impl Daemon {
    /// Opens the store and the socket; asks the upstream nothing.
    ///
    /// # Errors
    /// [`StartError`] as described there.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let feed = Feed::new(feed_options(config))?;
        let routes = routes(config)?;
        let metrics = Arc::new(Metrics::new()?);
        let store = Store::open(StoreOptions {
            dir: config.cache.dir.clone(),
            memory: config.cache.memory / 2,
            open_files: OPEN_FILES,
        })
        .await?;
        let totals = tokio::time::timeout(COUNTING, store.counted()).await.ok();
        let listen_error = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let raw = Generic::new(GenericParts {
            store: store.clone(),
            clock: Clock::System,
            metrics: Arc::clone(&metrics),
            network: config.network,
            document_size_max: config.cache.document_size_max,
            routes,
        });
        let proxy = Proxy::new(Parts {
            store,
            feed,
            clock: Clock::System,
            metrics,
            options: options(config),
        })
        .await;
        let bases = BaseRules {
            public_url: config.public_url.clone(),
            allowed_hosts: config.allowed_hosts.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
        };
        Ok(Self {
            listener,
            address,
            app: Arc::new(App::new(proxy, bases).with_raw(raw)),
            limits: Limits {
                connections_max: config.connections_max as usize,
                shutdown_timeout: config.shutdown_timeout,
            },
            network: config.network,
            totals: totals.and_then(Result::ok),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the store held at start, if it could be counted in time.
    pub const fn totals(&self) -> Option<Totals> {
        self.totals
    }

    /// Serves until `shutdown`; then finishes what is under way, within the limit.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let app = Arc::clone(&self.app);
        let proxy = self.app.proxy().clone();
        let discovery =
            (self.network != Network::Offline).then(|| tokio::spawn(discover::run(proxy.clone())));
        let (told, begun) = oneshot::channel();
        let shutdown = async {
            shutdown.await;
            // The other end is held until the server has ended.
            let _ = told.send(Stopwatch::start());
        };
        server::run(self.listener, self.app, self.limits, shutdown).await;
        if let Some(discovery) = discovery {
            discovery.abort();
        }
        // One limit for the whole end: a supervisor waits no longer either.
        let used = begun.await.map_or(Duration::ZERO, Stopwatch::elapsed);
        let left = self.limits.shutdown_timeout.saturating_sub(used);
        let waited = Stopwatch::start();
        // What is cut off here is told by `close`, or is a fetch of the next request.
        let _ = tokio::time::timeout(left, app.quiet()).await;
        proxy.close(left.saturating_sub(waited.elapsed())).await;
    }
}

fn feed_options(config: &Config) -> FeedOptions {
    let feed = &config.feed;
    FeedOptions {
        name: feed.name.clone(),
        url: feed.url.clone(),
        redirect_hosts: feed
            .redirect_hosts
            .iter()
            .map(ToString::to_string)
            .collect(),
        connect_timeout: feed.connect_timeout,
        header_timeout: feed.header_timeout,
        idle_timeout: feed.idle_timeout,
        attempts: feed.attempts,
        connections_max: feed.connections_max as usize,
        requests_per_second: feed.requests_per_second,
        extra_roots: Vec::new(),
    }
}

/// The generic routes. They share the limits of the feed, and nothing else of it.
fn routes(config: &Config) -> Result<Vec<Route>, StartError> {
    let of = |raw: &GenericConfig| {
        let options = RouteOptions {
            name: raw.name.clone(),
            url: raw.url.clone(),
            unsafe_methods: raw.unsafe_methods,
            relay_credentials: raw.relay_credentials,
            lifetimes: Lifetimes {
                default: raw.ttl,
                heuristic_max: raw.heuristic_ttl,
                stale_if_unreachable: raw.stale_if_unreachable,
            },
            size_max: config.cache.package_size_max,
            rewrite: raw.rewrite.clone(),
        };
        let hosts = raw.redirect_hosts.iter();
        let upstream = FeedOptions {
            name: format!("raw.{}", raw.name),
            url: raw.url.clone(),
            redirect_hosts: hosts.map(ToString::to_string).collect(),
            connect_timeout: config.feed.connect_timeout,
            header_timeout: config.feed.header_timeout,
            idle_timeout: config.feed.idle_timeout,
            attempts: 1,
            connections_max: config.feed.connections_max as usize,
            requests_per_second: config.feed.requests_per_second,
            extra_roots: Vec::new(),
        };
        Route::new(options, upstream).map_err(|source| StartError::Route {
            name: raw.name.clone(),
            source,
        })
    };
    config.raw.iter().map(of).collect()
}

fn options(config: &Config) -> Options {
    Options {
        freshness: config.freshness,
        network: config.network,
        honour_no_cache: config.honour_no_cache,
        web_links: config.web_links,
        memory: config.cache.memory / 2,
        document_size_max: config.cache.document_size_max,
        package_size_max: config.cache.package_size_max,
    }
}
