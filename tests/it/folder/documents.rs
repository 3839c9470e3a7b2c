//! Every document of a folder, by its whole content where that is short.

use std::fs;

use nugate::demo::Package;
use serde_json::{Value, json};

use super::{Shelf, write};

/// A folder with some of everything, in all layouts.
async fn shelf() -> Shelf {
    Shelf::with(|root| {
        let some = |version: &str| {
            Package::new("Some.Id", version)
                .described("Talks to <servers>")
                .tagged(&["net", "http"])
                .with_extras()
        };
        let needy = some("2.0.0")
            .needs_on("net8.0", "Other.Id", "[1.0,2.0)")
            .needs_on("net8.0", "third", "0.5");
        write(root, "Some.Id.1.0.nupkg", &some("1.0"));
        write(root, "some.id/2.0.0/some.id.2.0.0.nupkg", &needy);
        write(
            root,
            "Some.Id.2.1.0-Rc.1/Some.Id.2.1.0-Rc.1.nupkg",
            &some("2.1.0-Rc.1+b7"),
        );
        write(root, "Some.Id.3.0.0-beta.nupkg", &some("3.0.0-beta"));
        write(
            root,
            "deep/er/whatever.nupkg",
            &Package::new("Other.Id", "1.5.0"),
        );
    })
    .await
}

/// `json` with our base taken off all texts.
fn bare(shelf: &Shelf, value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace(&shelf.world.base(), "@/")).unwrap()
}

async fn document(shelf: &Shelf, path: &str) -> Value {
    let response = shelf.get(path).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    assert_eq!(
        response.header("content-type"),
        "application/json",
        "{path}"
    );
    let text = response.text();
    assert!(!text.contains("folder.invalid"), "{path}: {text}");
    bare(shelf, &response.json())
}

#[tokio::test]
async fn the_service_index_offers_what_a_folder_has() {
    let shelf = shelf().await;
    let index = document(&shelf, "index.json").await;
    assert_eq!(index["version"], "3.0.0");
    let mut shown: Vec<String> = index["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| {
            let text = |name: &str| own[name].as_str().unwrap();
            format!("{} {}", text("@type"), text("@id"))
        })
        .collect();
    shown.sort();
    let expected = [
        "PackageBaseAddress/3.0.0 @/flat/",
        "PackageDisplayMetadataUriTemplate/3.0.0-rc @/registration/{id-lower}/index.json",
        "PackageVersionDisplayMetadataUriTemplate/3.0.0-rc @/registration/{id-lower}/{version-lower}.json",
        "ReadmeUriTemplate/6.13.0 @/flat/{lower_id}/{lower_version}/readme",
        "RegistrationsBaseUrl @/registration/",
        "RegistrationsBaseUrl/3.0.0-beta @/registration/",
        "RegistrationsBaseUrl/3.0.0-rc @/registration/",
        "RegistrationsBaseUrl/3.4.0 @/registration-gz/",
        "RegistrationsBaseUrl/3.6.0 @/registration-gz-semver2/",
        "RegistrationsBaseUrl/Versioned @/registration-gz-semver2/",
        "SearchAutocompleteService @/autocomplete",
        "SearchAutocompleteService/3.0.0-beta @/autocomplete",
        "SearchAutocompleteService/3.0.0-rc @/autocomplete",
        "SearchAutocompleteService/3.5.0 @/autocomplete",
        "SearchQueryService @/query",
        "SearchQueryService/3.0.0-beta @/query",
        "SearchQueryService/3.0.0-rc @/query",
        "SearchQueryService/3.5.0 @/query",
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn files_are_served_as_they_lie_there() {
    let shelf = shelf().await;
    let list = document(&shelf, "flat/some.id/index.json").await;
    let versions = ["1.0.0", "2.0.0", "2.1.0-rc.1", "3.0.0-beta"];
    assert_eq!(list, json!({ "versions": versions }));
    let file = fs::read(shelf.root().join("Some.Id.1.0.nupkg")).unwrap();
    let nupkg = shelf.get("flat/Some.Id/1.0.0.0/some.id.1.0.0.nupkg").await;
    assert_eq!((nupkg.status.as_u16(), &nupkg.body[..]), (200, &file[..]));
    let nuspec = shelf.get("flat/some.id/1.0.0/some.id.nuspec").await;
    assert!(nuspec.text().contains("<version>1.0</version>"));
    let icon = shelf.get("flat/some.id/1.0.0/icon").await;
    assert_eq!(icon.header("content-type"), "image/png");
    assert_eq!(&icon.body[..], nugate::demo::package::ICON);
    let readme = shelf.get("flat/some.id/1.0.0/readme").await;
    assert_eq!(
        readme.header("content-type"),
        "text/markdown; charset=utf-8"
    );
    assert_eq!(readme.text(), "# Some.Id\n\nTalks to <servers>\n");
    for absent in [
        "flat/some.id/1.0.0/license",
        "flat/other.id/1.5.0/icon",
        "flat/other.id/1.5.1/other.id.1.5.1.nupkg",
        "flat/nobody/index.json",
        "registration/nobody/index.json",
        "registration/some.id/3.0.0.json",
    ] {
        assert_eq!(shelf.get(absent).await.status, 404, "{absent}");
    }
    let head = shelf
        .world
        .head("flat/some.id/2.0.0/some.id.2.0.0.nupkg")
        .await;
    let lies = fs::metadata(shelf.root().join("some.id/2.0.0/some.id.2.0.0.nupkg")).unwrap();
    assert_eq!(head.header("content-length"), lies.len().to_string());
}

#[tokio::test]
async fn hives_differ_in_semver2() {
    let shelf = shelf().await;
    for (hive, expected) in [
        ("registration", &["1.0.0", "2.0.0", "3.0.0-beta"][..]),
        ("registration-gz", &["1.0.0", "2.0.0", "3.0.0-beta"]),
        (
            "registration-gz-semver2",
            &["1.0.0", "2.0.0", "2.1.0-Rc.1+b7", "3.0.0-beta"],
        ),
    ] {
        let index = document(&shelf, &format!("{hive}/some.id/index.json")).await;
        let url = format!("@/{hive}/some.id/index.json");
        assert_eq!(index["@id"], url);
        assert_eq!(index["count"], 1);
        let page = &index["items"][0];
        assert_eq!(page["@id"], format!("{url}#page/1.0.0/3.0.0-beta"));
        assert_eq!(
            (&page["lower"], &page["upper"]),
            (&json!("1.0.0"), &json!("3.0.0-beta"))
        );
        let versions: Vec<&str> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["catalogEntry"]["version"].as_str().unwrap())
            .collect();
        assert_eq!(versions, expected, "{hive}");
    }
    assert_eq!(
        shelf
            .get("registration/some.id/2.1.0-rc.1.json")
            .await
            .status,
        404
    );
    document(&shelf, "registration-gz-semver2/some.id/2.1.0-rc.1.json").await;
}

