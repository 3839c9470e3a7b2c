//! V2 clients are answered from the V3 documents of the same feed.

mod lists;
mod outage;

use http::Method;
use nugate::demo::{ExampleFeed, Package};
use nugate::nuget::v2::V2Source;

use crate::support::World;
use crate::support::client::{self, Response};

/// GET below our `/api/v2`.
async fn get(world: &World, path: &str) -> Response {
    client::get(world.addr, &format!("/api/v2{path}"), &[]).await
}

/// The body of what must be a document.
async fn xml(world: &World, path: &str) -> String {
    let response = get(world, path).await;
    assert_eq!(response.status, 200, "{path}: {response:?}");
    response.text()
}

/// The texts of an element, in order.
fn all<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<d:{name}");
    let parts = xml.split(&*open).skip(1);
    let whole = parts.filter(|part| part.starts_with(['>', ' ']));
    let text = |part: &'a str| {
        part.split_once('>')?
            .1
            .split_once("</")
            .map(|(text, _)| text)
    };
    whole.filter_map(text).collect()
}

/// `Id Version` of all entries.
fn entries(xml: &str) -> Vec<String> {
    let (ids, versions) = (all(xml, "Id"), all(xml, "Version"));
    assert_eq!(ids.len(), versions.len());
    let each = ids.iter().zip(versions);
    each.map(|(id, version)| format!("{id} {version}"))
        .collect()
}

#[track_caller]
fn next(world: &World, xml: &str) -> Option<String> {
    let (_, rest) = xml.split_once("<link rel=\"next\" href=\"")?;
    let url = rest
        .split('"')
        .next()?
        .replace("&amp;", "&")
        .replace("&apos;", "'");
    let base = format!("http://{}/api/v2", world.addr);
    Some(url.strip_prefix(&base).expect("a link to us").to_owned())
}

async fn world() -> World {
    of(ExampleFeed::demo()).await
}

