//! Neither a full house nor the limits of clients keep a scrape waiting; both doors stop together.

use std::time::Duration;

use nugate::policy::pacing::Rate;
use nugate::server::Limits;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{CORE, HTML, ask, world};
use crate::strict::used;
use crate::support::{get, until};

/// Longer than anything here takes, shorter than any limit that is not met.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_gets_through_when_clients_take_everything() {
    let world = world(|settings| {
        settings.limits.connections_max = 1;
        settings.pace.clients.requests_per_second = 1;
        settings.pace.clients.rate = Rate::new(1000);
    })
    .await;
    world.up.on("/v3/index.json").hang();
    let busy = tokio::spawn(ask(world.addr, "/v3/index.json"));
    world.up.wait_for(|log| log.len() == 1).await;
    // Clients that come now wait for a place.
    let waiting = tokio::spawn(ask(world.addr, "/-/health"));
    for _ in 0..20 {
        for (path, status) in [
            ("/metrics", 200),
            ("/-/ready", 200),
            ("/-/state", 200),
            ("/-/packages", 200),
            // What is counted at the other door.
            ("/", 302),
            ("/v3/query", 404),
        ] {
            let answer = get(world.admin, path, &[HTML]);
            let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap();
            assert_eq!(answer.status, status, "{path}");
        }
    }
    assert!(!busy.is_finished() && !waiting.is_finished());
    let held = world.metric("nugate_throttled_total").await;
    assert_eq!(held, 0.0);
    world.up.release();
    assert_eq!(busy.await.unwrap(), 200);
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_house_has_few_places_and_none_of_the_others() {
    let world = world(|settings| {
        settings.admin = Some(Limits {
            connections_max: 2,
            ..settings.limits.clone()
        });
    })
    .await;
    let idle = [
        TcpStream::connect(world.admin).await.unwrap(),
        TcpStream::connect(world.admin).await.unwrap(),
    ];
    until("both are in", async || {
        world.app().proxy().metrics().connections.get() >= 2
    })
    .await;
    assert_eq!(world.get("index.json").await.status, 200);
    // One that says nothing makes room.
    assert_eq!(get(world.admin, "/metrics", &[]).await.status, 200);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stop_together() {
    let mut world = world(|it| it.limits.shutdown_timeout = PATIENCE * 10).await;
    let package = world.nupkg("example.core", "1.0.0");
    world.hit(CORE).await;
    let mut idle = used(world.admin).await;
    world
        .up
        .on("/v3-flatcontainer/example.json/index.json")
        .hang();
    let addr = world.addr;
    let asked = tokio::spawn(ask(addr, "/v3/flat/example.json/index.json"));
    world
        .up
        .wait_for(|log| {
            log.iter()
                .any(|it| it.path_and_query.contains("example.json"))
        })
        .await;
    world.begin_to_stop();
    // The idle connection is closed at once, whatever goes on at the other door.
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    assert!(!asked.is_finished());
    world.up.release();
    assert_eq!(asked.await.unwrap(), 200);
    tokio::time::timeout(PATIENCE, world.stop()).await.unwrap();
    world.start().await;
    assert!(world.hit(CORE).await.body == package);
}
