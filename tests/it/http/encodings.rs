//! Content codings.
//!
//! - documents are gzip for those who accept it, however the upstream labels its own
//! - both encodings vary, have tags of their own and the same content
//! - packages are never encoded

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

use super::{CORE, LARGE, gunzip, world};
use crate::support::{World, get};

const ACCEPTS: &[(&str, bool)] = &[
    ("", false),
    ("gzip", true),
    ("gzip, deflate", true),
    ("deflate, GZIP", true),
    ("gzip;q=0", false),
    ("gzip;Q=0", false),
    ("gzip;q=0.000", false),
    ("gzip; q=0.5", true),
    ("*", true),
    ("*;q=0", false),
    ("gzip;q=0, *", false),
    ("deflate", false),
    ("identity", false),
    ("br, zstd", false),
];

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap().into()
}

/// Makes the upstream send a document gzip-encoded and labelled, or plain and unlabelled.
async fn label(world: &World, path: &str, labelled: bool) {
    let own = get(world.up.addr(), path, &[]).await;
    let plain = match own.header("content-encoding") {
        "gzip" => gunzip(&own.body),
        _ => own.body.to_vec(),
    };
    let script = world.up.on(path);
    let script = if labelled {
        script
            .reply(200, gzip(&plain))
            .header("content-encoding", "gzip")
    } else {
        script.reply(200, plain)
    };
    drop(script.header("content-type", "application/json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_encoded_for_those_who_accept_it() {
    for (slug, hive) in [
        ("registration", "registration5-semver1"),
        ("registration-gz", "registration5-gz-semver1"),
        ("registration-gz-semver2", "registration5-gz-semver2"),
    ] {
        for labelled in [true, false] {
            let world = world().await;
            label(
                &world,
                &format!("/v3/{hive}/example.core/index.json"),
                labelled,
            )
            .await;
            let path = format!("{slug}/example.core/index.json");
            let plain = world.hit(&path).await;
            let tag = plain.header("etag");
            assert!(
                plain.json()["@id"]
                    .as_str()
                    .unwrap()
                    .starts_with(&world.base())
            );
            for (accept, encoded) in ACCEPTS {
                let what = format!("{hive} labelled={labelled} {accept:?}");
                let headers = [("accept-encoding", *accept)];
                let headers = if accept.is_empty() { &[][..] } else { &headers };
                let got = world.get_with(&path, headers).await;
                assert_eq!(got.status, 200, "{what}");
                assert_eq!(got.header("vary"), "Accept-Encoding", "{what}");
                assert_eq!(got.header("content-length"), got.body.len().to_string());
                let (coding, content) = if *encoded {
                    ("gzip", gunzip(&got.body))
                } else {
                    ("", got.body.to_vec())
                };
                assert_eq!(got.header("content-encoding"), coding, "{what}");
                assert_eq!(content, plain.body, "{what}");
                assert_eq!(got.header("etag") != tag, *encoded, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_never_encoded() {
    let world = world().await;
    for (path, id) in [(CORE, "example.core"), (LARGE, "example.large")] {
        let package = world.nupkg(id, "1.0.0");
        for _ in 0..2 {
            let got = world.get_with(path, &[("accept-encoding", "gzip")]).await;
            assert!(got.body == package, "{path}");
            assert_eq!(got.header("content-encoding"), "", "{path}");
            assert_eq!(got.header("vary"), "", "{path}");
        }
    }
    let seen = world.up.log();
    let packages = seen.iter().filter(|seen| seen.path().ends_with(".nupkg"));
    let asked: Vec<_> = packages
        .map(|seen| seen.header("accept-encoding"))
        .collect();
    assert_eq!(asked, ["identity", "identity"]);
}
