//! Bodies of requests that do not come to their end.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ABOVE, call, get, world_with};
use crate::support::World;

async fn world() -> World {
    world_with(|settings| {
        settings.routes[0].unsafe_methods = true;
        settings.feed.idle_timeout = Duration::from_millis(500);
        settings.limits.patience.last = Duration::from_secs(1);
    })
    .await
}

/// A request whose body this is the beginning of. The client leaves its side open.
async fn begun(world: &World, framing: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    let head = format!("POST /raw/test/a.txt HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n");
    let request = [head.as_bytes(), body.as_bytes()].concat();
    stream.write_all(&request).await.unwrap();
    stream
}

/// The answer to it.
async fn answer(world: &World, framing: &str, body: &str) -> String {
    let mut stream = begun(world, framing, body).await;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_its_body_back_is_told_and_sent_away() {
    let world = world().await;
    let requests = [
        ("content-length: 1000", "hello"),
        ("content-length: 1000", ""),
        ("transfer-encoding: chunked", "5\r\nhello\r\n"),
    ];
    // What may still come is waited for a while, of all of them at once.
    let answers = requests.map(|(framing, body)| answer(&world, framing, body));
    for (said, (framing, _)) in join_all(answers).await.into_iter().zip(requests) {
        assert!(said.starts_with("HTTP/1.1 408 "), "{framing}: {said}");
        assert!(said.contains("connection: close"), "{framing}: {said}");
    }
    assert_eq!(world.up.count(ABOVE), 0, "no request was whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_the_clients_fault() {
    let world = world().await;
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello, and more\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ] {
        let said = answer(&world, "transfer-encoding: chunked", body).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{body}: {said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{body}: {said}");
    }
    assert_eq!(world.up.count(ABOVE), 0, "no request was whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_kept_back_keep_nobody_else_waiting() {
    let world = world_with(|settings| {
        settings.routes[0].unsafe_methods = true;
        settings.feed.connections_max = 4;
    })
    .await;
    drop(world.up.on(ABOVE).reply(200, "hello"));
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(begun(&world, "content-length: 1000", "hello").await);
    }
    // Nothing of it is kept: each is a question to the upstream.
    for _ in 0..20 {
        assert_eq!(get(&world, "a.txt", &[]).await.status, 200);
    }
    assert_eq!(world.up.count(ABOVE), 20);
    drop(held);
    assert_eq!(call(&world, "PUT", "a.txt", "x").await.status, 200);
}
