//! V2 clients of a feed that speaks V2 itself.
//!
//! - each shape goes to the feed as it was asked, and its answer comes back with our links
//! - conditions that V3 documents do not tell are answered
//! - package files are those of V3 clients; what is only in V2 is verified and kept too
//! - a feed whose V2 service is not there is answered from V3 documents
//! - several feeds are; each of them alone is not

mod keeping;
mod trouble;

use http::Method;
use nugate::demo::{ExampleFeed, Package};
use nugate::nuget::merge::Versions;
use nugate::nuget::service_index::WebLinks;
use nugate::nuget::v2::V2Source;

use crate::support::client::{self, Response};
use crate::support::group::feed;
use crate::support::world::Settings;
use crate::support::{GroupWorld, ScriptedUpstream, World};

const NAMESPACES: &str = "xmlns=\"http://www.w3.org/2005/Atom\" \
    xmlns:d=\"http://schemas.microsoft.com/ado/2007/08/dataservices\" \
    xmlns:m=\"http://schemas.microsoft.com/ado/2007/08/dataservices/metadata\"";

/// An entry as a feed below `base` writes it.
pub fn entry(base: &str, id: &str, version: &str) -> String {
    let own = format!("{base}/Packages(Id='{id}',Version='{version}')");
    format!(
        "<entry xml:base=\"{base}/\" {NAMESPACES}><id>{own}</id>\
         <link rel=\"edit\" href=\"{own}\"/><title type=\"text\">{id}</title>\
         <content type=\"application/zip\" src=\"{base}/package/{id}/{version}\"/>\
         <m:properties><d:Id>{id}</d:Id><d:Version>{version}</d:Version>\
         <d:PackageSize m:type=\"Edm.Int64\">7</d:PackageSize>\
         <d:IconUrl>{base}/icon</d:IconUrl>\
         <d:GalleryDetailsUrl>https://gallery.example/packages/{id}</d:GalleryDetailsUrl>\
         </m:properties></entry>"
    )
}

/// A list of entries; `next` is what follows `base` in the link to the next page.
pub fn list(base: &str, entries: &[String], next: Option<&str>) -> String {
    let next = next.map_or_else(String::new, |next| {
        format!("<link rel=\"next\" href=\"{base}/{next}\"/>")
    });
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<feed xml:base=\"{base}/\" {NAMESPACES}>\
         <id>{base}/List</id>\r\n{}{next}</feed>",
        entries.concat()
    )
}

pub fn service(base: &str) -> String {
    format!(
        "<service xml:base=\"{base}/\" xmlns=\"http://www.w3.org/2007/app\"><workspace>\
         <collection href=\"{base}/Packages\"/></workspace></service>"
    )
}

/// Lets an upstream speak V2; `only` is a package that it has nowhere else.
pub fn speak(up: &ScriptedUpstream, only: &str) {
    let base = &format!("{}/api/v2", up.base_url());
    let atom = |path: &str, body: String| {
        let content_type = "application/atom+xml;type=feed;charset=utf-8";
        let script = up.on(&format!("/api/v2/{path}"));
        drop(script.reply(200, body).header("content-type", content_type));
    };
    let one = entry(base, only, "1.0");
    atom("", service(base));
    atom(
        "$metadata",
        "<edmx:Edmx xmlns:edmx=\"urn:edmx\"/>".to_owned(),
    );
    atom(&format!("Packages(Id='{only}',Version='1.0')"), one.clone());
    for name in [
        "FindPackagesById()",
        "Packages()",
        "Search()",
        "GetUpdates()",
    ] {
        atom(name, list(base, std::slice::from_ref(&one), None));
        atom(&format!("{name}/$count"), "7".to_owned());
    }
    up.on("/api/v2/package-ids")
        .reply(200, format!("[\"{only}\"]"));
    let versions = format!("/api/v2/package-versions/{only}");
    up.on(&versions).reply(200, "[\"1.0\"]");
    let package = format!("/api/v2/package/{only}/1.0");
    up.on(&package).reply(200, nupkg(only));
}

/// A package that no feed of the tests has.
pub fn nupkg(id: &str) -> bytes::Bytes {
    let feed = ExampleFeed::new([Package::new(id, "1.0")]).unwrap();
    feed.nupkg(id, "1.0").unwrap()
}

/// GET below our `/api/v2`.
async fn get(world: &World, path: &str) -> Response {
    client::get(world.addr, &format!("/api/v2{path}"), &[]).await
}

async fn world() -> World {
    with(|_| {}).await
}

