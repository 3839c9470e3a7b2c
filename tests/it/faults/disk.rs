//! Disks that are full, read-only or gone. Needs root for a `tmpfs` of its own, and says so where it
//! is skipped.
//!
//! - whatever a full disk does not take is passed on: every byte arrives, and nothing is kept
//! - what is stored is served all the same
//! - nugate says that it is degraded, and stays ready
//! - whoever is slow, late or old gets every byte too
//! - a body that is cut never looks whole
//! - when there is space again everything is kept again, without a restart

use futures_util::future::join_all;
use nugate::demo::{ExampleFeed, Package};

use crate::lost::body_files;
use crate::raw;
use crate::support::disk::Disk;
use crate::support::{World, client, stored, until};

const LARGE: usize = 20_000_000;

const DOCUMENTS: &[&str] = &[
    "index.json",
    "flat/big0/index.json",
    "registration-gz-semver2/big0/index.json",
    "query?q=big",
    "flat/big0/1.0.0/big0.nuspec",
];

fn feed() -> ExampleFeed {
    let big = (0..4).map(|n| Package::new(format!("Big{n}"), "1.0.0").padded(LARGE));
    let small = Package::new("Small", "1.0.0").padded(100_000);
    ExampleFeed::new(big.chain([small])).unwrap()
}

/// A nugate whose cache is on a small disk of its own.
async fn world(options: &str) -> Option<(World, Disk)> {
    let mut world = World::new(feed()).await;
    world.stop().await;
    let disk = Disk::tmpfs(world.path(), options)?;
    world.start().await;
    Some((world, disk))
}

fn package(id: &str) -> String {
    let id = id.to_lowercase();
    format!("flat/{id}/1.0.0/{id}.1.0.0.nupkg")
}

async fn ready(world: &World) -> String {
    let response = client::get(world.addr, "/-/ready", &[]).await;
    assert_eq!(response.status.as_u16(), 200);
    response.text()
}

async fn in_order(world: &World) {
    until("it is in order again", async || {
        ready(world).await == "ready\n"
    })
    .await;
}

/// Everything at once, as often as asked, whole and right.
async fn restore(world: &World, times: usize) {
    let documents = DOCUMENTS.iter().map(|path| (*path).to_owned());
    let packages = (0..4).map(|n| package(&format!("Big{n}")));
    let paths: Vec<String> = documents.chain(packages).collect();
    let all = paths.iter().cycle().take(times * paths.len());
    let answers = join_all(all.map(async |path| (path, world.get(path).await))).await;
    for (path, answer) in answers {
        assert_eq!(answer.status.as_u16(), 200, "{path} {answer:?}");
        if path.ends_with(".nupkg") {
            let id = path.split('/').nth(1).unwrap();
            assert!(answer.body == world.nupkg(id, "1.0.0"), "{path}");
        }
    }
}

