//! Hosts that fail again and again are left alone.
//!
//! - after five failures in a row nothing is asked of a host for five seconds, then one request
//! - meanwhile what is stored is served at once, remembered 404s too, and what is not is 503 with
//!   the cause and `Retry-After`
//! - only the host that fails is left alone, and a single broken document is no failing host
//! - an upstream that fails every second time is asked on, and nobody with a stored copy notices
//! - pushes are tried nevertheless, once

use std::time::Duration;

use http::Method;
use nugate::clock::Stopwatch;
use nugate::demo::ExampleFeed;

use crate::support::client::{Response, call};
use crate::support::{ScriptedUpstream, World, stored, until};

const LIST: &str = "flat/example.core/index.json";
const LIST_ABOVE: &str = "/v3-flatcontainer/example.core/index.json";
const NUPKG: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const NONE: &str = "flat/none/index.json";
const OPENED: &str = r#"nugate_upstream_breaker_changes_total{feed="test",state="open"}"#;
const CLOSED: &str = r#"nugate_upstream_breaker_changes_total{feed="test",state="closed"}"#;
const OPEN: &str = r#"nugate_upstream_breaker_hosts{feed="test",state="open"}"#;

fn cold(number: usize) -> String {
    format!("flat/cold{number}/index.json")
}

