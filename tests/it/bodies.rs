//! Which bodies are believed.
//!
//! - a package without a length is served and kept when it is whole, and never when it is cut
//! - a package with a damaged byte reaches no client complete
//! - a manifest whose end nobody tells is kept only when it is whole; an icon is passed on, not kept
//! - the same damaged package a second time is what the upstream has: served, never kept

use bytes::Bytes;
use nugate::demo::{ExampleFeed, Package};

use crate::support::client::try_get;
use crate::support::script::On;
use crate::support::{World, stored};

/// Longer than what is held back until a body is verified, and shorter.
const SIZES: [usize; 2] = [400_000, 10_000];
const BIG: &str = "flat/example.big/1.0.0/example.big.1.0.0.nupkg";
const BIG_ABOVE: &str = "/v3-flatcontainer/example.big/1.0.0/example.big.1.0.0.nupkg";

async fn world(bytes: usize) -> (World, Bytes) {
    let big = Package::new("Example.Big", "1.0.0").padded(bytes);
    let world = World::new(ExampleFeed::new([big]).unwrap()).await;
    stored(&world, "index.json").await;
    let package = world.nupkg("example.big", "1.0.0");
    (world, package)
}

/// One request that must not end in a complete body.
pub async fn check_refused(world: &World, what: &str) {
    if let Ok(response) = try_get(world.addr, &format!("/v3/{BIG}"), &[]).await {
        assert_eq!(response.status.as_u16(), 502, "{what}");
    }
    world.quiet().await;
    let entries = world.metric("nugate_store_entries").await;
    assert!((entries - 1.0).abs() < 0.1, "{what}: kept");
}

/// After `behave` the package comes whole and is kept.
async fn check_heals(world: &World, package: &Bytes, what: &str) {
    world.up.behave();
    world.up.clear_log();
    assert!(stored(world, BIG).await.body == *package, "{what}");
    assert_eq!(world.up.count(BIG_ABOVE), 1, "{what}");
    let kept = world.get(BIG).await;
    assert_eq!(kept.header("cache-status"), "nugate; hit", "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_without_a_length_counts_when_it_is_whole() {
    let framings: [fn(On) -> On; 2] = [On::no_length, On::close_delimited];
    for size in SIZES {
        for (number, framing) in framings.into_iter().enumerate() {
            let what = format!("{size} {number}");
            let (world, package) = world(size).await;
            drop(framing(world.up.on(BIG_ABOVE)));
            assert!(stored(&world, BIG).await.body == package, "{what}");
            let kept = world.get(BIG).await;
            assert_eq!(kept.header("cache-status"), "nugate; hit", "{what}");
            assert_eq!(kept.header("content-length"), package.len().to_string());
            assert!(kept.body == package, "{what}");
            assert_eq!(world.up.count(BIG_ABOVE), 1, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_without_a_length_and_end_is_refused() {
    for size in SIZES {
        for missing in [1, size / 2] {
            let what = format!("{size} {missing}");
            let (world, package) = world(size).await;
            let script = world.up.on(BIG_ABOVE).close_delimited();
            drop(script.cut_after(package.len() - missing));
            check_refused(&world, &what).await;
            check_heals(&world, &package, &what).await;
        }
    }
}

/// The package with one bit of its file data changed, its length the same.
fn damaged(package: &Bytes) -> Vec<u8> {
    let mut bytes = package.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_package_reaches_no_client() {
    for size in SIZES {
        let (world, package) = world(size).await;
        let wrong = damaged(&package);
        world.up.on(BIG_ABOVE).reply(200, wrong);
        check_refused(&world, "damaged").await;
        check_heals(&world, &package, "damaged").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_sends_twice_is_served_and_not_kept() {
    for size in SIZES {
        let (world, package) = world(size).await;
        let wrong = damaged(&package);
        world.up.on(BIG_ABOVE).reply(200, wrong.clone());
        check_refused(&world, "first").await;
        for _ in 0..2 {
            let served = stored(&world, BIG).await;
            assert_eq!(served.status.as_u16(), 200);
            assert!(served.body == wrong);
            let entries = world.metric("nugate_store_entries").await;
            assert!((entries - 1.0).abs() < 0.1, "kept");
        }
        assert_eq!(world.up.count(BIG_ABOVE), 3);
        check_heals(&world, &package, "mended").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_say_where_it_ends_must_end_by_itself() {
    let world = World::demo().await;
    let above = "/v3-flatcontainer/example.json/1.2.0";
    let nuspec = "flat/example.json/1.2.0/example.json.nuspec";
    let manifest = format!("{above}/example.json.nuspec");
    let cut = "<?xml version=\"1.0\"?><package><metadata><id>Exam";
    world.up.on(&manifest).reply(200, cut).close_delimited();
    assert_eq!(world.get(nuspec).await.status.as_u16(), 502);
    world.up.behave();
    drop(world.up.on(&manifest).close_delimited());
    assert_eq!(stored(&world, nuspec).await.status.as_u16(), 200);
    assert_eq!(
        world.get(nuspec).await.header("cache-status"),
        "nugate; hit"
    );

    let (icon, image) = ("flat/example.json/1.2.0/icon", format!("{above}/icon"));
    drop(world.up.on(&image).close_delimited());
    for _ in 0..2 {
        assert_eq!(stored(&world, icon).await.status.as_u16(), 200);
    }
    assert_eq!(world.up.count(&image), 2);
}
