//! From a configuration to a running daemon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::jobs::discover;
use crate::observe::Metrics;
use crate::policy::class::Network;
use crate::proxy::{Options, Parts, Proxy};
use crate::server::access::{Access, UsersError};
use crate::server::{
    self, App, BaseRules, Door, Limits, Patience, Reload, Tls, TlsError, TlsOptions,
};
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
    /// The certificate cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The users cannot be used.
    #[error("access: {0}")]
    Access(#[from] UsersError),
    /// The counters cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A daemon that listens, and serves once it is run.
pub struct Daemon {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    reload: Reload,
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
        let metrics = Arc::new(Metrics::new()?);
        let reload = edge(config, &metrics)?;
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
            app: Arc::new(App::new(proxy, bases).with_access(Arc::clone(&reload.access))),
            reload,
            limits: Limits {
                connections_max: config.connections_max as usize,
                connections_per_client_max: config.connections_per_client_max as usize,
                excepted: config.trusted_proxies.clone(),
                patience: Patience::default(),
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
        let proxy = self.app.proxy().clone();
        let discovery =
            (self.network != Network::Offline).then(|| tokio::spawn(discover::run(proxy.clone())));
        let (told, begun) = oneshot::channel();
        let shutdown = async {
            shutdown.await;
            // The other end is held until the server has ended.
            let _ = told.send(Stopwatch::start());
        };
        let door = Door::new(self.listener, self.reload.tls.clone());
        let reload = tokio::spawn(self.reload.watch());
        let shutdown_timeout = self.limits.shutdown_timeout;
        server::run(door, self.app, self.limits, shutdown).await;
        reload.abort();
        if let Some(discovery) = discovery {
            discovery.abort();
        }
        // One limit for the whole end: a supervisor waits no longer either.
        let used = begun.await.map_or(Duration::ZERO, Stopwatch::elapsed);
        proxy.close(shutdown_timeout.saturating_sub(used)).await;
    }
}

/// Certificate and users, read once.
fn edge(config: &Config, metrics: &Arc<Metrics>) -> Result<Reload, StartError> {
    let tls = config.tls.pair().map(|(certificate, key)| TlsOptions {
        certificate: certificate.clone(),
        key: key.clone(),
        client_authorities: config.tls.client_authorities.clone(),
        client_certificates: config.tls.client_certificates,
        version_min: config.tls.version_min,
        handshake_timeout: config.tls.handshake_timeout,
    });
    let tls = tls.map(Tls::load).transpose()?.map(Arc::new);
    let proxies = config.trusted_proxies.clone();
    let access = Access::open(&config.access, proxies, Arc::clone(metrics))?;
    Ok(Reload {
        tls,
        access: Arc::new(access),
        metrics: Arc::clone(metrics),
    })
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
