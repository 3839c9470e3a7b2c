//! Digests that upstreams give, and bodies that are not what was asked for.
//!
//! - a body with the digests its response gives is kept; with another it reaches no client whole,
//!   and is asked for once more past all caches
//! - so do the digests that catalog leaves and V2 entries state, once they were shown
//! - a feed that gives a wrong digest twice is believed its bytes; they are served, not kept
//! - JSON that is empty, of the wrong shape, too deep or too long is refused
//! - a response with two lengths is refused

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use nugate::demo::{ExampleFeed, Package};

use crate::support::client::{self, try_get};
use crate::support::{World, stored};

const BIG: &str = "flat/example.big/1.0.0/example.big.1.0.0.nupkg";
const BIG_ABOVE: &str = "/v3-flatcontainer/example.big/1.0.0/example.big.1.0.0.nupkg";
/// Longer than what is held back until a body is verified, and shorter.
const SIZES: [usize; 2] = [700_000, 10_000];

async fn world(bytes: usize) -> (World, Bytes) {
    let big = Package::new("Example.Big", "1.0.0").padded(bytes);
    let world = World::new(ExampleFeed::new([big]).unwrap()).await;
    stored(&world, "index.json").await;
    let package = world.nupkg("example.big", "1.0.0");
    world.up.clear_log();
    (world, package)
}

/// Fields that give digests of `body`.
fn fields(body: &[u8]) -> Vec<(&'static str, String)> {
    let md5 = STANDARD.encode(Md5::digest(body));
    let sha256 = STANDARD.encode(digest(&SHA256, body));
    let sha512 = STANDARD.encode(digest(&SHA512, body));
    vec![
        ("content-md5", md5.clone()),
        ("x-ms-meta-SHA512", sha512.clone()),
        ("digest", format!("SHA-256={sha256},MD5={md5}")),
        ("repr-digest", format!("sha-512=:{sha512}:")),
        ("repr-digest", format!("sha-256=:{sha256}:")),
    ]
}

async fn entries(world: &World) -> f64 {
    world.metric("nugate_store_entries").await
}

