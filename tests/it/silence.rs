//! Connections that are kept for later.
//!
//! - they come to rest when they have been silent, and answer as before when they are used again:
//!   documents, files that the kernel sends, requests in pieces, several at once, over TLS
//! - one that never said anything rests from the beginning
//! - at rest they can be told to leave, are ended as idle, and end with the daemon

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nugate::demo::{ExampleFeed, Package};
use nugate::server::Tls;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::authority::{Authority, Shaker};
use crate::support::world::Settings;
use crate::support::{World, until};
use crate::tls::options;

/// Until a silent connection rests.
const SHORT: Duration = Duration::from_millis(50);

/// Long enough to be sent by the kernel, in more than one piece.
const FILE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";

async fn world(change: impl FnOnce(&mut Settings)) -> World {
    let large = Package::new("Example.Large", "1.0.0").padded(1_500_000);
    World::with(ExampleFeed::new([large]).unwrap(), |settings| {
        settings.limits.patience.rest = SHORT;
        change(settings);
    })
    .await
}

async fn at_rest(world: &World, count: i64) {
    let metrics = world.app().proxy().metrics();
    until("all of them rest", async || {
        metrics.connections_silent.get() == count && metrics.connections.get() == count
    })
    .await;
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// The body of the next answer, of which there must be one.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(!head.contains("connection: close"), "{head}");
    let length = head
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    body
}

async fn asked<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, path: &str) -> Vec<u8> {
    stream.write_all(request(path).as_bytes()).await.unwrap();
    answer(stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_rest_answers_as_before() {
    let world = world(|_| {}).await;
    world.hit(FILE).await;
    let (file, path) = (world.nupkg("example.large", "1.0.0"), format!("/v3/{FILE}"));
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(TcpStream::connect(world.addr).await.unwrap());
    }
    // Before anything was said.
    at_rest(&world, 8).await;
    for _ in 0..2 {
        for stream in &mut streams {
            assert_eq!(asked(stream, "/-/health").await, b"alive\n");
            assert!(asked(stream, &path).await == *file);
        }
        at_rest(&world, 8).await;
    }
    // One after the other in one breath, the last one in pieces.
    for stream in &mut streams {
        let both = request(&path) + &request("/-/health");
        let (most, rest) = both.split_at(both.len() - 7);
        stream.write_all(most.as_bytes()).await.unwrap();
        assert!(answer(stream).await == *file);
        stream.write_all(rest.as_bytes()).await.unwrap();
        assert_eq!(answer(stream).await, b"alive\n");
    }
    at_rest(&world, 8).await;
    // Byte by byte: it is awake from the first one on.
    for stream in &mut streams {
        for byte in request("/-/health").as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(answer(stream).await, b"alive\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_tls_rests_too() {
    let (authority, dir) = (Authority::new("test"), tempfile::tempdir().unwrap());
    let pair = authority.issue(&["localhost"]);
    let tls = Arc::new(Tls::load(options(dir.path(), &pair)).unwrap());
    let world = world(|it| it.tls = Some(tls)).await;
    let shaker = Shaker::new(&authority.pem);
    let mut stream = shaker.connect(world.addr).await.unwrap();
    for _ in 0..2 {
        assert_eq!(asked(&mut stream, "/-/health").await, b"alive\n");
        at_rest(&world, 1).await;
    }
}

/// Reads until the other side ends the connection.
async fn ended(mut stream: TcpStream) -> Vec<u8> {
    let mut left = Vec::new();
    stream.read_to_end(&mut left).await.unwrap();
    left
}

async fn used(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    assert_eq!(asked(&mut stream, "/-/health").await, b"alive\n");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_rest_is_idle() {
    let world = world(|it| it.limits.patience.idle = SHORT * 4).await;
    assert_eq!(ended(used(world.addr).await).await, b"");
    let of = |reason| {
        let ended = &world.app().proxy().metrics().connections_ended;
        ended.with_label_values(&[reason]).get()
    };
    until("it is counted", async || of("idle") == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_rest_makes_room() {
    let world = world(|it| it.limits.connections_max = 1).await;
    let first = used(world.addr).await;
    at_rest(&world, 1).await;
    let second = used(world.addr).await;
    assert_eq!(ended(first).await, b"");
    at_rest(&world, 1).await;
    drop(second);
    at_rest(&world, 0).await;
}
