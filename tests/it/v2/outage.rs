//! What is answered while the feed fails, and without it.

use nugate::policy::class::Network;

use super::{entries, get, many, world, xml};
use crate::support::client;

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_no_empty_list() {
    let mut world = world().await;
    let path = "/FindPackagesById()?id='Example.Core'";
    let before = get(&world, path).await;
    world.quiet().await;
    world.up.down().await;
    for unknown in [
        "/FindPackagesById()?id='Example.Json'",
        "/Search()?searchTerm='json'",
        "/package/Example.Json",
        "/package/Example.Json/1.2.0",
        "/GetUpdates()?packageIds='Example.Core|Example.Json'&versions='1.0|1.0'",
        "/Packages(Id='Example.Json',Version='1.2.0')",
    ] {
        // 503 once the host is left alone.
        let status = get(&world, unknown).await.status.as_u16();
        assert!(matches!(status, 502 | 503), "{unknown}: {status}");
    }
    world.later(7 * 24 * 3600);
    let stale = get(&world, path).await;
    assert_eq!((stale.status, &stale.body), (before.status, &before.body));
    let cache = stale.header("cache-status");
    let is_stale = cache.contains("stale") || cache.contains("backed-off");
    assert!(is_stale, "{stale:?}");
    assert!(
        stale.header("x-nuget-warning").contains("v2_versions"),
        "{stale:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_page_is_a_failure_not_a_shorter_list() {
    let world = many().await;
    let page = "/v3/registration5-gz-semver2/example.many/page/1.64.0/1.127.0.json";
    for (status, expected) in [(404, 502), (500, 502), (200, 502)] {
        world.up.on(page).reply(status, "<html>");
        let response = get(&world, "/FindPackagesById()?id='Example.Many'").await;
        assert_eq!(response.status.as_u16(), expected, "{status}: {response:?}");
        world.later(3600);
    }
    world.up.behave();
    let response = get(&world, "/FindPackagesById()?id='Example.Many'").await;
    assert_eq!(response.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_lists_say_so() {
    let mut world = world().await;
    get(&world, "/FindPackagesById()?id='Example.Core'").await;
    world.quiet().await;
    world.stop().await;
    world.change(|settings| settings.options.network = Network::Offline);
    world.start().await;
    let known = xml(&world, "/FindPackagesById()?id='Example.Core'").await;
    assert_eq!(entries(&known).len(), 2);
    let unknown = get(&world, "/FindPackagesById()?id='Example.Json'").await;
    assert_eq!(
        (unknown.status.as_u16(), entries(&unknown.text()).len()),
        (200, 0)
    );
    assert!(
        unknown.header("x-nuget-warning").contains("offline"),
        "{unknown:?}"
    );
    assert_eq!(get(&world, "/Search()?searchTerm=''").await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_made_of_what_is_stored() {
    let world = world().await;
    let path = "/FindPackagesById()?id='Example.Http'";
    let first = get(&world, path).await;
    assert!(first.header("cache-status").contains("fwd"), "{first:?}");
    world.quiet().await;
    let asked = world.up.log().len();
    let second = get(&world, path).await;
    assert_eq!(second.header("cache-status"), "nugate; hit");
    assert_eq!(world.up.log().len(), asked);
    let tag = second.header("etag");
    let full = format!("/api/v2{path}");
    let same = client::get(world.addr, &full, &[("if-none-match", tag)]).await;
    assert_eq!(same.status, 304);
    let gzip = client::get(world.addr, &full, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert!(gzip.body.len() < second.body.len());
    let head = client::head(world.addr, &full, &[]).await;
    assert_eq!(head.header("content-length"), second.body.len().to_string());
    assert!(head.body.is_empty());
    let series = "nugate_requests_total{cache=\"hit\",resource=\"v2_versions\"";
    assert!(world.metric(series).await >= 4.0);
}
