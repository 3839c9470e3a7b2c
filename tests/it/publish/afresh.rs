//! What a push or deletion changes is asked for afresh, and nothing that is stored is lost by it.
//!
//! - The new version is in the list, the registrations, the search at once.
//! - A remembered 404 and the first bytes of that version do not stand in its way.
//! - An answer that was under way while it happened is not taken for the new one.
//! - When the feed fails right after, what is stored is still served.

use http::Method;
use nugate::demo::{ExampleFeed, Package};
use nugate::policy::class::Network;

use super::UPSTREAM;
use crate::support::push::{FORM, form, form_of};
use crate::support::upstream::Seen;
use crate::support::{World, client, stored};

const LIST: &str = "flat/example.core/index.json";
const LIST_UPSTREAM: &str = "/v3-flatcontainer/example.core/index.json";
const HIVES: [&str; 3] = ["registration", "registration-gz", "registration-gz-semver2"];

/// Everything that tells of the versions of `Example.Core`, and how the version 3.0.0 shows there.
fn documents() -> Vec<(String, &'static str)> {
    let hives = HIVES.map(|hive| (format!("{hive}/example.core/index.json"), "3.0.0"));
    let others = [
        (LIST, "3.0.0"),
        ("query?q=example.core", "3.0.0"),
        ("autocomplete?id=example.core", "3.0.0"),
        ("catalog/index.json", "\"count\": 10"),
    ];
    let others = others.map(|(path, sign)| (path.to_owned(), sign));
    hives.into_iter().chain(others).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_version_is_seen_at_once() {
    let world = World::demo().await;
    for (path, sign) in documents() {
        let before = world.hit(&path).await;
        assert!(!before.text().contains(sign), "{path}");
    }
    world.hit("flat/example.json/index.json").await;
    assert_eq!(world.push("Example.Core", "3.0.0").await.status, 201);
    for (path, sign) in documents() {
        let after = stored(&world, &path).await;
        assert_eq!(after.status, 200);
        assert!(after.text().contains(sign), "{path}: {}", after.text());
    }
    // Once is enough, and of other packages nothing is asked.
    world.later(1);
    for (path, _) in documents() {
        world.hit(&path).await;
    }
    world.up.clear_log();
    for (path, sign) in documents() {
        assert!(world.get(&path).await.text().contains(sign), "{path}");
    }
    let other = world.get("flat/example.json/index.json").await;
    assert_eq!(other.header("cache-status"), "nugate; hit");
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_404_is_not_repeated() {
    let mut world = World::demo().await;
    let paths = ["flat/new.id/index.json", "registration/new.id/index.json"];
    for path in paths {
        assert_eq!(stored(&world, path).await.status, 404);
        let again = world.get(path).await;
        assert_eq!(again.header("cache-status"), "nugate; hit; detail=negative");
    }
    assert_eq!(world.push("New.Id", "1.0.0").await.status, 201);
    world.up.down().await;
    let failed = world.get(paths[0]).await;
    assert_eq!(failed.status, 502, "an outage does not bring it back");
    world.up.up();
    for path in paths {
        let found = world.get(path).await;
        assert_eq!(found.status, 200, "{path}: {}", found.text());
        assert!(found.text().contains("1.0.0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_under_way_does_not_bring_the_old_list_back() {
    for warm in [false, true] {
        let world = World::demo().await;
        world.get("index.json").await;
        if warm {
            world.hit(LIST).await;
            // Older than it may be served without an answer.
            world.later(400);
        }
        world.up.clear_log();
        // The feed has read its old list when it hangs.
        world.up.on(LIST_UPSTREAM).hang().times(1);
        let address = world.addr;
        let early =
            tokio::spawn(async move { client::get(address, &format!("/v3/{LIST}"), &[]).await });
        world.up.wait_for(|log| log.iter().any(is_list)).await;
        assert_eq!(world.push("Example.Core", "3.0.0").await.status, 201);
        let fresh = world.get(LIST).await;
        assert!(fresh.text().contains("3.0.0"), "{warm}: {}", fresh.text());
        world.up.release();
        let old = early.await.unwrap();
        assert_eq!(old.status, 200);
        world.quiet().await;
        // Whatever the late answer did, the next one has the new version.
        for _ in 0..3 {
            let again = world.get(LIST).await;
            assert!(again.text().contains("3.0.0"), "{warm}: {}", again.text());
        }
        world.later(1);
        assert!(world.hit(LIST).await.text().contains("3.0.0"), "{warm}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_that_nobody_waits_for_is_not_fresh() {
    let world = World::demo().await;
    world.get("index.json").await;
    world.up.on(LIST_UPSTREAM).hang().times(1);
    let address = world.addr;
    let early =
        tokio::spawn(async move { client::get(address, &format!("/v3/{LIST}"), &[]).await });
    world.up.wait_for(|log| log.iter().any(is_list)).await;
    assert_eq!(world.push("Example.Core", "3.0.0").await.status, 201);
    world.up.release();
    let old = early.await.unwrap();
    assert!(
        !old.text().contains("3.0.0"),
        "it was asked before the push"
    );
    world.quiet().await;
    world.later(1);
    let new = world.get(LIST).await;
    assert!(new.text().contains("3.0.0"), "{}", new.text());
}

fn is_list(seen: &Seen) -> bool {
    seen.path() == LIST_UPSTREAM
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_of_a_version_that_is_pushed_again_do_not_stay() {
    let world = World::demo().await;
    let path = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
    let other = "flat/example.core/1.1.0/example.core.1.1.0.nupkg";
    let first = world.hit(path).await.body;
    world.hit(other).await;
    world.up.change(|feed| feed.remove("Example.Core", "1.0.0"));
    let package = Package::new("Example.Core", "1.0.0").described("repaired");
    let repaired = package.nupkg().unwrap();
    assert_ne!(first, repaired);
    let pushed = world
        .call(Method::PUT, "publish/", &[FORM], form(&repaired))
        .await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    world.up.clear_log();
    assert_eq!(stored(&world, path).await.body, repaired);
    world.later(1);
    assert_eq!(world.hit(path).await.body, repaired);
    let other = world.get(other).await;
    assert_eq!(
        other.header("cache-status"),
        "nugate; hit",
        "others are not asked for"
    );
    assert_eq!(world.metric("nugate_changed_bodies_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_and_a_relisting_show_at_once() {
    let world = World::new(ExampleFeed::demo().guarded_by("k")).await;
    let key = [("x-nuget-apikey", "k")];
    let listed = async || {
        let mut found = Vec::new();
        for hive in HIVES {
            let path = format!("{hive}/example.core/index.json");
            let document = stored(&world, &path).await.json();
            found.push(document["items"][0]["items"][0]["catalogEntry"]["listed"] == true);
        }
        found
    };
    assert_eq!(listed().await, [true; 3]);
    let path = "publish/Example.CORE/1.0.0.0";
    let denied = world.call(Method::DELETE, path, &[], "").await;
    assert_eq!(denied.status, 403);
    let deleted = world.call(Method::DELETE, path, &key, "").await;
    assert_eq!(deleted.status, 204);
    let seen = world.up.log().pop().unwrap();
    assert_eq!(
        seen.path(),
        "/api/v2/package/Example.CORE/1.0.0.0",
        "as it was typed"
    );
    assert_eq!(seen.header("x-nuget-apikey"), "k");
    assert_eq!(listed().await, [false; 3]);
    let relisted = world.call(Method::POST, path, &key, "").await;
    assert_eq!(relisted.status, 200);
    assert_eq!(listed().await, [true; 3]);
    let absent = world
        .call(Method::DELETE, "publish/No.Such/1.0", &key, "")
        .await;
    assert_eq!(absent.status, 404);
    assert_eq!(absent.header("cache-status"), "nugate; fwd=method");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_deleted_through_nugate_is_gone() {
    let world = World::demo().await;
    let package = "flat/example.json/1.2.0/example.json.1.2.0.nupkg";
    let paths = [
        "flat/example.json/index.json",
        "registration/example.json/index.json",
        package,
    ];
    for path in paths {
        world.hit(path).await;
    }
    // This feed deletes where nuget.org unlists.
    world.up.change(|feed| feed.remove("Example.Json", "1.2.0"));
    let kept = world
        .get_with(package, &[("cache-control", "no-cache")])
        .await;
    assert_eq!(kept.status, 200, "a 404 alone is not believed");
    world.later(1);
    drop(
        world
            .up
            .on("/api/v2/package/Example.Json/1.2.0")
            .reply(204, ""),
    );
    let path = "publish/Example.Json/1.2.0";
    assert_eq!(world.call(Method::DELETE, path, &[], "").await.status, 204);
    for path in paths {
        assert_eq!(stored(&world, path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_right_after_a_push_loses_nothing() {
    let mut world = World::demo().await;
    let package = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
    let (list, nupkg) = (world.hit(LIST).await, world.hit(package).await);
    assert_eq!(world.push("Example.Core", "3.0.0").await.status, 201);
    world.up.down().await;
    for _ in 0..2 {
        let stale = world.get(LIST).await;
        assert_eq!((stale.status.as_u16(), &stale.body), (200, &list.body));
        assert!(stale.header("x-nuget-warning").contains("stored copy"));
    }
    assert_eq!(world.get(package).await.body, nupkg.body);
    world.up.up();
    world.later(61);
    assert!(world.get(LIST).await.text().contains("3.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_forget_what_was_pushed() {
    let mut world = World::demo().await;
    world.hit(LIST).await;
    assert_eq!(world.push("Example.Core", "3.0.0").await.status, 201);
    world.change(|settings| settings.options.network = Network::PreferCache);
    world.restart().await;
    // Not even where everything stored is served whatever its age.
    assert!(stored(&world, LIST).await.text().contains("3.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_something_unknown_concerns_every_package() {
    let world = World::demo().await;
    for path in [LIST, "flat/example.json/index.json"] {
        world.hit(path).await;
    }
    world
        .up
        .change(|feed| feed.add(Package::new("Example.Core", "3.0.0")))
        .unwrap();
    world.up.on(UPSTREAM).reply(202, "");
    let pushed = world
        .call(Method::PUT, "publish/", &[FORM], form(b"who knows"))
        .await;
    assert_eq!(pushed.status, 202);
    assert!(world.get(LIST).await.text().contains("3.0.0"));
    let other = world.get("flat/example.json/index.json").await;
    assert_eq!(
        other.header("cache-status"),
        "nugate; fwd=stale; fwd-status=304"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_changes_nothing() {
    let world = World::demo().await;
    world.hit(LIST).await;
    assert_eq!(world.push("Example.Core", "1.0.0").await.status, 409);
    let form = form_of("Example.Core", "1.0.0");
    let symbols = world.call(Method::PUT, "symbols/", &[FORM], form).await;
    assert_eq!(symbols.status, 201);
    let list = world.get(LIST).await;
    assert_eq!(list.header("cache-status"), "nugate; hit");
}
