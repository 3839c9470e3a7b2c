//! How much is kept.
//!
//! - what was not used for longest makes room for what is new, and is fetched again when asked for
//! - answers to searches make room among themselves
//! - what is kept on disk is what is counted

use nugate::demo::{ExampleFeed, Package};

use crate::lost::body_files;
use crate::support::{World, stored, until};

const PACKAGES: usize = 12;

async fn world(size_max: u64, queries_max: u64) -> World {
    let packages = (0..PACKAGES).map(|n| Package::new(format!("P{n}"), "1.0.0").padded(100_000));
    World::with(ExampleFeed::new(packages).unwrap(), |settings| {
        settings.quota.size_max = size_max;
        settings.quota.queries_max = queries_max;
    })
    .await
}

fn path(number: usize) -> String {
    format!("flat/p{number}/1.0.0/p{number}.1.0.0.nupkg")
}

fn on_disk(world: &World) -> u64 {
    let files = body_files(world.path());
    files.iter().map(|it| it.metadata().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_not_used_for_longest_make_room() {
    let world = world(500_000, 100_000).await;
    stored(&world, &path(0)).await;
    for number in 1..PACKAGES {
        world.later(3600);
        stored(&world, &path(number)).await;
        // Used again and again, the first one stays.
        let first = world.get(&path(0)).await;
        assert_eq!(first.header("cache-status"), "nugate; hit", "{number}");
    }
    until("there is room, and no more than need be", async || {
        let bytes = world.metric("nugate_store_bytes").await;
        on_disk(&world) <= 500_000 && bytes <= 500_000.0 && bytes > 300_000.0
    })
    .await;
    assert!(
        world
            .metric("nugate_evictions_total{tier=\"entries\"}")
            .await
            > 6.0
    );
    let again = world.get(&path(1)).await;
    assert_eq!(again.header("cache-status"), "nugate; fwd=uri-miss; stored");
    assert!(again.body == world.nupkg("p1", "1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_push_no_package_out() {
    let world = world(10_000_000, 20_000).await;
    stored(&world, &path(0)).await;
    for number in 0..200 {
        stored(&world, &format!("query?q=p&take={number}")).await;
    }
    assert!(
        world
            .metric("nugate_evictions_total{tier=\"entries\"}")
            .await
            > 10.0
    );
    let package = world.get(&path(0)).await;
    assert_eq!(package.header("cache-status"), "nugate; hit");
}
