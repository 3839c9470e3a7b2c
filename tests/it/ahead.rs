//! Connections made ahead: a restore begins with our service index, and what its client asks for next
//! finds the way to the feed made.
//!
//! - after a start and after a quiet minute, who reads the service index has one connection made to
//!   the feed's host, and no request
//! - a service index that has just arrived does so for the other hosts it names
//! - the next request uses it, in TLS too
//! - one that the feed has closed meanwhile is nobody's error, nor is a feed that takes none
//! - each feed of several gets its own
//! - offline none is made

use nugate::demo::ExampleFeed;
use nugate::policy::class::Network;
use serde_json::Value;

use crate::support::authority::Authority;
use crate::support::group::{GroupWorld, feed};
use crate::support::proxy::in_tls;
use crate::support::until::{stored, until};
use crate::support::{ScriptedUpstream, World};

const INDEX: &str = "index.json";
const LIST: &str = "flat/example.core/index.json";
const QUIET: u64 = 61;

/// A nugate that has just started and knows the service index from before.
async fn started() -> World {
    let mut world = World::demo().await;
    stored(&world, INDEX).await;
    world.restart().await;
    world.up.clear_log();
    world
}

async fn has_connections(up: &ScriptedUpstream, count: usize) {
    until("there is a connection more", async || {
        up.connections() >= count
    })
    .await;
    assert_eq!(up.connections(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_the_service_index_finds_a_connection_made() {
    let world = started().await;
    let before = world.up.connections();
    for _ in 0..3 {
        assert_eq!(world.get(INDEX).await.status, 200);
        has_connections(&world.up, before + 1).await;
    }
    assert_eq!(world.up.requests(), 0);
    assert_eq!(world.get(LIST).await.status, 200);
    assert_eq!(
        (world.up.connections(), world.up.requests()),
        (before + 1, 1)
    );
    // That request was a use too; then comes a break.
    world.get(INDEX).await;
    world.later(QUIET);
    world.get(INDEX).await;
    has_connections(&world.up, before + 2).await;
    assert_eq!(world.up.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_arrives_has_one_made_to_each_other_host() {
    let up = ScriptedUpstream::demo().await;
    let other = ScriptedUpstream::at([127, 0, 0, 2], ExampleFeed::demo()).await;
    let index = up.change(|feed| feed.document(up.base_url(), "/v3/index.json", ""));
    let mut index: Value = serde_json::from_slice(&index.unwrap().body).unwrap();
    for resource in index["resources"].as_array_mut().unwrap() {
        if resource["@type"]
            .as_str()
            .unwrap()
            .starts_with("PackageBase")
        {
            let id = resource["@id"].as_str().unwrap();
            resource["@id"] = id.replace(up.base_url(), other.base_url()).into();
        }
    }
    up.on("/v3/index.json").reply(200, index.to_string());
    let world = World::before(up, |_| {}).await;
    assert_eq!(world.get(INDEX).await.status, 200);
    has_connections(&other, 1).await;
    assert_eq!(world.get(LIST).await.status, 200);
    assert_eq!((other.connections(), other.requests()), (1, 1));
    assert_eq!(world.up.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_tls_it_is_used_too() {
    let authority = Authority::new("The feed's");
    let up = ScriptedUpstream::demo().await;
    let front = in_tls(&authority.issue(&["127.0.0.1"]), up.addr()).await;
    let index = format!(
        r#"{{"version":"3.0.0","resources":[
            {{"@id":"https://{front}/v3-flatcontainer/","@type":"PackageBaseAddress/3.0.0"}}]}}"#
    );
    up.on("/v3/index.json").reply(200, index);
    let mut world = World::before(up, |settings| {
        settings.feed.url = format!("https://{front}/v3/index.json").parse().unwrap();
        settings.feed.outbound.extra_roots = vec![authority.root()];
    })
    .await;
    stored(&world, INDEX).await;
    world.restart().await;
    let before = world.up.connections();
    assert_eq!(world.get(INDEX).await.status, 200);
    has_connections(&world.up, before + 1).await;
    assert_eq!(world.get(LIST).await.status, 200);
    assert_eq!(world.up.connections(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_it_is_nobodys_error() {
    let mut world = started().await;
    let before = world.up.connections();
    world.get(INDEX).await;
    has_connections(&world.up, before + 1).await;
    world.up.down().await;
    world.up.up();
    assert_eq!(world.get(LIST).await.status, 200);
    world.up.down().await;
    world.later(QUIET);
    for _ in 0..3 {
        assert_eq!(world.get(INDEX).await.status, 200);
    }
    world.up.up();
    assert_eq!(world.get("flat/example.json/index.json").await.status, 200);
    let failed = world.metric("nugate_upstream_breaker_changes_total{").await;
    assert!(failed < 0.5, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_feed_of_a_group_has_one_made() {
    let feeds = [("one", "A.Tool"), ("two", "B.Tool")];
    let feeds = feeds.map(|(name, id)| feed(name, &[(id, "1.0.0")], &[]));
    let world = GroupWorld::first(feeds.into()).await;
    assert_eq!(world.get(INDEX).await.status, 200);
    world.later(QUIET);
    let before: Vec<_> = world
        .ups
        .iter()
        .map(ScriptedUpstream::connections)
        .collect();
    assert_eq!(world.get(INDEX).await.status, 200);
    for (up, before) in world.ups.iter().zip(before) {
        has_connections(up, before + 1).await;
        assert_eq!(up.requests(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_none_is_made() {
    let mut world = started().await;
    stored(&world, LIST).await;
    world.change(|settings| settings.options.network = Network::Offline);
    world.restart().await;
    let before = world.up.connections();
    for path in [INDEX, LIST, INDEX] {
        assert_eq!(world.get(path).await.status, 200);
        world.later(QUIET);
    }
    assert_eq!(world.up.connections(), before);
}
