//! Pushes, deletions and relistings through nugate.
//!
//! - An upload reaches the feed as it arrives, with its length if it is known; never twice.
//! - Nothing of the client goes upstream but what belongs to the push; its key is shown nowhere.
//! - The feed's answer comes back as it is, also before the end of the upload.
//! - What cannot be passed on is refused with a text that says why.

mod afresh;
mod trouble;

use http::Method;
use nugate::demo::{ExampleFeed, Package};
use nugate::nuget::publish::Publish;

use crate::support::client::call;
use crate::support::push::{FORM, Uploading, form, form_of};
use crate::support::world::Settings;
use crate::support::{Program, World};

const UPSTREAM: &str = "/api/v2/package/";

#[tokio::test(flavor = "multi_thread")]
async fn our_service_index_offers_both_where_the_upstream_does() {
    let world = World::demo().await;
    let index = world.get("index.json").await.json();
    let offered = |index: &serde_json::Value, kind: &str| {
        let entries = index["resources"].as_array().unwrap().clone();
        let found = entries.into_iter().find(|entry| entry["@type"] == kind);
        found.map(|entry| entry["@id"].as_str().unwrap().to_owned())
    };
    let base = world.base();
    let publish = offered(&index, "PackagePublish/2.0.0");
    assert_eq!(publish, Some(format!("{base}publish")));
    let symbols = offered(&index, "SymbolPackagePublish/4.9.0");
    assert_eq!(symbols, Some(format!("{base}symbols")));
    let without = World::new(ExampleFeed::demo().without("PackagePublish")).await;
    let index = without.get("index.json").await.json();
    assert_eq!(offered(&index, "PackagePublish/2.0.0"), None);
    let pushed = without.push("New.Id", "1.0.0").await;
    assert_eq!(pushed.status, 404, "{}", pushed.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_reaches_the_feed_as_it_arrives() {
    let world = World::demo().await;
    let package = Package::new("New.Id", "1.0.0").padded(3_000_000);
    let body = form(&package.nupkg().unwrap());
    let mut upload = Uploading::begin(world.addr, "Transfer-Encoding: chunked").await;
    let (first, rest) = body.split_at(1_000_000);
    upload.chunk(first).await;
    world.up.has_received(first.len()).await;
    for piece in rest.chunks(100_000) {
        upload.chunk(piece).await;
    }
    upload.raw(b"0\r\n\r\n").await;
    let answer = upload.answer().await;
    assert_eq!(answer.status_line(), "HTTP/1.1 201 Created");
    let log = world.up.log();
    let push = log.iter().find(|seen| seen.path() == UPSTREAM).unwrap();
    assert_eq!(push.header("transfer-encoding"), "chunked");
    assert_eq!(push.header("content-length"), "");
    assert_eq!(push.body, body);
    assert_eq!(
        world.nupkg("New.Id", "1.0.0"),
        package.nupkg().unwrap(),
        "byte for byte"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_length_is_passed_on() {
    let world = World::demo().await;
    let body = form_of("New.Id", "1.0.0");
    for path in ["publish/", "publish"] {
        let length = body.len().to_string();
        let pushed = world.call(Method::PUT, path, &[FORM], body.clone()).await;
        let status = if path == "publish" { 409 } else { 201 };
        assert_eq!(pushed.status, status, "{path}");
        assert_eq!(pushed.header("cache-status"), "nugate; fwd=method");
        let push = world.up.log().pop().unwrap();
        assert_eq!(push.path(), UPSTREAM);
        assert_eq!(push.header("content-length"), length);
        assert_eq!(push.header("transfer-encoding"), "");
    }
    assert_eq!(
        world
            .metric("nugate_published_total{outcome=\"accepted\"}")
            .await,
        1.0
    );
    assert_eq!(
        world
            .metric("nugate_published_total{outcome=\"exists\"}")
            .await,
        1.0
    );
    let labels = "nugate_requests_total{cache=\"relayed\",resource=\"push\"";
    assert_eq!(world.metric(labels).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_of_the_client_goes_upstream() {
    let world = World::new(ExampleFeed::demo().guarded_by("key-1")).await;
    let body = form_of("New.Id", "1.0.0");
    let headers = [
        FORM,
        ("x-nuget-apikey", "key-1"),
        ("x-nuget-protocol-version", "4.1.0"),
        ("x-nuget-client-version", "7.6.0"),
        ("user-agent", "NuGet xplat/7.6.0"),
        ("cookie", "no=1"),
        ("authorization", "Basic bm8="),
        ("x-nuget-session-id", "s"),
        ("x-other", "no"),
    ];
    let pushed = world.call(Method::PUT, "publish/", &headers, body).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let push = world.up.log().pop().unwrap();
    for (name, value) in &headers[..5] {
        assert_eq!(push.header(name), *value);
    }
    assert_eq!(push.header("via"), "1.1 nugate");
    let mut names: Vec<_> = push.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "via",
            "x-nuget-apikey",
            "x-nuget-client-version",
            "x-nuget-protocol-version",
        ]
    );
    // Neither does the key go with anything else that is asked.
    world
        .get_with("flat/new.id/index.json", &[("x-nuget-apikey", "key-1")])
        .await;
    let with_key =
        |seen: &crate::support::upstream::Seen| seen.headers.contains_key("x-nuget-apikey");
    assert_eq!(
        world.up.log().iter().filter(|seen| with_key(seen)).count(),
        1
    );
    let wrong = [FORM, ("x-nuget-apikey", "key-2")];
    let body = form_of("New.Id", "2.0.0");
    let denied = world.call(Method::PUT, "publish/", &wrong, body).await;
    assert_eq!(denied.status, 403);
    assert!(
        denied.text().contains("API key is invalid"),
        "{}",
        denied.text()
    );
    let metrics = crate::support::get(world.addr, "/metrics", &[])
        .await
        .text();
    assert!(!metrics.contains("key-1") && !metrics.contains("key-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_push_but_not_its_key() {
    let up = crate::support::ScriptedUpstream::demo().await;
    let arguments = format!("serve --listen 127.0.0.1:0 --upstream {}", up.index_url());
    let environment = [
        ("NUGATE_LOG__LEVEL", "trace"),
        ("NUGATE_LOG__FORMAT", "json"),
    ];
    let mut program = Program::start_with(&arguments, &environment);
    let address = program.address();
    let headers = [FORM, ("x-nuget-apikey", "very-secret-key")];
    let body = form_of("New.Id", "1.0.0");
    let target = "/v3/publish/";
    let pushed = call(address, Method::PUT, target, &headers, body).await;
    assert_eq!(pushed.status, 201);
    assert_eq!(
        up.log().pop().unwrap().header("x-nuget-apikey"),
        "very-secret-key"
    );
    program.signal(rustix::process::Signal::TERM);
    let ended = program.end();
    let log = ended.out + &ended.err;
    let line = log.lines().find(|line| line.contains("\"push\"")).unwrap();
    assert!(
        line.contains("\"relayed\"") && line.contains("\"PUT\""),
        "{line}"
    );
    assert!(!log.contains("very-secret-key"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_the_feed_comes_back_as_it_is() {
    let world = World::demo().await;
    let script = world.up.on(UPSTREAM).reply(409, "{\"error\":\"reserved\"}");
    drop(
        script
            .header("content-type", "application/json")
            .header("x-nuget-warning", "mind the gap")
            .header("set-cookie", "no=1")
            .header("www-authenticate", "Basic")
            .header("location", "/elsewhere"),
    );
    let pushed = world.push("New.Id", "1.0.0").await;
    assert_eq!(pushed.status, 409);
    assert_eq!(pushed.text(), "{\"error\":\"reserved\"}");
    assert_eq!(pushed.header("content-type"), "application/json");
    assert_eq!(pushed.header("x-nuget-warning"), "mind the gap");
    for name in ["set-cookie", "www-authenticate", "location"] {
        assert_eq!(pushed.header(name), "");
    }
    world.up.behave();
    // The words behind the status are the feed's: clients show them.
    let body = form_of("Example.Core", "1.0.0");
    let framing = format!("Content-Length: {}", body.len());
    let mut upload = Uploading::begin(world.addr, &framing).await;
    upload.raw(&body).await;
    let answer = upload.answer().await;
    let expected =
        "HTTP/1.1 409 A package with ID 'Example.Core' and version '1.0.0' already exists";
    assert!(answer.status_line().starts_with(expected), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_end_of_the_upload_is_passed_on() {
    let world = World::demo().await;
    world.get("index.json").await;
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 20000000"] {
        let early = world.up.on(UPSTREAM).reply(409, "it is there already");
        drop(early.early(100_000).times(1));
        let mut upload = Uploading::begin(world.addr, framing).await;
        let before = world.up.received();
        // A client sends all of it before it looks at the answer.
        for _ in 0..20 {
            let piece = vec![7; 1_000_000];
            if framing.starts_with('T') {
                upload.chunk(&piece).await;
            } else {
                upload.raw(&piece).await;
            }
        }
        if framing.starts_with('T') {
            upload.raw(b"0\r\n\r\n").await;
        }
        let answer = upload.answer().await;
        assert_eq!(answer.status_line(), "HTTP/1.1 409 Conflict", "{framing}");
        assert!(answer.0.ends_with("it is there already"), "{answer:?}");
        assert!(world.up.received() - before < 10_000_000, "{framing}");
        world.up.release();
    }
    assert_eq!(world.up.count(UPSTREAM), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_told_is_told_to_go_on() {
    let world = World::demo().await;
    let body = form_of("New.Id", "1.0.0");
    let framing = format!("Expect: 100-continue\r\nContent-Length: {}", body.len());
    let mut upload = Uploading::begin(world.addr, &framing).await;
    let told = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(upload.read(told.len()).await, told);
    upload.raw(&body).await;
    assert_eq!(upload.answer().await.status_line(), "HTTP/1.1 201 Created");
    assert_eq!(world.up.log().pop().unwrap().header("expect"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_may_be_closed_to_pushes() {
    let closed = |settings: &mut Settings| {
        settings.options.publish = Publish::Refuse;
    };
    let world = World::with(ExampleFeed::demo(), closed).await;
    let index = world.get("index.json").await.text();
    assert!(!index.contains("Publish") && index.contains("PackageBaseAddress"));
    let requests = world.up.requests();
    for (method, path) in [
        (Method::PUT, "publish/"),
        (Method::PUT, "symbols/"),
        (Method::DELETE, "publish/Example.Core/1.0.0"),
        (Method::POST, "publish/Example.Core/1.0.0"),
    ] {
        let refused = world
            .call(method, path, &[FORM], form_of("New.Id", "1.0.0"))
            .await;
        assert_eq!(refused.status, 403, "{path}");
        let text = refused.text();
        assert!(
            text.contains("feed test") && text.contains("feeds.test.publish"),
            "{text}"
        );
    }
    assert_eq!(world.up.requests(), requests);
    assert_eq!(
        world
            .metric("nugate_published_total{outcome=\"refused\"}")
            .await,
        4.0
    );
    // Who waits to be told to go on is refused without sending anything.
    let framing = "Expect: 100-continue\r\nContent-Length: 1000000000";
    let upload = Uploading::begin(world.addr, framing).await;
    assert_eq!(
        upload.answer().await.status_line(),
        "HTTP/1.1 403 Forbidden"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_paths_are_refused() {
    let world = World::demo().await;
    for (method, path, status, allowed) in [
        (Method::GET, "publish", 405, "PUT"),
        (Method::HEAD, "publish/", 405, "PUT"),
        (Method::POST, "symbols/", 405, "PUT"),
        (Method::PUT, "publish/a/1.0", 405, "DELETE, POST"),
        (Method::GET, "publish/a/1.0", 405, "DELETE, POST"),
        (Method::DELETE, "symbols/a/1.0", 404, ""),
        (Method::DELETE, "publish/a/one", 404, ""),
        (Method::DELETE, "publish/a", 404, ""),
        (Method::DELETE, "publish/%2e%2e/1.0", 400, ""),
        (Method::PUT, "flat/a/index.json", 405, "GET, HEAD"),
    ] {
        let answer = world.call(method.clone(), path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
    let foreign = [FORM, ("host", "attacker.test")];
    let body = form_of("New.Id", "1.0.0");
    let misdirected = world.call(Method::PUT, "publish/", &foreign, body).await;
    assert_eq!(misdirected.status, 421);
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn symbols_go_where_the_feed_takes_them() {
    let world = World::new(ExampleFeed::demo().guarded_by("k")).await;
    let headers = [FORM, ("x-nuget-apikey", "k")];
    let push = async |path: &str, id: &str| {
        let form = form_of(id, "1.0.0");
        world.call(Method::PUT, path, &headers, form).await.status
    };
    assert_eq!(push("symbols/", "New.Id").await, 404);
    assert_eq!(push("publish/", "New.Id").await, 201);
    assert_eq!(push("symbols/", "New.Id").await, 201);
    assert!(world.up.change(|feed| feed.has_symbols("new.id", "1.0.0")));
    assert_eq!(world.up.count("/api/v2/symbolpackage/"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_http_2_is_relayed() {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let world = World::demo().await;
    let stream = tokio::net::TcpStream::connect(world.addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let package = Package::new("New.Id", "1.0.0").padded(500_000);
    let request = http::Request::put(format!("http://{}/v3/publish/", world.addr))
        .header(FORM.0, FORM.1)
        .body(Full::new(form(&package.nupkg().unwrap())))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    assert_eq!(world.nupkg("New.Id", "1.0.0"), package.nupkg().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_v2_client_pushes_and_deletes_too() {
    let speaking = |settings: &mut Settings| settings.options.v2 = true;
    let world = World::with(ExampleFeed::demo(), speaking).await;
    for (number, path) in ["/api/v2", "/api/v2/", "/api/v2/package", "/api/v2/package/"]
        .into_iter()
        .enumerate()
    {
        let version = format!("9.{number}.0");
        let form = form_of("Example.Core", &version);
        let pushed = call(world.addr, Method::PUT, path, &[FORM], form).await;
        assert_eq!(pushed.status, 201, "{path}: {}", pushed.text());
        let list = world.get("flat/example.core/index.json").await;
        assert!(list.text().contains(&version), "{path}");
    }
    // NuGet 2 deletes below the source that it was given, whatever that is.
    for path in ["/package/Example.Core/9.0.0", "/Example.Core/9.1.0"] {
        let path = format!("/api/v2{path}");
        let gone = call(world.addr, Method::DELETE, &path, &[], "").await;
        assert_eq!(gone.status, 204, "{path}: {}", gone.text());
    }
    let nothing = call(world.addr, Method::DELETE, "/api/v2/Packages", &[], "").await;
    assert_eq!(nothing.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_nuget_2_is_taken_whose_part_ends_with_a_line_feed_alone() {
    let speaking = |settings: &mut Settings| settings.options.v2 = true;
    let world = World::with(ExampleFeed::demo(), speaking).await;
    let mut form = form_of("New.Id", "1.0.0").to_vec();
    let end = memchr::memmem::rfind(&form, b"\r\n--").unwrap();
    form.remove(end);
    let pushed = call(world.addr, Method::PUT, "/api/v2", &[FORM], form).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let package = Package::new("New.Id", "1.0.0").nupkg().unwrap();
    assert_eq!(world.nupkg("New.Id", "1.0.0"), package);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_v2_is_switched_off_nothing_is_pushed_by_it() {
    let world = World::demo().await;
    let form = form_of("New.Id", "1.0.0");
    for path in ["/api/v2", "/api/v2/package/", "/feeds/test/api/v2/package"] {
        let answer = call(world.addr, Method::PUT, path, &[FORM], form.clone()).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let path = "/api/v2/package/Example.Core/1.0.0";
    let answer = call(world.addr, Method::DELETE, path, &[], "").await;
    assert_eq!(answer.status, 404);
    assert_eq!(world.up.requests(), 0);
}
