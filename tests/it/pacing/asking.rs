//! Shares of what may be asked.
//!
//! - requests of a restore wait for their turn, searches and pushes come again
//! - who walks through searches or ids that nobody has keeps nothing from others

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use nugate::clock::Stopwatch;
use nugate::config::ClientsConfig;
use nugate::demo::ExampleFeed;

use super::{LIST, get_as, of_client, proxied};
use crate::support::client;
use crate::support::until::until;
use crate::support::{ScriptedUpstream, World};

#[tokio::test(flavor = "multi_thread")]
async fn restores_wait_in_order_and_searches_come_again() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        proxied(settings);
        settings.pace.clients.requests_per_second = 4;
    })
    .await;
    let addr = world.addr;
    let started = Stopwatch::start();
    let restore = join_all((0..60).map(|_| get_as(addr, 1, LIST)));
    let restore = tokio::spawn(restore);
    until("the burst is over", async || {
        world
            .metric("nugate_pacing_waiting{line=\"requests\"}")
            .await
            > 0.0
    })
    .await;
    for path in [
        "/v3/query?q=a",
        "/v3/autocomplete?q=a",
        "/api/v2/Search()?searchTerm='a'",
    ] {
        let answer = get_as(addr, 1, path).await;
        assert_eq!(answer.status, 429, "{path}");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
        assert!(answer.text().contains("clients.requests_per_second"));
        assert_ne!(get_as(addr, 2, path).await.status, 429, "{path}");
    }
    let (name, value) = of_client(1);
    let push = client::call(addr, Method::PUT, "/v3/publish", &[(name, &value)], "x").await;
    assert_eq!(push.status, 429);
    assert!(!restore.is_finished());
    for answer in restore.await.unwrap() {
        assert_eq!(answer.status, 200);
    }
    // Forty at once, then four a second.
    assert!(started.elapsed() >= Duration::from_millis(4500));
    let throttled = |reason| format!("nugate_throttled_total{{reason=\"{reason}\"}}");
    assert!(world.metric(&throttled("searches")).await > 2.0);
    assert!(world.metric(&throttled("pushes")).await > 0.0);
    assert!(world.metric(&throttled("requests")).await < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_without_end_are_limited_and_others_are_not() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        proxied(settings);
        settings.pace.clients = ClientsConfig {
            searches_per_second: 1,
            ..ClientsConfig::default()
        };
    })
    .await;
    let addr = world.addr;
    get_as(addr, 2, LIST).await;
    let known = "/v3/query?q=example";
    assert_eq!(get_as(addr, 1, known).await.status, 200);
    world.quiet().await;
    let started = Stopwatch::start();
    let mut refused = 0;
    for number in 0..60 {
        let answer = get_as(addr, 1, &format!("/v3/query?q=made-up-{number}")).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
            assert!(answer.text().contains("clients.searches_per_second"));
            refused += 1;
        } else {
            assert_eq!(answer.status, 200);
        }
    }
    let searched = world.up.log();
    let searched = searched
        .iter()
        .filter(|seen| seen.path_and_query.contains("made-up"));
    let searched = u64::try_from(searched.count()).unwrap();
    // Ten at once, then one a second.
    assert!(
        searched <= 10 + started.elapsed().as_secs() + 1,
        "{searched}"
    );
    assert_eq!(searched + refused, 60);
    // What is stored is answered, and who restores and who is somebody else notices nothing.
    assert_eq!(get_as(addr, 1, known).await.status, 200);
    assert_eq!(
        get_as(addr, 1, "/v3/flat/example.json/index.json")
            .await
            .status,
        200
    );
    assert_eq!(
        get_as(addr, 2, "/v3/query?q=made-up-by-two").await.status,
        200
    );
    // A push is no different.
    let (name, value) = of_client(1);
    let push = client::call(addr, Method::PUT, "/v3/publish", &[(name, &value)], "x").await;
    assert_eq!(push.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_ids_keeps_no_restore_waiting() {
    let up = ScriptedUpstream::demo().await;
    let world = World::before(up, |settings| {
        proxied(settings);
        settings.feed.connections_max = 2;
    })
    .await;
    let addr = world.addr;
    get_as(addr, 2, "/v3/index.json").await;
    let above = |number: usize| format!("/v3-flatcontainer/made.up.{number}/index.json");
    for number in 0..100 {
        let pause = Duration::from_millis(50);
        drop(world.up.on(&above(number)).delay(pause));
    }
    let walk = tokio::spawn(join_all((0..100).map(move |number| async move {
        let path = format!("/v3/flat/made.up.{number}/index.json");
        get_as(addr, 1, &path).await
    })));
    world
        .up
        .wait_for(|log| log.iter().any(|seen| seen.path().contains("made.up")))
        .await;
    for path in [LIST, "/v3/flat/example.json/index.json"] {
        assert_eq!(get_as(addr, 2, path).await.status, 200);
    }
    let walked = world.up.log();
    let walked = walked.iter().filter(|seen| seen.path().contains("made.up"));
    // Two under way each time, and two that had their turn in between.
    assert!(walked.count() < 50, "the restore waited for the walk");
    assert!(!walk.is_finished());
    for answer in walk.await.unwrap() {
        assert_eq!(answer.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_of_a_client_wait_for_its_rate() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        proxied(settings);
        settings.pace.clients.fetches_per_second = 2;
    })
    .await;
    let addr = world.addr;
    get_as(addr, 2, LIST).await;
    let started = Stopwatch::start();
    let walk = join_all((0..26).map(async |number| {
        let path = format!("/v3/flat/made.up.{number}/index.json");
        get_as(addr, 1, &path).await
    }));
    let answers = walk.await;
    assert!(answers.iter().all(|answer| answer.status == 404));
    assert!(started.elapsed() >= Duration::from_millis(2500));
    // What is stored costs nothing.
    let waited = "nugate_pacing_wait_seconds_count{line=\"fetches\"}";
    let before = world.metric(waited).await;
    assert!(before > 4.0, "{before}");
    for _ in 0..30 {
        assert_eq!(get_as(addr, 1, LIST).await.status, 200);
    }
    assert!(world.metric(waited).await < before + 0.5);
}
