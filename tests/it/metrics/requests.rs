//! Requests are counted as their `Cache-Status` says they came about, however that was.

use std::collections::{BTreeMap, BTreeSet};

use super::{CORE, LARGE, LARGE_UPSTREAM, LIST, PATIENCE, world};
use crate::support::World;
use crate::support::client::{self, Response};

/// Values of `Cache-Status` and the labels they are counted under.
const STATUSES: &[(&str, &str)] = &[
    ("nugate; hit", "hit"),
    ("nugate; hit; detail=stale-while-revalidate", "hit-stale"),
    ("nugate; fwd=uri-miss; stored", "miss"),
    ("nugate; fwd=uri-miss; collapsed", "joined"),
    ("nugate; fwd=stale; fwd-status=304", "revalidated"),
    ("nugate; fwd=stale; detail=upstream-error", "stale"),
    ("nugate; hit; detail=backed-off", "stale"),
    ("nugate; hit; detail=negative", "negative"),
    ("nugate; fwd=uri-miss", "passed"),
    ("nugate; detail=not-stored", "refused"),
    ("nugate; detail=own", "own"),
];

/// What responses said of themselves.
struct Tally<'a> {
    world: &'a World,
    seen: BTreeMap<String, f64>,
}

impl Tally<'_> {
    fn note(&mut self, resource: &str, answer: &Response) {
        let said = answer.header("cache-status");
        let known = STATUSES.iter().find(|(header, _)| *header == said);
        let (_, cache) = known.unwrap_or_else(|| panic!("{said}"));
        let status = answer.status.as_u16() / 100;
        let labels = format!("cache=\"{cache}\",resource=\"{resource}\",status=\"{status}xx\"");
        *self.seen.entry(labels).or_default() += 1.0;
    }

    /// Asks again and again, each time so many seconds later, until an answer says this.
    async fn until(&mut self, path: &str, seconds: u64, said: &str) {
        let asking = async {
            loop {
                self.world.later(seconds);
                let answer = self.world.get(path).await;
                self.note("versions", &answer);
                if answer.header("cache-status") == said {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, asking).await;
        assert!(in_time.is_ok(), "{path} was never {said}");
    }

    async fn check(&self) {
        let mut caches = BTreeSet::new();
        for (labels, expected) in &self.seen {
            let series = format!("nugate_requests_total{{{labels}}}");
            assert_eq!(self.world.metric(&series).await, *expected, "{series}");
            caches.insert(labels.split('"').nth(1).unwrap());
        }
        let all: BTreeSet<_> = STATUSES.iter().map(|(_, cache)| *cache).collect();
        assert_eq!(caches, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_how_they_came_about() {
    let mut world = world().await;
    world.up.on(LARGE_UPSTREAM).stall_after(1_000_000);
    let target = format!("/v3/{LARGE}");
    let first = client::open(world.addr, &target, &[]).await;
    let second = client::open(world.addr, &target, &[]).await;
    world.up.release();
    let (first, second) = (first.rest().await.unwrap(), second.rest().await.unwrap());
    let mut tally = Tally {
        world: &world,
        seen: BTreeMap::new(),
    };
    tally.note("nupkg", &first);
    tally.note("nupkg", &second);
    tally.note("nupkg", &world.head(CORE).await);
    let cached = [("cache-control", "only-if-cached")];
    tally.note("nupkg", &world.get_with(CORE, &cached).await);
    tally.note("none", &world.get("nothing").await);
    tally.until(LIST, 0, "nugate; hit").await;
    let same = [("if-none-match", "*")];
    tally.note("versions", &world.get_with(LIST, &same).await);
    let while_revalidating = "nugate; hit; detail=stale-while-revalidate";
    tally.until(LIST, 90, while_revalidating).await;
    tally
        .until(LIST, 3600, "nugate; fwd=stale; fwd-status=304")
        .await;
    let none = "flat/example.none/index.json";
    tally.until(none, 0, "nugate; hit; detail=negative").await;
    let seen = tally.seen;
    world.up.down().await;
    let mut tally = Tally {
        world: &world,
        seen,
    };
    tally
        .until(LIST, 3600, "nugate; fwd=stale; detail=upstream-error")
        .await;
    tally.until(LIST, 0, "nugate; hit; detail=backed-off").await;
    let unknown = world.get("flat/example.unknown/index.json").await;
    assert_eq!(unknown.status, 502);
    tally.note("versions", &unknown);
    tally.check().await;
    for reason in ["upstream-error", "backed-off"] {
        let series = format!("nugate_stale_total{{reason=\"{reason}\"}}");
        assert!(world.metric(&series).await >= 1.0, "{reason}");
    }
    for (outcome, resource) in [
        ("2xx", "nupkg"),
        ("2xx", "versions"),
        ("3xx", "versions"),
        ("4xx", "versions"),
        ("connect", "versions"),
    ] {
        let labels = format!("feed=\"test\",outcome=\"{outcome}\",resource=\"{resource}\"");
        let series = format!("nugate_upstream_requests_total{{{labels}}}");
        assert!(world.metric(&series).await >= 1.0, "{series}");
    }
    assert_eq!(world.metric("nugate_upstream_up").await, 0.0);
}
