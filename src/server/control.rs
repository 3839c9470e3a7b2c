//! The control socket: commands reach a running daemon here.
//!
//! A Unix socket in the store's directory, for the daemon's own user and root. It speaks HTTP/1.1:
//! an order as JSON in the body of `POST /v1/orders`, its events as lines of JSON in the response.
//! Nothing of the listener for clients is shared with it. When whoever gave an order goes, the order
//! ends at its next step.

use std::convert::Infallible;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use crate::jobs::command::{Cache, EVENTS, Event, Order};
use crate::store::CONTROL;

/// Where orders go.
pub const ORDERS: &str = "/v1/orders";

/// Longest order, in bytes: some 20,000 packages to fetch ahead.
pub const ORDER_MAX: usize = 1 << 20;

/// Orders at a time; further connections are closed.
const ORDERS_MAX: usize = 8;

/// For the head of a request, and for its body.
const PATIENCE: Duration = Duration::from_secs(10);

/// After this time without an event the listener is told that it goes on.
const ALIVE: Duration = Duration::from_secs(5);

/// Longest path of a Unix socket that every platform takes, in bytes.
const PATH_MAX: usize = 100;

/// The socket; its file is removed when this is dropped.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

/// The path of the socket in the directory of a store, as the system takes it: a long one leads
/// through the descriptor that comes with it, which must live until the path has been used.
///
/// # Errors
/// When the directory cannot be opened.
pub fn socket_path(dir: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = dir.join(CONTROL);
    if path.as_os_str().len() <= PATH_MAX {
        return Ok((path, None));
    }
    let dir = File::open(dir)?;
    let path = format!("/proc/self/fd/{}/{CONTROL}", dir.as_raw_fd());
    Ok((path.into(), Some(dir)))
}

impl Control {
    /// Listens in the directory of a store, whose lock the caller has: a socket that is there is one
    /// that a daemon left which was killed.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let path = dir.join(CONTROL);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (short, _dir) = socket_path(dir)?;
        let listener = UnixListener::bind(short)?;
        let control = Self { listener, path };
        fs::set_permissions(&control.path, Permissions::from_mode(0o600))?;
        Ok(control)
    }

    /// Carries orders out until it is dropped, and those under way with it.
    pub async fn run(self, cache: Cache) {
        let places = Arc::new(Semaphore::new(ORDERS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let stream = match stream {
                Ok((stream, _)) if is_trusted(&stream) => stream,
                Ok(_) => {
                    tracing::warn!("a connection of another user to the control socket was closed");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the control socket could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!("more than {ORDERS_MAX} commands at a time: one was turned away");
                continue;
            };
            let cache = cache.clone();
            connections.spawn(async move {
                serve(stream, cache).await;
                drop(place);
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Otherwise the next daemon removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the other end is a process of the daemon's own user, or of root.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = geteuid().as_raw();
    let peer = stream.peer_cred().map(|peer| peer.uid());
    peer.is_ok_and(|uid| uid == own || uid == 0)
}

async fn serve(stream: UnixStream, cache: Cache) {
    let answer = service_fn(move |request| {
        let cache = cache.clone();
        async move { Ok::<_, Infallible>(answer(request, cache).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a command went away");
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, cache: Cache) -> Response<Body> {
    if request.uri().path() != ORDERS {
        return refused(StatusCode::NOT_FOUND, "there is nothing here");
    }
    if request.method() != Method::POST {
        let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "orders are posted");
        let allowed = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let body = Limited::new(request.into_body(), ORDER_MAX).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            let text = "the order is too long, or broke off";
            return refused(StatusCode::BAD_REQUEST, text);
        }
        Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the order took too long"),
    };
    match serde_json::from_slice::<Order>(&body) {
        Ok(order) => {
            tracing::info!(order = order.name(), "a command");
            carried_out(order, cache)
        }
        Err(error) => {
            let text = format!("this daemon does not understand the order: {error}");
            refused(StatusCode::BAD_REQUEST, &text)
        }
    }
}

/// Ends with its handle.
struct Job(JoinHandle<()>);

impl Drop for Job {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn carried_out(order: Order, cache: Cache) -> Response<Body> {
    let (sender, events) = mpsc::channel(EVENTS);
    let job = Job(tokio::spawn(cache.carry_out(order, sender)));
    let lines = stream::unfold((events, job), |(mut events, job)| async {
        let event = match tokio::time::timeout(ALIVE, events.recv()).await {
            Ok(event) => event?,
            Err(_) => Event::Alive,
        };
        Some((Ok(Frame::data(line(&event))), (events, job)))
    });
    let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn refused(status: StatusCode, why: &str) -> Response<Body> {
    let text = line(&Event::Failed(why.to_owned()));
    let mut response = Response::new(Full::new(text).boxed_unsync());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn line(event: &Event) -> Bytes {
    let mut text = serde_json::to_vec(event).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
