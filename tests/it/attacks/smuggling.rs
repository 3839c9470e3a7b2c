//! Requests and answers within others.
//!
//! - whatever is done to the bytes of a request, each answer belongs to the request it answers
//! - a body that looks like a request is none, whatever the answer comes from
//! - a feed whose answers can be read in two ways is not believed, and its connection not used again

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use nugate::demo::ExampleFeed;
use nugate::server::Patience;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{World, client};

const HIDDEN: &str = "GET /-/health HTTP/1.1\r\nhost: localhost\r\nx-request-id: hidden\r\n\r\n";
const LAST: &str =
    "GET /-/health HTTP/1.1\r\nhost: localhost\r\nx-request-id: last\r\nconnection: close\r\n\r\n";

/// A generator of the same numbers each time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const HEADS: &[&str] = &[
    "GET /-/health HTTP/1.1\r\nhost: localhost\r\nx-request-id: first\r\n",
    "GET /v3/index.json HTTP/1.1\r\nhost: localhost\r\nx-request-id: first\r\n",
    "HEAD /v3/index.json HTTP/1.1\r\nhost: localhost\r\nx-request-id: first\r\n",
    "PUT /v3/index.json HTTP/1.1\r\nhost: localhost\r\nx-request-id: first\r\n",
    "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx-request-id: first\r\n",
];
const FRAMINGS: &[&str] = &[
    "",
    "content-length: LENGTH\r\n",
    "content-length: 0\r\n",
    "content-length: LENGTH\r\ncontent-length: 0\r\n",
    "content-length: 0\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ncontent-length: LENGTH\r\n",
    "transfer-encoding: xchunked\r\n",
    "transfer-encoding : chunked\r\ncontent-length: LENGTH\r\n",
    "transfer-encoding:\tchunked\r\ncontent-length: LENGTH\r\n",
    "x: y\r\n transfer-encoding: chunked\r\ncontent-length: LENGTH\r\n",
    "content-length: +LENGTH\r\n",
    "content-length: LENGTH, LENGTH\r\n",
    "content_length: 0\r\ncontent-length: LENGTH\r\n",
];
const NOISE: &[&str] = &[
    "\r",
    "\n",
    "\r\n",
    "\0",
    " ",
    "\t",
    ":",
    "\u{b}",
    "\u{c}",
    "\u{7f}",
    "\u{85}",
    ",",
    "+",
    "-",
    "0",
    "0x",
    "\"",
    ";",
    "\r\n\r\n",
    "\n\n",
    "%0d%0a",
    "host: localhost\r\n",
    "connection: x\r\n",
];

/// A request whose body looks like a request, somehow broken.
fn mutant(dice: &mut Dice) -> Vec<u8> {
    let framing = dice
        .pick(FRAMINGS)
        .replace("LENGTH", &HIDDEN.len().to_string());
    let mut head = format!("{}{framing}", dice.pick(HEADS)).into_bytes();
    for _ in 0..dice.roll(4) {
        let at = dice.roll(head.len());
        match dice.roll(3) {
            0 => drop(head.splice(at..at, dice.pick(NOISE).bytes())),
            1 => drop(head.splice(at..=at, dice.pick(NOISE).bytes())),
            _ => drop(head.remove(at)),
        }
    }
    let end = if dice.roll(20) == 0 { "" } else { "\r\n" };
    [&head, end.as_bytes(), HIDDEN.as_bytes(), LAST.as_bytes()].concat()
}

