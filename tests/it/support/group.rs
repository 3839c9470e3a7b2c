//! Several scripted upstreams with one nugate in front of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nugate::clock::{Clock, Time};
use nugate::demo::{ExampleFeed, Package};
use nugate::group::{Group, GroupOptions, Member};
use nugate::nuget::merge::Versions;
use nugate::observe::Metrics;
use nugate::policy::class::Network;
use nugate::proxy::{Options, Parts, Proxy};
use nugate::server::{App, BaseRules, Limits, run};
use nugate::store::{Quota, Store, StoreOptions};
use nugate::upstream::Feed;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use super::client::{self, Response};
use super::upstream::ScriptedUpstream;
use super::world::{Settings, settings};

/// A feed of a group: its name, its packages and the ids it owns.
pub struct FeedOf {
    pub name: &'static str,
    pub packages: ExampleFeed,
    pub owns: &'static [&'static str],
}

/// A feed with these packages, each id and version.
pub fn feed(
    name: &'static str,
    packages: &[(&str, &str)],
    owns: &'static [&'static str],
) -> FeedOf {
    let packages = packages.iter().map(|(id, version)| {
        let package = Package::new(*id, *version);
        // The same version of two feeds has different bytes.
        package.described(&format!("From {name}."))
    });
    FeedOf {
        name,
        packages: ExampleFeed::new(packages).unwrap(),
        owns,
    }
}

/// The upstreams in the order of precedence, and nugate.
pub struct GroupWorld {
    pub ups: Vec<ScriptedUpstream>,
    pub clock: Clock,
    pub addr: SocketAddr,
    dir: TempDir,
    feeds: Vec<(&'static str, &'static [&'static str])>,
    versions: Versions,
    change: fn(&str, &mut Settings),
    pub network: Network,
    pub public_url: Option<Url>,
    pub document_size_max: u64,
    running: Option<(Arc<App>, oneshot::Sender<()>, JoinHandle<()>)>,
}

impl GroupWorld {
    /// Of each id that nobody owns, the first feed that has it.
    pub async fn first(feeds: Vec<FeedOf>) -> Self {
        Self::of(feeds, Versions::First, |_, _| {}).await
    }

    /// Of each id that nobody owns, the versions of all.
    pub async fn united(feeds: Vec<FeedOf>) -> Self {
        Self::of(feeds, Versions::United, |_, _| {}).await
    }

    /// The same with the settings of each feed changed by its name.
    pub async fn of(
        feeds: Vec<FeedOf>,
        versions: Versions,
        change: fn(&str, &mut Settings),
    ) -> Self {
        let mut world = Self {
            ups: Vec::new(),
            clock: Clock::manual(Time::from_millis(1_800_000_000_000)),
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            dir: TempDir::new().unwrap(),
            feeds: feeds.iter().map(|feed| (feed.name, feed.owns)).collect(),
            versions,
            change,
            network: Network::Online,
            public_url: None,
            document_size_max: 64 << 20,
            running: None,
        };
        for feed in feeds {
            world.ups.push(ScriptedUpstream::new(feed.packages).await);
        }
        Box::pin(world.start()).await;
        world
    }

    async fn start(&mut self) {
        let metrics = Arc::new(Metrics::new().unwrap());
        let store = Store::open(StoreOptions {
            dir: self.dir.path().to_owned(),
            memory: 16 << 20,
            open_files: 64,
            quota: Quota::NONE,
            clock: self.clock.clone(),
            evictions: metrics.evictions.with_label_values(&["entries"]),
            damaged: metrics.damaged_bodies.clone(),
            unsynced: metrics.unsynced_bodies.clone(),
        })
        .await
        .unwrap();
        let mut members = Vec::new();
        for (up, (name, owns)) in self.ups.iter().zip(&self.feeds) {
            let mut settings = settings(&up.index_url());
            (*name).clone_into(&mut settings.feed.name);
            (self.change)(name, &mut settings);
            let proxy = Proxy::new(Parts {
                store: store.clone(),
                feed: Feed::new(settings.feed).unwrap(),
                clock: self.clock.clone(),
                metrics: Arc::clone(&metrics),
                options: Options {
                    network: self.network,
                    ..settings.options
                },
            });
            let owns = owns.iter().map(|pattern| pattern.parse().unwrap());
            members.push(Member::new(proxy.await, owns.collect()));
        }
        let options = GroupOptions {
            versions: self.versions,
            memory: 16 << 20,
            document_size_max: self.document_size_max,
        };
        let first = members.remove(0);
        let group = Group::new(first, members, options);
        // Some documents are offered over https only.
        let bases = BaseRules {
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
            public_url: self.public_url.clone(),
            ..BaseRules::default()
        };
        let app = Arc::new(App::new(group, bases));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let limits = Limits {
            shutdown_timeout: Duration::from_secs(10),
            ..Limits::default()
        };
        let task = tokio::spawn(run(listener, Arc::clone(&app), limits, async {
            drop(stopped.await);
        }));
        self.running = Some((app, stop, task));
    }

    /// Stops nugate and starts it again over what its directory holds.
    pub async fn restart(&mut self) {
        let (app, stop, task) = self.running.take().unwrap();
        stop.send(()).unwrap();
        task.await.unwrap();
        app.group().close(Duration::from_secs(10)).await;
        drop(app);
        Box::pin(self.start()).await;
    }

    /// GET below the group's `/v3/`, over only when what was answered is stored.
    pub async fn get(&self, path: &str) -> Response {
        self.get_at(&format!("/v3/{path}")).await
    }

    /// GET of a whole path, over only when what was answered is stored.
    pub async fn get_at(&self, path: &str) -> Response {
        self.get_with(path, &[]).await
    }

    /// The same with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let response = client::get(self.addr, path, headers).await;
        self.app().group().quiet().await;
        response
    }

    /// The running nugate, from inside.
    pub fn app(&self) -> &App {
        &self.running.as_ref().unwrap().0
    }

    /// Moves the clock.
    pub fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// How often each upstream was asked for a path that contains `part`.
    pub fn asked(&self, part: &str) -> Vec<usize> {
        let count = |up: &ScriptedUpstream| {
            let log = up.log();
            log.iter()
                .filter(|seen| seen.path_and_query.contains(part))
                .count()
        };
        self.ups.iter().map(count).collect()
    }

    /// An upstream's own bytes of a package.
    pub fn nupkg(&self, place: usize, id: &str, version: &str) -> bytes::Bytes {
        self.ups[place]
            .change(|feed| feed.nupkg(id, version))
            .unwrap()
    }

    /// The group's base URL.
    pub fn base(&self) -> String {
        format!("http://{}/v3/", self.addr)
    }

    /// The path of one of our own URLs.
    pub fn path_of(&self, url: &str) -> String {
        let path = url.strip_prefix(&format!("http://{}", self.addr));
        path.unwrap_or_else(|| panic!("{url} is not ours"))
            .to_owned()
    }
}
