//! Pushes and deletions through a group: which feed they reach, and what is seen of them.

use std::io::{Cursor, Write as _};

use http::Method;
use nugate::demo::Package;
use nugate::nuget::merge::Versions;
use nugate::nuget::publish::Publish;

use super::texts;
use crate::support::client::{Response, call};
use crate::support::group::{FeedOf, feed};
use crate::support::push::{FORM, form, form_of};
use crate::support::world::Settings;
use crate::support::{GroupWorld, ScriptedUpstream};

/// The feed that takes pushes, and a public one that does not.
fn two() -> Vec<FeedOf> {
    vec![
        feed("corp", &[("Own", "1.0.0")], &[]),
        feed("public", &[("Shared", "1.0.0")], &[]),
    ]
}

fn corp_takes(name: &str, settings: &mut Settings) {
    if name != "corp" {
        settings.options.publish = Publish::Refuse;
    }
}

fn public_takes(name: &str, settings: &mut Settings) {
    if name != "public" {
        settings.options.publish = Publish::Refuse;
    }
}

async fn push(world: &GroupWorld, path: &str, id: &str, version: &str) -> Response {
    let form = form_of(id, version);
    call(world.addr, Method::PUT, path, &[FORM], form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_unknown_is_known_by_every_document_after_its_push() {
    for versions in [Versions::First, Versions::United] {
        for path in [
            "/v3/registration-gz-semver2/new/index.json",
            "/v3/flat/new/1.0.0/new.1.0.0.nupkg",
            "/v3/flat/new/index.json",
            "/api/v2/Packages(Id='New',Version='1.0.0')",
            "/api/v2/package/New",
        ] {
            let world = GroupWorld::of(two(), versions, corp_takes).await;
            assert_eq!(world.get_at(path).await.status, 404, "{path}");
            // The lists of both feeds are known to be missing.
            assert_eq!(world.get("flat/new/index.json").await.status, 404);
            assert_eq!(
                push(&world, "/v3/publish", "New", "1.0.0").await.status,
                201
            );
            let found = world.get_at(path).await;
            assert_eq!(found.status, 200, "{versions:?} {path}: {}", found.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_moves_to_the_first_feed_with_its_push() {
    let world = GroupWorld::of(two(), Versions::First, corp_takes).await;
    let package = "flat/shared/1.0.0/shared.1.0.0.nupkg";
    assert_eq!(
        world.get(package).await.body,
        world.nupkg(1, "Shared", "1.0.0")
    );
    let pushed = push(&world, "/feeds/corp/v3/publish", "Shared", "1.0.0").await;
    assert_eq!(pushed.status, 201);
    assert_eq!(
        world.get(package).await.body,
        world.nupkg(0, "Shared", "1.0.0")
    );
    let found = world.get("query?q=shared").await.json();
    let versions = found["data"][0]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_deleted_from_its_home_moves_on() {
    let feeds = vec![
        feed("corp", &[("Shared", "1.0.0")], &[]),
        feed("public", &[("Shared", "2.0.0")], &[]),
    ];
    let world = GroupWorld::of(feeds, Versions::First, corp_takes).await;
    let list = world.get("flat/shared/index.json").await;
    assert_eq!(texts(&list, "versions"), ["1.0.0"]);
    // This feed deletes where nuget.org unlists.
    world.ups[0].change(|feed| feed.remove("Shared", "1.0.0"));
    let script = world.ups[0].on("/api/v2/package/Shared/1.0.0");
    drop(script.reply(204, ""));
    let path = "/v3/publish/Shared/1.0.0";
    let deleted = call(world.addr, Method::DELETE, path, &[], "").await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let package = "flat/shared/2.0.0/shared.2.0.0.nupkg";
    let found = world.get(package).await;
    assert_eq!(found.status, 200, "{}", found.text());
    let list = world.get("flat/shared/index.json").await;
    assert_eq!(texts(&list, "versions"), ["2.0.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_of_an_owned_id_goes_to_no_other_feed() {
    let mut feeds = two();
    feeds[0].owns = &["Contoso.*"];
    let world = GroupWorld::of(feeds, Versions::First, public_takes).await;
    for method in [Method::DELETE, Method::POST] {
        for path in [
            "/v3/publish/Contoso.Core/1.0.0",
            "/api/v2/package/CONTOSO.core/1.0.0",
        ] {
            let headers = [("x-nuget-apikey", "key")];
            let answer = call(world.addr, method.clone(), path, &headers, "").await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
            assert!(answer.text().contains("feed corp"), "{}", answer.text());
        }
    }
    let asked = world.ups.iter().flat_map(ScriptedUpstream::log);
    assert_eq!(asked.filter(|seen| seen.method != Method::GET).count(), 0);
    // Whoever names the feed means it.
    let path = "/feeds/public/v3/publish/Contoso.Core/1.0.0";
    call(world.addr, Method::DELETE, path, &[], "").await;
    assert_eq!(world.asked("Contoso.Core"), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_an_owned_id_goes_to_no_other_feed() {
    let mut feeds = two();
    feeds[0].owns = &["Contoso.*"];
    let world = GroupWorld::of(feeds, Versions::First, |name, settings| {
        public_takes(name, settings);
        settings.options.v2 = true;
    })
    .await;
    let large = |id: &str| {
        let package = Package::new(id, "1.0.0").padded(3_000_000);
        package.nupkg().unwrap()
    };
    let headers = [FORM, ("x-nuget-apikey", "key")];
    for path in ["/v3/publish/", "/v3/symbols", "/api/v2/package"] {
        for form in [form_of("CONTOSO.Core", "1.0.0"), form(&large("Contoso.X"))] {
            let answer = call(world.addr, Method::PUT, path, &headers, form).await;
            assert_eq!(answer.status, 403, "{path}: {}", answer.text());
            assert!(answer.text().contains("feed corp"), "{}", answer.text());
        }
    }
    assert_eq!([world.ups[0].received(), world.ups[1].received()], [0, 0]);
    // What nobody owns arrives as it was sent, and whoever names the feed means it.
    for (path, id) in [
        ("/v3/publish", "Big"),
        ("/feeds/public/v3/publish", "Contoso.X"),
    ] {
        let form = form(&large(id));
        let answer = call(world.addr, Method::PUT, path, &[FORM], form.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let push = world.ups[1].log().pop().unwrap();
        assert!(push.body == form, "{path} is not what was sent");
        assert_eq!(push.header("content-length"), form.len().to_string());
    }
    assert_eq!(
        push(&world, "/v3/publish", "Small", "1.0.0").await.status,
        201
    );
    let nothing = call(world.addr, Method::PUT, "/v3/publish", &[FORM], "").await;
    assert_eq!(nothing.status, 400);
}

/// A package whose manifest comes behind this much else.
fn late(id: &str, bytes: usize) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("lib/a.bin", stored).unwrap();
    archive.write_all(&vec![7; bytes]).unwrap();
    archive.start_file(format!("{id}.nuspec"), stored).unwrap();
    let nuspec = Package::new(id, "1.0.0").nuspec();
    archive.write_all(&nuspec).unwrap();
    archive.finish().unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_ids_are_owned_a_push_that_does_not_tell_its_id_in_time_is_refused() {
    let mut feeds = two();
    feeds[0].owns = &["Contoso.*"];
    let world = GroupWorld::of(feeds, Versions::First, public_takes).await;
    for (path, bytes, status) in [
        ("/v3/publish", 1_200_000, 400),
        ("/v3/symbols", 1_200_000, 400),
        ("/v3/publish", 900_000, 403),
    ] {
        let form = form(&late("Contoso.Late", bytes));
        let answer = call(world.addr, Method::PUT, path, &[FORM], form).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains("/feeds/"), "{}", answer.text());
    }
    assert_eq!([world.ups[0].received(), world.ups[1].received()], [0, 0]);
    // Whoever names the feed means it.
    let form = form(&late("Contoso.Late", 1_200_000));
    let path = "/feeds/public/v3/publish";
    let answer = call(world.addr, Method::PUT, path, &[FORM], form).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_could_be_for_several_feeds_is_refused_and_counted() {
    let world = GroupWorld::first(two()).await;
    let index = world.get("index.json").await.text();
    assert!(!index.contains("PackagePublish"), "{index}");
    for path in ["/v3/publish", "/v3/symbols/", "/api/v2/package"] {
        let answer = push(&world, path, "New", "1.0.0").await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("/feeds/NAME/"), "{}", answer.text());
    }
    assert_eq!([world.ups[0].received(), world.ups[1].received()], [0, 0]);
    let text = world.get_at("/metrics").await.text();
    let line = "nugate_published_total{outcome=\"refused\"} 3";
    assert!(text.contains(line), "{text}");
}
