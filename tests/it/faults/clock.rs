//! Clocks that jump.
//!
//! - after a jump of an hour or a year, there or back, everyone gets everything, and each document is
//!   asked for once at most
//! - what was confirmed under a clock that was ahead is confirmed again, and is fresh from then on for
//!   as long as ever
//! - while the feed is down the stored is served, and the feed is left alone

use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use nugate::clock::Clock;

use crate::support::{World, stored};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

const PATHS: &[&str] = &[
    "index.json",
    "flat/example.core/index.json",
    "flat/example.core/1.0.0/example.core.1.0.0.nupkg",
    "registration-gz-semver2/example.core/index.json",
    "flat/example.http/index.json",
    "query?q=example",
    "flat/no.such.package/index.json",
];

/// Sets the wall clock, whichever way.
fn jump(world: &World, seconds: i64) {
    let Clock::Manual(millis) = &world.clock else {
        panic!("not a manual clock");
    };
    let by = u64::try_from(seconds.abs() * 1000).unwrap();
    if seconds < 0 {
        millis.fetch_sub(by, Ordering::SeqCst);
    } else {
        millis.fetch_add(by, Ordering::SeqCst);
    }
}

/// All paths, five times each at once; the statuses.
async fn ask_all(world: &World) -> Vec<u16> {
    let asked = PATHS.iter().cycle().take(5 * PATHS.len());
    let answers = join_all(asked.map(|path| world.get(path))).await;
    world.quiet().await;
    answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect()
}

async fn warm() -> (World, Vec<u16>) {
    let world = World::demo().await;
    for path in PATHS {
        stored(&world, path).await;
    }
    let statuses = ask_all(&world).await;
    assert!(statuses.contains(&200) && statuses.contains(&404));
    (world, statuses)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_jump_each_document_is_asked_for_once_at_most() {
    for seconds in [HOUR, -HOUR, YEAR, -YEAR] {
        let (world, before) = warm().await;
        world.up.clear_log();
        jump(&world, seconds);
        assert_eq!(ask_all(&world).await, before, "{seconds}");
        let log = world.up.log();
        for line in &log {
            let same = log.iter().filter(|other| other.path() == line.path());
            assert_eq!(same.count(), 1, "{seconds} {}", line.path());
        }
        world.up.clear_log();
        assert_eq!(ask_all(&world).await, before, "{seconds}");
        assert_eq!(world.up.requests(), 0, "{seconds}: {:?}", world.up.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_under_a_clock_ahead_is_not_fresh_for_a_year() {
    for seconds in [-HOUR, -YEAR] {
        let (world, _) = warm().await;
        jump(&world, seconds);
        ask_all(&world).await;
        world.up.clear_log();
        world.later(400);
        ask_all(&world).await;
        let asked = |path: &str| world.up.log().iter().any(|it| it.path().ends_with(path));
        assert!(asked("example.core/index.json"), "{seconds}");
        assert!(asked("no.such.package/index.json"), "{seconds}");
        assert!(!asked(".nupkg"), "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_while_the_feed_is_down_takes_nothing_away() {
    for seconds in [HOUR, -HOUR, -YEAR] {
        let (mut world, before) = warm().await;
        world.up.down().await;
        jump(&world, seconds);
        assert_eq!(ask_all(&world).await, before, "{seconds}");
        let failed = world.metric("nugate_upstream_requests_total").await;
        assert_eq!(ask_all(&world).await, before, "{seconds}");
        let again = world.metric("nugate_upstream_requests_total").await;
        assert!(again - failed < 1.0, "{seconds}: {failed} {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_gone_under_a_clock_ahead_is_believed_in_time() {
    let (world, _) = warm().await;
    let (path, above) = (PATHS[1], "/v3-flatcontainer/example.core/index.json");
    world.up.on(above).reply(404, "");
    world.later(400);
    assert_eq!(stored(&world, path).await.status.as_u16(), 200);
    jump(&world, -YEAR);
    assert_eq!(stored(&world, path).await.status.as_u16(), 200);
    let mut waited = 0;
    while stored(&world, path).await.status.as_u16() == 200 {
        world.later(400);
        waited += 400;
        assert!(waited < 4000, "it is still believed to be there");
    }
}
