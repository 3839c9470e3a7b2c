//! What is counted.
//!
//! - each described series is there
//! - bytes from the upstream, to clients and spared add up
//! - the store's size is that of what is stored
//! - no label comes from a request: the number of series has a bound

mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use nugate::demo::{ExampleFeed, Package};
use nugate::nuget::resource::{RESOURCES, SERVICE_INDEX};
use nugate::observe::Metrics;
use nugate::observe::metrics::SERIES;

use crate::support::client::{self, call};
use crate::support::{World, get, head};

const CORE: &str = "flat/example.core/1.0.0/example.core.1.0.0.nupkg";
const LIST: &str = "flat/example.core/index.json";
const LARGE: &str = "flat/example.large/1.0.0/example.large.1.0.0.nupkg";
const LARGE_UPSTREAM: &str = "/v3-flatcontainer/example.large/1.0.0/example.large.1.0.0.nupkg";

const PATIENCE: Duration = Duration::from_secs(30);

async fn world() -> World {
    let mut feed = ExampleFeed::demo();
    feed.add(Package::new("Example.Large", "1.0.0").padded(3_000_000))
        .unwrap();
    World::new(feed).await
}

/// The counters themselves: reading them counts nothing.
fn counters(world: &World) -> &Metrics {
    world.app().proxy().metrics()
}

