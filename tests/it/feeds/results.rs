//! Search and autocompletion over several feeds.

use serde_json::json;

use super::texts;
use crate::support::GroupWorld;
use crate::support::group::{FeedOf, feed};

fn two() -> Vec<FeedOf> {
    vec![
        feed(
            "corp",
            &[
                ("Tool.A", "1.0.0"),
                ("Tool.B", "1.0.0"),
                ("Tool.C", "1.0.0"),
            ],
            &[],
        ),
        feed(
            "public",
            &[
                ("Tool.B", "9.0.0"),
                ("Tool.X", "1.0.0"),
                ("Tool.Y", "1.0.0"),
            ],
            &[],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn results_take_turns_and_lead_to_what_can_be_had() {
    let world = GroupWorld::first(two()).await;
    let found = world.get("query?q=tool").await;
    let ids = texts(&found, "data");
    assert_eq!(ids, ["Tool.A", "Tool.X", "Tool.B", "Tool.Y", "Tool.C"]);
    assert_eq!(found.json()["totalHits"], 5, "each id once");
    for result in found.json()["data"].as_array().unwrap() {
        let (id, version) = (&result["id"], result["version"].as_str().unwrap());
        let url = result["registration"].as_str().unwrap();
        let registration = world.get_at(&world.path_of(url)).await;
        let shown = super::leaves(&registration);
        assert_eq!(shown[0].0, version, "{id}");
        let package = world.get_at(&world.path_of(&shown[0].1)).await;
        assert_eq!(package.status, 200, "{id}");
    }
    let completed = world.get("autocomplete?q=tool").await;
    let mut sorted = texts(&completed, "data");
    sorted.sort();
    assert_eq!(sorted, ["Tool.A", "Tool.B", "Tool.C", "Tool.X", "Tool.Y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_results_follow_each_other() {
    let world = GroupWorld::first(two()).await;
    let mut all = Vec::new();
    for skip in [0, 2, 4, 6] {
        let found = world.get(&format!("query?q=tool&skip={skip}&take=2")).await;
        all.extend(texts(&found, "data"));
    }
    let whole = texts(&world.get("query?q=tool").await, "data");
    let mut expected = whole.clone();
    expected.sort();
    all.sort();
    all.dedup();
    assert_eq!(all, expected);
    let last = world.ups[1].log();
    let asked = last
        .iter()
        .filter(|seen| seen.path_and_query.contains("query?"));
    let asked: Vec<_> = asked.map(|seen| seen.path_and_query.clone()).collect();
    assert!(
        asked.iter().all(|query| query.contains("skip=0")),
        "{asked:?}"
    );
    assert!(
        asked.iter().any(|query| query.contains("take=8")),
        "{asked:?}"
    );
}

/// Makes the first feed find so many results of its own, up to 1000 at a time.
fn deep(world: &GroupWorld, hits: usize) {
    for skip in [0, 1000, 2000, 3000] {
        for take in [1000, 990, 500, 20] {
            let results: Vec<_> = (skip..hits.min(skip + take))
                .map(|number| json!({"id": format!("Deep.N{number}"), "version": "1.0.0"}))
                .collect();
            let answer = json!({"totalHits": hits, "data": results}).to_string();
            let path = format!("/search-usnc/query?q=tool&skip={skip}&take={take}");
            world.ups[0].on(&path).reply(200, answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_behind_the_first_page_of_a_feed_are_found() {
    let world = GroupWorld::first(two()).await;
    deep(&world, 1500);
    let asked = |number: usize| {
        let log = world.ups[number].log();
        let queries = log.iter().map(|seen| seen.path_and_query.as_str());
        queries.filter(|path| path.contains("query?")).count()
    };
    let first = world.get("query?q=tool").await.json();
    assert_eq!(first["totalHits"], 1502);
    assert_eq!((asked(0), asked(1)), (1, 1));
    let last = world.get("query?q=tool&skip=1480&take=20").await;
    // The other feed's two of its own stand among the first.
    let expected: Vec<_> = (1478..1498)
        .map(|number| format!("Deep.N{number}"))
        .collect();
    assert_eq!(texts(&last, "data"), expected);
    assert_eq!(last.json()["totalHits"], 1502);
    assert_eq!(last.header("x-nuget-warning"), "");
    assert_eq!(
        (asked(0), asked(1)),
        (3, 2),
        "what has no more is asked once"
    );
    let none = world.get("query?q=tool&skip=5000&take=20").await;
    assert_eq!(texts(&none, "data"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_deeper_than_is_looked_says_so() {
    let world = GroupWorld::first(two()).await;
    deep(&world, 9000);
    let near = world.get("query?q=tool&skip=980&take=20").await;
    assert_eq!(near.header("x-nuget-warning"), "");
    let far = world.get("query?q=tool&skip=3990&take=100").await;
    assert_eq!(texts(&far, "data").len(), 12);
    assert_eq!(far.json()["totalHits"], 9002);
    let warning = far.header("x-nuget-warning");
    let told = "only the first 4000 results of feed corp are looked at";
    assert!(warning.contains(told), "{warning}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_page_that_fails_takes_nothing_from_the_first() {
    let world = GroupWorld::first(two()).await;
    deep(&world, 9000);
    for host in ["usnc", "ussc"] {
        let path = format!("/search-{host}/query?q=tool&skip=1000&take=990");
        world.ups[0].on(&path).reply(400, "too deep");
    }
    let cut = world.get("query?q=tool&skip=990&take=1000").await;
    assert_eq!(cut.status, 200, "{}", cut.text());
    assert_eq!(texts(&cut, "data").len(), 12);
    let warning = cut.header("x-nuget-warning");
    let told = "only the first 1000 results of feed corp are looked at";
    assert!(warning.contains(told), "{warning}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_fails_is_missing_and_said_to_be() {
    let mut world = GroupWorld::first(two()).await;
    world.get("index.json").await;
    for path in ["/search-usnc/query", "/search-ussc/query"] {
        world.ups[1].on(path).reply(500, "");
    }
    let found = world.get("query?q=tool").await;
    assert_eq!(texts(&found, "data"), ["Tool.A", "Tool.B", "Tool.C"]);
    let warning = found.header("x-nuget-warning");
    assert!(
        warning.contains("its results are missing: feed public"),
        "{warning}"
    );
    world.ups[0].down().await;
    let none = world.get("query?q=tool&take=3").await;
    assert_eq!(none.status, 502, "{}", none.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_home_is_in_doubt_is_left_out() {
    let mut world = GroupWorld::first(two()).await;
    world.get("index.json").await;
    world.ups[0].down().await;
    let found = world.get("query?q=tool").await;
    assert_eq!(texts(&found, "data"), Vec::<String>::new());
    assert!(found.header("x-nuget-warning").contains("feed corp"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_search_asks_nobody_again() {
    let world = GroupWorld::first(two()).await;
    let first = world.get("query?q=tool").await;
    let before = world.asked("");
    let again = world.get("query?q=tool").await;
    assert_eq!(world.asked(""), before);
    assert_eq!(again.header("cache-status"), "nugate; hit");
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("etag"), first.header("etag"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_without_search_has_no_results() {
    let mut feeds = two();
    feeds[1].packages = feeds[1].packages.clone().without("SearchQueryService");
    let world = GroupWorld::first(feeds).await;
    let found = world.get("query?q=tool").await;
    assert_eq!(texts(&found, "data"), ["Tool.A", "Tool.B", "Tool.C"]);
    assert_eq!(found.header("x-nuget-warning"), "");
}
