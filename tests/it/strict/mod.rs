//! The edge against clients that are broken, slow or hostile.
//!
//! - requests as no honest client sends them: refused, one answer, and the connection is closed
//! - connections that say nothing, dawdle, idle or take nothing are ended, each counted as what it is
//! - a client that waits for us is never ended
//! - with too many connections, idle ones make room; a client with too many loses its own
//! - HTTP/2: foreign hosts, long headers, resets without end, before and after a request is under way

mod crowds;
mod heads;
mod http2;

use std::net::SocketAddr;
use std::time::Duration;

use nugate::demo::{ExampleFeed, Package};
use nugate::server::Patience;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client;
use crate::support::world::Settings;
use crate::support::{World, until};

const HEALTH: &str = "GET /-/health HTTP/1.1\r\nhost: localhost\r\n";
const LARGE: &str = "/v3/flat/example.large/1.0.0/example.large.1.0.0.nupkg";
const UPSTREAM: &str = "/v3-flatcontainer/example.large/1.0.0/example.large.1.0.0.nupkg";

/// A limit that is met, and one that is not.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(600);

fn patient() -> Patience {
    Patience {
        first_byte: LONG,
        head: LONG,
        idle: LONG,
        stall: LONG,
        last: LONG,
        rest: LONG,
    }
}

async fn world(change: impl FnOnce(&mut Settings)) -> World {
    let large = Package::new("Example.Large", "1.0.0").padded(16_000_000);
    let core = Package::new("Example.Core", "1.0.0");
    World::with(ExampleFeed::new([large, core]).unwrap(), |settings| {
        settings.limits.patience = patient();
        change(settings);
    })
    .await
}

/// How many connections were ended for this reason.
fn ended(world: &World, reason: &str) -> u64 {
    let text = world.app().proxy().metrics().render();
    let series = format!("nugate_connections_ended_total{{reason=\"{reason}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap().parse().unwrap()
}

async fn is_ended(world: &World, reason: &str) {
    until(reason, async || ended(world, reason) == 1).await;
}

/// Reads until the other side ends the connection, properly or not.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut left = Vec::new();
    let _ = stream.read_to_end(&mut left).await;
    left
}

/// A connection that has had an answer and stays open.
pub async fn used(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    again(&mut stream).await;
    stream
}

async fn again(stream: &mut TcpStream) {
    stream
        .write_all(format!("{HEALTH}\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"alive\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_speaks_is_ended() {
    let world = world(|it| it.limits.patience.first_byte = SHORT).await;
    assert_eq!(client::raw(world.addr, b"").await, b"");
    is_ended(&world, "silent").await;
    // One that has spoken is none.
    let mut stream = used(world.addr).await;
    assert_eq!(client::raw(world.addr, b"").await, b"");
    again(&mut stream).await;
    assert_eq!(ended(&world, "silent"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_takes_too_long_is_ended() {
    let world = world(|it| it.limits.patience.head = SHORT).await;
    client::raw(world.addr, HEALTH.as_bytes()).await;
    is_ended(&world, "slow-head").await;
    // The second request of a connection too, byte by byte.
    let mut stream = used(world.addr).await;
    let (mut reading, mut writing) = stream.split();
    let dripping = async {
        for byte in HEALTH.bytes().cycle() {
            if writing.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = dripping => {}
        _ = reading.read_to_end(&mut answer) => {}
    }
    until("both are counted", async || ended(&world, "slow-head") == 2).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_ended() {
    let world = world(|it| it.limits.patience.idle = SHORT).await;
    let mut stream = used(world.addr).await;
    assert_eq!(rest(&mut stream).await, b"");
    until("it is counted", async || {
        // hyper notices the same on HTTP/1.
        world.app().proxy().metrics().connections.get() == 0
    })
    .await;
    // HTTP/2 with its pings too.
    let stream = TcpStream::connect(world.addr).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake::<_, _, String>(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    let in_time = tokio::time::timeout(LONG / 30, connection).await;
    assert!(in_time.is_ok(), "the connection stays open");
    drop(sender);
    assert!(ended(&world, "idle") >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_not_taken_is_cut() {
    let world = world(|it| it.limits.patience.stall = SHORT).await;
    world.hit(LARGE.trim_start_matches("/v3/")).await;
    let http1 = client::open(world.addr, LARGE, &[]).await;
    is_ended(&world, "stalled").await;
    assert!(http1.rest().await.is_err());
    // A window that is never opened again; pings are answered meanwhile.
    let stream = TcpStream::connect(world.addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .initial_stream_window_size(Some(1000))
            .handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
    let ending = tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}{LARGE}", world.addr));
    let response = sender
        .send_request(request.body(String::new()).unwrap())
        .await;
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    until("both are counted", async || ended(&world, "stalled") == 2).await;
    drop(ending.await.unwrap());
    drop(response);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_us_is_never_ended() {
    let world = world(|it| {
        it.limits.patience = Patience {
            first_byte: SHORT,
            head: SHORT,
            idle: SHORT,
            stall: SHORT,
            last: SHORT,
            rest: SHORT,
        };
    })
    .await;
    world.up.on(UPSTREAM).stall_after(1_000_000);
    let mut http1 = client::open(world.addr, LARGE, &[]).await;
    let mut first = 0;
    // All that there is: what comes next has to be waited for.
    while first < 1_000_000 - 64 * 1024 {
        first += http1.next().await.unwrap().unwrap().len();
    }
    // Connections that came later are ended: the limits are over, twice.
    for _ in 0..2 {
        client::raw(world.addr, b"").await;
    }
    world.up.release();
    let rest = http1.rest().await.unwrap();
    let package = world.nupkg("example.large", "1.0.0");
    assert_eq!(first + rest.body.len(), package.len());
    assert_eq!(ended(&world, "stalled"), 0);
}
