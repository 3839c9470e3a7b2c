//! Long documents.
//!
//! - however they are asked for, they are the same: HTTP/1.0, 1.1 and 2, in parts, compressed
//! - documents that are made of them are whole: of several feeds, and those of V2

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use nugate::demo::{ExampleFeed, Package};
use nugate::nuget::v2::V2Source;
use serde_json::Value;

use crate::support::group::FeedOf;
use crate::support::{GroupWorld, World, client, get};

/// So long is more than one buffer of anything on its way.
const LONG: usize = 17 * 1024;

const VERSIONS: usize = 60;

const INDEX: &str = "registration-gz-semver2/many/index.json";

fn feed() -> ExampleFeed {
    let package = |number| Package::new("Many", format!("1.{number}.0"));
    ExampleFeed::new((0..VERSIONS).map(package)).unwrap()
}

/// How many versions a registration has.
fn count(index: &Value) -> u64 {
    let pages = index["items"].as_array().unwrap();
    pages.iter().map(|it| it["count"].as_u64().unwrap()).sum()
}

fn inflated(body: &[u8]) -> Bytes {
    let mut all = Vec::new();
    GzDecoder::new(body).read_to_end(&mut all).unwrap();
    all.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_document_is_the_same_however_it_is_sent() {
    let world = World::with(feed(), |settings| {
        settings.bases.public_url = Some("http://cache.test".parse().unwrap());
    })
    .await;
    let path = format!("/v3/{INDEX}");
    let first = world.get(INDEX).await;
    assert!(first.body.len() > LONG, "only {}", first.body.len());
    assert_eq!(count(&first.json()), VERSIONS as u64);
    for _ in 0..3 {
        let again = world.hit(INDEX).await;
        assert_eq!(
            (&again.body, again.header("etag")),
            (&first.body, first.header("etag"))
        );
        let length = first.body.len().to_string();
        assert_eq!(again.header("content-length"), length);
        assert_eq!(world.head(INDEX).await.header("content-length"), length);
        let h2 = client::get_h2(world.addr, &path, &[]).await;
        assert!(h2.body == first.body);
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let old = client::raw(world.addr, request.as_bytes()).await;
        assert!(old.ends_with(&first.body));
        let part = world
            .get_with(INDEX, &[("range", "bytes=17000-17999")])
            .await;
        assert_eq!(part.status, 206);
        assert!(part.body == first.body[17_000..18_000]);
        let packed = world.get_with(INDEX, &[("accept-encoding", "gzip")]).await;
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert!(inflated(&packed.body) == first.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_several_feeds_are_made_of_them() {
    let feeds = ["one", "two"].map(|name| FeedOf {
        name,
        packages: feed(),
        owns: &[],
    });
    let world = GroupWorld::united(feeds.into()).await;
    for _ in 0..3 {
        let index = world.get(INDEX).await;
        assert_eq!(index.status, 200, "{}", index.text());
        assert_eq!(count(&index.json()), VERSIONS as u64);
        let alone = get(world.addr, &format!("/feeds/two/v3/{INDEX}"), &[]).await;
        assert_eq!(count(&alone.json()), VERSIONS as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_v2_are_made_of_them() {
    let world = World::with(feed(), |settings| {
        settings.options.v2 = true;
        settings.options.v2_source = V2Source::Facts;
    })
    .await;
    world.get(INDEX).await;
    let path = "/api/v2/FindPackagesById()?id='Many'";
    let found = get(world.addr, path, &[]).await;
    assert_eq!(found.status, 200, "{}", found.text());
    assert_eq!(found.text().matches("<entry>").count(), VERSIONS);
}
