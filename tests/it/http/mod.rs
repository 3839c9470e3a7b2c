//! HTTP as clients see it, whatever the document.

mod conditions;
mod encodings;
mod files;
mod heads;
mod paths;
mod protocols;
mod ranges;

use std::io::Read as _;
use std::net::SocketAddr;

use nugate::demo::{ExampleFeed, Package};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::{World, client};

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const LARGE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";
const REGISTRATION: &str = "registration-gz-semver2/example.core/index.json";

/// The demonstration's packages and one of three megabytes.
fn feed() -> ExampleFeed {
    let mut feed = ExampleFeed::demo();
    feed.add(Package::new("Example.Large", "1.0.0").padded(3_000_000))
        .unwrap();
    feed
}

async fn world() -> World {
    World::new(feed()).await
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes);
    decoder.read_to_end(&mut plain).unwrap();
    plain
}

/// A response as it stood on the wire.
struct Wire {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Wire {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends a request as it is written here; the connection is closed after it.
async fn wire(addr: SocketAddr, request: &[u8]) -> Wire {
    let answer = client::raw(addr, request).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(&answer)));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Wire {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: answer[end + 4..].to_vec(),
        head,
    }
}

/// Head and body of the next response; `bodiless` for those to HEAD.
async fn answer(stream: &mut TcpStream, bodiless: bool) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .filter(|_| !bodiless);
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

/// GET of a target that a well-behaved client would not send.
async fn wire_get(addr: SocketAddr, target: &[u8]) -> Wire {
    let rest = b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    wire(addr, &[b"GET ", target, rest].concat()).await
}
