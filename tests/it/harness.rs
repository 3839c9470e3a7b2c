//! The tools of the other behaviours do what they say: the example feed's documents hang together,
//! and the scripted upstream delays, stalls, cuts and refuses.

use std::collections::{HashSet, VecDeque};
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use nugate::clock::Stopwatch;
use nugate::demo::{ExampleFeed, Package};
use serde_json::Value;

use crate::support::client::{self, call, get_h2, open, raw, try_get};
use crate::support::{ScriptedUpstream, get, head};

const INDEX: &str = "/v3/index.json";
const VERSIONS: &str = "/v3-flatcontainer/example.core/index.json";
const NUPKG: &str = "/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg";

/// Members whose URLs are documents of the feed.
const FOLLOWED: &[&str] = &[
    "@id",
    "parent",
    "registration",
    "packageContent",
    "contentUrl",
];

fn json_of(response: &client::Response) -> Option<Value> {
    if response.header("content-type") != "application/json" {
        return None;
    }
    let mut text = String::new();
    if response.header("content-encoding") == "gzip" {
        let mut decoder = flate2::read::GzDecoder::new(&response.body[..]);
        decoder.read_to_string(&mut text).unwrap();
    } else {
        text = response.text();
    }
    Some(serde_json::from_str(&text).unwrap())
}

