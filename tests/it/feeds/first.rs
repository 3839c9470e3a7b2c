//! Of each id that nobody owns, the first feed that has it.

use nugate::policy::class::Network;

use super::{documents, leaves, texts};
use crate::support::GroupWorld;
use crate::support::group::{FeedOf, feed};

const SHARED: &str = "flat/shared/index.json";

fn two() -> Vec<FeedOf> {
    vec![
        feed("corp", &[("Shared", "1.0.0"), ("Shared", "2.0.0")], &[]),
        feed(
            "public",
            &[
                ("Shared", "1.0.0"),
                ("Shared", "3.0.0"),
                ("Public", "1.0.0"),
            ],
            &[],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_about_an_id_comes_from_its_home() {
    let world = GroupWorld::first(two()).await;
    assert_eq!(
        texts(&world.get(SHARED).await, "versions"),
        ["1.0.0", "2.0.0"]
    );
    let package = world.get("flat/shared/1.0.0/shared.1.0.0.nupkg").await;
    assert_eq!(package.body, world.nupkg(0, "shared", "1.0.0"));
    let newer = world.get("flat/shared/3.0.0/shared.3.0.0.nupkg").await;
    assert_eq!(newer.status, 404);
    for hive in ["registration", "registration-gz", "registration-gz-semver2"] {
        let shown = leaves(&world.get(&format!("{hive}/shared/index.json")).await);
        let versions: Vec<_> = shown.iter().map(|(version, _)| version.as_str()).collect();
        assert_eq!(versions, ["1.0.0", "2.0.0"]);
        let url = &shown[0].1;
        assert!(url.contains("/feeds/corp/v3/flat/"), "{url}");
        assert_eq!(world.get_at(&world.path_of(url)).await.body, package.body);
    }
    let completed = world.get("autocomplete?id=shared").await;
    assert_eq!(texts(&completed, "data"), ["1.0.0", "2.0.0"]);
    assert_eq!(world.asked("shared")[1], 0, "{:#?}", world.ups[1].log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_first_feed_does_not_know_is_the_next_ones() {
    let world = GroupWorld::first(two()).await;
    for path in documents("public") {
        let answer = world.get(&path).await;
        let expected = if path.ends_with("readme") { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
    }
    // The first feed was asked for the list alone, once: its 404 is remembered.
    assert_eq!(world.asked("v3-flatcontainer/public/")[0], 1);
    assert_eq!(world.asked("registration5")[0], 0);
    assert_eq!(world.get("flat/nothing/index.json").await.status, 404);
    assert_eq!(
        world.get("flat/nothing/1.0.0/nothing.nuspec").await.status,
        404
    );
    let completed = world.get("autocomplete?id=nothing").await;
    assert_eq!(completed.json()["data"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_does_not_need_its_list_to_have_been_asked() {
    let world = GroupWorld::first(two()).await;
    let path = "flat/public/1.0.0/public.1.0.0.nupkg";
    assert_eq!(
        world.get(path).await.body,
        world.nupkg(1, "public", "1.0.0")
    );
    let again = world.get(path).await;
    assert_eq!(again.header("cache-status"), "nugate; hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_told_from_memory() {
    let world = GroupWorld::first(two()).await;
    let path = "flat/shared/1.0.0/shared.1.0.0.nupkg";
    world.get(path).await;
    // A list that is old still says whose the id is.
    world.later(86_400);
    for up in &world.ups {
        up.clear_log();
    }
    let again = world.get(path).await;
    assert_eq!(again.header("cache-status"), "nugate; hit");
    assert_eq!(world.asked(""), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_feed_that_is_down_is_no_404_and_no_reason_to_go_on() {
    let mut world = GroupWorld::first(two()).await;
    // Both service indexes are known.
    world.get("index.json").await;
    world.ups[0].down().await;
    for path in documents("public") {
        if path.contains("q=") {
            continue;
        }
        let answer = world.get(&path).await;
        // 503 once its host is left alone.
        let status = answer.status.as_u16();
        assert!(matches!(status, 502 | 503), "{path}: {}", answer.text());
    }
    assert_eq!(world.asked("public"), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_404_lets_the_second_answer_in_an_outage() {
    let mut world = GroupWorld::first(two()).await;
    let known = world.get("flat/public/index.json").await;
    assert_eq!(texts(&known, "versions"), ["1.0.0"]);
    world.ups[0].down().await;
    world.later(3600);
    let list = world.get("flat/public/index.json").await;
    assert_eq!(list.body, known.body);
    let package = world.get("flat/public/1.0.0/public.1.0.0.nupkg").await;
    assert_eq!(package.body, world.nupkg(1, "public", "1.0.0"));
    // What the first feed has is still its own.
    assert_eq!(world.get(SHARED).await.status, 502);
    assert_eq!(world.asked("shared"), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_moves_when_the_first_feed_gets_it() {
    let world = GroupWorld::first(two()).await;
    assert_eq!(world.get("flat/public/index.json").await.status, 200);
    let package = nugate::demo::Package::new("Public", "7.0.0");
    world.ups[0].change(|feed| feed.add(package)).unwrap();
    world.later(60);
    let list = world.get("flat/public/index.json").await;
    assert_eq!(texts(&list, "versions"), ["7.0.0"]);
    let gone = world.get("flat/public/1.0.0/public.1.0.0.nupkg").await;
    assert_eq!(gone.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_versions_is_no_list() {
    let world = GroupWorld::first(two()).await;
    let path = "/v3-flatcontainer/public/index.json";
    world.ups[0].on(path).reply(200, r#"{"versions":[]}"#);
    let list = world.get("flat/public/index.json").await;
    assert_eq!(texts(&list, "versions"), ["1.0.0"]);
    let package = world.get("flat/public/1.0.0/public.1.0.0.nupkg").await;
    assert_eq!(package.body, world.nupkg(1, "public", "1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_what_any_feed_has_stored_is_served() {
    let mut world = GroupWorld::first(two()).await;
    let list = world.get("flat/public/index.json").await;
    let package = "/feeds/public/v3/flat/shared/3.0.0/shared.3.0.0.nupkg";
    assert_eq!(world.get_at(package).await.status, 200);
    world.network = Network::Offline;
    world.restart().await;
    assert_eq!(world.get("flat/public/index.json").await.body, list.body);
    let alone = world.get("flat/shared/3.0.0/shared.3.0.0.nupkg").await;
    assert_eq!(alone.body, world.nupkg(1, "shared", "3.0.0"));
    assert_eq!(world.get("flat/nothing/index.json").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_feed_alone_has_its_own_url() {
    let world = GroupWorld::first(two()).await;
    for (name, place, versions) in [
        ("corp", 0, ["1.0.0", "2.0.0"]),
        ("public", 1, ["1.0.0", "3.0.0"]),
    ] {
        let base = format!("http://{}/feeds/{name}/v3/", world.addr);
        let list = world.get_at(&format!("/feeds/{name}/v3/{SHARED}")).await;
        assert_eq!(texts(&list, "versions"), versions);
        let index = world
            .get_at(&format!("/feeds/{name}/v3/index.json"))
            .await
            .json();
        for entry in index["resources"].as_array().unwrap() {
            let (url, kind) = (
                entry["@id"].as_str().unwrap(),
                entry["@type"].as_str().unwrap(),
            );
            let page = kind.contains("UriTemplate") && !url.contains(&world.addr.to_string());
            assert!(page || url.starts_with(&base), "{kind}: {url}");
        }
        let path = format!("/feeds/{name}/v3/registration-gz-semver2/shared/index.json");
        for (version, url) in leaves(&world.get_at(&path).await) {
            assert!(url.starts_with(&base), "{url}");
            let package = world.get_at(&world.path_of(&url)).await;
            assert_eq!(package.body, world.nupkg(place, "shared", &version));
        }
        let found = world
            .get_at(&format!("/feeds/{name}/v3/query?q=shared"))
            .await;
        let leaf = &found.json()["data"][0]["registration"];
        assert!(leaf.as_str().unwrap().starts_with(&base), "{leaf}");
    }
    for path in ["/feeds/none/v3/index.json", "/feeds//v3/index.json"] {
        assert_eq!(world.get_at(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nearly_the_url_of_a_feed_leads_to_its_service_index() {
    let world = GroupWorld::first(two()).await;
    for (path, location) in [
        ("/feeds/public", "public/v3/index.json"),
        ("/feeds/public/", "v3/index.json"),
        ("/feeds/public/index.json", "v3/index.json"),
        ("/feeds/public/v3", "v3/index.json"),
        ("/feeds/public/v3/", "index.json"),
        ("/", "v3/index.json"),
        ("/v3/", "index.json"),
    ] {
        let answer = world.get_at(path).await;
        assert_eq!(answer.status, 302, "{path}");
        assert_eq!(answer.header("location"), location, "{path}");
    }
    let index = world.get_at("/feeds/public/v3/index.json").await;
    assert_eq!(index.status, 200, "{}", index.text());
    for path in [
        "/feeds/nobody",
        "/feeds/nobody/",
        "/feeds/",
        "/feeds",
        "/feeds/publicx",
    ] {
        assert_eq!(world.get_at(path).await.status, 404, "{path}");
    }
}
