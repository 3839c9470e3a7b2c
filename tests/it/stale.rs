//! Never 404 on doubt: what clients get while the upstream is broken.
//!
//! - whatever the upstream does wrong, what is stored is served, and the client is told why
//! - without anything stored the answer is 502 or 504 with the cause, and nothing is kept
//! - an upstream that says nothing keeps few clients waiting
//! - a document is asked for again after pauses that double, and used as soon as it comes
//! - what is stored is served in an outage for as long as `stale_if_error` says
//! - nugate starts, and is ready, without its upstream

use std::time::Duration;

use nugate::demo::{ExampleFeed, Package};

use crate::support::client::{self, Response};
use crate::support::script::On;
use crate::support::{ScriptedUpstream, World, stored};

const ERROR: &str = "nugate; fwd=stale; detail=upstream-error";
const BACKED_OFF: &str = "nugate; hit; detail=backed-off";
const LIST: &str = "flat/example.core/index.json";
const LIST_ABOVE: &str = "/v3-flatcontainer/example.core/index.json";
const DAY: u64 = 86_400;

/// Our path, the upstream's, and an age at which the upstream is asked first.
const TARGETS: &[(&str, &[&str], u64)] = &[
    (LIST, &[LIST_ABOVE], 600),
    (
        "registration-gz-semver2/example.core/index.json",
        &["/v3/registration5-gz-semver2/example.core/index.json"],
        3600,
    ),
    (
        "flat/example.core/1.0.0/example.core.1.0.0.nupkg",
        &["/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg"],
        800 * DAY,
    ),
    (
        "query?q=example",
        &["/search-usnc/query", "/search-ussc/query"],
        600,
    ),
    ("index.json", &["/v3/index.json"], DAY),
];

