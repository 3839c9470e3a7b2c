//! What a 404 of the upstream means.
//!
//! - of a list or registration it is remembered for half a minute, of a package not at all
//! - afterwards it is still the answer while the upstream fails, for seven days
//! - of something stored it is not believed at once: a package is kept for good, a list needs two
//!   404s ten minutes apart, a registration page forty minutes, and then its index is looked at too

use nugate::demo::{ExampleFeed, Package};

use crate::support::client::Response;
use crate::support::{World, stored, until};

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const LIST: &str = "flat/example.core/index.json";
const MISSING: &str = "nugate; fwd=stale; detail=upstream-missing";

#[track_caller]
fn check(response: &Response, status: u16, cache: &str) {
    let seen = (response.status.as_u16(), response.header("cache-status"));
    assert_eq!(seen, (status, cache), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_is_remembered_for_half_a_minute() {
    for (path, above) in [
        (
            "flat/example.new/index.json",
            "/v3-flatcontainer/example.new/index.json",
        ),
        (
            "registration-gz-semver2/example.new/index.json",
            "/v3/registration5-gz-semver2/example.new/index.json",
        ),
    ] {
        let world = World::demo().await;
        check(&world.get(path).await, 404, "nugate; fwd=uri-miss");
        world.later(29);
        check(&world.get(path).await, 404, "nugate; hit; detail=negative");
        assert_eq!(world.up.count(above), 1, "{path}");
        let package = Package::new("Example.New", "1.0.0");
        world.up.change(|feed| feed.add(package)).unwrap();
        check(&world.get(path).await, 404, "nugate; hit; detail=negative");
        world.later(1);
        check(&world.get(path).await, 200, "nugate; fwd=uri-miss; stored");
        assert_eq!(world.up.count(above), 2, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_is_asked_for_again_afterwards() {
    let world = World::demo().await;
    let above = "/v3-flatcontainer/none/index.json";
    for count in 1..4 {
        for _ in 0..3 {
            assert_eq!(world.get("flat/none/index.json").await.status, 404);
        }
        assert_eq!(world.up.count(above), count);
        world.later(30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_of_a_package_is_not_remembered() {
    let world = World::demo().await;
    let path = "flat/example.core/9.0.0/example.core.9.0.0.nupkg";
    let above = "/v3-flatcontainer/example.core/9.0.0/example.core.9.0.0.nupkg";
    for count in 1..4 {
        check(&world.get(path).await, 404, "nugate; fwd=uri-miss");
        assert_eq!(world.up.count(above), count);
    }
    let package = Package::new("Example.Core", "9.0.0");
    world.up.change(|feed| feed.add(package)).unwrap();
    check(&world.get(path).await, 200, "nugate; fwd=uri-miss; stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_does_not_turn_a_404_into_an_error() {
    let mut world = World::demo().await;
    let path = "flat/none/index.json";
    assert_eq!(world.get(path).await.status, 404);
    world.up.down().await;
    for _ in 0..6 {
        world.later(86_400);
        check(&world.get(path).await, 404, "nugate; hit; detail=negative");
    }
    world.restart().await;
    check(&world.get(path).await, 404, "nugate; hit; detail=negative");
    world.later(86_400 + 30);
    for _ in 0..2 {
        assert_eq!(world.get(path).await.status, 502, "forgotten after a week");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_kept_when_the_upstream_loses_it() {
    let world = World::demo().await;
    let package = stored(&world, CORE).await.body;
    world.up.change(|feed| feed.remove("example.core", "1.0.0"));
    for _ in 0..3 {
        let kept = world.get_with(CORE, &[("cache-control", "no-cache")]).await;
        check(&kept, 200, MISSING);
        assert_eq!(kept.body, package);
        assert!(!kept.header("x-nuget-warning").is_empty());
        world.later(3600);
    }
    check(&world.get(CORE).await, 200, "nugate; hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_gone_after_two_404s_ten_minutes_apart() {
    let world = World::demo().await;
    let list = stored(&world, LIST).await.body;
    world.later(200);
    let above = "/v3-flatcontainer/example.core/index.json";
    world.up.on(above).reply(404, "");
    for wait in [0, 300, 299] {
        world.later(wait);
        let kept = world.get(LIST).await;
        check(&kept, 200, MISSING);
        assert_eq!(kept.body, list);
    }
    world.later(70);
    check(&world.get(LIST).await, 404, "nugate; fwd=uri-miss");
    check(&world.get(LIST).await, 404, "nugate; hit; detail=negative");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_404_between_answers_takes_nothing_away() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    let above = "/v3-flatcontainer/example.core/index.json";
    for _ in 0..3 {
        world.later(1200);
        world.up.on(above).reply(404, "").times(1);
        check(&world.get(LIST).await, 200, MISSING);
        world.later(60);
        assert_eq!(world.get(LIST).await.header("age"), "0", "confirmed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_page_outlives_its_end_and_the_index_is_looked_at() {
    let many = (0..130).map(|minor| Package::new("Example.Many", format!("1.{minor}.0")));
    let mut world = World::new(ExampleFeed::new(many).unwrap()).await;
    let slug = "registration-gz-semver2/example.many";
    let (index, page) = (
        format!("{slug}/index.json"),
        format!("{slug}/page/1.0.0/1.63.0.json"),
    );
    stored(&world, &index).await;
    stored(&world, &page).await;
    // What a restart leaves in memory must not matter.
    world.restart().await;
    let above = "/v3/registration5-gz-semver2/example.many";
    world
        .up
        .on(&format!("{above}/page/1.0.0/1.63.0.json"))
        .reply(404, "");
    world.later(3600);
    world.up.clear_log();
    let kept = world.get(&page).await;
    check(&kept, 200, MISSING);
    assert_eq!(kept.json()["count"], 64);
    let index_above = format!("{above}/index.json");
    let looked_at =
        |log: &[crate::support::upstream::Seen]| log.iter().any(|seen| seen.path() == index_above);
    world.up.wait_for(looked_at).await;
    until("the index is confirmed", async || {
        world.get(&index).await.header("cache-status") == "nugate; hit"
    })
    .await;
    world.later(39 * 60);
    check(&world.get(&page).await, 200, MISSING);
    world.later(61);
    assert_eq!(world.get(&page).await.status, 404);
}
