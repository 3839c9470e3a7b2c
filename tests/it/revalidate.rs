//! What happens when a lifetime is over.
//!
//! - both validators go back to the upstream byte for byte, whatever they look like
//! - 304 confirms what is stored; so does 200 with the same bytes; other bytes replace it
//! - soon after the lifetime the stored document is served at once and refreshed behind the client
//! - later the upstream is asked first, and a slow one is waited for one second
//! - a request may insist on asking (`no-cache`) or on not asking (`only-if-cached`)
//! - validators of one URL are never sent to another

use nugate::demo::{ExampleFeed, Package};

use crate::support::client::Response;
use crate::support::{World, stored, until};

const LIST: &str = "flat/example.core/index.json";
const LIST_ABOVE: &str = "/v3-flatcontainer/example.core/index.json";
const BODY: &str = r#"{"versions":["1.0.0"]}"#;

/// After these the list of the test is served at once, or asked for first.
const SOON: u64 = 100;
const LATE: u64 = 600;

fn publish(world: &World, version: &str) {
    let package = Package::new("Example.Core", version);
    world.up.change(|feed| feed.add(package)).unwrap();
}

#[track_caller]
fn check(response: &Response, status: &str, part: &str) {
    assert_eq!(response.status.as_u16(), 200, "{response:?}");
    assert_eq!(response.header("cache-status"), status, "{response:?}");
    assert!(response.text().contains(part), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_validators_are_sent_byte_for_byte() {
    for (etag, modified) in [
        ("\"0x8DD\"", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("0x8D23AD938EF4481", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("W/\"weak, with comma\"", "2026-01-01T00:00:00Z"),
        ("\"\"", "Thursday"),
    ] {
        let world = World::demo().await;
        let script = world.up.on(LIST_ABOVE).reply(200, BODY);
        drop(
            script
                .header("etag", etag)
                .header("last-modified", modified),
        );
        stored(&world, LIST).await;
        world.up.clear_log();
        world.up.on(LIST_ABOVE).reply(304, "");
        world.later(LATE);
        let confirmed = world.get(LIST).await;
        check(&confirmed, "nugate; fwd=stale; fwd-status=304", BODY);
        let log = world.up.log();
        assert_eq!(log.len(), 1, "{log:#?}");
        assert_eq!(log[0].header("if-none-match"), etag);
        assert_eq!(log[0].header("if-modified-since"), modified);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_confirms_for_a_whole_lifetime() {
    let world = World::demo().await;
    let first = stored(&world, LIST).await;
    world.later(LATE);
    world.up.clear_log();
    let confirmed = world.get(LIST).await;
    check(&confirmed, "nugate; fwd=stale; fwd-status=304", "1.0.0");
    assert_eq!(confirmed.body, first.body);
    assert_eq!(confirmed.header("etag"), first.header("etag"));
    assert_eq!(confirmed.header("age"), "0");
    world.later(50);
    let hit = world.get(LIST).await;
    check(&hit, "nugate; hit", "1.0.0");
    assert_eq!(hit.header("age"), "50");
    assert_eq!(world.up.requests(), 1);
    let series = r#"nugate_revalidations_total{outcome="not-modified"}"#;
    assert!((world.metric(series).await - 1.0).abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_200_with_the_same_bytes_confirms_too() {
    let world = World::demo().await;
    let first = stored(&world, LIST).await;
    world.up.on(LIST_ABOVE).reply(200, first.body.clone());
    world.later(LATE);
    let confirmed = world.get(LIST).await;
    assert_eq!(confirmed.body, first.body);
    let series = r#"nugate_revalidations_total{outcome="same-body"}"#;
    assert!((world.metric(series).await - 1.0).abs() < 0.1);
    check(&world.get(LIST).await, "nugate; hit", "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_replace_what_is_stored() {
    let mut world = World::demo().await;
    let first = stored(&world, LIST).await;
    publish(&world, "1.2.0");
    check(&world.get(LIST).await, "nugate; hit", "1.1.0");
    world.later(LATE);
    let changed = stored(&world, LIST).await;
    check(&changed, "nugate; fwd=uri-miss; stored", "1.2.0");
    assert_ne!(changed.header("etag"), first.header("etag"));
    let series = r#"nugate_revalidations_total{outcome="changed"}"#;
    assert!((world.metric(series).await - 1.0).abs() < 0.1);
    world.up.clear_log();
    check(&world.get(LIST).await, "nugate; hit", "1.2.0");
    world.restart().await;
    check(&world.get(LIST).await, "nugate; hit", "1.2.0");
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn soon_after_its_lifetime_a_document_is_refreshed_behind_the_client() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    publish(&world, "1.2.0");
    world.later(SOON);
    world.up.clear_log();
    world.up.on(LIST_ABOVE).hang();
    let at_once = world.get(LIST).await;
    check(
        &at_once,
        "nugate; hit; detail=stale-while-revalidate",
        "1.1.0",
    );
    assert!(!at_once.text().contains("1.2.0"));
    world.up.wait_for(|log| log.len() == 1).await;
    for _ in 0..5 {
        world.get(LIST).await;
    }
    world.up.release();
    until("the refreshed list is served", async || {
        world.get(LIST).await.text().contains("1.2.0")
    })
    .await;
    assert_eq!(world.up.count(LIST_ABOVE), 1);
    check(&world.get(LIST).await, "nugate; hit", "1.2.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_is_not_waited_for_when_something_is_stored() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    publish(&world, "1.2.0");
    world.later(LATE);
    world.up.clear_log();
    world.up.on(LIST_ABOVE).hang();
    let slow = world.get(LIST).await;
    check(&slow, "nugate; fwd=stale; detail=upstream-slow", "1.1.0");
    assert!(!slow.text().contains("1.2.0"));
    assert!(!slow.header("x-nuget-warning").is_empty());
    world.up.release();
    until("the late list is used", async || {
        world.get(LIST).await.text().contains("1.2.0")
    })
    .await;
    assert_eq!(world.up.count(LIST_ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_document_that_comes_late_is_used_too() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    let large = format!(r#"{{"versions":["9.0.0"],"x":"{}"}}"#, "x".repeat(3 << 20));
    world.up.clear_log();
    world
        .up
        .on(LIST_ABOVE)
        .reply(200, large)
        .stall_after(99_999);
    world.later(LATE);
    let slow = world.get(LIST).await;
    check(&slow, "nugate; fwd=stale; detail=upstream-slow", "1.1.0");
    world.up.release();
    until("the late list is used", async || {
        world.get(LIST).await.text().contains("9.0.0")
    })
    .await;
    assert_eq!(world.up.count(LIST_ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_insist_on_asking() {
    for honour in [true, false] {
        let change = |settings: &mut crate::support::world::Settings| {
            settings.options.honour_no_cache = honour;
        };
        let world = World::with(ExampleFeed::demo(), change).await;
        stored(&world, LIST).await;
        for header in [
            ("cache-control", "no-cache"),
            ("cache-control", "No-Store, NO-CACHE"),
            ("cache-control", "max-age=0"),
            ("pragma", "no-cache"),
        ] {
            world.up.clear_log();
            let response = world.get_with(LIST, &[header]).await;
            let status = if honour {
                "nugate; fwd=stale; fwd-status=304"
            } else {
                "nugate; hit"
            };
            check(&response, status, "1.0.0");
            let asked = usize::from(honour);
            assert_eq!(world.up.count(LIST_ABOVE), asked, "{header:?} {honour}");
        }
        for header in [("cache-control", "max-age=60"), ("pragma", "x")] {
            world.up.clear_log();
            check(&world.get_with(LIST, &[header]).await, "nugate; hit", "");
            assert_eq!(world.up.requests(), 0, "{header:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_insist_on_not_asking() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    world.later(1_000_000);
    world.up.clear_log();
    let only = [("cache-control", "only-if-cached")];
    check(&world.get_with(LIST, &only).await, "nugate; hit", "1.0.0");
    let package = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
    for path in ["flat/example.json/index.json", package] {
        let refused = world.get_with(path, &only).await;
        assert_eq!(refused.status.as_u16(), 504, "{path}");
        let status = refused.header("cache-status");
        assert_eq!(status, "nugate; detail=not-stored", "{path}");
    }
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn validators_of_one_url_are_not_sent_to_another() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    stored(&world, "index.json").await;
    let index = crate::support::get(world.up.addr(), "/v3/index.json", &[]).await;
    let moved = index.text().replace("/v3-flatcontainer/", "/v4-flat/");
    world.up.on("/v3/index.json").reply(200, moved);
    let there = "/v4-flat/example.core/index.json";
    world.up.on(there).reply(200, r#"{"versions":["4.0.0"]}"#);
    world.later(86_400);
    assert_eq!(world.get("index.json").await.status.as_u16(), 200);
    world.up.clear_log();
    check(
        &world.get(LIST).await,
        "nugate; fwd=uri-miss; stored",
        "4.0.0",
    );
    let log = world.up.log();
    assert_eq!((log.len(), log[0].path()), (1, there));
    assert_eq!(log[0].header("if-none-match"), "");
    assert_eq!(log[0].header("if-modified-since"), "");
}