/// The ids of the requests that may be answered, by a plain reading: whatever says how long a body
/// is in another way than one clean length ends the connection.
fn answerable(mut bytes: &[u8]) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let mut lines = Vec::new();
        // Empty lines before a request are nothing (RFC 9112 section 2.2).
        loop {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                return ids;
            };
            let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes = &bytes[end + 1..];
            match line.trim_end_matches('\r') {
                "" if lines.is_empty() => {}
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut id = lines.iter().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-request-id").then_some(value)
        });
        ids.push(id.next_back().unwrap_or_default().trim().to_owned());
        let frames = |line: &&String| {
            let name = line.split(':').next().unwrap_or_default();
            // With any other character of a token it is another field (RFC 9110 section 5.6.2).
            let token =
                |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
            let plain = |char: &char| token(*char);
            let plain: String = name.to_ascii_lowercase().chars().filter(plain).collect();
            matches!(&plain[..], "content-length" | "transfer-encoding")
        };
        let framing: Vec<_> = lines.iter().filter(frames).collect();
        let bodiless = lines[0].starts_with("GET ") || lines[0].starts_with("HEAD ");
        let length = match framing[..] {
            [] => Some(0),
            [only] => only
                .split_once(':')
                .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, length)| length.trim().parse().ok()),
            _ => None,
        };
        match length {
            Some(0) => {}
            Some(length) if !bodiless && length <= bytes.len() => bytes = &bytes[length..],
            _ => return ids,
        }
    }
}

/// The ids that the answers on a connection echo; an answer of hyper itself has none.
fn answered(mut bytes: &[u8], heads: &mut usize) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        assert!(head.starts_with("http/1."), "{head}");
        *heads += 1;
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        let id = field("x-request-id: ").unwrap_or_default();
        // What answers HEAD has no body, and nothing says so but the request.
        let length = field("content-length: ").map_or(0, |it| it.parse().unwrap());
        let rest = &bytes[end + 4..];
        let skip = if rest.starts_with(b"HTTP/1.") {
            0
        } else {
            length
        };
        bytes = rest.get(skip..).unwrap_or_default();
        ids.push(id);
    }
    ids
}

