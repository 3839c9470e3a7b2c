//! Faults of the upstream that clients do not see, or see as what they are.
//!
//! - an upstream that asks to be left alone is, until it said; what is stored is served meanwhile,
//!   restores wait, searches are told 429
//! - a restore waits no longer than `hold`, and is then told 503 with `Retry-After`
//! - an upstream that swallows connections is 504
//! - a document does not go back to an older one, unless the older one stays or settings allow it
//! - a 304 for another version, or for a body that is lost, leads to one unconditional question

use std::time::Duration;

use nugate::demo::{ExampleFeed, Package};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::lost::body_files;
use crate::support::client::Response;
use crate::support::world::Settings;
use crate::support::{World, stored, until};

const LIST: &str = "flat/example.core/index.json";
const LIST_ABOVE: &str = "/v3-flatcontainer/example.core/index.json";
const NUPKG: &str = "flat/example.json/1.2.0/example.json.1.2.0.nupkg";
const NUPKG_ABOVE: &str = "/v3-flatcontainer/example.json/1.2.0/example.json.1.2.0.nupkg";
const HIVE: &str = "registration/example.core/index.json";
const HIVE_ABOVE: &str = "/v3/registration5-semver1/example.core/index.json";
const HELD: &str = r#"nugate_upstream_held{feed="test"}"#;
const OLDER: &str = "nugate; fwd=stale; detail=upstream-older";

