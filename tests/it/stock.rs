//! Searches while the feed gives no answer: what is stored is searched.
//!
//! - packages are found by words of their ids, described by their manifests, and only those that are
//!   stored; which versions count is as the request says
//! - of many results only the first are described; types of packages do not count
//! - completion of ids finds the same; the versions of an id are those of its stored list
//! - the same search asked before is the better answer; where nothing is found, the failure is told
//! - offline, of a feed that fails, of one that is left alone, and of one feed among several
//! - what a feed refuses is not made up for

use nugate::demo::{ExampleFeed, Package};
use nugate::policy::class::Network;
use serde_json::json;

use crate::feeds::texts;
use crate::support::client::Response;
use crate::support::group::feed;
use crate::support::{GroupWorld, World, stored};

/// A nugate that has stored some packages of a feed.
async fn world() -> World {
    let packages = [
        Package::new("Some.Tool", "1.0.0").described("Old."),
        Package::new("Some.Tool", "1.1.0").described("Does something."),
        Package::new("Some.Tool", "1.2.0"),
        Package::new("Some.Tool", "2.0.0-Beta.1").described("Will do more."),
        Package::new("Some.Other", "1.0.0"),
        Package::new("Unrelated", "1.0.0"),
    ];
    let world = World::new(ExampleFeed::new(packages).unwrap()).await;
    for (id, version) in [
        ("some.tool", "1.0.0"),
        ("some.tool", "1.1.0"),
        ("some.tool", "2.0.0-beta.1"),
        ("unrelated", "1.0.0"),
    ] {
        let path = format!("flat/{id}/{version}/{id}.{version}.nupkg");
        assert_eq!(stored(&world, &path).await.status, 200);
    }
    world
}

/// The failure of the feed is told.
async fn fails(world: &World, path: &str) {
    let told = world.get(path).await;
    assert!(told.status.is_server_error(), "{path}: {told:?}");
    assert!(told.text().contains("feed test"), "{path}: {told:?}");
}

