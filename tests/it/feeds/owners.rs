//! An owned id is asked of its owners alone: dependency confusion must have no way in.

use super::{confusing, documents, texts};
use crate::support::GroupWorld;
use crate::support::group::feed;

const OWNED: &str = "contoso.core";
const LIST: &str = "flat/contoso.core/index.json";
const NUPKG: &str = "flat/contoso.core/1.0.0/contoso.core.1.0.0.nupkg";

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_is_asked_for_any_document() {
    let world = GroupWorld::first(confusing()).await;
    for path in documents(OWNED) {
        let answer = world.get(&path).await;
        // The feed has no readme; everything else is there.
        let expected = if path.ends_with("readme") { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
    }
    assert_eq!(world.asked("contoso")[0], 0, "{:#?}", world.ups[0].log());
    assert!(world.asked("contoso")[1] > 8);
    assert_eq!(texts(&world.get(LIST).await, "versions"), ["1.0.0"]);
    assert_eq!(world.get(NUPKG).await.body, world.nupkg(1, OWNED, "1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_rule_the_first_feed_has_it() {
    let mut feeds = confusing();
    feeds[1].owns = &[];
    let world = GroupWorld::first(feeds).await;
    assert_eq!(
        texts(&world.get(LIST).await, "versions"),
        ["1.0.0", "99.0.0"]
    );
    assert_eq!(world.get(NUPKG).await.body, world.nupkg(0, OWNED, "1.0.0"));
    assert_eq!(world.asked("contoso")[1], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_holds_for_united_versions_too() {
    let world = GroupWorld::united(confusing()).await;
    assert_eq!(texts(&world.get(LIST).await, "versions"), ["1.0.0"]);
    assert_eq!(world.get(NUPKG).await.body, world.nupkg(1, OWNED, "1.0.0"));
    assert_eq!(world.asked("contoso")[0], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_down_fails_and_nobody_else_is_asked() {
    let mut world = GroupWorld::first(confusing()).await;
    world.ups[1].down().await;
    for path in documents(OWNED) {
        let answer = world.get(&path).await;
        // 503 once its host is left alone.
        let status = answer.status.as_u16();
        assert!(matches!(status, 502 | 503), "{path}: {}", answer.text());
    }
    assert_eq!(world.asked("contoso"), [0, 0]);
    assert_eq!(world.get("flat/other/index.json").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_down_is_answered_for_by_what_is_stored() {
    let mut world = GroupWorld::first(confusing()).await;
    let list = world.get(LIST).await;
    let package = world.get(NUPKG).await;
    world.ups[1].down().await;
    world.later(3600);
    let stale = world.get(LIST).await;
    assert_eq!((stale.status, &stale.body), (list.status, &list.body));
    assert!(stale.header("cache-status").contains("upstream-error"));
    assert_eq!(world.get(NUPKG).await.body, package.body);
    let unknown = "flat/contoso.core/99.0.0/contoso.core.99.0.0.nupkg";
    assert_eq!(world.get(unknown).await.status, 502);
    assert_eq!(world.asked("contoso")[0], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_the_id_is_the_end_of_it() {
    let mut feeds = confusing();
    feeds[1].owns = &["Other", "Contoso.*"];
    let world = GroupWorld::first(feeds).await;
    for path in [
        "flat/other/index.json",
        "flat/other/1.0.0/other.1.0.0.nupkg",
    ] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
    assert_eq!(world.asked("other")[0], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_pattern_decides() {
    let world = GroupWorld::first(vec![
        feed("corp", &[("Contoso.Core", "1.0.0")], &["Contoso.*"]),
        feed(
            "public",
            &[("Contoso.Open", "1.0.0")],
            &["*", "contoso.open"],
        ),
    ])
    .await;
    for (id, place) in [("contoso.core", 0), ("contoso.open", 1), ("anything", 1)] {
        let answer = world.get(&format!("flat/{id}/index.json")).await;
        let expected = if id == "anything" { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{id}");
        assert_eq!(world.asked(id)[1 - place], 0, "{id}");
    }
    let group = world.app().group();
    let owner = |id: &str| {
        let id = nugate::nuget::id::PackageId::parse(id).unwrap();
        group.owner_of(&id).map(|member| member.name().to_owned())
    };
    assert_eq!(owner("Contoso.Core").as_deref(), Some("corp"));
    assert_eq!(owner("Contoso.Open").as_deref(), Some("public"));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_others_that_name_an_owned_id_are_dropped() {
    for world in [
        GroupWorld::first(confusing()).await,
        GroupWorld::united(confusing()).await,
    ] {
        // A text that names no id: all are asked, and the public feed finds its own Contoso.Core.
        let found = world.get("query?q=from").await;
        assert_eq!(world.asked("q=from"), [1, 1]);
        assert_eq!(texts(&found, "data"), ["Other", "Contoso.Core"]);
        assert_eq!(found.json()["data"][1]["version"], "1.0.0");
        let found = world.get("query?q=co").await;
        assert_eq!(texts(&found, "data"), ["Contoso.Core"]);
        assert_eq!(found.json()["data"][0]["version"], "1.0.0");
        let completed = world.get("autocomplete?q=co").await;
        assert_eq!(texts(&completed, "data"), ["Contoso.Core"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_question_tells_another_feed_of_an_owned_id() {
    let world = GroupWorld::first(confusing()).await;
    for path in [
        "autocomplete?ID=Contoso.Core",
        "autocomplete?Q=Contoso.Co",
        "query?Q=CONTOSO.core",
        "query?Q=PackageId:\"Contoso.Core\"",
    ] {
        let answer = world.get(&path.replace('"', "%22")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let log = world.ups[0].log();
    let told = |path: &str| path.to_lowercase().contains("contoso");
    assert!(
        !log.iter().any(|seen| told(&seen.path_and_query)),
        "{log:#?}"
    );
}
