//! Downloads that break off upstream.
//!
//! - a body that is cut, reset or stalls is continued on another connection; clients see one body
//! - the rest is asked for only with a strong validator; else a second copy is compared
//! - bytes of another representation never continue a body
//! - what was given up, or could not be continued, is taken up by whoever asks next
//! - of a thousand downloads from an upstream that resets three in ten, all are whole

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use nugate::demo::{ExampleFeed, Package};

use crate::bodies::check_refused;
use crate::support::client::{open, try_get};
use crate::support::script::On;
use crate::support::upstream::Seen;
use crate::support::{World, stored, until};

const BIG: &str = "flat/example.big/1.0.0/example.big.1.0.0.nupkg";
const BIG_ABOVE: &str = "/v3-flatcontainer/example.big/1.0.0/example.big.1.0.0.nupkg";
/// Longer than what is held back until a body is verified, and shorter.
const SIZES: [usize; 2] = [400_000, 30_000];

async fn world(bytes: usize) -> (World, Bytes) {
    let big = Package::new("Example.Big", "1.0.0").padded(bytes);
    let feed = ExampleFeed::new([big]).unwrap();
    let world = World::with(feed, |settings| {
        settings.feed.idle_timeout = Duration::from_millis(300);
    })
    .await;
    stored(&world, "index.json").await;
    let package = world.nupkg("example.big", "1.0.0");
    world.up.clear_log();
    (world, package)
}

async fn resumes(world: &World, outcome: &str) -> f64 {
    let series = format!("nugate_resumes_total{{outcome=\"{outcome}\"}}");
    world.metric(&series).await
}

fn asked(world: &World) -> Vec<Seen> {
    let log = world.up.log();
    log.into_iter()
        .filter(|seen| seen.path() == BIG_ABOVE)
        .collect()
}

