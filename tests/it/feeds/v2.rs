//! V2 clients of several feeds.

use nugate::nuget::merge::Versions;

use super::confusing;
use crate::support::GroupWorld;
use crate::support::client::{self, Response};
use crate::support::group::feed;

async fn get(world: &GroupWorld, path: &str) -> Response {
    world.get_at(&path.replace(' ', "%20")).await
}

const NAMING: [&str; 8] = [
    "FindPackagesById()?id='CONTOSO.Core'",
    "FindPackagesById()/$count?id='contoso.core'",
    "Packages()?$filter=Id eq 'Contoso.Core'",
    "Packages()?$filter=tolower(Id) eq 'contoso.core' or Id eq 'Contoso.core'",
    "Packages(Id='contoso.Core',Version='1.0.0')",
    "GetUpdates()?packageIds='Contoso.Core'&versions='0.1.0'&includePrerelease=false&includeAllVersions=true",
    "package/Contoso.Core",
    "package/Contoso.Core/1.0.0",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_owned_id_is_its_owners_by_every_way() {
    for versions in [Versions::First, Versions::United] {
        let world = GroupWorld::of(confusing(), versions, |_, _| {}).await;
        for path in NAMING {
            let answer = get(&world, &format!("/api/v2/{path}")).await;
            assert_eq!(answer.status, 200, "{path}");
            if path.starts_with("package/") {
                assert_eq!(answer.body, world.nupkg(1, "Contoso.Core", "1.0.0"));
            } else {
                assert!(!answer.text().contains("99.0.0"), "{path}");
            }
        }
        assert_eq!(world.asked("contoso")[0], 0);
        let other = get(&world, "/api/v2/package/Contoso.Core/99.0.0").await;
        assert_eq!(other.status, 404);
        for path in [
            "Packages()",
            "Packages()?$filter=IsLatestVersion",
            "Packages()?$filter=substringof('contoso',tolower(Id))",
            "Search()?searchTerm='from'&includePrerelease=true",
            "Search()?$filter=IsAbsoluteLatestVersion&searchTerm=''&includePrerelease=true",
            "Search()?searchTerm='contoso'&$orderby=Id",
        ] {
            let answer = get(&world, &format!("/api/v2/{path}")).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let text = answer.text();
            assert!(text.contains("Contoso.Core"), "{path}: {text}");
            assert!(!text.contains("99.0.0"), "{path}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_down_fails_v2_too() {
    let mut world = GroupWorld::first(confusing()).await;
    world.ups[1].down().await;
    for path in NAMING {
        let path = format!("/api/v2/{path}").replace(' ', "%20");
        let answer = world.get_at(&path).await;
        // 503 once its host is left alone.
        let status = answer.status.as_u16();
        assert!(matches!(status, 502 | 503), "{path}: {}", answer.text());
        let head = client::head(world.addr, &path, &[]).await;
        let status = head.status.as_u16();
        assert!(matches!(status, 502 | 503), "{path}: {status}");
    }
    assert_eq!(world.asked("contoso"), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_feed_alone_speaks_v2_below_the_public_url() {
    let many: Vec<String> = (0..120).map(|at| format!("1.0.{at}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|version| ("Many", &**version)).collect();
    let feeds = vec![
        feed("one", &[("Many", "9.0.0")], &[]),
        feed("two", &many, &[]),
    ];
    let mut world = GroupWorld::of(feeds, Versions::First, |_, settings| {
        settings.options.v2 = true;
    })
    .await;
    world.public_url = Some("https://cache.test/nuget".parse().unwrap());
    world.restart().await;
    for (scope, count) in [("", 1), ("/feeds/one", 1), ("/feeds/two", 120)] {
        let base = format!("https://cache.test/nuget{scope}/api/v2");
        let index = world.get_at(&format!("/nuget{scope}/v3/index.json")).await;
        let index = index.json();
        let entries = index["resources"].as_array().unwrap().iter();
        let gallery: Vec<_> = entries
            .filter(|entry| entry["@type"] == "LegacyGallery/2.0.0")
            .map(|entry| entry["@id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(gallery, [base.as_str()], "{scope}");
        let below = |url: &str| url.strip_prefix("https://cache.test").unwrap().to_owned();
        let mut next = Some(format!("{base}/FindPackagesById()?id='Many'"));
        let mut found = 0;
        while let Some(url) = next {
            assert!(url.starts_with(&base), "{url}");
            let page = world.get_at(&below(&url)).await;
            assert_eq!(page.status, 200, "{url}: {}", page.text());
            let text = page.text();
            assert!(text.contains(&format!("xml:base=\"{base}/\"")), "{text}");
            let (_, source) = text.split_once("src=\"").unwrap();
            let package = world
                .get_at(&below(source.split('"').next().unwrap()))
                .await;
            assert_eq!(package.status, 200, "{source}");
            let head = client::head(world.addr, &below(&url), &[]).await;
            assert_eq!(head.status, 200);
            assert_eq!(head.header("content-length"), text.len().to_string());
            found += text.matches("<entry>").count();
            next = text.split("<link rel=\"next\" href=\"").nth(1).map(|rest| {
                let url = rest.split('"').next().unwrap();
                url.replace("&amp;", "&")
            });
        }
        assert_eq!(found, count, "{scope}");
    }
}