async fn exchange(world: &World, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    // The other side may have closed already.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_belongs_to_its_request_whatever_is_done_to_it() {
    let short = Duration::from_millis(300);
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.limits.patience = Patience {
            first_byte: short,
            head: short,
            idle: short,
            stall: short,
            last: short,
            // Connections rest between requests too.
            rest: short / 10,
        };
        settings.limits.connections_per_client_max = 1000;
    })
    .await;
    world.hit("index.json").await;
    let attack = async |seed: u64| {
        let (mut dice, mut heads) = (Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), 0);
        for _ in 0..625 {
            let request = mutant(&mut dice);
            let expected = answerable(&request);
            let answer = exchange(&world, &request).await;
            let found = answered(&answer, &mut heads);
            let shown = String::from_utf8_lossy(&request);
            for (at, id) in found.iter().enumerate() {
                if ["first", "hidden", "last"].contains(&id.as_str()) {
                    assert_eq!(
                        expected.get(at),
                        Some(id),
                        "answer {at} of {found:?} to {shown:?}"
                    );
                }
            }
        }
        heads
    };
    let heads: usize = join_all((1..=16).map(attack)).await.into_iter().sum();
    assert!(heads > 10_000, "only {heads} answers");
    assert_eq!(world.get("index.json").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_looks_like_a_request_is_none() {
    let world = World::demo().await;
    let nupkg = "/v3/flat/example.core/1.0.0/example.core.1.0.0.nupkg";
    for path in ["index.json", nupkg.trim_start_matches("/v3/")] {
        world.hit(path).await;
    }
    for (method, path, extra) in [
        ("GET", nupkg, ""),
        ("GET", nupkg, "range: bytes=0-9\r\n"),
        ("GET", nupkg, "if-none-match: *\r\n"),
        ("HEAD", nupkg, ""),
        ("GET", "/v3/index.json", ""),
        ("GET", "/v3/flat/nothing/index.json", ""),
        ("GET", "/v3/nothing", ""),
        ("PUT", "/v3/index.json", ""),
        ("DELETE", "/-/health", ""),
        ("POST", "/api/v2/", ""),
    ] {
        let length = HIDDEN.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{extra}content-length: {length}\r\n\r\n{HIDDEN}{LAST}"
        );
        let answer = client::raw(world.addr, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 "), "{method} {path}: {answer}");
        assert!(!answer.contains("hidden"), "{method} {path}: {answer}");
    }
}

/// A feed that answers everything but its index with these bytes, and more when it is asked again.
async fn feed(answer: Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let index = format!(
        r#"{{"version":"3.0.0","resources":[{{"@id":"{base}/flat/","@type":"PackageBaseAddress/3.0.0"}}]}}"#
    );
    let url = format!("{base}/index.json");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (index, answer) = (index.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let bytes = if head.starts_with(b"GET /index.json ") {
                        let length = index.len();
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{index}")
                            .into_bytes()
                    } else {
                        answer.lock().unwrap().clone()
                    };
                    head.clear();
                    if stream.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

/// What it is, a head and a body: none of them says in one way where it ends.
fn ambiguous(list: &str) -> Vec<(&'static str, String, String)> {
    let length = list.len();
    let chunked = format!("{length:x}\r\n{list}\r\n0\r\n\r\n");
    vec![
        (
            "length and coding",
            format!("content-length: {length}\r\ntransfer-encoding: chunked"),
            chunked.clone(),
        ),
        (
            "coding and length",
            format!("transfer-encoding: chunked\r\ncontent-length: {length}"),
            chunked.clone(),
        ),
        (
            "two lengths",
            format!("content-length: {length}\r\ncontent-length: 3"),
            list.to_owned(),
        ),
        (
            "two lengths in one",
            format!("content-length: {length}, 3"),
            list.to_owned(),
        ),
        (
            "length with a sign",
            format!("content-length: +{length}"),
            list.to_owned(),
        ),
        (
            "NUL in a value",
            format!("x: a\0b\r\ncontent-length: {length}"),
            list.to_owned(),
        ),
        (
            "CR in a value",
            format!("x: a\rb\r\ncontent-length: {length}"),
            list.to_owned(),
        ),
        (
            "space before a colon",
            format!("content-length : 3\r\ncontent-length: {length}"),
            list.to_owned(),
        ),
        (
            "size of a chunk",
            "transfer-encoding: chunked".to_owned(),
            chunked.replacen(&format!("{length:x}"), "0x16", 1),
        ),
        (
            "chunk without its end",
            "transfer-encoding: chunked".to_owned(),
            format!("{length:x}\r\n{list}0\r\n\r\n"),
        ),
        (
            "unknown coding",
            format!("transfer-encoding: xchunked\r\ncontent-length: {length}"),
            list.to_owned(),
        ),
        ("another version", String::new(), String::new()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_can_be_read_in_two_ways_is_none() {
    let answer = Arc::new(Mutex::new(Vec::new()));
    let url = feed(Arc::clone(&answer)).await;
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.feed.url = url.parse().unwrap();
    })
    .await;
    let list = r#"{"versions":["1.0.0"]}"#;
    let evil = r#"{"versions":["6.6.6"]}"#;
    let length = list.len();
    let after = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{evil}",
        evil.len()
    );
    for (number, (name, head, body)) in ambiguous(list).into_iter().enumerate() {
        let version = if head.is_empty() {
            "HTTP/7.1"
        } else {
            "HTTP/1.1"
        };
        let bytes = format!("{version} 200 OK\r\n{head}\r\n\r\n{body}");
        *answer.lock().unwrap() = bytes.into_bytes();
        let path = format!("flat/a.b{number}/index.json");
        let response = world.get(&path).await;
        assert_eq!(response.status, 502, "{name}: {}", response.text());
        // Or the host would be left alone.
        world.later(60);
        world.quiet().await;
        let stored = [("cache-control", "only-if-cached")];
        assert_eq!(
            world.get_with(&path, &stored).await.status,
            504,
            "{name}: it was kept"
        );
    }
    // What follows a whole answer unasked is nobody's.
    let bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{list}{after}");
    *answer.lock().unwrap() = bytes.into_bytes();
    for number in 0..20 {
        let response = world.get(&format!("flat/c{number}/index.json")).await;
        assert!(
            !response.text().contains("6.6.6"),
            "{number}: {}",
            response.text()
        );
    }
}
