//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::observe::Metrics;
use crate::server::activity::{Activity, Due, Patience, Reason};
use crate::server::handle::{App, Ends};
use crate::server::linger::Lingering;
use crate::server::sendfile::{Outbox, SendFile};
use crate::server::strict;
use crate::server::tls::Tls;
use crate::server::tracked::{Answer, Exchange, Stream, Upload};

/// Bytes of output buffered for a connection, and the longest request head that is read.
const BUFFER: usize = 64 * 1024;

/// Streams at once on an HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Streams that a client has reset and that are not yet forgotten (CVE-2023-44487), and those that
/// we reset because of its mistakes.
const RESETS_PENDING_MAX: usize = 20;
const RESETS_MAX: usize = 256;

const PLAIN_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n\
    this server speaks https: use an https:// URL\n";

/// How far the listener is with its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Requests are taken.
    Serving,
    /// What is under way is finished.
    Stopping,
    /// Everything is cut.
    Over,
}

/// What all connections of a listener share.
pub(super) struct Shared {
    pub(super) app: Arc<App>,
    pub(super) builder: Builder<TokioExecutor>,
    pub(super) patience: Patience,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Shared {
    fn metrics(&self) -> &Metrics {
        self.app.proxy().metrics()
    }

    /// Counts a connection that we end.
    pub(super) fn ended(&self, peer: SocketAddr, reason: Reason) {
        let ended = &self.metrics().connections_ended;
        ended.with_label_values(&[reason.name()]).inc();
        tracing::debug!(client = %peer, reason = reason.name(), "a connection is ended");
    }
}

/// Serves a connection until it or the listener ends.
pub(super) async fn serve(
    stream: TcpStream,
    ends: Ends,
    shared: Arc<Shared>,
    (activity, mut phase): (Arc<Activity>, watch::Receiver<Phase>),
) {
    let _open = Open::new(&shared.metrics().connections);
    let Some(tls) = shared.tls.clone() else {
        let outbox = Outbox::default();
        let stream = SendFile::new(stream, outbox.clone());
        return speak((stream, Some(outbox)), ends, &shared, (activity, phase)).await;
    };
    let handshake = tokio::time::timeout(tls.handshake_timeout(), secured(stream, &tls));
    let secured = tokio::select! {
        secured = handshake => secured,
        () = activity.evicted() => return shared.ended(ends.peer, Reason::Evicted),
        _ = phase.changed() => return,
    };
    match secured {
        Ok(Ok(stream)) => speak((stream, None), ends, &shared, (activity, phase)).await,
        Ok(Err(error)) => {
            tracing::debug!(client = %ends.peer, %error, "a TLS handshake failed");
            shared.ended(ends.peer, Reason::Handshake);
        }
        Err(_) => shared.ended(ends.peer, Reason::SlowHandshake),
    }
}

/// The handshake. Someone who speaks plain HTTP, whose first byte is a letter (a TLS record begins
/// with 22), is told so.
async fn secured(mut stream: TcpStream, tls: &Tls) -> std::io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
        stream.write_all(PLAIN_ON_TLS).await?;
        stream.shutdown().await?;
        // Closed with a request unread, the connection would be reset and the answer lost.
        let mut request = vec![0; BUFFER];
        while stream.read(&mut request).await? > 0 {}
        return Err(std::io::Error::other("the client speaks plain HTTP"));
    }
    TlsAcceptor::from(tls.config()).accept(stream).await
}

async fn speak<S>(
    (stream, outbox): (S, Option<Outbox>),
    ends: Ends,
    shared: &Arc<Shared>,
    (activity, mut phase): (Arc<Activity>, watch::Receiver<Phase>),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let (app, activity) = (Arc::clone(&shared.app), Arc::clone(&activity));
        service_fn(move |request| {
            let exchange = Exchange::begin(&activity);
            let (app, outbox) = (Arc::clone(&app), outbox.clone());
            async move {
                let way = (exchange, outbox.as_ref());
                Ok::<_, Infallible>(exchanged(&app, ends, request, way).await)
            }
        })
    };
    let stream = TokioIo::new(Stream::new(Lingering::new(stream), Arc::clone(&activity)));
    let connection = shared.builder.serve_connection(stream, service);
    tokio::pin!(connection);
    if *phase.borrow_and_update() != Phase::Serving {
        connection.as_mut().graceful_shutdown();
    }
    let mut told = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(client = %ends.peer, error, "a connection ended early");
                }
                return;
            }
            changed = phase.changed() => {
                if changed.is_err() || *phase.borrow_and_update() == Phase::Over {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
            due = activity.due(&shared.patience) => match due {
                Due::Later(_) => {}
                Due::Close(reason) => {
                    shared.ended(ends.peer, *told.insert(reason));
                    activity.closing();
                    connection.as_mut().graceful_shutdown();
                }
                Due::Cut(reason) => {
                    if told.is_none() {
                        shared.ended(ends.peer, reason);
                    }
                    return;
                }
            },
        }
    }
}

/// A request and its response, in which the connection's end is announced where it is due.
async fn exchanged(
    app: &App,
    ends: Ends,
    request: Request<Incoming>,
    (exchange, outbox): (Exchange, Option<&Outbox>),
) -> Response<Answer> {
    let (parts, body) = request.into_parts();
    let welcome = strict::check(&parts);
    let closes = welcome.is_err() || strict::closes(&parts);
    let lingers = !closes && !parts.headers.contains_key(EXPECT);
    let version = parts.version;
    let request = Request::from_parts(parts, Upload::new(body, lingers));
    let mut response = app.handle(ends, request, welcome).await;
    if closes && version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    let outbox = outbox.filter(|_| version <= Version::HTTP_11);
    response.map(|body| {
        let body = match outbox {
            Some(outbox) => body.sent_by(outbox),
            None => body,
        };
        Answer::new(body, exchange)
    })
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

/// How HTTP is spoken.
pub(super) fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Heads are timed with everything else (`activity.rs`), without a timer for each.
        .header_read_timeout(None::<Duration>)
        .max_buf_size(BUFFER)
        .max_headers(strict::HEADER_COUNT_MAX)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15))
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_header_list_size(u32::try_from(strict::HEADERS_MAX).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER);
    builder
}