async fn with(change: impl FnOnce(&mut Settings)) -> World {
    let world = World::with(ExampleFeed::demo(), |settings| {
        settings.options.v2 = true;
        change(settings);
    })
    .await;
    speak(&world.up, "Gallery.Only");
    world
}

/// Path and query of what the upstream was asked for, but for what tells where and whether.
fn asked(world: &World) -> Vec<String> {
    let log = world.up.log().into_iter();
    let asked = log.map(|seen| seen.path_and_query);
    asked
        .filter(|path| !matches!(&**path, "/v3/index.json" | "/api/v2/"))
        .collect()
}

const SHAPES: &[&str] = &[
    "/$metadata",
    "/FindPackagesById()?id='Gallery.Only'&semVerLevel=2.0.0",
    "/FindPackagesById()?$skip=100&$filter=IsLatestVersion%20eq%20true&id='Gallery.Only'&$unknown=x",
    "/Packages(Id='Gallery.Only',Version='1.0')",
    "/Packages()?$filter=PackageSize%20gt%201000%20and%20DownloadCount%20gt%205&$orderby=PackageHash",
    "/Packages()?$skiptoken='Gallery.Only','1.0'",
    "/Search()?searchTerm='caf%C3%A9%20%26%2B'&targetFramework='net40%7Cnet45'&includePrerelease=false",
    "/Search()?searchTerm='x'&$top=30&$skip=60&$expand=a/b,c:d@e",
    "/GetUpdates()?packageIds='A%7CB'&versions='1.0%7C2.0'&includePrerelease=false&includeAllVersions=false",
    "/Packages()/$count?$filter=IsLatestVersion",
    "/FindPackagesById()/$count?id='Gallery.Only'",
    "/package-ids?partialId=Gal",
    "/package-versions/Gallery.Only?includePrerelease=true",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_goes_on_as_it_was_asked_and_comes_back_with_our_links() {
    let world = world().await;
    let theirs = world.up.base_url().to_owned();
    let ours = format!("http://{}", world.addr);
    for shape in ["", "/"].iter().chain(SHAPES) {
        let answer = get(&world, shape).await;
        assert_eq!(answer.status, 200, "{shape}: {answer:?}");
        let text = answer.text();
        assert!(!text.contains(&theirs), "{shape}: {text}");
        if text.contains("xml:base") {
            assert!(
                text.contains(&format!("xml:base=\"{ours}/api/v2/\"")),
                "{text}"
            );
        }
    }
    // Quotation marks are escaped in the URLs of queries, as they may be.
    let sent = |path: &&str| match path.split_once('?') {
        Some((path, query)) => format!("/api/v2{path}?{}", query.replace('\'', "%27")),
        None => format!("/api/v2{path}").replace("$metadata?x", "$metadata"),
    };
    assert_eq!(asked(&world), SHAPES.iter().map(sent).collect::<Vec<_>>());
    assert_eq!(
        world.up.count("/api/v2/"),
        1,
        "the service document is kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_differ_from_the_feeds_in_links_alone() {
    let world = world().await;
    let (theirs, ours) = (world.up.base_url(), format!("http://{}", world.addr));
    let answer = get(&world, "/FindPackagesById()?id='Gallery.Only'").await;
    let base = format!("{theirs}/api/v2");
    let sent = list(&base, &[entry(&base, "Gallery.Only", "1.0")], None);
    let shown = answer.text().replace("&apos;", "'");
    assert_eq!(shown, sent.replace(theirs, &ours));
    let content_type = "application/atom+xml;type=feed;charset=utf-8";
    assert_eq!(answer.header("content-type"), content_type);
    assert!(shown.contains("https://gallery.example/packages/Gallery.Only"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_for_people_can_be_left_out() {
    let world = with(|settings| settings.options.web_links = WebLinks::Drop).await;
    let text = get(&world, "/Search()?searchTerm='x'").await.text();
    assert!(!text.contains("gallery.example"), "{text}");
    assert!(text.contains("<d:IconUrl>"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_to_pages_through_us() {
    let world = world().await;
    let base = format!("{}/api/v2", world.up.base_url());
    let page = |skip: usize| {
        format!("Packages()?$filter=IsLatestVersion%20eq%20true&amp;$skiptoken={skip}")
    };
    for number in 0..4 {
        let of_page = entry(&base, "Some.Id", &format!("1.{number}"));
        let next = (number < 3).then(|| page(number + 1));
        let path = format!("/api/v2/{}", page(number).replace("&amp;", "&"));
        let body = list(&base, &[of_page], next.as_deref());
        world.up.on(&path).reply(200, body);
    }
    let root = format!("http://{}", world.addr);
    let mut next = Some(format!("/api/v2/{}", page(0).replace("&amp;", "&")));
    let mut found = Vec::new();
    while let Some(path) = next {
        let text = client::get(world.addr, &path, &[]).await.text();
        let version = text.split("<d:Version>").nth(1).unwrap();
        found.push(version.split('<').next().unwrap().to_owned());
        next = text.split("rel=\"next\" href=\"").nth(1).map(|rest| {
            let url = rest.split('"').next().unwrap().replace("&amp;", "&");
            url.strip_prefix(&root).expect("a link to us").to_owned()
        });
    }
    assert_eq!(found, ["1.0", "1.1", "1.2", "1.3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_the_one_of_v3_clients() {
    let world = world().await;
    let theirs = world.nupkg("Example.Core", "1.1.0");
    for path in [
        "/package/Example.Core/1.1.0",
        "/package/EXAMPLE.core/1.1",
        "/Packages(Id='Example.Core',Version='1.1.0')/$value",
    ] {
        assert_eq!(get(&world, path).await.body, theirs, "{path}");
        world.quiet().await;
    }
    let v3 = world
        .get("flat/example.core/1.1.0/example.core.1.1.0.nupkg")
        .await;
    assert_eq!(v3.body, theirs);
    let nupkg = "/v3-flatcontainer/example.core/1.1.0/example.core.1.1.0.nupkg";
    assert_eq!(asked(&world), [nupkg]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_only_v2_has_is_found_where_its_entry_says() {
    let world = world().await;
    let base = format!("{}/api/v2", world.up.base_url());
    let elsewhere = entry(&base, "Gallery.Only", "1.0").replace(
        "/package/Gallery.Only/1.0\"",
        "/../../files/only?a=1&amp;b=2\"",
    );
    let path = "/api/v2/Packages(Id='Gallery.Only',Version='1.0')";
    world.up.on(path).reply(200, elsewhere);
    let file = nupkg("Gallery.Only");
    let cut = file.slice(..file.len() - 9);
    world.up.on("/files/only?a=1&b=2").reply(200, cut).times(1);
    world.up.on("/files/only?a=1&b=2").reply(200, file.clone());
    let refused = get(&world, "/package/Gallery.Only/1.0").await;
    assert_eq!(refused.status, 502, "half a package: {refused:?}");
    world.quiet().await;
    let whole = get(&world, "/package/Gallery.Only/1.0").await;
    assert_eq!((whole.status.as_u16(), &whole.body), (200, &file));
    world.quiet().await;
    world.up.clear_log();
    let again = get(&world, "/package/Gallery.Only/1.0").await;
    assert_eq!(again.body, file);
    assert_eq!(again.header("cache-status"), "nugate; hit");
    let flat = "/v3-flatcontainer/gallery.only/1.0.0/gallery.only.1.0.0.nupkg";
    assert_eq!(asked(&world), [flat]);
    let unknown = get(&world, "/package/Gallery.None/1.0").await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_may_have_its_packages_in_v2_alone() {
    let world = world().await;
    let index = serde_json::json!({ "version": "3.0.0", "resources": [
        { "@id": format!("{}/api/v2", world.up.base_url()), "@type": "LegacyGallery" },
    ] });
    world.up.on("/v3/index.json").reply(200, index.to_string());
    let found = get(&world, "/FindPackagesById()?id='Gallery.Only'").await;
    assert_eq!(found.status, 200);
    let source = format!("http://{}/api/v2/package/Gallery.Only/1.0", world.addr);
    assert!(found.text().contains(&source));
    let file = get(&world, "/package/Gallery.Only/1.0").await;
    assert_eq!(file.body, nupkg("Gallery.Only"));
    assert_eq!(get(&world, "/package/Gallery.Only/2.0").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_on_a_host_that_nobody_named_is_not_fetched() {
    let world = world().await;
    let other = ScriptedUpstream::at([127, 0, 0, 2], ExampleFeed::demo()).await;
    let base = format!("{}/api/v2", world.up.base_url());
    let elsewhere = entry(&base, "Gallery.Only", "1.0").replace(
        &format!("src=\"{base}/"),
        &format!("src=\"{}/", other.base_url()),
    );
    let path = "/api/v2/Packages(Id='Gallery.Only',Version='1.0')";
    world.up.on(path).reply(200, elsewhere);
    let refused = get(&world, "/package/Gallery.Only/1.0").await;
    assert_eq!(refused.status, 502);
    assert!(refused.text().contains("redirect_hosts"), "{refused:?}");
    assert_eq!(other.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_shape_of_v2_goes_nowhere() {
    let world = world().await;
    for (path, status) in [
        ("/Screencasts", 404),
        ("/$batch", 404),
        ("/package/Gallery.Only/1.0/x", 404),
        ("/Packages()/../../v3/index.json", 404),
        ("/%2e%2e/v3/index.json", 400),
        ("/Packages()?$format=json", 501),
        ("/Packages()?$filter=%zz", 400),
    ] {
        let answer = get(&world, path).await;
        assert!(
            matches!(answer.status.as_u16(), code if code == status || (status == 404 && code == 400)),
            "{path}: {answer:?}"
        );
    }
    assert_eq!(asked(&world), [""; 0]);
    let put = client::call(world.addr, Method::PUT, "/api/v2/Packages", &[], "").await;
    assert_eq!(put.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_leaves_it_to_v3_documents() {
    for status in [404, 410, 501, 400] {
        let world = world().await;
        world.up.on("/api/v2/").reply(status, "");
        let path = "/FindPackagesById()?id='Example.Core'";
        let facts = get(&world, path).await;
        assert_eq!(facts.status, 200, "{status}");
        assert!(facts.text().contains("Example.Core"), "{status}");
        get(&world, path).await;
        assert_eq!(world.up.count("/api/v2/FindPackagesById()"), 0);
        assert_eq!(world.up.count("/api/v2/"), 1, "{status} is remembered");
        // It begins to speak.
        speak(&world.up, "Gallery.Only");
        world.later(31);
        let passed = get(&world, path).await;
        assert!(passed.text().contains("Gallery.Only"), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_ceases_to_speak_is_believed_after_a_while() {
    let world = world().await;
    let path = "/FindPackagesById()?id='Example.Core'";
    assert!(get(&world, path).await.text().contains("Gallery.Only"));
    world.quiet().await;
    world.up.behave();
    let mut shown = Vec::new();
    for _ in 0..8 {
        world.later(15 * 60);
        shown.push(get(&world, path).await.text().contains("Gallery.Only"));
        world.quiet().await;
    }
    assert!(shown[0], "a 404 alone is no reason to change: {shown:?}");
    assert!(!shown[7], "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_without_it_and_those_told_so_are_not_asked() {
    let world = with(|settings| settings.options.v2_source = V2Source::Facts).await;
    let text = get(&world, "/FindPackagesById()?id='Example.Core'")
        .await
        .text();
    assert!(text.contains("Example.Core") && !text.contains("Gallery.Only"));
    let world = World::with(ExampleFeed::demo().without("LegacyGallery"), |settings| {
        settings.options.v2 = true;
    })
    .await;
    let index = world
        .up
        .change(|feed| feed.clone().without("LegacyGallery/2.0.0"));
    world.up.change(|feed| *feed = index);
    let text = get(&world, "/FindPackagesById()?id='Example.Core'")
        .await
        .text();
    assert!(text.contains("Example.Core"));
    for path in asked(&world) {
        assert!(!path.starts_with("/api/v2"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_feeds_are_answered_from_v3_documents_and_each_alone_by_itself() {
    let feeds = vec![
        feed("one", &[("Shared", "1.0.0")], &[]),
        feed("two", &[("Shared", "2.0.0")], &[]),
    ];
    let world = GroupWorld::of(feeds, Versions::First, |_, settings| {
        settings.options.v2 = true;
    })
    .await;
    for up in &world.ups {
        speak(up, "Gallery.Only");
    }
    let path = "api/v2/FindPackagesById()?id='Shared'";
    let together = world.get_at(&format!("/{path}")).await;
    assert!(
        together.text().contains("<d:Version>1.0.0<"),
        "{together:?}"
    );
    assert_eq!(world.asked("/api/v2/"), [0, 0]);
    let alone = world.get_at(&format!("/feeds/two/{path}")).await;
    let base = format!("http://{}/feeds/two/api/v2", world.addr);
    let text = alone.text();
    assert!(
        text.contains(&format!("src=\"{base}/package/Gallery.Only/1.0\"")),
        "{text}"
    );
    assert_eq!(world.asked("/api/v2/"), [0, 2]);
    let file = world
        .get_at("/feeds/two/api/v2/package/Gallery.Only/1.0")
        .await;
    assert_eq!(file.body, nupkg("Gallery.Only"));
    let v3 = world.get_at("/feeds/two/api/v2/package/Shared/2.0.0").await;
    assert_eq!(v3.body, world.nupkg(1, "Shared", "2.0.0"));
}
