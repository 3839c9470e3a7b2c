//! Shares of a line.
//!
//! - a download takes as long as its client's rate says, by HTTP/1 (where the kernel sends it) and by
//!   HTTP/2; all downloads of a client share its rate; others are not concerned
//! - a feed is not read faster than its rate; the time that takes is nobody's stall
//! - clients take turns, however many downloads one of them has
//! - a restore ends while eight greedy clients go on
//! - a limit of the evening ends with the evening
//!
//! Times are bounds from below, which a slow machine keeps too; everything else is order and counts.

mod asking;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use nugate::clock::{Stopwatch, Time};
use nugate::demo::{ExampleFeed, Package};
use nugate::policy::pacing::{Days, Direction, Rate, Window};

use crate::support::World;
use crate::support::client::{self, Response};
use crate::support::until::until;
use crate::support::world::Settings;

const PATIENCE: Duration = Duration::from_secs(60);

const LIST: &str = "/v3/flat/example.core/index.json";

fn path(id: &str) -> String {
    format!("/v3/flat/{id}/1.0.0/{id}.1.0.0.nupkg")
}

/// Packages of this size, called `pack.0` and so on.
fn feed(count: usize, size: usize) -> ExampleFeed {
    let mut feed = ExampleFeed::demo();
    for number in 0..count {
        let package = Package::new(format!("Pack.{number}"), "1.0.0").padded(size);
        feed.add(package).unwrap();
    }
    feed
}

fn rate(bytes_per_second: u64) -> Option<Rate> {
    Rate::new(bytes_per_second)
}

