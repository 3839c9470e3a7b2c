//! Stored packages that were harmed: nobody ever gets a complete wrong one.
//!
//! - whatever byte of whatever body was changed while nugate was off, clients get the right bytes in
//!   the same request
//! - of a package too large to be read before its head, the connection ends early, once
//! - a package that is written to while it is hot is looked at again and healed
//! - ranges, HEAD and HTTP/2 are no way around it
//! - other bytes of the feed for a known version are counted, and the first stay

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::SystemTime;

use nugate::demo::{ExampleFeed, Package};

use crate::lost::body_files;
use crate::support::{World, client, stored};

const HUGE: &str = "flat/example.huge/1.0.0/example.huge.1.0.0.nupkg";
const LARGE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";

const PATHS: &[&str] = &[
    "flat/example.core/index.json",
    "flat/example.core/1.0.0/example.core.1.0.0.nupkg",
    "registration-gz-semver2/example.core/index.json",
    LARGE,
];

async fn world() -> World {
    let mut feed = ExampleFeed::demo();
    feed.add(Package::new("Example.Large", "1.0.0").padded(700_000))
        .unwrap();
    feed.add(Package::new("Example.Huge", "1.0.0").padded(6_000_000))
        .unwrap();
    World::with(feed, |settings| {
        // Links stay the same whatever the port after a restart.
        settings.bases.public_url = Some("http://cache.test".parse().unwrap());
    })
    .await
}

/// Writes to a file so that it looks as before.
fn unseen(path: &Path, harm: impl FnOnce(&File, u64)) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let metadata = file.metadata().unwrap();
    harm(&file, metadata.len());
    file.set_modified(metadata.modified().unwrap()).unwrap();
}

fn flip(path: &Path, place: impl FnOnce(u64) -> u64) {
    unseen(path, |file, length| {
        let (mut byte, at) = ([0], place(length));
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    });
}

/// The file of the largest stored body.
fn largest(world: &World) -> std::path::PathBuf {
    let files = body_files(world.path()).into_iter();
    files
        .max_by_key(|file| fs::metadata(file).unwrap().len())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_done_while_nugate_was_off_is_healed_within_the_request() {
    let harms: [fn(&Path); 6] = [
        |file| flip(file, |_| 0),
        |file| flip(file, |length| length / 2),
        |file| flip(file, |length| length - 1),
        |file| flip(file, |length| 7_919 % length),
        |file| unseen(file, |file, _| file.set_len(0).unwrap()),
        |file| unseen(file, |file, length| file.set_len(length - 1).unwrap()),
    ];
    let mut world = world().await;
    let mut first = Vec::new();
    for path in PATHS {
        first.push(stored(&world, path).await.body);
    }
    for harm in harms {
        world.stop().await;
        for file in body_files(world.path()) {
            harm(&file);
        }
        world.start().await;
        for (path, right) in PATHS.iter().zip(&first) {
            let answer = stored(&world, path).await;
            assert_eq!(answer.status, 200, "{path}");
            let text = (&answer.headers, answer.body.len(), right.len());
            assert!(answer.body == *right, "{path} {text:?}");
        }
        assert!(world.metric("nugate_damaged_bodies_total").await >= 4.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_damaged_package_is_cut_before_its_end_and_healed_by_the_next_request() {
    let target = format!("/v3/{HUGE}");
    for range in [
        None,
        Some(("range", "bytes=0-99")),
        Some(("range", "bytes=1000-")),
    ] {
        let mut world = world().await;
        let right = stored(&world, HUGE).await.body;
        world.stop().await;
        flip(&largest(&world), |length| length / 2);
        world.start().await;
        let headers: Vec<_> = range.into_iter().collect();
        assert!(
            client::try_get(world.addr, &target, &headers)
                .await
                .is_err()
        );
        let healed = stored(&world, HUGE).await;
        assert!(healed.status == 200 && healed.body == right);
        assert_eq!(world.metric("nugate_damaged_bodies_total").await, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_huge_package_that_is_right_is_served_in_every_way() {
    let mut world = world().await;
    let right = stored(&world, HUGE).await.body;
    let target = format!("/v3/{HUGE}");
    world.restart().await;
    let part = world
        .get_with(HUGE, &[("range", "bytes=5999000-5999999")])
        .await;
    assert!(part.status == 206 && part.body == right[5_999_000..6_000_000]);
    world.restart().await;
    let length = right.len().to_string();
    assert_eq!(world.head(HUGE).await.header("content-length"), length);
    world.restart().await;
    let answer = client::get_h2(world.addr, &target, &[]).await;
    assert!(answer.status == 200 && answer.body == right);
    assert_eq!(world.get(HUGE).await.header("cache-status"), "nugate; hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_written_to_while_it_is_hot_is_healed() {
    let world = world().await;
    let right = stored(&world, LARGE).await.body;
    for round in 0..3 {
        assert!(world.hit(LARGE).await.body == right);
        let path = largest(&world);
        flip(&path, |length| length / 3);
        let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(round);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(later)
            .unwrap();
        world.later(1);
        let answer = stored(&world, LARGE).await;
        assert!(answer.status == 200 && answer.body == right, "{round}");
    }
    assert_eq!(world.metric("nugate_damaged_bodies_total").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_for_a_known_version_are_counted_and_the_first_stay() {
    let world = world().await;
    let right = stored(&world, LARGE).await.body;
    let other = world.nupkg("example.huge", "1.0.0");
    let path = "/v3-flatcontainer/example.large/1.0.0/example.large.1.0.0.nupkg";
    world
        .up
        .on(path)
        .reply(200, other)
        .header("etag", "\"other\"");
    let answer = world
        .get_with(LARGE, &[("cache-control", "no-cache")])
        .await;
    assert!(answer.body == right);
    world.quiet().await;
    assert_eq!(world.metric("nugate_changed_bodies_total").await, 1.0);
    assert!(world.hit(LARGE).await.body == right);
}
