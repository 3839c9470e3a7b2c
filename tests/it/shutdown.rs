//! Stopping.
//!
//! - bodies under way arrive whole, and are kept; new connections are refused
//! - idle connections do not delay it
//! - what takes longer than `shutdown_timeout` is cut, never ended as if it were whole
//! - `/-/ready` says so first

use std::io::ErrorKind;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nugate::demo::{ExampleFeed, Package};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::strict::used;
use crate::support::client::{self, Stream};
use crate::support::world::Settings;
use crate::support::{World, get};

const LARGE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";
const UPSTREAM: &str = "/v3-flatcontainer/example.large/1.0.0/example.large.1.0.0.nupkg";

/// Longer than anything here takes, shorter than any limit that is not met.
const PATIENCE: Duration = Duration::from_secs(20);

async fn world(shutdown_timeout: Duration) -> World {
    let large = Package::new("Example.Large", "1.0.0").padded(3_000_000);
    let feed = ExampleFeed::new([large, Package::new("Example.Core", "1.0.0")]).unwrap();
    let change = |settings: &mut Settings| {
        settings.limits.shutdown_timeout = shutdown_timeout;
        settings.feed.idle_timeout = PATIENCE * 10;
    };
    World::with(feed, change).await
}

/// The large package, held up by the upstream in the middle; its first bytes have arrived.
async fn under_way(world: &World) -> Stream {
    world.up.on(UPSTREAM).stall_after(1_000_000);
    let mut stream = client::open(world.addr, &format!("/v3/{LARGE}"), &[]).await;
    assert_eq!(stream.status, 200);
    assert!(!stream.next().await.unwrap().unwrap().is_empty());
    stream
}

async fn refused(world: &World) {
    let refusal = async {
        loop {
            match TcpStream::connect(world.addr).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                // It came while the listener was closing.
                Err(_) => tokio::task::yield_now().await,
                // Another test may have been given the same port meanwhile: ask again.
                Ok(mut stream) => {
                    let limit = Duration::from_millis(100);
                    drop(tokio::time::timeout(limit, stream.read(&mut [0])).await);
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, refusal).await.unwrap();
}

/// Number of bytes until the proper end, or until the body is cut.
async fn drained(mut stream: Stream) -> Result<usize, usize> {
    let mut total = 0;
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(bytes) => total += bytes.len(),
            Err(_) => return Err(total),
        }
    }
    Ok(total)
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_under_way_arrive_whole_and_are_kept() {
    let mut world = world(PATIENCE * 10).await;
    let package = world.nupkg("example.large", "1.0.0");
    let first = under_way(&world).await;
    let mut over_h2 = H2::to(&world).await;
    let second = over_h2.begin(LARGE).await;
    world.begin_to_stop();
    refused(&world).await;
    world.up.release();
    let first = tokio::time::timeout(PATIENCE, drained(first))
        .await
        .unwrap();
    assert!(first.is_ok_and(|more| more < package.len()), "{first:?}");
    let second = tokio::time::timeout(PATIENCE, second.collect()).await;
    assert!(second.unwrap().unwrap().to_bytes() == package);
    tokio::time::timeout(PATIENCE, world.stop()).await.unwrap();
    world.start().await;
    world.up.down().await;
    assert!(world.hit(LARGE).await.body == package);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_delay_it() {
    let mut world = world(PATIENCE * 10).await;
    let silent = TcpStream::connect(world.addr).await.unwrap();
    let mut used = used(world.addr).await;
    let mut over_h2 = H2::to(&world).await;
    let health = over_h2.begin("index.json").await;
    health.collect().await.unwrap();
    world.begin_to_stop();
    tokio::time::timeout(PATIENCE, world.stopped())
        .await
        .unwrap();
    assert_eq!(used.read(&mut [0]).await.unwrap(), 0);
    drop((silent, over_h2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_cut() {
    let mut world = world(Duration::from_millis(100)).await;
    let length = world.nupkg("example.large", "1.0.0").len();
    let first = under_way(&world).await;
    let mut over_h2 = H2::to(&world).await;
    let second = over_h2.begin(LARGE).await;
    world.begin_to_stop();
    tokio::time::timeout(PATIENCE, world.stopped())
        .await
        .unwrap();
    let first = tokio::time::timeout(PATIENCE, drained(first))
        .await
        .unwrap();
    assert!(first.is_err_and(|some| some < length), "{first:?}");
    let second = tokio::time::timeout(PATIENCE, second.collect()).await;
    assert!(second.unwrap().is_err());
    world.up.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_first() {
    let world = world(PATIENCE).await;
    assert_eq!(get(world.addr, "/-/ready", &[]).await.status, 200);
    world.app().stop();
    let ready = get(world.addr, "/-/ready", &[]).await;
    assert_eq!(
        (ready.status.as_u16(), ready.text().as_str()),
        (503, "stopping\n")
    );
    assert_eq!(get(world.addr, "/-/health", &[]).await.status, 200);
    assert_eq!(world.get(LARGE).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_and_starting_at_once_loses_nothing() {
    let mut world = world(PATIENCE).await;
    for path in [LARGE, "flat/example.core/index.json", "index.json"] {
        assert_eq!(world.get(path).await.status, 200);
        world.restart().await;
        world.up.clear_log();
        assert_eq!(
            world.get(path).await.header("cache-status"),
            "nugate; hit",
            "{path}"
        );
        assert_eq!(world.up.requests(), 0, "{path}");
    }
}

/// An HTTP/2 connection that stays open.
struct H2 {
    sender: hyper::client::conn::http2::SendRequest<Empty<bytes::Bytes>>,
    base: String,
}

impl H2 {
    async fn to(world: &World) -> Self {
        let stream = TokioIo::new(TcpStream::connect(world.addr).await.unwrap());
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
        tokio::spawn(connection);
        let base = world.base();
        Self { sender, base }
    }

    /// The body of a response, after its head.
    async fn begin(&mut self, path: &str) -> hyper::body::Incoming {
        let uri = format!("{}{path}", self.base);
        let request = http::Request::get(uri).body(Empty::new()).unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body()
    }
}
