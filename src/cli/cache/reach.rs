//! Who carries an order out: the daemon that runs on the cache, else this process.
//!
//! The daemon is asked first. The store is opened here only when nobody has its lock, so that two
//! never write to it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cli::daemon::{quota, store_options};
use crate::config::Config;
use crate::jobs::command::{Cache, EVENTS, Event, Order};
use crate::observe::Metrics;
use crate::server::control::{ORDERS, socket_path};
use crate::store::{Quota, Store, StoreErrorKind};

/// The daemon says at least that often that it goes on, several times over.
const SILENCE: Duration = Duration::from_secs(60);

/// Large bodies that a command keeps open.
const OPEN_FILES: u64 = 16;

/// The longest line of the daemon, in bytes.
const LINE_MAX: usize = 16 << 20;

/// How often a daemon is looked for that has the lock and does not listen yet, and how long between.
const LOOKS: usize = 20;
const BETWEEN: Duration = Duration::from_millis(100);

/// The events of an order that was given.
pub(super) enum Events {
    /// A daemon carries it out.
    There { body: Incoming, read: Vec<u8> },
    /// This process does.
    Here {
        events: mpsc::Receiver<Event>,
        job: JoinHandle<()>,
        store: Store,
    },
}

/// Gives an order to whoever can carry it out.
pub(super) async fn give(config: &Config, order: Order) -> Result<Events, String> {
    let dir = &config.cache.dir;
    if !dir.is_dir() {
        return Err(format!("there is no cache at {}", dir.display()));
    }
    for _ in 0..LOOKS {
        if let Some(stream) = connect(dir).await? {
            return ask(stream, &order).await;
        }
        if let Some(store) = open(config).await? {
            return Ok(begin(config, store, order));
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Err(format!(
        "the cache at {} is in use by another process that takes no commands: \
         a daemon that is just stopping, an older one, or another command",
        dir.display()
    ))
}

/// Whether a daemon answers on the control socket of a cache.
pub(in crate::cli) async fn is_served(dir: &Path) -> Result<bool, String> {
    connect(dir).await.map(|stream| stream.is_some())
}

async fn connect(dir: &Path) -> Result<Option<UnixStream>, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
        _ => Err(format!(
            "the daemon on {} cannot be reached: {error}",
            dir.display()
        )),
    };
    let (path, _dir) = match socket_path(dir) {
        Ok(path) => path,
        Err(error) => return failed(error),
    };
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => failed(error),
    }
}

async fn ask(stream: UnixStream, order: &Order) -> Result<Events, String> {
    let lost = |error: hyper::Error| format!("the daemon did not answer: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(lost)?;
    tokio::spawn(connection);
    let body = serde_json::to_vec(order).map_err(|error| error.to_string())?;
    let request = Request::post(ORDERS)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(SILENCE, sender.send_request(request)).await;
    let response = answer.map_err(|_| silent())?.map_err(lost)?;
    Ok(Events::There {
        body: response.into_body(),
        read: Vec::new(),
    })
}

/// The store, unless another process has it.
async fn open(config: &Config) -> Result<Option<Store>, String> {
    let dir = &config.cache.dir;
    let owner = fs::metadata(dir).map(|metadata| metadata.uid());
    if owner.is_ok_and(|owner| owner != geteuid().as_raw()) {
        return Err(format!(
            "the cache at {} belongs to another user: run this as that user, \
             or what it writes could not be read by the daemon",
            dir.display()
        ));
    }
    let metrics = Metrics::new().map_err(|error| error.to_string())?;
    let mut options = store_options(config, &metrics, OPEN_FILES);
    // Nothing goes by itself while a command looks on.
    options.quota = Quota::NONE;
    match Store::open(options).await {
        Ok(store) => Ok(Some(store)),
        Err(error) if error.kind == StoreErrorKind::Locked => Ok(None),
        Err(error) => Err(format!("the cache cannot be opened: {error}")),
    }
}

fn begin(config: &Config, store: Store, order: Order) -> Events {
    let cache = Cache {
        store: store.clone(),
        quota: quota(config),
        feeds: config.feeds().map(|feed| feed.name.clone()).collect(),
        running: None,
    };
    let (sender, events) = mpsc::channel(EVENTS);
    let job = tokio::spawn(cache.carry_out(order, sender));
    Events::Here { events, job, store }
}

impl Events {
    /// Whether a daemon carries the order out.
    pub(super) const fn is_beside_daemon(&self) -> bool {
        matches!(self, Self::There { .. })
    }

    /// The next event; there is one until the last.
    pub(super) async fn next(&mut self) -> Result<Event, String> {
        match self {
            Self::Here { events, .. } => {
                let event = events.recv().await;
                event.ok_or_else(|| "the command broke off".to_owned())
            }
            Self::There { body, read } => loop {
                if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = read.drain(..=end).collect();
                    return serde_json::from_slice(&line).map_err(|error| {
                        format!(
                            "the daemon is of another version; its answer says nothing: {error}"
                        )
                    });
                }
                let frame = tokio::time::timeout(SILENCE, body.frame()).await;
                let frame = frame.map_err(|_| silent())?;
                let frame = frame.ok_or("the daemon broke the command off")?;
                let frame = frame.map_err(|error| format!("the daemon is gone: {error}"))?;
                if let Ok(data) = frame.into_data() {
                    read.extend_from_slice(&data);
                }
                if read.len() > LINE_MAX {
                    return Err("the daemon's answer is too long".to_owned());
                }
            },
        }
    }

    /// Waits until everything is written down.
    pub(super) async fn end(self) {
        if let Self::Here { job, store, .. } = self {
            // A job that broke off has been told of.
            let _ = job.await;
            store.close().await;
        }
    }
}

fn silent() -> String {
    format!("the daemon said nothing for {SILENCE:?}")
}
