//! Versions of HTTP, connections, and the headers every response has.
//!
//! - HTTP/2 without TLS serves the same documents and packages
//! - HTTP/1.0 clients get a whole body of known length, whatever the upstream says of it
//! - a connection is used again, after errors too
//! - each response names its request and how it came about

use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{CORE, LARGE, REGISTRATION, answer, wire, world};
use crate::support::{client, get, head};

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls() {
    let world = world().await;
    for path in [LARGE, CORE, REGISTRATION, "index.json", "query?q=example"] {
        let target = format!("/v3/{path}");
        let cold = client::get_h2(world.addr, &target, &[]).await;
        let warm = world.hit(path).await;
        let again = client::get_h2(world.addr, &target, &[]).await;
        for answer in [cold, again] {
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.body == warm.body, "{path}");
            for name in ["etag", "content-type", "vary", "cache-control"] {
                assert_eq!(answer.header(name), warm.header(name), "{path} {name}");
            }
        }
    }
    let tag = world.hit(LARGE).await.header("etag").to_owned();
    let target = format!("/v3/{LARGE}");
    let same = client::get_h2(world.addr, &target, &[("if-none-match", &tag)]).await;
    assert_eq!(same.status, 304);
    let part = client::get_h2(world.addr, &target, &[("range", "bytes=-5")]).await;
    assert_eq!((part.status.as_u16(), part.body.len()), (206, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_whole_bodies_of_known_length() {
    for (path, id, chunked) in [
        (CORE, "example.core", true),
        (CORE, "example.core", false),
        (LARGE, "example.large", true),
        (LARGE, "example.large", false),
    ] {
        let world = world().await;
        let package = world.nupkg(id, "1.0.0");
        let script = world
            .up
            .on(&format!("/v3-flatcontainer/{id}/1.0.0/{id}.1.0.0.nupkg"));
        drop(if chunked {
            script.no_length()
        } else {
            script.close_delimited()
        });
        let request = format!("GET /v3/{path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
        for _ in 0..2 {
            let answer = wire(world.addr, request.as_bytes()).await;
            assert_eq!(answer.status, 200, "{path}");
            let length = package.len().to_string();
            assert_eq!(answer.header("content-length"), Some(&*length), "{path}");
            assert_eq!(answer.header("transfer-encoding"), None, "{path}");
            assert!(answer.body == package, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again() {
    let world = world().await;
    let tag = world.hit(CORE).await.header("etag").to_owned();
    let large = world.hit(LARGE).await;
    assert_eq!(large.status, 200);
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    for (path, header, expected) in [
        ("index.json", "x: y", 200),
        (CORE, "x: y", 200),
        (CORE, &format!("if-none-match: {tag}"), 304),
        ("flat/example.none/index.json", "x: y", 404),
        ("flat/%ff/index.json", "x: y", 400),
        (LARGE, "range: bytes=9999999-", 416),
        (LARGE, "x: y", 200),
        (REGISTRATION, "accept-encoding: gzip", 200),
    ] {
        let request = format!("GET /v3/{path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, _) = answer(&mut stream, false).await;
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(status, expected, "{path}");
    }
    assert_eq!(world.metric("nugate_connections").await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_response_names_its_request_and_how_it_came_about() {
    let world = world().await;
    world.up.on("/search-usnc/query").reply(500, "");
    world.up.on("/search-ussc/query").reply(500, "");
    let post = client::call(world.addr, Method::POST, "/v3/index.json", &[], "").await;
    let evil = [("host", "evil.example")];
    let range = [("range", "bytes=9999999-")];
    let core = format!("/v3/{CORE}");
    world.hit(CORE).await;
    let long = format!("/v3/{}", "a".repeat(9000));
    let answers = [
        (405, post),
        (200, get(world.addr, &core, &[]).await),
        (200, head(world.addr, &core, &[]).await),
        (416, get(world.addr, &core, &range).await),
        (304, get(world.addr, &core, &[("if-none-match", "*")]).await),
        (421, get(world.addr, &core, &evil).await),
        (404, get(world.addr, "/v3/flat/none/index.json", &[]).await),
        (404, get(world.addr, "/v3/flat/none/index.json", &[]).await),
        (404, get(world.addr, "/v3/nothing", &[]).await),
        (400, get(world.addr, "/v3/flat/%ff", &[]).await),
        (414, get(world.addr, &long, &[]).await),
        (502, get(world.addr, "/v3/query?q=zebra", &[]).await),
        (200, get(world.addr, "/-/health", &[]).await),
        (302, get(world.addr, "/", &[]).await),
    ];
    let mut ids = std::collections::HashSet::new();
    for (expected, answer) in answers {
        assert_eq!(answer.status, expected, "{answer:?}");
        assert!(
            answer.header("cache-status").starts_with("nugate; "),
            "{answer:?}"
        );
        let id = answer.header("x-request-id").to_owned();
        assert!(!id.is_empty() && ids.insert(id), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_request_ids_are_echoed() {
    let world = world().await;
    let long = "a".repeat(65);
    for (given, echoed) in [
        ("restore-7_b.3", true),
        ("has space", false),
        ("<script>", false),
        (&long, false),
        ("", false),
    ] {
        let answer = get(world.addr, "/v3/index.json", &[("x-request-id", given)]).await;
        let id = answer.header("x-request-id");
        assert_eq!(id == given, echoed, "{given} {id}");
        assert!(!id.is_empty());
    }
}
