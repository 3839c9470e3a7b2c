//! Answers that are given again from memory: nobody sees that they are.
//!
//! - whatever is asked after whatever happened, the answer is the one that walking the request through
//!   gives: status, headers and body, for GET and HEAD, with conditions, over HTTP/1.0, 1.1 and 2
//! - the counters that tell of requests are the same, the log line is written
//! - who may not ask is told so, however often others have asked
//! - a body that was harmed, an entry that was removed, another host end what is remembered
//! - failures, what is stale and what several feeds answer are never remembered

mod alike;

use nugate::config::AccessMode;
use nugate::demo::{ExampleFeed, Package};
use nugate::entry::Digest;

use crate::lost::body_files;
use crate::support::client::{self, Response};
use crate::support::group::feed as feed_of;
use crate::support::world::Settings;
use crate::support::{GroupWorld, World, get, until};

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const LARGE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";
const LIST: &str = "flat/example.core/index.json";
const REGISTRATION: &str = "registration-gz-semver2/example.core/index.json";
/// A long document.
const MANY: &str = "registration-gz-semver2/example.many/index.json";

/// One of each way of being kept and shown.
const PATHS: &[&str] = &[
    CORE,
    LARGE,
    LIST,
    REGISTRATION,
    MANY,
    "flat/example.core/1.0.0/example.core.nuspec",
    "query?q=example&take=5",
    "vulnerabilities/index.json",
    "index.json",
];

fn feed() -> ExampleFeed {
    let mut feed = ExampleFeed::demo();
    feed.add(Package::new("Example.Large", "1.0.0").padded(700_000))
        .unwrap();
    for number in 0..60 {
        let version = format!("1.{number}.0");
        feed.add(Package::new("Example.Many", version)).unwrap();
    }
    feed
}