/// Clients are told apart by what a trusted proxy says.
fn proxied(settings: &mut Settings) {
    settings.bases.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

fn of_client(number: usize) -> (&'static str, String) {
    ("x-forwarded-for", format!("192.0.2.{number}"))
}

async fn get_as(addr: SocketAddr, number: usize, path: &str) -> Response {
    let (name, value) = of_client(number);
    client::get(addr, path, &[(name, &value)]).await
}

/// The shortest time for so many bytes at a rate, the burst (a tenth of a second and 16 KiB) left
/// out, and a tenth for good measure.
fn least(bytes: usize, rate: u64) -> Duration {
    let burst = rate / 10 + 16 * 1024;
    let millis = (bytes as u64 - burst) * 1000 / rate;
    Duration::from_millis(millis * 9 / 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_take_as_long_as_the_rate_of_their_client_says() {
    let world = World::with(feed(1, 200_000), |settings| {
        proxied(settings);
        settings.pace.clients.rate = rate(200_000);
    })
    .await;
    let (path, package) = (path("pack.0"), world.nupkg("pack.0", "1.0.0"));
    client::get(world.addr, &path, &[]).await;
    world.quiet().await;
    let started = Stopwatch::start();
    let one = get_as(world.addr, 1, &path).await;
    assert!(started.elapsed() >= least(package.len(), 200_000));
    assert!(one.body == package);
    // Two of one client share its rate, whatever they speak.
    let (name, value) = of_client(2);
    let header = [(name, value.as_str())];
    let started = Stopwatch::start();
    let both = tokio::join!(
        client::get(world.addr, &path, &header),
        client::get_h2(world.addr, &path, &header)
    );
    assert!(started.elapsed() >= least(2 * package.len(), 200_000));
    assert!(both.0.body == package && both.1.body == package);
    assert!(
        world
            .metric("nugate_pacing_wait_seconds_count{line=\"clients\"}")
            .await
            > 0.0
    );
    assert!(
        world
            .metric("nugate_pacing_waiting{line=\"clients\"}")
            .await
            < 1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_its_share_does_not_stall() {
    let world = World::with(feed(1, 40_000), |settings| {
        settings.pace.clients.rate = rate(10_000);
        settings.limits.patience.stall = Duration::from_millis(50);
    })
    .await;
    let package = world.nupkg("pack.0", "1.0.0");
    for _ in 0..2 {
        let answer = client::get(world.addr, &path("pack.0"), &[]).await;
        assert!(answer.body == package);
        world.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_read_at_its_rate_and_is_not_to_blame_for_it() {
    let world = World::with(feed(1, 60_000), |settings| {
        settings.rate = rate(20_000);
        settings.feed.idle_timeout = Duration::from_millis(50);
    })
    .await;
    // Documents have taken the burst.
    client::get(world.addr, LIST, &[]).await;
    let package = world.nupkg("pack.0", "1.0.0");
    let started = Stopwatch::start();
    let answer = client::get(world.addr, &path("pack.0"), &[]).await;
    assert!(started.elapsed() >= least(package.len(), 20_000));
    assert!(answer.body == package);
    let asked = world
        .up
        .count("/v3-flatcontainer/pack.0/1.0.0/pack.0.1.0.0.nupkg");
    assert_eq!(asked, 1, "it was not cut and continued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_ends_while_eight_greedy_clients_go_on() {
    const SMALL: usize = 10;
    let mut packages = feed(SMALL, 10_000);
    for number in 0..32 {
        let package = Package::new(format!("Large.{number}"), "1.0.0").padded(4_000_000);
        packages.add(package).unwrap();
    }
    let world = World::with(packages, |settings| {
        proxied(settings);
        settings.rate = rate(250_000);
    })
    .await;
    client::get(world.addr, LIST, &[]).await;
    let taken = Arc::new(AtomicU64::new(0));
    let addr = world.addr;
    let greedy: Vec<_> = (0..32)
        .map(|number| {
            let taken = Arc::clone(&taken);
            tokio::spawn(async move {
                let (name, value) = of_client(number % 8);
                let path = path(&format!("large.{number}"));
                let mut body = client::open(addr, &path, &[(name, &value)]).await;
                while let Some(Ok(bytes)) = body.next().await {
                    taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // All of them are under way.
    let large = |log: &[crate::support::upstream::Seen]| {
        let large = log.iter().filter(|seen| seen.path().contains("/large."));
        large.count() == 32
    };
    world.up.wait_for(large).await;
    until("the line is busy", async || {
        taken.load(Ordering::Relaxed) > 100_000
    })
    .await;
    let before = bytes_of_feed(&world).await;
    let paths: Vec<_> = (0..SMALL)
        .map(|number| path(&format!("pack.{number}")))
        .collect();
    let restore = join_all(paths.iter().map(|path| get_as(addr, 100, path)));
    let answers = tokio::time::timeout(PATIENCE, restore).await.unwrap();
    let mut restored = 0;
    for answer in &answers {
        assert_eq!(answer.status, 200);
        restored += answer.body.len();
    }
    assert!(greedy.iter().all(|task| !task.is_finished()));
    // A ninth is its share; a third of that is left for the time between request and answer.
    let all = bytes_of_feed(&world).await - before;
    let share = f64::from(u32::try_from(restored).unwrap()) / all;
    assert!(share > 1.0 / 27.0, "{restored} of {all}");
    for task in greedy {
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_take_turns_however_much_they_ask() {
    const CLIENTS: usize = 8;
    let world = World::with(feed(1, 6_000_000), |settings| {
        proxied(settings);
        settings.pace.windows = vec![Window {
            rate: Rate::new(1_000_000).unwrap(),
            direction: Direction::Clients,
            // Not yet.
            from: 9 * 60,
            to: 10 * 60,
            days: Days::ALL,
        }];
    })
    .await;
    let addr = world.addr;
    client::get(addr, &path("pack.0"), &[]).await;
    world.quiet().await;
    world.later(3600);
    let taken: Arc<Vec<AtomicU64>> = Arc::new((0..CLIENTS).map(|_| AtomicU64::new(0)).collect());
    // One has as many downloads as three times all others together.
    let greedy = (0..CLIENTS).chain(std::iter::repeat_n(0, 20));
    let downloads: Vec<_> = greedy
        .map(|number| {
            let taken = Arc::clone(&taken);
            tokio::spawn(async move {
                let (name, value) = of_client(number);
                let mut body = client::open(addr, &path("pack.0"), &[(name, &value)]).await;
                while let Some(Ok(bytes)) = body.next().await {
                    taken[number].fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let got = || -> Vec<u64> {
        let each = taken.iter();
        each.map(|taken| taken.load(Ordering::Relaxed)).collect()
    };
    until("all have begun", async || got().iter().all(|got| *got > 0)).await;
    let before = got();
    until("some has come", async || {
        got().iter().sum::<u64>() > before.iter().sum::<u64>() + 3_000_000
    })
    .await;
    let grown = got().into_iter().zip(before);
    let grown: Vec<u64> = grown.map(|(after, before)| after - before).collect();
    let (least, most) = (grown.iter().min().unwrap(), grown.iter().max().unwrap());
    assert!(*most <= least * 3, "{grown:?}");
    for task in downloads {
        task.abort();
    }
}

async fn bytes_of_feed(world: &World) -> f64 {
    world.metric("nugate_upstream_bytes_total").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_evening_ends_with_the_evening() {
    let world = World::with(feed(1, 300_000), |settings| {
        // The clock of the tests stands at 08:00 on a Friday in UTC.
        settings.pace.time_zone = "+09:00".to_owned();
        settings.pace.windows = vec![Window {
            rate: Rate::new(1000).unwrap(),
            direction: Direction::Upstream,
            from: 17 * 60,
            to: 20 * 60,
            days: Days::NONE.with(4, 4),
        }];
    })
    .await;
    assert_eq!(world.clock.now(), Time::from_millis(1_800_000_000_000));
    let path = path("pack.0");
    let download = tokio::spawn({
        let (addr, path) = (world.addr, path.clone());
        async move { client::get(addr, &path, &[]).await }
    });
    until("it waits", async || {
        world
            .metric("nugate_pacing_waiting{line=\"upstream\"}")
            .await
            > 0.0
    })
    .await;
    assert!(!download.is_finished());
    // At 1 kB/s it would take five minutes.
    world.later(3 * 3600);
    let answer = tokio::time::timeout(PATIENCE, download).await.unwrap();
    assert!(answer.unwrap().body == world.nupkg("pack.0", "1.0.0"));
}
