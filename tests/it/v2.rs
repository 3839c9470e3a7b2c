//! V2 clients are answered from the V3 documents of the same feed.

use http::Method;
use nugate::demo::{ExampleFeed, Package};
use nugate::nuget::v2::V2Source;
use nugate::policy::class::Network;

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
async fn long_lists_are_paged() {
    let world = many().await;
    let expected: Vec<_> = (0..300)
        .map(|minor| format!("Example.Many 1.{minor}.0"))
        .collect();
    for first in [
        "/FindPackagesById()?id='Example.Many'",
        "/Search()?searchTerm='many'&$orderby=Id",
        "/Packages()?$filter=tolower(Id)%20eq%20'example.many'&$orderby=Version",
    ] {
        let mut path = Some(first.to_owned());
        let mut found = Vec::new();
        let mut pages = 0;
        while let Some(this) = path {
            let page = xml(&world, &this).await;
            found.extend(entries(&page));
            path = next(&world, &page);
            pages += 1;
        }
        assert_eq!((pages, &found), (3, &expected), "{first}");
    }
    let window = "/FindPackagesById()?id='Example.Many'&$skip=290&$top=5&$inlinecount=allpages&$orderby=Version desc";
    let page = xml(&world, &window.replace(' ', "%20")).await;
    assert_eq!(
        entries(&page),
        ["9", "8", "7", "6", "5"].map(|minor| format!("Example.Many 1.{minor}.0"))
    );
    assert!(page.contains("<m:count>300</m:count>") && next(&world, &page).is_none());
    let top = xml(&world, "/FindPackagesById()?id='Example.Many'&$top=150").await;
    let rest = xml(&world, &next(&world, &top).unwrap()).await;
    assert_eq!((entries(&top).len(), entries(&rest).len()), (100, 50));
    assert!(next(&world, &rest).is_none());
    let latest = xml(
        &world,
        "/Packages()?$filter=Id%20eq%20'example.many'%20and%20IsLatestVersion",
    )
    .await;
    assert_eq!(entries(&latest), ["Example.Many 1.299.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_of_the_latest_go_page_by_page() {
    let packages = (0..130).map(|n| Package::new(format!("Example.P{n:03}"), "1.0.0"));
    let world = of(ExampleFeed::new(packages).unwrap()).await;
    let query =
        "/Search()?$filter=IsLatestVersion&searchTerm=''&includePrerelease=false&$orderby=Id";
    let mut found = Vec::new();
    for skip in (0..150).step_by(30) {
        let page = xml(&world, &format!("{query}&$skip={skip}&$top=30")).await;
        found.extend(entries(&page));
    }
    let expected: Vec<_> = (0..130).map(|n| format!("Example.P{n:03} 1.0.0")).collect();
    assert_eq!(found, expected);
    let page = xml(
        &world,
        &format!("{query}%20desc&$inlinecount=allpages&$top=2"),
    )
    .await;
    assert_eq!(entries(&page), ["Example.P129 1.0.0", "Example.P128 1.0.0"]);
    assert!(page.contains("<m:count>130</m:count>"));
    let unordered = query.replace("&$orderby=Id", "");
    let page = xml(&world, &unordered).await;
    assert_eq!(entries(&page).len(), 100);
    let rest = xml(&world, &next(&world, &page).unwrap()).await;
    assert_eq!(entries(&rest).len(), 30);
    assert!(next(&world, &rest).is_none());
    let count = query.replace("Search()", "Search()/$count");
    assert_eq!(get(&world, &count).await.text(), "130");
    let term = xml(&world, "/Search()?$filter=IsLatestVersion&searchTerm='P12'").await;
    assert_eq!(entries(&term).len(), 10);
    assert_eq!(all(&term, "DownloadCount")[0], "7", "what the search says");
}

/// The upstream's search gives at most two packages at a time, of those from `skip` on.
fn give_two(world: &World, skip: usize, take: usize, total: usize) {
    let ids = [
        "Example.App",
        "Example.Core",
        "Example.Http",
        "Example.Json",
        "Example.Legacy",
    ];
    let data: Vec<_> = ids
        .iter()
        .skip(skip)
        .take(2)
        .map(|id| serde_json::json!({ "id": id, "version": "1.0.0", "versions": [] }))
        .collect();
    let body = serde_json::json!({ "totalHits": total, "data": data }).to_string();
    let query = format!("prerelease=false&q=&skip={skip}&take={take}");
    let path = format!("/search-usnc/query?{query}");
    world.up.on(&path).reply(200, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_may_give_fewer_than_asked_and_not_say_how_many_there_are() {
    for total in [5, 0] {
        let world = world().await;
        for (skip, take) in [(0, 4), (2, 2), (4, 4), (5, 3)] {
            give_two(&world, skip, take, total);
        }
        let query = "/Search()?$filter=IsLatestVersion&searchTerm=''";
        let first = xml(&world, &format!("{query}&$top=4")).await;
        let rest = xml(&world, &format!("{query}&$skip=4&$top=4")).await;
        let found = [entries(&first), entries(&rest)].concat();
        let expected = [
            "Example.App 1.0.0",
            "Example.Core 1.1.0",
            "Example.Http 1.0.0",
            "Example.Json 1.2.0",
            "Example.Legacy 0.2.0",
        ];
        assert_eq!(found, expected, "of {total}");
        let log = world.up.log();
        let went_on = log
            .iter()
            .any(|seen| seen.path_and_query.ends_with("&skip=2&take=2"));
        assert!(went_on, "{log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_can_be_gathered_is_refused() {
    let world = world().await;
    let body = serde_json::json!({ "totalHits": 501, "data": [{ "id": "Example.App" }] });
    let script = world.up.on("/search-usnc/query");
    drop(script.reply(200, body.to_string()));
    let response = get(&world, "/Search()?searchTerm='x'").await;
    assert_eq!(response.status, 501);
    assert!(
        response.text().contains("more than 500 packages"),
        "{response:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn long_filters_over_many_versions_are_bounded() {
    let many = (0..3000).map(|patch| Package::new("Example.Many", format!("1.0.{patch}")));
    let world = of(ExampleFeed::new(many).unwrap()).await;
    let of_parts = |count| {
        let parts = vec!["endswith(tolower(Version),'99')"; count].join("or ");
        format!("/FindPackagesById()?id='Example.Many'&$filter={parts}").replace(' ', "+")
    };
    let found = entries(&xml(&world, &of_parts(3)).await);
    let expected = (0..3000).filter(|patch| patch % 100 == 99);
    let expected: Vec<_> = expected
        .map(|patch| format!("Example.Many 1.0.{patch}"))
        .collect();
    assert_eq!(found, expected);
    let refused = get(&world, &of_parts(190)).await;
    assert_eq!(refused.status, 501, "{refused:?}");
    assert!(refused.text().contains("3000 versions"), "{refused:?}");
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
async fn an_outage_is_no_empty_list() {
    let mut world = world().await;
    let path = "/FindPackagesById()?id='Example.Core'";
    let before = get(&world, path).await;
    world.quiet().await;
    world.up.down().await;
    for unknown in [
        "/FindPackagesById()?id='Example.Json'",
        "/Search()?searchTerm='json'",
        "/package/Example.Json",
        "/package/Example.Json/1.2.0",
        "/GetUpdates()?packageIds='Example.Core|Example.Json'&versions='1.0|1.0'",
        "/Packages(Id='Example.Json',Version='1.2.0')",
    ] {
        // 503 once the host is left alone.
        let status = get(&world, unknown).await.status.as_u16();
        assert!(matches!(status, 502 | 503), "{unknown}: {status}");
    }
    world.later(7 * 24 * 3600);
    let stale = get(&world, path).await;
    assert_eq!((stale.status, &stale.body), (before.status, &before.body));
    let cache = stale.header("cache-status");
    let is_stale = cache.contains("stale") || cache.contains("backed-off");
    assert!(is_stale, "{stale:?}");
    assert!(
        stale.header("x-nuget-warning").contains("v2_versions"),
        "{stale:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_page_is_a_failure_not_a_shorter_list() {
    let world = many().await;
    let page = "/v3/registration5-gz-semver2/example.many/page/1.64.0/1.127.0.json";
    for (status, expected) in [(404, 502), (500, 502), (200, 502)] {
        world.up.on(page).reply(status, "<html>");
        let response = get(&world, "/FindPackagesById()?id='Example.Many'").await;
        assert_eq!(response.status.as_u16(), expected, "{status}: {response:?}");
        world.later(3600);
    }
    world.up.behave();
    let response = get(&world, "/FindPackagesById()?id='Example.Many'").await;
    assert_eq!(response.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_lists_say_so() {
    let mut world = world().await;
    get(&world, "/FindPackagesById()?id='Example.Core'").await;
    world.quiet().await;
    world.stop().await;
    world.change(|settings| settings.options.network = Network::Offline);
    world.start().await;
    let known = xml(&world, "/FindPackagesById()?id='Example.Core'").await;
    assert_eq!(entries(&known).len(), 2);
    let unknown = get(&world, "/FindPackagesById()?id='Example.Json'").await;
    assert_eq!(
        (unknown.status.as_u16(), entries(&unknown.text()).len()),
        (200, 0)
    );
    assert!(
        unknown.header("x-nuget-warning").contains("offline"),
        "{unknown:?}"
    );
    assert_eq!(get(&world, "/Search()?searchTerm=''").await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_made_of_what_is_stored() {
    let world = world().await;
    let path = "/FindPackagesById()?id='Example.Http'";
    let first = get(&world, path).await;
    assert!(first.header("cache-status").contains("fwd"), "{first:?}");
    world.quiet().await;
    let asked = world.up.log().len();
    let second = get(&world, path).await;
    assert_eq!(second.header("cache-status"), "nugate; hit");
    assert_eq!(world.up.log().len(), asked);
    let tag = second.header("etag");
    let full = format!("/api/v2{path}");
    let same = client::get(world.addr, &full, &[("if-none-match", tag)]).await;
    assert_eq!(same.status, 304);
    let gzip = client::get(world.addr, &full, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert!(gzip.body.len() < second.body.len());
    let head = client::head(world.addr, &full, &[]).await;
    assert_eq!(head.header("content-length"), second.body.len().to_string());
    assert!(head.body.is_empty());
    let series = "nugate_requests_total{cache=\"hit\",resource=\"v2_versions\"";
    assert!(world.metric(series).await >= 4.0);
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
