//! Many clients, one fetch.
//!
//! - however many ask for something cold, the upstream is asked once and everyone gets every byte
//! - the first bytes go out as they come; who comes late begins at the first byte
//! - who leaves disturbs nobody, not even the first
//! - a package that nobody waits for any more is given up early and finished late
//! - a body that breaks off is never a short whole one, and the next request starts afresh

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use nugate::demo::{ExampleFeed, Package};

use crate::support::client::{Stream, open, try_get};
use crate::support::{World, stored, until};

const BIG: &str = "flat/example.big/1.0.0/example.big.1.0.0.nupkg";
const BIG_ABOVE: &str = "/v3-flatcontainer/example.big/1.0.0/example.big.1.0.0.nupkg";
const PAUSE: Duration = Duration::from_millis(5);

/// A package of this many bytes and a little more; the service index is known.
async fn world(bytes: usize) -> (World, Bytes) {
    let big = Package::new("Example.Big", "1.0.0").padded(bytes);
    let world = World::new(ExampleFeed::new([big]).unwrap()).await;
    stored(&world, "index.json").await;
    let package = world.nupkg("example.big", "1.0.0");
    (world, package)
}

async fn start(world: &World) -> Stream {
    let stream = open(world.addr, &format!("/v3/{BIG}"), &[]).await;
    assert_eq!(stream.status.as_u16(), 200);
    stream
}

async fn joined(world: &World, others: usize) {
    let others = f64::from(u32::try_from(others).unwrap());
    until("all the others have joined", async || {
        world.metric("nugate_joins_total").await >= others
    })
    .await;
}

/// The next piece, which must be the beginning of the package.
async fn begins(stream: &mut Stream, package: &Bytes) -> usize {
    let piece = stream.next().await.unwrap().unwrap();
    assert!(!piece.is_empty() && package.starts_with(&piece));
    piece.len()
}

