//! HTTP/2: foreign hosts, long headers, resets without end.

use std::net::SocketAddr;

use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{LARGE, UPSTREAM, ended, world};
use crate::support::client;
use crate::support::get;

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
