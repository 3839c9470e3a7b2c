//! Connections: accepting, limits, and the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::server::handle::{App, Ends};
use crate::server::linger::Lingering;

/// For the head of a request, and between requests of a connection.
const IDLE: Duration = Duration::from_secs(90);

/// Bytes of output buffered for a connection, and the longest request head.
const BUFFER: usize = 64 * 1024;

/// Streams at once on an HTTP/2 connection, and the bytes of a header list there.
const STREAMS_MAX: u32 = 128;
const HEADER_LIST_MAX: u32 = 32 * 1024;

/// After a failed accept (no descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// How long responses under way may take when the listener stops.
    pub shutdown_timeout: Duration,
}

/// Serves connections of `listener` until `shutdown` resolves; then responses under way finish
/// within the limit and idle connections are closed. No connection is left when it returns.
pub async fn run(
    listener: TcpListener,
    app: Arc<App>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let builder = Arc::new(builder());
    let (cut, end) = watch::channel(());
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = &mut shutdown => break,
        };
        let Some((stream, ends, permit)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let begun = Arc::new(AtomicBool::new(false));
        let service = {
            let (app, begun) = (Arc::clone(&app), Arc::clone(&begun));
            service_fn(move |request| {
                begun.store(true, Ordering::Relaxed);
                let app = Arc::clone(&app);
                async move { Ok::<_, Infallible>(app.handle(ends, request).await) }
            })
        };
        let connection = builder
            .serve_connection(TokioIo::new(Lingering::new(stream)), service)
            .into_owned();
        let connection = graceful.watch(connection);
        let open = Open::new(&app.proxy().metrics().connections);
        let mut end = end.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(client = %ends.peer, error, "a connection ended early");
                },
                _ = end.changed() => {}
                () = silence(&begun) => {
                    tracing::debug!(client = %ends.peer, "a connection without a request is closed");
                }
            }
            drop((open, permit));
        });
    }
    app.stop();
    drop((listener, end));
    if tokio::time::timeout(limits.shutdown_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("responses were cut off: shutdown_timeout is over");
        cut.send_replace(());
    }
    cut.closed().await;
}

/// Resolves when a connection has not made a request for too long: until the first bytes tell the
/// protocol, the connection has no time limit of its own.
async fn silence(begun: &AtomicBool) {
    tokio::time::sleep(IDLE).await;
    if begun.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Counts an open connection, also when its task panics.
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, Ends, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    let (stream, peer) = match listener.accept().await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            return None;
        }
    };
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let local = stream.local_addr().unwrap_or(unspecified);
    // Heads and small documents must not wait for the client's acknowledgement.
    drop(stream.set_nodelay(true));
    Some((stream, Ends { peer, local }, permit))
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(BUFFER)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15))
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buf_size(BUFFER);
    builder
}
