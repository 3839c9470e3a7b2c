//! The example feed on a listener of its own (HTTP/1.1 and HTTP/2 without TLS).
//!
//! For demonstrations and tests on one machine: no limits beyond the connection cap, no TLS, no
//! log. Invariant: when [`serve`] returns, no connection of it is left.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ExampleFeed;

/// Most connections at a time; further ones wait.
const CONNECTIONS: usize = 256;

/// Most bytes of a pushed package.
const BODY_MAX: usize = 256 << 20;

/// Serves `feed` until `shutdown` is ready, its base URL being the address of `listener`.
///
/// # Errors
/// When the listener has no address or cannot accept.
pub async fn serve(
    feed: Arc<ExampleFeed>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let base = format!("http://{}", listener.local_addr()?);
    let feed = Mutex::new(ExampleFeed::clone(&feed));
    let answer = move |head: &Parts, body: Bytes| {
        let mut feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
        feed.answer(&base, head, &body)
    };
    serve_with(listener, Arc::new(answer), shutdown).await
}

/// Serves what `answer` says until `shutdown` is ready; bodies of requests are read up to 256 MiB.
///
/// # Errors
/// When the listener cannot accept.
pub async fn serve_with<A>(
    listener: TcpListener,
    answer: Arc<A>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    A: Fn(&Parts, Bytes) -> Response<Bytes> + Send + Sync + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            listener.accept().await.map(|(stream, _)| (stream, place))
        };
        let (stream, place) = tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = accepted => accepted?,
        };
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = Arc::clone(&answer);
            async move {
                let (head, body) = request.into_parts();
                let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
                    let mut refusal = Response::new(Full::default());
                    *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                    return Ok::<_, Infallible>(refusal);
                };
                Ok(answer(&head, body.to_bytes()).map(Full::new))
            }
        });
        connections.spawn(async move {
            let _place = place;
            // A client that goes away is no concern of the feed.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