#[tokio::test]
async fn an_entry_has_every_member_that_clients_read() {
    let shelf = shelf().await;
    let index = document(&shelf, "registration-gz-semver2/some.id/index.json").await;
    let item = &index["items"][0]["items"][1];
    let leaf = "@/registration-gz-semver2/some.id/2.0.0.json";
    assert_eq!(item["@id"], leaf);
    assert_eq!(item["registration"], index["@id"]);
    let mut entry = item["catalogEntry"].clone();
    let published = entry["published"].take();
    assert!(published.as_str().unwrap().ends_with('Z'), "{published}");
    let node = format!("{leaf}#dependencygroup/net8.0");
    let expected = json!({
        "@id": leaf,
        "@type": "PackageDetails",
        "authors": "The example authors",
        "dependencyGroups": [{
            "@id": node,
            "@type": "PackageDependencyGroup",
            "dependencies": [
                {
                    "@id": format!("{node}/other.id"),
                    "@type": "PackageDependency",
                    "id": "Other.Id",
                    "range": "[1.0.0, 2.0.0)",
                    "registration": "@/registration-gz-semver2/other.id/index.json",
                },
                {
                    "@id": format!("{node}/third"),
                    "@type": "PackageDependency",
                    "id": "third",
                    "range": "[0.5.0, )",
                    "registration": "@/registration-gz-semver2/third/index.json",
                },
            ],
            "targetFramework": "net8.0",
        }],
        "description": "Talks to <servers>",
        "iconUrl": "@/flat/some.id/2.0.0/icon",
        "id": "Some.Id",
        "language": "",
        "licenseExpression": "",
        "licenseUrl": "",
        "listed": true,
        "minClientVersion": "",
        "packageContent": "@/flat/some.id/2.0.0/some.id.2.0.0.nupkg",
        "projectUrl": "",
        "published": null,
        "requireLicenseAcceptance": false,
        "summary": "",
        "tags": ["net", "http"],
        "title": "",
        "version": "2.0.0",
    });
    assert_eq!(entry, expected);
    let document = document(&shelf, "registration-gz-semver2/some.id/2.0.0.json").await;
    assert_eq!(document["catalogEntry"], leaf);
    assert_eq!(document["packageContent"], expected["packageContent"]);
}

