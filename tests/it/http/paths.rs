//! Which targets mean what.
//!
//! - what cannot be a document is refused without asking the upstream
//! - spellings of an id and a version are one document, also in registrations
//! - the order of a query's parameters does not matter; all of them reach the upstream
//! - a query means nothing to documents that have none

use http::Method;
use nugate::demo::{ExampleFeed, Package};

use super::{CORE, wire, wire_get, world};
use crate::support::{World, client};

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_not_allowed() {
    let world = world().await;
    for target in ["/v3/index.json", &format!("/v3/{CORE}"), "/v3/query?q=a"] {
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
            Method::OPTIONS,
        ] {
            let answer = client::call(world.addr, method.clone(), target, &[], "x").await;
            assert_eq!(answer.status, 405, "{method} {target}");
            assert_eq!(answer.header("allow"), "GET, HEAD", "{method} {target}");
            assert_eq!(answer.header("cache-status"), "nugate; detail=own");
        }
    }
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_document_is_not_asked_for() {
    let world = world().await;
    let long_id = format!("/v3/flat/{}/index.json", "a".repeat(129));
    let long_version = format!("/v3/flat/a/{}/a.nuspec", "1".repeat(300));
    for target in [
        "/elsewhere",
        "/v2",
        "/v3/nothing/index.json",
        "/v3/flat",
        "/v3/index.json/",
        "/v3/flat/a..b/index.json",
        "/v3/flat/-a/index.json",
        "/v3/flat/a.b./index.json",
        "/v3/flat/a%20b/index.json",
        "/v3/flat/a:b/index.json",
        "/v3/flat/%F0%9F%93%A6/index.json",
        "/v3/flat/example.core/one/example.core.one.nupkg",
        "/v3/flat/example.core/1.0.0/example.core.1.0.1.nupkg",
        "/v3/flat/example.core/1.0.0/example.json.1.0.0.nupkg",
        "/v3/flat/example.core/1.0.0/example.core.1.0.0.exe",
        "/v3/vulnerabilities/page/short",
        "/v3/repository-signatures/1.0.0/index.json",
        &long_id,
        &long_version,
    ] {
        let answer = wire_get(world.addr, target.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer.body);
        // A dot or an empty segment is no path; everything else merely does not exist.
        let expected = if target.ends_with('/') { 400 } else { 404 };
        assert_eq!(answer.status, expected, "{target}: {text}");
        assert!(answer.header("cache-status").is_some(), "{target}");
    }
    assert_eq!(world.up.log().len(), 0, "{:#?}", world.up.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_path_is_refused() {
    let world = world().await;
    let targets: &[&[u8]] = &[
        b"/v3/flat/../index.json",
        b"/v3/flat/./index.json",
        b"/v3/flat/%2e%2e/index.json",
        b"/v3/flat/%2E./index.json",
        b"/v3/flat/..%2f..%2fetc/index.json",
        b"/v3/flat/a%2Fb/index.json",
        b"/v3/flat/a%5cb/index.json",
        b"/v3/flat/a\\b/index.json",
        b"/v3/flat/a%00/index.json",
        b"/v3/flat/a\0/index.json",
        b"/v3/flat/a%0d%0ab/index.json",
        b"/v3/flat//index.json",
        b"/v3/flat/%ff/index.json",
        b"/v3/flat/%c3%28/index.json",
        b"/v3/flat/%zz/index.json",
        b"/v3/flat/a%2/index.json",
        b"/v3/flat/a%/index.json",
        b"/v3/catalog/data/%2e%2e/%2e%2e/index.json",
        b"/v3/registration/a/%2e%2e/b.json",
    ];
    for target in targets {
        let answer = wire_get(world.addr, target).await;
        let target = String::from_utf8_lossy(target);
        assert_eq!(answer.status, 400, "{target}");
    }
    let many = "/v3/query?".to_owned() + &"a=b&".repeat(65);
    let long = format!("/v3/query?q={}", "a".repeat(4096));
    for target in [&many, &long] {
        let answer = wire_get(world.addr, target.as_bytes()).await;
        assert_eq!(answer.status, 400, "{target}");
    }
    assert_eq!(world.up.log().len(), 0, "{:#?}", world.up.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused() {
    let world = world().await;
    for (length, expected) in [(8000, 404), (8200, 414), (40_000, 414)] {
        let target = format!("/v3/flat/{}", "a".repeat(length));
        let answer = wire_get(world.addr, target.as_bytes()).await;
        assert_eq!(answer.status, expected, "{length}");
    }
    let get = "GET /v3/index.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let huge = format!("{get}x-huge: {}\r\n\r\n", "a".repeat(70_000));
    let many = format!("{get}{}\r\n", "x-many: 1\r\n".repeat(200));
    for request in [huge, many] {
        let answer = wire(world.addr, request.as_bytes()).await;
        assert_eq!(answer.status, 431);
    }
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_is_the_same_document() {
    let world = world().await;
    for (upstream, spellings) in [
        (
            "/v3/registration5-gz-semver2/example.core/index.json",
            &[
                "registration-gz-semver2/example.core/index.json",
                "registration-gz-semver2/Example.Core/index.json",
                "registration-gz-semver2/EXAMPLE%2ecore/index.json?x=1",
            ][..],
        ),
        (
            "/v3/registration5-semver1/example.core/1.0.0.json",
            &[
                "registration/example.core/1.0.json",
                "registration/example.core/1.0.0.json",
                "registration/example.core/1.0.0.0.json",
                "registration/Example.Core/1.0.0+meta.json",
                "registration/example.core/01.0.0%2Bmeta.5.json",
                "registration/example.core/1.0.0.JSON",
            ],
        ),
        (
            "/v3-flatcontainer/example.core/1.0.0/example.core.nuspec",
            &[
                "flat/example.core/1.0/Example.Core.nuspec",
                "flat/EXAMPLE.CORE/1.0.0.0/example.core.NUSPEC",
                "flat/example.core/1.0.0+meta/example.core.nuspec",
            ],
        ),
        (
            "/v3-flatcontainer/example.core/2.0.0-beta.1/example.core.2.0.0-beta.1.nupkg",
            &[
                "flat/example.core/2.0.0-BETA.1/example.core.2.0.0-Beta.1.nupkg",
                "flat/example.core/2.0-beta.1+a/example.core.2.0.0.0-beta.1+b.nupkg",
            ],
        ),
    ] {
        let first = world.hit(spellings[0]).await;
        assert_eq!(first.status, 200, "{upstream}");
        for spelling in spellings {
            let other = world.get(spelling).await;
            assert_eq!(other.header("etag"), first.header("etag"), "{spelling}");
            assert_eq!(other.body, first.body, "{spelling}");
        }
        assert_eq!(world.up.count(upstream), 1, "{:#?}", world.up.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_beyond_ascii() {
    let mut feed = ExampleFeed::demo();
    feed.add(Package::new("Übung.Größe", "1.0.0")).unwrap();
    let world = World::new(feed).await;
    let package = world.nupkg("übung.größe", "1.0.0");
    let (upper, lower) = ("%C3%9Cbung.Gr%C3%B6%C3%9Fe", "%c3%bcbung.gr%c3%b6%c3%9fe");
    for id in [upper, lower] {
        let got = world
            .hit(&format!("flat/{id}/1.0.0/{id}.1.0.0.nupkg"))
            .await;
        assert!(got.body == package, "{id}");
        let list = world.get(&format!("flat/{id}/index.json")).await;
        assert_eq!(list.json()["versions"][0], "1.0.0", "{id}");
        let path = format!("registration-gz-semver2/{id}/index.json");
        let registration = world.get(&path).await.json();
        let content = &registration["items"][0]["items"][0]["packageContent"];
        let content = content.as_str().unwrap();
        let target = content.strip_prefix(&world.base()).unwrap();
        assert!(world.get(target).await.body == package, "{content}");
    }
    let asked = world.up.log();
    let packages = asked.iter().filter(|seen| seen.path().ends_with(".nupkg"));
    assert_eq!(packages.count(), 1, "{asked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_one_in_any_order() {
    let world = world().await;
    let first = world
        .hit("query?q=example&skip=0&take=2&semVerLevel=2.0.0")
        .await;
    for query in [
        "take=2&semVerLevel=2.0.0&q=example&skip=0",
        "q=ex%61mple&semVerLevel=2.0.0&skip=0&take=2",
    ] {
        let same = world.get(&format!("query?{query}")).await;
        assert_eq!(same.header("cache-status"), "nugate; hit", "{query}");
        assert_eq!(same.body, first.body, "{query}");
    }
    assert_eq!(world.up.count("/search-usnc/query"), 1);
    for (query, upstream) in [
        ("x=2&q=a&x=1", "q=a&x=2&x=1"),
        ("x=1&q=a&x=2", "q=a&x=1&x=2"),
        ("corge=%26%3D&q=", "corge=%26%3D&q="),
        ("q=a+b%20c", "q=a+b+c"),
        ("q=%C3%BC", "q=%C3%BC"),
    ] {
        world.up.clear_log();
        assert_eq!(world.get(&format!("query?{query}")).await.status, 200);
        let seen = world.up.log();
        let asked: Vec<_> = seen.iter().map(|seen| &seen.path_and_query).collect();
        assert_eq!(
            asked,
            [&format!("/search-usnc/query?{upstream}")],
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_means_nothing_to_other_documents() {
    let world = world().await;
    for path in [
        CORE,
        "flat/example.core/index.json",
        "vulnerabilities/index.json",
    ] {
        let first = world.hit(path).await;
        world.up.clear_log();
        let same = world.get(&format!("{path}?semVerLevel=2.0.0&x={{}}")).await;
        assert_eq!(same.body, first.body, "{path}");
        assert_eq!(world.up.requests(), 0, "{path}");
    }
    let cold = "registration/example.core/index.json?q=1";
    assert_eq!(world.get(cold).await.status, 200);
    let seen = world.up.log();
    assert!(
        seen.iter().all(|seen| !seen.path_and_query.contains('?')),
        "{seen:#?}"
    );
}