fn asked_past_caches(world: &World) -> Vec<bool> {
    let log = world.up.log();
    let asked = log.iter().filter(|seen| seen.path() == BIG_ABOVE);
    asked
        .map(|seen| seen.header("cache-control") == "no-cache")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_its_digest_is_kept() {
    for size in SIZES {
        let (_, package) = world(size).await;
        for (name, value) in fields(&package) {
            let (world, package) = world(size).await;
            drop(world.up.on(BIG_ABOVE).header(name, &value));
            assert!(stored(&world, BIG).await.body == package, "{name}");
            let kept = world.get(BIG).await;
            assert_eq!(kept.header("cache-status"), "nugate; hit", "{name}");
            assert_eq!(world.up.count(BIG_ABOVE), 1, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_with_another_digest_reaches_no_client() {
    for (name, value) in fields(b"something else") {
        let (world, package) = world(SIZES[0]).await;
        drop(world.up.on(BIG_ABOVE).header(name, &value).times(1));
        let got = try_get(world.addr, &format!("/v3/{BIG}"), &[]).await;
        assert!(got.is_err(), "{name}");
        world.quiet().await;
        assert!((entries(&world).await - 1.0).abs() < 0.1, "{name}: kept");
        assert!(stored(&world, BIG).await.body == package, "{name}");
        assert_eq!(asked_past_caches(&world), [false, true], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_must_be_what_the_catalog_says() {
    const LEAF: &str = "/v3/catalog/data/2024.01.01.00.00.00/example.big.1.0.0.json";
    const LEAF_ABOVE: &str = "/v3/catalog0/data/2024.01.01.00.00.00/example.big.1.0.0.json";
    for right in [true, false] {
        let (world, package) = world(SIZES[0]).await;
        let wrong: &[u8] = b"something else";
        let of: &[u8] = if right { &package } else { wrong };
        let hash = STANDARD.encode(digest(&SHA512, of));
        let leaf = format!(
            r#"{{"id":"Example.Big","version":"1.0.0","packageHash":"{hash}","packageHashAlgorithm":"SHA512"}}"#
        );
        drop(world.up.on(LEAF_ABOVE).reply(200, leaf));
        assert_eq!(
            client::get(world.addr, LEAF, &[]).await.status.as_u16(),
            200
        );
        let got = try_get(world.addr, &format!("/v3/{BIG}"), &[]).await;
        world.quiet().await;
        assert_eq!(got.is_ok_and(|got| got.body == package), right);
        assert_eq!(world.up.count(BIG_ABOVE), 1);
        let kept = world.get(BIG).await.header("cache-status") == "nugate; hit";
        assert_eq!(kept, right);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_body_with_another_digest_is_asked_for_again_at_once() {
    for (name, value) in fields(b"something else") {
        let (world, package) = world(SIZES[1]).await;
        drop(world.up.on(BIG_ABOVE).header(name, &value).times(1));
        assert!(stored(&world, BIG).await.body == package, "{name}");
        assert_eq!(asked_past_caches(&world), [false, true], "{name}");
        let kept = world.get(BIG).await;
        assert_eq!(kept.header("cache-status"), "nugate; hit", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_is_always_wrong_does_not_block_a_package() {
    for size in SIZES {
        let (world, package) = world(size).await;
        let (name, value) = fields(b"something else").remove(0);
        drop(world.up.on(BIG_ABOVE).header(name, &value));
        if size == SIZES[0] {
            assert!(
                try_get(world.addr, &format!("/v3/{BIG}"), &[])
                    .await
                    .is_err()
            );
            world.quiet().await;
        }
        let got = stored(&world, BIG).await;
        assert_eq!(got.status, 200, "{size}");
        assert!(got.body == package, "{size}");
        assert!((entries(&world).await - 1.0).abs() < 0.1, "{size}: kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_holds_for_a_body_that_was_resumed() {
    for right in [true, false] {
        let (world, package) = world(SIZES[0]).await;
        let body = if right {
            &package[..]
        } else {
            b"something else"
        };
        let (name, value) = fields(body).remove(1);
        let script = world.up.on(BIG_ABOVE).header(name, &value);
        drop(script.cut_after(500_000).times(1));
        let got = try_get(world.addr, &format!("/v3/{BIG}"), &[]).await;
        assert_eq!(got.is_ok(), right);
        world.quiet().await;
        let expected = if right { 2.0 } else { 1.0 };
        assert!((entries(&world).await - expected).abs() < 0.1);
        assert_eq!(world.up.count(BIG_ABOVE), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_no_document_is_refused() {
    const LIST: (&str, &str) = (
        "flat/example.core/index.json",
        "/v3-flatcontainer/example.core/index.json",
    );
    const REGISTRATION: (&str, &str) = (
        "registration-gz-semver2/example.core/index.json",
        "/v3/registration5-gz-semver2/example.core/index.json",
    );
    const INDEX: (&str, &str) = ("index.json", "/v3/index.json");
    let deep = format!(
        r#"{{"version":"3.0.0","resources":[],"versions":[],"items":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let long = format!(
        r#"{{"version":"3.0.0","resources":[],"versions":[],"items":["{}"]}}"#,
        "x".repeat(2 << 20)
    );
    let page = "<!DOCTYPE html><html><body>Sign in</body></html>";
    for (path, above) in [LIST, REGISTRATION, INDEX] {
        for body in [
            "",
            "{}",
            "null",
            "[]",
            "{\"versions\":[]",
            page,
            &deep,
            &long,
        ] {
            for chunked in [false, true] {
                let what = format!("{path} {}", &body[..body.len().min(40)]);
                let world = World::with(ExampleFeed::demo(), |settings| {
                    settings.options.document_size_max = 1 << 20;
                })
                .await;
                let script = world.up.on(above).reply(200, body.to_owned());
                drop(if chunked { script.no_length() } else { script });
                let got = world.get(path).await;
                assert_eq!(got.status, 502, "{what}");
                world.quiet().await;
                let kept = world
                    .get_with(path, &[("cache-control", "only-if-cached")])
                    .await;
                assert_eq!(kept.status, 504, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_are_refused() {
    for size in SIZES {
        let (world, _) = world(size).await;
        drop(world.up.on(BIG_ABOVE).two_lengths());
        let got = world.get(BIG).await;
        assert_eq!(got.status, 502, "{size}");
        world.quiet().await;
        assert!((entries(&world).await - 1.0).abs() < 0.1, "{size}: kept");
    }
}
