//! What the demonstration plays on: the example feed and a nugate in front of it.
//!
//! Both listen on real sockets; nugate is started as `serve` starts it, with its default settings,
//! so that what is shown does not depend on this machine's configuration. Invariant: after
//! [`Stage::clear`] nothing is left of it, neither a task nor a file.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::DemoError;
use crate::cli::banner::banner;
use crate::cli::daemon::Daemon;
use crate::config::{Config, Sources};
use crate::demo::{ExampleFeed, server};

/// The running feed and nugate.
pub struct Stage {
    feed: Service,
    nugate: Service,
    dir: TempDir,
    config: Config,
    asked: Arc<AtomicU64>,
}

struct Service {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Stage {
    /// Starts both; nugate listens on `listen`, with an empty cache in a fresh directory.
    ///
    /// # Errors
    /// [`DemoError`] when one of them cannot start.
    pub async fn set(
        example: Arc<ExampleFeed>,
        listen: SocketAddr,
        shutdown_timeout: Duration,
    ) -> Result<Self, DemoError> {
        let asked = Arc::new(AtomicU64::new(0));
        let feed = serve_feed(example, Arc::clone(&asked)).await;
        let feed = feed.map_err(DemoError::Feed)?;
        let dir = TempDir::with_prefix("nugate-demo-").map_err(DemoError::Directory)?;
        let mut config = settings(feed.address, dir.path())?;
        config.listen = listen;
        config.shutdown_timeout = shutdown_timeout;
        let daemon = Daemon::start(&config).await?;
        let address = daemon.address();
        let nugate = Service::spawn(address, |stopped| daemon.run(stopped));
        Ok(Self {
            feed,
            nugate,
            dir,
            config,
            asked,
        })
    }

    /// The feed's URL, without a path.
    pub fn feed(&self) -> String {
        format!("http://{}", self.feed.address)
    }

    /// Nugate's URL for a client on this machine, without a path.
    pub fn nugate(&self) -> String {
        let mut address = self.nugate.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }

    /// How many requests have reached the feed.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// How a client is pointed at it.
    pub fn banner(&self) -> String {
        banner(&self.config, (self.nugate.address, None), None)
    }

    /// Stops both, lets responses under way finish, and removes the directory.
    ///
    /// # Errors
    /// [`DemoError::Directory`].
    pub async fn clear(self) -> Result<(), DemoError> {
        self.nugate.end().await;
        self.feed.end().await;
        self.dir.close().map_err(DemoError::Directory)
    }
}

impl Service {
    fn spawn<F>(address: SocketAddr, run: impl FnOnce(Stopped) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped: Stopped = Box::pin(async move { drop(stopped.await) });
        Self {
            address,
            stop,
            task: tokio::spawn(run(stopped)),
        }
    }

    async fn end(self) {
        drop(self.stop);
        // A panic has been reported by the runtime already.
        drop(self.task.await);
    }
}

type Stopped = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn serve_feed(example: Arc<ExampleFeed>, asked: Arc<AtomicU64>) -> io::Result<Service> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let base = format!("http://{address}");
    let example = Mutex::new(ExampleFeed::clone(&example));
    let answer = Arc::new(move |head: &Parts, body: Bytes| {
        asked.fetch_add(1, Ordering::SeqCst);
        let mut example = example.lock().unwrap_or_else(PoisonError::into_inner);
        example.answer(&base, head, &body)
    });
    Ok(Service::spawn(address, |stopped| async move {
        if let Err(error) = server::serve_with(listener, answer, stopped).await {
            tracing::error!(%error, "the example feed has stopped");
        }
    }))
}

/// The defaults, before this feed and over this directory.
fn settings(feed: SocketAddr, dir: &Path) -> Result<Config, DemoError> {
    let flags = vec![
        ("feeds.NAME.url", format!("http://{feed}/v3/index.json")),
        ("cache.dir", dir.display().to_string()),
    ];
    Ok(Config::load(&Sources {
        flags,
        ..Sources::default()
    })?)
}