async fn ends(stream: Stream, package: &Bytes, from: usize) {
    assert!(stream.rest().await.unwrap().body == package.slice(from..));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_cost_one_request() {
    let (world, package) = world(400_000).await;
    world.up.on(BIG_ABOVE).hang().chunks(16 * 1024, PAUSE);
    let clients = join_all((0..200).map(|_| world.get(BIG)));
    let release = async {
        joined(&world, 199).await;
        world.up.release();
    };
    let (responses, ()) = tokio::join!(clients, release);
    for response in &responses {
        assert_eq!(response.status.as_u16(), 200);
        assert!(response.body == package);
        assert_eq!(response.header("etag"), responses[0].header("etag"));
    }
    world.quiet().await;
    assert!(world.get(BIG).await.body == package);
    assert_eq!(world.up.count(BIG_ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_of_a_package_wait_for_nothing() {
    let (world, package) = world(400_000).await;
    world.up.on(BIG_ABOVE).stall_after(10_000);
    let mut first = start(&world).await;
    let mut read = 0;
    while read < 10_000 {
        let piece = first.next().await.unwrap().unwrap();
        assert!(package[read..].starts_with(&piece));
        read += piece.len();
    }
    world.up.release();
    ends(first, &package, read).await;
    assert_eq!(world.up.count(BIG_ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_begins_at_the_first_byte() {
    let (world, package) = world(400_000).await;
    world.up.on(BIG_ABOVE).stall_after(300_000);
    let mut first = start(&world).await;
    let read = begins(&mut first, &package).await;
    let mut late = start(&world).await;
    let late_read = begins(&mut late, &package).await;
    world.up.release();
    ends(first, &package, read).await;
    ends(late, &package, late_read).await;
    assert_eq!(world.up.count(BIG_ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_disturbs_nobody() {
    for leaver in [0, 1, 2] {
        let (world, package) = world(400_000).await;
        world.up.on(BIG_ABOVE).stall_after(200_000).times(1);
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = start(&world).await;
            let read = begins(&mut client, &package).await;
            clients.push((client, read));
        }
        drop(clients.remove(leaver));
        left(&world, 2).await;
        world.up.release();
        for (client, read) in clients {
            ends(client, &package, read).await;
        }
        world.quiet().await;
        assert_eq!(world.get(BIG).await.header("cache-status"), "nugate; hit");
        assert_eq!(world.up.count(BIG_ABOVE), 1);
    }
}

/// Waits until nugate has noticed that only so many clients are left, besides the one that asks.
async fn left(world: &World, clients: usize) {
    let open = f64::from(u32::try_from(clients + 1).unwrap());
    until("nugate knows who has left", async || {
        (world.metric("nugate_connections").await - open).abs() < 0.1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_left_early_is_given_up() {
    let (world, package) = world(4 << 20).await;
    let script = world.up.on(BIG_ABOVE).stall_after(400_000);
    drop(script.chunks(16 * 1024, PAUSE).times(1));
    let mut clients = [start(&world).await, start(&world).await];
    for client in &mut clients {
        begins(client, &package).await;
    }
    drop(clients);
    left(&world, 0).await;
    world.up.release();
    until("the fill is given up", async || {
        let series = r#"nugate_fills_total{outcome="abandoned"}"#;
        world.metric(series).await > 0.5
    })
    .await;
    world.quiet().await;
    assert!((world.metric("nugate_store_entries").await - 1.0).abs() < 0.1);
    assert!(world.get(BIG).await.body == package);
    assert_eq!(world.up.count(BIG_ABOVE), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_left_late_is_finished() {
    let (world, package) = world(4 << 20).await;
    let script = world.up.on(BIG_ABOVE).stall_after(5 << 19);
    drop(script.chunks(16 * 1024, Duration::ZERO));
    let mut client = start(&world).await;
    let mut read = 0;
    while read < 9 << 18 {
        read += client.next().await.unwrap().unwrap().len();
    }
    drop(client);
    left(&world, 0).await;
    world.up.release();
    world.quiet().await;
    let kept = world.get(BIG).await;
    assert!(kept.body == package);
    assert_eq!(kept.header("cache-status"), "nugate; hit");
    assert_eq!(world.up.count(BIG_ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_never_a_whole_one() {
    for reset in [false, true] {
        let (world, package) = world(600_000).await;
        // Always at the same place, and what is there cannot be asked for by a range.
        let script = world.up.on(BIG_ABOVE).hang().chunks(16 * 1024, PAUSE);
        let script = script.reply(200, package.clone());
        drop(if reset {
            script.reset_after(500_000)
        } else {
            script.cut_after(500_000)
        });
        let path = format!("/v3/{BIG}");
        let clients = join_all((0..20).map(|_| try_get(world.addr, &path, &[])));
        let release = async {
            joined(&world, 19).await;
            world.up.release();
        };
        let (responses, ()) = tokio::join!(clients, release);
        assert!(responses.iter().any(Result::is_err), "someone streamed");
        for response in responses.into_iter().flatten() {
            assert_eq!(response.status.as_u16(), 502, "a short body looked whole");
        }
        world.quiet().await;
        assert!((world.metric("nugate_store_entries").await - 1.0).abs() < 0.1);
        world.up.behave();
        assert!(world.get(BIG).await.body == package);
        assert_eq!(world.up.count(BIG_ABOVE), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_of_a_registration_cost_one_request_and_one_view() {
    let world = World::demo().await;
    let path = "registration-gz-semver2/example.core/index.json";
    let above = "/v3/registration5-gz-semver2/example.core/index.json";
    world.up.on(above).hang();
    let clients = join_all((0..50).map(|_| world.get(path)));
    let release = async {
        joined(&world, 49).await;
        world.up.release();
    };
    let (responses, ()) = tokio::join!(clients, release);
    for response in &responses {
        assert_eq!(response.status.as_u16(), 200);
        assert_eq!(response.body, responses[0].body);
    }
    assert_eq!(world.up.count(above), 1);
    assert!((world.metric("nugate_views_total").await - 1.0).abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_packages_at_once() {
    let id = |number: usize| format!("example.p{number}");
    let packages = (0..60).map(|number| Package::new(id(number), "1.0.0").padded(100_000));
    let world = Arc::new(World::new(ExampleFeed::new(packages).unwrap()).await);
    let all = (0..60).map(|number| {
        let (world, id) = (Arc::clone(&world), id(number));
        async move {
            let path = format!("flat/{id}/1.0.0/{id}.1.0.0.nupkg");
            let expected = world.nupkg(&id, "1.0.0");
            assert!(world.get(&path).await.body == expected, "{path}");
        }
    });
    join_all(all).await;
    assert_eq!(world.up.count("/v3/index.json"), 1);
    assert_eq!(world.up.requests(), 61);
}