/// The package comes whole and is kept, and resumed as said.
async fn check_whole(world: &World, package: &Bytes, outcome: &str, what: &str) {
    let got = stored(world, BIG).await;
    assert_eq!(got.status, 200, "{what}");
    assert!(got.body == *package, "{what}");
    assert!(resumes(world, outcome).await > 0.5, "{what}: {outcome}");
    let requests = world.up.count(BIG_ABOVE);
    let kept = world.get(BIG).await;
    assert_eq!(kept.header("cache-status"), "nugate; hit", "{what}");
    if !got.header("etag").is_empty() {
        assert_eq!(kept.header("etag"), got.header("etag"), "{what}");
    }
    assert!(kept.body == *package, "{what}");
    assert_eq!(world.up.count(BIG_ABOVE), requests, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_continued_unseen() {
    type Break = fn(On, usize) -> On;
    let breaks: [(&str, Break); 4] = [
        ("cut", |on, at| on.cut_after(at)),
        ("reset", |on, at| on.reset_after(at)),
        ("stall", |on, at| on.stall_after(at)),
        ("chunked", |on, at| on.no_length().cut_after(at)),
    ];
    for size in SIZES {
        for (name, how) in breaks {
            let what = format!("{name} {size}");
            let (world, package) = world(size).await;
            drop(how(world.up.on(BIG_ABOVE), size * 3 / 4).times(1));
            check_whole(&world, &package, "continued", &what).await;
            let seen = asked(&world);
            assert_eq!(seen.len(), 2, "{what}");
            assert_eq!(seen[0].header("range"), "", "{what}");
            let from: usize = seen[1]
                .header("range")
                .strip_prefix("bytes=")
                .and_then(|range| range.strip_suffix('-')?.parse().ok())
                .unwrap();
            assert!(from > 0 && from <= size * 3 / 4, "{what}: {from}");
            assert!(seen[1].header("if-range").starts_with('"'), "{what}");
            assert_eq!(seen[1].header("if-none-match"), "", "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_again_and_again_is_continued() {
    let (world, package) = world(4 << 20).await;
    drop(world.up.on(BIG_ABOVE).reset_midway().times(6));
    check_whole(&world, &package, "continued", "six times").await;
    assert_eq!(world.up.count(BIG_ABOVE), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ranges_a_second_copy_is_compared() {
    for size in SIZES {
        // The server ignores the range; the tag is weak; there is none; it is another one.
        type Tag = fn(On, &Bytes) -> On;
        let tags: [(&str, Tag); 4] = [
            ("\"a\"", |on, package| {
                on.reply(200, package.clone()).header("etag", "\"a\"")
            }),
            ("W/\"a\"", |on, _| on.header("etag", "W/\"a\"")),
            ("", |on, package| on.reply(200, package.clone())),
            ("\"b\"", |on, _| on.header("etag", "\"b\"")),
        ];
        for (tag, how) in tags {
            let what = format!("{tag} {size}");
            let (world, package) = world(size).await;
            drop(
                how(world.up.on(BIG_ABOVE), &package)
                    .cut_after(size / 2)
                    .times(1),
            );
            if tag == "\"a\"" {
                drop(how(world.up.on(BIG_ABOVE), &package).times(1));
            }
            check_whole(&world, &package, "compared", &what).await;
            let seen = asked(&world);
            assert_eq!(seen.len(), 2, "{what}");
            let strong = tag.starts_with('"');
            assert_eq!(
                seen[1].header("if-range"),
                if strong { tag } else { "" },
                "{what}"
            );
            assert_eq!(seen[1].headers.contains_key("range"), strong, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_not_asked_for_continues_nothing() {
    let bad = ["bytes 5-9/10", "bytes 0-9/10", "bytes */10", "x"];
    for range in bad {
        let (world, package) = world(400_000).await;
        drop(world.up.on(BIG_ABOVE).cut_after(300_000).times(1));
        let part = world.up.on(BIG_ABOVE).reply(206, "wrong");
        drop(part.header("content-range", range).times(1));
        check_whole(&world, &package, "compared", range).await;
        assert_eq!(world.up.count(BIG_ABOVE), 3, "{range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_has_something_else_now_ends_the_body() {
    let (world, package) = world(400_000).await;
    let mut other = package.to_vec();
    other[1000] ^= 1;
    drop(world.up.on(BIG_ABOVE).cut_after(300_000).times(1));
    drop(
        world
            .up
            .on(BIG_ABOVE)
            .reply(200, other)
            .header("etag", "\"b\"")
            .times(1),
    );
    check_refused(&world, "changed").await;
    assert!(resumes(&world, "changed").await > 0.5);
    assert!(stored(&world, BIG).await.body == package);
    assert_eq!(world.up.count(BIG_ABOVE), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_seen_is_simply_fetched_again() {
    let (world, package) = world(30_000).await;
    drop(
        world
            .up
            .on(BIG_ABOVE)
            .reply(200, vec![b'x'; 40_000])
            .cut_after(20_000)
            .times(1),
    );
    assert!(stored(&world, BIG).await.body == package);
    assert!(resumes(&world, "changed").await > 0.5);
    let seen = asked(&world);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].header("cache-control"), "no-cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_will_not_continue_ends_the_body() {
    for status in [404, 416, 403] {
        let (world, package) = world(400_000).await;
        drop(world.up.on(BIG_ABOVE).cut_after(300_000).times(1));
        drop(world.up.on(BIG_ABOVE).reply(status, "no").times(1));
        check_refused(&world, &status.to_string()).await;
        assert!(resumes(&world, "refused").await > 0.5, "{status}");
        assert!(stored(&world, BIG).await.body == package, "{status}");
        assert_eq!(world.up.count(BIG_ABOVE), 3, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_continued_is_taken_up_by_the_next_request() {
    let (world, package) = world(400_000).await;
    drop(world.up.on(BIG_ABOVE).cut_after(300_000).times(1));
    drop(world.up.on(BIG_ABOVE).reply(503, "").times(3));
    check_refused(&world, "down").await;
    assert!(resumes(&world, "failed").await > 0.5);
    check_whole(&world, &package, "taken-up", "again").await;
    let seen = asked(&world);
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[4].header("range"), "bytes=300000-");
}

/// A package that its only client left when a little of it was there.
async fn left_early() -> (World, Bytes) {
    let (world, package) = world(4 << 20).await;
    let script = world.up.on(BIG_ABOVE).stall_after(400_000);
    drop(script.chunks(16 * 1024, Duration::from_millis(5)).times(1));
    let mut client = open(world.addr, &format!("/v3/{BIG}"), &[]).await;
    let mut read = 0;
    while read < 200_000 {
        read += client.next().await.unwrap().unwrap().len();
    }
    drop(client);
    until("nugate knows that nobody is left", async || {
        (world.metric("nugate_connections").await - 1.0).abs() < 0.1
    })
    .await;
    world.up.release();
    until("the fill is given up", async || {
        let series = r#"nugate_fills_total{outcome="abandoned"}"#;
        world.metric(series).await > 0.5
    })
    .await;
    world.quiet().await;
    (world, package)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_everyone_left_is_taken_up_by_the_next_request() {
    let (world, package) = left_early().await;
    check_whole(&world, &package, "taken-up", "left").await;
    let seen = asked(&world);
    assert_eq!(seen.len(), 2);
    assert!(seen[1].header("range").starts_with("bytes="));
    assert!(!seen[1].header("if-range").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_something_else_is_forgotten() {
    let (world, package) = left_early().await;
    let other = package.clone();
    drop(
        world
            .up
            .on(BIG_ABOVE)
            .reply(200, other)
            .header("etag", "\"new\"")
            .times(1),
    );
    let got = stored(&world, BIG).await;
    assert!(got.body == package);
    assert_eq!(got.header("etag"), "\"new\"");
    assert_eq!(world.up.count(BIG_ABOVE), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_breaks_off_is_fetched_again() {
    let world = World::demo().await;
    let path = "registration-gz-semver2/example.core/index.json";
    let above = "/v3/registration5-gz-semver2/example.core/index.json";
    stored(&world, "index.json").await;
    drop(world.up.on(above).cut_after(100).times(1));
    let got = stored(&world, path).await;
    assert_eq!(got.status, 200);
    assert!(got.json()["items"].is_array());
    assert_eq!(world.up.count(above), 2);
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_downloads_over_an_upstream_that_resets_three_in_ten() {
    const PACKAGES: usize = 1000;
    let id = |number: usize| format!("flaky.p{number}");
    let size = |number: usize| match number % 50 {
        0 => 2_000_000,
        1..6 => 150_000,
        _ => 8_000,
    };
    let packages =
        (0..PACKAGES).map(|number| Package::new(id(number), "1.0.0").padded(size(number)));
    let feed = ExampleFeed::new(packages).unwrap();
    let world = Arc::new(World::new(feed).await);
    stored(&world, "index.json").await;
    let mut dice = Dice(7);
    let mut resets = 0;
    for number in 0..PACKAGES {
        let id = id(number);
        let above = format!("/v3-flatcontainer/{id}/1.0.0/{id}.1.0.0.nupkg");
        let mut times = 0;
        while dice.below(10) < 3 {
            times += 1;
        }
        if times > 0 {
            drop(world.up.on(&above).reset_midway().times(times));
        }
        resets += times;
    }
    assert!(resets > PACKAGES * 3 / 10, "{resets}");
    let mut whole = 0;
    for first in (0..PACKAGES).step_by(20) {
        let batch = (first..first + 20).map(|number| {
            let (world, id) = (Arc::clone(&world), id(number));
            async move {
                let path = format!("/v3/flat/{id}/1.0.0/{id}.1.0.0.nupkg");
                let expected = world.nupkg(&id, "1.0.0");
                match try_get(world.addr, &path, &[]).await {
                    Ok(response) if response.status == 200 => {
                        assert!(
                            response.body == expected,
                            "{path}: a wrong body looked whole"
                        );
                        1
                    }
                    _ => 0,
                }
            }
        });
        whole += join_all(batch).await.into_iter().sum::<usize>();
    }
    assert!(whole * 1000 >= PACKAGES * 999, "{whole} of {PACKAGES}");
}