/// A word of the cause clients are told, and what the upstream does wrong.
type Failure = (&'static str, fn(On) -> On);

const FAILURES: &[Failure] = &[
    ("500", |on| on.reply(500, "oops")),
    ("502", |on| on.reply(502, "")),
    ("503", |on| on.reply(503, "").header("retry-after", "60")),
    ("429", |on| on.reply(429, "").header("retry-after", "1")),
    ("401", |on| {
        on.reply(401, "").header("www-authenticate", "Basic")
    }),
    ("403", |on| on.reply(403, "")),
    ("408", |on| on.reply(408, "")),
    ("204", |on| on.reply(204, "")),
    ("cut", |on| on.reply(200, vec![b' '; 999]).cut_after(100)),
    ("cut", |on| on.reply(200, vec![b' '; 999]).reset_after(100)),
    ("", |on| {
        let page = "<!DOCTYPE html><html>Please log in</html>";
        on.reply(200, page).header("content-type", "text/html")
    }),
    ("", |on| {
        on.reply(200, r#"{"versions":["1.0.0"],"items":[],"#)
    }),
    ("gzip", |on| {
        let plain = r#"{"versions":[],"items":[],"data":[]}"#;
        on.reply(200, plain).header("content-encoding", "gzip")
    }),
];

fn fail(world: &World, above: &[&str], how: fn(On) -> On) {
    for path in above {
        drop(how(world.up.on(path)));
    }
}

#[track_caller]
fn check_stale(response: &Response, first: &Response, cause: &str) {
    assert_eq!(response.status.as_u16(), 200, "{cause} {response:?}");
    assert_eq!(response.header("cache-status"), ERROR, "{cause}");
    assert_eq!(response.body, first.body, "{cause}");
    assert_eq!(response.header("etag"), first.header("etag"), "{cause}");
    let warning = response.header("x-nuget-warning");
    assert!(warning.contains("stored"), "{cause}: {warning}");
    assert!(warning.contains(cause), "{cause}: {warning}");
}

#[track_caller]
fn check_failed(response: &Response, cause: &str, path: &str) {
    let status = response.status.as_u16();
    let text = response.text();
    assert!(
        matches!(status, 429 | 502..=504),
        "{path} {cause}: {status} {text}"
    );
    assert!(text.contains("feed test"), "{path} {cause}: {text}");
    assert!(text.contains(cause), "{path} {cause}: {text}");
    let warning = response.header("x-nuget-warning");
    assert!(warning.contains(cause), "{path} {cause}: {warning}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_what_is_stored_is_served() {
    for (path, above, age) in TARGETS {
        let mut world = World::demo().await;
        stored(&world, "index.json").await;
        let first = stored(&world, path).await;
        world.later(*age);
        for (cause, how) in FAILURES {
            // Twice: what is wrong again is not right.
            for _ in 0..2 {
                fail(&world, above, *how);
                let response = world.get(path).await;
                check_stale(&response, &first, cause);
                // A host that fails again and again would not be asked.
                world.up.behave();
                world.later(61);
                world.get(path).await;
                world.quiet().await;
                world.later(*age);
            }
        }
        world.up.down().await;
        check_stale(&world.get(path).await, &first, "connect");
        world.up.up();
        world.up.behave();
        world.later(61);
        let response = world.get(path).await;
        let status = response.header("cache-status");
        assert_eq!(status, "nugate; fwd=stale; fwd-status=304", "{path}");
        let series = r#"nugate_stale_total{reason="upstream-error"}"#;
        let served = world.metric(series).await;
        let expected = f64::from(u32::try_from(2 * FAILURES.len() + 1).unwrap());
        assert!((served - expected).abs() < 0.1, "{path}: {served}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anything_stored_the_cause_is_told_and_nothing_kept() {
    for (path, above, _) in TARGETS {
        let mut world = World::demo().await;
        if *path != "index.json" {
            stored(&world, "index.json").await;
        }
        let before = world.metric("nugate_store_entries").await;
        for (cause, how) in FAILURES {
            for _ in 0..2 {
                fail(&world, above, *how);
                check_failed(&world.get(path).await, cause, path);
                // A host that fails again and again, or asks for it, is left alone.
                world.later(61);
            }
        }
        world.up.down().await;
        check_failed(&world.get(path).await, "connect", path);
        let after = world.metric("nugate_store_entries").await;
        assert!((after - before).abs() < 0.1, "{path}: {after}");
        world.up.up();
        world.up.behave();
        let response = world.get(path).await;
        assert_eq!(response.status.as_u16(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_index_of_another_version_is_not_believed() {
    let wrong = r#"{"version":"4.0.0","resources":[]}"#;
    let world = World::demo().await;
    world.up.on("/v3/index.json").reply(200, wrong);
    for path in ["index.json", LIST] {
        check_failed(&world.get(path).await, "4.0.0", path);
    }
    world.up.behave();
    let first = stored(&world, "index.json").await;
    world.up.on("/v3/index.json").reply(200, wrong);
    for _ in 0..2 {
        world.later(DAY);
        check_stale(&world.get("index.json").await, &first, "4.0.0");
    }
    assert_eq!(world.get(LIST).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_warned_once() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    world.up.on(LIST_ABOVE).reply(503, "");
    world.later(600);
    let warned = async |session: &str| {
        let header = ("x-nuget-session-id", session);
        let response = world.get_with(LIST, &[header]).await;
        assert_eq!(response.status.as_u16(), 200);
        !response.header("x-nuget-warning").is_empty()
    };
    for (session, expected) in [("a", true), ("a", false), ("b", true), ("a", false)] {
        assert_eq!(warned(session).await, expected, "{session}");
    }
    for _ in 0..2 {
        let response = world.get(LIST).await;
        assert_ne!(response.header("x-nuget-warning"), "", "without a session");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_a_document_few_requests() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    world.up.on(LIST_ABOVE).reply(503, "");
    world.later(600);
    world.up.clear_log();
    for (count, pause) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        assert_eq!(world.get(LIST).await.header("cache-status"), ERROR);
        for _ in 0..pause {
            assert_eq!(world.get(LIST).await.header("cache-status"), BACKED_OFF);
            assert_eq!(world.up.count(LIST_ABOVE), count);
            world.later(1);
        }
    }
    world.up.behave();
    let recovered = world.get(LIST).await;
    let status = recovered.header("cache-status");
    assert_eq!(status, "nugate; fwd=stale; fwd-status=304");
    assert_eq!(world.get(LIST).await.header("cache-status"), "nugate; hit");
    // The next outage begins with short pauses again.
    world.up.on(LIST_ABOVE).reply(503, "");
    world.later(600);
    assert_eq!(world.get(LIST).await.header("cache-status"), ERROR);
    world.later(1);
    assert_eq!(world.get(LIST).await.header("cache-status"), ERROR);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_upstream_keeps_few_clients_waiting() {
    const LISTS: usize = 60;
    let packages = (0..LISTS).map(|number| Package::new(format!("Quiet{number}"), "1.0.0"));
    let world = World::new(ExampleFeed::new(packages).unwrap()).await;
    let path = |number| format!("flat/quiet{number}/index.json");
    let above = |number| format!("/v3-flatcontainer/quiet{number}/index.json");
    for number in 0..LISTS {
        stored(&world, &path(number)).await;
    }
    world.later(600);
    for number in 0..LISTS {
        drop(world.up.on(&above(number)).hang());
    }
    let all = async {
        for number in 0..LISTS {
            let stale = world.get(&path(number)).await;
            assert_eq!(stale.status.as_u16(), 200);
            let status = "nugate; fwd=stale; detail=upstream-slow";
            assert_eq!(stale.header("cache-status"), status, "{number}");
        }
    };
    // A second for each would be too long.
    let in_time = tokio::time::timeout(Duration::from_secs(LISTS as u64 / 2), all);
    in_time.await.expect("clients wait for a silent upstream");
    world.up.release();
    world.quiet().await;
    assert_eq!(
        world.get(&path(0)).await.header("cache-status"),
        "nugate; hit"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_served_as_long_as_it_may_be() {
    let change = |settings: &mut crate::support::world::Settings| {
        let lifetime = &mut settings.options.freshness.versions;
        lifetime.stale_if_error = Duration::from_secs(600);
    };
    let mut world = World::with(ExampleFeed::demo(), change).await;
    stored(&world, LIST).await;
    world.up.down().await;
    world.later(659);
    assert_eq!(world.get(LIST).await.header("cache-status"), ERROR);
    world.later(1);
    for _ in 0..3 {
        check_failed(&world.get(LIST).await, "connect", LIST);
    }
    world.up.up();
    assert_eq!(world.get(LIST).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nugate_starts_without_its_upstream() {
    let mut world = World::demo().await;
    let list = stored(&world, LIST).await.body;
    world.stop().await;
    world.up.down().await;
    world.start().await;
    assert_eq!(client::get(world.addr, "/-/ready", &[]).await.status, 200);
    assert_eq!(world.get(LIST).await.body, list);
    assert_eq!(world.get("index.json").await.status.as_u16(), 200);
    let other = "flat/example.json/index.json";
    check_failed(&world.get(other).await, "connect", other);
    world.up.up();
    assert_eq!(world.get(other).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nugate_starts_with_nothing_at_all() {
    let mut up = ScriptedUpstream::demo().await;
    up.down().await;
    let mut world = World::before(up, |_| {}).await;
    assert_eq!(client::get(world.addr, "/-/ready", &[]).await.status, 200);
    for (path, _, _) in TARGETS {
        check_failed(&world.get(path).await, "connect", path);
    }
    world.up.up();
    world.later(7);
    for (path, _, _) in TARGETS {
        assert_eq!(world.get(path).await.status.as_u16(), 200, "{path}");
    }
}
