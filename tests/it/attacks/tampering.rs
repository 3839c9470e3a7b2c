//! Other users of the machine, and who can write below the cache.
//!
//! - folders of the cache are for their owner alone
//! - a link in the place of a body is not followed, and heals like any damage
//! - a small body with other bytes is not served
//! - bytes that the feed changes do not replace those it sent first

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nugate::demo::{ExampleFeed, Package};

use crate::support::World;

const SMALL: &str = "flat/example.small/1.0.0/example.small.1.0.0.nupkg";
const LARGE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";

async fn world() -> World {
    let small = Package::new("Example.Small", "1.0.0");
    let large = Package::new("Example.Large", "1.0.0").padded(300_000);
    World::new(ExampleFeed::new([small, large]).unwrap()).await
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for file in folder.read_dir().unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        }
        found.push(path);
    }
}

/// The file of the body with these bytes.
fn body_file(world: &World, bytes: &[u8]) -> PathBuf {
    let mut found = Vec::new();
    walk(&world.path().join("bodies-v1"), &mut found);
    let mut files = found.into_iter().filter(|path| path.is_file());
    files
        .find(|path| fs::read(path).unwrap() == bytes)
        .expect("it is stored")
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_the_cache_are_for_their_owner_alone() {
    let mut world = world().await;
    world.hit(LARGE).await;
    world.stop().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    for folder in ["bodies-v1", "drafts-v1"] {
        assert_eq!(mode(&world.path().join(folder)), 0o700, "{folder}");
    }
    let mut found = Vec::new();
    walk(world.path(), &mut found);
    for path in found {
        assert_eq!(
            mode(&path) & 0o022,
            0,
            "{} can be written by others",
            path.display()
        );
    }
    // One that nugate makes itself, whole.
    let root = world.path().join("made/by/nugate");
    let metrics = nugate::observe::Metrics::new().unwrap();
    let store = nugate::store::StoreOptions {
        dir: root.clone(),
        memory: 1 << 20,
        open_files: 4,
        quota: nugate::store::Quota::NONE,
        clock: world.clock.clone(),
        evictions: metrics.evictions.with_label_values(&["entries"]),
        damaged: metrics.damaged_bodies.clone(),
        unsynced: metrics.unsynced_bodies.clone(),
    };
    let store = nugate::store::Store::open(store).await.unwrap();
    assert_eq!(mode(&root), 0o700);
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_a_body_is_not_followed() {
    for (path, id) in [(SMALL, "example.small"), (LARGE, "example.large")] {
        let mut world = world().await;
        let package = world.nupkg(id, "1.0.0");
        world.hit(path).await;
        let file = body_file(&world, &package);
        // As long as the body: its length says nothing.
        let elsewhere = world.path().join("elsewhere");
        fs::write(&elsewhere, vec![b's'; package.len()]).unwrap();
        fs::remove_file(&file).unwrap();
        symlink(&elsewhere, &file).unwrap();
        world.restart().await;
        let response = world.get(path).await;
        assert!(response.status != 200 || response.body == package, "{path}");
        assert!(world.hit(path).await.body == package, "{path}");
        world.quiet().await;
        // What the link led to is as it was; what it hid is a file again.
        assert_eq!(
            fs::read(&elsewhere).unwrap(),
            vec![b's'; package.len()],
            "{path}"
        );
        assert!(fs::symlink_metadata(&file).unwrap().is_file(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_body_with_other_bytes_is_not_served() {
    let mut world = world().await;
    let package = world.nupkg("example.small", "1.0.0");
    assert!(package.len() < 16 * 1024, "it is small");
    world.hit(SMALL).await;
    let file = body_file(&world, &package);
    let mut bytes = package.to_vec();
    bytes[40] ^= 1;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, &bytes).unwrap();
    world.restart().await;
    for _ in 0..3 {
        assert!(world.get(SMALL).await.body == package);
        world.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_the_feed_changes_stays_as_it_was() {
    let world = world().await;
    for (path, id) in [(SMALL, "example.small"), (LARGE, "example.large")] {
        let package = world.nupkg(id, "1.0.0");
        world.hit(path).await;
        let other = Package::new(id, "1.0.0").padded(200_000);
        let other = ExampleFeed::new([other])
            .unwrap()
            .nupkg(id, "1.0.0")
            .unwrap();
        assert!(other != package);
        let above = format!("/v3-flatcontainer/{id}/1.0.0/{id}.1.0.0.nupkg");
        drop(world.up.on(&above).reply(200, other));
        for _ in 0..2 {
            let afresh = world.get_with(path, &[("cache-control", "no-cache")]).await;
            assert!(afresh.body == package, "{path}");
            world.quiet().await;
            assert!(world.get(path).await.body == package, "{path}");
        }
        assert!(world.up.count(&above) >= 2, "{path}: it was asked");
    }
    assert!(world.metric("nugate_changed_bodies_total").await >= 2.0);
}