/// The versions that a result shows.
fn versions(found: &Response) -> Vec<String> {
    let document = found.json();
    let versions = document["data"][0]["versions"].as_array().unwrap().clone();
    let text = |it: &serde_json::Value| it["version"].as_str().unwrap().to_owned();
    versions.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_found_while_the_feed_is_down() {
    let mut world = world().await;
    world.up.down().await;
    let found = world.get("query?q=some&semVerLevel=2.0.0").await;
    assert_eq!(texts(&found, "data"), ["Some.Tool"]);
    assert_eq!(found.header("cache-status"), "nugate; detail=own");
    let warning = found.header("x-nuget-warning");
    assert!(warning.contains("only what is stored"), "{warning}");
    let document = found.json();
    assert_eq!(document["totalHits"], 1);
    let result = &document["data"][0];
    assert_eq!(result["version"], "1.1.0");
    assert_eq!(result["description"], "Does something.");
    assert_eq!(versions(&found), ["1.0.0", "1.1.0"]);
    let registration = format!("{}registration-gz-semver2/some.tool/", world.base());
    assert_eq!(result["registration"], format!("{registration}index.json"));
    assert_eq!(
        result["versions"][0]["@id"],
        format!("{registration}1.0.0.json")
    );
    let newest = "query?q=packageid:Some.Tool&prerelease=true&semVerLevel=2.0.0";
    let newest = world.get(newest).await;
    assert_eq!(newest.json()["data"][0]["version"], "2.0.0-Beta.1");
    assert_eq!(newest.json()["data"][0]["description"], "Will do more.");
    let all = world.get("query?take=1&skip=1").await;
    assert_eq!(texts(&all, "data"), ["Unrelated"]);
    assert_eq!(all.json()["totalHits"], 2);
    fails(&world, "query?q=other").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_results_the_first_are_described() {
    let ids: Vec<String> = (0..101)
        .map(|number| format!("Many.P{number:03}"))
        .collect();
    let package = |id: &String| Package::new(id, "1.0.0").described("Described.");
    let mut world = World::new(ExampleFeed::new(ids.iter().map(package)).unwrap()).await;
    for id in ids.iter().map(|id| id.to_lowercase()) {
        let path = format!("flat/{id}/1.0.0/{id}.1.0.0.nupkg");
        assert_eq!(world.get(&path).await.status, 200);
    }
    world.quiet().await;
    world.up.down().await;
    // Of what type a package is, its key does not tell.
    let found = world
        .get("query?q=many&take=200&packageType=DotnetTool")
        .await;
    assert_eq!(texts(&found, "data").len(), 101);
    let document = found.json();
    let shown = |at: usize| {
        (
            &document["data"][at]["id"],
            &document["data"][at]["description"],
        )
    };
    assert_eq!(shown(99), (&json!("Many.P099"), &json!("Described.")));
    assert_eq!(shown(100), (&json!("many.p100"), &json!("")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_later_is_found_too() {
    let mut world = world().await;
    world.up.down().await;
    fails(&world, "query?q=other").await;
    world.up.up();
    let path = "flat/some.other/1.0.0/some.other.1.0.0.nupkg";
    assert_eq!(stored(&world, path).await.status, 200);
    world.up.down().await;
    world.later(10);
    let found = world.get("query?q=other").await;
    assert_eq!(texts(&found, "data"), ["Some.Other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_versions_are_completed() {
    let mut world = world().await;
    let list = "flat/some.tool/index.json";
    assert_eq!(stored(&world, list).await.status, 200);
    world.up.down().await;
    let found = world.get("autocomplete?q=some").await;
    assert_eq!(texts(&found, "data"), ["Some.Tool"]);
    // 1.2.0 is not stored, but the feed has it.
    let found = world.get("autocomplete?id=Some.Tool").await;
    assert_eq!(texts(&found, "data"), ["1.0.0", "1.1.0", "1.2.0"]);
    // Whose list is not stored has versions that nobody knows.
    fails(&world, "autocomplete?id=unrelated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_said_comes_first() {
    let mut world = world().await;
    let path = "query?q=some";
    let before = stored(&world, path).await;
    assert_eq!(texts(&before, "data"), ["Some.Other", "Some.Tool"]);
    world.up.down().await;
    world.later(3600);
    let after = world.get(path).await;
    assert_eq!(after.body, before.body);
    assert!(after.header("cache-status").contains("stale"), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_and_left_alone_it_is_the_same() {
    let mut world = world().await;
    world.up.down().await;
    let mut causes = Vec::new();
    for number in 0..10 {
        let found = world.get(&format!("query?q=tool&x={number}")).await;
        assert_eq!(texts(&found, "data"), ["Some.Tool"], "{number}");
        causes.push(found.header("x-nuget-warning").to_owned());
    }
    let left_alone = causes.iter().filter(|it| it.contains("left alone"));
    assert!(left_alone.count() > 0, "{causes:#?}");
    world.change(|settings| settings.options.network = Network::Offline);
    world.restart().await;
    let found = world.get("query?q=tool").await;
    assert_eq!(texts(&found, "data"), ["Some.Tool"]);
    assert!(found.header("x-nuget-warning").contains("offline"));
    assert_eq!(world.get("query?q=other").await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_refuses_is_refused() {
    let world = world().await;
    for host in ["/search-usnc/query", "/search-ussc/query"] {
        world.up.on(host).reply(400, "no");
    }
    assert_eq!(world.get("query?q=tool").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_feeds_the_one_that_is_down_gives_what_is_stored_of_it() {
    let feeds = vec![
        feed("corp", &[("Tool.A", "1.0.0"), ("Tool.B", "1.0.0")], &[]),
        feed("public", &[("Tool.X", "1.0.0")], &[]),
    ];
    let mut world = GroupWorld::first(feeds).await;
    let package = "flat/tool.a/1.0.0/tool.a.1.0.0.nupkg";
    assert_eq!(world.get(package).await.status, 200);
    let list = "flat/tool.x/index.json";
    assert_eq!(world.get(list).await.status, 200);
    world.ups[0].down().await;
    let found = world.get("query?q=tool").await;
    let ids = texts(&found, "data");
    assert!(ids.contains(&"Tool.A".to_owned()), "{ids:?}");
    assert!(!ids.contains(&"Tool.B".to_owned()), "{ids:?}");
    let warning = found.header("x-nuget-warning");
    assert!(warning.contains("only what is stored"), "{warning}");
}
