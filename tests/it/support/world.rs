//! A scripted upstream, a nugate in front of it on a real socket, and a clock that tests move.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use nugate::clock::{Clock, Time};
use nugate::config::AccessConfig;
use nugate::demo::ExampleFeed;
use nugate::group::Group;
use nugate::jobs::command::{self, Cache};
use nugate::nuget::publish::Publish;
use nugate::nuget::service_index::WebLinks;
use nugate::nuget::v2::V2Source;
use nugate::observe::Metrics;
use nugate::observe::access_log::{AccessLog, Format};
use nugate::pace::{self, Lines};
use nugate::policy::class::{Freshness, Network};
use nugate::policy::pacing::Rate;
use nugate::proxy::generic::{Generic, GenericParts, Route, RouteOptions};
use nugate::proxy::{Options, Parts, Proxy};
use nugate::server::access::Access;
use nugate::server::{App, BaseRules, Door, Limits, Pages, Purpose, Tls, run};
use nugate::store::{Quota, Store, StoreOptions};
use nugate::upstream::{Feed, FeedOptions, Outbound};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{self, Response};
use super::upstream::ScriptedUpstream;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a test may set.
pub struct Settings {
    pub options: Options,
    pub bases: BaseRules,
    pub feed: FeedOptions,
    /// The most bytes a second of the feed.
    pub rate: Option<Rate>,
    pub pace: pace::Options,
    pub limits: Limits,
    pub patience: Duration,
    pub quota: Quota,
    pub access: AccessConfig,
    pub tls: Option<Arc<Tls>>,
    /// Limits of a door of its own for metrics and pages, if there is one.
    pub admin: Option<Limits>,
    pub routes: Vec<RouteOptions>,
}

/// The whole set-up of a test.
pub struct World {
    pub up: ScriptedUpstream,
    pub clock: Clock,
    pub addr: SocketAddr,
    /// Where metrics and pages are.
    pub admin: SocketAddr,
    pub dir: TempDir,
    settings: Settings,
    running: Option<Running>,
}

struct Running {
    app: Arc<App>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl World {
    /// The demonstration's packages, default settings.
    pub async fn demo() -> Self {
        Self::new(ExampleFeed::demo()).await
    }

    /// These packages, default settings.
    pub async fn new(feed: ExampleFeed) -> Self {
        Self::with(feed, |_| {}).await
    }

    /// These packages, settings changed by `change`.
    pub async fn with(feed: ExampleFeed, change: impl FnOnce(&mut Settings)) -> Self {
        Self::before(ScriptedUpstream::new(feed).await, change).await
    }

    /// This upstream, settings changed by `change`.
    pub async fn before(up: ScriptedUpstream, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(&up.index_url());
        change(&mut settings);
        let mut world = Self {
            up,
            clock: Clock::manual(Time::from_millis(1_800_000_000_000)),
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            dir: TempDir::new().unwrap(),
            settings,
            running: None,
        };
        Box::pin(world.start()).await;
        world
    }

    /// Starts nugate over what its directory holds.
    pub async fn start(&mut self) {
        let metrics = Arc::new(Metrics::new().unwrap());
        let store = StoreOptions {
            dir: self.dir.path().to_owned(),
            memory: 16 << 20,
            open_files: 64,
            quota: self.settings.quota,
            clock: self.clock.clone(),
            evictions: metrics.evictions.with_label_values(&["entries"]),
            damaged: metrics.damaged_bodies.clone(),
            unsynced: metrics.unsynced_bodies.clone(),
        };
        let lines = Lines::new(&self.settings.pace, &self.clock, &metrics).unwrap();
        let feed = FeedOptions {
            pace: lines.towards(self.settings.rate),
            ..self.settings.feed.clone()
        };
        let parts = Parts {
            store: Store::open(store).await.unwrap(),
            feed: Feed::new(feed).unwrap(),
            clock: self.clock.clone(),
            metrics,
            options: self.settings.options.clone(),
        };
        let (metrics, store) = (Arc::clone(&parts.metrics), parts.store.clone());
        let dropped = metrics.log_lines_dropped.clone();
        let proxies = self.settings.bases.trusted_proxies.clone();
        let access = Access::open(&self.settings.access, proxies, Arc::clone(&metrics)).unwrap();
        let raw = self.generic(&parts);
        let proxy = Proxy::new(parts).await;
        let group = Group::from(proxy);
        let journal = Arc::new(Pages::journal(&metrics));
        let log = AccessLog::start(std::io::sink(), Format::Text, dropped).unwrap();
        let app = Arc::new(
            App::new(group.clone(), self.settings.bases.clone())
                .with_access_log(log.with_journal(Arc::clone(&journal)))
                .with_pages(Pages::new(self.cache(store, group), journal))
                .with_patience(self.settings.patience)
                .with_v2(self.settings.options.v2)
                .with_access(Arc::new(access))
                .with_pace(lines.clients)
                .with_raw(raw),
        );
        self.serve(app).await;
    }

    /// Serves through one door, or two.
    async fn serve(&mut self, app: Arc<App>) {
        let settings = &self.settings;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = stopped.map(drop).shared();
        let admin = settings.admin.clone().map(|it| (it, Purpose::Admin));
        let purpose = match admin {
            Some(_) => Purpose::Feeds,
            None => Purpose::Everything,
        };
        let mut tasks = Vec::new();
        for (limits, purpose) in [(settings.limits.clone(), purpose)]
            .into_iter()
            .chain(admin)
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            self.admin = listener.local_addr().unwrap();
            if purpose != Purpose::Admin {
                self.addr = self.admin;
            }
            let door = Door::new(listener, settings.tls.clone()).only_for(purpose);
            let app = Arc::clone(&app);
            tasks.push(run(door, app, limits, stopped.clone()));
        }
        let task = tokio::spawn(join_all(tasks).map(drop));
        let stop = Some(stop);
        self.running = Some(Running { app, stop, task });
    }

