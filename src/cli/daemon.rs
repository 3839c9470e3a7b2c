//! From a configuration to a running daemon.

mod doors;
mod parts;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::cli::descriptors::{self, Shares};
use crate::clock::{Clock, Stopwatch};
use crate::config::pem::PemError;
use crate::config::{Config, FeedConfig};
use crate::group::{Group, GroupOptions, Member};
use crate::jobs::command::{Cache, Running, renew_pins};
use crate::jobs::discover;
use crate::jobs::scrub::Scrub;
use crate::observe::Metrics;
use crate::observe::access_log::{AccessLog, Format};
use crate::pace::{Lines, ZoneError};
use crate::policy::class::Network;
use crate::proxy::generic::{Generic, GenericParts};
use crate::proxy::{Options, Parts, Proxy};
use crate::server::access::UsersError;
use crate::server::control::Control;
use crate::server::{App, Pages, Reload, TlsError};
use crate::store::{Store, StoreError, Totals};
use crate::upstream::{Feed, UpstreamError};

use self::doors::Doors;
use self::parts::{access_format, bases, open_store, options, pace_options, routes};
pub(in crate::cli) use self::parts::{feed_options, outbound, quota, rehearse, store_options};
use self::reload::Hangup;
pub use self::reload::Source;

/// The longest wait for the store to say how much it holds, which only the greeting tells.
const COUNTING: Duration = Duration::from_millis(20);

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
    /// The certificates for outgoing connections cannot be used.
    #[error("outgoing connections: {0}")]
    Outbound(#[from] PemError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address for those who look after it cannot be listened on.
    #[error("admin_listen: cannot listen on {address}: {source}")]
    AdminListen {
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
    /// The access log has no thread.
    #[error("access log: {0}")]
    Log(std::io::Error),
    /// The limits of bandwidth are in a time zone that is not known.
    #[error("time_zone: {0}")]
    Zone(#[from] ZoneError),
    /// The counters cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A daemon that listens, and serves once it is run.
pub struct Daemon {
    doors: Doors,
    app: Arc<App>,
    reload: Reload,
    hangup: Hangup,
    source: Option<Source>,
    network: Network,
    totals: Option<Totals>,
    scrub: Scrub,
    cache: Cache,
    control: Option<Control>,
}

impl Daemon {
    /// Opens the store and the socket; asks the upstream nothing.
    ///
    /// # Errors
    /// [`StartError`] as described there.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_on(None, config).await
    }

    /// The same on a socket that listens already, if there is one; `config.listen` is not used then.
    ///
    /// # Errors
    /// [`StartError`] as described there.
    pub async fn start_on(
        socket: Option<std::net::TcpListener>,
        config: &Config,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new()?);
        let lines = Lines::new(&pace_options(config), &Clock::System, &metrics)?;
        let feed = |settings: &FeedConfig| {
            let options = feed_options(settings, lines.towards(settings.rate))?;
            Ok::<_, StartError>(Feed::new(options)?)
        };
        let first = feed(&config.feed)?;
        let more: Result<Vec<Feed>, StartError> = config.more_feeds.iter().map(feed).collect();
        let feeds = (first, more?);
        let routes = routes(config, &lines)?;
        let reload = edge(config, &metrics)?;
        let shares = Shares::of(descriptors::raise(), config.connections_max);
        let store = open_store(config, store_options(config, &metrics, shares.open_files)).await?;
        let scrub = Scrub {
            store: store.clone(),
            clock: Clock::System,
            scrubbed: metrics.scrubbed.clone(),
            rate: config.cache.scrub_rate,
        };
        let totals = tokio::time::timeout(COUNTING, store.counted()).await.ok();
        let doors = Doors::open(socket, config, &shares).await?;
        let raw = Generic::new(GenericParts {
            store: store.clone(),
            clock: Clock::System,
            metrics: Arc::clone(&metrics),
            network: config.network,
            document_size_max: config.cache.document_size_max,
            routes,
        });
        let group = Box::pin(group(config, feeds, (&store, &metrics))).await;
        let cache = cache(config, store, &group);
        let mut log = access_log(config, &metrics)?;
        let mut app = App::new(group, bases(config))
            .with_v2(config.v2)
            .with_access(Arc::clone(&reload.access))
            .with_pace(lines.clients)
            .with_raw(raw);
        if config.pages {
            let journal = Arc::new(Pages::journal(&metrics));
            log = log.with_journal(Arc::clone(&journal));
            app = app.with_pages(Pages::new(cache.clone(), journal));
        }
        Ok(Self {
            doors,
            app: Arc::new(app.with_access_log(log)),
            reload,
            hangup: Hangup::caught(),
            source: None,
            network: config.network,
            totals: totals.and_then(Result::ok),
            scrub,
            cache,
            control: control(config),
        })
    }

    /// The same, reading its configuration again from this source on SIGHUP.
    #[must_use]
    pub fn with_source(self, source: Source) -> Self {
        let source = Some(source);
        Self { source, ..self }
    }

    /// What everything is kept in.
    pub const fn store(&self) -> &Store {
        &self.cache.store
    }

    /// Where everything is counted.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.reload.metrics
    }

    /// Where it listens for clients.
    pub const fn address(&self) -> SocketAddr {
        self.doors.address()
    }

    /// Where it listens for those who look after it, if not there too.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.doors.admin_address()
    }

    /// What the store held at start, if it could be counted in time.
    pub const fn totals(&self) -> Option<Totals> {
        self.totals
    }

    /// Serves until `shutdown`; then finishes what is under way, within the limit.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let app = Arc::clone(&self.app);
        let group = self.app.group().clone();
        let mut jobs = JoinSet::new();
        if self.network != Network::Offline {
            for member in group.members() {
                jobs.spawn(discover::run(member.proxy().clone()));
            }
        }
        jobs.spawn(self.scrub.run());
        jobs.spawn(renew_pins(self.cache.clone()));
        let parts = reload::Parts {
            address: self.doors.address(),
            app: Arc::clone(&app),
            access: Arc::clone(&self.reload.access),
            store: self.cache.store.clone(),
            quota: Arc::clone(&self.cache.quota),
            metrics: Arc::clone(&self.reload.metrics),
        };
        if let Some(control) = self.control {
            jobs.spawn(control.run(self.cache));
        }
        let (told, begun) = oneshot::channel();
        let shutdown = async {
            shutdown.await;
            // The other end is held until the server has ended.
            let _ = told.send(Stopwatch::start());
        };
        let tls = self.reload.tls.clone();
        jobs.spawn(reload::watch(
            (self.reload, self.hangup),
            self.source,
            parts,
        ));
        let shutdown_timeout = self.doors.shutdown_timeout();
        self.doors.serve(self.app, tls, shutdown).await;
        jobs.shutdown().await;
        // One limit for the whole end: a supervisor waits no longer either.
        let used = begun.await.map_or(Duration::ZERO, Stopwatch::elapsed);
        let left = shutdown_timeout.saturating_sub(used);
        let waited = Stopwatch::start();
        // What is cut off here is told by `close`, or is a fetch of the next request.
        let _ = tokio::time::timeout(left, app.quiet()).await;
        group.close(left.saturating_sub(waited.elapsed())).await;
    }
}