async fn of(feed: ExampleFeed) -> World {
    World::with(feed, |settings| {
        settings.options.v2 = true;
        settings.options.v2_source = V2Source::Facts;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_say_what_there_is() {
    let world = world().await;
    for path in ["", "/"] {
        let service = xml(&world, path).await;
        let base = format!("xml:base=\"http://{}/api/v2/\"", world.addr);
        assert!(service.contains(&base) && service.contains("<collection href=\"Packages\">"));
    }
    let schema = xml(&world, "/$metadata").await;
    for name in ["Search", "FindPackagesById", "GetUpdates"] {
        assert!(
            schema.contains(&format!("<FunctionImport Name=\"{name}\"")),
            "{name}"
        );
    }
    assert!(world.up.log().is_empty(), "nothing of it is the feed's");
    let index = world.get("index.json").await.json();
    let ours = format!("http://{}/api/v2", world.addr);
    let resources = index["resources"].as_array().unwrap();
    for name in ["LegacyGallery", "LegacyGallery/2.0.0"] {
        let mut of_type = resources.iter().filter(|it| it["@type"] == name);
        assert_eq!(of_type.next().unwrap()["@id"], ours.as_str());
        assert!(of_type.next().is_none(), "{name} twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_an_id() {
    let world = world().await;
    let core = xml(&world, "/FindPackagesById()?id='EXAMPLE.core'").await;
    assert_eq!(entries(&core), ["Example.Core 1.0.0", "Example.Core 1.1.0"]);
    let modern = xml(
        &world,
        "/FindPackagesById()?id='Example.Core'&semVerLevel=2.0.0",
    )
    .await;
    assert_eq!(
        entries(&modern).last().unwrap(),
        "Example.Core 2.0.0-beta.1"
    );
    assert_eq!(all(&modern, "IsLatestVersion"), ["false", "true", "false"]);
    assert_eq!(
        all(&modern, "IsAbsoluteLatestVersion"),
        ["false", "false", "true"]
    );
    assert_eq!(all(&modern, "IsPrerelease"), ["false", "false", "true"]);
    let source = format!(
        "<content type=\"application/zip\" src=\"http://{}/api/v2/package/Example.Core/1.0.0\"/>",
        world.addr
    );
    assert!(core.contains(&source), "{core}");
    let none = xml(&world, "/FindPackagesById()?id='Example.None'").await;
    assert_eq!(entries(&none), [""; 0]);
    assert_eq!(
        get(&world, "/FindPackagesById()/$count?id='Example.Core'")
            .await
            .text(),
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_and_unlisted_versions() {
    let world = world().await;
    let http = xml(&world, "/Packages(Id='example.http',Version='1.0')").await;
    let expected = ["Example.Core:1.1.0:|Example.Json:1.2.0:net8.0"];
    assert_eq!(all(&http, "Dependencies"), expected);
    assert_eq!(entries(&http), ["Example.Http 1.0.0"]);
    let legacy = xml(
        &world,
        "/Packages()?$filter=Id eq 'Example.Legacy'"
            .replace(' ', "%20")
            .as_str(),
    )
    .await;
    assert_eq!(
        entries(&legacy),
        ["Example.Legacy 0.1.0", "Example.Legacy 0.2.0"]
    );
    let published = all(&legacy, "Published");
    assert_eq!(published[0], "1900-01-01T00:00:00");
    assert!(published[1].starts_with("2026-"), "{published:?}");
    let found = xml(&world, "/Search()?searchTerm='legacy'").await;
    assert_eq!(entries(&found), ["Example.Legacy 0.2.0"]);
    for absent in [
        "/Packages(Id='Example.Http',Version='7.0')",
        "/Packages(Id='Nope',Version='1.0')",
    ] {
        assert_eq!(get(&world, absent).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_those_of_v3() {
    let world = world().await;
    let nupkg = world.nupkg("Example.Core", "1.1.0");
    for path in [
        "/package/Example.Core/1.1.0",
        "/package/example.core/1.1",
        "/package/EXAMPLE.CORE",
        "/Packages(Id='Example.Core',Version='1.1.0')/$value",
    ] {
        assert_eq!(get(&world, path).await.body, nupkg, "{path}");
        world.quiet().await;
    }
    let fetched = world.up.log();
    let fetched = fetched
        .iter()
        .filter(|seen| seen.path().ends_with(".nupkg"));
    assert_eq!(fetched.count(), 1, "one copy for all of them");
    let head = client::head(world.addr, "/api/v2/package/Example.Core/1.1.0", &[]).await;
    assert_eq!(head.header("content-length"), nupkg.len().to_string());
    assert_eq!(get(&world, "/package/Example.Core/9.9.9").await.status, 404);
    assert_eq!(get(&world, "/package/Example.None").await.status, 404);
}

/// 300 versions of one id, and another id.
async fn many() -> World {
    let many = (0..300).map(|minor| Package::new("Example.Many", format!("1.{minor}.0")));
    let other = Package::new("Example.Other", "1.0.0");
    of(ExampleFeed::new(many.chain([other])).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_what_is_installed() {
    let world = world().await;
    let of = async |rest: &str| {
        let path = format!("/GetUpdates()?packageIds='Example.Core|Example.Http|Nope'&{rest}");
        entries(&xml(&world, &path).await)
    };
    let installed = "versions='1.0.0|0.9.0|1.0'&targetFrameworks=''";
    let plain = of(&format!(
        "{installed}&includePrerelease=false&includeAllVersions=false&versionConstraints=''"
    ))
    .await;
    assert_eq!(plain, ["Example.Core 1.1.0", "Example.Http 1.0.0"]);
    let newest = of(&format!(
        "{installed}&includePrerelease=true&includeAllVersions=true&semVerLevel=2.0.0"
    ))
    .await;
    assert_eq!(
        newest,
        [
            "Example.Core 1.1.0",
            "Example.Core 2.0.0-beta.1",
            "Example.Http 1.0.0"
        ]
    );
    let held = of(&format!(
        "{installed}&versionConstraints='[1.0,1.1)|[1.0]|'"
    ))
    .await;
    assert_eq!(held, ["Example.Http 1.0.0"]);
    assert_eq!(
        get(&world, "/GetUpdates()?packageIds='a'&versions=''")
            .await
            .status,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_refused_by_name() {
    let world = world().await;
    for (path, status, named) in [
        (
            "/Packages()?$filter=DownloadCount%20gt%207",
            501,
            "DownloadCount",
        ),
        ("/Packages()?$expand=x", 501, "$expand"),
        ("/Packages()?$filter=Nope%20eq%207", 400, "Nope"),
        ("/Packages()?$top=x", 400, "$top"),
        ("/Nothing()", 404, "V2 resource"),
    ] {
        let response = get(&world, path).await;
        assert_eq!(response.status.as_u16(), status, "{path}");
        assert!(
            response.text().contains(named),
            "{path}: {}",
            response.text()
        );
    }
    assert!(world.up.log().is_empty());
    let put = client::call(world.addr, Method::PUT, "/api/v2/Packages", &[], "").await;
    assert_eq!(put.status, 405);
    let foreign = client::get(world.addr, "/api/v2", &[("host", "evil.example")]).await;
    assert_eq!(foreign.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_with_an_older_registration_will_do() {
    let index = |up: &str| {
        serde_json::json!({ "version": "3.0.0", "resources": [
            { "@id": format!("{up}/v3-flatcontainer/"), "@type": "PackageBaseAddress/3.0.0" },
            { "@id": format!("{up}/v3/registration5-semver1/"), "@type": "RegistrationsBaseUrl" },
        ] })
        .to_string()
    };
    let world = world().await;
    let document = index(world.up.base_url());
    world.up.on("/v3/index.json").reply(200, document);
    let found = xml(&world, "/FindPackagesById()?id='Example.Http'").await;
    assert_eq!(
        entries(&found),
        ["Example.Http 0.9.0", "Example.Http 1.0.0"]
    );
    assert_eq!(get(&world, "/Search()?searchTerm='x'").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off() {
    let world = World::demo().await;
    let response = get(&world, "/FindPackagesById()?id='Example.Core'").await;
    assert_eq!(response.status, 404);
    assert!(response.text().contains("v2 = false"));
    let index = world.get("index.json").await.text();
    assert!(!index.contains("LegacyGallery"));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_follow_the_public_url() {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.options.v2 = true;
        settings.bases.public_url = Some("https://cache.test/nuget".parse().unwrap());
    })
    .await;
    let path = "/nuget/api/v2/FindPackagesById()?id='Example.Json'";
    let found = client::get(world.addr, path, &[]).await.text();
    assert!(found.contains("xml:base=\"https://cache.test/nuget/api/v2/\""));
    assert!(found.contains("src=\"https://cache.test/nuget/api/v2/package/Example.Json/1.2.0\""));
    let icon = "<d:IconUrl>https://cache.test/nuget/v3/flat/example.json/1.2.0/icon</d:IconUrl>";
    assert!(found.contains(icon), "{found}");
    // Pages for people stay the feed's own.
    let documents = format!("{}/v3", world.up.base_url());
    assert!(!found.contains(&documents), "{found}");
}
