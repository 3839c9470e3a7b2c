//! The edge against clients that are broken, slow or hostile.
//!
//! - requests as no honest client sends them: refused, one answer, and the connection is closed
//! - connections that say nothing, dawdle, idle or take nothing are ended, each counted as what it is
//! - a client that waits for us is never ended
//! - with too many connections, idle ones make room; a client with too many loses its own
//! - HTTP/2: foreign hosts, long headers, resets without end, before and after a request is under way

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use nugate::clock::Stopwatch;
use nugate::demo::{ExampleFeed, Package};
use nugate::server::Patience;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client;
use crate::support::world::Settings;
use crate::support::{World, get, until};

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
async fn used(addr: SocketAddr) -> TcpStream {
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

/// What it is, the status of its answer, and the request. Another one follows each, which must not
/// be answered.
type Row = (&'static str, u16, String);

fn line(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

fn headers(headers: &str) -> String {
    format!("GET /-/health HTTP/1.1\r\n{headers}\r\n\r\n")
}

fn with(header: &str) -> String {
    format!("{HEALTH}{header}\r\n\r\n")
}

fn chunked(body: &str) -> String {
    format!("{HEALTH}transfer-encoding: chunked\r\n\r\n{body}")
}

fn hosts_and_targets() -> Vec<Row> {
    let hostless = "GET http://localhost/-/health HTTP/1.1\r\n\r\n".to_owned();
    let two_hosts = headers("host: localhost\r\nhost: localhost");
    vec![
        ("no host", 400, headers("x: y")),
        ("two hosts", 400, two_hosts),
        ("host with a space", 400, headers("host: local host")),
        ("host with a user", 400, headers("host: me@localhost")),
        ("host with a wrong port", 400, headers("host: localhost:x")),
        ("empty host", 400, headers("host:")),
        (
            "another host",
            400,
            line("GET http://evil.example/-/health"),
        ),
        ("absolute form alone", 400, hostless),
        ("another scheme", 400, line("GET ftp://localhost/-/health")),
        ("authority form", 400, line("GET localhost:80")),
        ("no slash", 400, line("GET index.json")),
        ("star", 400, line("GET *")),
        ("OPTIONS star", 400, line("OPTIONS *")),
        ("CONNECT", 405, line("CONNECT localhost:80")),
        ("TRACE", 405, line("TRACE /-/health")),
        ("method in small letters", 405, line("get /-/health")),
        (
            "long target",
            414,
            line(&format!("GET /{}", "a".repeat(9000))),
        ),
        (
            "longer target",
            414,
            line(&format!("GET /{}", "a".repeat(40_000))),
        ),
    ]
}

fn lengths_and_codings() -> Vec<Row> {
    let empty = chunked("0\r\n\r\n");
    let length_first = empty.replace("host", "content-length: 5\r\nhost");
    let length_last = empty.replace("chunked\r\n", "chunked\r\ncontent-length: 5\r\n");
    let two_codings = with("transfer-encoding: chunked\r\ntransfer-encoding: identity");
    let in_http10 = with("transfer-encoding: chunked").replace("1.1", "1.0");
    let put = |codings: &str| {
        chunked("0\r\n\r\n")
            .replace("chunked", codings)
            .replace("GET", "PUT")
    };
    let endless = "fffffffffffffffff\r\nhello\r\n0\r\n\r\n";
    vec![
        ("length and coding", 400, length_first),
        ("coding and length", 400, length_last),
        ("chunked GET", 400, empty),
        ("size with 0x", 400, chunked("0x5\r\nhello\r\n0\r\n\r\n")),
        ("size too large", 400, chunked(endless)),
        (
            "LF in an extension",
            400,
            chunked("5;a\nhello\r\n0\r\n\r\n"),
        ),
        ("LF after a chunk", 400, chunked("5\r\nhello\n0\r\n\r\n")),
        (
            "two lengths",
            400,
            with("content-length: 5\r\ncontent-length: 6"),
        ),
        ("list of lengths", 400, with("content-length: 5, 6")),
        ("list of one length", 400, with("content-length: 5, 5")),
        ("length with a plus", 400, with("content-length: +5")),
        ("negative length", 400, with("content-length: -5")),
        ("hexadecimal length", 400, with("content-length: 0x5")),
        (
            "length beyond 64 bits",
            400,
            with("content-length: 99999999999999999999"),
        ),
        ("unknown coding", 400, with("transfer-encoding: xchunked")),
        (
            "coding after chunked",
            400,
            with("transfer-encoding: chunked, identity"),
        ),
        ("two codings", 400, two_codings),
        (
            "coding, space, colon",
            400,
            with("transfer-encoding : chunked"),
        ),
        ("coding in HTTP/1.0", 400, in_http10),
        ("coding around chunked", 501, put("gzip, chunked")),
        ("identity around chunked", 501, put("identity, chunked")),
        ("chunked twice", 501, put("chunked, chunked")),
        (
            "chunked on two lines",
            501,
            put("chunked\r\ntransfer-encoding: chunked"),
        ),
    ]
}

fn lines_and_versions() -> Vec<Row> {
    vec![
        ("space before a colon", 400, with("x : y")),
        ("folded line", 400, with("x: y\r\n z")),
        ("bare CR in a value", 400, with("x: a\rb")),
        ("NUL in a value", 400, with("x: a\0b")),
        ("space before a name", 400, with(" x: y")),
        ("HTTP/1.2", 400, with("x: y").replace("1.1", "1.2")),
        ("HTTP/9", 400, with("x: y").replace("1.1", "9.0")),
        ("HTTP/0.9", 400, "GET /-/health\r\n\r\n".to_owned()),
        (
            "long header",
            431,
            with(&format!("x: {}", "a".repeat(33_000))),
        ),
        (
            "longer header",
            431,
            with(&format!("x: {}", "a".repeat(200_000))),
        ),
        ("many headers", 431, with(&vec!["x: y"; 150].join("\r\n"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_honest_client_sends_is_refused_and_nothing_after_it_is_answered() {
    let world = world(|_| {}).await;
    let rows = [
        hosts_and_targets(),
        lengths_and_codings(),
        lines_and_versions(),
    ]
    .concat();
    let rows = rows
        .into_iter()
        .map(|(name, status, text)| (name, status, text.into_bytes()));
    let eight_bit = [b"GET /\xff", &b" HTTP/1.1\r\nhost: localhost\r\n\r\n"[..]].concat();
    for (name, expected, request) in rows.chain([("eight bits", 400, eight_bit)]) {
        let next = format!("{HEALTH}\r\n");
        let answer = client::raw(world.addr, &[&*request, next.as_bytes()].concat()).await;
        let answer = String::from_utf8_lossy(&answer);
        let found = answer.split(' ').nth(1).unwrap_or("none");
        assert_eq!(found, expected.to_string(), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
        assert!(!answer.contains("alive"), "{name}: {answer}");
    }
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unusual_but_right_is_served() {
    let world = world(|_| {}).await;
    let close = "connection: close\r\n\r\n";
    for (name, count, request) in [
        ("pipelined", 2, format!("{HEALTH}\r\n{HEALTH}{close}")),
        (
            "absolute form",
            1,
            format!("GET http://LOCALHOST/-/health HTTP/1.1\r\nhost: localhost\r\n{close}"),
        ),
        ("HTTP/1.0", 1, "GET /-/health HTTP/1.0\r\n\r\n".to_owned()),
        (
            "length of nothing",
            2,
            format!("{HEALTH}content-length: 0\r\n\r\n{HEALTH}{close}"),
        ),
        (
            "lines that end in LF",
            1,
            format!("{HEALTH}{close}").replace("\r\n", "\n"),
        ),
        // Answered, but nobody can say whether what follows is a body or a request.
        (
            "body of GET",
            1,
            format!("{HEALTH}content-length: 5\r\n\r\nhello{HEALTH}{close}"),
        ),
    ] {
        let answer = client::raw(world.addr, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("alive").count(), count, "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), count, "{name}: {answer}");
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

#[tokio::test(flavor = "multi_thread")]
async fn with_too_many_connections_an_idle_one_makes_room() {
    let world = world(|it| it.limits.connections_max = 3).await;
    world.up.on(UPSTREAM).stall_after(1_000_000);
    let busy = client::open(world.addr, LARGE, &[]).await;
    let mut first = used(world.addr).await;
    let mut second = used(world.addr).await;
    let mut third = used(world.addr).await;
    let left = tokio::select! {
        _ = rest(&mut first) => &mut second,
        _ = rest(&mut second) => &mut first,
    };
    again(left).await;
    again(&mut third).await;
    world.up.release();
    busy.rest().await.unwrap();
    assert_eq!(ended(&world, "evicted"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_just_asked_makes_room_at_once() {
    let world = world(|it| it.limits.connections_max = 1).await;
    let started = Stopwatch::start();
    let mut held = Vec::new();
    for _ in 0..6 {
        // None of them closes, or reads that it is to.
        held.push(used(world.addr).await);
    }
    // Who lingers has two seconds to close.
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(ended(&world, "evicted"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_too_many_connections_loses_its_own() {
    let world = world(|it| it.limits.connections_per_client_max = 2).await;
    world.up.on(UPSTREAM).stall_after(1_000_000);
    let busy = client::open(world.addr, LARGE, &[]).await;
    let mut idle = TcpStream::connect(world.addr).await.unwrap();
    let mut newer = used(world.addr).await;
    assert_eq!(rest(&mut idle).await, b"");
    again(&mut newer).await;
    drop(newer);
    until("only the busy one is left", async || {
        world.app().proxy().metrics().connections.get() == 1
    })
    .await;
    let other = client::open(world.addr, LARGE, &[]).await;
    // Both are busy: neither is given up for a third.
    assert_eq!(
        client::raw(world.addr, format!("{HEALTH}\r\n").as_bytes()).await,
        b""
    );
    assert_eq!((ended(&world, "evicted"), ended(&world, "refused")), (1, 1));
    world.up.release();
    let length = busy.rest().await.unwrap().body.len();
    assert_eq!(other.rest().await.unwrap().body.len(), length);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_as_strict() {
    let world = world(|_| {}).await;
    let foreign = [("x-forwarded-host", "evil.example")];
    let long = "a".repeat(20_000);
    let headers = [("x-one", long.as_str()), ("x-two", &long)];
    for (headers, expected) in [(&foreign[..], 200), (&headers, 431)] {
        let answer = client::get_h2(world.addr, "/-/health", headers).await;
        assert_eq!(answer.status, expected);
    }
    let target = format!("/v3/{}", "a".repeat(9000));
    assert_eq!(client::get_h2(world.addr, &target, &[]).await.status, 414);
    let put = client::call(world.addr, Method::PUT, "/v3/index.json", &[], "x").await;
    assert_eq!(put.status, 405);
    assert_eq!(get(world.addr, "/-/health", &[]).await.status, 200);
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection that begins with HTTP/2 at once.
async fn http2(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let preface = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(4, 0, 0, b""),
    ]
    .concat();
    stream.write_all(&preface).await.unwrap();
    stream
}

/// Reads frames up to one of this kind; its payload.
async fn payload_of(kind: u8, reading: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        reading.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        reading.read_exact(&mut payload).await?;
        if head[3] == kind {
            return Ok(payload);
        }
    }
}

/// The payload of `RST_STREAM` that gives a request up.
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

#[tokio::test(flavor = "multi_thread")]
async fn resets_without_end_are_ended() {
    let world = world(|_| {}).await;
    let mut stream = http2(world.addr).await;
    let (mut reading, mut writing) = stream.split();
    // GET http /, with a literal authority; each request is reset at once.
    let request = [&[0x82, 0x86, 0x84, 0x41, 9][..], b"localhost"].concat();
    let attack = async {
        for number in 0..5000 {
            let id = 2 * number + 1;
            let pair = [frame(1, 5, id, &request), frame(3, 0, id, &CANCEL)];
            if writing.write_all(&pair.concat()).await.is_err() {
                break;
            }
        }
    };
    let watching = async {
        // GOAWAY: the last stream, then why.
        let payload = payload_of(7, &mut reading).await.unwrap();
        (payload[4..8].to_vec(), payload[8..].to_vec())
    };
    let ((), (why, text)) = tokio::join!(attack, watching);
    // ENHANCE_YOUR_CALM
    assert_eq!(
        why,
        11_u32.to_be_bytes(),
        "{}",
        String::from_utf8_lossy(&text)
    );
    assert_eq!(get(world.addr, "/-/health", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_without_end_are_ended() {
    let world = world(|_| {}).await;
    world.up.on(UPSTREAM).hang();
    let mut stream = http2(world.addr).await;
    let request = [
        &[0x82, 0x86, 0x41, 9][..],
        b"localhost",
        // A path that is not in the table.
        &[0x04, u8::try_from(LARGE.len()).unwrap()],
        LARGE.as_bytes(),
    ]
    .concat();
    let (mut reading, mut writing) = stream.split();
    let mut made = 0;
    // Each is under way before it is given up: the answer to a ping comes behind it.
    let attack = async {
        loop {
            let ids = (0..10_u32).map(|number| 2 * (made + number) + 1);
            let asked = ids.clone().map(|id| frame(1, 5, id, &request));
            let asked: Vec<u8> = asked.chain([frame(6, 0, 0, &[0; 8])]).flatten().collect();
            writing.write_all(&asked).await?;
            payload_of(6, &mut reading).await?;
            let reset: Vec<u8> = ids.flat_map(|id| frame(3, 0, id, &CANCEL)).collect();
            writing.write_all(&reset).await?;
            made += 10;
            if made > 5000 {
                return Ok::<_, std::io::Error>(());
            }
        }
    };
    assert!(attack.await.is_err(), "the connection stays open");
    assert!((1000..2000).contains(&made), "{made}");
    assert_eq!(ended(&world, "given-up"), 1);
    assert_eq!(get(world.addr, "/-/health", &[]).await.status, 200);
}