/// A version list, a package and a 404 are stored and stale; the upstream answers 500 to whatever
/// else is asked of its packages, until its host is left alone.
async fn open(world: &World) -> Response {
    let list = stored(world, LIST).await;
    stored(world, NUPKG).await;
    assert_eq!(stored(world, NONE).await.status, 404);
    world.later(3600);
    for number in 0..5 {
        let path = format!("/v3-flatcontainer/cold{number}/index.json");
        world.up.on(&path).reply(500, "");
        assert_eq!(world.get(&cold(number)).await.status, 502, "{number}");
    }
    world.quiet().await;
    world.up.clear_log();
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_fails_is_left_alone_and_what_is_stored_served_at_once() {
    let world = World::demo().await;
    let list = open(&world).await;
    assert_eq!(world.metric(OPEN).await, 1.0);
    let watch = Stopwatch::start();
    for _ in 0..20 {
        let stale = world.get(LIST).await;
        assert_eq!((stale.status, &stale.body), (list.status, &list.body));
        let cache = stale.header("cache-status");
        assert_eq!(cache, "nugate; hit; detail=backed-off");
        assert_ne!(stale.header("x-nuget-warning"), "");
        assert_eq!(world.get(NUPKG).await.status, 200);
        assert_eq!(world.get(NONE).await.status, 404);
    }
    // A quarter of a second each on a busy machine; nobody waits for the upstream.
    assert!(
        watch.elapsed() < Duration::from_secs(15),
        "{:?}",
        watch.elapsed()
    );
    let refused = world.get(&cold(9)).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((5..=7).contains(&seconds), "{seconds}");
    let warning = refused.header("x-nuget-warning");
    assert!(
        warning.contains("feed test") && warning.contains("500"),
        "{warning}"
    );
    assert_eq!(world.up.requests(), 0, "{:#?}", world.up.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_finds_out_every_five_seconds() {
    let world = World::demo().await;
    open(&world).await;
    for round in 1..4 {
        world.later(7);
        // Many at once, and one of them asks.
        let path = format!("/v3-flatcontainer/cold{round}/index.json");
        world.up.on(&path).hang().reply(500, "");
        let hanging = cold(round);
        let probe = world.get(&hanging);
        let others = async {
            world.up.wait_for(|log| log.len() == round).await;
            for number in 10..20 {
                assert_eq!(world.get(&cold(number)).await.status, 503);
            }
            world.up.release();
        };
        assert_eq!(tokio::join!(probe, others).0.status, 502);
        assert_eq!(world.up.requests(), round);
        assert_eq!(world.get(&cold(20)).await.status, 503);
    }
    assert_eq!(world.metric(OPENED).await, 1.0, "it never closed");
    world.later(7);
    world.up.behave();
    assert_eq!(world.get(&cold(1)).await.status, 404);
    assert_eq!(world.get(&cold(2)).await.status, 404);
    assert_eq!(
        (world.metric(CLOSED).await, world.metric(OPEN).await),
        (1.0, 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_something_stored_never_waits_for_the_one_that_finds_out() {
    let world = World::demo().await;
    open(&world).await;
    world.later(7);
    world.up.on(LIST_ABOVE).hang();
    for _ in 0..3 {
        let stale = world.get(LIST).await;
        assert_eq!(
            stale.header("cache-status"),
            "nugate; hit; detail=backed-off"
        );
    }
    world.up.wait_for(|log| log.len() == 1).await;
    world.up.release();
    until("the list is confirmed", async || {
        world.get(LIST).await.header("cache-status") == "nugate; hit"
    })
    .await;
    assert_eq!(world.up.count(LIST_ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_of_the_feed_is_asked_on() {
    let up = ScriptedUpstream::demo().await;
    let mut search = ScriptedUpstream::demo().await;
    let index = crate::support::get(up.addr(), "/v3/index.json", &[])
        .await
        .text();
    let from = format!("{}/search-", up.base_url());
    let to = format!("{}/search-", search.base_url());
    up.on("/v3/index.json")
        .reply(200, index.replace(&from, &to));
    let world = World::before(up, |_| {}).await;
    assert_eq!(world.get("query?q=one").await.status, 200);
    search.down().await;
    let mut last = 0;
    for number in 0..8 {
        let answer = world.get(&format!("query?q=x{number}")).await;
        last = answer.status.as_u16();
    }
    assert_eq!(last, 503);
    for path in [LIST, NUPKG] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
    search.up();
    world.later(7);
    assert_eq!(world.get("query?q=two").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_document_is_left_alone_alone() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    let above = "/v3-flatcontainer/broken/index.json";
    world.up.on(above).reply(500, "");
    for _ in 0..8 {
        let status = world.get("flat/broken/index.json").await.status.as_u16();
        assert!(matches!(status, 502 | 503), "{status}");
    }
    assert_eq!(world.up.count(above), 5);
    assert_eq!(world.get(NUPKG).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_every_second_time_is_asked_on() {
    let world = World::demo().await;
    let list = stored(&world, LIST).await;
    for round in 0..100 {
        let bad = round % 2 == 0;
        if bad {
            world.up.on(LIST_ABOVE).reply(503, "").times(1);
        }
        world.later(600);
        let answer = world.get(LIST).await;
        assert_eq!((answer.status, &answer.body), (list.status, &list.body));
        world.later(61);
    }
    assert_eq!(world.metric(OPENED).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_hide_an_upstream_that_fails_every_second_time_from_those_with_nothing_stored() {
    let world = World::with(ExampleFeed::demo(), |settings| settings.feed.attempts = 3).await;
    stored(&world, LIST).await;
    for number in 0..6 {
        let above = format!("/v3-flatcontainer/cold{number}/index.json");
        world.up.on(&above).reply(502, "").times(1);
        assert_eq!(world.get(&cold(number)).await.status, 404, "{number}");
        assert_eq!(world.up.count(&above), 2);
    }
    let made = r#"nugate_upstream_retries_total{feed="test",outcome="made"}"#;
    assert_eq!(
        (world.metric(made).await, world.metric(OPENED).await),
        (6.0, 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end_when_their_budget_is_spent() {
    let world = World::with(ExampleFeed::demo(), |settings| settings.feed.attempts = 2).await;
    stored(&world, LIST).await;
    let mut asked = 0;
    for number in 0..24 {
        let above = format!("/v3-flatcontainer/cold{number}/index.json");
        world.up.on(&above).reply(502, "");
        world.get(&cold(number)).await;
        asked += world.up.count(&above);
        // An answer in between: it is the budget that ends them.
        world.get(&format!("flat/other{number}/index.json")).await;
    }
    let denied = r#"nugate_upstream_retries_total{feed="test",outcome="denied"}"#;
    assert!(world.metric(denied).await > 0.0);
    assert!((34..=44).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_tried_nevertheless_and_once() {
    let world = World::demo().await;
    open(&world).await;
    let above = "/api/v2/package/Example.Core/9.9.9";
    let path = "/v3/publish/Example.Core/9.9.9";
    for (status, expected) in [(503, 503), (403, 403)] {
        world.up.clear_log();
        world.up.on(above).reply(status, "");
        let answer = call(world.addr, Method::DELETE, path, &[], "").await;
        assert_eq!(answer.status.as_u16(), expected, "{answer:?}");
        assert_eq!(world.up.requests(), 1, "{:#?}", world.up.log());
    }
    // Who refuses a push is alive.
    assert_eq!(world.metric(OPEN).await, 0.0);
}