fn one_host(settings: &mut Settings) {
    settings.bases.allowed_hosts = vec!["one.test".to_owned(), "two.test".to_owned()];
    settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

async fn remembered(world: &World) -> f64 {
    world.metric("nugate_hot_answers_total").await
}

fn float(count: usize) -> f64 {
    u32::try_from(count).unwrap().into()
}

async fn saved(world: &World) -> f64 {
    world.metric("nugate_saved_bytes_total").await
}

/// Asks until an answer is one that was remembered, and gives that.
async fn until_remembered(world: &World, path: &str) -> Response {
    let before = remembered(world).await;
    let mut last = None;
    until("it is remembered", async || {
        last = Some(world.get(path).await);
        remembered(world).await > before
    })
    .await;
    last.unwrap()
}

/// Twelve packages and room for less than half of them; the first is remembered.
async fn crowded() -> World {
    let packages = (0..12).map(|n| Package::new(format!("P{n}"), "1.0.0").padded(100_000));
    let world = World::with(ExampleFeed::new(packages).unwrap(), |settings| {
        settings.quota.size_max = 500_000;
    })
    .await;
    until_remembered(&world, &crowd(0)).await;
    world
}

fn crowd(number: usize) -> String {
    format!("flat/p{number}/1.0.0/p{number}.1.0.0.nupkg")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_made_room_is_not_given_again() {
    let world = crowded().await;
    for number in 1..12 {
        world.later(3600);
        world.get(&crowd(number)).await;
        world.quiet().await;
    }
    until("it has made room", async || {
        world
            .metric("nugate_evictions_total{tier=\"entries\"}")
            .await
            > 6.0
    })
    .await;
    let again = world.get(&crowd(0)).await;
    assert_eq!(again.header("cache-status"), "nugate; fwd=uri-miss; stored");
    assert!(again.body == world.nupkg("p0", "1.0.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_again_is_used() {
    let world = crowded().await;
    for number in 1..12 {
        world.later(3600);
        world.get(&crowd(number)).await;
        world.quiet().await;
        let (before, bytes) = (remembered(&world).await, saved(&world).await);
        let length = float(world.get(&crowd(0)).await.body.len());
        assert_eq!(remembered(&world).await, before + 1.0, "{number}");
        assert_eq!(saved(&world).await, bytes + length, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmed_body_is_not_given_again() {
    let world = World::with(feed(), one_host).await;
    for path in [LARGE, CORE] {
        let right = until_remembered(&world, path).await.body;
        for file in body_files(world.path()) {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            std::fs::write(&file, bytes).unwrap();
            let file = std::fs::File::options().write(true).open(&file).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        }
        world.later(2);
        // What is in memory is good; a file is looked at now and then.
        for _ in 0..3 {
            assert!(world.get(path).await.body == right, "{path}");
            world.quiet().await;
        }
    }
    assert!(world.metric("nugate_damaged_bodies_total").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_one_host_is_not_for_another() {
    let world = World::with(feed(), one_host).await;
    for host in ["one.test", "two.test"] {
        for _ in 0..3 {
            let answer = world.hit_with(REGISTRATION, &[("host", host)]).await;
            let plain = world.get_with(REGISTRATION, &[("host", host)]).await;
            assert_eq!(plain.body, answer.body);
            assert!(plain.text().contains(&format!("http://{host}/v3/")));
        }
    }
    assert!(remembered(&world).await > 1.0);
    let foreign = world.get_with(REGISTRATION, &[("host", "evil.test")]).await;
    assert_eq!(foreign.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_fresh_documents_are_remembered() {
    let world = World::with(feed(), |settings| settings.options.v2 = true).await;
    let never = [
        "flat/no.such.id/index.json",
        "flat/no.such.id/1.0.0/no.such.id.1.0.0.nupkg",
        "nonsense",
        "../metrics",
        "../-/health",
        "../api/v2/package/example.core/1.0.0",
        "../api/v2/package/example.core",
        "../api/v2/FindPackagesById()?id='example.core'",
    ];
    for path in never {
        let path = path.replace("../", "/");
        let target = if path.starts_with('/') {
            path
        } else {
            format!("/v3/{path}")
        };
        for _ in 0..4 {
            get(world.addr, &target, &[]).await;
            world.quiet().await;
        }
    }
    assert_eq!(remembered(&world).await, 0.0);
    until_remembered(&world, LIST).await;
    world.later(120);
    let before = remembered(&world).await;
    let stale = world.get(LIST).await;
    assert_eq!(
        stale.header("cache-status"),
        "nugate; hit; detail=stale-while-revalidate"
    );
    assert_eq!(remembered(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_is_not_answered_from_memory() {
    let digest = hex::encode(Digest::of(b"key-of-mirror").as_bytes());
    let line = format!("mirror:read:{digest}");
    let world = World::with(feed(), |settings| {
        settings.access.mode = AccessMode::Required;
        settings.access.keys = vec![line.parse().unwrap()];
    })
    .await;
    let may = [("x-nuget-apikey", "key-of-mirror")];
    for path in PATHS {
        for _ in 0..4 {
            assert_eq!(world.get_with(path, &may).await.status, 200, "{path}");
            world.quiet().await;
        }
        let wrong = ("authorization", "Bearer wrong");
        for headers in [&[][..], &[("x-nuget-apikey", "x")], &[wrong]] {
            let refused = world.get_with(path, headers).await;
            assert_eq!(refused.status, 401, "{path} {headers:?}");
        }
    }
    let path = format!("/v3/{CORE}");
    assert_eq!(client::head(world.addr, &path, &[]).await.status, 401);
    let metrics = get(world.addr, "/metrics", &may).await.text();
    let value = |name: &str| {
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    assert!(value("nugate_hot_answers_total ") >= 2 * PATHS.len());
    let known = value("nugate_access_total{outcome=\"known\"} ");
    assert_eq!(known, 4 * PATHS.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_several_feeds_answer_is_not_remembered() {
    let second = feed_of("second", &[("Only", "1.0.0")], &[]);
    let owner = feed_of("owner", &[("Owned.Id", "1.0.0")], &["Owned.*"]);
    let world = GroupWorld::first(vec![feed_of("first", &[], &[]), second, owner]).await;
    let hot = async || {
        let text = get(world.addr, "/metrics", &[]).await.text();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("nugate_hot_answers_total "));
        value.unwrap().parse::<u64>().unwrap()
    };
    for id in ["only", "owned.id"] {
        for path in [
            format!("flat/{id}/index.json"),
            format!("flat/{id}/1.0.0/{id}.1.0.0.nupkg"),
            format!("registration/{id}/index.json"),
        ] {
            until("it is stored", async || {
                world.get(&path).await.header("cache-status") == "nugate; hit"
            })
            .await;
            for _ in 0..3 {
                let again = world.get(&path).await;
                assert_eq!(again.header("cache-status"), "nugate; hit", "{path}");
            }
        }
    }
    assert_eq!(hot().await, 0);
    // One feed alone is another matter.
    let alone = "/feeds/second/v3/flat/only/index.json";
    for _ in 0..4 {
        assert_eq!(get(world.addr, alone, &[]).await.status, 200);
    }
    assert!(hot().await > 0);
}