fn links(value: &Value, base: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| *name != "@context") {
                match member.as_str() {
                    Some(url) if FOLLOWED.contains(&name.as_str()) => {
                        found.extend(url.strip_prefix(base).map(str::to_owned));
                    }
                    _ => links(member, base, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| links(item, base, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_document_the_feed_links_to_answers() {
    let many = (0..130).map(|minor| Package::new("Example.Many", format!("1.{minor}.0")));
    let mut feed = ExampleFeed::demo();
    many.for_each(|package| feed.add(package).unwrap());
    let up = ScriptedUpstream::new(feed).await;
    let search = "/search-usnc/query?semVerLevel=2.0.0&prerelease=true";
    let mut queue = VecDeque::from([INDEX, search].map(str::to_owned));
    let mut seen = HashSet::new();
    while let Some(link) = queue.pop_front() {
        let path = link.split('#').next().unwrap().to_owned();
        let unserved = ["/api/v2", "/packages/", "/profiles/"];
        let unserved = unserved.iter().any(|start| path.starts_with(start));
        if unserved || path.contains('{') || path.ends_with('/') || !seen.insert(path.clone()) {
            continue;
        }
        let response = get(up.addr(), &path, &[]).await;
        assert_eq!(response.status, 200, "{path}");
        if let Some(document) = json_of(&response) {
            let mut found = Vec::new();
            links(&document, up.base_url(), &mut found);
            queue.extend(found);
        }
    }
    for path in [
        "/v3/registration5-gz-semver2/example.many/page/1.64.0/1.127.0.json",
        "/v3/registration5-semver1/example.many/page/1.128.0/1.129.0.json",
        "/v3/registration5-semver1/example.core/1.0.0.json",
        "/v3/catalog0/page1.json",
        "/search-ussc/query",
        NUPKG,
    ] {
        assert!(seen.contains(path), "{path} was not reached");
    }
}

#[tokio::test]
async fn hives_differ_in_versions_and_encoding() {
    let up = ScriptedUpstream::demo().await;
    for (hive, encoding, count) in [
        ("registration5-semver1", "", 2),
        ("registration5-gz-semver1", "gzip", 2),
        ("registration5-gz-semver2", "gzip", 3),
    ] {
        let path = format!("/v3/{hive}/example.core/index.json");
        let response = get(up.addr(), &path, &[]).await;
        assert_eq!(response.header("content-encoding"), encoding);
        let index = json_of(&response).unwrap();
        assert_eq!(index["items"][0]["count"], count, "{hive}");
    }
    let vulnerable = "/v3/registration5-gz-semver2/example.http/0.9.0.json";
    assert_eq!(get(up.addr(), vulnerable, &[]).await.status, 200);
}

#[tokio::test]
async fn search_finds_what_is_listed() {
    let up = ScriptedUpstream::demo().await;
    for (query, ids) in [
        ("q=core", vec!["Example.Core"]),
        (
            "q=example.core&prerelease=true&semVerLevel=2.0.0",
            vec!["Example.Core"],
        ),
        ("q=packageid:EXAMPLE.JSON", vec!["Example.Json"]),
        ("q=&take=2&skip=1", vec!["Example.Core", "Example.Http"]),
        ("q=legacy", vec!["Example.Legacy"]),
        ("q=nothing", vec![]),
        ("q=&packageType=DotnetTool", vec![]),
    ] {
        let path = format!("/search-usnc/query?{query}");
        let answer = get(up.addr(), &path, &[]).await.json();
        let data = answer["data"].as_array().unwrap();
        let found: Vec<&str> = data
            .iter()
            .map(|item| item["id"].as_str().unwrap())
            .collect();
        assert_eq!(found, ids, "{query}");
        assert!(!answer["data"].to_string().contains("0.1.0"), "{query}");
    }
    let path = "/search-ussc/autocomplete?id=example.core&prerelease=true&semVerLevel=2.0.0";
    let versions = get(up.addr(), path, &[]).await.json();
    assert_eq!(
        versions["data"],
        serde_json::json!(["1.0.0", "1.1.0", "2.0.0-beta.1"])
    );
}

#[tokio::test]
async fn only_lower_case_exists() {
    let up = ScriptedUpstream::demo().await;
    for path in [
        "/v3-flatcontainer/Example.Core/index.json",
        "/v3-flatcontainer/example.core/1.0/example.core.1.0.nupkg",
        "/v3/registration5-semver1/Example.Core/index.json",
        "/v3-flatcontainer/nothing/index.json",
    ] {
        assert_eq!(get(up.addr(), path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_feed_can_change() {
    let up = ScriptedUpstream::demo().await;
    up.change(|feed| feed.add(Package::new("example.core", "1.0.5")).unwrap());
    assert!(up.change(|feed| feed.remove("Example.Core", "1.1.0.0")));
    let list = get(up.addr(), VERSIONS, &[]).await.json();
    assert_eq!(
        list["versions"],
        serde_json::json!(["1.0.0", "1.0.5", "2.0.0-beta.1"])
    );
    let twice = up.change(|feed| feed.add(Package::new("Example.Core", "1.0.5.0")));
    assert_eq!(
        twice.unwrap_err().to_string(),
        "Example.Core 1.0.5 is there already"
    );
}

#[tokio::test]
async fn scripts_replace_the_feed_and_are_used_up() {
    let up = ScriptedUpstream::demo().await;
    up.on(VERSIONS).reply(500, "no").times(2);
    up.on(VERSIONS)
        .reply(200, "{}")
        .header("etag", "bare")
        .times(1);
    up.on("/search-usnc/query?q=a").reply(418, "");
    for (status, etag) in [(500, ""), (500, ""), (200, "bare")] {
        let response = get(up.addr(), VERSIONS, &[]).await;
        assert_eq!(response.status, status);
        assert_eq!(response.header("etag"), etag);
    }
    assert_eq!(
        get(up.addr(), VERSIONS, &[("accept", "x")]).await.json()["versions"][0],
        "1.0.0"
    );
    assert_eq!(up.count(VERSIONS), 4);
    assert_eq!(up.log()[3].header("accept"), "x");
    assert_eq!(
        get(up.addr(), "/search-usnc/query?q=a", &[]).await.status,
        418
    );
    assert_eq!(
        get(up.addr(), "/search-usnc/query?q=b", &[]).await.status,
        200
    );
    up.behave();
    assert_eq!(
        get(up.addr(), "/search-usnc/query?q=a", &[]).await.status,
        200
    );
    assert_eq!((up.requests(), up.connections()), (7, 7));
    up.clear_log();
    assert_eq!(up.requests(), 0);
}

#[tokio::test]
async fn a_request_body_is_seen() {
    let up = ScriptedUpstream::demo().await;
    up.on("/api/v2/package/").reply(201, "");
    for headers in [vec![], vec![("transfer-encoding", "chunked")]] {
        let answer = call(up.addr(), Method::PUT, "/api/v2/package/", &headers, "abc").await;
        assert_eq!(answer.status, 201);
        assert_eq!(up.log().last().unwrap().body, "abc");
    }
    let request = b"DELETE /v3/index.json HTTP/1.1\r\nconnection: close\r\n\r\n";
    let refusal = String::from_utf8(raw(up.addr(), request).await).unwrap();
    assert!(refusal.starts_with("HTTP/1.1 405 "), "{refusal}");
}

#[tokio::test]
async fn a_slow_body_arrives_piece_by_piece() {
    let up = ScriptedUpstream::demo().await;
    let pause = Duration::from_millis(20);
    up.on("/slow")
        .reply(200, vec![7; 50])
        .chunks(10, pause)
        .delay(pause);
    let watch = Stopwatch::start();
    let mut stream = open(up.addr(), "/slow", &[]).await;
    assert!(watch.elapsed() >= pause);
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().await {
        pieces.push(piece.unwrap().len());
    }
    assert_eq!(pieces.iter().sum::<usize>(), 50);
    assert!(pieces.len() > 1, "{pieces:?}");
    assert!(watch.elapsed() >= pause * 5);
}

#[tokio::test]
async fn broken_bodies_are_errors_and_unframed_ones_are_not() {
    let up = ScriptedUpstream::demo().await;
    let whole = get(up.addr(), NUPKG, &[]).await.body;
    up.on("/cut").reply(200, whole.clone()).cut_after(100);
    up.on("/reset").reply(200, whole.clone()).reset_after(100);
    up.on("/cut-chunked")
        .reply(200, whole.clone())
        .no_length()
        .cut_after(100);
    up.on("/chunked").reply(200, whole.clone()).no_length();
    up.on("/closed").reply(200, whole.clone()).close_delimited();
    for (path, complete) in [
        ("/cut", false),
        ("/reset", false),
        ("/cut-chunked", false),
        ("/chunked", true),
        ("/closed", true),
    ] {
        match try_get(up.addr(), path, &[]).await {
            Ok(response) => assert!(complete && response.body == whole, "{path}"),
            Err(error) => assert!(!complete, "{path}: {error}"),
        }
    }
    up.on(NUPKG).cut_after(100).times(1);
    assert!(try_get(up.addr(), NUPKG, &[]).await.is_err());
    let rest = get(up.addr(), NUPKG, &[("range", "bytes=100-")]).await;
    assert_eq!((rest.status.as_u16(), rest.body), (206, whole.slice(100..)));
}

#[tokio::test]
async fn what_hangs_goes_on_when_released() {
    let up = ScriptedUpstream::demo().await;
    up.on(INDEX).hang().times(1);
    let asked = tokio::spawn({
        let addr = up.addr();
        async move { get(addr, INDEX, &[]).await }
    });
    up.wait_for(|log| log.len() == 1).await;
    assert!(!asked.is_finished());
    up.release();
    assert_eq!(asked.await.unwrap().status, 200);
    up.on("/stall").reply(200, "0123456789").stall_after(4);
    let mut stalled = open(up.addr(), "/stall", &[]).await;
    assert_eq!(stalled.next().await.unwrap().unwrap(), Bytes::from("0123"));
    up.release();
    assert_eq!(stalled.rest().await.unwrap().body, "456789");
}

#[tokio::test]
async fn an_upstream_that_is_down_refuses_connections() {
    let mut up = ScriptedUpstream::demo().await;
    for _ in 0..2 {
        assert_eq!(head(up.addr(), INDEX, &[]).await.status, 200);
        up.down().await;
        assert!(tokio::net::TcpStream::connect(up.addr()).await.is_err());
        up.up();
    }
    assert_eq!(get(up.addr(), INDEX, &[]).await.status, 200);
    assert!(up.index_url().ends_with(INDEX));
}

#[tokio::test]
async fn the_feed_has_a_server_of_its_own() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let feed = std::sync::Arc::new(ExampleFeed::demo());
    let server = tokio::spawn(nugate::demo::server::serve(feed, listener, async {
        stopped.await.unwrap();
    }));
    let (one, two) = (get(addr, NUPKG, &[]).await, get_h2(addr, NUPKG, &[]).await);
    assert_eq!(one.body, two.body);
    assert_eq!(
        head(addr, NUPKG, &[]).await.header("content-length"),
        one.body.len().to_string()
    );
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