#[tokio::test]
async fn long_registrations_have_pages_of_their_own() {
    let shelf = Shelf::with(|root| {
        for minor in 0..130 {
            let name = format!("many.1.{minor}.0.nupkg");
            write(root, &name, &Package::new("Many", format!("1.{minor}.0")));
        }
    })
    .await;
    let index = document(&shelf, "registration/many/index.json").await;
    let pages = index["items"].as_array().unwrap();
    let counts: Vec<_> = pages
        .iter()
        .map(|page| page["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [64, 64, 2]);
    for page in pages {
        assert!(page.get("items").is_none());
        let path = page["@id"].as_str().unwrap().trim_start_matches("@/");
        let whole = document(&shelf, path).await;
        assert_eq!(
            whole["items"].as_array().unwrap().len() as u64,
            page["count"].as_u64().unwrap()
        );
        assert_eq!(whole["parent"], index["@id"]);
    }
    let unknown = shelf.get("registration/many/page/1.0.0/1.64.0.json").await;
    assert_eq!(unknown.status, 404);
}

async fn ids(shelf: &Shelf, query: &str) -> Vec<String> {
    let found = document(shelf, &format!("query?{query}")).await;
    let data = found["data"].as_array().unwrap();
    let line = |own: &Value| {
        format!(
            "{} {}",
            own["id"].as_str().unwrap(),
            own["version"].as_str().unwrap()
        )
    };
    data.iter().map(line).collect()
}

#[tokio::test]
async fn searches_find_by_all_fields() {
    let shelf = shelf().await;
    for (query, expected) in [
        ("", &["Other.Id 1.5.0", "Some.Id 2.0.0"][..]),
        ("q=servers", &["Some.Id 2.0.0"]),
        ("q=packageid:some.id", &["Some.Id 2.0.0"]),
        ("q=packageid:some", &[]),
        ("q=tags:http", &["Some.Id 2.0.0"]),
        ("q=some&prerelease=true", &["Some.Id 3.0.0-beta"]),
        ("q=other.id", &["Other.Id 1.5.0"]),
        ("q=id:id", &["Other.Id 1.5.0", "Some.Id 2.0.0"]),
        ("take=1", &["Other.Id 1.5.0"]),
        ("skip=1", &["Some.Id 2.0.0"]),
        ("skip=5", &[]),
        ("packageType=dotnettool", &[]),
        ("packageType=Dependency&q=some", &["Some.Id 2.0.0"]),
        ("q=nothing", &[]),
    ] {
        assert_eq!(ids(&shelf, query).await, expected, "{query}");
    }
    let level2 = "query?q=some&prerelease=true&semVerLevel=2.0.0";
    let found = document(&shelf, level2).await;
    assert_eq!(found["totalHits"], 1);
    assert_eq!(found["@context"]["@base"], "@/registration-gz-semver2/");
    let hit = &found["data"][0];
    assert_eq!(hit["@id"], "@/registration-gz-semver2/some.id/index.json");
    assert_eq!(hit["versions"].as_array().unwrap().len(), 4);
    assert_eq!(hit["iconUrl"], "@/flat/some.id/3.0.0-beta/icon");
    assert_eq!(hit["packageTypes"], json!([{ "name": "Dependency" }]));
    let level1 = document(&shelf, "query?q=some&prerelease=true").await;
    assert_eq!(level1["data"][0]["versions"].as_array().unwrap().len(), 3);
    assert_eq!(level1["@context"]["@base"], "@/registration/");
}

#[tokio::test]
async fn ids_and_versions_are_completed() {
    let shelf = shelf().await;
    for (query, expected) in [
        ("", json!(["Other.Id", "Some.Id"])),
        ("q=id", json!(["Other.Id", "Some.Id"])),
        ("q=SOME", json!(["Some.Id"])),
        ("q=id&take=1", json!(["Other.Id"])),
        ("id=some.id", json!(["1.0.0", "2.0.0"])),
        (
            "id=some.id&prerelease=true",
            json!(["1.0.0", "2.0.0", "3.0.0-beta"]),
        ),
        (
            "id=SOME.id&prerelease=true&semVerLevel=2.0.0",
            json!(["1.0.0", "2.0.0", "2.1.0-Rc.1+b7", "3.0.0-beta"]),
        ),
        ("id=nobody", json!([])),
    ] {
        let found = document(&shelf, &format!("autocomplete?{query}")).await;
        assert_eq!(found["data"], expected, "{query}");
    }
}
