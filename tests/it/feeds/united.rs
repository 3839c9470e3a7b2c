//! Of each id that nobody owns, the versions of all feeds.

use super::{leaves, texts};
use crate::support::GroupWorld;
use crate::support::group::{FeedOf, feed};

const LIST: &str = "flat/shared/index.json";

fn three() -> Vec<FeedOf> {
    vec![
        feed("corp", &[("Shared", "1.0.0"), ("Shared", "2.0.0")], &[]),
        feed(
            "public",
            &[
                ("Shared", "1.0.0"),
                ("Shared", "1.5.0"),
                ("Public", "1.0.0"),
            ],
            &[],
        ),
        feed("more", &[("Shared", "10.0.0-beta")], &[]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_packages_and_registrations_agree() {
    let world = GroupWorld::united(three()).await;
    let all = ["1.0.0", "1.5.0", "2.0.0", "10.0.0-beta"];
    let homes = [0, 1, 0, 2];
    let names = ["corp", "public", "more"];
    assert_eq!(texts(&world.get(LIST).await, "versions"), all);
    let registration = world.get("registration-gz-semver2/shared/index.json").await;
    let shown = leaves(&registration);
    assert_eq!(registration.json()["items"][0]["lower"], "1.0.0");
    assert_eq!(registration.json()["items"][0]["upper"], "10.0.0-beta");
    for ((version, home), (shown, url)) in all.iter().zip(homes).zip(shown) {
        assert_eq!(*version, shown);
        let bytes = world.nupkg(home, "shared", version);
        let path = format!("flat/shared/{version}/shared.{version}.nupkg");
        assert_eq!(world.get(&path).await.body, bytes, "{version}");
        assert!(
            url.contains(&format!("/feeds/{}/v3/", names[home])),
            "{url}"
        );
        assert_eq!(world.get_at(&world.path_of(&url)).await.body, bytes);
        let nuspec = world
            .get(&format!("flat/shared/{version}/shared.nuspec"))
            .await;
        assert!(nuspec.text().contains(&format!("From {}.", names[home])));
        let leaf = format!("registration-gz-semver2/shared/{version}.json");
        assert_eq!(world.get(&leaf).await.status, 200, "{leaf}");
    }
    let completed = world.get("autocomplete?id=shared&prerelease=true").await;
    assert_eq!(texts(&completed, "data"), all);
    let found = world.get("query?q=shared&prerelease=true").await.json();
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    let versions = found["data"][0]["versions"].as_array().unwrap().iter();
    let versions: Vec<_> = versions.map(|it| it["version"].as_str().unwrap()).collect();
    assert_eq!(versions, all);
    assert_eq!(found["data"][0]["version"], "10.0.0-beta");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_one_feed_is_as_that_feed_has_it() {
    let world = GroupWorld::united(three()).await;
    let list = world.get("flat/public/index.json").await;
    let alone = world
        .get_at("/feeds/public/v3/flat/public/index.json")
        .await;
    assert_eq!(list.body, alone.body);
    let shown = leaves(&world.get("registration/public/index.json").await);
    assert!(shown[0].1.contains("/feeds/public/v3/"), "{shown:?}");
    assert_eq!(world.get("flat/nothing/index.json").await.status, 404);
    assert_eq!(
        world.get("registration/nothing/index.json").await.status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_outside_of_the_index_are_taken_in() {
    let many: Vec<(String, String)> = (0..150)
        .map(|number| ("Many".to_owned(), format!("1.{number}.0")))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(id, it)| (&**id, &**it)).collect();
    let world = GroupWorld::united(vec![
        feed("one", &[("Many", "1.7.0"), ("Many", "2.0.0")], &[]),
        feed("two", &many, &[]),
    ])
    .await;
    let path = "registration-gz-semver2/many/index.json";
    let shown = leaves(&world.get(path).await);
    assert_eq!(shown.len(), 151);
    let of_one = shown
        .iter()
        .filter(|(_, url)| url.contains("/feeds/one/v3/"));
    let of_one: Vec<_> = of_one.map(|(version, _)| version.as_str()).collect();
    assert_eq!(of_one, ["1.7.0", "2.0.0"]);
    assert_eq!(world.asked("/page/")[1], 3);
    let pages = world.get(path).await.json()["items"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!((pages, world.asked("/page/")[1]), (3, 3));
    // A page that is asked for by itself, as clients with an older index do.
    let page = "registration-gz-semver2/many/page/1.0.0/1.63.0.json";
    assert_eq!(world.get(page).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_too_large_is_not_gathered_to_its_end() {
    let many: Vec<String> = (0..64 * 40).map(|number| format!("1.{number}.0")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|it| ("Many", &**it)).collect();
    let mut world = GroupWorld::united(vec![
        feed("one", &[("Many", "1.7.0")], &[]),
        feed("two", &many, &[]),
    ])
    .await;
    world.document_size_max = 100_000;
    world.restart().await;
    let path = "registration-gz-semver2/many/index.json";
    let answer = world.get(path).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("document_size_max"), "{answer:?}");
    let asked = world.asked("/page/")[1];
    assert!((1..20).contains(&asked), "{asked} of 40 pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn hives_differ_as_those_of_the_feeds_do() {
    let world = GroupWorld::united(vec![
        feed("one", &[("Shared", "1.0.0"), ("Shared", "2.0.0-a.1")], &[]),
        feed("two", &[("Shared", "3.0.0"), ("Shared", "4.0.0-b.2")], &[]),
    ])
    .await;
    for (hive, expected) in [
        ("registration", vec!["1.0.0", "3.0.0"]),
        ("registration-gz", vec!["1.0.0", "3.0.0"]),
        (
            "registration-gz-semver2",
            vec!["1.0.0", "2.0.0-a.1", "3.0.0", "4.0.0-b.2"],
        ),
    ] {
        let shown = leaves(&world.get(&format!("{hive}/shared/index.json")).await);
        let versions: Vec<_> = shown.iter().map(|(version, _)| version.as_str()).collect();
        assert_eq!(versions, expected, "{hive}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_cannot_be_asked_for_are_not_left_out() {
    let mut world = GroupWorld::united(three()).await;
    world.ups[1].down().await;
    assert_eq!(world.get(LIST).await.status, 502);
    assert_eq!(
        world.get("registration/shared/index.json").await.status,
        502
    );
    world.ups[1].up();
    world.later(120);
    let all = world.get(LIST).await;
    assert_eq!(all.status, 200);
    world.ups[1].down().await;
    world.later(3600);
    let stale = world.get(LIST).await;
    assert_eq!(stale.body, all.body);
    assert_eq!(stale.header("etag"), all.header("etag"));
    assert_eq!(
        stale.header("cache-status"),
        "nugate; fwd=stale; detail=upstream-error"
    );
    assert!(
        stale.header("x-nuget-warning").contains("feed public"),
        "{stale:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_404_is_an_answer_in_an_outage() {
    let mut world = GroupWorld::united(three()).await;
    let known = world.get("flat/public/index.json").await;
    world.ups[0].down().await;
    world.later(3600);
    assert_eq!(world.get("flat/public/index.json").await.body, known.body);
    let package = world.get("flat/public/1.0.0/public.1.0.0.nupkg").await;
    assert_eq!(package.body, world.nupkg(1, "public", "1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_newer_than_the_lists_is_found() {
    let world = GroupWorld::united(three()).await;
    world.get(LIST).await;
    let package = nugate::demo::Package::new("Shared", "5.0.0");
    world.ups[1].change(|feed| feed.add(package)).unwrap();
    let answer = world.get("flat/shared/5.0.0/shared.5.0.0.nupkg").await;
    assert_eq!(answer.body, world.nupkg(1, "shared", "5.0.0"));
    let none = world.get("flat/shared/6.0.0/shared.6.0.0.nupkg").await;
    assert_eq!(none.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_united_document_is_like_any_other() {
    let world = GroupWorld::united(three()).await;
    world.get(LIST).await;
    let list = world.get(LIST).await;
    assert_eq!(list.header("cache-status"), "nugate; hit");
    assert_eq!(list.header("content-type"), "application/json");
    let etag = list.header("etag").to_owned();
    let path = format!("/v3/{LIST}");
    let same = world.get_with(&path, &[("if-none-match", &etag)]).await;
    assert_eq!(same.status, 304);
    let head = crate::support::head(world.addr, &path, &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), list.body.len().to_string());
    let path = "/v3/registration-gz-semver2/shared/index.json";
    let small = world.get_with(path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), "gzip");
    let plain = world.get_with(path, &[]).await;
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(&*small.body);
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, plain.text());
}