async fn exposition(world: &World) -> String {
    let answer = get(world.addr, "/metrics", &[]).await;
    let kind = answer.header("content-type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    answer.text()
}

/// Values of each label over all of nugate's own series.
fn labels(exposition: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    let own = exposition
        .lines()
        .filter(|line| line.starts_with("nugate_"));
    for (_, rest) in own.filter_map(|line| line.split_once('{')) {
        let (inside, _) = rest.rsplit_once('}').unwrap();
        for pair in inside.split("\",") {
            let (name, value) = pair.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"').to_owned();
            found.entry(name.to_owned()).or_default().insert(value);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_described_series_is_there() {
    let world = world().await;
    world.get(CORE).await;
    let nuspec = "/v3-flatcontainer/example.core/1.0.0/example.core.nuspec";
    world
        .up
        .on(nuspec)
        .reply(200, "<html>Sign in</html>")
        .times(1);
    world
        .get("flat/example.core/1.0.0/example.core.nuspec")
        .await;
    let text = exposition(&world).await;
    assert!(SERIES.len() > 20);
    for (name, _, help) in SERIES {
        let line = format!("# HELP {name} {help}\n");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    for line in text
        .lines()
        .filter(|line| line.starts_with("# HELP nugate_"))
    {
        let name = line.split(' ').nth(2).unwrap();
        assert!(SERIES.iter().any(|(known, _, _)| *known == name), "{line}");
    }
}

/// Bytes that a request costs: from the upstream, to the client, of these spared.
async fn cost<T>(world: &World, request: impl Future<Output = T>) -> [u64; 3] {
    let all = counters(world);
    let read = || {
        let upstream = all.upstream_bytes.with_label_values(&["test"]).get();
        [upstream, all.client_bytes.get(), all.saved_bytes.get()]
    };
    let before = read();
    request.await;
    let after = read();
    [0, 1, 2].map(|at| after[at] - before[at])
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_add_up() {
    let world = world().await;
    world.get("index.json").await;
    for (path, id) in [(CORE, "example.core"), (LARGE, "example.large")] {
        let package = world.nupkg(id, "1.0.0").len() as u64;
        assert_eq!(cost(&world, world.head(path)).await, [0, 0, 0], "{path}");
        let cold = cost(&world, world.get(path)).await;
        assert_eq!(cold, [package, package, 0], "{path}");
        world.hit(path).await;
        let warm = cost(&world, world.get(path)).await;
        assert_eq!(warm, [0, package, package], "{path}");
        assert_eq!(cost(&world, world.head(path)).await, [0, 0, 0], "{path}");
        let same = [("if-none-match", "*")];
        let same = cost(&world, world.get_with(path, &same)).await;
        assert_eq!(same, [0, 0, 0], "{path}");
        let range = [("range", "bytes=10-19")];
        let range = cost(&world, world.get_with(path, &range)).await;
        assert_eq!(range, [0, 10, 10], "{path}");
    }
    let path = "registration-gz-semver2/example.core/index.json";
    let first = cost(&world, world.get(path)).await;
    let warm = world.hit(path).await.body.len() as u64;
    // The upstream's body has other links and is counted decoded.
    assert_eq!(first[1..], [warm, 0]);
    assert!(first[0] > warm / 2, "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_bytes_are_spared() {
    let world = world().await;
    let package = world.nupkg("example.large", "1.0.0").len() as u64;
    world.get("index.json").await;
    let before = counters(&world)
        .upstream_bytes
        .with_label_values(&["test"])
        .get();
    world.up.on(LARGE_UPSTREAM).stall_after(1_000_000);
    let target = format!("/v3/{LARGE}");
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(client::open(world.addr, &target, &[]).await);
    }
    world.up.release();
    for stream in open {
        assert_eq!(stream.rest().await.unwrap().body.len() as u64, package);
    }
    let all = counters(&world);
    let after = all.upstream_bytes.with_label_values(&["test"]).get();
    assert_eq!(after - before, package);
    assert_eq!(all.saved_bytes.get(), 4 * package);
    assert_eq!(all.joins.get(), 4);
}

/// What is served from memory is written down a moment later.
async fn reaches(world: &World, series: &str, value: f64) {
    let reached = async { while world.metric(series).await != value {} };
    let in_time = tokio::time::timeout(PATIENCE, reached).await;
    let text = exposition(world).await;
    assert!(in_time.is_ok(), "{series} is not {value}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_as_large_as_what_is_stored() {
    let mut world = world().await;
    world.hit("index.json").await;
    for path in [CORE, LARGE, LIST] {
        world.hit(path).await;
    }
    world.get("flat/example.none/index.json").await;
    let index = get(world.up.addr(), "/v3/index.json", &[]).await.body;
    let list = world.get(LIST).await.body;
    let packages = ["example.core", "example.large"].map(|id| world.nupkg(id, "1.0.0").len());
    let bytes = index.len() + list.len() + packages.iter().sum::<usize>();
    for _ in 0..2 {
        let bytes = f64::from(u32::try_from(bytes).unwrap());
        reaches(&world, "nugate_store_bytes", bytes).await;
        reaches(&world, "nugate_store_entries", 5.0).await;
        reaches(&world, "nugate_store_absent", 1.0).await;
        world.restart().await;
    }
}

/// Requests of every kind, most of them odd; each with names of its own.
async fn odd_requests(world: &World, from: usize) {
    for number in from..from + 10 {
        for target in [
            format!("/v3/flat/odd{number}/index.json"),
            format!("/v3/flat/odd{number}/1.0.0/odd{number}.1.0.0.nupkg"),
            format!("/v3/flat/odd{number}/1.0.0/icon"),
            format!("/v3/registration/odd{number}/index.json"),
            format!("/v3/registration/odd{number}/page/1.0.0/2.0.{number}.json"),
            format!("/v3/query?q=odd{number}"),
            format!("/v3/autocomplete?q=odd{number}"),
            format!("/v3/catalog/odd{number}.json"),
            format!("/v3/vulnerabilities/page/{number:032x}"),
            format!("/v3/odd{number}/index.json"),
            format!("/odd{number}"),
            format!("/v3/flat/%ff{number}"),
            format!("/-/odd{number}"),
            "/-/health".to_owned(),
            "/-/ready".to_owned(),
            "/".to_owned(),
        ] {
            get(world.addr, &target, &[]).await;
            head(world.addr, &target, &[]).await;
        }
        let host = format!("odd{number}.example");
        get(world.addr, "/v3/index.json", &[("host", &host)]).await;
        let agent = format!("odd/{number}");
        get(world.addr, "/v3/index.json", &[("user-agent", &agent)]).await;
        let method: Method = format!("ODD{number}").parse().unwrap();
        call(world.addr, method, "/v3/index.json", &[], "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_label_comes_from_a_request() {
    let world = world().await;
    odd_requests(&world, 0).await;
    exposition(&world).await;
    let first = exposition(&world).await;
    odd_requests(&world, 1000).await;
    let second = exposition(&world).await;
    // How an answer came about depends on who was faster, a HEAD or the fill before it.
    let series = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let parts = lines.map(|line| line.rsplit_once(' ').unwrap().0.split([',', '{', '}']));
        let rest = parts.map(|parts| parts.filter(|part| !part.starts_with("cache=")));
        rest.map(|parts| parts.collect::<Vec<_>>().join(","))
            .collect()
    };
    assert_eq!(series(&first), series(&second));
    let found = labels(&second);
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    let known = [
        "cache",
        "encoding",
        "feed",
        "le",
        "line",
        "operation",
        "outcome",
        "reason",
        "resource",
        "state",
        "status",
        "tier",
    ];
    assert_eq!(names, known);
    let mut resources: BTreeSet<&str> = RESOURCES
        .iter()
        .flat_map(|row| row.docs)
        .map(|rule| rule.name)
        .collect();
    resources.extend([
        SERVICE_INDEX.name,
        "none",
        "health",
        "ready",
        "metrics",
        "redirect",
    ]);
    for resource in &found["resource"] {
        assert!(resources.contains(resource.as_str()), "{resource}");
    }
    assert!(found["resource"].len() > 10, "{:?}", found["resource"]);
    for (name, values) in &found {
        for value in values {
            let closed = value.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.+I".contains(&byte)
            });
            assert!(closed && value.len() <= 32, "{name}={value}");
            assert!(
                !value.contains("odd") && !value.contains("127"),
                "{name}={value}"
            );
        }
    }
    assert_eq!(found["feed"], BTreeSet::from(["test".to_owned()]));
    let statuses = ["2xx", "3xx", "4xx", "5xx"].map(str::to_owned);
    assert!(found["status"].is_subset(&BTreeSet::from(statuses)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_renders_nothing() {
    let world = world().await;
    let path = "registration-gz-semver2/example.core/index.json";
    world.hit(path).await;
    world.hit_with(path, &[("accept-encoding", "gzip")]).await;
    let rendered = world.metric("nugate_views_total").await;
    for _ in 0..10 {
        world.hit(path).await;
        world.hit_with(path, &[("accept-encoding", "gzip")]).await;
    }
    assert_eq!(world.metric("nugate_views_total").await, rendered);
    // The demonstration's packages have icons elsewhere.
    assert!(world.metric("nugate_links_left_total").await > 0.0);
}
