//! What is stored and what is asked of the upstream.
//!
//! - a package is fetched once, byte for byte, and served from the store afterwards
//! - every spelling of an id and a version is the same package
//! - a list is fetched once within its lifetime
//! - everything survives a restart, a damaged body heals
//! - HEAD of what is not stored asks for the head alone

use crate::support::World;

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_fetched_once() {
    let world = World::demo().await;
    let package = world.nupkg("example.core", "1.0.0");
    let cold = world.get(CORE).await;
    assert_eq!(
        (cold.status.as_u16(), &cold.body),
        (200, &package),
        "{cold:?}"
    );
    assert_eq!(cold.header("cache-status"), "nugate; fwd=uri-miss; stored");
    assert_eq!(cold.header("content-length"), package.len().to_string());
    world.up.clear_log();
    let warm = world.get(CORE).await;
    assert_eq!((warm.status.as_u16(), &warm.body), (200, &package));
    assert_eq!(warm.header("etag"), cold.header("etag"));
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_is_the_same_package() {
    let world = World::demo().await;
    let package = world.nupkg("example.core", "1.0.0");
    for path in [
        CORE,
        "flat/Example.Core/1.0.0/Example.Core.1.0.0.nupkg",
        "flat/EXAMPLE.core/1.0/example.core.1.0.nupkg",
        "flat/example.core/1.0.0.0/example.core.1.0.0.0.nupkg",
        "flat/example.core/1.0.0+build.5/example.core.1.0.0+build.5.nupkg",
        "flat/example.core/1.0.0%2Bbuild/example.core.1.0.0%2bbuild.nupkg",
        "flat/example%2Ecore/1.0.0/%65xample.core.1.0.0.nupkg?semVerLevel=2.0.0",
    ] {
        let response = world.get(path).await;
        assert_eq!(
            (response.status.as_u16(), &response.body),
            (200, &package),
            "{path}"
        );
    }
    let asked = world.up.log();
    let packages: Vec<_> = asked
        .iter()
        .filter(|seen| seen.path().ends_with(".nupkg"))
        .collect();
    assert_eq!(packages.len(), 1, "{packages:#?}");
    assert_eq!(
        packages[0].path(),
        "/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_fetched_once_within_their_lifetime() {
    let world = World::demo().await;
    let paths = [
        "flat/example.core/index.json",
        "registration-gz-semver2/example.core/index.json",
        "registration-gz/example.core/index.json",
        "registration/example.core/index.json",
        "registration/example.core/1.0.0.json",
        "query?q=example&take=5",
        "autocomplete?q=example",
        "vulnerabilities/index.json",
        "catalog/index.json",
        "flat/example.core/1.0.0/example.core.nuspec",
        "flat/example.json/1.2.0/icon",
        "flat/example.json/1.2.0/readme",
        "index.json",
    ];
    for path in paths {
        let response = world.get(path).await;
        assert_eq!(response.status.as_u16(), 200, "{path}: {}", response.text());
    }
    world.quiet().await;
    world.up.clear_log();
    for path in paths {
        let response = world.get(path).await;
        assert_eq!(response.header("cache-status"), "nugate; hit", "{path}");
    }
    assert_eq!(world.up.log().len(), 0, "{:#?}", world.up.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing() {
    let mut world = World::demo().await;
    let list = world.get("flat/example.core/index.json").await.body;
    let registration = "registration-gz-semver2/example.core/index.json";
    world.get(registration).await;
    let package = world.get(CORE).await.body;
    world.restart().await;
    world.up.clear_log();
    world.up.down().await;
    assert_eq!(world.get(CORE).await.body, package);
    assert_eq!(world.get("flat/example.core/index.json").await.body, list);
    let shown = world.get(registration).await;
    assert_eq!(shown.status.as_u16(), 200, "{}", shown.text());
    let id = shown.json()["@id"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&world.base()), "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_gone_is_fetched_again() {
    let mut world = World::demo().await;
    let package = world.get(CORE).await.body;
    world.stop().await;
    std::fs::remove_dir_all(world.path().join("bodies-v1").join("content-v2")).unwrap();
    world.start().await;
    world.up.clear_log();
    let healed = world.get(CORE).await;
    assert_eq!((healed.status.as_u16(), healed.body), (200, package));
    world
        .up
        .wait_for(|log| log.iter().any(|seen| seen.path().ends_with(".nupkg")))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_of_something_cold_asks_for_the_head() {
    let world = World::demo().await;
    let length = world.nupkg("example.core", "1.0.0").len().to_string();
    let cold = world.head(CORE).await;
    assert_eq!(
        (cold.status.as_u16(), cold.header("content-length")),
        (200, length.as_str())
    );
    assert!(cold.body.is_empty());
    let methods: Vec<_> = world
        .up
        .log()
        .iter()
        .map(|seen| seen.method.clone())
        .collect();
    assert!(methods.iter().any(|method| method == "HEAD"), "{methods:?}");
    let got = world.get(CORE).await;
    let warm = world.head(CORE).await;
    for name in [
        "content-length",
        "etag",
        "content-type",
        "last-modified",
        "accept-ranges",
    ] {
        assert_eq!(warm.header(name), got.header(name), "{name}");
        assert_eq!(cold.header(name), got.header(name), "{name}");
    }
    let list = world.get("flat/example.core/index.json").await;
    let head = world.head("flat/example.core/index.json").await;
    assert_eq!(head.header("content-length"), list.body.len().to_string());
    assert_eq!(head.header("etag"), list.header("etag"));
}