    fn cache(&self, store: Store, group: Group) -> Cache {
        Cache {
            store,
            quota: Arc::new(ArcSwap::from_pointee(self.settings.quota)),
            feeds: group.members().map(|it| it.name().to_owned()).collect(),
            running: Some(command::Running {
                group,
                started_at: self.clock.now(),
            }),
        }
    }

    fn generic(&self, parts: &Parts) -> Generic {
        let routes = self.settings.routes.iter().map(|options| {
            let upstream = FeedOptions {
                name: format!("raw.{}", options.name),
                url: options.url.clone(),
                ..self.settings.feed.clone()
            };
            Route::new(options.clone(), upstream).unwrap()
        });
        Generic::new(GenericParts {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            metrics: Arc::clone(&parts.metrics),
            network: parts.options.network,
            document_size_max: parts.options.document_size_max,
            routes: routes.collect(),
        })
    }

    /// Stops nugate and waits until it has written everything down.
    pub async fn stop(&mut self) {
        self.begin_to_stop();
        if let Some(Running { app, task, .. }) = self.running.take() {
            task.await.unwrap();
            app.quiet().await;
            app.proxy().close(Duration::from_secs(10)).await;
        }
    }

    /// Tells nugate to stop without waiting for it.
    pub fn begin_to_stop(&mut self) {
        if let Some(stop) = self.running.as_mut().and_then(|it| it.stop.take()) {
            stop.send(()).unwrap();
        }
    }

    /// Waits until the listener and all connections are closed.
    pub async fn stopped(&mut self) {
        let running = self.running.as_mut().unwrap();
        (&mut running.task).await.unwrap();
    }

    /// The running nugate, from inside.
    pub fn app(&self) -> &App {
        &self.running.as_ref().unwrap().app
    }

    /// Stops nugate and starts it again.
    pub async fn restart(&mut self) {
        self.stop().await;
        Box::pin(self.start()).await;
    }

    /// Changes settings; they hold from the next start on.
    pub fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
    }

    /// GET below our `/v3/`.
    pub async fn get(&self, path: &str) -> Response {
        self.get_with(path, &[]).await
    }

    /// GET below our `/v3/` with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        client::get(self.addr, &format!("/v3/{path}"), headers).await
    }

    /// GET below our `/v3/` until the answer comes from the store: what has just been fetched is
    /// written down after it is served.
    pub async fn hit(&self, path: &str) -> Response {
        self.hit_with(path, &[]).await
    }

    /// The same with headers.
    pub async fn hit_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.get_with(path, headers).await;
        let stored_only = [headers, &[("cache-control", "only-if-cached")]].concat();
        let stored = async {
            loop {
                let response = self.get_with(path, &stored_only).await;
                if response.header("cache-status") == "nugate; hit" {
                    return response;
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, stored).await;
        // A fill that is still writing its entry down would answer for what is asked next.
        self.quiet().await;
        in_time.unwrap_or_else(|_| panic!("{path} never came from the store"))
    }

    /// HEAD below our `/v3/`.
    pub async fn head(&self, path: &str) -> Response {
        client::head(self.addr, &format!("/v3/{path}"), &[]).await
    }

    /// Waits until everything answered so far is stored.
    pub async fn quiet(&self) {
        let running = self.running.as_ref().unwrap();
        running.app.quiet().await;
    }

    /// Moves the clock.
    pub fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The value of a series, or of all that begin with `series` together.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = client::get(self.admin, "/metrics", &[]).await.text();
        let of_line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            name.starts_with(series)
                .then(|| value.parse::<f64>().ok())?
        };
        text.lines().filter_map(of_line).sum()
    }

    /// The upstream's own bytes of a package.
    pub fn nupkg(&self, id: &str, version: &str) -> Bytes {
        self.up.change(|feed| feed.nupkg(id, version)).unwrap()
    }

    /// Our base URL.
    pub fn base(&self) -> String {
        format!("http://{}/v3/", self.addr)
    }

    /// The directory of the cache.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// What a test begins with: an upstream whose service index is at `index`.
pub fn settings(index: &str) -> Settings {
    Settings {
        patience: Duration::from_secs(70),
        quota: Quota::NONE,
        routes: Vec::new(),
        options: Options {
            freshness: Freshness::default(),
            network: Network::Online,
            honour_no_cache: true,
            web_links: WebLinks::Keep,
            // The service index is then made of the upstream's alone.
            v2: false,
            keep_newer: true,
            v2_source: V2Source::Upstream,
            publish: Publish::Relay,
            push_key: None,
            publish_timeout: PATIENCE,
            memory: 16 << 20,
            document_size_max: 64 << 20,
            package_size_max: 1 << 30,
        },
        bases: BaseRules::default(),
        feed: FeedOptions {
            name: "test".to_owned(),
            url: index.parse().unwrap(),
            redirect_hosts: Vec::new(),
            connect_timeout: PATIENCE,
            header_timeout: PATIENCE,
            idle_timeout: PATIENCE,
            attempts: 1,
            hold: Duration::ZERO,
            connections_max: 64,
            requests_per_second: 0,
            outbound: Outbound::default(),
            credential: None,
            pass_types: Vec::new(),
            pace: pace::Upstream::default(),
        },
        limits: Limits {
            shutdown_timeout: Duration::from_secs(10),
            ..Limits::default()
        },
        rate: None,
        pace: pace::Options::default(),
        access: AccessConfig::open(),
        tls: None,
        admin: None,
    }
}