/// What commands work on.
fn cache(config: &Config, store: Store, group: &Group) -> Cache {
    Cache {
        store,
        quota: Arc::new(ArcSwap::from_pointee(quota(config))),
        feeds: config.feeds().map(|feed| feed.name.clone()).collect(),
        running: Some(Running {
            group: group.clone(),
            started_at: Clock::System.now(),
        }),
    }
}

/// Where commands come in; a daemon without it serves all the same.
fn control(config: &Config) -> Option<Control> {
    let control = Control::bind(&config.cache.dir);
    let control = control.inspect_err(|error| {
        tracing::warn!(%error, "commands cannot reach this daemon: there is no control socket");
    });
    control.ok()
}

/// The feeds over one store. Memory for rendered documents is shared evenly; with several feeds
/// combined documents have a share too.
async fn group(config: &Config, (first, more): (Feed, Vec<Feed>), shared: Shared<'_>) -> Group {
    let parts = match more.len() {
        0 => 1,
        others => others + 2,
    };
    let memory = config.cache.memory / 2 / parts as u64;
    let group_options = GroupOptions {
        versions: config.versions,
        memory,
        document_size_max: config.cache.document_size_max,
    };
    let of = |feed| options(config, feed, memory);
    let first = member((first, &config.feed), of(&config.feed), shared).await;
    let mut others = Vec::new();
    for (feed, settings) in more.into_iter().zip(&config.more_feeds) {
        others.push(member((feed, settings), of(settings), shared).await);
    }
    Group::new(first, others, group_options)
}

/// What the feeds of a daemon share.
type Shared<'a> = (&'a Store, &'a Arc<Metrics>);

async fn member(
    (feed, settings): (Feed, &FeedConfig),
    options: Options,
    (store, metrics): Shared<'_>,
) -> Member {
    let proxy = Proxy::new(Parts {
        store: store.clone(),
        feed,
        clock: Clock::System,
        metrics: Arc::clone(metrics),
        options,
    });
    Member::new(proxy.await, settings.owns.clone())
}

/// Certificate and users, read once.
fn edge(config: &Config, metrics: &Arc<Metrics>) -> Result<Reload, StartError> {
    Ok(Reload {
        tls: parts::tls(config)?,
        access: Arc::new(parts::access(config, metrics)?),
        metrics: Arc::clone(metrics),
    })
}

/// What tells of each request, or does not yet.
fn access_log(config: &Config, metrics: &Metrics) -> Result<AccessLog, StartError> {
    let dropped = metrics.log_lines_dropped.clone();
    let log = AccessLog::start(std::io::stderr(), Format::Text, dropped);
    let log = log.map_err(StartError::Log)?;
    // A demonstration has no log.
    let told = tracing::enabled!(target: "nugate::access", tracing::Level::INFO);
    log.set(access_format(config).filter(|_| told));
    Ok(log)
}