async fn holding() -> World {
    let hold = |settings: &mut Settings| settings.feed.hold = Duration::from_secs(80);
    let world = World::with(ExampleFeed::demo(), hold).await;
    stored(&world, LIST).await;
    stored(&world, "query?q=stored").await;
    world.later(3600);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_asks_to_be_left_alone_is() {
    for status in [429, 503] {
        let world = holding().await;
        world
            .up
            .on(NUPKG_ABOVE)
            .reply(status, "")
            .header("retry-after", "30")
            .times(1);
        world.up.clear_log();
        let meanwhile = async {
            until("both wait", async || world.metric(HELD).await == 2.0).await;
            for path in [LIST, "query?q=stored"] {
                let stale = world.get(path).await;
                assert_eq!(stale.status, 200, "{path}: {stale:?}");
                assert_eq!(
                    stale.header("cache-status"),
                    "nugate; hit; detail=backed-off"
                );
            }
            world.later(20);
            let search = world.get("query?q=cold").await;
            assert_eq!(search.status, 429, "{search:?}");
            assert_eq!(search.header("retry-after"), "10");
            assert!(search.header("x-nuget-warning").contains("feed test"));
            world.later(9);
            assert_eq!(world.metric(HELD).await, 2.0);
            assert_eq!(world.up.count(NUPKG_ABOVE) + world.up.count(HIVE_ABOVE), 1);
            world.later(1);
        };
        let later = async {
            until("one waits", async || world.metric(HELD).await == 1.0).await;
            tokio::join!(world.get(HIVE), meanwhile).0
        };
        let (package, registration) = tokio::join!(world.get(NUPKG), later);
        assert_eq!(package.status, 200);
        assert_eq!(registration.status, 200, "{status}: {registration:?}");
        assert!(package.body == world.nupkg("example.json", "1.2.0"));
        assert_eq!(world.metric(HELD).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_than_the_setting_says() {
    let world = holding().await;
    world
        .up
        .on(NUPKG_ABOVE)
        .reply(429, "")
        .header("retry-after", "200");
    world.up.clear_log();
    let meanwhile = async {
        until("it waits", async || world.metric(HELD).await == 1.0).await;
        world.later(79);
        assert_eq!(world.metric(HELD).await, 1.0);
        world.later(1);
    };
    let (refused, ()) = tokio::join!(world.get(NUPKG), meanwhile);
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((120..=200).contains(&seconds), "{seconds}");
    assert!(refused.header("x-nuget-warning").contains("feed test"));
    assert_eq!(world.up.requests(), 1);
}

/// An address that swallows connections: its queue is full and nobody takes from it.
async fn black_hole() -> (String, Full) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (
        format!("http://{address}/v3/index.json"),
        (listener, queued),
    )
}

type Full = (tokio::net::TcpListener, Vec<TcpStream>);

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_swallows_connections_is_504() {
    let (url, _full) = black_hole().await;
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.feed.url = url.parse().unwrap();
        settings.feed.connect_timeout = Duration::from_millis(200);
    })
    .await;
    for _ in 0..5 {
        let failed = world.get(LIST).await;
        assert_eq!(failed.status, 504, "{failed:?}");
    }
    // Nobody waits for it any more.
    let refused = world.get(LIST).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_ne!(refused.header("retry-after"), "");
}

#[track_caller]
fn check(response: &Response, cache: &str, body: &Response) {
    let seen = response.header("cache-status");
    assert_eq!(
        (response.status.as_u16(), seen),
        (200, cache),
        "{response:?}"
    );
    assert_eq!(response.body, body.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_does_not_go_back_to_an_older_one() {
    let at = |on: crate::support::script::On, time: &str, version: &str| {
        let modified = format!("Thu, 01 Jan 2026 {time} GMT");
        let body = format!(r#"{{"versions":["{version}"]}}"#);
        drop(
            on.reply(200, body)
                .header("last-modified", &modified)
                .header("etag", version),
        );
    };
    for keep in [true, false] {
        let world = World::with(ExampleFeed::demo(), |settings| {
            settings.options.keep_newer = keep;
        })
        .await;
        at(world.up.on(LIST_ABOVE), "12:00:00", "2.0.0");
        let newer = stored(&world, LIST).await;
        at(world.up.on(LIST_ABOVE), "11:59:59", "1.0.0");
        world.later(600);
        let answer = stored(&world, LIST).await;
        if !keep {
            assert!(answer.text().contains("1.0.0"), "{answer:?}");
            continue;
        }
        check(&answer, OLDER, &newer);
        assert_ne!(answer.header("x-nuget-warning"), "");
        // It is asked for again soon, and an equally old one is no older one.
        at(world.up.on(LIST_ABOVE), "12:00:00", "3.0.0");
        world.later(2);
        assert!(stored(&world, LIST).await.text().contains("3.0.0"));
        // What stays is believed.
        at(world.up.on(LIST_ABOVE), "11:59:59", "1.0.0");
        world.later(600);
        assert_eq!(stored(&world, LIST).await.header("cache-status"), OLDER);
        world.later(599);
        assert_eq!(stored(&world, LIST).await.header("cache-status"), OLDER);
        world.later(61);
        assert!(stored(&world, LIST).await.text().contains("1.0.0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_tells_its_age_itself() {
    let world = World::demo().await;
    let mut document = crate::support::get(world.up.addr(), HIVE_ABOVE, &[])
        .await
        .json();
    let mut send = |time: &str, count: usize| {
        document["commitTimeStamp"] = time.into();
        document["count"] = count.into();
        // Heads may say anything.
        let modified = format!("Thu, 0{} Jan 2026 12:00:00 GMT", 9 - count);
        let on = world.up.on(HIVE_ABOVE).reply(200, document.to_string());
        drop(on.header("last-modified", &modified).header("etag", time));
    };
    send("2026-01-02T00:00:00.1234567Z", 1);
    let newer = stored(&world, HIVE).await;
    assert_eq!(newer.status, 200);
    world.later(3600);
    send("2026-01-02T00:00:00.1+00:00", 2);
    check(&stored(&world, HIVE).await, OLDER, &newer);
    world.later(3600);
    send("2026-01-02T00:00:01Z", 3);
    assert_eq!(stored(&world, HIVE).await.json()["count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_for_another_version_confirms_nothing() {
    let world = World::demo().await;
    stored(&world, LIST).await;
    let package = Package::new("Example.Core", "7.0.0");
    world.up.change(|feed| feed.add(package)).unwrap();
    world
        .up
        .on(LIST_ABOVE)
        .reply(304, "")
        .header("etag", "\"another\"")
        .times(1);
    world.later(600);
    world.up.clear_log();
    let fetched = stored(&world, LIST).await;
    assert!(fetched.text().contains("7.0.0"), "{fetched:?}");
    let log = world.up.log();
    let asked: Vec<_> = log
        .iter()
        .map(|seen| !seen.header("if-none-match").is_empty())
        .collect();
    assert_eq!(asked, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_for_a_body_that_is_lost_leads_to_the_body() {
    let mut world = World::demo().await;
    stored(&world, "index.json").await;
    let list = stored(&world, LIST).await;
    world.stop().await;
    for file in body_files(world.path()) {
        std::fs::remove_file(file).unwrap();
    }
    world.start().await;
    world.later(600);
    world.up.clear_log();
    let healed = stored(&world, LIST).await;
    assert_eq!((healed.status, &healed.body), (list.status, &list.body));
    let log = world.up.log();
    let of_list = log.iter().filter(|seen| seen.path() == LIST_ABOVE);
    let asked: Vec<_> = of_list
        .map(|seen| !seen.header("if-none-match").is_empty())
        .collect();
    assert_eq!(asked, [true, false]);
}
