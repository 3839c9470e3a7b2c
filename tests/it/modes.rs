//! How much the upstream is asked at all.
//!
//! - offline: what is stored is served whatever its age; what is not stored is 404 where a client
//!   with a second source can go on, else 504; the upstream is never asked
//! - prefer-cache: what is stored is served whatever its age, what is not is fetched

use nugate::policy::class::Network;

use crate::support::{World, stored};

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const KEPT: &[&str] = &[
    "index.json",
    "flat/example.core/index.json",
    "registration-gz-semver2/example.core/index.json",
    "registration/example.core/1.0.0.json",
    "query?q=example&take=5",
    "vulnerabilities/index.json",
    CORE,
];

/// A nugate that has stored [`KEPT`] long ago and now runs in this mode.
async fn aged(network: Network) -> World {
    let mut world = World::demo().await;
    for path in KEPT {
        assert_eq!(stored(&world, path).await.status.as_u16(), 200, "{path}");
    }
    world.change(|settings| settings.options.network = network);
    world.restart().await;
    world.later(5000 * 86_400);
    world.up.clear_log();
    world
}

async fn serves_what_is_stored(world: &World) {
    for path in KEPT {
        let response = world.get(path).await;
        assert_eq!(response.status.as_u16(), 200, "{path}");
        assert_eq!(response.header("cache-status"), "nugate; hit", "{path}");
    }
    assert_eq!(
        world.get(CORE).await.body,
        world.nupkg("example.core", "1.0.0")
    );
    assert_eq!(world.up.requests(), 0, "{:#?}", world.up.log());
}

async fn refuses_what_is_not(world: &World) {
    for (path, status) in [
        ("flat/example.json/index.json", 404),
        ("registration-gz-semver2/example.json/index.json", 404),
        ("registration/example.json/1.2.0.json", 404),
        ("flat/example.json/1.2.0/example.json.1.2.0.nupkg", 504),
        ("query?q=other", 504),
    ] {
        let refused = world.get(path).await;
        assert_eq!(
            refused.status.as_u16(),
            status,
            "{path}: {}",
            refused.text()
        );
        let warning = refused.header("x-nuget-warning");
        assert!(warning.contains("offline"), "{path}: {warning}");
        assert!(refused.text().contains("offline"), "{path}");
    }
    assert_eq!(world.up.requests(), 0, "{:#?}", world.up.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_the_upstream_is_never_asked() {
    let world = aged(Network::Offline).await;
    serves_what_is_stored(&world).await;
    let insist = [("cache-control", "no-cache")];
    let insisted = world.get_with(CORE, &insist).await;
    assert_eq!(insisted.status.as_u16(), 200);
    refuses_what_is_not(&world).await;
    assert_eq!(
        world
            .head("flat/example.json/1.2.0/example.json.1.2.0.nupkg")
            .await
            .status,
        504
    );
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_with_an_empty_cache_everything_is_refused() {
    let mut world = World::demo().await;
    world.change(|settings| settings.options.network = Network::Offline);
    world.restart().await;
    refuses_what_is_not(&world).await;
    assert_eq!(world.get("index.json").await.status.as_u16(), 504);
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prefer_cache_asks_only_for_what_is_not_stored() {
    let world = aged(Network::PreferCache).await;
    serves_what_is_stored(&world).await;
    let list = "flat/example.json/index.json";
    assert!(stored(&world, list).await.text().contains("1.2.0"));
    assert_eq!(world.up.requests(), 1);
    world.later(5000 * 86_400);
    let kept = world.get(list).await;
    assert_eq!(kept.header("cache-status"), "nugate; hit");
    assert_eq!(world.up.requests(), 1);
    assert_eq!(world.get("flat/none/index.json").await.status.as_u16(), 404);
}
