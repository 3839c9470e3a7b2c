//! What a feed that speaks V2 says is kept like everything else.

use aws_lc_rs::digest::{SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use nugate::demo::ExampleFeed;
use nugate::policy::class::Network;

use super::{asked, entry, get, list, nupkg, service, speak, with, world};
use crate::support::{ScriptedUpstream, World, client, until};

const VERSIONS: &str = "/FindPackagesById()?id='Gallery.Only'";
const SEARCH: &str = "/Search()?searchTerm='x'";

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_cost_one_request() {
    let world = world().await;
    get(&world, "").await;
    world.quiet().await;
    let base = format!("{}/api/v2", world.up.base_url());
    let body = list(&base, &[entry(&base, "Gallery.Only", "1.0")], None);
    let script = world.up.on("/api/v2/Search()").reply(200, body);
    drop(script.hang());
    let clients = join_all((0..200).map(|_| get(&world, SEARCH)));
    let release = async {
        until("all the others have joined", async || {
            world.metric("nugate_joins_total").await >= 199.0
        })
        .await;
        world.up.release();
    };
    let (answers, ()) = tokio::join!(clients, release);
    for answer in &answers {
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (200, &answers[0].body)
        );
    }
    assert_eq!(world.up.count("/api/v2/Search()"), 1);
    assert_eq!(world.up.count("/api/v2/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_stored_conditional_and_compressed() {
    let world = world().await;
    let base = format!("{}/api/v2", world.up.base_url());
    let many: Vec<_> = (0..50)
        .map(|n| entry(&base, "Gallery.Only", &format!("1.{n}")))
        .collect();
    let script = world.up.on("/api/v2/FindPackagesById()");
    drop(
        script
            .reply(200, list(&base, &many, None))
            .header("etag", "\"theirs\""),
    );
    let first = get(&world, VERSIONS).await;
    assert!(first.header("cache-status").contains("fwd"), "{first:?}");
    world.quiet().await;
    world.up.clear_log();
    let second = get(&world, VERSIONS).await;
    assert_eq!(second.header("cache-status"), "nugate; hit");
    assert_eq!(second.body, first.body);
    let path = format!("/api/v2{VERSIONS}");
    let tag = second.header("etag");
    let same = client::get(world.addr, &path, &[("if-none-match", tag)]).await;
    assert_eq!(same.status, 304);
    let gzip = client::get(world.addr, &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert!(gzip.body.len() * 2 < second.body.len());
    let head = client::head(world.addr, &path, &[]).await;
    assert_eq!(head.header("content-length"), second.body.len().to_string());
    assert_eq!(world.up.requests(), 0);
    world.later(16 * 60);
    let script = world.up.on("/api/v2/FindPackagesById()");
    drop(script.reply(304, ""));
    let confirmed = get(&world, VERSIONS).await;
    assert_eq!(
        confirmed.header("cache-status"),
        "nugate; fwd=stale; fwd-status=304"
    );
    assert_eq!(confirmed.body, first.body);
    let log = world.up.log();
    let seen = log
        .iter()
        .find(|seen| seen.path().ends_with("FindPackagesById()"));
    assert_eq!(seen.unwrap().header("if-none-match"), "\"theirs\"");
    let series = "nugate_requests_total{cache=\"hit\",resource=\"v2_versions\"";
    assert!(world.metric(series).await >= 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_answered_with_what_is_stored() {
    let mut world = world().await;
    let paths = [
        "",
        VERSIONS,
        SEARCH,
        "/Packages()/$count",
        "/package/Gallery.Only/1.0",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(get(&world, path).await);
        world.quiet().await;
    }
    world.up.down().await;
    world.later(3600);
    for (path, before) in paths.iter().zip(&before) {
        let stale = get(&world, path).await;
        if path.starts_with("/package/") {
            // Whether V3 has it now cannot be known.
            assert_eq!(stale.status, 502);
            continue;
        }
        assert_eq!(
            (stale.status, &stale.body),
            (before.status, &before.body),
            "{path}"
        );
        let status = stale.header("cache-status");
        assert!(
            status.contains("stale") || status.contains("backed-off"),
            "{stale:?}"
        );
        assert!(
            stale.header("x-nuget-warning").contains("stored copy"),
            "{stale:?}"
        );
    }
    let unknown = get(&world, "/FindPackagesById()?id='Example.Core'").await;
    // 503 when its host is left alone already.
    assert!(
        matches!(unknown.status.as_u16(), 502 | 503),
        "neither V2 nor V3 documents: {unknown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_what_is_stored_is_served_and_nothing_asked() {
    let mut world = world().await;
    let before = get(&world, VERSIONS).await;
    world.quiet().await;
    world.stop().await;
    world.change(|settings| settings.options.network = Network::Offline);
    world.start().await;
    world.up.clear_log();
    let stored = get(&world, VERSIONS).await.text();
    let port = |text: &str| text.matches("Gallery.Only").count();
    assert_eq!(port(&stored), port(&before.text()));
    assert_eq!(get(&world, SEARCH).await.status, 504);
    assert_eq!(world.up.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_answers_keep_their_links_when_the_endpoint_moves() {
    let mut world = world().await;
    get(&world, VERSIONS).await;
    world.quiet().await;
    let old = format!("{}/api/v2", world.up.base_url());
    let base = format!("{}/nuget/v2", world.up.base_url());
    let moved = serde_json::json!({ "version": "3.0.0", "resources": [
        { "@id": base, "@type": "LegacyGallery/2.0.0" },
        { "@id": format!("{}/v3-flatcontainer/", world.up.base_url()), "@type": "PackageBaseAddress/3.0.0" },
    ] });
    world.up.on("/v3/index.json").reply(200, moved.to_string());
    world.up.on("/nuget/v2/").reply(200, service(&base));
    world.later(2 * 3600);
    world.get("index.json").await;
    world.quiet().await;
    world.restart().await;
    let only_stored = [("cache-control", "only-if-cached")];
    let path = format!("/api/v2{VERSIONS}");
    let stored = client::get(world.addr, &path, &only_stored).await;
    assert_eq!(stored.status, 200);
    assert!(!stored.text().contains(&old), "{}", stored.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_makes_lists_be_asked_for_again() {
    let world = world().await;
    for path in [VERSIONS, SEARCH, "/FindPackagesById()?id='Other'"] {
        get(&world, path).await;
    }
    world.quiet().await;
    world.up.clear_log();
    let delete = "/v3/publish/Gallery.Only/1.0.0";
    world
        .up
        .on("/api/v2/package/Gallery.Only/1.0.0")
        .reply(204, "");
    let key = [("x-nuget-apikey", "k")];
    let deleted = client::call(world.addr, http::Method::DELETE, delete, &key, "").await;
    assert_eq!(deleted.status, 204);
    world.later(1);
    for path in [VERSIONS, SEARCH, "/FindPackagesById()?id='Other'"] {
        get(&world, path).await;
        world.quiet().await;
    }
    let lists: Vec<_> = asked(&world)
        .into_iter()
        .filter(|path| path.contains("()"))
        .collect();
    assert_eq!(
        lists,
        [
            "/api/v2/FindPackagesById()?id=%27Gallery.Only%27",
            "/api/v2/Search()?searchTerm=%27x%27"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn links_follow_the_public_url() {
    let world = with(|settings| {
        settings.bases.public_url = Some("https://cache.test/nuget".parse().unwrap());
    })
    .await;
    let path = format!("/nuget/api/v2{VERSIONS}");
    let found = client::get(world.addr, &path, &[]).await.text();
    assert!(
        found.contains("xml:base=\"https://cache.test/nuget/api/v2/\""),
        "{found}"
    );
    let source = "src=\"https://cache.test/nuget/api/v2/package/Gallery.Only/1.0\"";
    assert!(found.contains(source), "{found}");
    assert!(!found.contains(world.up.base_url()), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_on_another_host_is_asked_there_and_told_no_secret() {
    use nugate::config::{Credential, Scheme, Secret};
    let other = ScriptedUpstream::at([127, 0, 0, 2], ExampleFeed::demo()).await;
    speak(&other, "Gallery.Only");
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.options.v2 = true;
        let username = "me".to_owned();
        settings.feed.credential = Some(Credential {
            scheme: Scheme::Basic { username },
            secret: Secret::new("hunter2"),
            hosts: Vec::new(),
        });
    })
    .await;
    let up = world.up.base_url();
    let index = serde_json::json!({ "version": "3.0.0", "resources": [
        { "@id": format!("{}/api/v2", other.base_url()), "@type": "LegacyGallery/2.0.0" },
        { "@id": format!("{up}/v3-flatcontainer/"), "@type": "PackageBaseAddress/3.0.0" },
    ] });
    world.up.on("/v3/index.json").reply(200, index.to_string());
    // A redirect on that host is followed, as those of galleries to their files are.
    let to = "/api/v2/package/Gallery.Only/1.0?moved";
    other
        .on("/api/v2/package/Gallery.Only/1.0")
        .reply(302, "")
        .header("location", to)
        .times(1);
    let file = nupkg("Gallery.Only");
    other
        .on("/api/v2/package/Gallery.Only/1.0")
        .reply(200, file);
    assert_eq!(get(&world, VERSIONS).await.status, 200);
    assert_eq!(
        get(&world, "/package/Gallery.Only/1.0").await.body,
        nupkg("Gallery.Only")
    );
    assert_eq!(get(&world, "/package/Example.Core/1.0.0").await.status, 200);
    assert!(other.requests() >= 4);
    for seen in other.log() {
        assert_eq!(seen.header("authorization"), "", "{seen:?}");
        assert!(seen.path().starts_with("/api/v2/"), "{seen:?}");
    }
    for seen in world.up.log() {
        assert!(
            seen.header("authorization").starts_with("Basic "),
            "{seen:?}"
        );
        assert!(!seen.path().starts_with("/api/v2"), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_must_be_what_its_entry_says() {
    for right in [true, false] {
        let world = world().await;
        let base = format!("{}/api/v2", world.up.base_url());
        let wrong = bytes::Bytes::from_static(b"something else");
        let of = if right { nupkg("Gallery.Only") } else { wrong };
        let hash = STANDARD.encode(digest(&SHA512, &of));
        let hash = format!(
            "<d:PackageHash>{hash}</d:PackageHash>\
             <d:PackageHashAlgorithm>SHA512</d:PackageHashAlgorithm></m:properties>"
        );
        let one = entry(&base, "Gallery.Only", "1.0").replace("</m:properties>", &hash);
        let script = world.up.on("/api/v2/FindPackagesById()");
        drop(script.reply(200, list(&base, &[one], None)));
        assert_eq!(get(&world, VERSIONS).await.status.as_u16(), 200);
        let package = "/package/Gallery.Only/1.0";
        let got = get(&world, package).await;
        // Refused, then believed, but not kept.
        let asked = world.up.count(&format!("/api/v2{package}"));
        assert_eq!(
            (got.status.as_u16(), asked),
            (200, if right { 1 } else { 2 })
        );
        world.quiet().await;
        let kept = get(&world, package).await.header("cache-status") == "nugate; hit";
        assert_eq!(kept, right);
    }
}
