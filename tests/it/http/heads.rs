//! HEAD.
//!
//! - of what is stored it has every header of GET and no body, for each kind of document
//! - of what is not stored too, except for how it came about
//! - ranges are none of its business (RFC 9110 section 14.2)

use http::HeaderMap;

use super::{CORE, LARGE, REGISTRATION, world};
use crate::support::{World, client};

const DOCUMENTS: &[&str] = &[
    "index.json",
    "flat/example.core/index.json",
    CORE,
    LARGE,
    "flat/example.core/1.0.0/example.core.nuspec",
    "flat/example.json/1.2.0/icon",
    "flat/example.json/1.2.0/readme",
    REGISTRATION,
    "registration-gz/example.core/index.json",
    "registration/example.core/index.json",
    "registration/example.core/1.0.0.json",
    "query?q=example&take=5",
    "autocomplete?q=example",
    "vulnerabilities/index.json",
    "repository-signatures/5.0.0/index.json",
    "catalog/index.json",
    "catalog/page0.json",
    "catalog/data/2026.01.01.00.01.00/example.core.1.0.0.json",
];

fn comparable(headers: &HeaderMap, but: &[&str]) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["date", "x-request-id"].iter().chain(but) {
        headers.remove(*name);
    }
    headers
}

async fn pages_of(world: &World, path: &str) -> String {
    let index = world.get(path).await.json();
    let url = index[0]["@id"].as_str().unwrap();
    url.strip_prefix(&world.base()).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_documents_have_the_same_head() {
    let world = world().await;
    let page = pages_of(&world, "vulnerabilities/index.json").await;
    for path in DOCUMENTS.iter().copied().chain([page.as_str()]) {
        for accept in ["identity", "gzip"] {
            let headers = [("accept-encoding", accept)];
            let got = world.hit_with(path, &headers).await;
            assert_eq!(got.status, 200, "{path}");
            let target = format!("/v3/{path}");
            let head = client::head(world.addr, &target, &headers).await;
            assert_eq!(head.status, 200, "{path}");
            assert!(head.body.is_empty(), "{path}");
            assert_eq!(
                comparable(&head.headers, &[]),
                comparable(&got.headers, &[]),
                "{path} {accept}"
            );
            assert_eq!(head.header("content-length"), got.body.len().to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_not_stored_have_the_same_head() {
    let world = world().await;
    for path in DOCUMENTS {
        let head = world.head(path).await;
        let got = world.hit(path).await;
        assert_eq!(head.status, 200, "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(
            comparable(&head.headers, &["cache-status"]),
            comparable(&got.headers, &["cache-status"]),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_own_answers_have_the_same_head() {
    let world = world().await;
    for target in [
        "/v3/flat/example.none/index.json",
        "/v3/nothing",
        "/v3/flat/%ff/index.json",
        "/-/health",
        "/-/ready",
        "/",
    ] {
        let got = client::get(world.addr, target, &[]).await;
        let got = if got.status == 404 {
            // The first answer was not yet a remembered one.
            client::get(world.addr, target, &[]).await
        } else {
            got
        };
        let head = client::head(world.addr, target, &[]).await;
        assert_eq!(head.status, got.status, "{target}");
        assert!(head.body.is_empty(), "{target}");
        assert_eq!(
            comparable(&head.headers, &[]),
            comparable(&got.headers, &[]),
            "{target}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_means_nothing_to_head() {
    let world = world().await;
    for path in [CORE, LARGE] {
        let length = world.hit(path).await.body.len().to_string();
        for range in ["bytes=0-9", "bytes=99999999-"] {
            let target = format!("/v3/{path}");
            let head = client::head(world.addr, &target, &[("range", range)]).await;
            assert_eq!(head.status, 200, "{path} {range}");
            assert_eq!(head.header("content-length"), length, "{path} {range}");
            assert_eq!(head.header("content-range"), "", "{path} {range}");
        }
    }
}