/// Nothing is kept, then the fault ends, and everything is kept again.
async fn recovers(world: &World, reason: &str, end: impl FnOnce()) {
    let told = ready(world).await;
    assert!(told.starts_with("degraded: "), "{told}");
    let series = format!("nugate_store_degraded{{reason=\"{reason}\"}}");
    assert_eq!(world.metric(&series).await, 1.0);
    let passed = world.get(&package("small")).await;
    assert_eq!(passed.header("cache-status"), "nugate; fwd=uri-miss");
    assert!(passed.body == world.nupkg("small", "1.0.0"));
    world.quiet().await;
    end();
    in_order(world).await;
    assert_eq!(world.metric("nugate_store_degraded").await, 0.0);
    let kept = stored(world, &package("small")).await;
    assert_eq!(kept.header("cache-status"), "nugate; fwd=uri-miss; stored");
    let again = world.get(&package("small")).await;
    assert_eq!(again.header("cache-status"), "nugate; hit");
    assert!(again.body == world.nupkg("small", "1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_fill_the_disk_all_arrive() {
    let Some((world, _disk)) = world("size=30m").await else {
        return;
    };
    restore(&world, 1).await;
    // What was stored meanwhile and what was not: all of it again.
    restore(&world, 2).await;
    world.quiet().await;
    in_order(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_space_passes_everything_on_and_recovers() {
    let Some((world, disk)) = world("size=40m").await else {
        return;
    };
    let before = stored(&world, &package("big0")).await;
    // What it arrived in takes as much again until the last reader has let go of it.
    until("the disk has it once", async || disk.used() < 30_000_000).await;
    disk.fill(0);
    restore(&world, 2).await;
    let hit = world.get(&package("big0")).await;
    assert_eq!(hit.header("cache-status"), "nugate; hit");
    assert!(hit.body == before.body);
    recovers(&world, "full", || disk.free()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_inodes_passes_everything_on_and_recovers() {
    let Some((world, disk)) = world("size=200m,nr_inodes=2000").await else {
        return;
    };
    stored(&world, "index.json").await;
    disk.take_inodes(0);
    restore(&world, 2).await;
    recovers(&world, "full", || disk.free()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_read_only_passes_everything_on_and_recovers() {
    let Some((world, disk)) = world("size=200m").await else {
        return;
    };
    stored(&world, &package("big0")).await;
    disk.forbid();
    restore(&world, 2).await;
    recovers(&world, "read-only", || disk.allow()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_vanishes_comes_back_by_itself() {
    let world = World::new(feed()).await;
    stored(&world, "index.json").await;
    std::fs::remove_dir_all(world.path().join("drafts-v1")).unwrap();
    let first = world.get(&package("big0")).await;
    assert!(first.body == world.nupkg("big0", "1.0.0"));
    in_order(&world).await;
    assert!(world.path().join("drafts-v1").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_gets_every_byte_and_nobody_waits_for_it() {
    let Some((world, disk)) = world("size=40m").await else {
        return;
    };
    stored(&world, "index.json").await;
    disk.fill(0);
    let (path, above) = (
        package("big0"),
        "/v3-flatcontainer/big0/1.0.0/big0.1.0.0.nupkg",
    );
    world.up.on(above).stall_after(200_000);
    let mut slow = client::open(world.addr, &format!("/v3/{path}"), &[]).await;
    assert!(!slow.next().await.unwrap().unwrap().is_empty());
    let fast = client::open(world.addr, &format!("/v3/{path}"), &[]).await;
    world.up.release();
    let body = world.nupkg("big0", "1.0.0");
    assert!(fast.rest().await.unwrap().body == body);
    assert_eq!(world.up.count(above), 1);
    let mut seen = Vec::new();
    while let Some(piece) = slow.next().await {
        seen.extend_from_slice(&piece.unwrap());
    }
    // Its first piece was read above.
    assert!(body.ends_with(&seen) && body.len() - seen.len() < 200_000);
    assert_eq!(world.up.count(above), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_late_for_what_is_passed_on_asks_for_itself() {
    let Some((world, disk)) = world("size=40m").await else {
        return;
    };
    stored(&world, "index.json").await;
    disk.fill(0);
    let (path, above) = (
        package("big0"),
        "/v3-flatcontainer/big0/1.0.0/big0.1.0.0.nupkg",
    );
    world.up.on(above).stall_after(5_000_000);
    let mut first = client::open(world.addr, &format!("/v3/{path}"), &[]).await;
    let mut read = 0;
    while read < 4_000_000 {
        read += first.next().await.unwrap().unwrap().len();
    }
    world.up.behave();
    let late = world.get(&path).await;
    assert!(late.body == world.nupkg("big0", "1.0.0"));
    assert_eq!(world.up.count(above), 2);
    world.up.release();
    assert_eq!(
        read + first.rest().await.unwrap().body.len(),
        late.body.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_http_1_0_get_every_byte() {
    let Some((world, disk)) = world("size=40m").await else {
        return;
    };
    stored(&world, "index.json").await;
    disk.fill(0);
    let request = format!(
        "GET /v3/{} HTTP/1.0\r\nHost: {}\r\n\r\n",
        package("big0"),
        world.addr
    );
    let answer = client::raw(world.addr, request.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200"));
    assert!(answer.ends_with(&world.nupkg("big0", "1.0.0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cut_upstream_is_never_passed_on_as_whole() {
    let Some((world, disk)) = world("size=40m").await else {
        return;
    };
    stored(&world, "index.json").await;
    disk.fill(0);
    let above = "/v3-flatcontainer/big0/1.0.0/big0.1.0.0.nupkg";
    let body = world.nupkg("big0", "1.0.0");
    // Of full length by its framing, without the end of the archive.
    world.up.on(above).reply(200, body.slice(..body.len() - 30));
    let path = format!("/v3/{}", package("big0"));
    assert!(client::try_get(world.addr, &path, &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn generic_routes_pass_everything_on() {
    let mut world = raw::world().await;
    world.stop().await;
    let Some(disk) = Disk::tmpfs(world.path(), "size=40m") else {
        return;
    };
    world.start().await;
    disk.fill(0);
    let body: Vec<u8> = (0..=250).cycle().take(LARGE).collect();
    let large = world.up.on("/files/large.bin").reply(200, body.clone());
    drop(large.header("cache-control", "max-age=100"));
    let path = "/raw/test/large.bin";
    let all = join_all((0..3).map(|_| client::get(world.addr, path, &[]))).await;
    for answer in all {
        assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.headers);
        assert!(answer.body == body);
        assert!(!answer.header("cache-status").contains("stored"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_body_that_cannot_be_read_is_fetched_anew() {
    let world = World::new(feed()).await;
    let path = package("small");
    world.hit(&path).await;
    let files = body_files(world.path());
    let large = files
        .iter()
        .find(|file| file.metadata().unwrap().len() > 100_000);
    // It is open: to its readers this is a disk that fails in the middle.
    let file = std::fs::File::options()
        .write(true)
        .open(large.unwrap())
        .unwrap();
    file.set_len(50_000).unwrap();
    let cut = client::try_get(world.addr, &format!("/v3/{path}"), &[]).await;
    assert!(cut.is_err());
    let healed = stored(&world, &path).await;
    assert!(healed.body == world.nupkg("small", "1.0.0"));
    assert_eq!(
        healed.header("cache-status"),
        "nugate; fwd=uri-miss; stored"
    );
    let again = world.get(&path).await;
    assert_eq!(again.header("cache-status"), "nugate; hit");
    assert!(again.body == healed.body);
}
