//! Documents that take longer than clients wait for a head.
//!
//! - the head comes in time, white space until the document is there, then the whole document
//! - a document that fails after its head ends with a closed connection
//! - packages wait for their head

use std::time::Duration;

use nugate::demo::ExampleFeed;

use crate::support::{World, client};

const INDEX: &str = "/v3/registration-gz-semver2/example.core/index.json";
const ABOVE: &str = "/v3/registration5-gz-semver2/example.core/index.json";

async fn impatient() -> World {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.patience = Duration::from_millis(20);
    })
    .await;
    world.get("index.json").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn white_space_bridges_the_wait_for_a_document() {
    let world = impatient().await;
    world.up.on(ABOVE).hang();
    let mut slow = client::open(world.addr, INDEX, &[("accept-encoding", "gzip")]).await;
    assert_eq!(slow.status.as_u16(), 200);
    assert!(!slow.headers.contains_key("content-encoding"));
    for _ in 0..3 {
        assert_eq!(&slow.next().await.unwrap().unwrap()[..], b" ");
    }
    world.up.release();
    let shown = slow.rest().await.unwrap();
    let again = client::get(world.addr, INDEX, &[]).await;
    assert_eq!(shown.text().trim_start(), again.text());
    assert_eq!(world.up.count(ABOVE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_fails_late_never_looks_complete() {
    let world = impatient().await;
    world.up.on(ABOVE).hang().reply(500, "no");
    let mut slow = client::open(world.addr, INDEX, &[]).await;
    assert_eq!(&slow.next().await.unwrap().unwrap()[..], b" ");
    world.up.release();
    assert!(slow.rest().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_wait_for_their_head() {
    let world = impatient().await;
    let above = "/v3-flatcontainer/example.core/1.0.0/example.core.1.0.0.nupkg";
    world.up.on(above).delay(Duration::from_millis(200));
    let package = world
        .get("flat/example.core/1.0.0/example.core.1.0.0.nupkg")
        .await;
    assert_eq!(package.status.as_u16(), 200);
    assert!(package.body == world.nupkg("example.core", "1.0.0"));
    assert_eq!(world.up.count(above), 1);
}
